"""Who may do what: each route with what it takes, and nothing of another project anywhere."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from console.access import ROLES, SCOPES
from console.app import create_app
from console.routing import Endpoint
from store import deliveries, events, heartbeats, members
from store.database import Database
from store.keys import DEFAULT_PROJECT
from tests.console import cast
from tests.console.cast import ADMIN, NOBODY, OURS, Actor
from tests.console.conftest import Api, settings
from tests.console.test_auth import IDS
from tests.store.scene import send

#: Whoever adds a route says here what it takes: a scope, `operator`, `known` = any key or user, `open` = nothing.
ROUTES: Final = """
write    POST   /api/heartbeats
read     GET    /api/heartbeats
write    POST   /api/heartbeats/bulk
read     GET    /api/heartbeats/by-slug/{slug}
write    PUT    /api/heartbeats/by-slug/{slug}
read     GET    /api/counts
read     GET    /api/heartbeats/{heartbeat}
write    PATCH  /api/heartbeats/{heartbeat}
write    DELETE /api/heartbeats/{heartbeat}
write    POST   /api/heartbeats/{heartbeat}/pause
write    POST   /api/heartbeats/{heartbeat}/resume
write    POST   /api/heartbeats/{heartbeat}/rotate
write    POST   /heartbeat/{heartbeat}/pause
write    POST   /heartbeat/{heartbeat}/resume
read     GET    /api/heartbeats/{heartbeat}/events
read     GET    /api/heartbeats/{heartbeat}/events/{event}/output
read     GET    /api/schedules/preview
read     GET    /api/project
admin    POST   /api/project/rotate
write    POST   /api/fleets
read     GET    /api/fleets
read     GET    /api/fleets/{fleet}
write    PATCH  /api/fleets/{fleet}
write    DELETE /api/fleets/{fleet}
write    POST   /api/fleets/{fleet}/pause
write    POST   /api/fleets/{fleet}/resume
write    POST   /api/fleets/{fleet}/rotate
write    POST   /api/fleets/{fleet}/forget
read     GET    /api/fleets/{fleet}/members
read     GET    /api/fleets/{fleet}/members/{member}
write    DELETE /api/fleets/{fleet}/members/{member}
write    POST   /api/channels
read     GET    /api/channels
read     GET    /api/channels/by-slug/{slug}
admin    PUT    /api/channels/by-slug/{slug}
read     GET    /api/channels/{channel}
admin    PATCH  /api/channels/{channel}
admin    DELETE /api/channels/{channel}
write    POST   /api/channels/{channel}/test
write    POST   /api/people
read     GET    /api/people
read     GET    /api/people/{person}
write    PATCH  /api/people/{person}
write    DELETE /api/people/{person}
write    POST   /api/oncall
read     GET    /api/oncall
read     GET    /api/oncall/{oncall}
write    PATCH  /api/oncall/{oncall}
write    DELETE /api/oncall/{oncall}
read     GET    /api/oncall/{oncall}/now
read     GET    /api/oncall/{oncall}/shifts
write    POST   /api/policies
read     GET    /api/policies
read     GET    /api/policies/{policy}
write    PATCH  /api/policies/{policy}
write    DELETE /api/policies/{policy}
write    POST   /api/windows
read     GET    /api/windows
read     GET    /api/windows/{window}
write    PATCH  /api/windows/{window}
write    DELETE /api/windows/{window}
read     GET    /api/incidents
read     GET    /api/incidents/{incident}
write    POST   /api/incidents/{incident}/acknowledge
write    POST   /api/incidents/{incident}/snooze
write    POST   /api/incidents/{incident}/notes
read     GET    /api/channels/{channel}/log
read     GET    /api/deliveries
write    POST   /api/deliveries/resend
write    POST   /api/deliveries/purge
read     GET    /api/deliveries/{delivery}
write    DELETE /api/deliveries/{delivery}
write    POST   /api/deliveries/{delivery}/resend
read     GET    /api/problems
read     GET    /api/deaf
operator GET    /api/operator-channels
operator PUT    /api/operator-channels
known    GET    /api/me
known    PATCH  /api/me
operator POST   /api/users
operator GET    /api/users
operator GET    /api/users/{user}
operator PATCH  /api/users/{user}
operator DELETE /api/users/{user}
known    GET    /api/projects
operator POST   /api/projects
operator PATCH  /api/projects/{project}
admin    POST   /api/members
admin    GET    /api/members
admin    PATCH  /api/members/{user}
admin    DELETE /api/members/{user}
admin    POST   /api/keys
admin    GET    /api/keys
admin    DELETE /api/keys/{key}
open     GET    /api/openapi.json
open     GET    /api/docs

read     GET    /
read     GET    /rows
write    POST   /bulk
write    GET    /new
write    POST   /new
read     GET    /schedules/preview
read     GET    /heartbeats/{heartbeat}
write    GET    /heartbeats/{heartbeat}/settings
write    POST   /heartbeats/{heartbeat}/settings
read     GET    /heartbeats/{heartbeat}/events/{event}/output
write    POST   /heartbeats/{heartbeat}/pause
write    POST   /heartbeats/{heartbeat}/resume
write    POST   /heartbeats/{heartbeat}/rotate
write    POST   /heartbeats/{heartbeat}/delete
read     GET    /incidents
read     GET    /incidents/{incident}/told
write    POST   /incidents/{incident}/acknowledge
write    POST   /incidents/{incident}/snooze
read     GET    /channels
write    GET    /channels/new
write    POST   /channels/new
read     GET    /channels/{channel}
write    POST   /channels/{channel}/test
admin    POST   /channels/{channel}/settings
admin    POST   /channels/{channel}/delete
read     GET    /deliveries
write    POST   /deliveries/resend
write    POST   /deliveries/purge
read     GET    /deliveries/{delivery}/outcome
write    POST   /deliveries/{delivery}/resend
write    POST   /deliveries/{delivery}/purge
read     GET    /oncall
write    GET    /oncall/new
write    POST   /oncall/new
read     GET    /oncall/{oncall}
write    POST   /oncall/{oncall}
write    POST   /oncall/{oncall}/delete
write    POST   /oncall/{oncall}/overrides
write    POST   /oncall/{oncall}/overrides/remove
read     GET    /people
write    GET    /people/new
write    POST   /people/new
write    GET    /people/{person}
write    POST   /people/{person}
write    POST   /people/{person}/delete
read     GET    /policies
write    GET    /policies/new
write    POST   /policies/new
write    GET    /policies/{policy}
write    POST   /policies/{policy}
write    POST   /policies/{policy}/delete
read     GET    /windows
write    GET    /windows/new
write    POST   /windows/new
write    GET    /windows/{window}
write    POST   /windows/{window}
write    POST   /windows/{window}/delete
read     GET    /events
read     GET    /counts
read     GET    /fleets
write    GET    /fleets/new
write    POST   /fleets/new
read     GET    /fleets/{fleet}
write    POST   /fleets/{fleet}/pause
write    POST   /fleets/{fleet}/resume
write    POST   /fleets/{fleet}/forget
write    POST   /fleets/{fleet}/members/{member}/forget
write    GET    /fleets/{fleet}/settings
write    POST   /fleets/{fleet}/settings
write    POST   /fleets/{fleet}/rotate
write    POST   /fleets/{fleet}/delete
write    POST   /incidents/{incident}/notes
known    GET    /settings
operator POST   /settings/name
admin    POST   /settings/rotate
known    POST   /settings/password
admin    GET    /settings/members
admin    POST   /settings/members
admin    POST   /settings/members/{user}/role
admin    POST   /settings/members/{user}/remove
admin    GET    /settings/keys
admin    POST   /settings/keys
admin    POST   /settings/keys/{key}/delete
operator GET    /settings/users
operator POST   /settings/users
operator GET    /settings/users/{user}
operator POST   /settings/users/{user}
operator POST   /settings/users/{user}/delete
operator GET    /settings/projects
operator POST   /settings/projects
operator POST   /settings/projects/{project}
operator GET    /system
operator POST   /system/channels

read     POST   /mcp

open     GET    /login
open     POST   /login
known    POST   /login/project
open     POST   /logout
open     GET    /incidents/{incident}
open     POST   /incidents/{incident}
open     GET    /static
open     GET    /healthz
open     GET    /readyz
open     GET    /metrics
"""
NEEDS: Final[dict[tuple[str, str], str]] = {
    (method, path): need for need, method, path in (line.split() for line in ROUTES.split("\n") if line)
}
API: Final = [
    (method, path, need) for (method, path), need in NEEDS.items() if path.startswith(("/api/", "/heartbeat/"))
]
PAGES: Final = [
    (method, path, need)
    for (method, path), need in NEEDS.items()
    if need != "open" and not path.startswith(("/api/", "/heartbeat/", "/mcp"))
]
REDIRECT: Final = 303


def routes_of(app: Starlette) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for route in app.routes:
        if isinstance(route, Mount):
            found.add(("GET", route.path))
            continue
        assert isinstance(route, Route)
        methods = route.endpoint._rows if isinstance(route.endpoint, Endpoint) else route.methods or {"ANY"}
        found |= {(method, route.path) for method in methods if method != "HEAD"}
    return found


def test_every_route_says_what_it_takes(store: Database, redis_url: str) -> None:
    assert routes_of(create_app(store, settings(redis_url))) == set(NEEDS)


def filled(path: str) -> str:
    return path.format(**IDS)


@dataclass(frozen=True)
class Caller:
    """What the caller may do: scopes, `operator` and `known`."""

    actor: Actor
    may: frozenset[str]

    def passes(self, need: str) -> bool:
        return need == "open" or need in self.may


async def caller(store: Database, name: str) -> Caller:
    """A fresh one: some of the calls end a session."""
    known = {"known"}
    kind, _, what = name.partition(" ")
    if name == "nobody":
        return Caller(NOBODY, frozenset())
    if name == "the server's key":
        return Caller(ADMIN, frozenset(known | ROLES["owner"] | {"operator"}))
    if kind == "key":
        scope = next(each for each in SCOPES if each == what)
        return Caller(await cast.key(store, scope), frozenset(known | SCOPES[scope]))
    if kind == "operator":
        return Caller(await cast.signed_in(store, None, operator=True), frozenset(known | {"operator"}))
    if kind == "stranger":
        return Caller(await cast.signed_in(store, None), frozenset(known))
    role = next(each for each in ROLES if each == kind)
    return Caller(await cast.signed_in(store, role), frozenset(known | ROLES[role]))


CALLERS: Final = [
    "nobody", "stranger", "reader", "member", "owner", "operator", "key ping", "key read", "key write", "key admin",
    "the server's key",
]  # fmt: skip


@pytest.mark.parametrize("name", CALLERS)
async def test_the_api_gives_each_what_is_theirs(api: Api, store: Database, name: str) -> None:
    for method, path, need in API:
        who = await caller(store, name)

        answer = await api.call(method, filled(path), key=None, headers=who.actor.headers)

        if who.passes(need):
            assert answer.status not in {401, 500}, (method, path)
            if answer.status == 403:  # a key has no password to change
                assert (method, path) == ("PATCH", "/api/me"), (method, path)
        elif name == "nobody":
            assert (answer.status, answer.error["code"]) == (401, "unauthorized"), (method, path)
        else:
            assert (answer.status, answer.error["code"]) == (403, "forbidden"), (method, path)
            assert need in answer.error["message"], (method, path)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.mark.parametrize("name", CALLERS)
async def test_the_pages_give_each_what_is_theirs(
    api: Api, store: Database, http: aiohttp.ClientSession, name: str
) -> None:
    for method, path, need in PAGES:
        who = await caller(store, name)
        headers = {**who.actor.headers, **OURS}

        async with http.request(method, api.url + filled(path), headers=headers, allow_redirects=False) as answer:
            to = answer.headers.get("Location", "")

        if who.passes(need):
            assert answer.status not in {401, 500}, (method, path)
            assert not to.startswith("/login"), (method, path)
            if answer.status == 403:  # only who has a session switches its project
                assert path == "/login/project", (method, path)
        elif name == "nobody":
            assert (answer.status, to.partition("?")[0]) == (REDIRECT, "/login"), (method, path)
        else:
            assert answer.status == 403, (method, path)


async def test_assistants_come_by_a_key_alone(api: Api, store: Database) -> None:
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accepts = {"Accept": "application/json, text/event-stream"}
    found = {}
    for name in ("nobody", "owner", "key ping", "key read", "the server's key"):
        who = await caller(store, name)
        headers = {**who.actor.headers, **accepts}
        found[name] = (await api.call("POST", "/mcp", key=None, headers=headers, json=asked)).status

    assert found == {"nobody": 401, "owner": 401, "key ping": 403, "key read": 200, "the server's key": 200}


async def test_what_is_open_is_open(api: Api, http: aiohttp.ClientSession) -> None:
    for (method, path), need in NEEDS.items():
        if need == "open" and method == "GET":
            real = "/static/flatline.css" if path == "/static" else filled(path)
            async with http.get(api.url + real) as answer:
                assert answer.status == (404 if path.startswith("/incidents/") else 200), path


@dataclass(frozen=True)
class Others:
    """A project with one of each thing. `ids`: by the names of the paths' parameters."""

    project: str
    headers: dict[str, str]
    ids: dict[str, str]


BODIES: Final[dict[str, dict[str, Any]]] = {
    "acknowledge": {"by": "Eve"},
    "snooze": {"by": "Eve", "for": 3_600},
    "forget": {"silent_for": 0},
    "members": {"role": "owner"},
    "notes": {"text": "mine"},
}


@pytest.fixture
async def others(api: Api, store: Database) -> Others:
    project = (await members.create_project(store, "others")).id
    headers = {**ADMIN.headers, "X-Flatline-Project": project}

    async def made(path: str, **body: Any) -> str:
        answer = await api.call("POST", path, key=None, headers=headers, json={"name": "theirs", **body})
        assert answer.status == 201, answer.body
        return str(answer.body["id"])

    webhook = {"url": "https://hooks.example.org/theirs"}
    channel = await made("/api/channels", kind="webhook", settings=webhook, slug="theirs")
    person = await made("/api/people", contacts=[{"channel": channel}])
    heartbeat = await made("/api/heartbeats", slug="theirs")
    watched = await heartbeats.get(store, heartbeat)
    await send(store, watched, "fail", at=await store.now(), output=b"theirs")
    delivery = (await deliveries.send_test(store, channel, project)).id
    await store.execute("ZADD", store.shard(delivery).dead, 1, delivery)
    log, _ = await events.page(store, heartbeat)
    user = await cast.user(store, roles={project: "owner"})
    second = await cast.user(store, roles={project: "owner"})
    assert second.id != user.id
    ids = {
        "channel": channel,
        "person": person,
        "heartbeat": heartbeat,
        "slug": "theirs",
        "event": next(each.id for each in log if each.has_output),
        "incident": (await heartbeats.get(store, heartbeat)).incident or "",
        "delivery": delivery,
        "fleet": await made("/api/fleets"),
        "member": "sensor-1",
        "oncall": await made("/api/oncall", people=[person], start="2030-01-01"),
        "policy": await made("/api/policies", steps=[{"people": [person]}]),
        "window": await made("/api/windows", everything=True),
        "key": await made("/api/keys", scopes=["read"]),
        "user": user.id,
    }
    return Others(project, headers, ids)


def body_of(path: str) -> dict[str, Any]:
    return next((body for word, body in BODIES.items() if word in path), {})


async def test_the_things_of_another_project_are_not_there(api: Api, store: Database, others: Others) -> None:
    owner = await cast.signed_in(store, "owner")
    callers = [owner, await cast.key(store, "admin"), ADMIN]
    # PUT makes what is not there: of that tests/console/test_upsert.py tells.
    addressed = [(method, path) for method, path, need in API if "{" in path and need != "operator" and method != "PUT"]
    assert {name for _, path in addressed for name in re.findall(r"\{(\w+)\}", path)} == set(others.ids)
    for method, path in addressed:
        real = path.format(**others.ids)
        sent = {"json": body_of(path)} if method in {"POST", "PATCH"} else {}
        for each in callers:
            answer = await api.call(method, real, key=None, headers=each.headers, **sent)
            assert (answer.status, answer.error["code"]) == (404, "not_found"), (method, path)
    for method, path in addressed:
        if method == "GET" and "{member}" not in path:
            there = await api.call("GET", path.format(**others.ids), key=None, headers=others.headers)
            assert there.status == 200, path


async def test_the_pages_show_nothing_of_another_project(
    api: Api, store: Database, http: aiohttp.ClientSession, others: Others
) -> None:
    for method, path, need in PAGES:
        if need == "operator":
            continue
        actor = await cast.signed_in(store, "owner")
        form = {"for": "3600"} if method == "POST" else None
        async with http.request(
            method, api.url + path.format(**others.ids), headers=actor.headers, data=form, allow_redirects=False
        ) as answer:
            text = await answer.text()
        assert "theirs" not in text, (method, path)
        if "{" in path:
            assert answer.status == 404, (method, path)
    assert (await heartbeats.get(store, others.ids["heartbeat"])).settings.name == "theirs"


async def test_no_list_shows_a_thing_of_another_project(api: Api, store: Database, others: Others) -> None:
    owner = await cast.signed_in(store, "owner")
    strange = {id_ for name, id_ in others.ids.items() if name != "member"} | {others.project}
    lists = [
        path for method, path, need in API if method == "GET" and "{" not in path and need in {"read", "admin", "known"}
    ]
    for path in lists:
        answer = await api.call("GET", path, key=None, headers=owner.headers)
        shown = str(answer.body)
        assert not [id_ for id_ in strange if id_ in shown], path
    dead = (await api.get("/api/deliveries?status=dead", key=None, headers=owner.headers)).body["deliveries"]
    theirs = (await api.get("/api/deliveries?status=dead", key=None, headers=others.headers)).body["deliveries"]
    purged = await api.post("/api/deliveries/purge", {}, key=None, headers=owner.headers)
    assert (dead, [each["id"] for each in theirs], purged.body) == ([], [others.ids["delivery"]], {"count": 0})


async def test_nothing_of_another_project_can_be_named(api: Api, store: Database, others: Others) -> None:
    owner = await cast.signed_in(store, "owner")
    channel, person = others.ids["channel"], others.ids["person"]
    tried: list[tuple[str, dict[str, Any]]] = [
        ("/api/heartbeats", {"channels": [channel]}),
        ("/api/heartbeats", {"policy": others.ids["policy"]}),
        ("/api/fleets", {"channels": [channel]}),
        ("/api/fleets", {"policy": others.ids["policy"]}),
        ("/api/people", {"contacts": [{"channel": channel}]}),
        ("/api/oncall", {"people": [person], "start": "2030-01-01"}),
        ("/api/policies", {"steps": [{"channels": [channel]}]}),
        ("/api/policies", {"steps": [{"people": [person]}]}),
        ("/api/policies", {"steps": [{"schedules": [others.ids["oncall"]]}]}),
        ("/api/windows", {"heartbeats": [others.ids["heartbeat"]]}),
        ("/api/windows", {"heartbeats": [others.ids["fleet"]]}),
    ]
    for path, body in tried:
        refused = await api.post(path, {"name": "mine", **body}, key=None, headers=owner.headers)
        assert refused.status == 422, (path, body)
        taken = await api.post(path, {"name": "theirs too", **body}, key=None, headers=others.headers)
        assert taken.status == 201, (path, body)


async def test_no_header_leads_into_another_project(api: Api, store: Database, others: Others) -> None:
    into = {"X-Flatline-Project": others.project}
    home = {"X-Flatline-Project": DEFAULT_PROJECT}
    for actor in (await cast.signed_in(store, "owner"), await cast.key(store, "admin")):
        assert (await api.get("/api/heartbeats", key=None, headers={**actor.headers, **into})).status == 404
        assert (await api.get("/api/heartbeats", key=None, headers={**actor.headers, **home})).status == 200


async def test_what_is_its_own_password_is_shown_to_admins_only(api: Api, store: Database) -> None:
    made = await api.channel()
    path = f"/api/channels/{made['id']}"
    urls = []
    for name in ("reader", "member", "owner", "key write", "key admin"):
        who = await caller(store, name)
        one = (await api.get(path, key=None, headers=who.actor.headers)).body
        (same,) = (await api.get("/api/channels", key=None, headers=who.actor.headers)).body["channels"]
        assert one == same
        urls.append(one["settings"]["url"])

    url = "https://hooks.example.org/x"
    assert urls == [None, None, url, None, url]
    member = await caller(store, "member")
    own = {"name": "mine", "kind": "webhook", "settings": {"url": url}}
    answer = await api.post("/api/channels", own, key=None, headers=member.actor.headers)
    assert (answer.status, answer.body["settings"]["url"]) == (201, None)
