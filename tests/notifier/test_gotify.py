from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import aiohttp
import orjson
import pytest

from notifier.channels.gotify import OUTPUT_MAX, Gotify
from notifier.message import Message
from notifier.outgoing import open_session
from tests.notifier.messages import message
from tests.notifier.sinks import HttpSink, Request, http_sink

TOKEN = "gtfya.A7bQ2w_Lk-9xZs"
BARE: dict[str, Any] = {"details": (), "url": "", "runbook_url": ""}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(allow=(ip_network("127.0.0.1"),)) as session:
        yield session


@pytest.fixture
async def sink() -> AsyncIterator[HttpSink]:
    async with http_sink() as sink:
        yield sink


async def sent(session: aiohttp.ClientSession, sink: HttpSink, told: Message, base: str = "") -> Request:
    settings = {"url": f"http://127.0.0.1:{sink.port}{base}", "token": TOKEN}
    assert await Gotify(session).send(told, settings) == "200"
    return sink.requests[-1]


async def body(session: aiohttp.ClientSession, sink: HttpSink, told: Message) -> dict[str, Any]:
    parsed: dict[str, Any] = orjson.loads((await sent(session, sink, told)).body)
    return parsed


async def test_title_text_and_priority_arrive(session: aiohttp.ClientSession, sink: HttpSink) -> None:
    told = message(title="Резервная копия молчит", text="Нет пинга 1 ч", priority=9)

    assert await body(session, sink, told) == {
        "title": "Резервная копия молчит",
        "message": "Нет пинга 1 ч\n\nLast ping: 2023-11-14 21:08:20 UTC\nPeriod: 1 h\n\n"
        f"Runbook: {told.runbook_url}\n{told.url}",
        "priority": 9,
    }


async def test_priority_zero_is_sent_as_such(session: aiohttp.ClientSession, sink: HttpSink) -> None:
    assert (await body(session, sink, message(priority=0)))["priority"] == 0


async def test_the_token_stands_in_both_headers_and_nowhere_else(
    session: aiohttp.ClientSession, sink: HttpSink
) -> None:
    request = await sent(session, sink, message())

    assert request.headers["X-Gotify-Key"] == request.headers["X-Notifly-Key"] == TOKEN
    assert TOKEN not in request.path
    assert TOKEN.encode() not in request.body


@pytest.mark.parametrize(
    ("base", "path"), [("", "/message"), ("/", "/message"), ("/push", "/push/message"), ("/push//", "/push/message")]
)
async def test_the_path_is_joined_with_one_slash(
    session: aiohttp.ClientSession, sink: HttpSink, base: str, path: str
) -> None:
    assert (await sent(session, sink, message(), base)).path == path


async def test_the_tail_of_the_output_follows_the_text(session: aiohttp.ClientSession, sink: HttpSink) -> None:
    told = message(text="exit 1", **BARE, output=b"x" * 5_000 + b"\xff\xd0\x9e\xd0\xba\n")

    text = (await body(session, sink, told))["message"]

    assert text.startswith("exit 1\n\nxxx")
    assert text.endswith("x\N{REPLACEMENT CHARACTER}Ок")
    assert len(text) == len("exit 1\n\n") + OUTPUT_MAX


async def test_the_message_is_never_empty(session: aiohttp.ClientSession, sink: HttpSink) -> None:
    assert (await body(session, sink, message(title="silent", text=" ", **BARE)))["message"] == "silent"
