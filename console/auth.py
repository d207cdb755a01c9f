"""Who may call: one admin key for now. Keys are compared as digests, so the time tells neither content nor length."""

from hashlib import sha256
from hmac import compare_digest
from typing import Final, Literal

from starlette.datastructures import Headers
from starlette.requests import Request

from console.access import ROLES, Principal
from console.errors import Unauthorized
from store.keys import DEFAULT_PROJECT

Access = Literal["open", "bearer", "push"]

#: `push`: clients of push servers send their key in headers of their own.
HEADERS: Final = {"notifly": "X-Notifly-Key", "gotify": "X-Gotify-Key"}


class Keys:
    """The keys that open the console."""

    def __init__(self, admin_key: str) -> None:
        if not admin_key:
            raise ValueError("an empty key would open the console to everybody")
        self._admin = _digest(admin_key.encode())

    async def visitor(self, request: Request) -> Principal | None:
        """Who opens a page: by key for now, None = nobody that we know."""
        try:
            self.check(request.headers, "bearer")
        except Unauthorized:
            return None
        return Principal(name="admin", project=DEFAULT_PROJECT, scopes=ROLES["owner"], operator=True)

    def check(self, headers: Headers, access: Access) -> None:
        """Raises Unauthorized; which of the given keys is right does not matter."""
        right = [compare_digest(_digest(key), self._admin) for key in _given(headers, access)]
        if access != "open" and not any(right):
            raise Unauthorized(
                "a valid API key is needed, as in: Authorization: Bearer <key>", headers={"www-authenticate": "Bearer"}
            )


def _given(headers: Headers, access: Access) -> list[bytes]:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    given = [key.strip()] if scheme.lower() == "bearer" else []
    if access == "push":
        given += [headers.get(name, "") for name in HEADERS.values()]
    return [key.encode("latin-1") for key in given if key]  # latin-1: the bytes as they came


def _digest(key: bytes) -> bytes:
    return sha256(key).digest()
