"""The pinging API of Healthchecks, byte for byte: what its clients rely on, and where our rules are others.

The cases are those in which implementations of that API differ; docs/ping-api.md lists where we do.
"""

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import aiohttp
import pytest

from store import deadlines, events, heartbeats, projects
from store.database import Database, opened
from store.records import Heartbeat, Settings
from tests.compat.wire import OK_HEADERS, Connection, Reply, Stored, ask, replay, stored
from tests.conftest import TEST_CLOCK, Clock, eventually
from tests.ingest.conftest import NewNode, Node, serving
from tests.store.scene import hear

LIMIT: Final = 10_000  # bytes kept of a body
NOBODY: Final = "00000000-0000-4000-8000-000000000000"
RID_A: Final = "c0ffee00-1234-4abc-8def-0123456789ab"
RID_B: Final = "c0ffee00-1234-4abc-8def-0123456789ac"

OK: Final = (200, b"OK")
CREATED: Final = (201, b"Created")
BAD_URL: Final = (400, b"invalid url format")
BAD_RID: Final = (400, b"invalid uuid format")
NOT_FOUND: Final = (404, b"not found")
AMBIGUOUS: Final = (409, b"ambiguous slug")


def said(reply: Reply) -> tuple[int, bytes]:
    return reply.status, reply.body


async def project_key(node: Node) -> str:
    return await projects.ping_key(node.db)


async def only_heartbeat(node: Node, slug: str) -> Heartbeat:
    """The one that has this slug."""
    ((only,),) = await projects.with_slugs(node.db, [("default", slug)])
    return await heartbeats.get(node.db, only)


async def later(node: Node) -> None:
    """What comes now is later than what was, though a node's clock may be some milliseconds off."""
    now = await node.db.now()

    async def moved_on() -> bool:
        return await node.db.now() > now + 10

    await eventually(moved_on)


# 1. Signals


#: What is behind the heartbeat: what is answered (None = 404), what is stored, and the status then.
SIGNALS: Final[list[tuple[str, tuple[int, bytes] | None, Stored | None, str]]] = [
    ("", OK, Stored("success"), "up"),
    ("/0", OK, Stored("success", "0"), "up"),
    ("/000", OK, Stored("success", "0"), "up"),
    ("/start", OK, Stored("start"), "pending"),
    ("/fail", OK, Stored("fail"), "down"),
    ("/1", OK, Stored("fail", "1"), "down"),
    ("/007", OK, Stored("fail", "7"), "down"),
    ("/255", OK, Stored("fail", "255"), "down"),
    ("/log", OK, Stored("log"), "pending"),
    ("/256", BAD_URL, None, "pending"),
    ("/99999999999999999999", BAD_URL, None, "pending"),
    ("/FAIL", BAD_URL, None, "pending"),
    ("/TERM", OK, Stored("fail", "TERM"), "down"),  # theirs: 400
    ("/foo", None, None, "pending"),
    ("/-1", None, None, "pending"),
    ("/0x1", None, None, "pending"),
    ("/1.5", None, None, "pending"),
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("form", ["/ping/TOKEN", "/TOKEN", "/ping/KEY/nightly"])
async def test_a_signal_means_the_same_by_token_and_by_slug_with_each_method(
    node: Node, form: str, method: str
) -> None:
    key = await project_key(node)
    for number, (last, answer, ping, status) in enumerate(SIGNALS):
        heartbeat = await node.create(slug=f"nightly{number}")
        url = form.replace("TOKEN", heartbeat.token).replace("KEY", key).replace("nightly", heartbeat.settings.slug)

        reply = await ask(node, url + last, method)

        if answer is None:
            assert reply.status == 404, last
        else:
            assert said(reply) == (answer[0], b"" if method == "HEAD" else answer[1]), last
            assert reply.headers["content-length"] == str(len(answer[1]))  # of HEAD, too
        assert await stored(node, heartbeat) == ([] if ping is None else [ping]), last
        assert await node.status(heartbeat) == status, last


async def test_an_answer_has_the_headers_that_clients_read_and_few_others(node: Node) -> None:
    heartbeat = await node.create()

    good, bad = await ask(node, f"/ping/{heartbeat.token}/start"), await ask(node, f"/ping/{NOBODY}")

    assert good.headers == OK_HEADERS
    assert bad.headers == {
        "content-type": OK_HEADERS["content-type"],
        "content-length": "9",
        "cache-control": "no-store",
    }


# 2. and 3. Shapes of a URL


async def test_slashes_too_many_do_not_matter(node: Node) -> None:
    heartbeat, key = await node.create(slug="nightly"), await project_key(node)
    paths = [
        "/ping/TOKEN/",
        "/ping/TOKEN/log/",  # theirs: no route
        "/ping/KEY/nightly/",  # theirs: no route
        "//ping/TOKEN",
        "/ping//TOKEN",
        "/ping/TOKEN//log",
        "http://hb/ping/TOKEN",  # through a proxy
        "/ping/TOKEN?",
        "/ping/TOKEN?x=1&&y",
    ]

    for path in paths:
        assert said(await ask(node, path.replace("TOKEN", heartbeat.token).replace("KEY", key))) == OK, path

    assert await stored(node, heartbeat) == [Stored("log" if "log" in path else "success") for path in paths]


async def test_a_token_may_be_written_in_capitals_without_dashes_or_percent_encoded(node: Node) -> None:
    token = (heartbeat := await node.create()).token

    for written in (token.upper(), token.replace("-", ""), f"%{ord(token[0]):x}" + token[1:]):
        assert said(await ask(node, f"/ping/{written}/start")) == OK, written  # theirs: 404

    assert len(await stored(node, heartbeat)) == 3


RUN_IDS: Final = [
    (f"rid={RID_A}", OK, RID_A),
    (f"rid={RID_A.upper()}", OK, RID_A),
    (f"rid={RID_B}&rid={RID_A}", OK, RID_A),  # the last one wins
    (f"rid=rubbish&rid={RID_A}", OK, RID_A),
    (f"rid={{{RID_A}}}", BAD_RID, None),
    (f"rid=%7B{RID_A}%7D", BAD_RID, None),
    (f"rid={RID_A[:-1]}", BAD_RID, None),
    (f"rid={RID_A}0", BAD_RID, None),
    (f"rid={RID_A.replace('-', '')}", BAD_RID, None),
    ("rid=", BAD_RID, None),
    ("rid", BAD_RID, None),
    (f"rid={RID_A}&rid=", BAD_RID, None),
    ("rib=1", OK, ""),
]


@pytest.mark.parametrize("last", ["", "/start", "/fail", "/log", "/3"])
async def test_a_run_id_is_a_uuid_or_the_ping_is_refused(node: Node, last: str) -> None:
    for query, answer, rid in RUN_IDS:
        heartbeat = await node.create()

        assert said(await ask(node, f"/ping/{heartbeat.token}{last}?{query}")) == answer, query

        assert [ping.rid for ping in await stored(node, heartbeat)] == ([] if rid is None else [rid]), query


async def test_what_is_wrong_is_told_only_to_those_who_know_the_heartbeat(node: Node) -> None:
    for last in ("/256", "/FAIL", "?rid=1", "/start?rid="):
        assert said(await ask(node, f"/ping/{NOBODY}{last}")) == NOT_FOUND
        assert said(await ask(node, f"/ping/{await project_key(node)}/nobody{last}")) == NOT_FOUND


# 4. and 5. Slugs


SLUGS: Final = [
    ("srv01", "SRV01", BAD_URL),
    ("srv02", "SRV02/fail", BAD_URL),
    ("srv03", "srv.03", None),
    ("srv04", "srv%2004", None),
    ("srv05", "srv+05", None),
    ("srv-06", "srv%2D06", OK),
    ("srv07", "srv07%2Flog", OK),  # decoded before it is split, as theirs
    ("s" * 100, "s" * 100, OK),
    ("t" * 100, "t" * 101, None),
    ("start", "start", OK),
    ("0", "0", OK),
    ("1", "1/0", OK),
    ("fail", "fail/log", OK),
    ("_-_", "_-_", OK),
]


async def test_a_slug_is_found_as_it_is_written_or_not_at_all(node: Node) -> None:
    key = await project_key(node)
    for slug, path, answer in SLUGS:
        heartbeat = await node.create(slug=slug)

        reply = await ask(node, f"/ping/{key}/{path}")

        if answer is None:
            assert reply.status in {400, 404}, path
        else:
            assert said(reply) == answer, path
        assert len(await stored(node, heartbeat)) == (answer == OK), path


async def test_a_slug_that_two_have_is_refused_until_one_of_them_is_renamed(node: Node) -> None:
    first, second, third = [await node.create(slug=slug) for slug in ("twin", "twin", "before")]
    url = f"/ping/{await project_key(node)}/"
    assert said(await ask(node, url + "twin")) == AMBIGUOUS
    assert said(await ask(node, url + "twin/fail?create=1", "POST")) == AMBIGUOUS
    assert said(await ask(node, url + "before")) == OK
    assert await stored(node, first) == await stored(node, second) == []

    await heartbeats.edit(node.db, second.id, {"slug": "other"})
    await heartbeats.edit(node.db, third.id, {"slug": "after"})

    assert said(await ask(node, url + "other/fail")) == OK
    assert said(await ask(node, url + "after")) == OK

    async def old_names_are_forgotten() -> bool:
        old = [said(await ask(node, url + "twin")), said(await ask(node, url + "before/log"))]
        return old == [OK, NOT_FOUND]

    assert await eventually(old_names_are_forgotten)
    assert (await node.status(first), await node.status(second)) == ("up", "down")


async def test_the_same_slug_in_two_projects_is_two_heartbeats(node: Node) -> None:
    ours = await node.create(slug="twin")
    theirs = await heartbeats.create(node.db, replace(ours.settings), "elsewhere")

    reply = await ask(node, f"/ping/{await projects.ping_key(node.db, 'elsewhere')}/twin/fail")

    assert said(reply) == OK
    assert (await node.status(ours), await node.status(theirs)) == ("pending", "down")


async def test_a_ping_key_is_compared_letter_by_letter(node: Node) -> None:
    heartbeat, key = await node.create(slug="srv01"), await project_key(node)

    for wrong in (key.upper(), key[:-1], key + "x"):
        assert said(await ask(node, f"/ping/{wrong}/srv01")) == NOT_FOUND
        assert said(await ask(node, f"/ping/{wrong}/srv01?create=1")) == NOT_FOUND

    assert await stored(node, heartbeat) == []


# 6. Made by their first ping


async def test_first_pings_at_once_make_one_heartbeat_whichever_nodes_they_reach(new_node: NewNode) -> None:
    nodes = [await new_node(), await new_node()]
    url = f"/ping/{await project_key(nodes[0])}/cronjob-7?create=1"

    replies = await asyncio.gather(*(ask(nodes[n % 2], url, "POST") for n in range(20)))

    assert sorted(map(said, replies)) == [OK] * 19 + [CREATED]
    made = await only_heartbeat(nodes[0], "cronjob-7")
    assert await heartbeats.count(nodes[0].db) == {"pending": 0, "up": 1, "down": 0, "paused": 0}
    assert len(await stored(nodes[0], made)) == 20
    assert (made.settings.name, made.settings.period, made.settings.grace) == ("cronjob-7", 86_400, 3_600)
    assert made.settings.channels is None  # all of the project


async def test_nothing_is_made_by_a_ping_that_is_refused(node: Node) -> None:
    refused = {
        "srv01/256?create=1": BAD_URL,
        "SRV01?create=1": BAD_URL,
        "srv01?create=1&rid=12345": BAD_RID,
        "srv01?create=true": NOT_FOUND,
        "srv01?create=0": NOT_FOUND,
        "srv01?create=": NOT_FOUND,
        "srv01": NOT_FOUND,
        "srv01?create=1&every=0": (400, b"every must be between 1 and 31622400 seconds"),
    }
    key = await project_key(node)

    assert {path: said(await ask(node, f"/ping/{key}/{path}")) for path in refused} == refused

    assert sum((await heartbeats.count(node.db)).values()) == 0


async def test_any_signal_can_be_the_first_and_create_is_asked_again_in_vain(node: Node) -> None:
    key = await project_key(node)
    for last, status in (("/start", "pending"), ("/fail", "down"), ("/3", "down"), ("/log", "pending")):
        url = f"/ping/{key}/srv{last[1:]}{last}?create=1&every=600&grace=60"

        assert [said(await ask(node, url)), said(await ask(node, url))] == [CREATED, OK], last

        made = await only_heartbeat(node, f"srv{last[1:]}")
        assert (made.settings.period, made.settings.grace) == (600, 60)
        assert made.status(await node.db.now()) == status, last
        assert len(await stored(node, made)) == 2


async def test_the_answer_to_a_first_ping_has_the_same_headers(node: Node) -> None:
    reply = await ask(node, f"/ping/{await project_key(node)}/srv01?create=1")

    assert reply == Reply(201, OK_HEADERS | {"content-length": "7"}, b"Created")


# 7. to 9. Bodies: whatever comes, its tail is kept as it came (theirs: its head)


BODIES: Final = [
    b"",
    b"x",
    b"a" * (LIMIT - 1),
    b"h" + b"a" * (LIMIT - 1),
    b"h" + b"a" * LIMIT,
    b"head" + b"a" * 100_000 + b"tail",
    b"Hello \xe9 World",
    b"nul\0nul\0",
    "ü".encode() * LIMIT + b"!",  # cut within a character
    b"\r\n\r\nGET /ping/ HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
async def test_the_tail_of_a_body_is_kept_whatever_its_bytes_and_its_method(node: Node, method: str) -> None:
    for body in BODIES:
        heartbeat = await node.create()
        head = f"{method} /ping/{heartbeat.token}/3 HTTP/1.1\r\nHost: hb\r\nContent-Length: {len(body)}\r\n\r\n"

        assert (await replay(node, head.encode() + body)).status == 200

        assert await stored(node, heartbeat) == [Stored("fail", "3", "", body[-LIMIT:])]


async def test_a_body_is_stored_as_it_came_whatever_is_said_of_it(node: Node) -> None:
    for headers, body in (
        ("Content-Type: application/json\r\n", b'{"rid": "x", "create": 1}'),
        ("Content-Type: application/x-www-form-urlencoded\r\n", b"rid=1&m=disk+full%21"),
        ("Content-Type: multipart/form-data; boundary=x\r\n", b"--x\r\n\r\nbroken"),
        ("Content-Encoding: gzip\r\n", gzip.compress(b"hello")),
        ("Content-Encoding: gzip\r\n", b"no gzip at all"),
        ("Content-Type: text/plain; charset=utf-16\r\n", "Grüße".encode("utf-16")),
    ):
        heartbeat = await node.create()

        assert said(await ask(node, f"/ping/{heartbeat.token}", "POST", body, headers)) == OK, headers

        assert await stored(node, heartbeat) == [Stored("success", output=body)], headers


async def test_a_chunked_body_is_put_together(node: Node) -> None:
    heartbeat = await node.create()
    head = f"POST /ping/{heartbeat.token} HTTP/1.1\r\nHost: hb\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"5;ext=1\r\nHello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"

    assert said(await replay(node, head.encode() + chunks)) == OK

    assert await stored(node, heartbeat) == [Stored("success", output=b"Hello 0123456789")]


async def test_curl_is_told_to_go_on_before_it_sends_a_megabyte(node: Node) -> None:
    heartbeat, body = await node.create(), b"x" * 1_000_000 + b"done"
    connection = await Connection.to(node)
    await connection.send(
        f"POST /ping/{heartbeat.token}/1 HTTP/1.1\r\nHost: hb\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        "Expect: 100-continue\r\n\r\n".encode()
    )
    assert await connection.continued()
    await connection.send(body)

    assert said(await connection.receive()) == OK

    await connection.close()
    assert await stored(node, heartbeat) == [Stored("fail", "1", "", body[-LIMIT:])]


async def test_nobody_is_told_to_go_on_for_a_heartbeat_that_is_not_there(node: Node) -> None:
    reply = await ask(node, f"/ping/{NOBODY}", "POST", headers="Content-Length: 1000000\r\nExpect: 100-continue\r\n")

    assert (said(reply), reply.interim) == (NOT_FOUND, False)


async def test_a_refused_body_does_not_spoil_the_connection(node: Node) -> None:
    heartbeat, body = await node.create(), b"GET /ping/x HTTP/1.1\r\n\r\n" * 10_000
    connection = await Connection.to(node)
    await connection.send(
        f"POST /ping/{NOBODY} HTTP/1.1\r\nHost: hb\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )
    await connection.send(f"GET /ping/{heartbeat.token} HTTP/1.1\r\nHost: hb\r\n\r\n".encode())

    assert [said(await connection.receive()) for _ in range(2)] == [NOT_FOUND, OK]

    await connection.close()


async def test_fifty_megabytes_are_taken_in_little_memory(node: Node) -> None:
    heartbeat = await node.create()
    part = b"10000\r\n" + b"." * 65_536 + b"\r\n"
    connection = await Connection.to(node)
    await connection.send(
        f"POST /{heartbeat.token}/1 HTTP/1.1\r\nHost: hb\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    tracemalloc.start()
    try:
        for _ in range(800):
            await connection.send(part)
        await connection.send(b"3\r\nend\r\n0\r\n\r\n")
        assert said(await connection.receive()) == OK
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    await connection.close()
    assert peak < 5_000_000
    assert await stored(node, heartbeat) == [Stored("fail", "1", "", b"." * (LIMIT - 3) + b"end")]


@pytest.mark.parametrize("limit", [0, 5, 30_000])
async def test_the_limit_is_announced_on_the_answer_to_a_start_and_kept(new_node: NewNode, limit: int) -> None:
    node = await new_node(output_limit=limit)
    heartbeat, body = await node.create(), b"h" + b"x" * 30_000

    start = await ask(node, f"/ping/{heartbeat.token}/start", "POST")
    await ask(node, f"/ping/{heartbeat.token}/1", "POST", body)

    assert start.headers["ping-body-limit"] == str(limit)
    assert (await stored(node, heartbeat))[-1].output == body[len(body) - limit :]


WORDS: Final = {"failure_words": ("ERROR", "è"), "success_words": ("done",), "start_words": ("begin",)}
JUDGED: Final[list[tuple[str, bytes, str, str]]] = [
    ("", b"all done", "ignored", "success"),
    ("", b"ERROR, done", "ignored", "fail"),  # bad news first
    ("", b"begin, done", "ignored", "success"),
    ("", b"begin", "ignored", "start"),
    ("/fail", b"done", "ignored", "success"),  # words outweigh the URL
    ("/log", b"ERROR", "ignored", "fail"),
    ("/3", b"done", "ignored", "success"),
    ("", b"error", "ignored", "ignored"),  # case counts
    ("", b"", "ignored", "ignored"),
    ("/fail", b"nothing", "ignored", "ignored"),
    ("", b"nothing", "fail", "fail"),
    ("", b"Hello \xe9 World", "ignored", "ignored"),  # theirs: 500
    ("", "è".encode(), "ignored", "fail"),
    ("", b"done" + b"x" * LIMIT, "ignored", "ignored"),  # only the tail is looked at
]


async def test_words_in_the_body_decide_where_a_heartbeat_has_them(node: Node) -> None:
    for last, body, unmatched, signal in JUDGED:
        heartbeat = await node.create(unmatched=unmatched, **WORDS)

        assert said(await ask(node, f"/ping/{heartbeat.token}{last}", "POST", body)) == OK

        found = [(ping.signal, ping.output) for ping in await stored(node, heartbeat)]
        assert found == [(signal, body[-LIMIT:])], (last, body)


# 10. What does not count


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_only_post_counts_where_a_heartbeat_says_so(node: Node, method: str) -> None:
    for last in ("", "/start", "/fail", "/log", "/3"):
        heartbeat, usual = await node.create(post_only=True), await node.create()

        assert (await ask(node, f"/ping/{heartbeat.token}{last}", method)).status == 200
        await ask(node, f"/ping/{usual.token}{last}", method)

        if method == "POST":
            assert await stored(node, heartbeat) == await stored(node, usual)
            assert await node.status(heartbeat) == await node.status(usual)
        else:
            assert await stored(node, heartbeat) == [Stored("ignored")]
            assert await node.status(heartbeat) == "pending"


async def test_a_paused_heartbeat_stays_paused_unless_its_setting_lets_a_success_resume_it(node: Node) -> None:
    for last, resumes, status in (
        ("", False, "paused"),  # theirs: up
        ("/fail", False, "paused"),  # theirs: down
        ("/start", False, "paused"),
        ("/log", False, "paused"),
        ("/3", False, "paused"),
        ("", True, "up"),
        ("/0", True, "up"),
        ("/start", True, "paused"),
        ("/log", True, "paused"),
    ):
        heartbeat = await node.create(resume_on_ping=resumes)
        await ask(node, f"/ping/{heartbeat.token}")
        await heartbeats.pause(node.db, heartbeat.id)
        await later(node)

        assert said(await ask(node, f"/ping/{heartbeat.token}{last}")) == OK

        assert await node.status(heartbeat) == status, (last, resumes)
        assert len(await stored(node, heartbeat)) == 2  # on record all the same
        assert (await node.get(heartbeat)).incident is None


# 11. and 12. Runs


async def overdue(node: Node, heartbeat: Heartbeat) -> set[str]:
    """The runs that have a timer."""
    timers = await node.db.execute("ZRANGE", node.db.shard(heartbeat.id).timers, 0, -1)
    return {timer.decode().partition(f"overdue:{heartbeat.id}:")[2] for timer in timers}


async def test_overlapping_runs_are_timed_apart_and_each_has_a_timer_of_its_own(node: Node) -> None:
    heartbeat = await node.create()
    url = f"/ping/{heartbeat.token}"
    for last in (f"/start?rid={RID_A}", f"/start?rid={RID_B}", f"?rid={RID_A}"):
        assert said(await ask(node, url + last)) == OK
        await later(node)
    assert await overdue(node, heartbeat) == {RID_B}
    assert said(await ask(node, f"{url}/0?rid={RID_B}")) == OK

    rows = [row for row in reversed((await events.page(node.db, heartbeat.id))[0]) if row.kind in {"start", "success"}]
    assert [(row.kind, row.run) for row in rows] == [
        ("start", RID_A), ("start", RID_B), ("success", RID_A), ("success", RID_B),
    ]  # fmt: skip
    start_a, start_b, end_a, end_b = (row.at for row in rows)
    assert [row.duration_ms for row in rows] == [None, None, end_a - start_a, end_b - start_b]
    assert start_a < start_b < end_a < end_b
    assert await overdue(node, heartbeat) == set()
    assert await node.status(heartbeat) == "up"


async def test_a_failure_of_a_run_leaves_the_other_its_timer(node: Node) -> None:
    """Theirs: any failure clears the one start that there is."""
    heartbeat = await node.create()
    url = f"/ping/{heartbeat.token}"
    await ask(node, f"{url}/start?rid={RID_A}")

    assert said(await ask(node, f"{url}/fail?rid={RID_B}")) == OK

    assert await overdue(node, heartbeat) == {RID_A}
    assert await node.status(heartbeat) == "down"


async def test_a_run_without_a_name_is_ended_and_timed_by_a_finish_without_one(node: Node) -> None:
    heartbeat = await node.create()
    for last in ("/start", "/fail", "/start", "", ""):
        await ask(node, f"/ping/{heartbeat.token}{last}")
        await later(node)

    rows = [row for row in reversed((await events.page(node.db, heartbeat.id))[0]) if row.kind in {"success", "fail"}]
    assert [row.duration_ms is not None for row in rows] == [True, True, False]  # the last had not begun
    assert await overdue(node, heartbeat) == set()


async def test_a_start_twice_is_one_run(node: Node) -> None:
    heartbeat = await node.create()
    for last in (f"/start?rid={RID_A}", f"/start?rid={RID_A}", f"?rid={RID_A}", f"?rid={RID_A}"):
        assert said(await ask(node, f"/ping/{heartbeat.token}{last}")) == OK

    assert await overdue(node, heartbeat) == set()
    assert (await node.get(heartbeat)).running_since is None


@pytest.fixture
async def db(redis_url: str) -> AsyncIterator[Database]:
    async with opened(redis_url, clock=TEST_CLOCK) as database:
        yield database


async def wait_out(db: Database, seconds: float) -> None:
    """The node has stopped; we hear for so long, and what falls due is judged."""
    clock = Clock(db)
    await clock.set(await db.now() + seconds * 1000)
    await hear(db, clock)
    await deadlines.sweep(db, db.shards[0])
    await deadlines.timers(db, db.shards[0])


@pytest.mark.parametrize(("last", "status"), [("/start", "down"), ("/log", "pending")])
async def test_a_start_of_a_new_heartbeat_may_go_overdue_and_a_log_line_may_not(
    db: Database, last: str, status: str
) -> None:
    heartbeat = await heartbeats.create(db, Settings(name="backup", period=60, grace=30))
    async with aiohttp.ClientSession() as http, serving(db, http) as node:
        assert said(await ask(node, f"/ping/{heartbeat.token}{last}")) == OK

    await wait_out(db, 61)

    assert (await heartbeats.get(db, heartbeat.id)).stored_status == status


async def test_a_start_while_down_changes_nothing_and_its_success_resolves(node: Node) -> None:
    heartbeat = await node.create()
    await ask(node, f"/ping/{heartbeat.token}/fail")

    await ask(node, f"/ping/{heartbeat.token}/start?rid={RID_A}")
    assert await node.status(heartbeat) == "down"
    await ask(node, f"/ping/{heartbeat.token}?rid={RID_A}")

    assert await node.status(heartbeat) == "up"


async def test_a_log_line_never_changes_a_deadline_or_a_status(node: Node) -> None:
    for pings in ([""], ["", "/start"], ["/fail"], []):
        heartbeat = await node.create()
        for last in pings:
            await ask(node, f"/ping/{heartbeat.token}{last}")
        before = await node.get(heartbeat)

        assert said(await ask(node, f"/ping/{heartbeat.token}/log", "POST", b"line")) == OK

        assert await node.get(heartbeat) == before, pings
        assert (await stored(node, heartbeat))[-1] == Stored("log", output=b"line")


async def test_a_start_shortens_no_deadline(node: Node) -> None:
    """Theirs: whichever comes first, the deadline or the start and the grace time."""
    heartbeat = await node.create(period=86_400, grace=1)
    await ask(node, f"/ping/{heartbeat.token}")
    before = (await node.get(heartbeat)).deadline

    await ask(node, f"/ping/{heartbeat.token}/start")
    await ask(node, f"/ping/{heartbeat.token}/fail")
    await ask(node, f"/ping/{heartbeat.token}")

    after = (await node.get(heartbeat)).deadline
    assert before
    assert after
    assert after > before


# 13. Who pings


async def test_the_sender_is_on_record_as_far_as_it_can_be_believed(node: Node) -> None:
    for headers, agent in (
        ("User-Agent: " + "a" * 201 + "\r\n", "a" * 200),
        ("User-Agent: \r\n", ""),
        ("", ""),
        ("User-Agent: caf\xe9\r\n", "caf\N{REPLACEMENT CHARACTER}"),
        ("X-Forwarded-For: 6.6.6.6, 7.7.7.7\r\n", ""),  # nobody's proxy
    ):
        heartbeat = await node.create()
        request = f"GET /ping/{heartbeat.token} HTTP/1.1\r\nHost: hb\r\n{headers}\r\n"

        assert said(await replay(node, request.encode("latin-1"))) == OK

        rows = [row for row in (await events.page(node.db, heartbeat.id))[0] if row.kind == "success"]
        assert [(row.user_agent, row.client) for row in rows] == [(agent, "127.0.0.1")], headers


# 14. and 15. Deleted, pipelined, crowded


async def test_pings_of_a_heartbeat_that_is_being_deleted_are_taken_or_not_found(node: Node) -> None:
    for last in ("", "/start", "/fail", "/log"):
        heartbeat = await node.create()
        pings = [asyncio.create_task(ask(node, f"/ping/{heartbeat.token}{last}")) for _ in range(20)]
        await pings[0]
        await heartbeats.delete(node.db, heartbeat.id)
        pings += [asyncio.create_task(ask(node, f"/ping/{heartbeat.token}{last}")) for _ in range(20)]
        replies = await asyncio.gather(*pings)

        async def is_gone(url: str = f"/ping/{heartbeat.token}{last}") -> bool:
            return said(await ask(node, url)) == NOT_FOUND

        assert {said(reply) for reply in replies} <= {OK, NOT_FOUND}
        assert await eventually(is_gone)
        left = {key.decode().split(":")[1] for key in await node.db.execute("KEYS", f"*{heartbeat.id}*")}
        assert left <= {"deleted", "incident"}  # what is still to be told; no log, no hash comes back
        assert await node.db.execute("ZSCORE", node.db.shard(heartbeat.id).deadlines, heartbeat.id) is None


async def test_who_wants_the_connection_closed_gets_the_answer_first(node: Node) -> None:
    heartbeat = await node.create()
    for request in (
        "GET /ping/TOKEN HTTP/1.0\r\n\r\n",
        "HEAD /ping/TOKEN HTTP/1.0\r\nUser-Agent: x\r\n\r\n",
        "GET /ping/TOKEN HTTP/1.1\r\nHost: hb\r\nConnection: close\r\n\r\n",
        "POST /ping/TOKEN HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi",
    ):
        connection = await Connection.to(node)
        await connection.send(request.replace("TOKEN", heartbeat.token).encode())

        assert (await connection.receive(head=request.startswith("HEAD"))).status == 200, request
        assert await connection.closed_by_server(), request

        await connection.close()
    assert len(await stored(node, heartbeat)) == 4


async def test_pipelined_pings_are_answered_in_their_order(node: Node) -> None:
    heartbeat = await node.create()
    lasts = ["", "/start", "/256", "", "/log", "?rid=1", "/fail", ""] * 2
    requests = [
        f"POST /ping/{heartbeat.token}{last} HTTP/1.1\r\nHost: hb\r\nContent-Length: 1\r\n\r\nx" for last in lasts
    ]
    connection = await Connection.to(node)
    await connection.send("".join(requests).encode())

    answers = [said(await connection.receive()) for _ in lasts]

    await connection.close()
    assert answers == [{"/256": BAD_URL, "?rid=1": BAD_RID}.get(last, OK) for last in lasts]
    taken = {"": "success", "/start": "start", "/log": "log", "/fail": "fail"}
    assert [ping.signal for ping in await stored(node, heartbeat)] == [taken[last] for last in lasts if last in taken]
    assert await node.status(heartbeat) == "up"


async def test_three_hundred_clients_of_one_second_are_all_answered(node: Node) -> None:
    found = [await node.create(name=f"h{number}") for number in range(100)]

    replies = await asyncio.gather(
        *(ask(node, f"/ping/{heartbeat.token}", headers="Connection: close\r\n") for heartbeat in found * 3)
    )

    assert {said(reply) for reply in replies} == {OK}
    assert await heartbeats.count(node.db) == {"pending": 0, "up": 100, "down": 0, "paused": 0}


async def test_other_methods_are_told_which_there_are(node: Node) -> None:
    """Theirs: every method is a ping."""
    heartbeat = await node.create()

    for method in ("PUT", "PATCH", "DELETE"):
        reply = await ask(node, f"/ping/{heartbeat.token}", method, b"body")

        assert said(reply) == (405, b"method not allowed")
        assert reply.headers["allow"] == "GET, HEAD, POST, OPTIONS"
    assert await stored(node, heartbeat) == []


async def test_a_browser_that_asks_first_does_not_ping(node: Node) -> None:
    heartbeat = await node.create()

    reply = await ask(node, f"/ping/{heartbeat.token}", "OPTIONS", headers="Origin: https://example.org\r\n")

    assert (reply.status, reply.headers["access-control-allow-origin"]) == (204, "*")
    assert await stored(node, heartbeat) == []


async def test_a_rate_limit_is_told_with_the_time_to_wait_and_nothing_is_stored(node: Node) -> None:
    """Theirs, for a token: 200, and the ping is lost."""
    heartbeat = await node.create(rate_limit=1)
    assert said(await ask(node, f"/ping/{heartbeat.token}/start", "POST")) == OK

    reply = await ask(node, f"/ping/{heartbeat.token}", "POST", b"result")

    assert said(reply) == (429, b"rate limited")
    assert 0 < int(reply.headers["retry-after"]) <= 60
    assert await stored(node, heartbeat) == [Stored("start")]
