"""One thing done with many heartbeats, so many at the same time at most. Each stands for itself: what one refuses, the
others do; and whatever was asked may be asked again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from console.answers import Answer
from console.fields import moment, several, whole
from console.heartbeats import end_of_pause
from console.routing import Call
from console.schemas import PAUSE_MAX, Body, HeartbeatId, Tag
from rules import limits
from store import heartbeats
from store.errors import NotFound, TooMany

IDS_MAX: Final = 1_000
AT_ONCE: Final = 25  # heartbeats that are changed at the same time

Action = Literal["pause", "resume", "delete", "tag", "untag"]


class Bulk(Body):
    """`for` and `until`: the end of a pause, as for one heartbeat. `tags`: those to add, or to take off."""

    action: Action
    ids: Annotated[tuple[HeartbeatId, ...], *several(IDS_MAX)]
    for_: Annotated[int, whole(1, PAUSE_MAX, "seconds")] | None = Field(None, alias="for")
    until: Annotated[int, moment()] | None = None
    tags: Annotated[tuple[Tag, ...], *several(limits.TAGS_MAX)] = ()

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.for_ is not None and self.until is not None:
            raise ValueError("send either for or until, not both")
        if self.action != "pause" and (self.for_ is not None or self.until is not None):
            raise ValueError(f"send for and until with the action pause, not with {self.action}")
        if (self.action in {"tag", "untag"}) != bool(self.tags):
            raise ValueError("send tags with the actions tag and untag, and with no other")
        return self


class Failure(Answer):
    """One that was not changed; `code` and `message` as of an error."""

    id: str
    code: Literal["not_found", "too_many"]
    message: str


class BulkDone(Answer):
    """`done`: how many are now as was asked."""

    done: int
    failed: tuple[Failure, ...]


async def act(call: Call[Bulk]) -> BulkDone:
    """Pause, resume, delete, tag or untag up to 1,000 heartbeats."""
    db, ids = call.context.db, call.given.ids
    change = await _change(call)
    found = await heartbeats.get_many(db, ids)
    ours = {each.id for each in found if each is not None and each.project == call.principal.project}

    async def one(id_: str) -> Failure | None:
        if id_ not in ours:
            return Failure(id=id_, code="not_found", message="no such heartbeat")
        try:
            await change(id_)
        except NotFound as error:
            return Failure(id=id_, code="not_found", message=str(error))
        except TooMany as error:
            return Failure(id=id_, code="too_many", message=str(error))
        return None

    failed: list[Failure] = []
    for i in range(0, len(ids), AT_ONCE):
        outcomes = await asyncio.gather(*(one(id_) for id_ in ids[i : i + AT_ONCE]))
        failed += [outcome for outcome in outcomes if outcome]
    return BulkDone(done=len(ids) - len(failed), failed=tuple(failed))


async def _change(call: Call[Bulk]) -> Callable[[str], Awaitable[object]]:
    """What is done with each. Raises Invalid."""
    db, given = call.context.db, call.given
    match given.action:
        case "pause":
            until = await end_of_pause(db, given.for_, given.until)
            return lambda id_: heartbeats.pause(db, id_, until)
        case "resume":
            return lambda id_: heartbeats.resume(db, id_)
        case "delete":
            return lambda id_: heartbeats.delete(db, id_)
        case "tag":
            return lambda id_: heartbeats.tag(db, id_, given.tags)
        case "untag":
            return lambda id_: heartbeats.untag(db, id_, given.tags)
