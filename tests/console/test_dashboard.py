"""The pages without a browser: who may see and change what, and what a request may hold."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from starlette.requests import Request

from console import live
from console.access import ROLES, Principal
from console.auth import Keys
from console.dashboard.lists import PAGE
from store import fleets, heartbeats, incidents
from store.database import Database
from store.fleets import Fleet, FleetSettings
from store.records import Settings
from tests.console.conftest import KEY, Api, member_signal
from tests.store.scene import make, send

SIGNED_IN = {"Authorization": f"Bearer {KEY}"}


@dataclass
class Visitor:
    """A client that follows no redirects."""

    session: aiohttp.ClientSession
    url: str

    async def get(self, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
        return await self._ask("GET", path, {**SIGNED_IN, **headers}, None)

    async def post(self, path: str, form: Any = None, **headers: str) -> tuple[int, str, dict[str, str]]:
        return await self._ask("POST", path, {**SIGNED_IN, **headers}, form or {})

    async def stranger(self, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
        return await self._ask("GET", path, headers, None)

    async def _ask(self, method: str, path: str, headers: dict[str, str], form: Any) -> tuple[int, str, dict[str, str]]:
        asked = self.session.request(method, self.url + path, headers=headers, data=form, allow_redirects=False)
        async with asked as answer:
            return answer.status, await answer.text(), {name.lower(): value for name, value in answer.headers.items()}


@pytest.fixture
async def visitor(api: Api) -> AsyncIterator[Visitor]:
    async with aiohttp.ClientSession() as session:
        yield Visitor(session, api.url)


async def test_a_stranger_goes_to_sign_in_and_comes_back(visitor: Visitor, store: Database) -> None:
    heartbeat = await make(store, "secret name")

    for path in ("/", "/new", f"/heartbeats/{heartbeat.id}", "/events?since=1", "/counts"):
        status, text, headers = await visitor.stranger(path)
        assert (status, text) == (303, "")
        assert headers["location"].startswith("/login?next=%2F")
    status, _, headers = await visitor.stranger("/rows", **{"HX-Request": "true", "HX-Current-URL": "http://x/?q=a"})
    assert (status, headers["hx-redirect"]) == (204, "/login?next=%2F%3Fq%3Da")


async def test_pages_promise_that_nothing_but_ours_runs_in_them(visitor: Visitor, store: Database) -> None:
    heartbeat = await make(store)

    for path in ("/", "/new", f"/heartbeats/{heartbeat.id}", f"/heartbeats/{heartbeat.id}/settings", "/heartbeats/x"):
        _, text, headers = await visitor.get(path)
        policy = headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "style-src 'self'"} < set(policy)
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert "style=" not in text
        assert "<script>" not in text


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
async def test_a_form_on_a_page_of_others_changes_nothing(
    visitor: Visitor, store: Database, headers: dict[str, str]
) -> None:
    heartbeat = await make(store)

    for path in (f"/heartbeats/{heartbeat.id}/pause", "/bulk", "/new"):
        assert (await visitor.post(path, {"name": "x"}, **headers))[0] == 403
    assert (await heartbeats.get(store, heartbeat.id)).stored_status == "pending"
    assert (await visitor.post(f"/heartbeats/{heartbeat.id}/pause", **{"Sec-Fetch-Site": "same-origin"}))[0] == 303
    assert (await heartbeats.get(store, heartbeat.id)).stored_status == "paused"


async def test_who_may_only_read_sees_no_buttons_and_is_refused(
    visitor: Visitor, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeat = await make(store)

    async def reader(_: Keys, __: Request) -> Principal:
        return Principal(name="Rita", project="default", scopes=ROLES["reader"])

    monkeypatch.setattr(Keys, "visitor", reader)
    for path in ("/", f"/heartbeats/{heartbeat.id}"):
        status, text, _ = await visitor.get(path)
        assert status == 200
        assert 'method="post"' not in text
        assert 'href="/new"' not in text
    assert (await visitor.get(f"/heartbeats/{heartbeat.id}/settings"))[0] == 403
    for path in (f"/heartbeats/{heartbeat.id}/pause", f"/heartbeats/{heartbeat.id}/settings", "/bulk", "/new"):
        assert (await visitor.post(path, {"name": "x"}))[0] == 403
    assert (await heartbeats.get(store, heartbeat.id)).stored_status == "pending"


async def test_another_projects_heartbeats_are_not_there(visitor: Visitor, store: Database) -> None:
    theirs = await heartbeats.create(store, Settings(name="theirs"), "other")
    await make(store, "ours")

    _, listed, _ = await visitor.get("/")
    _, rows, _ = await visitor.get(f"/rows?ids={theirs.id}")
    assert "theirs" not in listed + rows
    for path in ("", "/settings", "/events/1-1/output"):
        assert (await visitor.get(f"/heartbeats/{theirs.id}{path}"))[0] == 404
    for action in ("pause", "resume", "rotate", "delete", "settings"):
        assert (await visitor.post(f"/heartbeats/{theirs.id}/{action}", {"sure": "yes", "name": "mine"}))[0] == 404
    await visitor.post("/bulk", {"action": "delete", "sure": "yes", "id": theirs.id})
    assert await heartbeats.get(store, theirs.id) == theirs


async def test_a_long_list_has_pages_and_each_heartbeat_stands_on_one(visitor: Visitor, store: Database) -> None:
    for number in range(PAGE + 3):
        await make(store, f"job {number:03}")

    _, first, _ = await visitor.get("/")
    more = first.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    _, second, _ = await visitor.get(more)

    assert (first.count('<tr role="row" id="row-'), second.count('<tr role="row" id="row-')) == (PAGE, 3)
    assert "job 052" in second
    assert 'rel="next"' not in second
    assert (await visitor.get("/?cursor=nonsense"))[0] == 422


async def test_what_changes_much_asks_first(visitor: Visitor, store: Database) -> None:
    heartbeat = await make(store, "backup <b>")

    status, text, _ = await visitor.post(f"/heartbeats/{heartbeat.id}/delete")
    assert (status, "Delete this heartbeat?" in text, "backup &lt;b&gt;" in text) == (200, True, True)
    status, text, _ = await visitor.post(
        "/bulk", [("action", "pause"), ("id", heartbeat.id), ("back", "//evil.example")]
    )
    assert (status, "Pause 1 heartbeat?" in text, 'href="/"' in text) == (200, True, True)
    await visitor.post(f"/heartbeats/{heartbeat.id}/rotate")
    assert await heartbeats.get(store, heartbeat.id) == heartbeat

    await visitor.post(f"/heartbeats/{heartbeat.id}/rotate", {"sure": "yes"})
    assert (await heartbeats.get(store, heartbeat.id)).token != heartbeat.token
    status, _, headers = await visitor.post(
        "/bulk", {"action": "delete", "sure": "yes", "id": heartbeat.id, "back": "//x"}
    )
    assert (status, headers["location"]) == (303, "/")
    assert (await visitor.get(f"/heartbeats/{heartbeat.id}"))[0] == 404


@pytest.mark.parametrize("back", ["//x", "/\t/evil.example", "/é€", "/a\r\nX-Evil: 1", "/\\evil.example", "https://x"])
async def test_after_many_were_changed_one_is_on_a_page_of_ours(visitor: Visitor, store: Database, back: str) -> None:
    heartbeat = await make(store)
    status, _, headers = await visitor.post(
        "/bulk", {"action": "pause", "sure": "yes", "id": heartbeat.id, "back": back}
    )
    assert (status, headers["location"]) == (303, "/")
    assert (await heartbeats.get(store, heartbeat.id)).stored_status == "paused"


async def test_a_pause_may_have_an_end(visitor: Visitor, store: Database) -> None:
    heartbeat = await make(store)
    path = f"/heartbeats/{heartbeat.id}/pause"

    status, text, _ = await visitor.post(path, {"for": "soon", "for_unit": "hours"})
    assert (status, "must be a whole number" in text) == (422, True)
    await visitor.post(path, {"for": "2", "for_unit": "hours"})

    paused = await heartbeats.get(store, heartbeat.id)
    assert paused.resume_at is not None
    assert 7_100_000 < paused.resume_at - await store.now() <= 7_200_000


async def test_the_settings_form_changes_what_it_has_and_leaves_the_rest(visitor: Visitor, store: Database) -> None:
    heartbeat = await make(store, tags=("a",), post_only=True, failure_words=("a, b",), channels=())
    path = f"/heartbeats/{heartbeat.id}/settings"

    status, _, _ = await visitor.post(path, {"name": "renamed", "period": "2", "period_unit": "hours"})
    assert status == 303
    settings = (await heartbeats.get(store, heartbeat.id)).settings
    assert (settings.name, settings.period, settings.tags, settings.post_only) == ("renamed", 7200, ("a",), True)
    assert (settings.failure_words, settings.channels) == (("a, b",), ())

    form = {
        "name": "renamed",
        "tags": "x, y,x",
        "switches": "post_only",
        "told": "all",
        "failure_words": "bad, \r\nworse",
    }
    form |= {"rhythm": "schedule", "schedule": "0 3 * * *", "timezone": "Europe/Berlin"}
    assert (await visitor.post(path, form))[0] == 303
    settings = (await heartbeats.get(store, heartbeat.id)).settings
    assert (settings.tags, settings.post_only, settings.channels) == (("x", "y"), False, None)
    assert (settings.failure_words, settings.schedule) == (("bad, ", "worse"), "0 3 * * *")


async def test_faults_of_a_form_stand_at_their_fields(visitor: Visitor, store: Database) -> None:
    heartbeat = await make(store)
    form = {"name": "", "grace": "-1", "rhythm": "schedule", "schedule": "99 * * * *", "tags": "x" * 51}

    status, text, _ = await visitor.post(f"/heartbeats/{heartbeat.id}/settings", form)

    assert status == 422
    for field in ("name", "grace", "tags"):
        assert f'id="{field}-fault"' in text
    status, text, _ = await visitor.post(
        f"/heartbeats/{heartbeat.id}/settings", {"rhythm": "schedule", "schedule": "99 * * * *"}
    )
    assert (status, 'id="schedule-fault"' in text) == (422, True)
    assert (await heartbeats.get(store, heartbeat.id)).settings == heartbeat.settings
    assert (await visitor.post("/new", {"name": "", "preset": "Every day"}))[0] == 422
    assert (await visitor.post("/new", {"name": "x" * 70_000}))[0] == 413


async def test_output_is_text_whatever_it_holds(visitor: Visitor, store: Database) -> None:
    heartbeat = await make(store)
    await send(store, heartbeat, "fail", at=await store.now(), output=b"</pre><script>alert(1)</script>\xff")
    _, page, _ = await visitor.get(f"/heartbeats/{heartbeat.id}")
    path = page.partition('hx-get="/heartbeats/')[2].partition('"')[0]

    status, text, _ = await visitor.get(f"/heartbeats/{path}")

    assert status == 200
    assert "&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;\N{REPLACEMENT CHARACTER}" in text
    assert (await visitor.get(f"/heartbeats/{heartbeat.id}/events/9-9/output"))[0] == 404


async def test_rows_that_are_gone_are_taken_out(visitor: Visitor, store: Database) -> None:
    there, gone = await make(store, "there"), await make(store, "gone")
    await heartbeats.delete(store, gone.id)

    _, text, _ = await visitor.get(f"/rows?ids={there.id},{gone.id},nonsense")

    assert f'id="row-{there.id}"' in text
    assert f'<tr id="row-{gone.id}" hx-swap-oob="delete">' in text
    assert "nonsense" not in text


async def test_another_projects_incidents_are_not_there(visitor: Visitor, store: Database) -> None:
    theirs = await heartbeats.create(store, Settings(name="theirs"), "other")
    await send(store, theirs, "fail", at=await store.now())
    incident = (await heartbeats.get(store, theirs.id)).incident

    assert "theirs" not in (await visitor.get("/incidents"))[1]
    assert (await visitor.get(f"/incidents/{incident}/told"))[0] == 404
    assert (await visitor.post(f"/incidents/{incident}/acknowledge"))[0] == 404
    assert (await visitor.post(f"/incidents/{incident}/snooze", {"for": "3600"}))[0] == 404
    assert (await visitor.post(f"/incidents/{incident}/snooze", {"for": "1"}))[0] == 400


async def test_the_head_of_each_page_says_without_a_script_how_much_is_down(visitor: Visitor, store: Database) -> None:
    heartbeat = await make(store, "nightly")
    paths = ("/", "/settings", f"/heartbeats/{heartbeat.id}", "/fleets/new")
    for path in paths:
        _, text, _ = await visitor.get(path)
        assert ('<html lang="en">' in text, "<title>▼" in text, 'data-down="0"' in text) == (True, False, True)

    await send(store, heartbeat, "fail", at=await store.now())
    for path in paths:
        _, text, _ = await visitor.get(path)
        assert ('<html lang="en" class="has-down">' in text, 'data-down="1"' in text) == (True, True)
        assert "<title>▼ 1 down · " in text
    await send(store, heartbeat, at=await store.now())
    assert "<title>nightly</title>" in (await visitor.get(f"/heartbeats/{heartbeat.id}"))[1]


async def test_a_fleet_that_is_down_is_counted_until_its_incident_is_over(
    visitor: Visitor, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "FLEETS_S", 0)
    fleet, _ = await _fleet(store, "down"), await _fleet(store, "up")
    assert await _down(visitor) == 0
    await send(store, await make(store), "fail", at=await store.now())
    await member_signal(store, fleet.id, "sensor-1", signal="fail")
    await fleets.look(store, fleet.id)

    assert await _down(visitor) == 2
    assert "<title>▼ 2 down · Fleets</title>" in (await visitor.get("/fleets"))[1]
    await fleets.forget(store, fleet.id, "sensor-1")
    await fleets.look(store, fleet.id)
    assert await _down(visitor) == 1


async def test_fleets_are_not_read_for_each_page(
    visitor: Visitor, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "FLEETS_S", 3_600)
    read: list[str] = []
    page = fleets.page

    async def counted(db: Database, project: str, **asked: Any) -> tuple[list[Fleet], str | None]:
        read.append(project)
        return await page(db, project, **asked)

    monkeypatch.setattr(fleets, "page", counted)
    for path in ("/", "/settings", "/counts", "/"):
        assert (await visitor.get(path))[0] == 200
    assert read == ["default"]


async def test_a_fleet_that_cannot_be_read_does_not_take_the_other_pages_with_it(
    visitor: Visitor, store: Database
) -> None:
    fleet = await _fleet(store, "corrupt")
    await store.execute("HSET", store.shard(fleet.id).fleet(fleet.id), "rev", "x")

    for path in ("/settings", "/incidents", "/counts"):
        assert (await visitor.get(path))[0] == 200


async def test_the_page_of_a_heartbeat_leads_to_its_incident_and_can_acknowledge_it(
    visitor: Visitor, store: Database
) -> None:
    heartbeat = await make(store, "nightly")
    await send(store, heartbeat, "fail", at=await store.now())
    incident = (await heartbeats.get(store, heartbeat.id)).incident or ""
    link, form = f"/incidents?status=open#{incident}", f'action="/incidents/{incident}/acknowledge"'

    _, text, _ = await visitor.get(f"/heartbeats/{heartbeat.id}")
    assert (f'<a href="{link}">' in text, form in text) == (True, True)
    _, listed, _ = await visitor.get("/incidents?status=open")
    assert re.findall(r'<li class="open" id="([^"]*)"', listed) == [incident]
    await incidents.acknowledge(store, incident, "Ada")
    _, text, _ = await visitor.get(f"/heartbeats/{heartbeat.id}")
    assert (link in text, form in text, "acknowledged by Ada" in text) == (True, False, True)
    await send(store, heartbeat, at=await store.now())
    assert link not in (await visitor.get(f"/heartbeats/{heartbeat.id}"))[1]


async def _fleet(db: Database, name: str) -> Fleet:
    return await fleets.create(db, FleetSettings(name=name, period=300, grace=60))


async def _down(visitor: Visitor) -> int:
    """As a page in the background is told."""
    _, text, _ = await visitor.get("/counts")
    return int(json.loads(text)["down"])
