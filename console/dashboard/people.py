"""People: the list, and the form of one with the channels that reach them."""

from typing import Any, Final

from starlette.responses import Response

from console import answers
from console import people as api
from console.dashboard import forms
from console.dashboard.forms import Form
from console.dashboard.page import Visit
from console.dashboard.planned import Planned, Row
from console.dashboard.rows import rows_of, with_rows
from console.dashboard.words import typed
from console.routing import Call
from console.schemas import GivenContact, PersonCreate, PersonPatch
from store import channels, records


async def index(visit: Visit) -> Response:
    found = await api.page(Call(visit.context, "", None, principal=visit.visitor))
    return visit.page("people.html", people=found.people, channels=await channel_names(visit))


async def channel_names(visit: Visit) -> dict[str, str]:
    """By id, in the order of their names."""
    return {channel.id: channel.name for channel in await channels_of(visit)}


async def channels_of(visit: Visit) -> list[records.Channel]:
    found = await channels.of_project(visit.context.db, visit.visitor.project)
    return sorted(found, key=lambda channel: (channel.name.casefold(), channel.id))


def form_of(person: answers.Person) -> Form:
    rows = [
        {"channel": [contact.channel], "wait": [str(amount) if amount else ""], "wait_unit": [unit]}
        for contact in person.contacts
        for amount, unit in [typed(contact.wait) if contact.wait else (0, "minutes")]
    ]
    return with_rows({"name": [person.name]}, "contacts", rows)


def raw_of(form: Form) -> dict[str, Any]:
    contacts = [
        {"channel": forms.text(row, "channel"), "wait": forms.seconds(row, "wait") or 0}
        for row in rows_of(form, "contacts")
    ]
    return {"name": forms.text(form, "name"), "contacts": contacts}


async def _around(visit: Visit, _: answers.Person | None, __: Form) -> dict[str, Any]:
    return {"channels": [(channel.id, f"{channel.name} ({channel.kind})") for channel in await channels_of(visit)]}


PEOPLE: Final = Planned(
    path="/people",
    word="person",
    template="person.html",
    loss="They can be told no more. Their channels stay.",
    api=api,
    creates=PersonCreate,
    patches=PersonPatch,
    rows={"contacts": Row(part=GivenContact, main="channel")},
    blank=lambda _: {},
    form_of=form_of,
    raw_of=raw_of,
    around=_around,
)
