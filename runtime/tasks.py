"""Keeps a role's loop running for as long as the application does."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from runtime.logs import log

RESTART_WAIT_S = (0.2, 2.0)  # drawn anew each time, so that many processes do not come back in step
CANCEL_AGAIN_S = 0.1
STOP_TIMEOUT_S = 5.0  # longer than a loop needs to finish the call it is in

logger = logging.getLogger(__name__)


@asynccontextmanager
async def background(loop: Callable[[], Awaitable[None]], *, name: str) -> AsyncIterator[None]:
    """Run `loop` beside the block. One that raises is logged and started again; one that returns is done.

    Leaving the block cancels it and waits up to STOP_TIMEOUT_S for its end.
    """
    task = asyncio.create_task(_keep_running(loop, name), name=name)
    try:
        yield
    finally:
        until = time.monotonic() + STOP_TIMEOUT_S
        while not task.done() and time.monotonic() < until:
            task.cancel()  # more than once: below Python 3.12 a wait_for in a client may swallow it
            await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
        if not task.done():
            log(logger, logging.ERROR, "loop_stuck", loop=name)


async def _keep_running(loop: Callable[[], Awaitable[None]], name: str) -> None:
    while True:
        try:
            return await loop()
        except asyncio.CancelledError as error:
            # A cancellation that nobody asked this task for leaked out of a library: without this line the loop would
            # end in silence, and a monitor whose sweep has ended in silence is the one thing we must not be.
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            log(logger, logging.ERROR, "loop_failed", error, loop=name)
        except Exception as error:  # noqa: BLE001  only loops catch broadly
            log(logger, logging.ERROR, "loop_failed", error, loop=name)
        await asyncio.sleep(random.uniform(*RESTART_WAIT_S))  # noqa: S311  a delay, not a secret
