"""Apprise, against servers of our own: a service's address is changed in the library, or a proxy is put before it."""

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import apprise
import pytest

from notifier.channels import SENDERS, DeliveryError, Reason, Senders
from notifier.channels.apprise import Apprise
from notifier.channels.threads import Full, Threads
from notifier.message import Message
from notifier.outgoing import open_session
from rules.apprise import SCHEMES, apprise_url
from tests.notifier.messages import HOSTILE, hostile, message
from tests.notifier.sinks import PATIENCE, Answer, HttpSink
from tests.notifier.telling import answer

#: The library's plugins, loaded all at once.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

URL = "pbul://hunter2"
#: One URL of each scheme that the library takes, and the host it speaks to then.
SERVICES = {
    "46elks": ("user:pw@+15551231234/+15551231235", "api.46elks.com"),
    "bulksms": ("id:secret@+15551231234", "api.bulksms.com"),
    "clickatell": ("key/15551231234", "platform.clickatell.com"),
    "clicksend": ("user:key@15551231234", "rest.clicksend.com"),
    "d7sms": ("token@15551231234", "api.d7networks.com"),
    "dingtalk": ("abcd1234", "oapi.dingtalk.com"),
    "elks": ("user:pw@+15551231234/+15551231235", "api.46elks.com"),
    "feishu": ("abcd1234", "open.feishu.cn"),
    "firehydrant": ("abc123", "signals.firehydrant.com"),
    "flock": ("a" * 24, "api.flock.com"),
    "gchat": ("space/key/token", "chat.googleapis.com"),
    "groupme": ("a" * 26, "api.groupme.com"),
    "ifttt": ("webhookid/event", "maker.ifttt.com"),
    "ilert": ("il1api123", "api.ilert.com"),
    "incidentio": ("source/token", "api.incident.io"),
    "join": (f"{'a' * 32}/{'d' * 32}", "joinjoaomgcd.appspot.com"),
    "lark": ("abcd1234", "open.larksuite.com"),
    "line": ("token/U1234", "api.line.me"),
    "msgbird": (f"{'a' * 25}/15551231234/15551231235", "rest.messagebird.com"),
    "nexmo": (f"{'a' * 8}:{'b' * 16}@15551231234/15551231235", "rest.nexmo.com"),
    "opsgenie": ("12345678-1234-1234-1234-1234567890ab", "api.opsgenie.com"),
    "pagertree": ("int_abcDEFghi", "api.pagertree.com"),
    "pbul": ("token", "api.pushbullet.com"),
    "plivo": (f"{'a' * 25}@{'b' * 40}/15551231234/15551231235", "api.plivo.com"),
    "prowl": ("a" * 40, "api.prowlapp.com"),
    "psafers": ("a" * 20, "www.pushsafer.com"),
    "push": ("12345678-1234-4234-8234-1234567890AB", "push.techulus.com"),
    "pushed": (f"{'a' * 32}/{'b' * 64}", "api.pushed.co"),
    "pushplus": ("a" * 32, "www.pushplus.plus"),
    "pushy": ("apikey/@device", "api.pushy.me"),
    "schan": ("SCT123abc", "sctapi.ftqq.com"),
    "seven": (f"{'a' * 25}/15551231234", "gateway.seven.io"),
    "signl4": ("secret", "connect.signl4.com"),
    "simplepush": ("abc123", "api.simplepu.sh"),
    "sinch": (f"{'a' * 32}:{'b' * 32}@15551231234/15551231235", "us.sms.api.sinch.com"),
    "spike": ("a" * 32, "api.spike.sh"),
    "splunk": ("route@12345678-1234-1234-1234-1234567890ab", "alert.victorops.com"),
    "spush": ("abc123", "api.simplepu.sh"),
    "squadcast": ("abc123", "api.squadcast.com"),
    "telnyx": ("KEY0123_abc@15551231234/15551231235", "api.telnyx.com"),
    "threema": (f"*GATEWAY@{'a' * 16}/15551231234", "msgapi.threema.ch"),
    "twilio": (f"AC{'a' * 32}:{'b' * 32}@15551231234/15551231235", "api.twilio.com"),
    "twist": ("password:user@example.com", "api.twist.com"),
    "victorops": ("route@12345678-1234-1234-1234-1234567890ab", "alert.victorops.com"),
    "vonage": (f"{'a' * 8}:{'b' * 16}@15551231234/15551231235", "rest.nexmo.com"),
    "webex": ("a" * 80, "api.ciscospark.com"),
    "wecombot": ("a" * 36, "qyapi.weixin.qq.com"),
    "whatsapp": ("token@15551231234/15551231235", "graph.facebook.com"),
    "wxpusher": ("AT_appid/UID_123456", "wxpusher.zjiecode.com"),
    "wxteams": ("a" * 80, "api.ciscospark.com"),
    "zoom": ("webhookid/token", "inbots.zoom.us"),
}
#: And others, where its URL has more in it.
ALSO = {"webex": {"webexapis.com"}, "wxteams": {"webexapis.com"}}
#: What stands in the place of a token or beside it, to aim us somewhere else.
AIMS = (
    "evil.example",
    "127.0.0.1:1",
    "@evil.example",
    "%40evil.example%2F",
    "..%2F..%2Fevil.example%23",
    "a:b@evil.example",
)


@pytest.fixture
def pushbullet(sink: HttpSink, monkeypatch: pytest.MonkeyPatch) -> HttpSink:
    """Pushbullet, on loopback."""
    service = apprise.Apprise.instantiate(URL)
    assert service is not None
    monkeypatch.setattr(type(service), "notify_url", f"http://127.0.0.1:{sink.port}/{{}}")
    return sink


async def send(told: Message | None = None, url: str = URL, threads: Threads | None = None, **options: Any) -> str:
    async with asyncio.timeout(PATIENCE):
        return await Apprise(threads or Threads(1), **options).send(told or message(), {"url": url})


async def failure(url: str = URL, threads: Threads | None = None, **options: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as failed:
        await send(url=url, threads=threads, **options)
    assert not any(secret in str(failed.value) for secret in ("hunter2", "/", "evil"))
    assert failed.value.__cause__ is None
    return failed.value


async def test_a_message_arrives_with_its_title_and_output(pushbullet: HttpSink) -> None:
    assert await send(message(output=b"rsync: gone\n")) == "200"

    [request] = pushbullet.requests
    assert "Резервная копия молчит".encode("unicode_escape") in request.body
    assert b"No ping for 1 h 5 min." in request.body
    assert b"rsync: gone" in request.body


async def test_hostile_and_endless_texts_are_sent_all_the_same(pushbullet: HttpSink) -> None:
    assert await send(hostile(10_000)) == "200"

    assert HOSTILE.encode() not in pushbullet.requests[0].body  # its controls are gone
    assert len(pushbullet.requests[0].body) < 10_000


async def test_a_text_is_cut_to_what_the_service_takes(pushbullet: HttpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    service = apprise.Apprise.instantiate(URL)
    monkeypatch.setattr(type(service), "body_maxlen", 160)

    assert await send(message(text="x" * 1_000)) == "200"

    assert 100 < pushbullet.requests[0].body.count(b"x") <= 160
    assert len(pushbullet.requests) == 1


async def test_many_recipients_are_told_without_a_pause(pushbullet: HttpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)

    assert await send(url=f"{URL}/a%40example.org/b%40example.org/c%40example.org") == "200"

    assert len(pushbullet.requests) == 3
    assert pauses == []


@pytest.mark.parametrize(
    ("status", "reason", "tries", "breaks"),
    [
        (301, Reason.CLIENT_ERROR, 1, True),
        (400, Reason.CLIENT_ERROR, 1, False),
        (401, Reason.AUTH, 1, True),
        (404, Reason.CLIENT_ERROR, 1, True),
        (410, Reason.GONE, 1, True),
        (429, Reason.RATE_LIMITED, None, False),
        (503, Reason.SERVER_ERROR, None, False),
    ],
)
async def test_statuses_are_judged_as_those_of_all_others(
    pushbullet: HttpSink, status: int, reason: Reason, tries: int | None, *, breaks: bool
) -> None:
    pushbullet.answer = answer(status, "hunter2", Location=f"http://127.0.0.1:{pushbullet.port}/elsewhere")

    error = await failure()

    assert (error.reason, error.status, error.tries, error.breaks) == (reason, status, tries, breaks)
    assert len(pushbullet.requests) == 1  # and no redirect was followed


@pytest.mark.parametrize("how", ["reset", "not http"])
async def test_no_answer_at_all_is_tried_again(pushbullet: HttpSink, how: Any) -> None:
    pushbullet.answer = Answer(how=how)

    error = await failure()

    assert (error.reason, error.status, error.tries, error.breaks) == (Reason.SERVER_ERROR, None, None, False)


@pytest.mark.parametrize("bug", [ValueError, KeyError, RuntimeError])
async def test_a_bug_of_a_plugin_is_a_failure_like_any_other(
    monkeypatch: pytest.MonkeyPatch, bug: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise bug("hunter2")

    monkeypatch.setattr(type(apprise.Apprise.instantiate(URL)), "send", fail)

    error = await failure()

    assert (error.reason, error.tries, error.breaks) == (Reason.SERVER_ERROR, None, False)


async def test_an_old_status_is_not_taken_for_a_new_one(pushbullet: HttpSink) -> None:
    pushbullet.answers += [answer(401, "x"), Answer(how="reset")]

    assert (await failure()).status == 401
    assert (await failure()).status is None


async def test_a_service_that_hangs_meets_the_deadline_and_then_finds_no_place(pushbullet: HttpSink) -> None:
    pushbullet.answer = Answer(how="hang")
    threads = Threads(1)

    late = await failure(threads=threads, deadline=0.3)
    full = await failure(threads=threads)

    assert (late.reason, late.tries, late.breaks) == (Reason.TIMEOUT, None, False)
    assert (full.reason, full.tries, full.breaks) == (Reason.RATE_LIMITED, None, False)
    assert len(pushbullet.requests) == 1


async def test_a_hundred_that_hang_hold_no_more_threads_than_allowed(pushbullet: HttpSink) -> None:
    pushbullet.answer = Answer(how="hang")
    threads, before = Threads(4), threading.active_count()
    loops = {thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")}  # of tests before

    errors = await asyncio.gather(*(failure(threads=threads, deadline=0.3) for _ in range(100)))

    assert sorted(error.reason for error in errors) == [Reason.RATE_LIMITED] * 96 + [Reason.TIMEOUT] * 4
    assert threading.active_count() <= before + 4
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "apprise")  # an end waits for none
    assert {thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")} <= loops


async def test_a_place_is_free_again_when_the_work_has_ended() -> None:
    threads, go = Threads(1), threading.Event()
    waiting = asyncio.create_task(threads.run(go.wait))
    await asyncio.sleep(0)

    with pytest.raises(Full):
        await threads.run(lambda: None)
    go.set()

    assert await waiting
    assert await threads.run(lambda: "again") == "again"


async def test_what_work_raises_is_raised_to_whoever_waits() -> None:
    threads = Threads(1)

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 / 0)


async def test_all_channels_of_a_notifier_share_the_threads() -> None:
    async with open_session() as session:
        shared = Senders(session=session, smtp=None, smtp_from=None)
        first, second = (SENDERS["apprise"].make(shared) for _ in range(2))

    assert isinstance(first, Apprise)
    assert isinstance(second, Apprise)
    assert first._threads is second._threads is shared.apprise


@pytest.mark.parametrize(
    "url", ["json://hunter2.example", "pbul://", "pbul://hunter2?redirect=yes", "opsgenie://x?region=evil"]
)
async def test_a_url_that_makes_no_service_breaks_the_channel(url: str) -> None:
    error = await failure(url)

    assert (error.reason, error.tries, error.breaks) == (Reason.SETTINGS, 1, True)


async def test_nothing_of_the_library_reaches_our_logs(pushbullet: HttpSink) -> None:
    pushbullet.answer = answer(401, "hunter2")
    seen: list[str] = []

    class Ours(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    ours, root = Ours(), logging.getLogger()
    root.addHandler(ours)
    try:
        await failure()
        root.warning("ours")
    finally:
        root.removeHandler(ours)

    assert seen == ["ours"]


def test_a_notifier_does_not_load_the_library_before_it_is_needed() -> None:
    code = "import sys, notifier.app; sys.exit('apprise' in sys.modules or 'requests' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
async def asked(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """The hosts to which a connection was asked of a proxy, which refuses them all."""
    hosts: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, _ = (await reader.readline()).decode().split(" ", 2)
        hosts.append(target.removesuffix(":443") if method == "CONNECT" else f"{method} {target}")
        writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with server:
        yield hosts


def test_no_scheme_is_forgotten() -> None:
    assert set(SERVICES) == SCHEMES


@pytest.mark.parametrize("scheme", SERVICES)
async def test_each_service_speaks_to_its_own_host_over_tls_and_to_no_other(scheme: str, asked: list[str]) -> None:
    sample, host = SERVICES[scheme]
    url = apprise_url(f"{scheme}://{sample}")

    await failure(url)

    assert set(asked) == {host}


@pytest.mark.parametrize("scheme", SERVICES)
async def test_nothing_in_a_url_aims_a_service_elsewhere(scheme: str, asked: list[str]) -> None:
    sample, host = SERVICES[scheme]
    rests = [sample.replace(part, aim, 1) for part in set(sample.replace("@", "/").split("/")) for aim in AIMS]
    rests += [f"{sample}?{name}={aim}" for name in ("region", "to", "from", "sound", "priority") for aim in AIMS]
    for rest in rests:
        await failure(f"{scheme}://{rest}")

    assert set(asked) <= {host} | ALSO.get(scheme, set())
