"""The load: wrk over keep-alive connections, each round over all heartbeats in turn."""

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.contenders import Contender
from tests.bench.machine import BenchError, busy_seconds, cpu_seconds, program

SCRIPT: Final = Path(__file__).with_name("cycle.lua")
PATIENCE_S: Final = 30.0  # for wrk beyond the time it was given


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One contender under load once.

    `refused`: answers beyond 3xx. `lost`: no answer at all. `others`: the share of its core that others had.
    """

    contender: str
    connections: int
    seconds: float
    acknowledged: int
    refused: int
    lost: int
    cpu_s: float
    others: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        return self.acknowledged / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU microseconds of the contender per acknowledged ping."""
        return self.cpu_s * 1e6 / self.acknowledged

    def __str__(self) -> str:
        return f"{self.contender}, {self.connections} connections: {self.cpu_us:.1f} us, {self.per_second:,.0f}/s"


async def press(contender: Contender, connections: int, seconds: int, *, keep_alive: bool = True) -> Run:
    """Raises BenchError: wrk failed."""
    before, busy = cpu_seconds(contender.pid), busy_seconds(contender.core)
    started = time.monotonic()
    said = await _wrk(contender, connections, seconds, keep_alive=keep_alive)
    took = time.monotonic() - started
    cpu_s, busy_s = cpu_seconds(contender.pid) - before, busy_seconds(contender.core) - busy
    return Run(
        contender=contender.name,
        connections=connections,
        seconds=said["seconds"],
        acknowledged=int(said["answered"] - said["refused"]),
        refused=int(said["refused"]),
        lost=int(said["lost"]),
        cpu_s=cpu_s,
        others=max(0.0, busy_s - cpu_s) / took,
        p50_ms=said["p50_ms"],
        p99_ms=said["p99_ms"],
    )


async def _wrk(contender: Contender, connections: int, seconds: int, *, keep_alive: bool) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        program("wrk"), "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--timeout=10s",
        f"--script={SCRIPT}", *([] if keep_alive else ["--header=Connection: close"]),
        f"http://127.0.0.1:{contender.port}", "--", str(contender.paths), contender.method, contender.body,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds + PATIENCE_S):
            output, _ = await process.communicate()
    except TimeoutError:
        raise BenchError(f"wrk did not end in time against {contender.name}") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    last = output.decode(errors="replace").strip().rpartition("\n")[2]
    try:
        said: dict[str, float] = json.loads(last)
    except ValueError:
        raise BenchError(f"wrk ended with status {process.returncode} against {contender.name}: {last}") from None
    return said
