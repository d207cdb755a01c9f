import asyncio
import re
import socket
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import pytest

from notifier.channels import DeliveryError, Reason
from notifier.outgoing import ANSWER_MAX, Answer, accepted, open_session, post, refusal, request
from tests.notifier import sinks
from tests.notifier.sinks import PATIENCE, http_sink

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1"))
ANYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_public_addresses_are_reached(address: str) -> None:
    assert refusal(address) is None


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "172.16.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:10.0.0.1",
        "::ffff:0:7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::808:808",
        "100::1",
        "2001::f5ff:fffe",  # Teredo: the client's address stands there inverted
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_all_other_addresses_are_refused_by_the_name_of_the_setting(address: str) -> None:
    assert refusal(address) == f"{address} is a private address; allow it with FLATLINE_ALLOW_PRIVATE_TARGETS"
    assert refusal(address, ANYWHERE) is None


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
    ],
)
def test_metadata_services_are_never_reached(address: str) -> None:
    assert "metadata" in str(refusal(address))
    assert "metadata" in str(refusal(address, ANYWHERE))


def test_only_the_listed_networks_are_opened() -> None:
    allow = (IPv4Network("192.168.1.0/24"), IPv6Network("fd12::/16"))

    assert refusal("192.168.1.7", allow) is None
    assert refusal("::ffff:192.168.1.7", allow) is None
    assert refusal("fd12::7", allow) is None
    assert refusal("192.168.2.7", allow)
    assert refusal("127.0.0.1", allow)


async def blocked(host: str, port: int, **options: Any) -> DeliveryError:
    async with open_session(**options) as session, asyncio.timeout(PATIENCE):
        with pytest.raises(DeliveryError) as refused:
            await post(session, f"http://{host}:{port}/", b"", {})
    assert refused.value.reason is Reason.BLOCKED_TARGET
    return refused.value


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("[::ffff:127.0.0.1]", "::ffff:"),
        ("[::ffff:10.0.0.1]", "::ffff:"),
    ],
)
async def test_a_private_target_is_refused_before_anything_is_sent(host: str, named: str) -> None:
    async with http_sink() as sink:
        error = await blocked(host, sink.port)

        assert named in str(error)
        assert "FLATLINE_ALLOW_PRIVATE_TARGETS" in str(error)
        assert not error.permanent
        assert sink.requests == []


@pytest.mark.parametrize("host", ["2130706433", "127.1", "017700000001", "0177.0.0.1"])
async def test_odd_notations_of_addresses_are_refused_even_where_the_address_is_allowed(host: str) -> None:
    async with http_sink() as sink:
        error = await blocked(host, sink.port, allow=LOOPBACK)

        assert error.permanent
        assert sink.requests == []


async def test_metadata_is_refused_even_if_everything_is_allowed() -> None:
    error = await blocked("169.254.169.254", 80, allow=ANYWHERE)

    assert "never" in str(error)


async def test_a_name_with_several_private_addresses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def two(*_: object, **__: object) -> list[Any]:
        kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(socket.AF_INET, *kind, ("10.0.0.1", 80)), (socket.AF_INET, *kind, ("10.0.0.2", 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two)

    error = await blocked("two.example.org", 80)

    assert re.fullmatch(r"10\.0\.0\.[12] is a private address; .*", str(error))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_listed_target_is_reached(host: str) -> None:
    async with http_sink() as sink, open_session(allow=LOOPBACK) as session, asyncio.timeout(PATIENCE):
        answer = await post(session, f"http://{host}:{sink.port}/hook", b"hello", {})

        assert (answer.host, answer.status) == (host, 200)
        assert sink.requests[0].body == b"hello"


async def test_the_beginning_of_an_answer_is_there_for_whoever_reads_it() -> None:
    async with http_sink() as sink, open_session(allow=LOOPBACK) as session, asyncio.timeout(PATIENCE):
        sink.answers += [sinks.Answer(body=b'{"ok": false}'), sinks.Answer(how="endless")]
        url = f"http://127.0.0.1:{sink.port}/"

        assert (await request(session, "GET", url, None, {})).json() == {"ok": False}
        assert (await post(session, url, b"", {})).body == bytes(ANSWER_MAX)
        assert sink.requests[0].method == "GET"


@pytest.mark.parametrize("body", [b"", b"ok", b"[1]", b"null", b'{"ok":', b"\xff", b"[" * 65_536])
def test_an_answer_that_is_no_object_says_nothing(body: bytes) -> None:
    assert Answer("host", 200, {}, body).json() == {}


def test_what_a_body_says_makes_a_failure_of_a_success() -> None:
    assert accepted(Answer("host", 202, {})) == "202"
    with pytest.raises(DeliveryError, match=r"^host answered 202, but that it took no message$") as failed:
        accepted(Answer("host", 202, {}, b"hunter2"), failed=True, breaks=True)

    assert (failed.value.reason, failed.value.tries, failed.value.breaks) == (Reason.CLIENT_ERROR, 1, True)


def test_a_wait_that_the_body_asks_for_counts_before_the_headers() -> None:
    for status, seconds in ((429, 9.0), (503, 9.0), (500, None)):
        with pytest.raises(DeliveryError) as failed:
            accepted(Answer("host", status, {"Retry-After": "7"}), retry_after=9.0)

        assert failed.value.retry_after == seconds


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_sink() as sink, http_sink() as proxy, open_session(allow=LOOPBACK) as session:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        await post(session, f"http://127.0.0.1:{sink.port}/", b"", {})

        assert (len(sink.requests), len(proxy.requests)) == (1, 0)


@pytest.mark.parametrize("url", ["http://", "http://[::1/", "not a url", "http://a..b/"])
async def test_a_url_that_is_none_is_a_permanent_failure_of_the_settings(url: str) -> None:
    async with open_session(allow=LOOPBACK) as session:
        with pytest.raises(DeliveryError) as failed:
            await post(session, url, b"", {})

    assert (failed.value.reason, failed.value.permanent) == (Reason.SETTINGS, True)


async def test_a_header_cannot_be_smuggled_in() -> None:
    async with http_sink() as sink, open_session(allow=LOOPBACK) as session:
        with pytest.raises(DeliveryError) as failed:
            await post(session, f"http://127.0.0.1:{sink.port}/", b"", {"X-Key": "a\r\nX-Evil: b"})

        assert failed.value.reason is Reason.SETTINGS
        assert sink.requests == []
