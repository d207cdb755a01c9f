"""Reads many records for the notifier, so that one which is corrupt does not silence the others."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from runtime.logs import log
from store import fleets, heartbeats, incidents
from store.database import Database
from store.errors import NotFound, StoreError
from store.fleets import Fleet
from store.records import Heartbeat, Incident

Record = TypeVar("Record")

logger = logging.getLogger(__name__)


async def legible_incidents(db: Database, ids: Sequence[str]) -> list[Incident | None]:
    """In the order asked for; None for what is gone or corrupt. Raises Unavailable."""
    return await _legible(lambda some: incidents.get_many(db, some), ids)


async def legible_owners(db: Database, found: Sequence[Incident]) -> list[Heartbeat | Fleet | None]:
    """What incidents are about, also what was deleted lately; the same."""
    lone = [incident.heartbeat for incident in found if not incident.fleet]
    whole = [incident.heartbeat for incident in found if incident.fleet]
    read_heartbeats = iter(await _legible(lambda some: heartbeats.get_many(db, some, deleted=True), lone))
    read_fleets = iter(await _legible(lambda some: fleets.get_many(db, some, deleted=True), whole))
    return [next(read_fleets) if incident.fleet else next(read_heartbeats) for incident in found]


async def count_members(db: Database, fleet: str) -> int:
    """0 when it was deleted."""
    try:
        counts = await fleets.counts(db, fleet)
    except NotFound:
        return 0
    return counts["up"] + counts["down"] + counts["paused"]


async def _legible(
    read: Callable[[Sequence[str]], Awaitable[list[Record | None]]], ids: Sequence[str]
) -> list[Record | None]:
    try:
        return await read(ids)
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a corrupt record makes of its parser
        if len(ids) == 1:
            log(logger, logging.ERROR, "corrupt_record", error, record=ids[0])
            return [None]
        return [record for one in ids for record in await _legible(read, [one])]
