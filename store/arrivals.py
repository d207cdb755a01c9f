"""The way in for pings: one ZADD for all that are plainly up, a script for the rest.

DESIGN. A batch is one write: the log rows, then ``ZADD <deadlines> XX GT CH``, one for the heartbeats and one for each
fleet. XX: a deleted heartbeat never comes back through a stale cache. GT: a late or repeated ping never shortens a
deadline, so the whole batch may be sent twice. CH counts what moved: equal to the pairs sent, every one was plainly up;
otherwise arrive.lua (or members.lua) judges those of that ZADD. The replies of the log rows are switched off for the
length of the write: reading one reply per ping would cost more than the ping. A row that is refused is missed by
nobody, since the ZADD behind it is then refused as well. Where pings must be durable, the same write waits for it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import hiredis
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, RedisError

from store.database import Database, reason
from store.errors import Unavailable
from store.keys import Shard
from store.records import Durability

#: Pairs in one ZADD. Larger batches cost a node more, not less: what is answered together no longer fits a core's cache
#: (with 256 connections 46 us a ping at 500, 31 at 100).
PLAIN_MAX: Final = 100
JUDGED_MAX: Final = 100  # items in one arrive.lua: 5 ms of the server
MEMBERS_JUDGED_MAX: Final = 250  # the same of members.lua
DURABLE_WITHIN_MS: Final = 2_000  # for the disk or a replica; then the client may repeat the ping
LEVELS: Final[dict[Durability, int]] = {"memory": 0, "disk": 1, "replica": 2}  # a batch takes the strongest in it
EVENTS: Final = 100
#: Redis refuses every write: no fault of the item that met it.
REFUSED: Final = re.compile(r"\b(OOM|MISCONF|READONLY|NOREPLICAS)\b")


@dataclass(slots=True)
class Ping:
    """One signal on its way in. `at`: ms in Redis' clock, unique per heartbeat on this node. Text as bytes.

    `fleet`: then `heartbeat` is the slug of a member. `rev`, `dues`: with a schedule, as arrive.lua wants them.
    """

    heartbeat: str
    at: int
    signal: str = "success"
    exit_status: str = ""
    rid: str = ""
    sender: bytes = b""
    agent: bytes = b""
    output: bytes = b""
    fleet: str = ""
    rev: int = 0
    dues: str = ""


def _pack(*command: Any) -> bytes:
    """In C: redis-py's own packing costs more than the rest of a ping."""
    packed: bytes = hiredis.pack_command(command)
    return packed


def _bulk(*texts: str) -> bytes:
    return b"".join(b"$%d\r\n%b\r\n" % (len(text), text.encode()) for text in texts)


REPLIES_OFF: Final = b"*3\r\n" + _bulk("CLIENT", "REPLY", "OFF")
REPLIES_ON: Final = b"*3\r\n" + _bulk("CLIENT", "REPLY", "ON")
_XADD: Final = b"*17\r\n" + _bulk("XADD") + b"$%d\r\n%b\r\n"
_AT: Final = _bulk("NOMKSTREAM", "MAXLEN", "~", str(EVENTS), "*", "kind", "success", "at") + b"$%d\r\n%b\r\n"
_SENDER: Final = _bulk("exit") + b"$%d\r\n%b\r\n" + _bulk("from") + b"$%d\r\n%b\r\n"
_ROW: Final = _XADD + _AT + _SENDER + _bulk("agent") + b"$%d\r\n%b\r\n"


def log_row(key: bytes, ping: Ping) -> bytes:
    """The XADD of one ping in the protocol's own form: made once per ping, and four times as fast as packing it."""
    exit_status = ping.exit_status.encode()
    at, sender, agent = b"%d" % ping.at, ping.sender, ping.agent
    ends = len(exit_status), exit_status, len(sender), sender, len(agent), agent
    return _ROW % (len(key), key, len(at), at, *ends)


class Lane:
    """One connection of a node to a shard, used by one batch at a time."""

    def __init__(self, db: Database, shard: Shard) -> None:
        self._db = db
        self._shard = shard
        self._connection: Any = None

    async def commit(self, deadlines: Sequence[tuple[Ping, int]], durability: Durability = "memory") -> set[str]:
        """Pushes deadlines forward and logs the pings; at most PLAIN_MAX. Of several pings of one heartbeat the latest
        deadline counts.

        Returns the fleets of which not every member was plainly up; "" stands for the heartbeats that are no members.
        Raises Unavailable; the same batch may then be sent again.
        """
        events = self._shard.events("").encode()
        rows: list[bytes] = []
        zsets: dict[str, dict[str, int]] = {}
        for ping, deadline in deadlines:
            newest = zsets.get(ping.fleet)
            if newest is None:
                newest = zsets[ping.fleet] = {}
            if deadline > newest.get(ping.heartbeat, 0):
                newest[ping.heartbeat] = deadline
            if not ping.fleet:
                rows.append(log_row(events + ping.heartbeat.encode(), ping))
        pieces = [REPLIES_OFF, *rows, REPLIES_ON] if rows else []
        for fleet, newest in zsets.items():
            zset = self._shard.fleet_deadlines(fleet) if fleet else self._shard.deadlines
            pairs = [text for heartbeat, deadline in newest.items() for text in (deadline, heartbeat)]
            pieces.append(_pack("ZADD", zset, "XX", "GT", "CH", *pairs))
        moved = await self._write(b"".join(pieces), len(zsets) + bool(rows), durability)
        counts = moved[1:] if rows else moved
        return {fleet for (fleet, newest), count in zip(zsets.items(), counts, strict=True) if count != len(newest)}

    async def commit_together(self, fleet: str, slugs: Sequence[str], deadline: int, durability: Durability) -> bool:
        """The same for members of one fleet with one deadline: whether all were plainly up. Raises Unavailable."""
        pairs: list[Any] = [b"%d" % deadline] * (2 * len(slugs))
        pairs[1::2] = slugs
        packed = _pack("ZADD", self._shard.fleet_deadlines(fleet), "XX", "GT", "CH", *pairs)
        (moved,) = await self._write(packed, 1, durability)
        return bool(moved == len(slugs))

    async def judge(self, pings: Sequence[Ping], *, sure: bool, durability: Durability = "memory") -> list[str]:
        """What arrive.lua says of each, at most JUDGED_MAX: up, parked, unknown, clock, stale or error: ..."""
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
                ping.rev,
                ping.dues,
            )
        return await self._run("arrive", durability, "1" if sure else "0", *args)

    async def judge_members(
        self, fleet: str, pings: Sequence[Ping], *, sure: bool, durability: Durability = "memory"
    ) -> list[str]:
        """What members.lua says of each, at most MEMBERS_JUDGED_MAX: up, parked, full, unknown, clock or error: ..."""
        args: list[Any] = []
        for ping in pings:
            args += (ping.heartbeat, ping.at, ping.signal, ping.exit_status)
        return await self._run("members", durability, fleet, "1" if sure else "0", *args)

    async def _run(self, script: str, durability: Durability, *args: Any) -> list[str]:
        scripts, fixed = self._db.scripts, self._shard.fixed
        rest = (len(fixed), *fixed, *args)
        try:
            (answers,) = await self._write(_pack("EVALSHA", scripts.digests[script], *rest), 1, durability)
        except _MissingScript:
            (answers,) = await self._write(_pack("EVAL", scripts.texts[script], *rest), 1, durability)
        texts = [answer.decode(errors="replace") for answer in answers]
        for text in texts:
            if text.startswith("error: ") and REFUSED.search(text):
                raise Unavailable(f"Redis: {text[:200]}")
        return texts

    async def _write(self, packed: bytes, replies: int, durability: Durability) -> list[Any]:
        """One write and its replies. A connection that died while idle is made anew, once: batches repeat safely."""
        wait = self._db.server.wait_for(durability)
        if wait:
            packed += _pack(*wait, DURABLE_WITHIN_MS)
        for attempt in (1, 2):
            fresh = self._connection is None
            try:
                if fresh:
                    self._connection = self._db.redis.connection_pool.make_connection()
                    await self._connection.connect()
                connection = self._connection
                await connection.send_packed_command(packed)
                found = [await connection.read_response() for _ in range(replies + bool(wait))]
            except NoScriptError as error:
                if wait:
                    await self.aclose()  # its reply is still to come, and must not be taken for the next one's
                raise _MissingScript from error
            except (RedisError, OSError) as error:
                await self.aclose()
                if attempt == 2 or fresh or not isinstance(error, (ConnectionLost, OSError)):
                    raise Unavailable(reason(error)) from error
            else:
                if wait:
                    _check(durability, found.pop())
                return found
        raise AssertionError  # the loop returns or raises

    async def aclose(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.disconnect(nowait=True)


def _check(durability: Durability, answer: Any) -> None:
    """WAITAOF answers [this server, replicas], WAIT the replicas."""
    kept = answer[0] if isinstance(answer, list) else answer
    if kept < 1:
        raise Unavailable(f"durability {durability} was not reached within {DURABLE_WITHIN_MS} ms")


class _MissingScript(Exception):
    """The server was restarted, or its cache flushed."""
