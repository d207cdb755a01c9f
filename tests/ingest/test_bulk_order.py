"""Bulk: when a ping counts that tells its time, and in which order the signals of one heartbeat count."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Final

import aiohttp
import pytest

from ingest.node import BULK_MAX
from store import deadlines, fleets, heartbeats, incidents, projects
from store.database import opened
from store.records import Settings
from tests.conftest import TEST_CLOCK, Clock
from tests.ingest.bulk import SPAN, Answer, bulk, fleet_of, lines, member_status, rfc3339, signals
from tests.ingest.conftest import Node, serving
from tests.ingest.test_ping import path
from tests.store.scene import hear, send

# When


async def test_a_backdated_ping_counts_as_if_it_had_arrived_then(node: Node) -> None:
    now = await node.db.now()
    for first, ts, status, last_ping in (
        ("", now - 10_000, "up", None),  # older than the ping that is there
        (None, now - 10_000, "up", now - 10_000),
        (None, now - SPAN - 5_000, "pending", None),  # its deadline has passed: only the log has it
        (None, 0, "pending", None),
    ):
        heartbeat = await node.create()
        if first is not None:
            await node.ask(path(heartbeat.token, first))
        before = await node.get(heartbeat)

        assert await bulk(node, lines({"token": heartbeat.token, "ts": rfc3339(ts)})) == Answer(200, 1, [])

        after = await node.get(heartbeat)
        assert after.stored_status == status
        assert after.last_ping_at == (last_ping or before.last_ping_at), ts
        assert len(await signals(node, heartbeat)) == 1 + (first is not None)


async def test_times_are_understood_in_any_zone_and_to_the_millisecond(node: Node) -> None:
    now = await node.db.now() // 1000 * 1000 - 10_000
    whole = datetime.fromtimestamp(now / 1000, UTC)
    for ts, ms in (
        (whole.strftime("%Y-%m-%dT%H:%M:%SZ"), 0),
        (whole.strftime("%Y-%m-%dT%H:%M:%S+00:00"), 0),
        (whole.strftime("%Y-%m-%dT%H:%M:%S.5Z"), 500),
        (whole.strftime("%Y-%m-%dT%H:%M:%S.123456789Z"), 123),
        (whole.strftime("%Y-%m-%d %H:%M:%S-00:00"), 0),
    ):
        heartbeat = await node.create()

        assert await bulk(node, lines({"token": heartbeat.token, "ts": ts})) == Answer(200, 1, [])

        assert (await node.get(heartbeat)).last_ping_at == now + ms, ts


async def test_the_future_has_not_happened(node: Node) -> None:
    heartbeat, fleet = await node.create(), await fleet_of(node)
    ahead = rfc3339(await node.db.now() + 3_600_000)

    for _ in range(2):  # pending, then up
        assert await bulk(
            node,
            lines(
                {"token": heartbeat.token, "ts": ahead},
                {"ping_key": fleet.ping_key, "slug": "device-1", "ts": ahead},
                {"token": heartbeat.token, "ts": "9999-12-31T23:59:59Z", "signal": "log"},
            ),
        ) == Answer(200, 3, [])

        latest = await node.db.now() + SPAN + 50
        deadline = (await node.get(heartbeat)).deadline
        member = await fleets.member(node.db, fleet.id, "device-1")
        assert deadline
        assert deadline <= latest
        assert member
        assert member.deadline
        assert member.deadline <= latest


async def test_a_success_and_a_failure_from_the_future_keep_their_order(node: Node) -> None:
    heartbeat = await node.create()
    ahead = rfc3339(await node.db.now() + 3_600_000)
    await node.ask(path(heartbeat.token))

    said = await bulk(
        node, lines(*({"token": heartbeat.token, "ts": ahead, "signal": s} for s in ("fail", "success", "fail")))
    )

    assert said.accepted == 3
    assert await node.status(heartbeat) == "down"


@pytest.mark.parametrize(
    ("seconds_before_now", "status", "how"), [(15, "up", "void"), (5, "up", "resolved"), (95, "down", "open")]
)
async def test_a_ping_that_came_in_time_and_is_told_late_voids_a_silence(
    redis_url: str, seconds_before_now: int, status: str, how: str
) -> None:
    """Silent since ten seconds: a ping before that was in time, a later one resolves, an older one is none."""
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(opened(redis_url, clock=TEST_CLOCK))
        clock, now = Clock(db), await db.now()
        await clock.set(now - SPAN - 10_000)
        heartbeat = await heartbeats.create(db, Settings(name="backup", period=60, grace=30))
        await hear(db, clock)
        await send(db, heartbeat, at=clock.now)
        await clock.set(now)
        await hear(db, clock)
        await deadlines.sweep(db, db.shards[0])
        assert (await heartbeats.get(db, heartbeat.id)).stored_status == "down"
        http = await stack.enter_async_context(aiohttp.ClientSession())
        node = await stack.enter_async_context(serving(db, http))

        said = await bulk(node, lines({"token": heartbeat.token, "ts": rfc3339(now - seconds_before_now * 1000)}))

        assert said == Answer(200, 1, [])
        ((incident,), _) = await incidents.page(db)
        assert incident.status == how
        assert (await heartbeats.get(db, heartbeat.id)).stored_status == status


# In which order


ORDERS: Final = [
    (["success", "fail"], "down"),
    (["fail", "success"], "up"),
    (["success", "fail", "success"], "up"),
    (["success", "success", "fail"], "down"),
    (["fail", "success", "fail"], "down"),
    (["fail", "fail", "success", "success"], "up"),
    (["log", "success", "log", "fail", "log"], "down"),
    (["success", "fail"] * 4, "down"),
    (["fail", "success"] * 4, "up"),
]


@pytest.mark.parametrize("ts", [False, True])
async def test_signals_of_one_count_in_the_order_of_their_items(node: Node, *, ts: bool) -> None:
    """Also when they tell the same second: many clocks have no finer one."""
    fleet, key = await fleet_of(node), await projects.ping_key(node.db)
    then = {"ts": rfc3339(await node.db.now() // 1000 * 1000)} if ts else {}
    for number, (order, status) in enumerate(ORDERS):
        for was_up in (False, True):
            found = [await node.create(), await node.create(slug=f"s{number}{was_up:d}")]
            slug = f"device-{number}{was_up:d}"
            addresses: list[dict[str, str]] = [
                {"token": found[0].token},
                {"ping_key": key, "slug": found[1].settings.slug},
                {"ping_key": fleet.ping_key, "slug": slug},
            ]
            if was_up and not ts:
                assert (await bulk(node, lines(*addresses))).accepted == 3

            items = [address | then | {"signal": signal} for signal in order for address in addresses]
            for item in items[::2]:
                if item["signal"] == "success":
                    del item["signal"]  # the shortest way to say it
            assert await bulk(node, lines(*items)) == Answer(200, len(items), [])

            became = [await node.status(each) for each in found] + [await member_status(node, fleet, slug)]
            assert became == [status] * 3, (order, was_up)


async def test_many_pings_of_one_behind_its_failure_are_all_taken(node: Node) -> None:
    fleet, heartbeat = await fleet_of(node), await node.create()
    addresses: list[dict[str, str]] = [
        {"ping_key": fleet.ping_key, "slug": "device-1"},
        {"token": heartbeat.token},
    ]
    for address in addresses:
        assert await bulk(node, lines(address, address | {"signal": "fail"}, *[address] * 900)) == Answer(200, 902, [])

    assert await node.status(heartbeat) == "up"
    assert await member_status(node, fleet, "device-1") == "up"


async def test_a_start_and_its_success_in_one_request_leave_no_run_behind(node: Node) -> None:
    for was_up in (False, True):
        heartbeat = await node.create()
        if was_up:
            await node.ask(path(heartbeat.token))

        assert (
            await bulk(node, lines(*({"token": heartbeat.token, "signal": s} for s in ("start", "success"))))
        ).accepted == 2

        assert await node.status(heartbeat) == "up"
        assert (await node.get(heartbeat)).running_since is None


async def test_the_order_holds_across_chunks_though_the_first_must_be_looked_up(node: Node) -> None:
    fleet = await fleet_of(node)
    strangers = [await node.create() for _ in range(BULK_MAX)]  # nothing is known of them here
    device: dict[str, str] = {"ping_key": fleet.ping_key, "slug": "device-1"}
    heartbeat = strangers[0]
    items: list[dict[str, str]] = [{"token": each.token} for each in strangers]
    items += [device, {"token": heartbeat.token, "signal": "fail"}, device | {"signal": "fail"}]

    assert await bulk(node, lines(*items)) == Answer(200, len(items), [])

    assert await node.status(heartbeat) == "down"
    assert await member_status(node, fleet, "device-1") == "down"
