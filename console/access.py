"""Who asks, and what they may do."""

from dataclasses import dataclass
from typing import Final, Literal

Scope = Literal["ping", "read", "write", "admin"]
Role = Literal["owner", "member", "reader"]

#: What a role may do in its project; `ping` is for keys of jobs alone.
ROLES: Final[dict[Role, frozenset[Scope]]] = {
    "owner": frozenset({"read", "write", "admin"}),
    "member": frozenset({"read", "write"}),
    "reader": frozenset({"read"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """`name`: as others read it, in "acknowledged by". `user`: an id, None = an API key. `operator`: may manage the
    users and projects of this server.
    """

    name: str
    project: str
    scopes: frozenset[Scope]
    user: str | None = None
    operator: bool = False

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes
