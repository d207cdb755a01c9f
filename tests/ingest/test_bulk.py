"""Many pings in one request: what is taken, and what is refused with its index and why."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any, Final, NamedTuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.items import Invalid, _line, _members, _parsed
from ingest.node import BULK_MAX
from store import events, fleets, heartbeats, projects
from store.database import opened
from store.fleet_records import Fleet, FleetSettings
from store.records import Settings
from tests.conftest import eventually
from tests.ingest.bulk import (
    NOBODY,
    SPAN,
    Answer,
    Scene,
    bulk,
    fleet_of,
    later,
    lines,
    make_scene,
    member_status,
    rfc3339,
    signals,
)
from tests.ingest.conftest import NewNode, Node
from tests.ingest.test_ping import path
from tests.store.scene import send


@pytest.fixture
async def scene(redis_url: str) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        yield await make_scene(stack, redis_url)


# What is taken


async def test_pings_of_tokens_slugs_and_members_are_taken_together(node: Node) -> None:
    up, pending, by_slug = await node.create(), await node.create(), await node.create(slug="nightly")
    failing = await node.create()
    fleet, key = await fleet_of(node), await projects.ping_key(node.db)
    await node.ask(path(up.token))

    said = await bulk(
        node,
        lines(
            {"token": up.token},
            {"token": pending.token.upper().replace("-", ""), "exit_status": 0},
            {"ping_key": key, "slug": "nightly", "signal": "start"},
            {"ping_key": fleet.ping_key, "slug": "device-1"},
            {"token": failing.token, "exit_status": 3},
            {"ping_key": fleet.ping_key, "slug": "device-2", "signal": "fail"},
        ),
    )

    assert said == Answer(200, 6, [])
    assert [await node.status(each) for each in (up, pending, by_slug, failing)] == ["up", "up", "pending", "down"]
    assert [await signals(node, each) for each in (up, pending, by_slug, failing)] == [
        [("success", ""), ("success", "")], [("success", "0")], [("start", "")], [("fail", "3")],
    ]  # fmt: skip
    assert [await member_status(node, fleet, f"device-{n}") for n in (1, 2)] == ["up", "down"]


async def test_the_event_log_tells_who_sent_a_ping_and_the_plain_ones_as_well(node: Node) -> None:
    heartbeat = await node.create()
    for _ in range(2):
        async with node.http.post(
            node.url + "/ping/bulk", data=lines({"token": heartbeat.token}), headers={"User-Agent": "gateway/1"}
        ) as response:
            assert response.status == 200

    rows = [row for row in (await events.page(node.db, heartbeat.id))[0] if row.kind == "success"]
    assert [(row.user_agent, row.client) for row in rows] == [("gateway/1", "127.0.0.1")] * 2


async def test_a_signal_outweighs_an_exit_status_and_without_one_the_exit_status_says_it(node: Node) -> None:
    for item, meant in (
        ({}, ("success", "")),
        ({"exit_status": 0}, ("success", "0")),
        ({"exit_status": 1}, ("fail", "1")),
        ({"exit_status": 255}, ("fail", "255")),
        ({"signal": "success", "exit_status": 3}, ("success", "3")),
        ({"signal": "fail", "exit_status": 0}, ("fail", "0")),
        ({"signal": "log", "exit_status": 2}, ("log", "2")),
        ({"signal": "start"}, ("start", "")),
        ({"signal": None, "exit_status": None, "ts": None, "ping_key": None, "slug": None}, ("success", "")),
    ):
        heartbeat = await node.create()

        assert await bulk(node, lines({"token": heartbeat.token} | item)) == Answer(200, 1, []), item

        assert await signals(node, heartbeat) == [meant], item


async def test_an_empty_request_is_answered_with_nothing(node: Node) -> None:
    for body in (b"", b"\n", b"\r\n \n\t\n", b"[]", b" \n [ ] \n"):
        assert await bulk(node, body) == Answer(200, 0, []), body


async def test_only_post_is_a_bulk(node: Node) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert (await node.ask("/ping/bulk", method))[0] == 405


async def test_many_across_shards_are_all_taken(redis_url: str, new_node: NewNode) -> None:
    async with opened(redis_url, shards=4):
        pass  # the number is stored now
    node = await new_node()
    assert len(node.db.shards) == 4
    found, fleet = [await node.create() for _ in range(60)], await fleet_of(node)
    items = [{"token": each.token} for each in found]
    items += [{"ping_key": fleet.ping_key, "slug": f"device-{n}"} for n in range(600)]
    random.Random(4).shuffle(items)

    for _ in range(2):  # new ones, then those that are up
        assert await bulk(node, orjson.dumps(items)) == Answer(200, 660, [])

    assert {await node.status(each) for each in found} == {"up"}
    assert await fleets.counts(node.db, fleet.id) == {"up": 600, "late": 0, "down": 0, "paused": 0}
    assert all([await node.db.execute("ZCARD", shard.fleet_deadlines(fleet.id)) for shard in node.db.shards])


# What a body may look like


async def test_it_does_not_matter_where_a_body_is_split(scene: Scene) -> None:
    made = await heartbeats.create(scene.db, Settings(name="backup", period=60, grace=30))
    items = [{"token": made.token}, {"token": NOBODY}, {"token": made.token, "signal": "log"}, 5]
    ndjson = b"\r\n\n" + lines(*items[:2]) + b"\r\n \t\n{no json}\n" + lines(*items[2:])
    array = b"\n [ " + b" ,\n ".join(orjson.dumps(item) for item in items) + b"\r\n]\n"

    for body, refusals in (
        (ndjson, [(1, 404), (2, 400), (4, 400)]),
        (ndjson + b"\n", [(1, 404), (2, 400), (4, 400)]),
        (array, [(1, 404), (3, 400)]),
    ):
        for i in range(len(body) + 1):
            said = await scene.post([body[:i], body[i:]])
            assert (said.status, said.accepted, said.refusals) == (200, 2, refusals), (i, body[:i])
        said = await scene.post([bytes([byte]) for byte in body])
        assert (said.status, said.accepted, said.refusals) == (200, 2, refusals)


async def test_a_line_that_is_no_json_stops_nobody_else(node: Node) -> None:
    heartbeat = await node.create()
    good = {"token": heartbeat.token, "signal": "log"}
    for bad in (b"{", b"}", b"{}}", b"null", b"1", b'"x"', b"[]", b"[" + orjson.dumps(good) + b"]",
                orjson.dumps(good) * 2, orjson.dumps(good) + b",", b"\xff\xfe{}", b'{"token": "\\ud800"}',
                b'{"token": NaN}', b"{'token': 'x'}", b"\0", b"\xef\xbb\xbf" + orjson.dumps(good)):  # fmt: skip
        said = await bulk(node, lines(good, bad, good))

        assert (said.status, said.accepted, said.refusals) == (200, 2, [(1, 400)]), bad


MENDED: Final = [
    [b'{"token":"TOKEN"', b'"signal":"fail"}'],
    [b'{"token":"TOKEN"', b'"signal":"fail"}', b'{"token":"TOKEN"},{"token":"TOKEN"}'],
    [b'{"x":[{"a":1}', b'{"b":2}]}', b'{"token":"TOKEN"},{"token":"TOKEN"}'],
    [b'{"token":"a', b'{b"}', b'{"token":"TOKEN"},{"token":"TOKEN"}'],
    [b'{"token":"TOKEN"},', b'{"token":"TOKEN"}'],
    [b'{"token":"TOKEN"', b"}", b'{},{"token":"TOKEN"}'],
    [b'{"x":{"a":1}', b'"b":{"c":1}},{"token":"TOKEN"}'],
]


async def test_lines_that_only_their_neighbours_would_mend_are_no_items(node: Node) -> None:
    for mended in MENDED:
        heartbeat = await node.create()
        found = [line.replace(b"TOKEN", heartbeat.token.encode()) for line in mended]

        said = await bulk(node, b"\n".join([*found, b""]))

        whole = [index for index, line in enumerate(found) if _is_json(line)]
        assert said.refusals == [(index, 400) for index in range(len(found)) if index not in whole], mended
        assert len(await signals(node, heartbeat)) == said.accepted == len(whole), mended


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


FRAGMENTS: Final = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b'"a"',
    b"1",
    b"null",
    b'{"a":1}',
    b'"a":1',
    b"\r",
    b" ",
    b"\\",
]


@given(st.lists(st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=8).map(b"".join), min_size=1, max_size=5))
@settings(max_examples=1_000, deadline=None)
def test_lines_mean_together_what_they_mean_alone(found: list[bytes]) -> None:
    def shown(items: list[Any]) -> list[Any]:
        return ["no JSON" if isinstance(item, Invalid) else item for item in items]

    assert shown(_parsed(found)) == shown([_line(line) for line in found])


MEMBER = b'{"ping_key":"%b","slug":"%b"}'
MEMBER_SPACED = b'{"ping_key": "%b", "slug": "%b"}'
SENT_KEYS = st.sampled_from([b"k" * 22, b"other", b"", b"\\u006b"])
SENT_SLUGS = st.one_of(
    st.sampled_from([b"", b"a" * 101, b'a"', b"A", b"a b", b"\\u0061", b'a"}\n{"slug":"b']), st.just(b"a-1_x")
)


@given(
    st.lists(st.tuples(st.sampled_from([MEMBER, MEMBER_SPACED]), SENT_KEYS, SENT_SLUGS), min_size=1, max_size=4),
    st.booleans(),
)
@settings(max_examples=1_000, deadline=None)
def test_what_is_taken_apart_in_one_stroke_is_what_a_parser_finds(
    found: list[tuple[bytes, bytes, bytes]],
    torn: bool,  # noqa: FBT001
) -> None:
    body = b"\n".join(form % (key, slug) for form, key, slug in found)[: -1 if torn else None]

    members = _members(body)

    if members is not None:
        assert [orjson.loads(line) for line in body.split(b"\n")] == [
            {"ping_key": members.ping_key, "slug": slug} for slug in members.slugs
        ]


def test_what_gateways_write_is_taken_apart_in_one_stroke() -> None:
    for form in (MEMBER, MEMBER_SPACED):
        assert _members(b"\n".join(form % (b"k" * 22, b"d-%d" % n) for n in range(3))) == (
            "k" * 22,
            ["d-0", "d-1", "d-2"],
        )


async def test_an_array_that_is_no_json_is_one_refusal(node: Node) -> None:
    heartbeat = await node.create()
    good = orjson.dumps({"token": heartbeat.token})
    for body in (b"[", b"[" + good, b"[" + good + b",]", b"[" + good + b"]]", b"[]\n" + good, b"[1] [2]"):
        said = await bulk(node, body)

        assert (said.status, said.accepted, said.refusals) == (200, 0, [(0, 400)]), body
    assert await signals(node, heartbeat) == []


# What is refused


async def test_what_an_item_lacks_is_told_by_the_name_of_its_field(node: Node) -> None:
    heartbeat, key = await node.create(slug="nightly"), await projects.ping_key(node.db)
    await node.create(slug="twin")
    await node.create(slug="twin")
    token = {"token": heartbeat.token}
    not_found, slug = (404, "not found"), (400, "slug must have 1 to 100 characters of a-z, 0-9, _ and -")
    signal = (400, "signal must be one of success, start, fail, log")
    exit_status = (400, "exit_status must be a whole number between 0 and 255")
    ts = (400, "ts must be an RFC 3339 time with its zone, as in 2030-01-31T09:00:00Z")
    address = (400, "an item must have a token, or a ping_key and a slug")
    both = (400, "send either token, or ping_key and slug")
    fields = "exit_status, ping_key, signal, slug, token, ts"
    wrong: dict[str, tuple[list[Any], tuple[int, str]]] = {
        "signal": (["", "FAIL", "down", "ignored", "plain", 1, True, [], {}], signal),
        "exit_status": ([-1, 256, 2**63, 1.0, 0.5, "0", True, False, [], {}], exit_status),
        "ts": (
            ["", "now", 1_767_225_600, 1.5, True, [], {}, "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z",
             "2026-01-01T24:61:00Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59",
             "2026-01-01T00:00:00 UTC", "x" * 1_000],
            ts,
        ),
    }  # fmt: skip
    no_strings: list[Any] = [1, 1.5, True, [], {}, ["x"]]
    no_tokens = ["", "x", NOBODY, heartbeat.token[:-1], heartbeat.token + "0", heartbeat.token[:14] + NOBODY[14:]]
    no_keys = ["", "x", key.upper(), "k" * 4_000, "a/b"]
    no_slugs = [*no_strings, "", "A", "a.b", "s" * 101, "ü", "a b"]
    nowhere: list[Any] = [{}, {"ping_key": key}, {"slug": "nightly"}, {"signal": "fail"}, {"token": None}]
    table: list[tuple[Any, tuple[int, str]]] = [
        *((item, (400, "an item must be a JSON object")) for item in (None, [token], "token", 7)),
        (token | {"name": "x"}, (400, f"unknown field 'name'; there are {fields}")),
        (token | {"z" * 60: 1, "Token": 1}, (400, f"unknown field 'Token'; there are {fields}")),
        (token | {"rid": "x"}, (400, f"unknown field 'rid'; there are {fields}")),
        *((item, address) for item in nowhere),
        (token | {"ping_key": key, "slug": "nightly"}, both),
        (token | {"slug": "nightly"}, both),
        *(({"token": each}, (400, "token must be a string")) for each in no_strings),
        *(({"token": each}, not_found) for each in no_tokens),
        *(({"ping_key": each, "slug": "nightly"}, (400, "ping_key must be a string")) for each in no_strings),
        *(({"ping_key": each, "slug": "nightly"}, not_found) for each in no_keys),
        *(({"ping_key": key, "slug": each}, slug) for each in no_slugs),
        ({"ping_key": key, "slug": "nobody"}, not_found),
        ({"ping_key": key, "slug": "twin"}, (409, "ambiguous slug")),
        *((token | {field: each}, said) for field, (values, said) in wrong.items() for each in values),
    ]

    for body in (lines(*(item for item, _ in table)), orjson.dumps([item for item, _ in table])):
        said = await bulk(node, body)

        assert [(status, message) for _, status, message in said.rejected] == [expected for _, expected in table]
        assert [index for index, _ in said.refusals] == list(range(len(table)))
        assert (said.status, said.accepted) == (200, 0)
    assert await node.get(heartbeat) == heartbeat


async def test_refusals_name_their_items_across_chunks(node: Node) -> None:
    found = [await node.create() for _ in range(3)]
    bad = [0, BULK_MAX - 1, BULK_MAX, BULK_MAX + 1, 2 * BULK_MAX - 1, 2 * BULK_MAX, 3 * BULK_MAX + 10]
    items: list[Any] = [{"token": found[n % 3].token} for n in range(3 * BULK_MAX + 11)]
    for number, index in enumerate(bad):
        items[index] = [{"token": NOBODY}, 7, {"token": found[0].token, "signal": "x"}][number % 3]

    for body in (lines(*items), orjson.dumps(items), b"\n\n".join(map(orjson.dumps, items))):
        said = await bulk(node, body)

        assert [index for index, _ in said.refusals] == bad
        assert said.accepted == len(items) - len(bad)


async def test_no_refusal_repeats_a_secret(node: Node) -> None:
    heartbeat, key = await node.create(), await projects.ping_key(node.db)

    said = await bulk(
        node,
        lines(
            {"token": heartbeat.token, "signal": "x"},
            {"ping_key": key, "slug": "nobody"},
            b'{"token": "' + heartbeat.token.encode() + b'"',
        ),
    )

    assert len(said.rejected) == 3
    assert heartbeat.token not in str(said)
    assert key not in str(said)


# As single pings


async def test_rules_of_a_heartbeat_hold_as_for_a_post_without_a_body(node: Node) -> None:
    post_only = await node.create(post_only=True)
    words = await node.create(failure_words=("ERROR",))
    strict = await node.create(success_words=("done",), unmatched="fail")
    hourly = await node.create(schedule="0 * * * *")
    limited = await node.create(rate_limit=2)
    paused = await node.create()
    await heartbeats.pause(node.db, paused.id)
    found = [post_only, words, strict, hourly, paused, limited, limited, limited]

    said = await bulk(node, lines(*({"token": each.token} for each in found)))

    assert said == Answer(200, 7, [(7, 429, "rate limited")])
    assert [await node.status(each) for each in found[:6]] == ["up", "pending", "down", "up", "paused", "up"]
    assert [await signals(node, each) for each in (words, strict)] == [[("ignored", "")], [("fail", "")]]
    assert (await node.get(hourly)).slot


async def test_deleted_and_rotated_ones_are_not_found(node: Node) -> None:
    deleted, rotated, kept = [await node.create() for _ in range(3)]
    items = lines(*({"token": each.token} for each in (deleted, rotated, kept)))
    for _ in range(2):
        assert await bulk(node, items) == Answer(200, 3, [])

    await heartbeats.delete(node.db, deleted.id)
    await heartbeats.rotate(node.db, rotated.id)

    async def are_gone() -> bool:
        return (await bulk(node, items)).refusals == [(0, 404), (1, 404)]

    assert await eventually(are_gone)
    assert await node.db.execute("EXISTS", node.db.shard(deleted.id).events(deleted.id)) == 0


async def test_every_item_is_counted_by_what_became_of_it(node: Node) -> None:
    heartbeat, fleet = await node.create(), await fleet_of(node, cap=1)
    limited = await node.create(rate_limit=1)
    token, member = {"token": heartbeat.token}, {"ping_key": fleet.ping_key}

    said = await bulk(
        node,
        lines(
            token, token, token, member | {"slug": "a"}, {"token": limited.token},  # ok
            {"token": NOBODY}, {"token": "x"},  # not_found
            token | {"signal": 1}, b"{", 7,  # bad_request
            member | {"slug": "b"}, {"token": limited.token},  # refused
        ),
    )  # fmt: skip

    assert said.accepted == 5
    _, metrics = await node.ask("/metrics")
    values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line.startswith("flatline_pings_total"))
    counted = {name.partition('"')[2].partition('"')[0]: float(value) for name, value in values.items()}
    assert counted == {"ok": 5, "not_found": 2, "bad_request": 3, "refused": 2, "unavailable": 0, "overloaded": 0}


# Members


async def test_a_device_joins_by_its_first_ping_until_the_fleet_is_full(node: Node) -> None:
    fleet = await fleet_of(node, cap=3)
    items = [{"ping_key": fleet.ping_key, "slug": f"device-{n}"} for n in range(5)]

    first, second = [await bulk(node, lines(*items)) for _ in range(2)]

    # Which of them is a matter of the lanes that they were written by; but who is in stays in.
    assert (first.accepted, [(status, text) for _, status, text in first.rejected]) == (3, [(403, "fleet is full")] * 2)
    assert second == first
    assert await fleets.counts(node.db, fleet.id) == {"up": 3, "late": 0, "down": 0, "paused": 0}


async def test_signals_of_members_are_those_of_their_rules(node: Node) -> None:
    """A failure silences at once, a start is a ping, a log line is nothing."""
    fleet = await fleet_of(node)
    for signal, exit_status, status, cause in (
        ("success", None, "up", ""), ("start", None, "up", ""), ("log", None, "none", ""),
        ("fail", None, "down", "fail"), (None, 7, "down", "7"), (None, 0, "up", ""),
    ):  # fmt: skip
        slug = f"d-{signal}-{exit_status}".lower()
        item = {"ping_key": fleet.ping_key, "slug": slug, "signal": signal, "exit_status": exit_status}

        assert await bulk(node, lines(item)) == Answer(200, 1, [])

        assert await member_status(node, fleet, slug) == status, slug
        member = await fleets.member(node.db, fleet.id, slug)
        assert (member.cause if member else "") == cause


async def test_a_silent_member_returns_and_a_backdated_one_only_if_it_came_in_time(node: Node) -> None:
    fleet, now = await fleet_of(node), await node.db.now()
    member = {"ping_key": fleet.ping_key}
    for slug, ts, status in (("a", None, "up"), ("b", now - 5_000, "up"), ("c", now - SPAN - 5_000, "none")):
        item = member | {"slug": slug} | ({"ts": rfc3339(ts)} if ts else {})
        assert await bulk(node, lines(item)) == Answer(200, 1, [])
        assert await member_status(node, fleet, slug) == status

    await bulk(node, lines(member | {"slug": "a", "signal": "fail"}))
    assert await member_status(node, fleet, "a") == "down"
    await bulk(node, lines(member | {"slug": "a", "ts": rfc3339(now - 5_000)}))  # from before its failure
    assert await member_status(node, fleet, "a") == "down"
    await bulk(node, lines(member | {"slug": "a"}))
    assert await member_status(node, fleet, "a") == "up"


async def test_a_fleet_that_is_paused_or_gone(node: Node) -> None:
    fleet = await fleet_of(node)
    item = lines({"ping_key": fleet.ping_key, "slug": "a"})
    assert await bulk(node, item) == Answer(200, 1, [])
    await fleets.pause(node.db, fleet.id)
    assert await bulk(node, item) == Answer(200, 1, [])
    assert await member_status(node, fleet, "a") == "paused"
    await fleets.delete(node.db, fleet.id)

    async def is_gone() -> bool:
        return (await bulk(node, item)).refusals == [(0, 404)]

    assert await eventually(is_gone)


# Whatever comes


class World(NamedTuple):
    """Heartbeats in every state, known by the names that the strategies use."""

    scene: Scene
    tokens: dict[str, str]
    ping_key: str
    fleet: Fleet

    def item(self, drawn: Any) -> Any:
        """A drawn item with its names replaced by secrets."""
        if not isinstance(drawn, dict):
            return drawn
        item = dict(drawn)
        if item.get("token") in self.tokens:
            item["token"] = self.tokens[item["token"]]
        if item.get("ping_key") in ("project", "fleet"):
            item["ping_key"] = self.ping_key if item["ping_key"] == "project" else self.fleet.ping_key
        return item


async def make_world(stack: AsyncExitStack, url: str) -> World:
    scene = await make_scene(stack, url)
    db, made = scene.db, {}
    for name in ("up1", "up2", "up3", "pending", "down", "paused"):
        made[name] = await heartbeats.create(db, Settings(name=name, slug=name, period=60, grace=30))
    await send(db, made["down"], "fail", at=await db.now())
    await heartbeats.pause(db, made["paused"].id)
    fleet = await fleets.create(db, FleetSettings(name="devices", period=60, grace=30))
    return World(scene, {name: each.token for name, each in made.items()}, await projects.ping_key(db), fleet)


SLUGS: Final = ["up1", "up2", "up3", "pending", "down", "paused"]
_addresses = st.one_of(
    st.sampled_from(SLUGS).map(lambda name: {"token": name}),
    st.sampled_from(SLUGS).map(lambda name: {"ping_key": "project", "slug": name}),
    st.sampled_from(["d1", "d2", "d3"]).map(lambda name: {"ping_key": "fleet", "slug": name}),
)
_good = st.builds(
    lambda address, signal, status, ts: address | signal | status | ts,
    _addresses,
    st.sampled_from([{}, {}, {}, {"signal": "success"}, {"signal": "fail"}, {"signal": "start"}, {"signal": "log"}]),
    st.sampled_from([{}, {}, {"exit_status": 0}, {"exit_status": 9}]),
    st.sampled_from([{}, {}, {"ts": "2026-01-01T00:00:00Z"}, {"ts": "9999-01-01T00:00:00+01:00"}]),
)
_bad: st.SearchStrategy[tuple[Any, int]] = st.sampled_from(
    [(None, 400), (7, 400), ([], 400), ({}, 400), ({"token": NOBODY}, 404), ({"token": "up1", "signal": "x"}, 400),
     ({"ping_key": "project", "slug": "nobody"}, 404), ({"ping_key": "x", "slug": "d1"}, 404),
     ({"ping_key": "fleet", "slug": "D1"}, 400), ({"ping_key": [], "slug": "d1"}, 400),
     ({"token": "up1", "ts": "yesterday"}, 400), ({"token": "up1", "exit_status": 256}, 400)]
)  # fmt: skip
_items = st.lists(
    st.one_of(_good.map(lambda item: (item, 200)), _good.map(lambda item: (item, 200)), _bad), max_size=30
)


def test_every_item_is_accepted_or_rejected_and_every_accepted_ping_has_moved_its_deadline(redis_url: str) -> None:
    async def check(world: World, drawn: list[tuple[Any, int]], cuts: list[int], *, array: bool) -> None:
        db = world.scene.db
        items = [world.item(item) for item, _ in drawn]
        begins_as_one = bool(items) and isinstance(items[0], list)
        body = orjson.dumps(items) if array or begins_as_one else lines(*items)
        places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
        before = await later(db)

        said = await world.scene.post([body[i:j] for i, j in pairwise(places)])

        assert said.accepted + len(said.rejected) == len(items)
        assert said.refusals == [(index, status) for index, (_, status) in enumerate(drawn) if status != 200]
        plain = {"token", "ping_key", "slug"}
        for name in SLUGS[:-1]:
            own = [item for item, status in drawn if status == 200 and name in (item.get("token"), item.get("slug"))]
            if own and all(item.keys() <= plain for item in own):
                found = await heartbeats.get(db, world.tokens[name][:8] + world.tokens[name][9:13])
                assert found.stored_status == "up", name
                assert found.deadline
                assert found.deadline >= before - 25 + SPAN
        for slug in ("d1", "d2", "d3"):
            own = [item for item, status in drawn if status == 200 and item.get("slug") == slug]
            if own and all(item.keys() <= plain for item in own):
                member = await fleets.member(db, world.fleet.id, slug)
                assert member
                assert member.deadline
                assert member.deadline >= before - 25 + SPAN

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        world = runner.run(make_world(stack, redis_url))

        @settings(max_examples=100, deadline=None)
        @given(drawn=_items, cuts=st.lists(st.integers(0, 10_000), max_size=4), array=st.booleans())
        def holds(drawn: list[tuple[Any, int]], cuts: list[int], *, array: bool) -> None:
            runner.run(check(world, drawn, cuts, array=array))

        try:
            holds()
        finally:
            runner.run(stack.aclose())
