"""A heartbeat's own pages: make it, look at it, change it, pause it, delete it."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from console import answers, schedules, views
from console import heartbeats as api
from console.dashboard import forms
from console.dashboard.history import durations, strip, timeline
from console.dashboard.lists import rows, stale_at
from console.dashboard.page import Visit
from console.dashboard.snippets import CURL, snippets
from console.dashboard.words import UNITS, typed
from console.errors import BadRequest, Invalid
from console.reading import checked
from console.routing import Call
from console.schemas import HeartbeatCreate, HeartbeatPatch, Pause, ScheduleQuery
from store import channels, events, incidents, plans, projects, records

EVENTS: Final = 120  # as many as the log keeps, or some more
INCIDENTS: Final = 20
PREVIEWED: Final = 5  # slots
OUTPUT_MAX: Final = 10_000  # bytes shown
#: Usual rhythms: name -> period and grace in seconds.
PRESETS: Final = {
    "Every minute": (60, 60),
    "Every 5 minutes": (300, 120),
    "Every hour": (3_600, 600),
    "Every day": (86_400, 3_600),
    "Every week": (604_800, 21_600),
}


async def new(visit: Visit) -> Response:
    return visit.page("new.html", presets=PRESETS, units=UNITS, values={}, faults={})


async def create(visit: Visit) -> Response:
    """Makes one and shows how to ping it."""
    raw = forms.heartbeat(visit.form)
    preset = visit.field("preset")
    if preset in PRESETS:
        raw["period"], raw["grace"] = PRESETS[preset]
    given, faults = forms.judged(HeartbeatCreate, raw)
    if given is not None:
        try:
            made = await api.create(Call(visit.context, "", given, principal=visit.visitor))
            return visit.go(f"/heartbeats/{made.id}")
        except Invalid as error:
            faults = {error.field or "": str(error)}
    return visit.page("new.html", 422, presets=PRESETS, units=UNITS, values=_typed(visit.form), faults=faults)


async def show(visit: Visit) -> Response:
    """All there is to know of one; for one that was never pinged, how to do that."""
    record, db = await visit.heartbeat(), visit.context.db
    log, _ = await events.page(db, record.id, limit=EVENTS)
    now = await db.now()
    shown = await _shown(visit, record, now)
    return visit.page(
        "heartbeat.html",
        h=shown,
        now=now,
        stale_at=stale_at(record, now),
        strip=strip(log),
        lines=timeline(log),
        chart=durations(log),
        incidents=await _incidents(visit, record, log),
        is_told=bool(await channels.ids(db, record.project)),
        curl=f"{CURL} {shown.ping_url}",
        plain_curl=f"curl {shown.ping_url}",
        snippets=snippets(shown.ping_url, shown.schedule),
        typed=typed,
    )


async def output(visit: Visit) -> Response:
    """What a job sent with a ping, as a part of the page."""
    record = await visit.heartbeat()
    event = visit.request.path_params["event"]
    if not _is_event(event):
        raise BadRequest("There is no such event.")
    sent = await events.output(visit.context.db, record.id, event)
    return visit.page("output.html", text=sent[-OUTPUT_MAX:].decode(errors="replace"))


async def settings(visit: Visit) -> Response:
    record = await visit.heartbeat()
    shown = await _shown(visit, record, await visit.context.db.now())
    return await _settings(visit, shown, values_of(shown), {}, 200)


async def change(visit: Visit) -> Response:
    """Writes the settings, or shows beside each field what is wrong with it."""
    record = await visit.heartbeat()
    given, faults = forms.judged(HeartbeatPatch, forms.heartbeat(visit.form))
    if given is not None:
        try:
            await api.change(Call(visit.context, record.id, given, principal=visit.visitor))
            return visit.go(f"/heartbeats/{record.id}")
        except Invalid as error:
            faults = {error.field or "": str(error)}
    shown = await _shown(visit, record, await visit.context.db.now())
    return await _settings(visit, shown, values_of(shown) | _typed(visit.form), faults, 422)


async def preview(visit: Visit) -> Response:
    """The next slots of a schedule that somebody is typing, with the deadline of each."""
    query = {name: [value] for name, value in visit.query.multi_items()}
    asked = {
        "schedule": forms.prose(query, "schedule"),
        "timezone": forms.text(query, "timezone") or "UTC",
        "grace": _text(forms.seconds(query, "grace")) or "0",
        "misses": forms.text(query, "misses") or "1",
        "count": str(PREVIEWED),
    }
    if not asked["schedule"]:
        return visit.page("preview.html", slots=(), fault="", timezone="")
    try:
        found = await schedules.preview(Call(visit.context, "", checked(ScheduleQuery, asked), principal=visit.visitor))
    except Invalid as error:
        return visit.page("preview.html", slots=(), fault=str(error), timezone="")
    return visit.page("preview.html", slots=found.slots, fault="", timezone=asked["timezone"])


async def pause(visit: Visit) -> Response:
    """For good, or for as long as was typed."""
    record = await visit.heartbeat()
    raw: dict[str, Any] = {"for": forms.seconds(visit.form, "for")} if visit.field("for") else {}
    given, faults = forms.judged(Pause, raw)
    if given is None:
        shown = await _shown(visit, record, await visit.context.db.now())
        faults = {f"pause_{field}": fault for field, fault in faults.items()}
        return await _settings(visit, shown, values_of(shown), faults, 422)
    await api.pause(Call(visit.context, record.id, given, principal=visit.visitor))
    return await _done(visit, record.id)


async def resume(visit: Visit) -> Response:
    record = await visit.heartbeat()
    await api.resume(Call(visit.context, record.id, None, principal=visit.visitor))
    return await _done(visit, record.id)


async def rotate(visit: Visit) -> Response:
    """A new ping URL; asks first."""
    record = await visit.heartbeat()
    if visit.field("sure") == "yes":
        await api.rotate(Call(visit.context, record.id, None, principal=visit.visitor))
        return visit.go(f"/heartbeats/{record.id}")
    text = "The old one ends within seconds: jobs that still use it are no longer heard."
    return _confirm(visit, record, "rotate", title="A new ping URL?", text=text, button="Make a new URL")


async def delete(visit: Visit) -> Response:
    """Asks first."""
    record = await visit.heartbeat()
    if visit.field("sure") == "yes":
        await api.delete(Call(visit.context, record.id, None, principal=visit.visitor))
        return visit.go("/")
    text = "Its ping URL ends within seconds, and its history goes with it. This cannot be undone."
    return _confirm(visit, record, "delete", title="Delete this heartbeat?", text=text, button="Delete")


def values_of(heartbeat: answers.Heartbeat) -> dict[str, Any]:
    """The settings as the form's fields show them."""
    values: dict[str, Any] = {
        name: "" if value is None else value
        for name, value in heartbeat.model_dump(exclude={"status", "ping_url", "slug_url"}).items()
    }
    for name in ("period", "grace", "early", "max_runtime", "remind_every"):
        seconds = getattr(heartbeat, name)
        values[name], values[f"{name}_unit"] = ("", "minutes") if seconds is None else typed(seconds)
    for name in ("failure_words", "success_words", "start_words"):
        values[name] = "\n".join(getattr(heartbeat, name))
    return values | {
        "tags": ", ".join(heartbeat.tags),
        "rhythm": "schedule" if heartbeat.schedule else "period",
        "told": "all" if heartbeat.channels is None else "some",
        "channels": list(heartbeat.channels or ()),
    }


async def _settings(
    visit: Visit, shown: answers.Heartbeat, values: Mapping[str, Any], faults: Mapping[str, str], status: int
) -> Response:
    db, project = visit.context.db, visit.visitor.project
    return visit.page(
        "settings.html",
        status,
        h=shown,
        values=values,
        faults=faults,
        units=UNITS,
        channels=sorted(await channels.of_project(db, project), key=lambda each: each.name.casefold()),
        policies=views.by_name((await plans.plan(db, project)).policies.values()),
    )


async def _done(visit: Visit, heartbeat: str) -> Response:
    """The row of the list where the button stands in one, else the page."""
    if not visit.wants_part:
        return visit.go(f"/heartbeats/{heartbeat}")
    record = await visit.heartbeat_named(heartbeat)
    now = await visit.context.db.now()
    return visit.page("rows.html", rows=await rows(visit, [record]), gone=[], now=now, oob=False)


async def _shown(visit: Visit, record: records.Heartbeat, now: int) -> answers.Heartbeat:
    ping_key = await projects.ping_key(visit.context.db, record.project) if record.settings.slug else ""
    return views.heartbeat(record, now, visit.context.public_url, ping_key)


async def _incidents(visit: Visit, record: records.Heartbeat, log: list[events.Event]) -> list[answers.Incident]:
    """Those that the log still tells of, and the open one: an incident is named by when it opened."""
    named = [f"{record.id}-{event.at}" for event in log if event.kind == "down"]
    ids = list(dict.fromkeys([*([record.incident] if record.incident else []), *named]))[:INCIDENTS]
    found = await incidents.get_many(visit.context.db, ids)
    return [views.incident(each, record) for each in found if each is not None]


def _confirm(visit: Visit, record: records.Heartbeat, action: str, *, title: str, text: str, button: str) -> Response:
    return visit.page(
        "confirm.html",
        title=title,
        text=text,
        names=[record.settings.name],
        button=button,
        danger=action == "delete",
        to=f"/heartbeats/{record.id}/{action}",
        back=f"/heartbeats/{record.id}/settings",
        fields=[("sure", "yes")],
    )


def _typed(form: forms.Form) -> dict[str, Any]:
    """What was typed, to stand in the fields again."""
    values: dict[str, Any] = {name: found[0] for name, found in form.items()}
    for name in forms.several(form, "switches"):
        values[name] = name in form
    return values | {"channels": form.get("channels", [])}


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _is_event(text: str) -> bool:
    at, _, number = text.partition("-")
    return at.isdigit() and number.isdigit() and len(text) <= 32
