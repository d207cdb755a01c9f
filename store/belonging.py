"""To which project the things belong that are found by id alone; the other records stand in their project's hash."""

from collections.abc import Mapping, Sequence
from typing import Any

from store import keys
from store.database import Database


async def is_of(db: Database, project: str, named: Mapping[str, str]) -> str | None:
    """`named`: what a path names, kind -> id. The first kind of which this is not the project's; None = all are."""
    reads: list[tuple[Any, ...]] = []
    asked: list[str] = []
    for kind, id_ in named.items():
        found = _reads(db, project, kind, id_)
        reads += found
        asked += [kind] * len(found)
    answers: dict[str, list[Any]] = {}
    for kind, answer in zip(asked, await db.pipeline(reads), strict=True):
        answers.setdefault(kind, []).append(answer)
    return next((kind for kind, found in answers.items() if not _is(project, found)), None)


async def deliveries_of(db: Database, project: str, deliveries: Sequence[str]) -> list[str]:
    """Those of them that are the project's."""
    reads = [_reads(db, project, "delivery", delivery) for delivery in deliveries]
    answers = iter(await db.pipeline([read for pair in reads for read in pair]))
    return [delivery for delivery in deliveries if _is(project, [next(answers), next(answers)])]


def _reads(db: Database, project: str, kind: str, id_: str) -> list[tuple[Any, ...]]:
    """The first of these that is there tells the project; a 1 says that it is this one."""
    shard = db.shard(id_)
    match kind:
        case "heartbeat":
            return [("HGET", shard.heartbeat(id_), "project")]
        case "fleet":  # also one that was deleted half-way: to delete it again finishes that
            return [("HGET", shard.fleet(id_), "project"), ("HGET", shard.deleted(id_), "project")]
        case "incident":
            return [("HGET", shard.incident(id_), "project")]
        case "delivery":  # it may outlive its incident; then its channel tells
            incident, _, channel = id_.partition(":")
            return [
                ("HGET", shard.incident(incident), "project"),
                ("HEXISTS", keys.channels(project), channel),
            ]
    return []


def _is(project: str, found: Sequence[Any]) -> bool:
    owner = next((each for each in found if each is not None), None)
    return owner == project.encode() or owner == 1
