"""Pings by slug over real HTTP: who is meant, who is made, and who is refused."""

import asyncio

import pytest

from rules import limits, tokens
from store import heartbeats, keys, projects
from store.records import Heartbeat
from tests.conftest import eventually
from tests.ingest.conftest import NewNode, Node

RID = "c0ffee00-1234-4abc-8def-0123456789ab"
NOT_FOUND = (404, "not found")
BAD_URL = (400, "invalid url format")


@pytest.fixture
async def key(node: Node) -> str:
    return await projects.ping_key(node.db)


async def heartbeats_of(node: Node, slug: str, project: str = "default") -> list[str]:
    return (await projects.with_slugs(node.db, [(project, slug)]))[0]


async def the_one(node: Node, slug: str) -> Heartbeat:
    (found,) = await heartbeats_of(node, slug)
    return await heartbeats.get(node.db, found)


async def has_nothing(node: Node) -> bool:
    """No heartbeat, and no entry that points nowhere."""
    found = await node.db.pipeline([("ZCARD", node.db.shards[0].names("default")), ("ZCARD", keys.slugs("default"))])
    return found == [0, 0]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(
    ("last", "status"),
    [("", "up"), ("/", "up"), ("/0", "up"), ("/000", "up"), ("/start", "pending"), ("/log", "pending"),
     ("/fail", "down"), ("/1", "down"), ("/007", "down"), ("/255", "down"), ("/TERM", "down")],
)  # fmt: skip
async def test_the_signals_are_those_of_a_token(node: Node, key: str, method: str, last: str, status: str) -> None:
    heartbeat = await node.create(slug="srv01")

    code, body = await node.ask(f"/ping/{key}/srv01{last}", method)

    assert (code, body) == (200, "" if method == "HEAD" else "OK")
    assert await node.status(heartbeat) == status


@pytest.mark.parametrize("slug", ["start", "fail", "log", "0", "a-b_c", "-", "s" * 100])
async def test_any_slug_will_do_even_one_that_reads_like_a_signal(node: Node, key: str, slug: str) -> None:
    heartbeat = await node.create(slug=slug)

    assert await node.ask(f"/ping/{key}/{slug}") == (200, "OK")
    assert await node.ask(f"/ping/{key}/{slug}/3") == (200, "OK")
    assert await node.status(heartbeat) == "down"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/ping/KEY/nobody", NOT_FOUND),
        ("/ping/KEY/nobody/fail", NOT_FOUND),
        ("/ping/KEY/nobody/256", NOT_FOUND),
        ("/ping/KEY/nobody?rid=x", NOT_FOUND),
        ("/ping/KEY/nobody?create=true", NOT_FOUND),
        ("/ping/KEY/nobody?create=0", NOT_FOUND),
        ("/ping/KEY/nobody?create=1&create=2", NOT_FOUND),
        ("/ping/wrong/nobody?create=1", NOT_FOUND),
        ("/ping/KEYx/nobody?create=1", NOT_FOUND),
        ("/ping/KEY/nobody/256?create=1", BAD_URL),
        ("/ping/KEY/nobody/FAIL?create=1", BAD_URL),
        ("/ping/KEY/NOBODY?create=1", BAD_URL),
        ("/ping/KEY/nobody?create=1&rid=12345", (400, "invalid uuid format")),
        ("/ping/KEY/nobody?rid=&create=1", (400, "invalid uuid format")),
        ("/ping/KEY/nobody?create=1&every=0", (400, "every must be between 1 and 31622400 seconds")),
        ("/ping/KEY/nobody?create=1&every=31622401", (400, "every must be between 1 and 31622400 seconds")),
        ("/ping/KEY/nobody?create=1&every=1h", (400, "every must be between 1 and 31622400 seconds")),
        ("/ping/KEY/nobody?create=1&grace=-1", (400, "grace must be between 0 and 31622400 seconds")),
        ("/ping/KEY/nobody?create=1&grace=", (400, "grace must be between 0 and 31622400 seconds")),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_refused_makes_nothing(
    node: Node, key: str, method: str, path: str, answer: tuple[int, str]
) -> None:
    data = b"output" if method == "POST" else None

    assert await node.ask(path.replace("KEY", key), method, data=data) == answer

    assert await has_nothing(node)


@pytest.mark.parametrize("path", ["a.b", "a%20b", "a+b", "a%2Fb%2Fc", "%C3%A9", "s" * 101])
async def test_what_cannot_be_a_slug_is_no_ping(node: Node, key: str, path: str) -> None:
    assert (await node.ask(f"/ping/{key}/{path}?create=1"))[0] == 404
    assert await has_nothing(node)


async def test_a_slug_may_be_encoded(node: Node, key: str) -> None:
    heartbeat = await node.create(slug="a-b")

    assert (await node.raw(f"GET /ping/{key}/a%2Db HTTP/1.0\r\n\r\n".encode())).startswith(b"HTTP/1.1 200")
    assert await node.status(heartbeat) == "up"


async def test_the_wrong_path_of_a_known_slug_says_what_is_wrong_and_changes_nothing(node: Node, key: str) -> None:
    heartbeat = await node.create(slug="srv01")

    assert await node.ask(f"/ping/{key}/srv01/256") == BAD_URL
    assert await node.ask(f"/ping/{key}/srv01?rid=12345") == (400, "invalid uuid format")
    assert await node.get(heartbeat) == heartbeat


# create=1


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_first_ping_makes_its_heartbeat_and_the_next_one_finds_it(node: Node, key: str, method: str) -> None:
    path = f"{node.url}/ping/{key}/srv01?create=1"
    async with node.http.request(method, path) as response:
        created = response.status, await response.text()
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Ping-Body-Limit"] == "10000"
        assert "no-store" in response.headers["Cache-Control"]
    async with node.http.request(method, path) as response:
        again = response.status, await response.text()

    empty = method == "HEAD"
    assert (created, again) == ((201, "" if empty else "Created"), (200, "" if empty else "OK"))
    assert await node.ask(f"/ping/{key}/srv01") == (200, "OK")
    found = await the_one(node, "srv01")
    assert (found.settings.name, found.settings.period, found.settings.grace) == ("srv01", 86_400, 3_600)
    assert found.settings.channels is None
    assert await node.status(found) == "up"
    assert [row["kind"] for row in await node.events(found)] == [b"created", b"success", b"up", b"success", b"success"]


async def test_its_period_and_grace_are_taken_from_the_first_ping_alone(node: Node, key: str) -> None:
    assert (await node.ask(f"/ping/{key}/srv01?create=1&every=60&grace=5"))[0] == 201
    assert (await node.ask(f"/ping/{key}/srv01?create=1&every=90&grace=7"))[0] == 200

    settings = (await the_one(node, "srv01")).settings
    assert (settings.period, settings.grace) == (60, 5)


@pytest.mark.parametrize(
    ("last", "status"), [("/start", "pending"), ("/fail", "down"), ("/3", "down"), ("/log", "pending"), ("/0", "up")]
)
async def test_a_first_ping_may_be_any_signal(node: Node, key: str, last: str, status: str) -> None:
    answer = await node.ask(f"/ping/{key}/srv01{last}?create=1&rid={RID}", "POST", data=b"output")

    assert answer == (201, "Created")
    assert await node.status(await the_one(node, "srv01")) == status


@pytest.mark.parametrize("how_many", [1, 2])
async def test_of_two_first_pings_at_once_one_is_told_that_it_was_made(
    new_node: NewNode, node: Node, key: str, how_many: int
) -> None:
    nodes = [node, await new_node()][:how_many]
    for round_ in range(5):
        for slug in ("a", "b", "c"):
            path = f"/ping/{key}/{slug}{round_}"
            for each in nodes:  # they believe that there is none
                assert await each.ask(path) == NOT_FOUND
        pings = [each.ask(f"/ping/{key}/{slug}{round_}?create=1") for slug in "abc" for each in (nodes * 4)[:4]]
        answers = await asyncio.gather(*pings)

        assert sorted(answers) == [(200, "OK")] * 9 + [(201, "Created")] * 3
        for slug in "abc":
            assert await node.status(await the_one(node, f"{slug}{round_}")) == "up"


async def test_a_node_that_was_asked_too_early_finds_it_within_the_age_of_its_cache(
    new_node: NewNode, node: Node, key: str
) -> None:
    other = await new_node()
    assert await other.ask(f"/ping/{key}/srv01") == NOT_FOUND
    assert (await node.ask(f"/ping/{key}/srv01?create=1"))[0] == 201
    assert await node.ask(f"/ping/{key}/srv01") == (200, "OK")  # the node that made it at once

    async def finds_it() -> bool:
        return await other.ask(f"/ping/{key}/srv01") == (200, "OK")

    assert await eventually(finds_it, within_s=6)


async def test_one_that_was_deleted_is_made_anew(node: Node, key: str) -> None:
    assert (await node.ask(f"/ping/{key}/srv01?create=1"))[0] == 201
    await heartbeats.delete(node.db, (await the_one(node, "srv01")).id)

    assert await node.ask(f"/ping/{key}/srv01") == NOT_FOUND
    assert await node.ask(f"/ping/{key}/srv01?create=1") == (201, "Created")
    assert await node.ask(f"/ping/{key}/srv01?create=1") == (200, "OK")
    assert await node.status(await the_one(node, "srv01")) == "up"


async def test_a_full_project_makes_no_more_and_keeps_taking_pings(
    node: Node, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HEARTBEATS_MAX", 1)
    assert (await node.ask(f"/ping/{key}/a?create=1"))[0] == 201

    assert await node.ask(f"/ping/{key}/b?create=1") == (403, "a project has at most 1 heartbeats")
    assert await node.ask(f"/ping/{key}/a?create=1") == (200, "OK")
    assert await heartbeats_of(node, "b") == []


async def test_a_full_redis_makes_nothing(node: Node, key: str) -> None:
    await node.db.execute("CONFIG", "SET", "maxmemory", 1)
    try:
        assert (await node.ask(f"/ping/{key}/srv01?create=1"))[0] == 503
    finally:
        await node.db.execute("CONFIG", "SET", "maxmemory", 0)

    assert await has_nothing(node)
    assert (await node.ask(f"/ping/{key}/srv01?create=1"))[0] == 201


# Slugs that are not one heartbeat's for ever


async def test_a_slug_that_two_have_is_refused_and_changes_neither(node: Node, key: str) -> None:
    found = [await node.create(name=f"h{number}", slug="srv01") for number in range(2)]

    for path in ("srv01", "srv01?create=1", "srv01/fail"):
        assert await node.ask(f"/ping/{key}/{path}") == (409, "ambiguous slug")
    for heartbeat in found:
        assert await node.get(heartbeat) == heartbeat
    assert await node.ask(f"/ping/{found[0].token}") == (200, "OK")


async def test_one_slug_in_two_projects_is_two_heartbeats(node: Node, key: str) -> None:
    other_key = await projects.ping_key(node.db, "other")
    one = await node.create(slug="srv01")
    assert (await node.ask(f"/ping/{other_key}/srv01?create=1"))[0] == 201
    (other,) = await heartbeats_of(node, "srv01", "other")

    assert await node.ask(f"/ping/{key}/srv01/fail") == (200, "OK")
    assert await node.status(one) == "down"
    assert await node.status(await heartbeats.get(node.db, other)) == "up"


async def test_a_renamed_slug_ends_and_the_new_one_begins_within_the_age_of_the_cache(node: Node, key: str) -> None:
    heartbeat = await node.create(slug="old")
    assert await node.ask(f"/ping/{key}/old") == (200, "OK")
    assert await node.ask(f"/ping/{key}/new") == NOT_FOUND
    await heartbeats.edit(node.db, heartbeat.id, {"slug": "new"})

    async def has_moved() -> bool:
        answers = await asyncio.gather(*(node.ask(f"/ping/{key}/{slug}") for slug in ("old", "new")))
        return answers == [NOT_FOUND, (200, "OK")]

    assert await eventually(has_moved, within_s=6)
    assert (await node.ask(f"/ping/{key}/old?create=1"))[0] == 201
    assert await heartbeats_of(node, "old") != [heartbeat.id]


async def test_a_rotated_ping_key_ends_within_the_age_of_the_cache(new_node: NewNode, node: Node, key: str) -> None:
    other = await new_node()
    heartbeat = await node.create(slug="srv01")
    for each in (node, other):
        assert await each.ask(f"/ping/{key}/srv01") == (200, "OK")
    new = await projects.rotate(node.db)

    for each in (node, other):

        async def has_moved(each: Node = each) -> bool:
            answers = await asyncio.gather(*(each.ask(f"/ping/{one}/srv01") for one in (key, new)))
            return answers == [NOT_FOUND, (200, "OK")]

        assert await eventually(has_moved, within_s=6)
        assert await each.ask(f"/ping/{key}/another?create=1") == NOT_FOUND
        assert await each.ask(f"/ping/{heartbeat.token}") == (200, "OK")


async def test_a_scan_of_ping_keys_and_slugs_finds_nothing_and_stops_nobody(node: Node, key: str) -> None:
    await node.create(slug="srv01")
    scan = [node.ask(f"/ping/{tokens.new_ping_key()}/srv01?create=1") for _ in range(100)]
    scan += [node.ask(f"/ping/{key}/slug{number}") for number in range(100)]
    *found, known = await asyncio.gather(*scan, node.ask(f"/ping/{key}/srv01"))

    assert set(found) == {NOT_FOUND}
    assert known == (200, "OK")


async def test_neither_key_nor_slug_is_counted_by_name(node: Node, key: str) -> None:
    assert (await node.ask(f"/ping/{key}/srv01?create=1"))[0] == 201
    await node.ask(f"/ping/{key}/nobody")
    _, metrics = await node.ask("/metrics")

    assert key not in metrics
    assert "srv01" not in metrics
    assert 'flatline_pings_total{result="not_found"} 1.0' in metrics
