"""How often somebody may try to sign in: so often from an address, and so often to an account, in a quarter of an hour.

Tries count before a password is looked at, so that many at once count too. Who finds a key or a token by guessing would
need longer than the stars last; passwords are another matter.
"""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Literal

from console.errors import SlowDown
from store import sessions
from store.database import Database

Kind = Literal["account", "address"]

MOST: Final[dict[Kind, int]] = {"account": 10, "address": 50}
SITE_BITS: Final = 64  # of an IPv6 address: what one household or one server has to itself


async def checked_attempt(db: Database, kind: Kind, who: str) -> None:
    """Raises SlowDown."""
    count, seconds = await sessions.attempt(db, kind, who)
    if count > MOST[kind]:
        raise SlowDown("too many tries to sign in; wait a while", headers={"retry-after": str(max(seconds, 1))})


def site_of(address: str) -> str:
    """What is counted as one address."""
    try:
        found = ip_address(address)
    except ValueError:  # a unix socket has none
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network((found.packed, SITE_BITS), strict=False))
