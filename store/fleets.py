"""Fleets: a template with a ping key, and members that are known by their slugs.

DESIGN. The template is copied to each shard; a member lives on the shard of its slug. A change is one script per shard,
the home shard first: ingest nodes read the copy there, and the incident lives there. A change that stopped half way is
finished by repeating it. The ping keys and an index of names are in the control plane: written once the fleet is there,
removed once it is gone, so whoever reads the index checks that the fleet still has that name.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from random import getrandbits
from typing import Any, Final

from rules import tokens
from store import keys, roster
from store.database import Database
from store.errors import NotFound, Unavailable
from store.fleet_records import Fleet, FleetSettings, Member, MemberStatus, encode_fleet
from store.keys import DEFAULT_PROJECT, Shard
from store.roster import BadCursor

__all__ = ["BadCursor", "Fleet", "FleetSettings", "Member", "MemberStatus"]

CHUNK: Final = 250  # members that one call of a script takes: 5 ms of the server
EXAMPLES: Final = 20  # slugs that an incident names


@dataclass(frozen=True, slots=True)
class SweptFleet:
    """`fleet` None: none had anything to do. `taken`: members walked, excused or now silent. `due`: the next moment at
    which any fleet has something to do, None = never.
    """

    fleet: str | None
    taken: int
    silent: int
    corrupt: int
    due: int | None
    now: int


async def create(db: Database, settings: FleetSettings, project: str = DEFAULT_PROJECT) -> Fleet:
    for _ in range(8):  # ids have 48 bits: a second draw is rare, an eighth means something else is wrong
        fleet, ping_key = tokens.id_of(tokens.new_token()), tokens.new_ping_key()
        args = (fleet, "ping_key", ping_key, "project", project, *encode_fleet(asdict(settings), len(db.shards)))
        if all([await db.run("fleet_create", shard, *args) for shard in _shards(db, fleet)]):
            await _list_ping_key(db, ping_key, fleet)
            await db.execute("ZADD", keys.fleets(project), 0, _entry(settings.name, fleet))
            return await get(db, fleet)
    raise Unavailable("no free fleet id was found")


async def get(db: Database, fleet: str) -> Fleet:
    """Raises NotFound."""
    found = (await get_many(db, [fleet]))[0]
    if found is None:
        raise NotFound("no such fleet")
    return found


async def get_many(db: Database, fleets: Sequence[str], *, deleted: bool = False) -> list[Fleet | None]:
    """In the order asked for; None where there is none. `deleted`: also what was deleted in the last four days."""
    found = await _read(db, [(fleet, db.shard(fleet).fleet(fleet)) for fleet in fleets])
    if deleted and None in found:
        were = await _read(db, [(fleet, db.shard(fleet).deleted(fleet)) for fleet in fleets])
        found = [record or tomb for record, tomb in zip(found, were, strict=True)]
    return found


async def page(
    db: Database, project: str = DEFAULT_PROJECT, *, limit: int = 100, cursor: str | None = None
) -> tuple[list[Fleet], str | None]:
    """Fleets in the order of their names, and the cursor of the next page. Raises BadCursor."""
    try:
        start = b"(" + base64.b64decode(cursor, b"-_", validate=True) if cursor else b"-"
    except ValueError:
        raise BadCursor from None
    entries = await db.execute("ZRANGEBYLEX", keys.fleets(project), start, "+", "LIMIT", 0, limit)
    found = await get_many(db, [entry.rpartition(b"\0")[2].decode() for entry in entries])
    shown = [
        fleet
        for entry, fleet in zip(entries, found, strict=True)
        if fleet is not None and entry.decode() == _entry(fleet.settings.name, fleet.id)
    ]
    return shown, base64.urlsafe_b64encode(entries[-1]).decode() if len(entries) == limit else None


async def edit(db: Database, fleet: str, changes: Mapping[str, Any]) -> Fleet:
    """Writes only the given settings. Raises NotFound."""
    before = await get(db, fleet)
    index, old = keys.fleets(before.project), _entry(before.settings.name, fleet)
    new = _entry(changes.get("name", before.settings.name), fleet)
    await db.execute("ZADD", index, 0, new)
    await _on_every_shard(db, "fleet_edit", fleet, *encode_fleet(changes, len(db.shards)))
    if new != old:
        await db.execute("ZREM", index, old)
    return await get(db, fleet)


async def rotate(db: Database, fleet: str) -> Fleet:
    """A new ping key; the old one dies within the longest age of the ingest nodes' caches. Raises NotFound."""
    before, ping_key = await get(db, fleet), tokens.new_ping_key()
    await _list_ping_key(db, ping_key, fleet)
    await _on_every_shard(db, "fleet_edit", fleet, "ping_key", ping_key)
    await db.execute("HDEL", keys.PING_KEYS, before.ping_key)
    return await get(db, fleet)


async def pause(db: Database, fleet: str) -> Fleet:
    """Nobody alarms; who was silent is so no more. Raises NotFound."""
    await _on_every_shard(db, "fleet_pause", fleet)
    return await get(db, fleet)


async def resume(db: Database, fleet: str) -> Fleet:
    """Ends a pause; on anything else nothing changes. Raises NotFound."""
    await _on_every_shard(db, "fleet_resume", fleet)
    return await get(db, fleet)


async def delete(db: Database, fleet: str) -> None:
    """With all its members. Raises NotFound."""
    (before,) = await get_many(db, [fleet], deleted=True)  # an earlier try may have come half way
    home = db.shard(fleet)
    gone = [await db.run("fleet_delete", shard, fleet, int(shard is home)) for shard in _shards(db, fleet)]
    if before is not None:
        await db.execute("HDEL", keys.PING_KEYS, before.ping_key)
        await db.execute("ZREM", keys.fleets(before.project), _entry(before.settings.name, fleet))
    if not any(gone):
        raise NotFound("no such fleet")


async def counts(db: Database, fleet: str) -> dict[str, int]:
    """Members by status: up, down, paused; and late, who are among those that are up. Raises NotFound."""
    record, now = await get(db, fleet), await db.now()
    reads: list[tuple[Any, ...]] = []
    for shard in db.shards:
        live, returning, down = roster.zsets(shard, fleet)
        reads += [("ZCARD", live), ("ZCARD", returning), ("ZCARD", down)]
        reads.append(("ZCOUNT", live, "-inf", f"({record.late_below(now)}"))
    cards = await db.pipeline(reads)
    live, returning, down, late = (sum(cards[i::4]) for i in range(4))
    if record.status == "paused":
        return {"up": 0, "late": 0, "down": 0, "paused": live + returning + down}
    return {"up": live + returning, "late": late, "down": down, "paused": 0}


async def members(
    db: Database, fleet: str, *, status: MemberStatus | None = None, limit: int = 100, cursor: str | None = None
) -> tuple[list[Member], str | None]:
    """Members, of each shard the silent first, and the cursor of the next page. A page may come back short.

    The silent and the late come in the order in which they became so, the others in none. Who changes from one status
    to another between two pages may be shown twice, or not at all. Raises NotFound or BadCursor.
    """
    record = await get(db, fleet)
    return await roster.page(db, record, status, now=await db.now(), limit=limit, cursor=cursor)


async def member(db: Database, fleet: str, slug: str) -> Member | None:
    """Raises NotFound when there is no such fleet."""
    found = await roster.of_slugs(db, await get(db, fleet), [slug], now=await db.now())
    return found[0] if found else None


async def forget(db: Database, fleet: str, slug: str) -> bool:
    """Whether it was a member. If it pings again it joins again. Raises NotFound when there is no such fleet."""
    await get(db, fleet)
    return bool(await db.run("fleet_forget", roster.shard_of_slug(db, slug), fleet, slug))


async def forget_silent(db: Database, fleet: str, silent_for_s: int) -> int:
    """Forgets who has been silent for so long, and tells how many. Raises NotFound when there is no such fleet."""
    await get(db, fleet)
    forgotten = 0
    for shard in db.shards:
        while chunk := await db.run("fleet_forget_silent", shard, fleet, silent_for_s * 1000):
            forgotten += chunk
    return forgotten


async def count_silent(db: Database, fleet: str, silent_for_s: int) -> int:
    """How many `forget_silent` would forget: of a paused fleet nobody. Raises NotFound."""
    record, now = await get(db, fleet), await db.now()
    if record.status == "paused":
        return 0
    latest = now - silent_for_s * 1000
    return sum(await db.pipeline([("ZCOUNT", shard.fleet_down(fleet), "-inf", latest) for shard in db.shards]))


async def look(db: Database, fleet: str) -> str | None:
    """Counts the silent and brings the fleet's incident up to date; returns the one that people must be told about.

    May be repeated, and by several at once: what an older look found does not overwrite a newer one. None = there is
    none, or a newer look was faster.
    """
    home = db.shard(fleet)
    number = await db.run("fleet_look", home, fleet)
    found = [await db.run("fleet_silent", shard, fleet) for shard in db.shards]
    silent, failed = (sum(each[i] for each in found) for i in (0, 1))
    since = min((each[2] for each in found if each[2]), key=int, default=b"")
    examples = [slug for each in found for slug in each[3:]][:EXAMPLES]
    incident = await db.run("fleet_incident", home, fleet, number, silent, failed, since, *examples)
    return incident.decode() or None


async def sweep(db: Database, shard: Shard, limit: int = CHUNK) -> SweptFleet:
    """Does what is due for one fleet of a shard: members fall silent, or a walk goes on."""
    turn = getrandbits(32)  # any of those that wait, so that a large one does not keep the others waiting
    fleet, taken, silent, corrupt, due, now = await db.run("sweep_fleet", shard, limit, turn)
    return SweptFleet(fleet.decode() or None, taken, silent, corrupt, int(due) if due else None, int(now))


def _shards(db: Database, fleet: str) -> list[Shard]:
    """All of them, the home shard first."""
    home = db.shard(fleet)
    return [home, *(shard for shard in db.shards if shard is not home)]


async def _on_every_shard(db: Database, script: str, fleet: str, *args: Any) -> None:
    answers = [await db.run(script, shard, fleet, *args) for shard in _shards(db, fleet)]
    if not answers[0]:
        raise NotFound("no such fleet")


async def _read(db: Database, named: Sequence[tuple[str, str]]) -> list[Fleet | None]:
    hashes = await db.pipeline([("HGETALL", key) for _, key in named])
    return [
        Fleet.from_redis(fleet, hash_) if b"ping_key" in hash_ else None
        for (fleet, _), hash_ in zip(named, hashes, strict=True)
    ]


async def _list_ping_key(db: Database, ping_key: str, fleet: str) -> None:
    await db.execute("HSET", keys.PING_KEYS, ping_key, f"fleet {fleet}")


def _entry(name: str, fleet: str) -> str:
    return f"{name.casefold()}\0{fleet}"
