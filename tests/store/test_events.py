import base64
from typing import Any

import pytest

from store import events, heartbeats
from store.arrivals import Lane, Ping
from store.database import Database
from store.errors import NotFound
from store.events import Event
from store.records import Heartbeat
from tests.conftest import T0, Clock
from tests.store.scene import be_deaf, make, pass_time, push, send


async def everything(db: Database, heartbeat: Heartbeat, limit: int = 500, cursor: str | None = None) -> list[Event]:
    """Over all pages, the newest first."""
    found: list[Event] = []
    for _ in range(500):
        page, cursor = await events.page(db, heartbeat.id, limit=limit, cursor=cursor)
        assert len(page) <= limit
        found += page
        if cursor is None:
            return found
    raise AssertionError("the pages never end")


async def test_a_new_heartbeat_has_one_event_and_an_unknown_one_is_not_found(db: Database, clock: Clock) -> None:
    made = await make(db)
    (created,) = await everything(db, made)

    assert (created.kind, created.at, created.has_output) == ("created", T0, False)
    with pytest.raises(NotFound, match="no such heartbeat"):
        await events.page(db, "0123456789ab")
    with pytest.raises(NotFound, match="no such output"):
        await events.output(db, "0123456789ab", created.id)


async def test_each_kind_of_row_tells_what_it_knows(db: Database, clock: Clock) -> None:
    made = await make(db)
    await send(db, made, "start", at=T0, rid="r1")
    await clock.forward(3)
    fields: dict[str, Any] = {"sender": b"::1", "agent": b"curl/8 \xff\n", "output": b"boom"}
    await send(db, made, "fail", at=T0 + 2_500, rid="r1", exit_status="3", **fields)
    await send(db, made, "success", at=T0 + 2_600)
    await push(db, (made.id, T0 + 2_700, T0 + 92_700))
    await be_deaf(db, clock, 60)
    await pass_time(db, clock, 60)
    found = (await everything(db, made))[::-1]

    assert [event.kind for event in found] == [
        "created", "start", "fail", "down", "success", "up", "success", "excused",
    ]  # fmt: skip
    _, start, fail, down, success, up, plain, excused = found
    assert (start.run, start.duration_ms, start.at) == ("r1", None, T0)
    assert (fail.run, fail.duration_ms, fail.exit_status, fail.size) == ("r1", 2_500, "3", 4)
    assert (fail.client, fail.user_agent) == ("::1", "curl/8 \ufffd\n")
    assert (down.cause, down.at, down.exit_status) == ("failure", T0 + 2_500, "")
    assert (success.duration_ms, up.at, plain.at, plain.size) == (None, T0 + 2_600, T0 + 2_700, 0)
    assert (excused.at, excused.until) == (T0 + 92_700, T0 + 63_000)
    assert [event.kind for event in found if event.has_output] == ["fail"]


@pytest.mark.parametrize("limit", [1, 4, 7, 500])
async def test_pages_hold_each_event_once_while_new_ones_come(db: Database, clock: Clock, limit: int) -> None:
    made = await make(db)
    for number in range(11):
        await send(db, made, "log", at=T0 + number)
    first, cursor = await events.page(db, made.id, limit=limit)
    await send(db, made, "log", at=T0 + 11)
    rest = await everything(db, made, limit, cursor) if cursor else []

    assert [event.at - T0 for event in first + rest] == [*range(10, -1, -1), 0]
    assert len({event.id for event in first + rest}) == 12


async def test_an_output_is_read_as_it_came_and_only_where_there_is_one(db: Database, clock: Clock) -> None:
    made = await make(db)
    sent = {"start": bytes(range(256)), "log": b"<script>", "success": b"", "fail": b"\xff\0\n", "ignored": b"x"}
    for number, (signal, output) in enumerate(sent.items()):
        await send(db, made, signal, at=T0 + number, output=output)
    await send(db, made, "fail", at=T0 + 9)
    found = {event.kind: event for event in await everything(db, made) if event.at < T0 + 9}

    for signal, output in sent.items():
        assert (found[signal].has_output, found[signal].size) == (output != b"", len(output))
        if output:
            assert await events.output(db, made.id, found[signal].id) == output
    silent_failure = (await everything(db, made))[0]
    for event in (found["success"].id, found["down"].id, silent_failure.id, "1-0"):
        with pytest.raises(NotFound):
            await events.output(db, made.id, event)
    assert silent_failure.kind == "fail"
    assert not silent_failure.has_output


async def test_what_is_said_of_an_output_and_what_can_be_read_agree_when_the_oldest_are_gone(
    db: Database, clock: Clock
) -> None:
    made = await make(db)
    for number in range(75):
        output = b"x" * (10_000 if number % 10 == 0 else 1)
        await send(db, made, "fail" if number % 3 == 0 else "log", at=T0 + number, output=output)
    kept: list[Event] = []
    gone: list[Event] = []
    for event in await everything(db, made):
        if event.size:
            (kept if event.has_output else gone).append(event)

    for event in kept:
        assert len(await events.output(db, made.id, event.id)) == event.size
    for event in gone:
        with pytest.raises(NotFound):
            await events.output(db, made.id, event.id)
    assert {event.kind for event in kept} == {"fail", "log"}
    assert gone


async def test_a_page_is_no_larger_than_asked_for_when_the_log_is_full(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    lane = Lane(db, db.shard(made.id))
    for start in range(0, 1_000, 100):
        await lane.commit([(Ping(made.id, T0 + start + i), T0 + start + i + made.span_ms) for i in range(100)])
    await lane.aclose()

    page, cursor = await events.page(db, made.id, limit=10)
    assert [event.at for event in page] == [T0 + at for at in range(999, 989, -1)]
    assert cursor is not None
    assert base64.urlsafe_b64decode(cursor).decode() == page[-1].id
    assert 100 <= len(await everything(db, made, limit=50)) < 400


async def test_the_log_of_a_deleted_heartbeat_is_gone(db: Database, clock: Clock) -> None:
    made = await make(db)
    await send(db, made, "fail", at=T0, output=b"boom")
    (failure,) = [event for event in await everything(db, made) if event.has_output]
    await heartbeats.delete(db, made.id)

    with pytest.raises(NotFound):
        await events.page(db, made.id)
    with pytest.raises(NotFound):
        await events.output(db, made.id, failure.id)
