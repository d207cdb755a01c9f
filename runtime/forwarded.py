"""Who a request comes from when proxies stand in front of us: X-Forwarded-For, as far as it can be believed."""

from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from runtime.values import Network

FORWARDED_MAX: Final = 1_000  # bytes looked at, from the right
ADDRESS_MAX: Final = 45  # characters of the longest IPv6 address


def client_of(address: str, forwarded: bytes, proxies: tuple[Network, ...]) -> str:
    """`address`: who has connected. `forwarded`: all X-Forwarded-For. `proxies`: whose word counts."""
    if not (forwarded and proxies and _is_trusted(address, proxies)):
        return address
    return _first_stranger(forwarded, proxies) or address


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
