"""Bad input against the product as it runs: bounded, refused with a reason, and nothing else suffers."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from tests.system.processes import Api, House, Process, house

CHUNK = b"." * 65_536


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as started:
        yield started


def peak_kb(process: Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process' peak memory")
async def test_fifty_megabytes_leave_no_trace_in_a_nodes_memory(here: House) -> None:
    up = await here.start("up", data_dir=str(here.folder / "data"))
    async with Api(up.url) as api:
        heartbeat = await api.create_heartbeat("big", period=60, grace=60)

        async def body(megabytes: int) -> AsyncGenerator[bytes]:
            for _ in range(megabytes * 16):
                yield CHUNK
            yield b"the end"

        async def send(megabytes: int) -> None:
            async with api.session.post(heartbeat["ping_url"] + "/1", data=body(megabytes)) as response:
                assert response.status == 200

        await send(1)  # whatever a first time costs
        before = peak_kb(up)
        await asyncio.gather(*(send(50) for _ in range(4)))

        assert peak_kb(up) - before < 20_000  # 200 MB went through; one of them would have shown
        found = await api.heartbeat(heartbeat["id"])
        assert (await api.incident(found["incident"]))["output"].endswith("..the end")


@pytest.mark.parametrize(
    "target", ["127.0.0.1", "169.254.169.254", "[::ffff:10.0.0.1]", "localhost", "10.0.0.1", "[::1]"]
)
async def test_a_private_target_is_refused_and_the_delivery_names_the_setting(here: House, target: str) -> None:
    up = await here.start("up", data_dir=str(here.folder / "data"))
    async with Api(up.url) as api:
        secret_path = "hook-with-a-secret-in-it"
        channel = await api.create_channel("lan", "webhook", url=f"http://{target}:9/{secret_path}")
        asked = await api.call("POST", f"/api/channels/{channel['id']}/test")

        async def tried() -> Any:
            delivery = await api.call("GET", f"/api/deliveries/{asked['delivery']}")
            return delivery if delivery["attempts"] and delivery["answer"] else None

        delivery = await eventually(tried)

    assert delivery["reason"] == "blocked_target"
    assert delivery["status"] in {"retrying", "dead"}
    if target != "169.254.169.254":  # metadata is never allowed, so no setting helps
        assert "FLATLINE_ALLOW_PRIVATE_TARGETS" in delivery["answer"]
    assert secret_path not in here.logs() + delivery["answer"]


async def test_a_settings_error_is_seen_before_anything_starts(here: House) -> None:
    process = here.make("up", data_dir=str(here.folder / "data"), queue_limit="none")
    await process.launch()

    async def ended() -> bool:
        return process.status is not None

    await eventually(ended, within_s=20)
    assert process.status == 1
    assert "FLATLINE_QUEUE_LIMIT" in process.log.read_text()
    assert not (here.folder / "data").exists()
