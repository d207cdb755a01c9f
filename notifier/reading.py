"""Reads many records for the notifier, so that one which is corrupt does not silence the others."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from runtime.logs import log
from store import heartbeats, incidents
from store.database import Database
from store.errors import StoreError
from store.records import Heartbeat, Incident

Record = TypeVar("Record")

logger = logging.getLogger(__name__)


async def legible_incidents(db: Database, ids: Sequence[str]) -> list[Incident | None]:
    """In the order asked for; None for what is gone or corrupt. Raises Unavailable."""
    return await _legible(lambda some: incidents.get_many(db, some), ids)


async def legible_heartbeats(db: Database, ids: Sequence[str]) -> list[Heartbeat | None]:
    """The same; also those that were deleted lately."""
    return await _legible(lambda some: heartbeats.get_many(db, some, deleted=True), ids)


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
