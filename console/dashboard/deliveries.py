"""The pages of deliveries: those that were given up, and what becomes of one that was just asked for."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from starlette.responses import Response

from console import answers
from console import incidents as api
from console.dashboard.page import HEADERS, Visit, rendered
from console.dashboard.words import CAUSES
from console.errors import Invalid, NotFound
from console.routing import IDS, Call
from console.schemas import DeadLetters, DeliveryQuery
from store import belonging, channels, errors, fleets, heartbeats, incidents, records

PAGE: Final = 100  # dead letters
FOLLOWED_MS: Final = 60_000  # so long a page asks what became of a message
ENDED: Final = frozenset({"told", "retrying", "dead"})  # of a try
OTHERS: Final = {"test": "A test", "late": "It was late", "problem": "A problem of flatline itself"}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a message was about. `name`: of a heartbeat or a fleet; `heartbeat`: the id of the former; `text`: why."""

    name: str = ""
    heartbeat: str = ""
    text: str = ""
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """A delivery that was given up. `channel`: its name, "" = it was deleted."""

    delivery: answers.Delivery
    channel: str
    about: Subject


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message that was asked for at `since`. `lost`: nothing so far, and the page asks no more."""

    delivery: answers.Delivery
    since: int
    state: Literal["waiting", "told", "failed", "lost"]


async def index(visit: Visit) -> Response:
    """Dead letters, the newest first."""
    letters = await _letters(visit)
    now = await visit.context.db.now()
    return visit.page("deliveries.html", letters=letters, is_full=len(letters) == PAGE, now=now)


async def count(visit: Visit) -> int:
    """How many dead letters there are, up to a page of them."""
    return len(await _dead(visit))


async def resend(visit: Visit) -> Response:
    """Sends one once more; what becomes of it shows where the button is."""
    id_, since = await _ours(visit), await visit.context.db.now()
    try:
        await api.resend(Call(visit.context, id_, None, principal=visit.visitor))
    except errors.NotFound:
        raise NotFound("It cannot be sent any more: what it told of is forgotten. Purge it.") from None
    return part(await outcome_of(visit, id_, since)) if visit.wants_part else visit.go("/deliveries")


async def purge(visit: Visit) -> Response:
    """Takes one off the list."""
    id_ = await _ours(visit)
    with suppress(NotFound):  # somebody else was faster
        await api.purge(Call(visit.context, id_, None, principal=visit.visitor))
    return visit.go("/deliveries")


async def resend_all(visit: Visit) -> Response:
    """Asks first."""
    if visit.is_sure:
        await api.resend_dead(Call(visit.context, "", DeadLetters(), principal=visit.visitor))
        return visit.go("/deliveries")
    text = "Each channel is told what it could not be told, also of what is over by now."
    return await _confirm(visit, "resend", title="Send all dead letters once more?", text=text, button="Resend all")


async def purge_all(visit: Visit) -> Response:
    """Asks first."""
    if visit.is_sure:
        await api.purge_dead(Call(visit.context, "", DeadLetters(), principal=visit.visitor))
        return visit.go("/deliveries")
    text = "Nobody will be told what they say. That they failed stays in the logs of their channels."
    return await _confirm(visit, "purge", title="Purge all dead letters?", text=text, button="Purge all")


async def outcome(visit: Visit) -> Response:
    """What has become of one by now, for the part of a page that waits for it."""
    id_, since = await _ours(visit), visit.query.get("since", "")
    if not (since.isascii() and since.isdigit() and len(since) <= 15):
        raise Invalid("since must be a time in milliseconds", field="since")
    return part(await outcome_of(visit, id_, int(since)), again=True)


async def outcome_of(visit: Visit, delivery: str, since: int | None = None) -> Outcome:
    """`delivery`: of the visitor's project; `since`: when it was asked for, None = when it was made."""
    found = await api.get_delivery(Call(visit.context, delivery, None, principal=visit.visitor))
    asked = found.created_at if since is None else since
    if found.status in ENDED and found.at is not None and found.at >= asked:
        return Outcome(found, asked, "told" if found.status == "told" else "failed")
    is_late = await visit.context.db.now() - asked > FOLLOWED_MS
    return Outcome(found, asked, "lost" if is_late else "waiting")


def part(found: Outcome, *, again: bool = False) -> Response:
    """`again`: for a page that has it already. While it waits, only what asks comes anew, or a screen reader would read
    it out each time; the end takes the place of all, and whatever shows the channel's state hears of it.
    """
    headers = dict(HEADERS)
    if found.state != "waiting":
        headers["HX-Trigger"] = f"told-{found.delivery.channel}"
        if again:
            headers |= {"HX-Retarget": "closest .outcome", "HX-Reswap": "innerHTML"}
    return rendered("channel_outcome.html", 200, headers, outcome=found, again=again)


async def subjects(visit: Visit, wanted: Sequence[str]) -> dict[str, Subject]:
    """By the ids of incidents, what each is about; an empty one for what is forgotten."""
    db, ids = visit.context.db, list(dict.fromkeys(wanted))
    found = [each for each in await incidents.get_many(db, ids) if each and each.project == visit.visitor.project]
    of_fleets = [each.heartbeat for each in found if each.fleet]
    others = [each.heartbeat for each in found if each.heartbeat and not each.fleet]
    names = {
        each.id: each.settings.name
        for each in (
            *await fleets.get_many(db, of_fleets, deleted=True),
            *await heartbeats.get_many(db, others, deleted=True),
        )
        if each is not None
    }
    about = {each.id: _subject(each, names.get(each.heartbeat, "")) for each in found}
    return {id_: about.get(id_, Subject()) for id_ in ids}


async def is_ours(visit: Visit, delivery: str) -> bool:
    """Whether it is one, and of the visitor's project."""
    if not re.fullmatch(IDS["delivery"], delivery):
        return False
    return await belonging.is_of(visit.context.db, visit.visitor.project, {"delivery": delivery}) is None


async def _ours(visit: Visit) -> str:
    """The id that the path names. Raises NotFound also for one of another project."""
    id_: str = visit.request.path_params["delivery"]
    if not await is_ours(visit, id_):
        raise NotFound("There is no such delivery.")
    return id_


async def _dead(visit: Visit) -> Sequence[answers.Delivery]:
    asked = DeliveryQuery.model_validate({"status": "dead", "limit": str(PAGE)})
    return (await api.dead_letters(Call(visit.context, "", asked, principal=visit.visitor))).deliveries


async def _letters(visit: Visit) -> list[Letter]:
    found = await _dead(visit)
    names = {each.id: each.name for each in await channels.of_project(visit.context.db, visit.visitor.project)}
    about = await subjects(visit, [each.incident for each in found])
    return [Letter(each, names.get(each.channel, ""), about[each.incident]) for each in found]


async def _confirm(visit: Visit, action: str, *, title: str, text: str, button: str) -> Response:
    letters = await _letters(visit)
    names = [f"{each.about.name or each.about.text} → {each.channel or 'a deleted channel'}" for each in letters]
    to = f"/deliveries/{action}"
    return visit.ask(title=title, text=text, names=names, button=button, to=to, back="/deliveries")


def _subject(incident: records.Incident, name: str) -> Subject:
    text = incident.problem or OTHERS.get(incident.cause) or CAUSES[incident.cause]
    heartbeat = "" if incident.fleet else incident.heartbeat
    return Subject(name, heartbeat, text, is_open=incident.status == "open")
