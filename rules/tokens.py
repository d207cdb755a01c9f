"""Ping tokens: UUIDv4-shaped; the first 12 hex digits are the heartbeat's id, the rest (74 random bits) its secret.

So a ping URL names its key without an index, and clients that insist on UUIDs are content. Better Stack's decimal ids
are ``int(id, 16)``.
"""

import secrets
import uuid
from typing import Final

HEX: Final = frozenset("0123456789abcdef")


def new_token(heartbeat: str | None = None) -> str:
    """A fresh token; for a known heartbeat (rotation) only the secret part is new."""
    drawn = uuid.UUID(bytes=secrets.token_bytes(16), version=4).hex
    return str(uuid.UUID((heartbeat or drawn[:12]) + drawn[12:]))


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
