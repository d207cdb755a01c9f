"""What happens to a large fleet happens to it in small pieces. `python -m tests.bench.fleets` tells it of a million."""

import sys
from typing import Final

import pytest

from tests.bench.fleets import Report, told
from tests.conftest import Sockets

MEMBERS: Final = {"valkey-9": 200_000, "redis-7": 60_000, "redis-6.2": 60_000}
UP_BYTES: Final = 150
SILENT_BYTES: Final = 350
RUNS: Final = 3  # what is slow by an interruption is so once; what goes over all members is so each time


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", MEMBERS)
async def test_nothing_that_people_do_to_a_large_fleet_keeps_the_server_busy(sockets: Sockets, kind: str) -> None:
    if kind not in sockets.binaries:
        pytest.skip(f"no {kind} on this machine")
    slow: set[tuple[str, str]] | None = None
    for _ in range(RUNS):
        report: Report = await told(sockets.url(kind), MEMBERS[kind])
        sys.stdout.write(f"{report}\n")
        assert report.up_bytes <= UP_BYTES
        assert report.silent_bytes <= SILENT_BYTES
        found = {step for step, share in report.slow.items() if share >= 0.5}
        slow = found if slow is None else slow & found
        if not slow:
            return
    raise AssertionError(f"longer than 10 ms: {slow}")
