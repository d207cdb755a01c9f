"""What every page has in common: who looks at it, how it is rendered, what its headers promise."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from console.access import Principal
from console.dashboard import forms, icons
from console.dashboard.forms import Form
from console.dashboard.words import CAUSES, every, took
from console.errors import BadRequest, NotFound
from console.reading import body_of
from console.routing import Context
from rules.times import clock_time, duration, rfc3339
from store import heartbeats, records
from store.members import Project

FORM_MAX: Final = 64 * 1024  # bytes
FIELDS_MAX: Final = 600  # of a form; more than all heartbeats of a page that are marked
POLICY: Final = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
#: Of a page without scripts: sign-in, and what a signed link opens.
PLAIN: Final = {
    "cache-control": "no-store",  # pages hold ping URLs
    "content-security-policy": POLICY,
    "referrer-policy": "same-origin",  # with none at all browsers send "Origin: null", which says nothing
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
HEADERS: Final = {
    **PLAIN,
    "content-security-policy": f"{POLICY}; script-src 'self'; connect-src 'self'; img-src 'self' data:",
    "vary": "HX-Request",
}
PATH: Final = re.compile(r"/([!-.0-\[\]-~][!-\[\]-~]{0,1999})?")  # of ours: //host and /\host lead away
#: What the top of every page leads to.
SECTIONS: Final = (
    ("/", "Heartbeats"),
    ("/fleets", "Fleets"),
    ("/incidents", "Incidents"),
    ("/oncall", "On call"),
    ("/channels", "Channels"),
    ("/settings", "Settings"),
)

templates: Final = Environment(
    loader=PackageLoader("console"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def ago(ms: int, now: int) -> str:
    """A moment as it reads before a script keeps it up to date: ``5 min ago``, ``in 2 h``."""
    seconds = abs(now - ms) / 1000
    if seconds < 5:
        return "now"
    largest = duration(seconds).split(" ")
    text = " ".join(largest[:2])
    return f"in {text}" if ms > now else f"{text} ago"


templates.filters |= {"clock": clock_time, "rfc3339": rfc3339, "duration": duration, "ago": ago, "every": every}
templates.globals |= {"sign": icons.sign, "took": took, "causes": CAUSES, "sections": SECTIONS}


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody we know. `form`: what was posted, empty for a GET. `projects`: to switch between.
    `down`: heartbeats and fleets of the project, which the head of each page shows.
    """

    request: Request
    context: Context
    visitor: Principal
    form: Form
    projects: Sequence[Project] = ()
    down: int = 0

    @property
    def query(self) -> QueryParams:
        return self.request.query_params

    @property
    def may_write(self) -> bool:
        return self.visitor.may("write")

    @property
    def wants_part(self) -> bool:
        """Whether htmx asks for a part of a page, unless it restores a whole one from the browser's history."""
        return "hx-request" in self.request.headers and "hx-history-restore-request" not in self.request.headers

    def field(self, name: str) -> str:
        return forms.value(self.form, name)

    async def heartbeat(self) -> records.Heartbeat:
        """The one that the path names. Raises NotFound also for one of another project."""
        return await self.heartbeat_named(self.request.path_params["heartbeat"])

    async def heartbeat_named(self, id_: str) -> records.Heartbeat:
        (found,) = await heartbeats.get_many(self.context.db, [id_]) if is_id(id_) else (None,)
        if found is None or found.project != self.visitor.project:
            raise NotFound("There is no such heartbeat. It may have been deleted.")
        return found

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        of_all = {"visitor": self.visitor, "may_write": self.may_write, "projects": self.projects, "down": self.down}
        return rendered(template, status, **{**of_all, **values})

    def ask(
        self, *, title: str, text: str, names: Sequence[str], button: str, to: str, back: str, **sent: str
    ) -> Response:
        """The question before something that cannot be undone; `sent`: what goes with the yes."""
        fields = [("sure", "yes"), *sent.items()]
        return self.page(
            "confirm.html",
            title=title,
            text=text,
            names=names,
            button=button,
            danger=True,
            to=to,
            back=back,
            fields=fields,
        )

    @property
    def is_sure(self) -> bool:
        return self.field("sure") == "yes"

    def go(self, path: str) -> Response:
        """On to another page, also where htmx asked."""
        return go(path, part=self.wants_part)


def own_path(asked: str) -> str:
    """Where to go on: a page of ours."""
    return asked if PATH.fullmatch(asked) else "/"


def is_id(text: str) -> bool:
    return len(text) == 12 and set(text) <= set("0123456789abcdef")


def go(path: str, *, part: bool) -> Response:
    return Response(status_code=204 if part else 303, headers={**HEADERS, "HX-Redirect" if part else "Location": path})


def sign_in(request: Request) -> Response:
    """Who is not known goes to sign in, and comes back."""
    target = request.headers.get("hx-current-url", "") if "hx-request" in request.headers else str(request.url)
    path = "/" + target.partition("://")[2].partition("/")[2]
    return go(f"/login?next={quote(path, safe='')}", part="hx-request" in request.headers)


async def form_of(request: Request) -> Form:
    """Raises TooLarge and BadRequest."""
    body = await body_of(request, FORM_MAX)
    try:
        return parse_qs(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise BadRequest(f"A form has at most {FIELDS_MAX} fields.") from None


def rendered(template: str, status: int = 200, headers: Mapping[str, str] = HEADERS, **values: Any) -> Response:
    """A page. Without a value for `visitor` (None = unknown) it is a plain one."""
    return Response(templates.get_template(template).render(values), status, headers, "text/html")
