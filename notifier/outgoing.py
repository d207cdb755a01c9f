"""HTTP to places that strangers chose: the one session all HTTP channels use, and the one way to POST with it.

A channel's URL is an attempt to make us talk to whoever its author wants, so the decision falls where the final
address is known, at the creation of the socket: no notation of a host, no second answer of a name server and no
redirect comes between the check and the connection.
"""

import contextlib
import socket
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import orjson

from notifier.channels import DeliveryError, Reason
from rules.retry import parse_retry_after

Network = IPv4Network | IPv6Network

# Seconds for one request in all, from the name's look-up to the end of the answer; a sender makes two at most.
DEADLINE: Final = 15.0
ANSWER_MAX: Final = 65_536  # bytes read of an answer; some services say only there what went wrong
SETTING: Final = "FLATLINE_ALLOW_PRIVATE_TARGETS"

# Where clouds keep their machines' credentials (link-local; AWS, Google, Alibaba, Oracle, Azure).
NEVER: Final = tuple(
    map(
        ip_network,
        ("169.254.0.0/16", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"),
    )
)
# Shared and protocol space, relays, documentation: some Python that we support takes them for public.
NOT_PUBLIC: Final = tuple(
    map(ip_network, ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20"))
)
GLOBAL_UNICAST: Final = IPv6Network("2000::/3")  # all of IPv6 that was ever given out
NAT64: Final = IPv6Network("64:ff9b::/96")

NOT_NOW: Final = frozenset({408, 425, 429})
BREAKING: Final = frozenset({401, 403, 404, 407, 410})
FEW_TRIES: Final = 5  # some forty-five minutes: longer than a deploy, short enough to tell the owner

_BLOCKED: Final = -1  # an errno that no system has: tells our refusal from the network's


class Answer(NamedTuple):
    host: str
    status: int
    headers: Mapping[str, str]
    body: bytes = b""  # its beginning; never for a log or an error's text, for who knows what a stranger's server says

    def json(self) -> dict[str, Any]:
        """The body if it is an object of JSON; else, as after a proxy's page or half an answer, an empty one."""
        with contextlib.suppress(ValueError):
            if isinstance(parsed := orjson.loads(self.body), dict):
                return parsed
        return {}


def refusal(address: str, allow: Sequence[Network] = ()) -> str | None:
    """Why we do not connect to this address, naming the setting that would allow it; None: we do.

    `allow`: networks of the operator's own that channels may reach. Metadata services stay out of reach even then.
    """
    target = _target(ip_address(address))
    if any(target in network for network in NEVER):
        return f"{address} is a metadata address, which channels may never reach"
    if _is_public(target) or any(target in network for network in allow):
        return None
    return f"{address} is a private address; allow it with {SETTING}"


def open_session(*, allow: Sequence[Network] = (), deadline: float = DEADLINE) -> aiohttp.ClientSession:
    """The guarded session; needs a running loop, and must be closed."""

    def guarded(info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if reason := refusal(str(address[0]), allow):
            raise OSError(_BLOCKED, reason)  # an OSError, so that another address of the name gets its turn
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(
        socket_factory=guarded,
        limit=0,  # whoever runs deliveries bounds them; a queue here would eat their deadline
        force_close=True,  # alerts are rare: an idle connection is mostly one that the other side has just dropped
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=deadline),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,  # a proxy would connect where we would not
        auto_decompress=False,  # no bomb goes off in an answer that stays packed
        headers={"User-Agent": f"flatline/{version('flatline')}", "Accept-Encoding": "identity"},
    )


async def post(session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """POST once, as `request` does."""
    return await request(session, "POST", url, body, headers)


async def post_json(
    session: aiohttp.ClientSession, url: str, content: object, headers: Mapping[str, str] | None = None
) -> Answer:
    return await post(session, url, orjson.dumps(content), {"content-type": "application/json", **(headers or {})})


async def request(
    session: aiohttp.ClientSession, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
) -> Answer:
    """Ask once and return the answer, whatever its status; redirects are answers too.

    Raises DeliveryError when there is none. A status that has arrived counts, however its body goes on: the receiver
    has decided, and a repeat would only tell people twice.
    """
    host = _host(url)
    try:
        response = await session.request(method, url, data=body, headers=headers, allow_redirects=False)
    except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:  # uvloop has RuntimeErrors for OSErrors
        raise _failure(host, error) from None  # the cause's text may hold the URL
    said = bytearray()
    try:
        # Read even where nobody looks: some servers abort a handler whose client hangs up.
        with contextlib.suppress(aiohttp.ClientError, OSError):
            while len(said) < ANSWER_MAX and (chunk := await response.content.read(ANSWER_MAX - len(said))):
                said += chunk
        return Answer(host, response.status, response.headers, bytes(said))
    finally:
        response.close()


def accepted(
    answer: Answer,
    *,
    few: frozenset[int] = frozenset(),
    failed: bool = False,
    breaks: bool = False,
    retry_after: float | None = None,
) -> str:
    """The status as text if it is a success; else raises DeliveryError. The one table of answers, for every channel:

    a wrong key or address (401, 403, 404, 407, 410, a redirect) breaks the channel; any other 4xx refuses this message
    and no repeat changes that; but what says "not now" (408, 425, 429, 5xx) is tried for days. `few`: statuses that
    are worth a few tries before they are believed, because a receiver in the middle of a deploy says them too.

    The rest is what the sender read in the body: `failed`: it was a failure in spite of a 2xx; `breaks`: the channel
    is at fault in spite of the status; `retry_after`: seconds that a 429 asks for there.
    """
    status = answer.status
    if 200 <= status < 300 and not failed:
        return str(status)
    not_now = status in NOT_NOW or status >= 500
    if status in {429, 503} and retry_after is None:
        retry_after = parse_retry_after(answer.headers.get("Retry-After", ""), time.time())
    raise DeliveryError(
        _reason(status),
        f"{answer.host} answered {status}{_hint(status)}",
        tries=None if not_now else FEW_TRIES if status in few else 1,
        breaks=breaks or status in BREAKING or 300 <= status < 400,
        status=status,
        retry_after=retry_after if status in {429, 503} else None,
    )


def _target(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Where a packet ends up: the IPv4 address inside an IPv6 one that is translated or tunnelled on its way.

    Not unwrapped is NAT64's local 64:ff9b:1::/48: where in it the address stands is each network's own choice, so a
    name could show us a public one and mean a private one. It counts as private.
    """
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    _, teredo_client = address.teredo or (None, None)
    return address.ipv4_mapped or address.sixtofour or teredo_client or address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in NOT_PUBLIC)
        and (isinstance(address, IPv4Address) or address in GLOBAL_UNICAST)
    )


def _host(url: str) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(url).hostname or "the host"
    return "the host"


def _failure(host: str, error: Exception) -> DeliveryError:
    match error:
        case aiohttp.ClientConnectorError() if error.errno == _BLOCKED:
            # Tried again later: names move, and the operator may follow the hint before the alert is a dead letter.
            return DeliveryError(Reason.BLOCKED_TARGET, str(error.strerror))
        case aiohttp.InvalidURL() if host.replace(".", "").isdigit():
            return DeliveryError(
                Reason.BLOCKED_TARGET, f"{host} is not an address in full notation", tries=1, breaks=True
            )
        case TimeoutError():
            return DeliveryError(Reason.TIMEOUT, f"{host} did not answer in time")
        case aiohttp.ClientConnectorDNSError():
            return DeliveryError(Reason.DNS, f"{host} has no address")
        case aiohttp.ClientConnectorSSLError() | aiohttp.ClientConnectorCertificateError():
            return DeliveryError(Reason.TLS, f"{host} has no certificate that we can trust")
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return DeliveryError(Reason.SERVER_ERROR, f"{host} did not answer in HTTP")
        case ValueError():
            return DeliveryError(Reason.SETTINGS, "the channel's settings make no valid request", tries=1, breaks=True)
        case _:
            return DeliveryError(Reason.REFUSED, f"{host} refused or broke the connection")


def _hint(status: int) -> str:
    if status < 300:
        return ", but that it took no message"
    return ", and redirects are not followed" if status < 400 else ""


def _reason(status: int) -> Reason:
    match status:
        case 401 | 403 | 407:
            return Reason.AUTH
        case 410:
            return Reason.GONE
        case 429:
            return Reason.RATE_LIMITED
        case _:
            return Reason.CLIENT_ERROR if status < 500 else Reason.SERVER_ERROR
