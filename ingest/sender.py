"""Who sends, as far as it can be believed."""

from functools import lru_cache
from ipaddress import ip_address
from typing import Final, NamedTuple

from starlette.types import Scope

from runtime.values import Network

AGENT_MAX: Final = 200  # bytes kept of a user agent
FORWARDED_MAX: Final = 1_000  # bytes looked at, from the right
ADDRESS_MAX: Final = 45  # characters of the longest IPv6 address


class Sender(NamedTuple):
    """Of one request: the address and the user agent, and whether a body comes with it."""

    address: bytes
    agent: bytes
    has_body: bool


def read_headers(scope: Scope, proxies: tuple[Network, ...]) -> Sender:
    """`proxies`: whose X-Forwarded-For is believed."""
    agent, forwarded, has_body = b"", b"", False
    for name, value in scope["headers"]:
        if name == b"user-agent":
            agent = value[:AGENT_MAX]
        elif name == b"x-forwarded-for":
            forwarded = forwarded + b"," + value if forwarded else value
        elif name == b"content-length":
            has_body = has_body or value != b"0"
        elif name == b"transfer-encoding":
            has_body = True
    address = scope["client"][0] if scope["client"] else ""
    if forwarded and proxies and _is_trusted(address, proxies):
        address = _first_stranger(forwarded, proxies) or address
    return Sender(address.encode(), agent, has_body)


@lru_cache(maxsize=4096)
def _is_trusted(address: str, proxies: tuple[Network, ...]) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in proxies)


def _first_stranger(forwarded: bytes, proxies: tuple[Network, ...]) -> str:
    """From the right, the first address that is no proxy of ours: whatever stands left of it is hearsay."""
    for item in reversed(forwarded[-FORWARDED_MAX:].decode("latin-1").split(",")):
        text = item.strip()
        address = text[1:].partition("]")[0] if text.startswith("[") else text
        if address.count(":") == 1:
            address = address.partition(":")[0]
        try:
            ip_address(address)
        except ValueError:
            return ""
        if not _is_trusted(address, proxies):
            return address[:ADDRESS_MAX]
    return ""
