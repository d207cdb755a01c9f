"""Ping tokens: UUIDv4-shaped; the first 12 hex digits are the heartbeat's id, the rest (74 random bits) its secret.

So a ping URL names its key without an index, and clients that insist on UUIDs are content. Better Stack's decimal ids
are ``int(id, 16)``.
"""

import secrets
import uuid
from typing import Final

HEX: Final = frozenset("0123456789abcdef")


PING_KEY_LENGTH: Final = 22  # of 36 characters each: 113 bits
_PING_KEY_CHARACTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def new_token(heartbeat: str | None = None) -> str:
    """A fresh token; for a known heartbeat (rotation) only the secret part is new."""
    drawn = from_bytes(secrets.token_bytes(16)).replace("-", "")
    return str(uuid.UUID((heartbeat or drawn[:12]) + drawn[12:]))


def from_bytes(drawn: bytes) -> str:
    """A token out of 16 bytes that nobody can guess."""
    return str(uuid.UUID(bytes=drawn, version=4))


def new_ping_key() -> str:
    """A fresh ping key; never UUID-shaped."""
    return "".join(secrets.choice(_PING_KEY_CHARACTERS) for _ in range(PING_KEY_LENGTH))


def id_of(token: str) -> str:
    """The id of the heartbeat that a canonical token belongs to."""
    return token[:8] + token[9:13]


def is_id(text: str) -> bool:
    return len(text) == 12 and set(text) <= HEX


def parse(segment: str) -> str | None:
    """The canonical token in a path segment (either letter case, dashes optional), or None.

    A 36-character segment is taken by position, without building a UUID: this runs once per ping.
    """
    token = segment.lower()
    if len(token) == 32 and set(token) <= HEX:
        return str(uuid.UUID(token))
    if len(token) == 36 and token[8] == token[13] == token[18] == token[23] == "-":
        digits = token[:8] + token[9:13] + token[14:18] + token[19:23] + token[24:]
        if len(digits) == 32 and set(digits) <= HEX:
            return token
    return None
