"""Cronitor's telemetry: `/p/<key>/<monitor>` and `/ping/<key>/<monitor>?state=`; `/<token>/run` as borgmatic has it."""

import pytest

from store import events, heartbeats, projects
from store.records import Heartbeat
from tests.compat.wire import Reply, Stored, ask, replay, stored
from tests.ingest.conftest import Node

OK = (200, b"OK")
CREATED = (201, b"Created")


def said(reply: Reply) -> tuple[int, bytes]:
    return reply.status, reply.body


async def monitor(node: Node, slug: str) -> Heartbeat:
    ((only,),) = await projects.with_slugs(node.db, [("default", slug)])
    return await heartbeats.get(node.db, only)


FORMS = ["/p/KEY/nightly", "/ping/KEY/nightly"]

#: cronitor-python: everything that is set, `stamp` always, `series` a float.
PYTHON = "state={}&message=Rows%3A+5&metric=duration%3A1.25&metric=count%3A5&series=1767225600.25&stamp=1767225601.5"
#: cronitor-cli.
CLI = "state={}&try=1&stamp=1767225600.123&msg=done&host=web1&duration=2.5&series=1767225600.1&status_code={}&env=prod"


@pytest.mark.parametrize("form", FORMS)
async def test_a_state_is_a_signal(node: Node, form: str) -> None:
    url = form.replace("KEY", await projects.ping_key(node.db))
    heartbeat = await node.create(slug="nightly")

    for state in ("run", "complete", "ok", "tick", "fail"):
        assert said(await ask(node, f"{url}?state={state}")) == OK, state

    assert [ping.signal for ping in await stored(node, heartbeat)] == ["start", "success", "success", "success", "fail"]
    assert await node.status(heartbeat) == "down"


@pytest.mark.parametrize("form", FORMS)
async def test_a_monitor_that_is_not_there_is_made(node: Node, form: str) -> None:
    url = form.replace("KEY", await projects.ping_key(node.db))

    assert [said(await ask(node, f"{url}?state=run")) for _ in range(2)] == [CREATED, OK]

    assert len(await stored(node, await monitor(node, "nightly"))) == 2


@pytest.mark.parametrize("form", FORMS)
async def test_cronitor_python_times_its_runs_by_series(node: Node, form: str) -> None:
    url = form.replace("KEY", await projects.ping_key(node.db))
    heartbeat = await node.create(slug="nightly")
    head = (
        "Host: hb\r\nUser-Agent: cronitor-python\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n"
        "Connection: keep-alive\r\n\r\n"
    )
    for state in ("run", "complete"):
        request = f"GET {url}?{PYTHON.format(state)} HTTP/1.1\r\n{head}"
        assert said(await replay(node, request.encode())) == OK

    start, success = await stored(node, heartbeat)
    assert (start.signal, success.signal) == ("start", "success")
    assert start.rid == success.rid != ""
    assert success.output == b"Rows: 5"
    (row,) = [row for row in (await events.page(node.db, heartbeat.id))[0] if row.kind == "success"]
    assert row.duration_ms is not None
    assert row.user_agent == "cronitor-python"


async def test_cronitor_cli_tells_an_exit_status_and_a_message(node: Node) -> None:
    url = f"/ping/{await projects.ping_key(node.db)}/Nightly-Backup"
    heartbeat = await node.create(slug="nightly-backup")  # its keys may have capitals

    for state, status in (("run", ""), ("fail", "3"), ("complete", "0"), ("fail", "999"), ("fail", "x")):
        assert said(await ask(node, f"{url}?{CLI.format(state, status)}")) == OK

    found = [(ping.signal, ping.exit_status, ping.output) for ping in await stored(node, heartbeat)]
    assert found == [
        ("start", "", b"done"), ("fail", "3", b"done"), ("success", "0", b"done"), ("fail", "", b"done"),
        ("fail", "", b"done"),
    ]  # fmt: skip


async def test_overlapping_series_are_runs_of_their_own(node: Node) -> None:
    url = f"/p/{await projects.ping_key(node.db)}/nightly"
    heartbeat = await node.create(slug="nightly")
    for query in ("state=run&series=1", "state=run&series=1.0", "state=complete&series=1"):
        assert said(await ask(node, f"{url}?{query}")) == OK

    first, second, end = [ping.rid for ping in await stored(node, heartbeat)]
    assert first == end != second
    timers = await node.db.execute("ZRANGE", node.db.shard(heartbeat.id).timers, 0, -1)
    assert timers == [f"overdue:{heartbeat.id}:{second}".encode()]


async def test_borgmatic_puts_the_state_behind_whatever_url_it_was_given(node: Node) -> None:
    """`<ping_url>/run`, `/complete`, `/fail`: a failed backup must not be taken for a good one."""
    key = await projects.ping_key(node.db)
    for form in ("/ping/TOKEN", "/TOKEN", "/p/KEY/first", "/p/KEY/Second", "/ping/KEY/third"):
        heartbeat = await node.create(slug=form.rpartition("/")[2].lower())
        url = form.replace("TOKEN", heartbeat.token).replace("KEY", key)

        for state in ("run", "complete", "fail"):
            assert said(await ask(node, f"{url}/{state}")) == OK, form

        assert [ping.signal for ping in await stored(node, heartbeat)] == ["start", "success", "fail"], form
        assert await node.status(heartbeat) == "down", form


async def test_without_a_state_it_is_a_heartbeat(node: Node) -> None:
    url = f"/p/{await projects.ping_key(node.db)}/nightly"
    heartbeat = await node.create(slug="nightly")

    for behind in ("", "?message=step+2", "?state=", "/0", "/3", "?host=web1"):
        assert said(await ask(node, url + behind)) == OK, behind

    found = [(ping.signal, ping.exit_status, ping.output) for ping in await stored(node, heartbeat)]
    assert found == [
        ("success", "", b""), ("success", "", b"step 2"), ("success", "", b""), ("success", "0", b""),
        ("fail", "3", b""), ("success", "", b""),
    ]  # fmt: skip


async def test_what_is_said_twice_or_oddly_does_not_make_a_failure_good(node: Node) -> None:
    url = f"/p/{await projects.ping_key(node.db)}/nightly"
    heartbeat = await node.create(slug="nightly")

    for query in (
        "state=fail&metric=a=b&metric=duration:NaN&metric=count:-1",
        "state=complete&state=fail",
        "state=fail&stamp=0",
        "state=fail&stamp=99999999999",  # a stranger's clock
        "state=fail&message=m&msg=n",
        "state=fail&message=&msg=n",
        "state=%66ail",
    ):
        assert said(await ask(node, f"{url}?{query}")) == OK, query

    pings = await stored(node, heartbeat)
    assert {ping.signal for ping in pings} == {"fail"}
    assert [ping.output for ping in pings[4:]] == [b"m", b"n", b""]
    last_fail = (await node.get(heartbeat)).last_fail_at
    assert last_fail
    assert abs(last_fail - await node.db.now()) < 60_000


async def test_an_unknown_state_is_refused_under_p_and_an_unknown_parameter_elsewhere(node: Node) -> None:
    key = await projects.ping_key(node.db)
    heartbeat = await node.create(slug="nightly")

    refused = await ask(node, f"/p/{key}/nightly?state=paused")
    assert said(refused) == (400, b"state must be one of run, complete, ok, tick, fail")
    assert await stored(node, heartbeat) == []
    assert said(await ask(node, f"/ping/{key}/nightly?state=paused")) == OK
    assert said(await ask(node, f"/ping/{key}/nightly?estate=fail")) == OK

    assert [ping.signal for ping in await stored(node, heartbeat)] == ["success", "success"]


@pytest.mark.parametrize("form", FORMS)
async def test_a_failure_among_too_many_fields_is_refused_and_not_taken_for_a_success(node: Node, form: str) -> None:
    url = form.replace("KEY", await projects.ping_key(node.db))
    heartbeat = await node.create(slug="nightly")

    reply = await ask(node, f"{url}?" + "metric=count:1&" * 200 + "state=fail")

    assert reply.status == 400
    assert await stored(node, heartbeat) == []


async def test_a_monitor_of_somebody_else_is_not_found_and_not_made(node: Node) -> None:
    heartbeat = await node.create(slug="nightly")

    for url in ("/p/wrongkey/nightly?state=fail", "/p/wrongkey/other", "/ping/wrongkey/nightly?state=run"):
        assert said(await ask(node, url)) == (404, b"not found"), url

    assert await stored(node, heartbeat) == []
    assert sum((await heartbeats.count(node.db)).values()) == 1


@pytest.mark.parametrize("method", ["POST", "HEAD"])
async def test_other_methods_ping_as_well(node: Node, method: str) -> None:
    url = f"/p/{await projects.ping_key(node.db)}/nightly?state=fail&message=said"
    heartbeat = await node.create(slug="nightly")

    assert (await ask(node, url, method, b"a body beside it")).status == 200

    assert await stored(node, heartbeat) == [Stored("fail", output=b"said")]


async def test_a_token_behind_p_is_no_monitor(node: Node) -> None:
    heartbeat = await node.create()

    assert (await ask(node, f"/p/{heartbeat.token}")).status == 404
    assert (await ask(node, f"/p/{heartbeat.token}/run")).status == 404

    assert await stored(node, heartbeat) == []
