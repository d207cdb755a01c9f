"""Who sends, as far as it can be believed."""

from typing import Final, NamedTuple

from starlette.types import Scope

from runtime.forwarded import client_of
from runtime.values import Network

AGENT_MAX: Final = 200  # bytes kept of a user agent


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
    return Sender(client_of(address, forwarded, proxies).encode(), agent, has_body)
