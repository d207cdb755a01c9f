"""The pages of who is told when, without a browser: people, on-call schedules, policies, maintenance windows."""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from html.parser import HTMLParser
from typing import Any, Final

import aiohttp
import pytest
from starlette.requests import Request

from console import answers
from console.access import ROLES, Principal
from console.auth import Keys
from console.dashboard.policies import sentence
from console.dashboard.rows import ROWS_MAX, rearranged
from console.dashboard.windows import next_start, when
from rules.windows import Window
from store import channels, plans
from store.database import Database
from tests.console.conftest import Api
from tests.console.test_dashboard import Visitor
from tests.console.test_oncall import nights
from tests.console.test_people import GONE, person
from tests.console.test_windows import NIGHTLY, ONCE, window

STRANGER: Final = "<img src=x onerror=alert(1)>'\"&"
FORM: Final = 'method="post" action="/{}'


@pytest.fixture
async def visitor(api: Api) -> AsyncIterator[Visitor]:
    async with aiohttp.ClientSession() as session:
        yield Visitor(session, api.url)


@dataclass
class Fields(HTMLParser):
    """What a browser would send of the form with this action, if nobody touched it."""

    action: str
    found: dict[str, list[str]] = field(default_factory=dict)
    inside: bool = False
    select: str = ""
    options: list[tuple[str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.inside = given.get("action") == self.action
        if not self.inside:
            return
        if tag == "input" and given.get("name"):
            if given.get("type") not in {"checkbox", "radio"} or "checked" in given:
                self.found.setdefault(given["name"], []).append(given.get("value", ""))
        elif tag == "select":
            self.select, self.options = given["name"], []
        elif tag == "option":
            self.options.append((given.get("value", "?"), "selected" in given))

    def handle_data(self, data: str) -> None:
        if self.select and self.options and self.options[-1][0] == "?" and data.strip():
            self.options[-1] = (data.strip(), self.options[-1][1])  # an option without a value sends its text

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.inside = False
        elif tag == "select" and self.inside:
            chosen = next((value for value, is_selected in self.options if is_selected), self.options[0][0])
            self.found.setdefault(self.select, []).append(chosen)
            self.select = ""


def fields_of(page: str, action: str) -> dict[str, list[str]]:
    parser = Fields(action)
    parser.feed(page)
    return parser.found


def sent(form: dict[str, Any]) -> list[tuple[str, str]]:
    """As aiohttp sends a form with several values of one name."""
    pairs = [(name, value if isinstance(value, list) else [value]) for name, value in form.items()]
    return [(name, each) for name, values in pairs for each in values]


@dataclass
class Things:
    """One of each, made by the API."""

    channel: str
    person: str
    schedule: str
    policy: str
    window: str


@pytest.fixture
async def things(api: Api) -> Things:
    channel = (await api.channel())["id"]
    ada = await person(api, "Ada", contacts=[{"channel": channel}])
    schedule = await nights(api, ada)
    steps = [{"channels": [channel]}, {"wait": 600, "schedules": [schedule["id"]], "people": [ada["id"]]}]
    policy = (await api.post("/api/policies", {"name": "Loud", "steps": steps, "repeat": 2})).body
    made = await window(api, tags=["db"], **NIGHTLY)
    return Things(channel, ada["id"], schedule["id"], policy["id"], made["id"])


def person_form(things: Things) -> dict[str, Any]:
    return {"name": "Bob", "contacts-0-channel": things.channel, "contacts-1-channel": "", "contacts-1-wait": ""}


def oncall_form(things: Things) -> dict[str, Any]:
    return {
        "name": "Days", "timezone": "Europe/Berlin", "people-0-person": "", "people-1-person": things.person,
        "length": "other", "days": "14", "handover": "08:30", "start": "2030-01-07",
    }  # fmt: skip


def policy_form(things: Things) -> dict[str, Any]:
    return {
        "name": "Soft", "repeat": "1", "repeat_after": "10", "repeat_after_unit": "minutes",
        "steps-0-wait": "", "steps-0-wait_unit": "minutes", "steps-0-targets": [f"channels:{things.channel}", ""],
        "steps-1-wait": "", "steps-1-wait_unit": "minutes", "steps-1-targets": "",
        "steps-2-wait": "2", "steps-2-wait_unit": "hours",
        "steps-2-targets": [f"people:{things.person}", f"schedules:{things.schedule}"],
    }  # fmt: skip


def window_form(_: Things) -> dict[str, Any]:
    return {
        "name": "Move", "kind": "weekly", "from": "2030-01-01T00:00", "until": "", "days": ["0", "4"],
        "start": "23:00", "end": "01:00", "timezone": "Asia/Kathmandu", "meant": "some", "tags": "db, web", "q": "",
    }  # fmt: skip


#: Path, what its form sends, what the API then tells, what the list shows.
KINDS: Final[list[tuple[str, Callable[[Things], dict[str, Any]], Callable[[Things], dict[str, Any]], str]]] = [
    ("people", person_form, lambda t: {"contacts": [{"channel": t.channel, "wait": 0}]}, "at once"),
    (
        "oncall",
        oncall_form,
        lambda t: {"people": [t.person], "days": 14, "handover": "08:30", "timezone": "Europe/Berlin"},
        "Nobody</strong> is on call until Mon 7 Jan 2030, 08:30",
    ),
    (
        "policies",
        policy_form,
        lambda t: {
            "steps": [
                {"wait": 0, "channels": [t.channel], "people": [], "schedules": []},
                {"wait": 7_200, "channels": [], "people": [t.person], "schedules": [t.schedule]},
            ],
            "repeat": 1,
            "repeat_after": 600,
        },
        "At once: ops. 2 h later: Ada, who is on call in Nights. 10 min later all again, once.",
    ),
    (
        "windows",
        window_form,
        lambda _: {"days": [0, 4], "start": "23:00", "end": "01:00", "from": None, "tags": ["db", "web"]},
        "Mon, Fri, 23:00 to 01:00 on the next day, Asia/Kathmandu",
    ),
]  # fmt: skip
PATHS: Final = [kind[0] for kind in KINDS]


def ids(things: Things) -> dict[str, str]:
    return {"people": things.person, "oncall": things.schedule, "policies": things.policy, "windows": things.window}


@pytest.mark.parametrize(("path", "form", "expected", "shown"), KINDS, ids=PATHS)
async def test_the_whole_life_of_each_thing_by_its_form(  # noqa: PLR0917
    visitor: Visitor, api: Api, things: Things, path: str, form: Any, expected: Any, shown: str
) -> None:
    before = {each["id"] for each in (await api.get(f"/api/{path}")).body[path]}

    status, _, headers = await visitor.post(f"/{path}/new", sent(form(things)))
    (made,) = [each for each in (await api.get(f"/api/{path}")).body[path] if each["id"] not in before]
    assert status == 303
    assert headers["location"] == (f"/oncall/{made['id']}" if path == "oncall" else f"/{path}")
    assert {**made, **expected(things)} == made
    _, text, _ = await visitor.get(f"/{path}")
    assert shown in text
    assert made["name"] in text

    here = f"/{path}/{made['id']}"
    assert (await visitor.post(here, sent({**form(things), "name": "Renamed"})))[0] == 303
    assert (await api.get(f"/api{here}")).body == {**made, "name": "Renamed"}

    status, text, _ = await visitor.post(f"{here}/delete")
    assert (status, "Renamed" in text, 'value="yes"' in text) == (200, True, True)
    assert (await api.get(f"/api{here}")).status == 200
    assert (await visitor.post(f"{here}/delete", {"sure": "yes"}))[0] == 303
    assert (await api.get(f"/api{here}")).status == 404
    assert (await visitor.get(here))[0] == 404


@pytest.mark.parametrize("path", PATHS)
async def test_a_form_that_nobody_touched_changes_nothing(
    visitor: Visitor, api: Api, things: Things, path: str
) -> None:
    here = f"/{path}/{ids(things)[path]}"
    if path == "windows":  # its ends have seconds, and 02:30 comes twice on that day: this is the first
        times = {"from": "2030-01-01T00:00:07.089Z", "until": "2030-10-27T00:30:59.001Z", "timezone": "Europe/Berlin"}
        made = await window(api, heartbeats=[(await api.heartbeat())["id"]], tags=["b", "a"], **times)
        here = f"/windows/{made['id']}"
    before = (await api.get(f"/api{here}")).body
    _, page, _ = await visitor.get(here)

    status, text, _ = await visitor.post(here, sent(fields_of(page, here)))

    assert (status, text) == (303, "")
    assert (await api.get(f"/api{here}")).body == before


@pytest.mark.parametrize("path", PATHS)
async def test_an_empty_form_and_one_of_nonsense_make_nothing(
    visitor: Visitor, api: Api, things: Things, path: str
) -> None:
    before = (await api.get(f"/api/{path}")).body
    nonsense = {
        name: ["\N{SNOWMAN}" * 70, "9" * 99]
        for name in fields_of((await visitor.get(f"/{path}/new"))[1], f"/{path}/new")
    }

    assert (await visitor.post(f"/{path}/new"))[0] == 422
    assert (await visitor.post(f"/{path}/new", sent(nonsense)))[0] == 422
    assert (await visitor.post(f"/{path}/{ids(things)[path]}", sent(nonsense)))[0] == 422
    assert (await visitor.get(f"/{path}/{GONE}"))[0] == 404
    assert (await visitor.get(f"/{path}/nonsense"))[0] == 404
    assert (await api.get(f"/api/{path}")).body == before


STEP: Final = {"steps-0-wait": "", "steps-0-wait_unit": "minutes"}


@pytest.mark.parametrize(
    ("path", "changes", "faults"),
    [
        ("people", {"name": ""}, {"name": "name must have 1 to 100 characters"}),
        ("people", {"contacts-0-channel": ""}, {"contacts": "contacts must have 1 to 10 entries, got 0"}),
        (
            "people",
            {"name": " ", "contacts-0-channel": "x", "contacts-1-channel": GONE, "contacts-1-wait": "soon"},
            {
                "name": "name must have 1 to 100 characters",
                "contacts-0-channel": "channel must be the id of a channel",
                "contacts-1-wait": "wait must be a whole number between 0 and 86400 seconds",
            },
        ),
        (
            "people",
            {"contacts-1-wait": "5", "contacts-1-wait_unit": "minutes"},
            {"contacts-1-channel": "channel is needed"},
        ),
        ("people", {"contacts-0-channel": GONE}, {"contacts": "there is no such channel"}),
        ("people", {"contacts-0-wait": "5"}, {"contacts": "must begin with a wait of 0"}),
        (
            "oncall",
            {"name": "", "people-1-person": "x", "days": "0", "handover": "late", "start": "2030-02-30"},
            {
                "name": "name must have",
                "people": "people[0] must be the id of a person",
                "days": "days must be between 1 and 366 days, got 0",
                "handover": "handover must be a time of day",
                "start": "start must be a day",
            },
        ),
        ("oncall", {"timezone": "Mars/Base"}, {"timezone": "timezone must be a name such as Europe/Berlin or UTC"}),
        ("oncall", {"people-0-person": GONE}, {"people": "there is no such person"}),
        (
            "policies",
            {"name": "", "steps-1-wait": "9", "steps-2-wait": "8", "steps-2-wait_unit": "days", "repeat": "x"},
            {
                "name": "name must have",
                "steps-1-targets": "must name at least one channel, person or on-call schedule",
                "steps-2-wait": "wait must be between 0 and 604800 seconds (7 days), got 691200",
                "repeat": "repeat must be a whole number between 0 and 9",
            },
        ),
        (
            "policies",
            {"steps-1-wait": "soon"},
            {"steps-1-wait": "wait must be a whole number"},
        ),
        ("policies", {"repeat_after": "1", "repeat_after_unit": "seconds"}, {"repeat_after": "between 60 and 86400"}),
        ("policies", {"steps-0-targets": f"people:{GONE}"}, {"steps": "there is no such person"}),
        ("windows", {"days": []}, {"days": "days, start and end belong together"}),
        (
            "windows",
            {"name": "", "days": [], "start": "", "end": "25:00"},
            {"name": "name must have", "start": "start must be a time of day", "end": "end must be a time of day"},
        ),
        ("windows", {"tags": ""}, {"heartbeats": "a window must be meant for somebody"}),
        ("windows", {"heartbeats": GONE}, {"heartbeats": "there is no such heartbeat or fleet"}),
        ("windows", {"timezone": "../../etc/passwd"}, {"timezone": "timezone must be a name such as"}),
        ("windows", {"kind": "once", "until": "2029-12-31T23:59"}, {"until": "until must be after from"}),
        ("windows", {"kind": "once", "until": "soon"}, {"until": "until must be an RFC 3339 time"}),
        ("windows", {"kind": "once", "until": "9999-12-31T23:59"}, {"until": "until must be a time from 1970 to 2199"}),
        ("windows", {"kind": "once", "from": "0001-01-01T00:00"}, {"from": "from must be a time from 1970 to 2199"}),
    ],
)  # fmt: skip
async def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(  # noqa: PLR0917
    visitor: Visitor, api: Api, things: Things, path: str, changes: dict[str, Any], faults: dict[str, str]
) -> None:
    form = next(kind[1] for kind in KINDS if kind[0] == path)(things)
    before = (await api.get(f"/api/{path}")).body

    for here in (f"/{path}/new", f"/{path}/{ids(things)[path]}"):
        status, text, _ = await visitor.post(here, sent({**form, **changes}))

        assert status == 422
        told = dict(re.findall(r'<p class="fault" id="([^"]+)-fault">.*?</span> (.*?)</p>', text))
        assert set(told) == set(faults)
        assert [fault for name, fault in faults.items() if fault not in told[name]] == []
        again = fields_of(text, here)
        for name, value in changes.items():
            if isinstance(value, str) and value and name in again and name != "people-0-person":
                assert again[name][-1] == value or value in again[name], name
    assert (await api.get(f"/api/{path}")).body == before


async def test_rows_are_added_moved_and_removed_without_scripts(visitor: Visitor, api: Api, things: Things) -> None:
    here, before = f"/policies/{things.policy}", (await api.get("/api/policies")).body
    form = policy_form(things)

    def waits(page: str) -> list[str]:
        return [value[0] for name, value in fields_of(page, here).items() if re.fullmatch(r"steps-\d+-wait", name)]

    async def after(order: str) -> list[str]:
        status, page, _ = await visitor.post(here, sent({**form, "steps-0-wait": "1", "rows": order}))
        assert status == 200
        assert fields_of(page, here)["name"] == ["Soft"]
        return waits(page)

    assert await after("keep") == ["1", "", "2"]
    assert await after("add steps") == ["1", "", "2", ""]
    assert await after("remove steps 1") == ["1", "2"]
    assert await after("up steps 2") == ["1", "2", ""]
    assert await after("up steps 0") == await after("remove steps 999") == await after("add <b>") == ["1", "", "2"]
    _, page, _ = await visitor.post(
        "/policies/new", {**STEP, "steps-0-targets": f"people:{things.person}", "rows": "keep"}
    )
    assert re.search(rf'type="checkbox" name="steps-0-targets" value="people:{things.person}" checked>Ada<', page)
    assert (await api.get("/api/policies")).body == before


def test_a_form_grows_to_so_many_rows_and_no_further() -> None:
    form: Any = {"name": ["x"]}
    for _ in range(ROWS_MAX + 5):
        form = rearranged(form, "add people")

    assert len(form) == 1 + ROWS_MAX
    assert rearranged({f"people-{ROWS_MAX * 9}-person": ["x"]}, "up people 1") == {"people-0-person": ["x"]}


@pytest.mark.parametrize("path", PATHS)
async def test_the_browser_presses_no_button_of_a_row_when_somebody_presses_enter(
    visitor: Visitor, things: Things, path: str
) -> None:
    _, page, _ = await visitor.get(f"/{path}/{ids(things)[path]}")
    form = page.partition('id="planned"')[2]
    first = re.search(r"<button[^>]*>", form)

    assert first
    assert 'name="' not in first[0]
    assert "aria-hidden" in first[0]


async def test_who_may_only_read_sees_all_and_no_buttons(
    visitor: Visitor, things: Things, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reader(_: Keys, __: Request) -> Principal:
        return Principal(name="Rita", project="default", scopes=ROLES["reader"])

    monkeypatch.setattr(Keys, "visitor", reader)
    for path, shown in {
        "/oncall": "Nights",
        f"/oncall/{things.schedule}": "The next four weeks",
        "/people": "Ada",
        "/policies": "At once: ops.",
        "/windows": "Mon to Fri, 22:00 to 02:00",
    }.items():
        status, text, _ = await visitor.get(path)
        assert (status, shown in text) == (200, True), path
        assert FORM.format("") not in text, path
        assert "/new" not in text, path
    for path, id_ in ids(things).items():
        for action in ("", "/delete"):
            assert (await visitor.post(f"/{path}/{id_}{action}", {"sure": "yes"}))[0] == 403
        assert (await visitor.get(f"/{path}/new"))[0] == 403


async def test_what_others_wrote_is_text_on_every_page(visitor: Visitor, api: Api) -> None:
    channel = await api.post(
        "/api/channels", {"name": STRANGER, "kind": "webhook", "settings": {"url": "https://hooks.example.org/x"}}
    )
    ada = await person(api, STRANGER, contacts=[{"channel": channel.body["id"]}])
    away = {"person": ada["id"], "from": "2030-01-08T00:00:00Z", "until": "2030-01-09T00:00:00Z"}
    schedule = await nights(api, ada, name=STRANGER, start="2020-01-06", overrides=[away])
    steps = [{"channels": [channel.body["id"]], "people": [ada["id"]], "schedules": [schedule["id"]]}]
    policy = (await api.post("/api/policies", {"name": STRANGER, "steps": steps})).body
    heartbeat, fleet = await api.heartbeat(STRANGER), await api.fleet(STRANGER)
    made = await window(api, name=STRANGER, tags=[STRANGER], heartbeats=[heartbeat["id"], fleet["id"]], **NIGHTLY)
    paths = ["/oncall", "/people", "/policies", "/windows", "/oncall/new", "/people/new", "/policies/new"]
    paths += [f"/oncall/{schedule['id']}", f"/people/{ada['id']}"]
    paths += [f"/policies/{policy['id']}", f"/windows/{made['id']}"]

    pages = {path: (await visitor.get(path))[1] for path in paths}
    pages |= {f"delete {path}": (await visitor.post(f"{path}/delete"))[1] for path in paths[-4:]}
    refused = {
        "name": STRANGER,
        "q": STRANGER,
        "tags": STRANGER,
        "rows": "keep",
        "timezone": STRANGER,
        "person": STRANGER,
    }
    pages |= {f"form {path}": (await visitor.post(path, refused))[1] for path in ("/windows/new", *paths[-4:])}
    pages["override"] = (await visitor.post(f"{paths[-4]}/overrides", refused))[1]

    for path, page in pages.items():
        assert "&lt;img src=x onerror=alert(1)&gt;" in page, path
        assert "<img" not in page, path
        assert "onerror=alert(1)>" not in page, path


async def test_an_override_is_added_and_removed(visitor: Visitor, api: Api, things: Things) -> None:
    here, path = f"/oncall/{things.schedule}", f"/api/oncall/{things.schedule}"
    twice = {"person": things.person, "from": "2030-03-31T02:30", "until": "2030-10-27T02:30"}

    status, _, headers = await visitor.post(f"{here}/overrides", twice)
    assert (status, headers["location"]) == (303, here)
    (made,) = (await api.get(path)).body["overrides"]
    # Where the clock skips the time it is at the jump, where it comes twice an end is the second.
    assert made == {"person": things.person, "from": "2030-03-31T01:00:00.000Z", "until": "2030-10-27T01:30:00.000Z"}
    await visitor.post(f"{here}/overrides", {**twice, "until": "2030-04-02T00:00"})
    _, page, _ = await visitor.get(here)
    assert page.count("/overrides/remove") == 2
    assert "</strong> from Sun 31 Mar 2030, 03:00 to Sun 27 Oct 2030, 02:30</p>" in page

    assert (await visitor.post(f"{here}/overrides/remove", made))[0] == 303
    assert [each["until"] for each in (await api.get(path)).body["overrides"]] == ["2030-04-01T22:00:00.000Z"]
    assert (await visitor.post(f"{here}/overrides/remove", made))[0] == 303
    assert len((await api.get(path)).body["overrides"]) == 1


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"person": ""}, {"person": "person is needed"}),
        ({"person": "x"}, {"person": "person must be the id of a person"}),
        ({"person": GONE}, {"overrides": "there is no such person"}),
        ({"from": "soon"}, {"from": "from must be an RFC 3339 time"}),
        ({"from": "", "until": "soon"}, {"from": "from is needed", "until": "until must be"}),
        ({"until": "2030-01-08T00:00"}, {"until": "must end after it begins"}),
    ],
)
async def test_an_override_that_cannot_be_is_refused_beside_its_fields(
    visitor: Visitor, api: Api, things: Things, changes: dict[str, str], faults: dict[str, str]
) -> None:
    form = {"person": things.person, "from": "2030-01-08T00:00", "until": "2030-01-09T00:00", **changes}

    status, text, _ = await visitor.post(f"/oncall/{things.schedule}/overrides", form)

    told = dict(re.findall(r'<p class="fault" id="([^"]+)-fault">.*?</span> (.*?)</p>', text))
    assert (status, set(told)) == (422, set(faults))
    assert [fault for name, fault in faults.items() if fault not in told[name]] == []
    assert fields_of(text, f"/oncall/{things.schedule}")["name"] == ["Nights"]
    assert (await api.get(f"/api/oncall/{things.schedule}")).body["overrides"] == []


async def test_who_is_needed_elsewhere_stays_and_the_page_says_where(
    visitor: Visitor, api: Api, things: Things
) -> None:
    status, text, _ = await visitor.post(f"/people/{things.person}/delete", {"sure": "yes"})

    assert status == 409
    assert "This person is in use by the on-call schedule &#34;Nights&#34;, the policy &#34;Loud&#34;" in text
    assert (await visitor.post(f"/oncall/{things.schedule}/delete", {"sure": "yes"}))[0] == 409
    assert (await api.get(f"/api/people/{things.person}")).status == 200


async def test_who_was_deleted_behind_our_back_is_shown_as_such(
    visitor: Visitor, store: Database, things: Things
) -> None:
    await plans.PEOPLE.delete(store, things.person)
    await channels.delete(store, things.channel)

    assert "Nobody</strong> is on call" in (await visitor.get("/oncall"))[1]
    assert "somebody who was deleted" in (await visitor.get("/policies"))[1]
    status, page, _ = await visitor.get(f"/oncall/{things.schedule}")
    assert (status, ">was deleted</option>" in page) == (200, True)
    assert (await visitor.get(f"/policies/{things.policy}"))[0] == 200


async def test_heartbeats_and_fleets_are_found_by_how_their_names_begin(
    visitor: Visitor, api: Api, store: Database
) -> None:
    backup, other = await api.heartbeat("Backup of mail"), await api.heartbeat("Mail")
    fleet = await api.fleet("backups everywhere")
    form = {"name": "x", "q": "BACKUP", "heartbeats": other["id"], "meant": "some", "rows": "keep"}

    _, page, _ = await visitor.post("/windows/new", form)

    boxes = re.findall(r'name="heartbeats" value="(\w+)"( checked)?>(.*?)<', page)
    assert boxes == [
        (other["id"], " checked", "Mail"),
        (backup["id"], "", "Backup of mail"),
        (fleet["id"], "", "backups everywhere"),
    ]
    assert "No name begins so." in (await visitor.post("/windows/new", {"q": "nobody", "rows": "keep"}))[1]


async def test_a_window_becomes_another_kind_and_back(visitor: Visitor, api: Api) -> None:
    made = await window(api, tags=["db"], **ONCE)
    here = f"/windows/{made['id']}"
    form = fields_of((await visitor.get(here))[1], here)
    weekly = {**form, "kind": "weekly", "days": ["6", "0"], "start": "22:00", "end": "02:00"}

    assert (await visitor.post(here, sent(weekly)))[0] == 303
    changed = (await api.get(f"/api{here}")).body
    assert (changed["days"], changed["start"], changed["from"]) == ([0, 6], "22:00", None)
    assert (await visitor.post(here, sent(form)))[0] == 303
    assert (await api.get(f"/api{here}")).body == made
    assert (await visitor.post(here, sent({**form, "meant": "everything"})))[0] == 303
    assert (await api.get(f"/api{here}")).body == {**made, "everything": True}


UTC_MIDNIGHT: Final = 1_893_456_000_000  # ms: Tuesday, 1 January 2030
HOUR: Final = 3_600_000  # ms
DAY: Final = 24 * HOUR


def weekly(**changes: Any) -> Window:
    given = {"id": "w", "name": "w", "everything": True, "days": (1,), "start": "22:00", "end": "02:00", **changes}
    return Window(**given)


@pytest.mark.parametrize(
    ("made", "now", "expected"),
    [
        (weekly(), 0, 22 * HOUR),
        (weekly(), 22 * HOUR, 22 * HOUR + 7 * DAY),  # it goes on: next is the one after it
        (weekly(), 22 * HOUR - 1, 22 * HOUR),
        (weekly(days=(0,)), HOUR, 6 * DAY + 22 * HOUR),  # inside the one of last night
        (weekly(days=(0, 1, 2, 3, 4, 5, 6), timezone="Asia/Kathmandu"), 0, 16 * HOUR + HOUR // 4),  # 5:45 ahead
        (weekly(days=(6,), start="02:15", end="02:45", timezone="Europe/Berlin"), 84 * DAY, 96 * DAY + HOUR // 4),
        (weekly(days=(), start="", end="", start_at=UTC_MIDNIGHT + 5), 0, 5),
        (weekly(days=(), start="", end="", start_at=UTC_MIDNIGHT - 5), 0, None),
        (weekly(days=(), start="", end=""), 0, None),
    ],
)
def test_a_window_says_when_it_is_quiet_next(made: Window, now: int, expected: int | None) -> None:
    """Times are ms after a midnight; the skipped hour of 31 March is day 89, a Sunday: next is a week later."""
    assert next_start(made, UTC_MIDNIGHT + now) == (None if expected is None else UTC_MIDNIGHT + expected)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ((0, 1, 2, 3, 4, 5, 6), "Every day"),
        ((0, 1, 2, 3, 4), "Mon to Fri"),
        ((5, 6), "Sat, Sun"),
        ((0, 2, 3, 4), "Mon, Wed, Thu, Fri"),
        ((3,), "Thu"),
    ],
)
def test_the_days_of_a_window_read_as_one_says_them(days: tuple[int, ...], expected: str) -> None:
    assert when(weekly(days=days)) == f"{expected}, 22:00 to 02:00 on the next day, UTC"


def step(wait: int, **targets: Any) -> answers.Step:
    return answers.Step(**{"wait": wait, "channels": (), "people": (), "schedules": (), **targets})


NAMES: Final = {"channels": {"c": "#ops"}, "people": {"p": "Ada"}, "schedules": {"s": "Nights"}}


@pytest.mark.parametrize(
    ("steps", "repeat", "expected"),
    [
        (
            (step(0, channels=("c",)), step(600, schedules=("s",))),
            2,
            "At once: #ops. 10 min later: who is on call in Nights. 5 min later all again, twice.",
        ),
        ((step(5_400, people=("p", "gone")),), 0, "After 1 h 30 min: Ada, somebody who was deleted."),
        ((step(0, people=("p",)), step(0, channels=("c",))), 1,
         "At once: Ada. At the same time: #ops. 5 min later all again, once."),
        ((step(0, people=("p",)),), 9, "At once: Ada. 5 min later all again, 9 times."),
    ],
)  # fmt: skip
def test_a_policy_reads_as_a_sentence(steps: tuple[answers.Step, ...], repeat: int, expected: str) -> None:
    policy = answers.Policy(id="x", name="x", steps=steps, repeat=repeat, repeat_after=300)

    assert sentence(policy, NAMES) == expected


@dataclass
class Then:
    """A console, and the time that it takes for now: ms."""

    api: Api
    visitor: Visitor
    now: int = 0

    def at(self, text: str) -> None:
        self.now = int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.fixture
def then(api: Api, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> Then:
    made = Then(api, visitor)

    async def now(_: Database) -> int:
        return made.now

    monkeypatch.setattr(Database, "now", now)
    return made


def shifts_of(page: str) -> list[tuple[str, str, str]]:
    """Who, from, to, as the table has them: local times with the moments behind them."""
    rows = re.findall(
        r'<tr role="row"[^>]*><td role="cell">(.*?)</td>\n<td role="cell">(.*?)</td>\n<td role="cell">(.*?)</td>', page
    )
    time = re.compile(r'<time datetime="\d{4}-\d\d-(\d\dT\d\d:\d\d):00.000Z" title="[^"]+">(.*?)</time>')
    return [(who, time.sub(r"\2 = \1Z", start), time.sub(r"\2 = \1Z", end)) for who, start, end in rows]


@pytest.mark.parametrize(
    ("zone", "handover", "days", "now", "expected"),
    [
        (
            "Europe/Berlin", "09:00", 7, "2030-03-20T12:00:00Z",
            [
                ("Ada", "now", "Mon 25 Mar, 09:00 = 25T08:00Z"),
                ("Bob", "Mon 25 Mar, 09:00 = 25T08:00Z", "Mon 1 Apr, 09:00 = 01T07:00Z"),
                ("Ada", "Mon 1 Apr, 09:00 = 01T07:00Z", "Mon 8 Apr, 09:00 = 08T07:00Z"),
            ],
        ),
        (
            "Europe/Berlin", "02:30", 1, "2030-03-30T12:00:00Z",
            [
                ("Ada", "now", "Sun 31 Mar, 03:00 = 31T01:00Z"),
                ("Bob", "Sun 31 Mar, 03:00 = 31T01:00Z", "Mon 1 Apr, 02:30 = 01T00:30Z"),
            ],
        ),
        (
            "Europe/Berlin", "02:30", 1, "2030-10-27T00:29:00Z",
            [
                ("Ada", "now", "Sun 27 Oct, 02:30 = 27T00:30Z"),
                ("Bob", "Sun 27 Oct, 02:30 = 27T00:30Z", "Mon 28 Oct, 02:30 = 28T01:30Z"),
            ],
        ),
        (
            "America/New_York", "09:00", 1, "2030-11-02T15:00:00Z",
            [
                ("Bob", "now", "Sun 3 Nov, 09:00 = 03T14:00Z"),
                ("Ada", "Sun 3 Nov, 09:00 = 03T14:00Z", "Mon 4 Nov, 09:00 = 04T14:00Z"),
            ],
        ),
        (
            "Australia/Lord_Howe", "02:15", 1, "2030-10-05T12:00:00Z",
            [
                ("Bob", "now", "Sun 6 Oct, 02:30 = 05T15:30Z"),
                ("Ada", "Sun 6 Oct, 02:30 = 05T15:30Z", "Mon 7 Oct, 02:15 = 06T15:15Z"),
            ],
        ),
        (
            "America/Santiago", "00:00", 1, "2030-09-07T12:00:00Z",
            [
                ("Bob", "now", "Sun 8 Sep, 01:00 = 08T04:00Z"),
                ("Ada", "Sun 8 Sep, 01:00 = 08T04:00Z", "Mon 9 Sep, 00:00 = 09T03:00Z"),
            ],
        ),
    ],
    ids=["weekly, spring", "skipped", "twice", "daily, autumn", "half an hour", "midnight is skipped"],
)  # fmt: skip
async def test_shifts_are_handed_over_at_their_local_time_when_clocks_are_turned(  # noqa: PLR0917
    then: Then, zone: str, handover: str, days: int, now: str, expected: list[tuple[str, str, str]]
) -> None:
    then.at(now)
    ada, bob = await person(then.api, "Ada"), await person(then.api, "Bob")
    made = await nights(then.api, ada, bob, timezone=zone, handover=handover, days=days, start="2030-03-18")

    _, page, _ = await then.visitor.get(f"/oncall/{made['id']}")

    shown = shifts_of(page)
    assert shown[: len(expected)] == expected
    assert [each[2] for each in shown[:-1]] == [each[1] for each in shown[1:]]  # never nobody, never two
    assert len(shown) in {28 // days, 28 // days + 1}


async def test_a_day_is_as_wide_as_any_other_also_when_the_clock_is_turned(then: Then) -> None:
    then.at("2030-03-20T11:00:00Z")
    ada, bob = await person(then.api, "Ada"), await person(then.api, "Bob")
    made = await nights(then.api, ada, bob, start="2030-03-18")

    _, page, _ = await then.visitor.get(f"/oncall/{made['id']}")

    bars = re.findall(
        r'<rect x="([\d.]+)" y="3" width="([\d.]+)" height="14"( class="now")?><title>(.*?)</title>', page
    )
    drawn = sorted((float(x), float(x) + float(width), is_now != "", text) for x, width, is_now, text in bars)
    assert [each[:3] for each in drawn] == [
        (5.0, 53.75, True),  # noon of the first day; 09:00 of the sixth
        (53.75, 123.75, False),  # a week with one hour less
        (123.75, 193.75, False),
        (193.75, 263.75, False),
        (263.75, 280.0, False),
    ]
    assert drawn[0][3] == "Ada: now to Mon 25 Mar, 09:00"
    assert re.findall(r"<span>(\w{3} \d+ \w{3})</span>", page) == [
        "Wed 20 Mar",
        "Wed 27 Mar",
        "Wed 3 Apr",
        "Wed 10 Apr",
    ]


async def test_times_with_nobody_are_shown_as_such(then: Then) -> None:
    then.at("2030-01-01T12:00:00Z")
    ada = await person(then.api, "Ada")
    later = await nights(then.api, ada, timezone="UTC", start="2030-01-07", days=366)
    far = await nights(then.api, ada, timezone="UTC", start="2031-03-01", name="Far")
    empty = await nights(then.api, name="Empty")
    away = {"person": ada["id"], "from": "2030-01-02T00:00:00Z", "until": "2030-01-03T00:00:00Z"}
    only = await nights(then.api, name="Only", overrides=[away], timezone="UTC")

    assert shifts_of((await then.visitor.get(f"/oncall/{later['id']}"))[1]) == [
        ("Nobody", "now", "Mon 7 Jan, 09:00 = 07T09:00Z"),
        ("Ada", "Mon 7 Jan, 09:00 = 07T09:00Z", "Wed 8 Jan 2031, 09:00 = 08T09:00Z"),
    ]
    assert shifts_of((await then.visitor.get(f"/oncall/{far['id']}"))[1]) == [
        ("Nobody", "now", "Sat 1 Mar 2031, 09:00 = 01T09:00Z")
    ]
    assert shifts_of((await then.visitor.get(f"/oncall/{empty['id']}"))[1]) == [("Nobody", "now", "for good")]
    assert shifts_of((await then.visitor.get(f"/oncall/{only['id']}"))[1]) == [
        ("Nobody", "now", "Wed 2 Jan, 00:00 = 02T00:00Z"),
        ("Ada", "Wed 2 Jan, 00:00 = 02T00:00Z", "Thu 3 Jan, 00:00 = 03T00:00Z"),
        ("Nobody", "Thu 3 Jan, 00:00 = 03T00:00Z", "for good"),
    ]
    _, listed, _ = await then.visitor.get("/oncall")
    assert "Nobody</strong> is on call.</p>" in listed
    assert "Nobody</strong> is on call until Wed 2 Jan, 00:00" in listed
    assert "(over)" not in (await then.visitor.get(f"/oncall/{only['id']}"))[1]
    then.at("2030-01-03T00:00:00Z")
    assert "to Thu 3 Jan, 00:00 (over)</p>" in (await then.visitor.get(f"/oncall/{only['id']}"))[1]


async def test_the_lists_say_what_is_now_and_what_is_next(then: Then) -> None:
    then.at("2030-01-15T12:00:00Z")
    ada, bob = await person(then.api, "Ada"), await person(then.api, "Bob")
    await nights(then.api, ada, bob)
    await window(then.api, name="Now", tags=["db"])
    await window(then.api, name="Tonight", tags=["db"], **NIGHTLY)
    await window(then.api, name="Then", tags=["db"], **ONCE)

    _, oncall, _ = await then.visitor.get("/oncall")
    _, windows, _ = await then.visitor.get("/windows")

    assert "<strong>Bob</strong> is on call until Mon 21 Jan, 09:00" in oncall
    assert "then Ada." in oncall
    found = dict(re.findall(r'<a href="/windows/\w+">(.*?)</a>.*?(Quiet now|Quiet next|Over)<', windows, re.DOTALL))
    assert found == {"Now": "Quiet now", "Tonight": "Quiet next", "Then": "Over"}
