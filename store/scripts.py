"""Loads lua/ and runs it: each script is clock.lua + common.lua + its own file, run by digest, one chunk for Redis.

Scripts about fleets have fleet.lua between common.lua and their own file.
"""

import hashlib
import re
from importlib import resources
from typing import Any, Final, Protocol

from redis.exceptions import NoScriptError

LUA: Final = resources.files("store") / "lua"
PARTS: Final = ("clock", "common", "fleet")  # stand in front of scripts; not scripts themselves

#: Scripts that free memory or must go on when none is left: what they hold up is an alarm.
ALLOWED_WITHOUT_MEMORY: Final = frozenset(
    {"sweep", "timers", "chores", "clamp", "enlist", "lease", "outcome", "pause", "resume", "delete"}
    | {"step", "renew", "acknowledge", "problem"}
    | {"sweep_fleet", "fleet_pause", "fleet_resume", "fleet_delete", "fleet_forget"}
    | {"fleet_look", "fleet_silent", "fleet_incident"}
)
WITH_FLAGS: Final = "#!lua flags=allow-oom\n"
#: Redis 6.2 refuses only a script's first write: this one is allowed without memory and does nothing.
WITHOUT_FLAGS: Final = "redis.call('HDEL', KEYS[7], '')\n"


class Executor(Protocol):
    """A client that can run one command."""

    async def execute_command(self, *args: Any) -> Any: ...


class Scripts:
    """All scripts by name. ``clock`` replaces clock.lua where a test moves the time."""

    def __init__(self, *, shebang: bool, clock: str | None = None) -> None:
        """`shebang`: the server knows ``#!lua flags=`` (Redis 7.0, Valkey); on 6.2 that line is a compile error."""
        parts = {part: (LUA / f"{part}.lua").read_text() for part in PARTS}
        head = (clock or parts["clock"]) + "\n" + parts["common"]
        self.texts: dict[str, str] = {}
        for file in LUA.iterdir():
            name = file.name.removesuffix(".lua")
            if name in PARTS:
                continue
            start = (WITH_FLAGS if shebang else WITHOUT_FLAGS) if name in ALLOWED_WITHOUT_MEMORY else ""
            about_fleets = parts["fleet"] + "\n" if is_about_fleets(name) else ""
            self.texts[name] = start + _without_comments(head + "\n" + about_fleets + file.read_text())
        self.digests = {name: hashlib.sha1(text.encode()).hexdigest() for name, text in self.texts.items()}  # noqa: S324 - Redis names scripts by SHA-1

    async def run(self, client: Executor, name: str, keys: tuple[str, ...], *args: Any) -> Any:
        """One script. The cache of scripts is volatile (restart, failover, SCRIPT FLUSH): then the text is sent."""
        try:
            return await client.execute_command("EVALSHA", self.digests[name], len(keys), *keys, *args)
        except NoScriptError:
            return await client.execute_command("EVAL", self.texts[name], len(keys), *keys, *args)


def is_about_fleets(script: str) -> bool:
    return script in {"members", "sweep_fleet"} or script.startswith("fleet_")


def _without_comments(text: str) -> str:
    """Whole-line comments are for readers; line numbers in errors stay right."""
    return re.sub(r"(?m)^\s*--.*$", "", text)
