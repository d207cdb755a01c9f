"""`flatline ping`: what arrives, what is said, and how it ends when flatline cannot be told."""

import asyncio
import sys
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

import aiohttp
import pytest

from store import heartbeats, projects
from store.database import opened
from store.records import Settings
from tests.flatline.clients import PING_KEY, TOKEN, Ran, clear, flatline, url_of
from tests.ingest.conftest import serving
from tests.notifier.sinks import Answer, HttpSink, certificate, http_sink
from tests.system.processes import free_port

RID = "c0ffee00-1234-4abc-8def-0123456789ab"


@pytest.fixture
async def sink() -> AsyncIterator[HttpSink]:
    async with http_sink() as server:
        yield server
        clear()


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ([], ""),
        (["--start"], "/start"),
        (["--fail"], "/fail"),
        (["--log"], "/log"),
        (["--exit-status", "0"], "/0"),
        (["--exit-status", "007"], "/7"),
        (["--exit-status", "255"], "/255"),
        (["--exit-status", "TERM"], "/TERM"),
        (["--rid", RID, "--start"], f"/start?rid={RID}"),
    ],
)
async def test_a_signal_arrives_and_nothing_is_said(sink: HttpSink, options: list[str], path: str) -> None:
    ran = await flatline("ping", *options, url_of(sink))

    assert ran == Ran(0, b"", "")
    (request,) = sink.requests
    assert (request.method, request.path, request.body) == ("POST", f"/ping/{TOKEN}{path}", b"")
    assert request.headers["User-Agent"] == f"flatline/{version('flatline')}"
    assert request.headers["Content-Type"] == "text/plain"


async def test_asked_to_it_says_what_was_delivered(sink: HttpSink) -> None:
    ran = await flatline("ping", "-v", "--fail", url_of(sink))

    assert ran == Ran(0, f"127.0.0.1:{sink.port} was told of fail\n".encode(), "")


async def test_what_a_url_has_of_a_query_stays(sink: HttpSink) -> None:
    url = f"http://127.0.0.1:{sink.port}/ping/{PING_KEY}/db1/?create=1&every=60"

    await flatline("ping", "--start", "--rid", RID, url)

    assert sink.requests[0].path == f"/ping/{PING_KEY}/db1/start?create=1&every=60&rid={RID}"


async def test_a_token_needs_only_to_be_told_where_flatline_is(sink: HttpSink) -> None:
    base = f"http://127.0.0.1:{sink.port}/monitor/"

    by_option = await flatline("ping", "--url", base, TOKEN)
    by_environment = await flatline("ping", TOKEN.replace("-", "").upper(), environment={"FLATLINE_PUBLIC_URL": base})

    assert (by_option.status, by_environment.status) == (0, 0)
    assert [request.path for request in sink.requests] == [f"/monitor/ping/{TOKEN}"] * 2


async def test_a_slug_goes_with_a_ping_key_from_wherever_it_comes(sink: HttpSink, tmp_path: Path) -> None:
    where = {"FLATLINE_PUBLIC_URL": f"http://127.0.0.1:{sink.port}"}
    (tmp_path / "key").write_text(PING_KEY + "\n")

    for words, environment in (
        (["--ping-key", PING_KEY], {}),
        ([], {"FLATLINE_PING_KEY": PING_KEY}),
        ([], {"FLATLINE_PING_KEY_FILE": str(tmp_path / "key")}),
    ):
        ran = await flatline("ping", "--slug", "db1", "--create", *words, environment=where | environment)
        assert ran == Ran(0, b"", "")

    assert [request.path for request in sink.requests] == [f"/ping/{PING_KEY}/db1?create=1"] * 3


async def test_a_body_is_sent_as_it_is(sink: HttpSink) -> None:
    said = "100 % voll: @datei & \udcff".encode(errors="surrogateescape")

    await flatline("ping", "--fail", "--body", said, url_of(sink))
    await flatline("ping", "--body", "-", url_of(sink), stdin=bytes(range(256)))

    assert [request.body for request in sink.requests] == [said, bytes(range(256))]


async def test_of_a_long_body_the_end_is_sent_and_says_so(sink: HttpSink) -> None:
    text = b"".join(b"line %d\n" % number for number in range(20_000))

    await flatline("ping", "--body", "-", url_of(sink), stdin=text)

    notice, _, tail = sink.requests[0].body.partition(b"\n")
    assert notice == b"[cut: this is the end of %d bytes]" % len(text)
    assert len(sink.requests[0].body) == 10_000
    assert text.endswith(tail)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "either a ping URL, a token, or --slug"),
        ([f"http://127.0.0.1:9/ping/{TOKEN}", "--slug", "db1"], "either a ping URL, a token, or --slug"),
        ([f"http://127.0.0.1:9/ping/{TOKEN}", TOKEN], "one URL or token is enough"),
        ([f"http://127.0.0.1:9/ping/{TOKEN}", f"--key={PING_KEY}"], "no option is called --key"),
        ([f"http://127.0.0.1:9/ping/{TOKEN}", "--sta"], "no option is called --sta"),
        ([f"http://127.0.0.1:9/ping/{TOKEN}", f"--start={TOKEN}"], "--start"),
        ([f"http://127.0.0.1:9/ping/{TOKEN}", "--start", "--fail"], "not allowed with"),
        ([f"http://127.0.0.1:9/ping/{TOKEN}#{PING_KEY}"], "without user, query and fragment"),
        ([f"http://{PING_KEY}@127.0.0.1:9/ping/{TOKEN}"], "without user, query and fragment"),
        ([f"ftp://127.0.0.1:9/ping/{TOKEN}"], "http"),
        (["http://127.0.0.1:9"], "it ends with the host"),
        ([TOKEN + "0"], "neither a ping URL nor a token"),
        ([TOKEN], "FLATLINE_PUBLIC_URL"),
        ([TOKEN, "--create", "--url", "http://127.0.0.1:9"], "--create needs --slug"),
        (["--slug", "db1", "--url", "http://127.0.0.1:9"], "FLATLINE_PING_KEY_FILE"),
        (["--slug", "db1", "--url", "http://127.0.0.1:9", "--ping-key", PING_KEY + "/"], "letters, digits"),
        (["--slug", "DB1", "--url", "http://127.0.0.1:9", "--ping-key", PING_KEY], "small letters"),
        (["--slug", "db1", "--url", "127.0.0.1:9", "--ping-key", PING_KEY], "http:// or https://"),
        ([f"http://127.0.0.1:9/ping/{TOKEN}", "--exit-status", "256"], "0 to 255"),
        ([f"http://127.0.0.1:9/ping/{TOKEN}", "--exit-status", "term"], "0 to 255"),
        ([f"http://127.0.0.1:9/ping/{TOKEN}", "--rid", "1"], "UUID"),
    ],
)
async def test_wrong_usage_is_one_line_without_the_secret(words: list[str], said: str) -> None:
    ran = await flatline("ping", *words)

    assert (ran.status, ran.stdout) == (2, b"")
    assert said in ran.stderr
    assert ran.stderr.startswith("flatline ping: ")
    assert ran.stderr.count("\n") == 1
    assert TOKEN not in ran.stderr
    assert PING_KEY not in ran.stderr


async def test_a_key_file_that_is_missing_is_named(tmp_path: Path) -> None:
    environment = {"FLATLINE_PUBLIC_URL": "http://127.0.0.1:9", "FLATLINE_PING_KEY_FILE": str(tmp_path / "none")}

    ran = await flatline("ping", "--slug", "db1", environment=environment)

    assert ran.status == 2
    assert "FLATLINE_PING_KEY_FILE" in ran.stderr


async def test_nobody_listening_is_one_line_with_the_host_and_the_reason() -> None:
    port = free_port()

    ran = await flatline("ping", "--start", f"http://127.0.0.1:{port}/ping/{TOKEN}")

    assert ran == Ran(1, b"", f"flatline ping: 127.0.0.1:{port} was not told of start: Connection refused\n")


async def test_what_may_pass_is_tried_again() -> None:
    async def tried(bad: Answer) -> None:
        async with http_sink() as sink:
            sink.answers.append(bad)

            ran = await flatline("ping", "--exit-status", "3", "--rid", RID, "--body", "x", url_of(sink))

            assert ran == Ran(0, b"", ""), bad
            assert [(r.path, r.body) for r in sink.requests] == [(f"/ping/{TOKEN}/3?rid={RID}", b"x")] * 2, bad

    async with asyncio.TaskGroup() as together:  # most of it is waiting
        for status in (500, 502, 503, 504, 408):
            together.create_task(tried(Answer(status=status)))
        for how in ("reset", "not http", "drip head", "hang"):
            together.create_task(tried(Answer(how=how)))


async def test_a_server_that_asks_for_time_gets_it(sink: HttpSink) -> None:
    times: list[float] = []
    sink.answers.append(Answer(status=429, headers={"Retry-After": "3"}))
    pinging = asyncio.create_task(flatline("ping", url_of(sink)))
    for count in (1, 2):
        await sink.received(count)
        times.append(asyncio.get_running_loop().time())

    assert (await pinging).status == 0
    assert times[1] - times[0] > 2.9


async def test_a_server_that_asks_for_an_hour_does_not_get_it(sink: HttpSink) -> None:
    sink.answer = Answer(status=429, headers={"Retry-After": "3600"})

    ran = await flatline("ping", url_of(sink))

    assert ran.status == 1
    assert "429 Too Many Requests" in ran.stderr
    assert len(sink.requests) == 2


async def test_three_tries_are_enough(sink: HttpSink) -> None:
    sink.answer = Answer(status=503, body=TOKEN.encode())

    ran = await flatline("ping", url_of(sink))

    said = f"flatline ping: 127.0.0.1:{sink.port} was not told of success: it answers 503 Service Unavailable\n"
    assert ran == Ran(1, b"", said)
    assert len(sink.requests) == 3


@pytest.mark.parametrize(("status", "ends"), [(400, 1), (401, 1), (403, 1), (404, 3), (405, 1), (409, 1), (410, 1)])
async def test_a_refusal_is_final(sink: HttpSink, status: int, ends: int) -> None:
    sink.answer = Answer(status=status, body=f"no /ping/{TOKEN} here".encode())

    ran = await flatline("ping", url_of(sink))

    assert ran.status == ends
    assert f"it answers {status} " in ran.stderr
    assert TOKEN not in ran.stderr
    assert len(sink.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_its_host_is_named(sink: HttpSink, status: int) -> None:
    async with http_sink() as elsewhere:
        to = f"http://localhost:{elsewhere.port}"
        sink.answer = Answer(status=status, headers={"Location": f"{to}/ping/{TOKEN}"})

        ran = await flatline("ping", url_of(sink))

        assert ran.status == 1
        assert f"a redirect to {to}; redirects are not followed" in ran.stderr
        assert TOKEN not in ran.stderr
        assert (len(sink.requests), len(elsewhere.requests)) == (1, 0)


async def test_a_certificate_must_be_trusted(tmp_path: Path) -> None:
    context, public = certificate(tmp_path)
    async with http_sink(context) as sink:
        url = f"https://localhost:{sink.port}/ping/{TOKEN}"

        stranger = await flatline("ping", url)
        friend = await flatline("ping", url, environment={"SSL_CERT_FILE": str(public)})

        assert stranger.status == 1
        assert "its certificate is not accepted" in stranger.stderr
        assert friend == Ran(0, b"", "")
        assert len(sink.requests) == 1


async def test_the_environments_proxy_is_used_unless_the_host_is_exempt(sink: HttpSink) -> None:
    async with http_sink() as proxy:
        environment = {"http_proxy": f"http://127.0.0.1:{proxy.port}", "no_proxy": "127.0.0.1"}

        assert (await flatline("ping", f"http://monitor.invalid/ping/{TOKEN}", environment=environment)).status == 0
        assert (await flatline("ping", url_of(sink), environment=environment)).status == 0

        assert [request.headers["Host"] for request in proxy.requests] == ["monitor.invalid"]
        assert len(sink.requests) == 1


async def test_a_proxy_on_the_way_to_https_never_sees_the_url() -> None:
    """Not at the third try either, when it agrees at last."""
    seen: list[bytes] = []
    replies = [b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(replies.pop(0))
        if not replies:
            seen.append(await reader.read(10_000))
        writer.close()

    async with await asyncio.start_server(tunnel, "127.0.0.1", 0) as server:
        proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ran = await flatline("ping", f"https://monitor.invalid/ping/{TOKEN}", environment={"https_proxy": proxy})

    assert ran.status == 1
    assert "(through the environment's proxy)" in ran.stderr
    assert [asked.split()[:2] for asked in seen[:3]] == [[b"CONNECT", b"monitor.invalid:443"]] * 3
    assert seen[3].startswith(b"\x16\x03")  # a TLS handshake
    assert TOKEN.encode() not in b"".join(seen)


async def test_a_real_node_takes_it_and_knows_whom_it_does_not_know(redis_url: str) -> None:
    async with opened(redis_url) as db, aiohttp.ClientSession() as http, serving(db, http) as node:
        heartbeat = await heartbeats.create(db, Settings(name="backup"))

        assert await flatline("ping", f"{node.url}/ping/{heartbeat.token}") == Ran(0, b"", "")
        assert await node.status(heartbeat) == "up"
        assert (await flatline("ping", "--url", node.url, "--exit-status", "TERM", heartbeat.token)).status == 0
        assert await node.status(heartbeat) == "down"

        stranger = await flatline("ping", "--url", node.url, TOKEN)
        assert stranger.status == 3
        assert (
            stranger.stderr
            == f"flatline ping: 127.0.0.1:{node.port} was not told of success: it answers 404 Not Found\n"
        )


async def test_a_slug_that_nobody_has_is_made_on_request(redis_url: str) -> None:
    async with opened(redis_url) as db, aiohttp.ClientSession() as http, serving(db, http) as node:
        words = ["ping", "--url", node.url, "--ping-key", await projects.ping_key(db), "--slug", "db1-backup"]

        assert (await flatline(*words)).status == 3
        assert (await flatline(*words, "--create")).status == 0

        ((found,),) = await projects.with_slugs(db, [("default", "db1-backup")])
        assert (await heartbeats.get(db, found)).stored_status == "up"


async def test_it_loads_nothing_that_a_ping_does_not_need(sink: HttpSink) -> None:
    script = f"import sys, flatline.cli; flatline.cli.main(['ping', '{url_of(sink)}']); print(' '.join(sys.modules))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    loaded = set((await process.communicate())[0].decode().split())

    assert len(sink.requests) == 1
    assert "flatline.client" in loaded
    assert loaded.isdisjoint(
        {
            "redis",
            "starlette",
            "uvicorn",
            "pydantic",
            "aiohttp",
            "asyncio",
            "orjson",
            "subprocess",
            "importlib.metadata",
        }
    )
