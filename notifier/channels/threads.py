"""Threads for what blocks: so many at most, and none of the event loop's own, where names are looked up."""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Full(Exception):
    """As many as may run are running."""


class Threads:
    """A thread per piece of work. One that hangs holds its place, and nothing else: not the loop, and not the end of
    the process, which waits for the threads of an executor but not for these.
    """

    def __init__(self, most: int) -> None:
        self._free = most  # counted on the event loop alone

    async def run(self, work: Callable[[], Result]) -> Result:
        """What `work` returned or raised. Raises Full at once instead of waiting for a place.

        Whoever stops waiting leaves the thread to its end.
        """
        if not self._free:
            raise Full
        self._free -= 1
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()

        def ended(tell: Callable[[], None]) -> None:
            self._free += 1
            if not done.done():
                tell()

        def target() -> None:
            try:
                tell = functools.partial(done.set_result, work())
            except Exception as error:  # noqa: BLE001 - carried over to whoever waits
                tell = functools.partial(done.set_exception, error)
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(ended, tell)

        threading.Thread(target=target, name="apprise", daemon=True).start()
        return await done
