"""Who asks, and what they may do."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from store import members

Scope = Literal["ping", "read", "write", "admin"]
Role = members.Role

#: What an operation takes. `known`: anybody who is known; `open`: nobody is asked.
Need = Literal["open", "known", "ping", "read", "write", "admin", "operator"]

#: What a role may do in its project; `ping` is of keys alone.
ROLES: Final[dict[Role, frozenset[Scope]]] = {
    "owner": frozenset({"read", "write", "admin"}),
    "member": frozenset({"read", "write"}),
    "reader": frozenset({"read"}),
}
#: What each scope of a key brings with it, the greatest last; its letter is the third of the key.
SCOPES: Final[dict[Scope, frozenset[Scope]]] = {
    "ping": frozenset({"ping"}),
    "read": frozenset({"read"}),
    "write": frozenset({"read", "write"}),
    "admin": frozenset({"read", "write", "admin"}),
}
NOWHERE: Final = ""  # the project of somebody who is a member of none: nothing is in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """`name`: as others read it, in "acknowledged by". `user`: an id, None = an API key, or the server's admin.
    `operator`: may manage the users and projects of this server. `session`: the id of the browser's session, if that is
    how they are known.
    """

    name: str
    project: str
    scopes: frozenset[Scope]
    user: str | None = None
    operator: bool = False
    session: str = field(default="", repr=False)

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes

    def meets(self, need: Need) -> bool:
        if need == "operator":
            return self.operator
        return need in {"open", "known"} or need in self.scopes


def with_lesser(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    """These scopes and what they bring with them, the greatest last."""
    held = frozenset[Scope]().union(*(SCOPES[scope] for scope in scopes))
    return tuple(scope for scope in SCOPES if scope in held)
