"""PUT by slug: whoever applies the same document again changes nothing, and of many at once one makes the thing."""

import asyncio
from typing import Any

import pytest

from console.app import create_app
from store import channels, events, heartbeats, members, projects
from store.database import Database
from tests.console.cast import ADMIN
from tests.console.conftest import Api, serving, settings, signal

HEARTBEAT = "/api/heartbeats/by-slug/nightly-copy"
CHANNEL = "/api/channels/by-slug/ops"
WHOLE: dict[str, Any] = {
    "name": "Nightly copy",
    "schedule": "0 3 * * *",
    "timezone": "Europe/Berlin",
    "grace": 1_800,
    "tags": ["backup", "night"],
    "failure_words": ["FAILED"],
    "channels": [],
    "runbook_url": "https://wiki.example.org/copy",
    "remind_every": None,
    "warn_late": True,
    "alert_text": "look\nhere",
}
WEBHOOK = {"kind": "webhook", "settings": {"url": "https://hooks.example.org/x"}}


async def put(api: Api, path: str, body: Any = None, **options: Any) -> Any:
    return await api.call("PUT", path, **({"json": body} if body is not None else {}), **options)


async def kinds(db: Database, heartbeat: str) -> list[str]:
    return [event.kind for event in (await events.page(db, heartbeat))[0]]


async def test_what_is_not_there_is_made_and_what_is_there_is_changed(api: Api) -> None:
    made = await put(api, HEARTBEAT, WHOLE)
    changed = await put(api, HEARTBEAT, {"grace": 60})
    read = await api.get(HEARTBEAT)

    assert (made.status, changed.status, read.status) == (201, 200, 200)
    assert {**made.body, **WHOLE, "slug": "nightly-copy", "status": "pending"} == made.body
    assert changed.body == {**made.body, "grace": 60}
    assert read.body == changed.body == (await api.get(f"/api/heartbeats/{made.body['id']}")).body


async def test_a_slug_alone_makes_a_heartbeat_with_the_defaults_of_any_other(api: Api) -> None:
    made = (await put(api, HEARTBEAT)).body
    other = await api.heartbeat("nightly-copy", slug="other")

    own = {"id", "slug", "ping_url", "slug_url", "created_at", "since"}
    assert {name: value for name, value in made.items() if name not in own} == {
        name: value for name, value in other.items() if name not in own
    }


async def test_the_same_document_again_writes_nothing(api: Api, store: Database) -> None:
    made = (await put(api, HEARTBEAT, WHOLE)).body
    before = await heartbeats.get(store, made["id"])
    again = [await put(api, HEARTBEAT, body) for body in (WHOLE, {**WHOLE, "slug": "nightly-copy"}, {}, None)]

    assert [(answer.status, answer.body) for answer in again] == [(200, made)] * 4
    assert await heartbeats.get(store, made["id"]) == before
    assert await kinds(store, made["id"]) == ["created"]
    assert (await put(api, HEARTBEAT, {**WHOLE, "timezone": "UTC"})).body == {**made, "timezone": "UTC"}
    assert await kinds(store, made["id"]) == ["edited", "created"]


async def test_a_change_leaves_its_state_alone(api: Api, store: Database) -> None:
    made = (await put(api, HEARTBEAT, {"period": 60})).body
    await signal(store, made["id"])
    up = (await put(api, HEARTBEAT, {"name": "another"})).body

    assert (up["status"], up["name"], up["period"], up["ping_url"]) == ("up", "another", 60, made["ping_url"])


async def test_many_at_once_make_one_heartbeat_on_every_server(db: Database) -> None:
    async with serving(create_app(db, settings(db.url))) as api:
        found = await asyncio.gather(*(put(api, HEARTBEAT, WHOLE) for _ in range(12)))
        listed = (await api.get("/api/heartbeats")).body["heartbeats"]

    assert sorted(answer.status for answer in found) == [200] * 11 + [201]
    assert [each["id"] for each in listed] == [found[0].body["id"]]
    assert {answer.body["id"] for answer in found} == {found[0].body["id"]}
    assert await kinds(db, found[0].body["id"]) == ["created"]


async def test_whoever_comes_second_with_another_document_changes_it(api: Api) -> None:
    found = await asyncio.gather(put(api, HEARTBEAT, {"period": 60}), put(api, HEARTBEAT, {"grace": 30}))
    there = (await api.get(HEARTBEAT)).body

    assert sorted(answer.status for answer in found) == [200, 201]
    last = next(answer for answer in found if answer.status == 200)
    assert last.body == there
    assert {"period": 60, "grace": 30}.items() & there.items()


async def test_a_heartbeat_that_was_made_otherwise_is_found(api: Api, store: Database) -> None:
    ours = await api.heartbeat("ours", slug="nightly-copy")
    pinged = await projects.provision(store, "default", "srv-1", period=60, grace=0)

    assert (await put(api, HEARTBEAT, {"grace": 60})).body == {**ours, "grace": 60}
    assert (await put(api, "/api/heartbeats/by-slug/srv-1", {})).body["id"] == pinged.heartbeat


async def test_what_was_deleted_comes_back_with_its_address_and_without_its_past(api: Api, store: Database) -> None:
    first = (await put(api, HEARTBEAT, {"period": 60})).body
    await signal(store, first["id"], signal="fail")
    await api.delete(f"/api/heartbeats/{first['id']}")
    again = await put(api, HEARTBEAT)

    assert (again.status, again.body["ping_url"]) == (201, first["ping_url"])
    assert (again.body["status"], again.body["period"], again.body["last_ping_at"]) == ("pending", 86_400, None)
    assert await kinds(store, again.body["id"]) == ["created"]


async def test_words_of_other_paths_are_slugs_too(api: Api) -> None:
    for slug in ("pause", "resume", "rotate", "events"):
        made = await put(api, f"/api/heartbeats/by-slug/{slug}")
        assert (made.status, made.body["slug"]) == (201, slug)
        assert (await api.get(f"/api/heartbeats/by-slug/{slug}")).body == made.body
    assert (await put(api, "/api/channels/by-slug/test", WEBHOOK)).status == 201


async def test_two_that_share_a_slug_are_told_apart_by_nobody(api: Api) -> None:
    first, second = await api.heartbeat("a", slug="nightly-copy"), await api.heartbeat("b", slug="nightly-copy")
    refused = [await put(api, HEARTBEAT, {"grace": 60}), await api.get(HEARTBEAT)]

    assert [(each.status, each.error["code"]) for each in refused] == [(409, "ambiguous")] * 2
    assert (await api.get(f"/api/heartbeats/{first['id']}")).body == first
    await api.delete(f"/api/heartbeats/{second['id']}")
    assert (await put(api, HEARTBEAT, {"grace": 60})).status == 200


async def test_what_a_create_refuses_is_refused_and_nothing_is_made(api: Api, store: Database) -> None:
    tried: list[tuple[dict[str, Any], str]] = [
        ({"period": 0}, "period"),
        ({"name": ""}, "name"),
        ({"slug": "other"}, "slug"),
        ({"slug": None}, "slug"),
        ({"schedule": "never"}, "schedule"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"channels": ["0" * 12]}, "channels"),
        ({"policy": "0" * 12}, "policy"),
        ({"naem": "x"}, "naem"),
    ]
    for body, field in tried:
        refused = await put(api, HEARTBEAT, body)
        assert (refused.status, refused.error["field"]) == (422, field), body
    assert (await put(api, "/api/heartbeats/by-slug/Not-A-Slug")).status == 404
    assert (await api.get(HEARTBEAT)).status == 404
    assert await heartbeats.count(store) == {"pending": 0, "up": 0, "down": 0, "paused": 0}


async def test_each_project_has_slugs_of_its_own(api: Api, store: Database) -> None:
    elsewhere = {**ADMIN.headers, "X-Flatline-Project": (await members.create_project(store, "lab")).id}
    for path, body in ((HEARTBEAT, {"name": "theirs"}), (CHANNEL, {**WEBHOOK, "name": "theirs"})):
        theirs = (await put(api, path, body, key=None, headers=elsewhere)).body
        ours = await put(api, path, {**body, "name": "ours"})
        assert (ours.status, ours.body["name"]) == (201, "ours")
        assert ours.body["id"] != theirs["id"]
        assert (await api.get(path, key=None, headers=elsewhere)).body["name"] == "theirs"


async def test_a_channel_is_made_with_its_secret_and_changed_without_it(api: Api, store: Database) -> None:
    made = await put(api, CHANNEL, WEBHOOK)
    secret = made.body["settings"]["secret"]
    again = await put(api, CHANNEL, WEBHOOK)
    changed = await put(api, CHANNEL, {"name": "Duty", "settings": {"fold": False}})

    assert (made.status, made.body["name"], made.body["slug"]) == (201, "ops", "ops")
    assert (again.status, again.body["settings"]["secret"]) == (200, None)
    assert changed.body["settings"] == {**made.body["settings"], "secret": None, "fold": False}
    assert changed.body["name"] == "Duty"
    assert (await channels.get(store, made.body["id"])).settings["secret"] == secret
    assert (await api.get(CHANNEL)).body == changed.body == (await api.get(f"/api/channels/{made.body['id']}")).body


async def test_the_same_channel_again_is_not_written(api: Api, store: Database) -> None:
    given = {"name": "Duty", "kind": "gotify", "settings": {"url": "https://push.example.org", "token": "A-secret"}}
    made = (await put(api, CHANNEL, given)).body
    await channels.set_broken(store, await channels.get(store, made["id"]), "401", gone=False)
    again = await put(api, CHANNEL, given)

    assert again.status == 200
    assert again.body["broken"]["answer"] == "401"  # an edit would have forgotten that
    assert (await put(api, CHANNEL, {"settings": {"token": "another"}})).body["broken"] is None


async def test_many_at_once_make_one_channel_on_every_server(db: Database) -> None:
    async with serving(create_app(db, settings(db.url))) as api:
        found = await asyncio.gather(*(put(api, CHANNEL, WEBHOOK) for _ in range(12)))
        listed = (await api.get("/api/channels")).body["channels"]

    assert sorted(answer.status for answer in found) == [200] * 11 + [201]
    assert {answer.body["id"] for answer in found} == {each["id"] for each in listed}
    assert len(listed) == 1


async def test_a_new_channel_needs_its_kind_and_keeps_it(api: Api) -> None:
    missing = await put(api, CHANNEL, {"name": "Duty"})
    await put(api, CHANNEL, WEBHOOK)
    other = await put(api, CHANNEL, {"kind": "gotify"})

    assert (missing.status, missing.error["field"]) == (422, "kind")
    assert (other.status, other.error["message"]) == (422, "kind must be webhook: that of a channel stays")


@pytest.mark.parametrize("how", ["made", "changed"])
async def test_no_two_channels_of_a_project_have_one_slug(api: Api, store: Database, how: str) -> None:
    first = (await put(api, CHANNEL, WEBHOOK)).body
    if how == "made":
        refused = await api.post("/api/channels", {**WEBHOOK, "name": "second", "slug": "ops"})
    else:
        second = await api.channel()
        refused = await api.patch(f"/api/channels/{second['id']}", {"slug": "ops", "name": "second"})

    assert (refused.status, refused.error["field"]) == (422, "slug")
    assert refused.error["message"] == 'there is a channel with the slug "ops" already'
    assert [each.name for each in await channels.of_project(store) if each.name == "second"] == []
    assert (await api.patch(f"/api/channels/{first['id']}", {"slug": "ops"})).status == 200
    assert (await api.patch(f"/api/channels/{first['id']}", {"slug": None})).body["slug"] is None
    assert (await api.post("/api/channels", {**WEBHOOK, "name": "second", "slug": "ops"})).status == 201
