"""Heartbeats with rules over real HTTP: which pings count, what their bodies mean, how many may come, what they owe."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from ingest import rates
from ingest.rates import Rates
from rules import schedules
from store import changes, deadlines, heartbeats, projects
from store.changes import Known
from store.database import Database
from store.records import Heartbeat
from tests.conftest import eventually
from tests.ingest.conftest import NewNode, Node
from tests.ingest.test_ping import path

HOURLY = "0 * * * *"


async def kinds(node: Node, heartbeat: Heartbeat) -> list[str]:
    """Of the pings in the event log, oldest first."""
    own = {"created", "up", "down", "edited"}
    return [row["kind"].decode() for row in await node.events(heartbeat) if row["kind"].decode() not in own]


# post_only


@pytest.mark.parametrize("last", ["", "/start", "/fail", "/3", "/log", "/TERM"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_is_no_post_is_answered_and_ignored(node: Node, method: str, last: str) -> None:
    heartbeat = await node.create(post_only=True)

    assert await node.ask(path(heartbeat.token, last), method) == (200, "" if method == "HEAD" else "OK")

    assert await node.status(heartbeat) == "pending"
    assert await kinds(node, heartbeat) == ["ignored"]
    assert (await node.events(heartbeat))[-1]["exit"] == b""


@pytest.mark.parametrize(("last", "status"), [("", "up"), ("/fail", "down"), ("/0", "up"), ("/start", "pending")])
async def test_a_post_counts(node: Node, last: str, status: str) -> None:
    heartbeat = await node.create(post_only=True)

    assert await node.ask(path(heartbeat.token, last), "POST") == (200, "OK")
    assert await node.status(heartbeat) == status


async def test_a_get_does_not_keep_it_up(node: Node) -> None:
    heartbeat = await node.create(post_only=True)
    await node.ask(path(heartbeat.token), "POST")
    before = await node.get(heartbeat)
    for _ in range(3):
        assert await node.ask(path(heartbeat.token)) == (200, "OK")

    assert await node.get(heartbeat) == before


async def test_what_cannot_be_a_ping_is_still_refused(node: Node) -> None:
    heartbeat = await node.create(post_only=True)

    assert await node.ask(path(heartbeat.token, "/256")) == (400, "invalid url format")
    assert await node.ask(path(heartbeat.token) + "?rid=x") == (400, "invalid uuid format")


# Words in the body


WORDS: dict[str, Any] = {
    "failure_words": ("ERROR", "no space"),
    "success_words": ("done", "\N{CHECK MARK}"),
    "start_words": ("begin",),
}


@pytest.mark.parametrize(
    ("body", "last", "kind"),
    [
        (b"all done", "", "success"),
        (b"all done", "/fail", "success"),  # the words win over the URL
        (b"all done", "/3", "success"),
        (b"all done", "/log", "success"),
        (b"all done", "/start", "success"),
        (b"we begin", "", "start"),
        (b"we begin, and are done", "", "success"),
        (b"done, but ERROR", "", "fail"),  # bad news first
        (b"No space. no space left", "/0", "fail"),
        (b"error", "", "ignored"),  # letter case matters
        (b"", "", "ignored"),
        (b"", "/fail", "ignored"),
        (b"\xe2\x9c\x93", "", "success"),
        (b"\xff\xfe \xe2\x9c\x93 \x00", "", "success"),  # bytes, not text
        (b"\xe2\x9c", "", "ignored"),
    ],
)
async def test_words_in_the_body_say_what_a_ping_means(node: Node, body: bytes, last: str, kind: str) -> None:
    heartbeat = await node.create(**WORDS)

    assert await node.ask(path(heartbeat.token, last), "POST", data=body) == (200, "OK")

    assert await kinds(node, heartbeat) == [kind]
    expected = {"success": "up", "fail": "down", "start": "pending", "ignored": "pending"}
    assert await node.status(heartbeat) == expected[kind]


@pytest.mark.parametrize(("last", "exit_status"), [("/3", b"3"), ("/0", b""), ("", b"")])
async def test_an_exit_status_is_kept_where_it_says_the_same(node: Node, last: str, exit_status: bytes) -> None:
    heartbeat = await node.create(**WORDS)
    await node.ask(path(heartbeat.token, last), "POST", data=b"ERROR")

    row = next(row for row in await node.events(heartbeat) if row["kind"] == b"fail")
    assert row["exit"] == exit_status


@pytest.mark.parametrize("body", [b"hm", b""])
async def test_a_body_without_any_word_may_mean_a_failure(node: Node, body: bytes) -> None:
    heartbeat = await node.create(**WORDS, unmatched="fail")

    assert await node.ask(path(heartbeat.token), "POST", data=body) == (200, "OK")
    assert await node.status(heartbeat) == "down"


async def test_words_are_looked_for_in_the_tail_that_is_kept(new_node: NewNode) -> None:
    node = await new_node(output_limit=100)
    heartbeat = await node.create(**WORDS)

    await node.ask(path(heartbeat.token), "POST", data=b"ERROR" + b"." * 100)
    assert await kinds(node, heartbeat) == ["ignored"]
    await node.ask(path(heartbeat.token), "POST", data=b"." * 1000 + b"ERROR")
    assert await kinds(node, heartbeat) == ["ignored", "fail"]


async def test_a_finish_that_words_speak_of_ends_the_run_that_it_names(node: Node) -> None:
    heartbeat = await node.create(**WORDS)
    run = "?rid=c0ffee00-1234-4abc-8def-0123456789ab"
    await node.ask(path(heartbeat.token) + run, "POST", data=b"we begin")
    assert (await node.get(heartbeat)).running_since is not None
    await node.ask(path(heartbeat.token) + run, "POST", data=b"all done")

    found = await node.get(heartbeat)
    assert (found.running_since, found.stored_status) == (None, "up")
    assert found.last_duration_ms is not None


async def test_words_and_post_only_go_together(node: Node) -> None:
    heartbeat = await node.create(**WORDS, post_only=True)

    await node.ask(path(heartbeat.token), "GET", data=b"ERROR")
    await node.ask(path(heartbeat.token), "POST", data=b"all done")
    assert await kinds(node, heartbeat) == ["ignored", "success"]


@pytest.mark.parametrize(
    ("change", "method", "body", "status"),
    [
        ({"post_only": True}, "GET", b"", "pending"),
        ({"failure_words": ("ERROR",)}, "POST", b"ERROR", "down"),
        ({"unmatched": "fail", "success_words": ("x",)}, "POST", b"y", "down"),
    ],
)
async def test_a_rule_that_is_new_counts_within_the_age_of_the_cache(
    node: Node, change: dict[str, Any], method: str, body: bytes, status: str
) -> None:
    heartbeat = await node.create()
    assert await node.ask(path(heartbeat.token, "/log")) == (200, "OK")  # the node knows it without
    await heartbeats.edit(node.db, heartbeat.id, change)

    async def counts() -> bool:
        await node.ask(path(heartbeat.token, "/log"), method, data=body)
        return (await kinds(node, heartbeat))[-1] != "log"

    await eventually(counts, within_s=5)
    assert await node.status(heartbeat) == status


# The rate limit


async def test_more_pings_than_allowed_are_refused_with_when_to_come_again(node: Node) -> None:
    heartbeat, other = await node.create(rate_limit=3), await node.create(rate_limit=3)
    for last in ("", "/start", "/log"):
        assert await node.ask(path(heartbeat.token, last)) == (200, "OK")

    for method, last in (("GET", ""), ("POST", "/fail"), ("HEAD", "/log")):
        async with node.http.request(method, node.url + path(heartbeat.token, last)) as response:
            assert (response.status, await response.text()) == (429, "" if method == "HEAD" else "rate limited")
            assert 1 <= int(response.headers["Retry-After"]) <= 20
    assert await kinds(node, heartbeat) == ["success", "start", "log"]
    assert await node.ask(path(other.token)) == (200, "OK")
    _, metrics = await node.ask("/metrics")
    assert 'flatline_pings_total{result="refused"} 3.0' in metrics


async def test_by_slug_the_limit_is_the_same(node: Node) -> None:
    key = await projects.ping_key(node.db)
    heartbeat = await node.create(rate_limit=2, slug="srv01")

    assert await node.ask(path(heartbeat.token)) == (200, "OK")
    assert await node.ask(f"/ping/{key}/srv01?create=1") == (200, "OK")
    assert await node.ask(f"/ping/{key}/srv01") == (429, "rate limited")
    assert await node.ask(f"/ping/{key}/srv01/256") == (400, "invalid url format")


class Hand:
    """A clock that stands where a test puts it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, start: float) -> None:
        self.now = start
        monkeypatch.setattr("ingest.rates.time.monotonic_ns", lambda: round(self.now * 1e9))


@pytest.mark.parametrize("start", [0.0, 86_400.123, 3e7 + 0.1])
@pytest.mark.parametrize("per_minute", [1, 3, 7, 60, 999, 60_000])
def test_a_minutes_pings_may_come_at_once_and_then_one_by_one(
    monkeypatch: pytest.MonkeyPatch, per_minute: int, start: float
) -> None:
    hand, limit = Hand(monkeypatch, start), Rates()
    assert not any(limit.wait_s("h", per_minute) for _ in range(per_minute))
    assert limit.wait_s("h", per_minute) == pytest.approx(60 / per_minute, abs=1e-6)  # a refused ping costs nothing
    assert limit.wait_s("h", per_minute) == pytest.approx(60 / per_minute, abs=1e-6)
    assert limit.wait_s("other", per_minute) == 0

    hand.now += 60 / per_minute + 1e-6
    assert limit.wait_s("h", per_minute) == 0
    assert limit.wait_s("h", per_minute) > 0
    hand.now += 3600
    assert sum(not limit.wait_s("h", per_minute) for _ in range(per_minute + 5)) == per_minute


def test_what_is_remembered_of_rates_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "TRACKED_MAX", 3)
    limit = Rates()
    for number in range(10):
        assert limit.wait_s(f"h{number}", 1) == 0

    assert len(limit._free_at) == 3
    assert limit.wait_s("h9", 1) > 0


# Schedules


async def next_slots(node: Node, count: int) -> list[int]:
    return schedules.slots(HOURLY, "UTC", await node.db.now(), count)


async def test_a_ping_leaves_the_next_slot_owed(node: Node) -> None:
    heartbeat = await node.create(schedule=HOURLY, grace=600)
    assert await node.ask(path(heartbeat.token)) == (200, "OK")
    (slot,) = await next_slots(node, 1)

    found = await node.get(heartbeat)
    assert (found.stored_status, found.slot, found.deadline) == ("up", slot, slot + 600_000)
    for last in ("", "/0", "/log"):
        assert await node.ask(path(heartbeat.token, last), "POST", data=b"x") == (200, "OK")
    assert (await node.get(heartbeat)).deadline == slot + 600_000


async def test_a_node_that_knows_other_settings_reads_them_and_says_ok(new_node: NewNode) -> None:
    one, two = await new_node(), await new_node()
    heartbeat = await one.create(schedule=HOURLY, grace=600)
    for node in (one, two):
        assert await node.ask(path(heartbeat.token)) == (200, "OK")
    for grace in (60, 120, 180):
        await heartbeats.edit(one.db, heartbeat.id, {"grace": grace})
        for node in (one, two):
            assert await node.ask(path(heartbeat.token)) == (200, "OK")

        (slot,) = await next_slots(one, 1)
        assert (await one.get(heartbeat)).deadline == slot + grace * 1000
    assert (await kinds(one, heartbeat)).count("success") == 8  # none was logged twice


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"schedule": HOURLY}),
        ({"schedule": HOURLY}, {"schedule": ""}),
        ({"schedule": "0 0 * * *"}, {"schedule": HOURLY}),
    ],
)  # fmt: skip
async def test_a_heartbeat_may_change_from_a_period_to_a_schedule_and_back(
    node: Node, before: dict[str, Any], after: dict[str, Any]
) -> None:
    heartbeat = await node.create(**before)
    for _ in range(2):  # the second is plain, where there is a period
        assert await node.ask(path(heartbeat.token)) == (200, "OK")
    await heartbeats.edit(node.db, heartbeat.id, after)
    assert await node.ask(path(heartbeat.token)) == (200, "OK")

    (slot,) = await next_slots(node, 1)
    found = await node.get(heartbeat)
    assert found.slot == (slot if after["schedule"] else None)
    assert found.deadline is not None
    if after["schedule"]:
        assert found.deadline == slot + 30_000
    else:
        assert 85_000 < found.deadline - await node.db.now() <= 90_000
    assert (await kinds(node, heartbeat)).count("success") == 3


async def test_many_whose_settings_changed_share_the_reading_of_them(
    new_node: NewNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.cache.READ_EVERY_S", 60)  # the node does not hear of the edits before the pings
    node = await new_node()
    read: list[int] = []

    async def lookup(db: Database, ids: Sequence[str]) -> list[Known | None]:
        read.append(len(ids))
        return await changes.lookup(db, ids)

    made = [await node.create(name=f"h{number}", schedule=HOURLY) for number in range(60)]
    await asyncio.gather(*(node.ask(path(heartbeat.token)) for heartbeat in made))
    monkeypatch.setattr("ingest.cache.lookup", lookup)
    for heartbeat in made:
        await heartbeats.edit(node.db, heartbeat.id, {"grace": 7})
    answers = await asyncio.gather(*(node.ask(path(heartbeat.token)) for heartbeat in made for _ in range(2)))

    assert set(answers) == {(200, "OK")}
    (slot,) = await next_slots(node, 1)
    assert {(await node.get(heartbeat)).deadline for heartbeat in made} == {slot + 7_000}
    assert sum(read) >= 60
    assert len(read) < 10


async def test_one_that_was_deleted_while_its_settings_changed_is_unknown(node: Node) -> None:
    heartbeat, other = await node.create(schedule=HOURLY), await node.create(name="other", schedule=HOURLY)
    for each in (heartbeat, other):
        assert await node.ask(path(each.token)) == (200, "OK")
    await heartbeats.delete(node.db, heartbeat.id)
    await heartbeats.edit(node.db, other.id, {"grace": 7})

    answers = await asyncio.gather(*(node.ask(path(each.token)) for each in (heartbeat, other)))
    assert answers == [(404, "not found"), (200, "OK")]


@pytest.mark.parametrize(
    ("field", "value"), [("schedule", "nonsense"), ("timezone", "Atlantis"), ("misses", "x"), ("rev", "x")]
)
async def test_pings_of_a_corrupt_record_are_refused_and_those_beside_them_are_not(
    node: Node, caplog: pytest.LogCaptureFixture, field: str, value: str
) -> None:
    heartbeat, other = await node.create(schedule=HOURLY), await node.create(name="other", schedule=HOURLY)
    for each in (heartbeat, other):
        assert await node.ask(path(each.token)) == (200, "OK")
    before = await node.get(heartbeat)
    await node.db.execute("HSET", node.db.shard(heartbeat.id).heartbeat(heartbeat.id), field, value, "rev", "9")
    if field == "rev":
        await node.db.execute("HSET", node.db.shard(heartbeat.id).heartbeat(heartbeat.id), field, value)

    pings = [node.ask(path(each.token)) for each in (heartbeat, other, heartbeat, other)]
    answers = await asyncio.gather(*pings)

    assert answers == [(503, "unavailable, try again"), (200, "OK")] * 2
    assert "corrupt_record" in caplog.text
    assert heartbeat.token not in caplog.text
    assert await node.db.execute("ZSCORE", node.db.shard(heartbeat.id).deadlines, heartbeat.id) == before.deadline


async def test_a_run_with_a_schedule_is_timed_and_owes_the_next_slot(node: Node) -> None:
    heartbeat = await node.create(schedule=HOURLY, grace=600)
    await node.ask(path(heartbeat.token))
    assert await node.ask(path(heartbeat.token, "/start")) == (200, "OK")
    assert (await node.get(heartbeat)).deadline is None
    assert await node.ask(path(heartbeat.token)) == (200, "OK")

    (slot,) = await next_slots(node, 1)
    found = await node.get(heartbeat)
    assert (found.deadline, found.running_since) == (slot + 600_000, None)
    assert found.last_duration_ms is not None


async def test_what_falls_silent_and_returns_is_up_again(node: Node) -> None:
    heartbeat = await node.create(schedule="*:*:0/1", grace=0)
    assert await node.ask(path(heartbeat.token)) == (200, "OK")

    async def is_down() -> bool:
        swept = await deadlines.sweep(node.db, node.db.shards[0])
        await deadlines.reckon(node.db, node.db.shards[0], swept.unreckoned)
        return (await node.get(heartbeat)).stored_status == "down"

    await eventually(is_down)
    await heartbeats.edit(node.db, heartbeat.id, {"schedule": HOURLY})
    assert await node.ask(path(heartbeat.token)) == (200, "OK")
    assert (await node.get(heartbeat)).stored_status == "up"
