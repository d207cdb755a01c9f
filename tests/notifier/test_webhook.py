import time
from collections.abc import AsyncIterator
from ipaddress import ip_network

import aiohttp
import orjson
import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from notifier.channels.webhook import Webhook, sign
from notifier.outgoing import open_session
from rules.channels import make_secret
from tests.notifier.messages import message
from tests.notifier.sinks import HttpSink, Request, http_sink

SECRET = make_secret()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(allow=(ip_network("127.0.0.1"),)) as session:
        yield session


@pytest.fixture
async def sink() -> AsyncIterator[HttpSink]:
    async with http_sink() as sink:
        yield sink


async def sent(session: aiohttp.ClientSession, sink: HttpSink) -> Request:
    settings = {"url": f"http://127.0.0.1:{sink.port}/hook?key=k", "secret": SECRET}
    assert await Webhook(session).send(message(), settings) == "200"
    return sink.requests[-1]


async def test_the_published_verifier_accepts_our_signature(session: aiohttp.ClientSession, sink: HttpSink) -> None:
    request = await sent(session, sink)

    assert Verifier(SECRET).verify(request.body, dict(request.headers)) == message().payload
    assert request.path == "/hook?key=k"


async def test_the_published_verifier_refuses_another_body(session: aiohttp.ClientSession, sink: HttpSink) -> None:
    request = await sent(session, sink)

    with pytest.raises(WebhookVerificationError):
        Verifier(SECRET).verify(request.body + b" ", dict(request.headers))


async def test_a_retry_keeps_the_id_and_the_body_and_has_its_own_timestamp(
    session: aiohttp.ClientSession, sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await sent(session, sink)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 60)
    second = await sent(session, sink)

    assert first.body == second.body == orjson.dumps(message().payload)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == message().id
    assert int(second.headers["webhook-timestamp"]) == int(now + 60)
    assert int(first.headers["webhook-timestamp"]) < int(second.headers["webhook-timestamp"])


def test_the_signature_is_that_of_the_specification() -> None:
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        b'{"test": 2432232314}',
    )

    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
