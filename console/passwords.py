"""Passwords: Argon2id, in threads, few at once: each takes 64 MiB and some 50 ms of four cores."""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from console.errors import Unavailable

AT_ONCE: Final = 2
WAITING_MAX: Final = 32  # more are sent away: who floods the sign-in must not fill the memory with requests
RETRY_AFTER_S: Final = 2

T = TypeVar("T")


class Passwords:
    """One per process. `nobody`: the hash that the password of an unknown user is held against, at the same cost."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()  # the library's profile: RFC 9106, for machines with little memory
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        settings = f"m={self._hasher.memory_cost},t={self._hasher.time_cost},p={self._hasher.parallelism}"
        salt, digest = (b64encode(bytes(length)).decode().rstrip("=") for length in (16, self._hasher.hash_len))
        self.nobody = f"$argon2id$v=19${settings}${salt}${digest}"

    async def hash(self, password: str) -> str:
        """Raises Unavailable when too many wait."""
        return await self._in_turn(lambda: self._hasher.hash(password))

    async def fits(self, stored: str | None, password: str) -> bool:
        """Whether this is the password; `stored` None = nobody has it. Raises Unavailable when too many wait."""
        return await self._in_turn(lambda: self._verify(stored or self.nobody, password))

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_turn(self, work: Callable[[], T]) -> T:
        if self._waiting >= WAITING_MAX:
            raise Unavailable(
                "too many people sign in just now; try again", headers={"retry-after": str(RETRY_AFTER_S)}
            )
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1
