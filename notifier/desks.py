"""All desks of a process: made when something waits, gone when nothing does."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from notifier.delivery import Desk, Supplies
from notifier.pace import Pace
from runtime.logs import log
from store.database import Database
from store.errors import Unavailable

logger = logging.getLogger(__name__)

AGAIN_S: Final = 0.1
CLOSE_S: Final = 3.0  # for what is being said when we are told to stop; the rest waits in Redis


class Desks:
    def __init__(self, db: Database, supplies: Supplies) -> None:
        self._db = db
        self._supplies = supplies
        self._paces: dict[str, Pace] = {}
        self._desks: dict[tuple[str, str], tuple[Desk, asyncio.Task[None]]] = {}

    def put(self, project: str, pairs: Iterable[tuple[str, str]], *, urgent: bool = False) -> None:
        """(incident, channel) pairs to be told. What is lost here comes up again as a chore."""
        for incident, channel in pairs:
            where = project, channel
            desk, task = self._desks.get(where, (None, None))
            if desk is None or task is None or task.done():
                pace = self._paces.setdefault(channel, Pace())
                desk = Desk(self._db, project, channel, self._supplies, pace)
                desk.put(incident)
                self._desks[where] = desk, asyncio.create_task(self._work(where, desk))
            else:
                desk.put(incident)
            if urgent:
                self._paces[channel].hurry()

    async def _work(self, where: tuple[str, str], desk: Desk) -> None:
        try:
            await desk.work()
        except Unavailable as error:
            log(logger, logging.WARNING, "redis_away", channel=where[1], reason=str(error))
        except Exception as error:  # noqa: BLE001 - a desk is a loop: the lease ends and a chore brings it back
            log(logger, logging.ERROR, "desk_failed", error, channel=where[1])
        finally:
            if self._desks.get(where, (None, None))[0] is desk:
                del self._desks[where]

    async def aclose(self) -> None:
        tasks = [task for _, task in self._desks.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=CLOSE_S)
            while late:  # more than once: below Python 3.12 a wait_for in the client may swallow it
                for task in late:
                    task.cancel()
                _, late = await asyncio.wait(late, timeout=AGAIN_S)
