"""Reads the members of a fleet page by page, whatever their number: no command touches more than a page of them.

DESIGN. A zset is ordered by score, and the score of a member that is up changes with each of its pings: a walk along
the scores would meet it again and again. So those that are up are read with ZSCAN, which shows everyone who is there
all the while. The silent and the late are read along their scores, the oldest first. A scan cannot be cut, so what it
hands out beyond the page travels in the cursor.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import orjson

from rules.limits import SLUG
from store.database import Database, scored
from store.fleet_records import Entries, Fleet, Member, MemberStatus
from store.keys import Shard, shard_of

_SLUG: Final = re.compile(SLUG)
_AT: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{4})?")


class BadCursor(ValueError):
    """Not the cursor of a page of this list."""

    def __init__(self) -> None:
        super().__init__("must be the next_cursor of another page of this list")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A zset to be read. `until`: those with a score below it, in the order of scores; None = all, in no order."""

    zset: str
    until: float | None = None


@dataclass(slots=True)
class Place:
    """Where a reader stands: in which stretch; at which cursor of ZSCAN, or behind which score and slug; and who is
    left of the last scan.
    """

    stretch: int = 0
    at: str = "0"
    slug: str = ""
    rest: tuple[str, ...] = ()

    @classmethod
    def parse(cls, cursor: str) -> "Place":
        """Raises BadCursor."""
        try:
            stretch, at, slug, *rest = orjson.loads(base64.b64decode(cursor, b"-_", validate=True))
            fits = type(stretch) is int and stretch >= 0 and _AT.fullmatch(at) is not None and float(at) < 2**64
            if not fits or not all(_SLUG.fullmatch(each) for each in (slug or "-", *rest)):
                raise BadCursor
        except (ValueError, TypeError):
            raise BadCursor from None
        return cls(stretch, at, slug, tuple(rest))

    def next_stretch(self) -> None:
        self.stretch, self.at, self.slug = self.stretch + 1, "0", ""

    def __str__(self) -> str:
        parts = [self.stretch, self.at, self.slug, *self.rest]
        return base64.urlsafe_b64encode(orjson.dumps(parts)).decode()


def zsets(shard: Shard, fleet: str) -> tuple[str, str, str]:
    """Those that are up, those on their way back from a pause, the silent."""
    return shard.fleet_deadlines(fleet), shard.fleet_returning(fleet), shard.fleet_down(fleet)


def shard_of_slug(db: Database, slug: str) -> Shard:
    return db.shards[shard_of(slug, len(db.shards))]


async def page(
    db: Database, fleet: Fleet, status: MemberStatus | None, *, now: int, limit: int, cursor: str | None
) -> tuple[list[Member], str | None]:
    """The next members and the cursor of the page after; None = that was all. Raises BadCursor."""
    stretches = [stretch for shard in db.shards for stretch in _stretches(shard, fleet, status, now)]
    slugs, next_cursor = await _slugs(db, stretches, limit, cursor)
    found = await of_slugs(db, fleet, slugs, now=now)
    return [member for member in found if status in {None, member.status}], next_cursor


async def of_slugs(db: Database, fleet: Fleet, slugs: Sequence[str], *, now: int) -> list[Member]:
    """Those of them that are members, in the same order."""
    by_shard: dict[int, list[str]] = {}
    for slug in slugs:
        by_shard.setdefault(shard_of_slug(db, slug).number, []).append(slug)
    reads: list[tuple[Any, ...]] = []
    for number, some in by_shard.items():
        shard = db.shards[number]
        reads += [("ZMSCORE", zset, *some) for zset in zsets(shard, fleet.id)]
        reads.append(("HMGET", shard.fleet_causes(fleet.id), *some))
    answers = iter(await db.pipeline(reads))
    found: dict[str, Member | None] = {}
    for some in by_shard.values():
        columns = [next(answers) for _ in range(4)]
        for slug, *entries in zip(some, *columns, strict=True):
            found[slug] = Member.from_redis(slug, Entries(*entries), fleet, now)
    return [member for slug in slugs if (member := found[slug]) is not None]


def _stretches(shard: Shard, fleet: Fleet, status: MemberStatus | None, now: int) -> list[Stretch]:
    live, returning, down = zsets(shard, fleet.id)
    if fleet.status == "paused":
        return [Stretch(down), Stretch(returning), Stretch(live)] if status in {None, "paused"} else []
    silent, rest, late = Stretch(down, inf), [Stretch(returning), Stretch(live)], Stretch(live, fleet.late_below(now))
    return {None: [silent, *rest], "down": [silent], "up": rest, "late": [late], "paused": []}[status]


async def _slugs(
    db: Database, stretches: Sequence[Stretch], limit: int, cursor: str | None
) -> tuple[list[str], str | None]:
    place = Place.parse(cursor) if cursor else Place()
    found: list[str] = []
    while len(found) < limit:
        wanted = limit - len(found)
        if place.rest:
            found += place.rest[:wanted]
            place.rest = place.rest[wanted:]
        elif place.stretch >= len(stretches):
            return found, None
        else:
            stretch = stretches[place.stretch]
            if stretch.until is None:
                place.rest = await _scan(db, stretch.zset, place, wanted)
            else:
                place.rest = await _along(db, stretch.zset, stretch.until, place, wanted)
    return found, str(place)


async def _scan(db: Database, zset: str, place: Place, wanted: int) -> tuple[str, ...]:
    """About as many as wanted. A small zset is handed out whole: then the order is ours, of slugs, and the cursor need
    not carry a hundred of them.
    """
    if not place.at.isdecimal():
        raise BadCursor
    position, entries = await db.execute("ZSCAN", zset, place.at, "COUNT", wanted)
    slugs = tuple(slug.decode() for slug, _ in entries)
    if position:
        place.at = str(position)
    elif place.at == "0" and len(ahead := sorted(slug for slug in slugs if slug > place.slug)) > wanted:
        slugs = tuple(ahead[:wanted])
        place.slug = slugs[-1]
    elif place.at == "0":
        slugs = tuple(ahead)
        place.next_stretch()
    else:
        place.next_stretch()
    return slugs


async def _along(db: Database, zset: str, until: float, place: Place, wanted: int) -> tuple[str, ...]:
    start = await _rank_behind(db, zset, place) if place.slug else 0
    entries = scored(await db.execute("ZRANGE", zset, start, start + wanted - 1, "WITHSCORES"))
    entries = [entry for entry in entries if entry[1] < until]
    if len(entries) < wanted:
        place.next_stretch()
    else:
        place.slug, place.at = entries[-1][0], f"{entries[-1][1]:.4f}"
    return tuple(slug for slug, _ in entries)


async def _rank_behind(db: Database, zset: str, place: Place) -> int:
    """Behind the one read last, who may be gone by now. The order is by score and slug, and many may share a score."""
    low, high = await db.pipeline([("ZCOUNT", zset, "-inf", f"({place.at}"), ("ZCOUNT", zset, "-inf", place.at)])
    while low < high:
        middle = (low + high) // 2
        found = await db.execute("ZRANGE", zset, middle, middle)
        if found and found[0].decode() <= place.slug:
            low = middle + 1
        else:
            high = middle
    return int(low)
