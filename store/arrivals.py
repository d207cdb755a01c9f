"""The way in for pings: one ZADD for all that are plainly up, arrive.lua for the rest.

DESIGN. A batch is one write: the log rows, then ``ZADD <deadlines> XX GT CH``. XX: a deleted heartbeat never comes
back through a stale cache. GT: a late or repeated ping never shortens a deadline, so the whole batch may be sent
twice. CH counts what moved: equal to the pairs sent, every one was plainly up; otherwise arrive.lua judges the batch.
The replies of the log rows are switched off for the length of the write: reading one reply per ping would cost more
than the ping. A row that is refused is missed by nobody, since the ZADD behind it is then refused as well.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, RedisError

from store.database import Database, reason
from store.errors import Unavailable
from store.keys import Shard

PLAIN_MAX: Final = 500  # pairs in one ZADD
JUDGED_MAX: Final = 100  # items in one arrive.lua: 5 ms of the server
EVENTS: Final = 100
#: Redis refuses every write: no fault of the item that met it.
REFUSED: Final = re.compile(r"\b(OOM|MISCONF|READONLY|NOREPLICAS)\b")


@dataclass(slots=True)
class Ping:
    """One signal on its way in. `at`: ms in Redis' clock, unique per heartbeat on this node. Text as bytes."""

    heartbeat: str
    at: int
    signal: str = "success"
    exit_status: str = ""
    rid: str = ""
    sender: bytes = b""
    agent: bytes = b""
    output: bytes = b""


class Lane:
    """One connection of a node to a shard, used by one batch at a time."""

    def __init__(self, db: Database, shard: Shard) -> None:
        self._db = db
        self._shard = shard
        self._connection: Any = None

    async def commit(self, deadlines: Sequence[tuple[Ping, int]]) -> bool:
        """Pushes deadlines forward and logs the pings; at most PLAIN_MAX. True: every heartbeat was plainly up.

        Of several pings of one heartbeat the last counts. Raises Unavailable; the same batch may then be sent again.
        """
        events = self._shard.tag + "events:"
        commands: list[tuple[Any, ...]] = [("CLIENT", "REPLY", "OFF")]
        newest: dict[str, int] = {}
        for ping, deadline in deadlines:
            newest[ping.heartbeat] = deadline
            commands.append(
                ("XADD", events + ping.heartbeat, "NOMKSTREAM", "MAXLEN", "~", EVENTS, "*", "kind", "success",
                 "at", ping.at, "exit", ping.exit_status, "from", ping.sender, "agent", ping.agent)
            )  # fmt: skip
        pairs = [text for heartbeat, deadline in newest.items() for text in (deadline, heartbeat)]
        commands += (("CLIENT", "REPLY", "ON"), ("ZADD", self._shard.deadlines, "XX", "GT", "CH", *pairs))
        _, moved = await self._write(commands, replies=2)
        return bool(moved == len(newest))

    async def judge(self, pings: Sequence[Ping], *, sure: bool) -> list[str]:
        """What arrive.lua says of each, at most JUDGED_MAX: up, parked, unknown, clock or error: ..."""
        args: list[Any] = []
        for ping in pings:
            args += (
                ping.heartbeat,
                ping.at,
                ping.signal,
                ping.exit_status,
                ping.rid,
                ping.sender,
                ping.agent,
                ping.output,
            )
        scripts, fixed = self._db.scripts, self._shard.fixed
        rest = (len(fixed), *fixed, "1" if sure else "0", *args)
        try:
            (answers,) = await self._write([("EVALSHA", scripts.digests["arrive"], *rest)], replies=1)
        except _MissingScript:
            (answers,) = await self._write([("EVAL", scripts.texts["arrive"], *rest)], replies=1)
        texts = [answer.decode(errors="replace") for answer in answers]
        for text in texts:
            if text.startswith("error: ") and REFUSED.search(text):
                raise Unavailable(f"Redis: {text[:200]}")
        return texts

    async def _write(self, commands: Sequence[tuple[Any, ...]], replies: int) -> list[Any]:
        """One write and its replies. A connection that died while idle is made anew, once: batches repeat safely."""
        for attempt in (1, 2):
            fresh = self._connection is None
            try:
                if fresh:
                    self._connection = self._db.redis.connection_pool.make_connection()
                    await self._connection.connect()
                connection = self._connection
                await connection.send_packed_command(connection.pack_commands(commands))
                return [await connection.read_response() for _ in range(replies)]
            except NoScriptError as error:
                raise _MissingScript from error
            except (RedisError, OSError) as error:
                await self.aclose()
                if attempt == 2 or fresh or not isinstance(error, (ConnectionLost, OSError)):
                    raise Unavailable(reason(error)) from error
        raise AssertionError  # the loop returns or raises

    async def aclose(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.disconnect(nowait=True)


class _MissingScript(Exception):
    """The server was restarted, or its cache flushed."""
