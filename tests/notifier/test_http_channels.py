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
from notifier.outgoing import open_session
from rules.channels import make_secret
from tests.notifier.messages import message
from tests.notifier.sinks import PATIENCE, Answer, HttpSink, certificate, http_sink

SECRET = make_secret()
CHANNELS: dict[str, dict[str, Any]] = {
    "webhook": {"url": "{base}/hook?key=hunter2", "secret": SECRET},
    "gotify": {"url": "{base}/hunter2", "token": "hunter2"},
}
PERMANENT: dict[str, set[int]] = {"webhook": {410}, "gotify": {400, 401, 403, 404, 410}}


@dataclass(frozen=True, kw_only=True)
class Case:
    answer: Answer
    reason: Reason | None  # None: delivered
    retry_after: tuple[float, float] | None = None  # seconds, from and to
    status: int | None = None


def answered(status: int, reason: Reason | None, **headers: str) -> Case:
    return Case(answer=Answer(status=status, headers=headers, body=b"secret hunter2"), reason=reason, status=status)


def asking(status: int, reason: Reason, value: str, *, seconds: tuple[float, float]) -> Case:
    return Case(
        answer=Answer(status=status, headers={"Retry-After": value}), reason=reason, status=status, retry_after=seconds
    )


#: From when the tests are collected; until this one runs, a slow machine may need half of it.
IN_FIFTY_MINUTES = format_datetime(datetime.now(UTC) + timedelta(minutes=50), usegmt=True)

CASES = {
    "200": answered(200, None),
    "201": answered(201, None),
    "204": Case(answer=Answer(status=204), reason=None),
    "301": answered(301, Reason.CLIENT_ERROR, Location="https://example.org/elsewhere?key=hunter2"),
    "400": answered(400, Reason.CLIENT_ERROR),
    "401": answered(401, Reason.AUTH),
    "403": answered(403, Reason.AUTH),
    "404": answered(404, Reason.CLIENT_ERROR),
    "410": answered(410, Reason.GONE),
    "429": answered(429, Reason.RATE_LIMITED),
    "429 with seconds": asking(429, Reason.RATE_LIMITED, "7", seconds=(7, 7)),
    "429 with a date": asking(429, Reason.RATE_LIMITED, IN_FIFTY_MINUTES, seconds=(1, 3_001)),
    "429 with nonsense": answered(429, Reason.RATE_LIMITED, **{"Retry-After": "soon"}),
    "500": answered(500, Reason.SERVER_ERROR),
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
    sender = SENDERS[kind](Senders(session=session, smtp=None, smtp_from=None))
    settings = {name: value.format(base=base) for name, value in CHANNELS[kind].items()}
    async with asyncio.timeout(PATIENCE):
        return await sender.send(message(), settings)


async def failure(session: aiohttp.ClientSession, kind: str, base: str) -> DeliveryError:
    with pytest.raises(DeliveryError) as failed:
        await send(session, kind, base)
    assert not any(secret in str(failed.value) for secret in ("hunter2", SECRET, "/"))
    assert failed.value.__cause__ is None
    return failed.value


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
        assert error.permanent == (case.status in PERMANENT[kind])
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

    assert (error.reason, error.permanent, error.status) == (Reason.REFUSED, False, None)


@pytest.mark.parametrize("kind", CHANNELS)
async def test_a_certificate_of_nobody_is_a_tls_failure_and_tried_again(
    session: aiohttp.ClientSession, kind: str, tmp_path: Path
) -> None:
    tls, _ = certificate(tmp_path)
    async with http_sink(tls) as untrusted:
        error = await failure(session, kind, f"https://127.0.0.1:{untrusted.port}")

        assert (error.reason, error.permanent) == (Reason.TLS, False)
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

    assert (error.reason, error.permanent) == (Reason.DNS, False)


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
