"""The outbox: entries that say "look here", read by the notifiers as one group, deleted once taken note of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import RedisError, ResponseError

from store import connection
from store.database import GROUP, Database, mapped, reason
from store.errors import Unavailable
from store.keys import Shard

CHUNK: Final = 250  # chores, and as many incidents x channels, in one enlist.lua
BLOCK_MS: Final = 1_000
COUNT: Final = 100  # entries per read
DEAD_CONSUMER_MS: Final = 3_600_000
LOOK_AGAIN_MS: Final = 15_000  # a notifier that took note and died is replaced after this


@dataclass(frozen=True, slots=True)
class Notification:
    """`incidents`: look at all their channels; `deliveries`: look at these (<incident>, <channel>); `chores`: see
    chores.lua; `fleet`: count its silent members, and its incident will come in an entry of its own.
    """

    entry: str
    project: str
    incidents: tuple[str, ...]
    deliveries: tuple[tuple[str, str], ...]
    fleet: str
    chores: tuple[str, ...] = ()


class Reader:
    """One consumer of one shard's outbox, on a connection of its own: it blocks."""

    def __init__(self, db: Database, shard: Shard, name: str) -> None:
        self._db = db
        self._shard = shard
        self._name = name
        self._blocking = connection.client(db.url, timeout_s=BLOCK_MS / 1000 + 2, connections=1)

    async def make_group(self) -> None:
        """Idempotent; also after the group was lost: it starts at the oldest entry."""
        try:
            await self._blocking.execute_command("XGROUP", "CREATE", self._shard.notifications, GROUP, "0", "MKSTREAM")
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise Unavailable(reason(error)) from error
        except (RedisError, OSError) as error:
            raise Unavailable(reason(error)) from error

    async def read(self, *, wait_ms: int = BLOCK_MS, count: int = COUNT) -> list[Notification]:
        """New entries, waiting for the first."""
        try:
            answer = await self._blocking.execute_command(
                "XREADGROUP", "GROUP", GROUP, self._name, "COUNT", count, "BLOCK", wait_ms,
                "STREAMS", self._shard.notifications, ">",
            )  # fmt: skip
        except (RedisError, OSError) as error:
            raise Unavailable(reason(error)) from error
        streams = list(answer.values()) if isinstance(answer, dict) else [stream[1] for stream in answer or []]
        return _parse(entry for stream in streams for entry in stream)

    async def claim(self, *, idle_ms: int, count: int = COUNT) -> list[Notification]:
        """Entries that someone took and never acknowledged: a dead notifier, or our own lost reply."""
        answer = await self._db.execute(
            "XAUTOCLAIM", self._shard.notifications, GROUP, self._name, idle_ms, "0-0", "COUNT", count
        )
        await self._forget_dead_consumers()
        return _parse(answer[1])

    async def tries(self, entry: str) -> int:
        """How often an entry was handed to a notifier; 0 = it is not pending."""
        try:
            found = await self._blocking.execute_command(
                "XPENDING", self._shard.notifications, GROUP, entry, entry, 1, parse_detail=True
            )
        except (RedisError, OSError) as error:
            raise Unavailable(reason(error)) from error
        return int(found[0]["times_delivered"]) if found else 0

    async def set_aside(self, notification: Notification) -> None:
        """Acknowledged but not deleted: it stays in the stream for a human and is handed to nobody any more; nor are
        its incidents named again, which would set them aside each time.
        """
        commands: list[tuple[Any, ...]] = [("XACK", self._shard.notifications, GROUP, notification.entry)]
        if notification.incidents:
            commands.append(("ZREM", self._shard.unseen, *notification.incidents))
        await self._db.pipeline(commands)

    async def _forget_dead_consumers(self) -> None:
        """Every start has a new name; the old ones would gather for ever."""
        for consumer in await self._db.execute("XINFO", "CONSUMERS", self._shard.notifications, GROUP):
            found: dict[bytes, Any] = mapped(consumer)
            if found[b"pending"] == 0 and found[b"idle"] > DEAD_CONSUMER_MS:
                await self._db.execute("XGROUP", "DELCONSUMER", self._shard.notifications, GROUP, found[b"name"])

    async def aclose(self) -> None:
        await self._blocking.aclose()


async def enlist(
    db: Database,
    shard: Shard,
    entry: str,
    pairs: Sequence[tuple[str, str]],
    chores: Sequence[tuple[str, int | None]] = (),
) -> None:
    """Takes note of (incident, channel) pairs on this shard and of (chore, when it is due in ms; None = it is done),
    then acknowledges and deletes the entry.
    """
    most = max(len(chores), len(pairs), 1)
    for i in range(0, most, CHUNK):
        some = chores[i : i + CHUNK]
        due = [text for name, at in some for text in (name, "" if at is None else at)]
        named = [text for pair in pairs[i : i + CHUNK] for text in pair]
        await db.run("enlist", shard, entry if i + CHUNK >= most else "", LOOK_AGAIN_MS, len(some), *due, *named)


async def step(
    db: Database,
    incident: str,
    chore: str,
    channels: Sequence[str],
    *,
    seen: str = "",
    mark: str = "",
    due: int | None = None,
    number: int = 0,
) -> bool:
    """Tells more channels of an incident, or the same once more, and sets when its chore is due again (None = done).

    `seen`, `mark`: the incident's position (or number of reminders) before and after; "" = there is none to keep.
    `number`: 0 = the first step. False = the incident is over, acknowledged or snoozed, or another notifier was faster.
    """
    when = "" if due is None else due
    args = incident, chore, seen, mark, when, LOOK_AGAIN_MS, number, *channels
    return bool(await db.run("step", db.shard(incident), *args))


async def backlog(db: Database) -> int:
    """Entries that wait, over all shards."""
    return sum(await db.pipeline([("XLEN", shard.notifications) for shard in db.shards]))


def _parse(entries: Iterable[Any]) -> list[Notification]:
    found = []
    for entry, fields in entries:
        if fields is None:  # deleted meanwhile
            continue
        # Whatever stands in an entry, it must not keep those that were read with it from being parsed.
        text = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in mapped(fields).items()}
        pairs = (delivery.partition(":") for delivery in text.get("deliveries", "").split())
        found.append(
            Notification(
                entry.decode(),
                text.get("project", ""),
                tuple(text.get("incidents", "").split()),
                tuple((incident, channel) for incident, _, channel in pairs),
                text.get("fleet", ""),
                tuple(text.get("chores", "").split()),
            )
        )
    return found
