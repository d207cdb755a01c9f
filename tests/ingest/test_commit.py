"""Group commit by itself: who shares a write, who is refused, and that nobody waits for ever."""

import asyncio

import pytest

from ingest.commit import GroupCommit, Overloaded

PATIENCE_S = 5.0


class Writer:
    """Writes when it is let; answers each item with its double."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_write = asyncio.Event()
        self.began = asyncio.Event()
        self.at_once = 0
        self.most_at_once = 0

    async def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.began.set()
        await self.may_write.wait()
        self.at_once -= 1
        return [2 * item for item in items]


@pytest.fixture
async def writer() -> Writer:
    return Writer()


async def all_of(*futures: "asyncio.Future[int]") -> list[int]:
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.gather(*futures)


async def test_what_comes_while_a_write_is_in_flight_shares_the_next_one(writer: Writer) -> None:
    queue = GroupCommit[int, int](writer, most=100, limit=100)
    first = queue.submit(1)
    await writer.began.wait()
    rest = [queue.submit(number) for number in (2, 3, 4)]
    writer.may_write.set()

    assert await all_of(first, *rest) == [2, 4, 6, 8]
    assert writer.batches == [[1], [2, 3, 4]]
    assert writer.most_at_once == 1


async def test_a_batch_is_no_larger_than_allowed_and_keeps_the_order(writer: Writer) -> None:
    queue = GroupCommit[int, int](writer, most=2, limit=100)
    writer.may_write.set()

    assert await all_of(*(queue.submit(number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert writer.batches == [[0, 1], [2, 3], [4]]


async def test_nothing_is_answered_before_the_write_has_answered(writer: Writer) -> None:
    queue = GroupCommit[int, int](writer, most=10, limit=10)
    future = queue.submit(1)
    await writer.began.wait()

    assert not future.done()
    writer.may_write.set()
    assert await all_of(future) == [2]


async def test_a_full_queue_refuses_at_once_and_remembers_when(writer: Writer) -> None:
    queue = GroupCommit[int, int](writer, most=1, limit=2)
    taken = [queue.submit(1)]
    await writer.began.wait()  # the first is in flight and waits no more
    taken += [queue.submit(2), queue.submit(3)]
    assert queue.refused_at < 0

    with pytest.raises(Overloaded):
        queue.submit(4)

    assert queue.refused_at > 0
    writer.may_write.set()
    assert await all_of(*taken) == [2, 4, 6]
    assert writer.batches == [[1], [2], [3]]
    assert await all_of(queue.submit(5)) == [10]


async def test_one_who_hangs_up_takes_nobody_with_him_and_is_written_all_the_same(writer: Writer) -> None:
    queue = GroupCommit[int, int](writer, most=10, limit=10)
    in_flight, waiting, other = queue.submit(1), queue.submit(2), queue.submit(3)
    in_flight.cancel()
    await writer.began.wait()
    late = queue.submit(4)
    waiting.cancel()
    writer.may_write.set()

    assert await all_of(other, late) == [6, 8]
    assert writer.batches == [[1, 2, 3], [4]]


async def test_a_write_that_fails_fails_its_own_batch_only() -> None:
    async def write(items: list[int]) -> list[int]:
        if 1 in items:
            raise OSError("away")
        return items

    queue = GroupCommit[int, int](write, most=2, limit=10)
    futures = [queue.submit(number) for number in (1, 2, 3, 4)]

    async with asyncio.timeout(PATIENCE_S):
        ends = await asyncio.gather(*futures, return_exceptions=True)

    assert [type(end) for end in ends] == [OSError, OSError, int, int]


@pytest.mark.parametrize("answers", [[], [1], [1, 2, 3]])
async def test_too_few_or_too_many_answers_are_an_error_and_leave_nobody_waiting(answers: list[int]) -> None:
    async def write(_: list[int]) -> list[int]:
        return answers

    queue = GroupCommit[int, int](write, most=2, limit=10)
    futures = [queue.submit(1), queue.submit(2)]

    async with asyncio.timeout(PATIENCE_S):
        ends = await asyncio.gather(*futures, return_exceptions=True)

    assert all(isinstance(end, ValueError) or end in answers for end in ends)
    assert await queue.drained(within_s=PATIENCE_S) is None  # type: ignore[func-returns-value]


async def test_a_cancellation_that_leaks_out_of_a_write_leaves_nobody_waiting_and_the_queue_usable() -> None:
    leaks = True

    async def write(items: list[int]) -> list[int]:
        if leaks:
            raise asyncio.CancelledError
        return items

    queue = GroupCommit[int, int](write, most=1, limit=10)
    futures = [queue.submit(1), queue.submit(2)]

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait(futures)
    assert all(future.cancelled() for future in futures)

    leaks = False
    assert await all_of(queue.submit(3)) == [3]


async def test_draining_waits_for_what_is_written_but_not_for_a_write_that_hangs(writer: Writer) -> None:
    queue = GroupCommit[int, int](writer, most=1, limit=10)
    await queue.drained(within_s=PATIENCE_S)  # nothing waits
    first, second = queue.submit(1), queue.submit(2)
    await writer.began.wait()

    await queue.drained(within_s=0.01)

    assert first.cancelled()
    assert second.cancelled()

    writer.may_write.set()
    third = queue.submit(3)
    await queue.drained(within_s=PATIENCE_S)
    assert await all_of(third) == [6]
