"""Reads that pages of the dashboard are made of: by the beginning of a name, many logs at once, a glance at many."""

import pytest

from store import events, heartbeats
from store.database import Database
from store.records import Heartbeat
from tests.conftest import T0, Clock
from tests.store.scene import make, push, send

NAMES = ("Backup", "backup db1", "BACKUP ß", "bäckup", "back", "Backup\U0010ffff", "zeta")


async def found(db: Database, prefix: str, limit: int = 100, **filters: str) -> list[str]:
    """Names over all pages."""
    names, cursor = [], None
    while True:
        page, cursor = await heartbeats.page(db, limit=limit, cursor=cursor, prefix=prefix, **filters)
        names += [heartbeat.settings.name for heartbeat in page]
        if cursor is None:
            return names


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_names_are_found_by_how_they_begin_in_whatever_case(db: Database, limit: int) -> None:
    for name in NAMES:
        await make(db, name)

    assert await found(db, "bACKup", limit) == ["Backup", "backup db1", "BACKUP ß", "Backup\U0010ffff"]
    assert await found(db, "backup S", limit) == ["BACKUP ß"]  # case folded, it is ss
    assert await found(db, "b", limit) == ["back", *await found(db, "backup"), "bäckup"]
    assert await found(db, "", limit) == sorted(NAMES, key=str.casefold)
    assert await found(db, "backups") == []


async def test_a_beginning_narrows_a_status_and_a_tag(db: Database) -> None:
    await make(db, "backup a", tags=("night",))
    await make(db, "backup b", up_at=await db.now(), tags=("night",))
    await make(db, "report", tags=("night",))

    assert await found(db, "back", status="pending") == ["backup a"]
    assert await found(db, "back", tag="night") == ["backup a", "backup b"]
    assert await found(db, "back", status="up", tag="night") == ["backup b"]
    assert await heartbeats.count_tagged(db, "night") == 3
    assert await heartbeats.count_tagged(db, "day") == 0


async def test_the_newest_rows_of_many_come_in_the_order_asked_for(db: Database, clock: Clock) -> None:
    first, second = await make(db, "first"), await make(db, "second")
    for second_of_it in range(3):
        await send(db, first, at=await clock.set(T0 + 1000 * second_of_it))
    await send(db, second, "fail", at=clock.now)

    logs = await events.recent(db, [second.id, "0" * 12, first.id], count=2)

    assert [[event.kind for event in log] for log in logs] == [["down", "fail"], [], ["success", "success"]]
    assert logs[2][0].at == clock.now


async def changes(db: Database, heartbeat: Heartbeat) -> bool:
    """Whether a glance differs from the last one that was asked for."""
    (now,) = await heartbeats.glances(db, [heartbeat.id])
    before = _last.get(heartbeat.id)
    _last[heartbeat.id] = now
    return now != before


_last: dict[str, heartbeats.Glance | None] = {}


async def test_a_glance_differs_after_whatever_happens_and_only_then(db: Database, clock: Clock) -> None:
    heartbeat = await make(db, up_at=T0)
    assert await changes(db, heartbeat)
    assert not await changes(db, heartbeat)

    assert await push(db, (heartbeat.id, T0 + 5, T0 + 5 + heartbeat.span_ms))
    assert await changes(db, heartbeat)
    await send(db, heartbeat, "log", at=await clock.set(T0 + 10))
    assert await changes(db, heartbeat)
    await heartbeats.edit(db, heartbeat.id, {"alert_text": "look"})
    assert await changes(db, heartbeat)
    await heartbeats.pause(db, heartbeat.id)
    assert await changes(db, heartbeat)
    assert not await changes(db, heartbeat)
    await heartbeats.delete(db, heartbeat.id)
    assert await heartbeats.glances(db, [heartbeat.id]) == [None]
