import asyncio
import logging

import pytest

from runtime import tasks
from runtime.tasks import background


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "RESTART_WAIT_S", (0.0, 0.0))


@pytest.mark.parametrize("problem", [ValueError("odd"), asyncio.CancelledError()])
async def test_a_loop_that_fails_is_logged_once_and_restarted(
    problem: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    restarted = asyncio.Event()
    starts = 0

    async def loop() -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise problem
        restarted.set()
        await asyncio.Event().wait()

    async with background(loop, name="sweep"), asyncio.timeout(5):
        await restarted.wait()

    assert starts == 2
    assert [(record.getMessage(), record.levelno) for record in caplog.records] == [("loop_failed", logging.ERROR)]


async def test_leaving_the_block_cancels_the_loop_and_waits_for_its_end() -> None:
    started, steps = asyncio.Event(), []

    async def loop() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned")

    async with background(loop, name="sweep"), asyncio.timeout(5):
        await started.wait()

    assert steps == ["cleaned"]


async def test_a_loop_that_returns_is_done() -> None:
    starts = []
    done = asyncio.Event()

    async def loop() -> None:
        starts.append(1)
        done.set()

    async with background(loop, name="sweep"), asyncio.timeout(5):
        await done.wait()
        await asyncio.sleep(0)

    assert starts == [1]


async def test_a_loop_that_does_not_end_is_left_behind_and_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tasks, "STOP_TIMEOUT_S", 0.01)
    started, release = asyncio.Event(), asyncio.Event()

    async def loop() -> None:
        started.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async with background(loop, name="deaf"), asyncio.timeout(5):
        await started.wait()
    release.set()
    await asyncio.sleep(0)

    assert [record.getMessage() for record in caplog.records] == ["loop_stuck"]
