"""Links that may do one thing without a sign-in: whoever has the message may see its incident and acknowledge it."""

import base64
import hmac
from typing import Final

SIGNATURE_BYTES: Final = 15  # 120 bits, twenty characters of a link


def sign(key: bytes, *parts: str) -> str:
    """A signature over parts that hold no newline, fit for a URL."""
    return base64.urlsafe_b64encode(hmac.digest(key, "\n".join(parts).encode(), "sha256")[:SIGNATURE_BYTES]).decode()


def is_signed(signature: str, key: bytes, *parts: str) -> bool:
    return hmac.compare_digest(signature.encode(), sign(key, *parts).encode())
