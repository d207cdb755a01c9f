"""The machine: its name, its cores, and the CPU time of a process."""

import contextlib
import os
import platform
import shutil
from pathlib import Path
from typing import Final

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """Nothing can be measured; the message is one line that says why."""


def cores() -> tuple[int, int]:
    """The core of the process under test, and the one of everything else."""
    if not hasattr(os, "sched_setaffinity"):
        raise BenchError("make bench needs Linux: it pins processes to cores and reads /proc")
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise BenchError("make bench needs two cores: one for the process under test, one for the load")
    return usable[0], usable[1]


def describe() -> str:
    model = platform.machine()
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open() as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    system = f"{platform.system()} {platform.release()}"
    return f"{model}, {os.cpu_count()} cores, {system}, Python {platform.python_version()}"


def busy_seconds(core: int) -> float:
    """What a core has worked since it was started, or what was taken from it by others on the same hardware."""
    with Path("/proc/stat").open() as lines:
        fields = next(line for line in lines if line.startswith(f"cpu{core} ")).split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) / TICKS_PER_S for field in fields)
    return user + nice + system + irq + softirq + steal


def cpu_seconds(pid: int) -> float:
    """User and system time that a process and its living children have had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S + sum(cpu_seconds(int(child)) for child in children)


def program(name: str) -> str:
    """Where it is. Raises BenchError."""
    found = shutil.which(name)
    if found is None:
        raise BenchError(f"{name} is not installed")
    return found
