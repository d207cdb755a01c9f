from collections.abc import AsyncIterator

import pytest

from store import heartbeats, incidents
from store.arrivals import Lane, Ping
from store.database import Database, opened
from store.records import Heartbeat, Settings
from tests.conftest import T0, TEST_CLOCK, Clock

NAMES = ["zeta", "Alpha", "alpha", "ЖУК", "жаба", "Ёж", "1st", "ß", "SS", "tab\there", "a\0b", "é"]


@pytest.fixture(params=[1, 4])
async def sharded(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Database]:
    async with opened(redis_url, shards=request.param, clock=TEST_CLOCK) as db:
        await Clock(db).set(T0)
        yield db


async def make(db: Database, name: str, signal: str = "", at: int = T0, tags: tuple[str, ...] = ()) -> Heartbeat:
    made = await heartbeats.create(db, Settings(name=name, period=60, grace=30, tags=tags))
    if signal:
        lane = Lane(db, db.shard(made.id))
        await lane.judge([Ping(made.id, at, signal)], sure=True)
        await lane.aclose()
    return made


async def walk(db: Database, limit: int, **filters: str) -> list[str]:
    """Ids over all pages."""
    found: list[str] = []
    cursor = None
    for _ in range(200):
        page, cursor = await heartbeats.page(db, limit=limit, cursor=cursor, **filters)
        assert len(page) <= limit
        found += [heartbeat.id for heartbeat in page]
        if cursor is None:
            return found
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("limit", [1, 3, 13, 100])
async def test_pages_follow_the_names_without_regard_to_case(sharded: Database, limit: int) -> None:
    made = [await make(sharded, name) for name in NAMES]
    ordered = sorted(made, key=lambda h: (h.settings.name.casefold() + "\0" + h.id).encode())

    assert await walk(sharded, limit) == [heartbeat.id for heartbeat in ordered]


async def test_pages_by_status_and_tag(sharded: Database) -> None:
    wanted: dict[tuple[str, str], set[str]] = {}
    for i in range(24):
        status = ("pending", "up", "down")[i % 3]
        tag = ("x", "ночь")[i % 2]
        signal = {"pending": "", "up": "success", "down": "fail"}[status]
        made = await make(sharded, f"job {i}", signal, tags=(tag,))
        wanted.setdefault((status, tag), set()).add(made.id)

    for (status, tag), ids in wanted.items():
        assert set(await walk(sharded, 2, status=status, tag=tag)) == ids
        same_status = {id_ for (s, _), found in wanted.items() for id_ in found if s == status}
        assert set(await walk(sharded, 3, status=status)) == same_status
        same_tag = {id_ for (_, t), found in wanted.items() for id_ in found if t == tag}
        assert set(await walk(sharded, 3, tag=tag)) == same_tag
    assert await walk(sharded, 3, tag="none") == await walk(sharded, 3, status="paused") == []
    assert await heartbeats.count(sharded) == {"pending": 8, "up": 8, "down": 8, "paused": 0}


@pytest.mark.parametrize("rare", ["status", "tag"])
async def test_a_page_by_status_and_tag_is_full_although_few_have_both(
    sharded: Database, rare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [await make(sharded, f"z {i}", "fail", tags=("x",)) for i in range(8)]
    for i in range(40):
        await make(sharded, f"a {i}", *(("success", T0, ("x",)) if rare == "status" else ("fail",)))
    monkeypatch.setattr(heartbeats, "WALK", 8)  # fewer than come before them in the index of the many
    monkeypatch.setattr(heartbeats, "STRIDE", 4)

    first, cursor = await heartbeats.page(sharded, limit=5, status="down", tag="x")
    assert [heartbeat.id for heartbeat in first] == [heartbeat.id for heartbeat in both[:5]]
    second, end = await heartbeats.page(sharded, limit=5, status="down", tag="x", cursor=cursor)
    assert [heartbeat.id for heartbeat in second] == [heartbeat.id for heartbeat in both[5:]]
    assert end is None


@pytest.mark.parametrize("limit", [1, 3, 8])
async def test_a_page_of_which_little_fits_walks_on_and_leaves_nothing_out(sharded: Database, limit: int) -> None:
    """Half are in the status and half have the tag, but only a quarter both."""
    made = [
        await make(sharded, f"job {i:02d}", ("success", "fail")[i % 2], tags=("x",) * (i % 4 in {1, 2}))
        for i in range(40)
    ]

    assert await walk(sharded, limit, status="down", tag="x") == [heartbeat.id for heartbeat in made[1::4]]


async def test_a_page_that_finds_nothing_for_long_comes_back_with_a_cursor(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(redis_url) as db:
        now = await db.now()
        for i in range(40):
            await make(db, f"a {i}", "success", now)
        late = await make(db, "z", "success", now - 70_000)
        monkeypatch.setattr(heartbeats, "WALK", 20)
        monkeypatch.setattr(heartbeats, "STRIDE", 10)

        found, cursor = await heartbeats.page(db, limit=10, status="late")
        assert not found
        assert cursor is not None
        assert await walk(db, 10, status="late") == [late.id]
        monkeypatch.setattr(heartbeats, "WALK", 50)
        assert [heartbeat.id for heartbeat in (await heartbeats.page(db, limit=10, status="late"))[0]] == [late.id]


async def test_late_is_reckoned_and_counts_as_up(redis_url: str) -> None:
    async with opened(redis_url) as db:  # the real clock: late depends on it
        now = await db.now()
        fresh, late = await make(db, "fresh", "success", now), await make(db, "late", "success", now - 70_000)

        assert await walk(db, 10, status="late") == [late.id]
        assert await walk(db, 10, status="up") == [fresh.id]
        assert (await heartbeats.count(db))["up"] == 2


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
async def test_incidents_come_newest_first_the_open_ones_before_the_closed_and_each_once(
    sharded: Database, limit: int
) -> None:
    clock = Clock(sharded)
    opened_: list[tuple[Heartbeat, str]] = []
    closed: list[tuple[Heartbeat, str]] = []
    for i in range(14):
        made = await make(sharded, f"{i}", "fail", at=T0 - i // 5)  # many share one moment
        incident = f"{made.id}-{T0 - i // 5}"
        (closed if i % 2 else opened_).append((made, incident))
    for i, (made, _) in enumerate(closed):
        await clock.set(T0 + i // 4)
        await heartbeats.pause(sharded, made.id)

    expected_open = sorted((int(incident.partition("-")[2]), incident) for _, incident in opened_)[::-1]
    expected_closed = sorted((i // 4, incident) for i, (_, incident) in enumerate(closed))[::-1]
    for status, expected in (("open", expected_open), ("resolved", expected_closed), (None, None)):
        found, cursor = [], None
        for _ in range(30):
            page, cursor = await incidents.page(sharded, status=status, limit=limit, cursor=cursor)  # type: ignore[arg-type]
            found += [incident.id for incident in page]
            if cursor is None:
                break
        assert found == [id_ for _, id_ in expected or expected_open + expected_closed]


async def test_another_project_is_not_shown(sharded: Database) -> None:
    made = await make(sharded, "ours", "fail")

    assert (await heartbeats.page(sharded, project="other"))[0] == []
    assert (await incidents.page(sharded, project="other"))[0] == []
    assert [incident.heartbeat for incident in (await incidents.page(sharded))[0]] == [made.id]
