"""Group commit: what comes while a write is in flight shares the next one. No timer, no added wait.

DESIGN. Each queue has one writer at a time and its own task, so a client that hangs up cancels its own future and
never the write that others share. Nothing is answered before Redis answered. A full queue refuses at once: what is
not written is not remembered.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, Protocol, TypeVar

AGAIN_S: Final = 0.1

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Waiter(Protocol):
    """Who is told what became of an item, at once and once: a future, or what does as one without its detours."""

    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, exception: BaseException, /) -> None: ...
    def cancel(self) -> Any: ...


class Overloaded(Exception):
    """The queue is full: try again later."""


class GroupCommit(Generic[Item, Answer]):
    """Writes items in batches of at most `most`; at most `limit` may wait."""

    def __init__(self, write: Callable[[list[Item]], Awaitable[list[Answer]]], *, most: int, limit: int) -> None:
        self._write = write
        self._most = most
        self._limit = limit
        self._loop = asyncio.get_running_loop()  # asked once: on Python 3.11 each asking is a getpid()
        self._waiting: deque[tuple[Item, Waiter]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self.refused_at = -1.0  # monotonic seconds

    def submit(self, item: Item) -> asyncio.Future[Answer]:
        """The answer to come. Raises Overloaded."""
        future: asyncio.Future[Answer] = self._loop.create_future()
        self.submit_for(item, future)
        return future

    def submit_for(self, item: Item, waiter: Waiter) -> None:
        """Tells the waiter, who must not raise. Raises Overloaded."""
        if len(self._waiting) >= self._limit:
            self.refused_at = time.monotonic()
            raise Overloaded
        self._waiting.append((item, waiter))
        if self._writer is None:
            self._writer = self._loop.create_task(self._drain())

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                try:
                    answers = await self._write([item for item, _ in batch])
                    for (_, waiter), answer in zip(batch, answers, strict=True):
                        if not waiter.done():
                            waiter.set_result(answer)
                except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait
                    for _, waiter in batch:
                        if not waiter.done():
                            waiter.set_exception(error)
                except BaseException:
                    for _, waiter in batch:
                        waiter.cancel()  # we are cancelled ourselves: nobody may wait for ever
                    raise
        finally:
            self._writer = None
            for _, waiter in self._waiting:
                waiter.cancel()
            self._waiting.clear()

    async def drained(self, *, within_s: float) -> None:
        """Waits until nothing waits; what still does by then is dropped, its futures cancelled."""
        if (writer := self._writer) is not None:
            await asyncio.wait({writer}, timeout=within_s)
            while not writer.done():  # more than once: below Python 3.12 a wait_for in the client may swallow it
                writer.cancel()
                await asyncio.wait({writer}, timeout=AGAIN_S)
