"""One table of answers that every channel over HTTP must pass; a new one adds its row to CHANNELS."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from notifier.channels import SENDERS, DeliveryError, Reason, Senders
from notifier.outgoing import FEW_TRIES, open_session
from rules.channels import KINDS, check, make_secret
from tests.notifier.messages import message
from tests.notifier.sinks import PATIENCE, Answer, HttpSink, certificate, http_sink

SECRET = make_secret()
CHANNELS: dict[str, dict[str, Any]] = {
    "webhook": {"url": "{base}/hook?key=hunter2", "secret": SECRET},
    "gotify": {"url": "{base}/hunter2", "token": "hunter2"},
    "slack": {"url": "{base}/services/T0/B0/hunter2"},
    "discord": {"url": "{base}/api/webhooks/1/hunter2"},
    "telegram": {"url": "{base}", "token": "1:hunter2", "chat_id": "-1001"},
    "teams": {"url": "{base}/workflows/1?sig=hunter2"},
    "ntfy": {"url": "{base}", "topic": "hunter2", "token": "hunter2"},
    "pushover": {"url": "{base}", "token": "hunter2", "user": "hunter2"},
    "pagerduty": {"url": "{base}", "routing_key": "hunter2"},
    "alertmanager": {"url": "{base}", "token": "hunter2"},
}
#: Kinds that are not sent by our own HTTP.
APART = {"email", "apprise"}
#: How often a status is tried where a kind does not do as all others do.
TRIES: dict[str, dict[int, int]] = {"webhook": dict.fromkeys((301, 307, 400, 401, 403, 404, 413, 422), FEW_TRIES)}


@dataclass(frozen=True, kw_only=True)
class Case:
    answer: Answer
    reason: Reason | None  # None: delivered
    tries: int | None = None  # None: the whole schedule
    breaks: bool = False
    retry_after: tuple[float, float] | None = None  # seconds, from and to
    status: int | None = None


def answered(status: int, reason: Reason | None, *, tries: int | None = None, breaks: bool = False) -> Case:
    headers = {"Location": "https://example.org/elsewhere?key=hunter2"} if 300 <= status < 400 else {}
    answer = Answer(status=status, headers=headers, body=b"secret hunter2")
    return Case(answer=answer, reason=reason, status=status, tries=tries, breaks=breaks)


def asking(status: int, reason: Reason, value: str, *, seconds: tuple[float, float] | None) -> Case:
    answer = Answer(status=status, headers={"Retry-After": value})
    return Case(answer=answer, reason=reason, status=status, retry_after=seconds)


#: From when the tests are collected; until this one runs, a slow machine may need half of it.
IN_FIFTY_MINUTES = format_datetime(datetime.now(UTC) + timedelta(minutes=50), usegmt=True)

CASES = {
    "200": answered(200, None),
    "201": answered(201, None),
    "204": Case(answer=Answer(status=204), reason=None),
    "301": answered(301, Reason.CLIENT_ERROR, tries=1, breaks=True),
    "307": answered(307, Reason.CLIENT_ERROR, tries=1, breaks=True),
    "400": answered(400, Reason.CLIENT_ERROR, tries=1),
    "401": answered(401, Reason.AUTH, tries=1, breaks=True),
    "403": answered(403, Reason.AUTH, tries=1, breaks=True),
    "404": answered(404, Reason.CLIENT_ERROR, tries=1, breaks=True),
    "408": answered(408, Reason.CLIENT_ERROR),
    "410": answered(410, Reason.GONE, tries=1, breaks=True),
    "413": answered(413, Reason.CLIENT_ERROR, tries=1),
    "422": answered(422, Reason.CLIENT_ERROR, tries=1),
    "425": answered(425, Reason.CLIENT_ERROR),
    "429": answered(429, Reason.RATE_LIMITED),
    "429 with seconds": asking(429, Reason.RATE_LIMITED, "7", seconds=(7, 7)),
    "429 with a date": asking(429, Reason.RATE_LIMITED, IN_FIFTY_MINUTES, seconds=(1, 3_001)),
    "429 with nonsense": asking(429, Reason.RATE_LIMITED, "soon", seconds=None),
    "500": answered(500, Reason.SERVER_ERROR),
    "502": answered(502, Reason.SERVER_ERROR),
    "503 with seconds": asking(503, Reason.SERVER_ERROR, "7", seconds=(7, 7)),
    "no answer": Case(answer=Answer(how="hang"), reason=Reason.TIMEOUT),
    "a dripping head": Case(answer=Answer(how="drip head"), reason=Reason.TIMEOUT),
    "a dripping body": Case(answer=Answer(how="drip body"), reason=None),
    "an endless body": Case(answer=Answer(how="endless"), reason=None),
    "an endless failure": Case(answer=Answer(status=500, how="endless"), reason=Reason.SERVER_ERROR, status=500),
    "a reset": Case(answer=Answer(how="reset"), reason=Reason.REFUSED),
    "another protocol": Case(answer=Answer(how="not http"), reason=Reason.SERVER_ERROR),
}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(allow=(ip_network("127.0.0.0/8"),), deadline=0.5) as session:
        yield session


@pytest.fixture
async def sink() -> AsyncIterator[HttpSink]:
    async with http_sink() as sink:
        yield sink


async def send(session: aiohttp.ClientSession, kind: str, base: str) -> str:
    sender = SENDERS[kind].make(Senders(session=session, smtp=None, smtp_from=None))
    settings = check(kind, {name: value.format(base=base) for name, value in CHANNELS[kind].items()})
    async with asyncio.timeout(PATIENCE):
        return await sender.send(message(), settings)


async def failure(session: aiohttp.ClientSession, kind: str, base: str) -> DeliveryError:
    with pytest.raises(DeliveryError) as failed:
        await send(session, kind, base)
    assert not any(secret in str(failed.value) for secret in ("hunter2", SECRET, "/"))
    assert failed.value.__cause__ is None
    return failed.value


def test_no_kind_is_forgotten() -> None:
    assert set(CHANNELS) | APART == set(SENDERS) == set(KINDS)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("kind", CHANNELS)
async def test_every_answer_is_judged_alike(
    session: aiohttp.ClientSession, sink: HttpSink, kind: str, case: Case
) -> None:
    sink.answer = case.answer
    base = f"http://127.0.0.1:{sink.port}"

    if case.reason is None:
        assert await send(session, kind, base) == str(case.answer.status)
    else:
        error = await failure(session, kind, base)

        assert error.reason is case.reason
        assert error.status == case.status
        assert error.tries == TRIES.get(kind, {}).get(case.answer.status, case.tries)
        assert error.breaks is case.breaks
        if case.retry_after is None:
            assert error.retry_after is None
        else:
            assert error.retry_after is not None
            assert case.retry_after[0] <= error.retry_after <= case.retry_after[1]
    assert len(sink.requests) == 1


@pytest.mark.parametrize("kind", CHANNELS)
async def test_nobody_listening_is_refused_and_tried_again(session: aiohttp.ClientSession, kind: str) -> None:
    async with http_sink() as gone:
        port = gone.port

    error = await failure(session, kind, f"http://127.0.0.1:{port}")

    assert (error.reason, error.tries, error.breaks, error.status) == (Reason.REFUSED, None, False, None)


@pytest.mark.parametrize("kind", CHANNELS)
async def test_a_certificate_of_nobody_is_a_tls_failure_and_tried_again(
    session: aiohttp.ClientSession, kind: str, tmp_path: Path
) -> None:
    tls, _ = certificate(tmp_path)
    async with http_sink(tls) as untrusted:
        error = await failure(session, kind, f"https://127.0.0.1:{untrusted.port}")

        assert (error.reason, error.tries, error.breaks) == (Reason.TLS, None, False)
        assert untrusted.requests == []


@pytest.mark.parametrize("kind", CHANNELS)
async def test_plain_text_where_tls_is_asked_is_a_tls_failure(
    session: aiohttp.ClientSession, sink: HttpSink, kind: str
) -> None:
    error = await failure(session, kind, f"https://127.0.0.1:{sink.port}")

    assert error.reason is Reason.TLS


@pytest.mark.parametrize("kind", CHANNELS)
async def test_a_name_without_an_address_is_tried_again(session: aiohttp.ClientSession, kind: str) -> None:
    error = await failure(session, kind, "http://nowhere.invalid")

    assert (error.reason, error.tries, error.breaks) == (Reason.DNS, None, False)


@pytest.mark.parametrize("kind", CHANNELS)
async def test_requests_carry_nothing_that_we_did_not_mean(
    session: aiohttp.ClientSession, sink: HttpSink, kind: str
) -> None:
    sink.answer = Answer(headers={"Set-Cookie": "a=b"})
    for _ in range(2):
        await send(session, kind, f"http://127.0.0.1:{sink.port}")

    for request in sink.requests:
        assert request.method == "POST"
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["Accept-Encoding"] == "identity"
        assert request.headers["User-Agent"].startswith("flatline/")
        assert "Cookie" not in request.headers
