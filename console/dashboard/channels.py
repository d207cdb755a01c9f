"""The pages of channels: how people are told, whether that works, and a test of it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from console import answers, views
from console import channels as api
from console.dashboard import channel_form, deliveries, forms
from console.dashboard.page import Visit, is_id
from console.errors import BadRequest, InUse, Invalid, NotFound
from console.routing import Call
from console.schemas import ChannelCreate, ChannelPatch, LogQuery
from rules.channels import KINDS
from store import errors

AT_ONCE: Final = 25  # channels whose logs are read at the same time
RECENT: Final = 20  # rows of a log among which the list looks for the last that was told
LOG: Final = 100  # rows on a channel's own page
FIRST: Final = 12  # of them, before "older"
WHAT: Final = {
    "opened": "Incident opened", "grown": "More are down", "reminder": "Reminder", "acknowledged": "Acknowledged",
    "resolved": "Resolved", "late": "Late", "test": "Test",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    """`look`: of the sign, as a heartbeat's status has it. `why` may be empty."""

    look: str
    word: str
    why: str


@dataclass(frozen=True, slots=True)
class Row:
    """`told`: the last message that arrived, None = none that the log knows; `tried`: the last of all."""

    channel: answers.Channel
    state: State
    told: answers.Telling | None
    tried: answers.Telling | None


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a channel's log."""

    telling: answers.Telling
    what: str
    about: deliveries.Subject


async def index(visit: Visit) -> Response:
    found = await api.page(Call(visit.context, "", None, principal=visit.visitor))
    ordered = sorted(found.channels, key=lambda each: (each.name.casefold(), each.id))
    logs: list[Sequence[answers.Telling]] = []
    for i in range(0, len(ordered), AT_ONCE):
        logs += await asyncio.gather(*(_log(visit, each.id, RECENT) for each in ordered[i : i + AT_ONCE]))
    return visit.page(
        "channels.html",
        rows=[_row(channel, log) for channel, log in zip(ordered, logs, strict=True)],
        dead=await deliveries.count(visit),
        now=await visit.context.db.now(),
    )


async def new(visit: Visit) -> Response:
    """The choice of a kind, then its form."""
    kind = visit.query.get("kind", "")
    if kind not in KINDS:
        return visit.page("channel_kinds.html", kinds=KINDS.values())
    return _new(visit, kind, channel_form.values(kind, {}), {}, 200)


async def create(visit: Visit) -> Response:
    """Makes one. A secret that was made by us is shown here, in the answer itself, and nowhere else."""
    kind = visit.field("kind")
    if kind not in KINDS:
        raise BadRequest("There is no such kind of channel.")
    raw = {"name": forms.text(visit.form, "name"), "kind": kind, "settings": channel_form.settings(kind, visit.form)}
    given, faults = forms.judged(ChannelCreate, raw)
    if given is not None:
        try:
            made = await api.create(Call(visit.context, "", given, principal=visit.visitor))
        except Invalid as error:
            faults = channel_form.fault(error)
        else:
            shown = [name for name in views.secret_fields(kind) if made.settings.get(name) is not None]
            secrets = {channel_form.label(name): made.settings[name] for name in shown}
            if secrets:
                return visit.page("channel_made.html", c=made, secrets=secrets)
            return visit.go(f"/channels/{made.id}")
    return _new(visit, kind, channel_form.typed(kind, visit.form), faults, 422)


async def show(visit: Visit) -> Response:
    """All there is to know of one. `?test=`: a test that was sent just now, where no script follows it."""
    return await _page(visit, await _ours(visit))


async def change(visit: Visit) -> Response:
    """Writes the settings, or shows beside each field what is wrong with it; a secret that is left empty stays."""
    channel = await _ours(visit)
    raw = {"name": forms.text(visit.form, "name"), "settings": channel_form.settings(channel.kind, visit.form)}
    given, faults = forms.judged(ChannelPatch, raw)
    if given is not None:
        try:
            await api.change(Call(visit.context, channel.id, given, principal=visit.visitor))
            return visit.go(f"/channels/{channel.id}")
        except Invalid as error:
            faults = channel_form.fault(error)
    return await _page(visit, channel, values=channel_form.typed(channel.kind, visit.form), faults=faults, status=422)


async def test(visit: Visit) -> Response:
    """Sends a test; what becomes of it shows where the button is, or on the channel's page."""
    channel = await _ours(visit)
    asked = await api.test(Call(visit.context, channel.id, None, principal=visit.visitor))
    if not visit.wants_part:
        return visit.go(f"/channels/{channel.id}?test={asked.delivery}")
    return deliveries.part(await deliveries.outcome_of(visit, asked.delivery))


async def delete(visit: Visit) -> Response:
    """Asks first."""
    channel = await _ours(visit)
    if visit.is_sure:
        try:
            await api.delete(Call(visit.context, channel.id, None, principal=visit.visitor))
        except InUse as error:
            return await _page(visit, channel, faults={"delete": f"{error}."}, status=error.status)
        return visit.go("/channels")
    return visit.ask(
        title="Delete this channel?",
        text="Nobody will be told through it, and what waits for it is dropped. This cannot be undone.",
        names=[channel.name],
        button="Delete",
        to=f"/channels/{channel.id}/delete",
        back=f"/channels/{channel.id}",
    )


async def _ours(visit: Visit) -> answers.Channel:
    """The one that the path names. Raises NotFound also for one of another project."""
    id_: str = visit.request.path_params["channel"]
    if not is_id(id_):
        raise NotFound("There is no such channel.")
    return await api.get(Call(visit.context, id_, None, principal=visit.visitor))


async def _page(
    visit: Visit,
    channel: answers.Channel,
    *,
    values: Mapping[str, Any] | None = None,
    faults: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    log = await _log(visit, channel.id, LOG)
    about = await deliveries.subjects(visit, [telling.incident for telling in log])
    lines = [Line(telling, WHAT.get(telling.what, telling.what), about[telling.incident]) for telling in log]
    return visit.page(
        "channel.html",
        status,
        c=channel,
        row=_row(channel, log),
        kind=KINDS[channel.kind],
        lines=lines,
        first=FIRST,
        outcome=await _tested(visit, channel.id),
        values=values or {**channel_form.values(channel.kind, channel.settings), "name": channel.name},
        faults=faults or {},
        label=channel_form.label,
        priorities=channel_form.PRIORITIES,
        may_admin=visit.visitor.may("admin"),
        now=await visit.context.db.now(),
    )


async def _tested(visit: Visit, channel: str) -> deliveries.Outcome | None:
    """What became of the test that the page's address names; None = it names none of this channel's."""
    delivery = visit.query.get("test", "")
    if not delivery.endswith(f":{channel}") or not await deliveries.is_ours(visit, delivery):
        return None
    try:
        return await deliveries.outcome_of(visit, delivery)
    except errors.NotFound:  # forgotten since
        return None


def _new(visit: Visit, kind: str, values: Mapping[str, Any], faults: Mapping[str, str], status: int) -> Response:
    return visit.page(
        "channel_new.html",
        status,
        kind=KINDS[kind],
        values=values,
        faults=faults,
        label=channel_form.label,
        priorities=channel_form.PRIORITIES,
    )


async def _log(visit: Visit, channel: str, rows: int) -> Sequence[answers.Telling]:
    """Newest first."""
    asked = LogQuery.model_validate({"limit": str(rows)})
    return (await api.log(Call(visit.context, channel, asked, principal=visit.visitor))).log


def _row(channel: answers.Channel, log: Sequence[answers.Telling]) -> Row:
    told = next((telling for telling in log if telling.outcome == "told"), None)
    return Row(channel, _state(channel, log), told, log[0] if log else None)


def _state(channel: answers.Channel, log: Sequence[answers.Telling]) -> State:
    """Broken as the API says it; otherwise what the last message tells."""
    if channel.broken:
        return State("down", "Broken", channel.broken.answer)
    if not log:
        return State("pending", "Never told", "")
    why = log[0].answer or log[0].reason or ""
    match log[0].outcome:
        case "told":
            return State("up", "Works", "")
        case "retry":
            return State("late", "Trying again", why)
        case _:
            return State("late", "Failed", why)
