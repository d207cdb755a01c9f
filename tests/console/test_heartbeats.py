import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest

from console.app import create_app
from rules import limits
from store import events, projects
from store.database import Database
from tests.console.conftest import PUBLIC_URL, Api, serving, settings, signal

DEFAULTS: dict[str, Any] = {
    "status": "pending",
    "slug": None,
    "slug_url": None,
    "period": 86_400,
    "grace": 3_600,
    "schedule": None,
    "timezone": "UTC",
    "early": 60,
    "misses": 1,
    "recover_after": 1,
    "max_runtime": None,
    "post_only": False,
    "failure_words": [],
    "success_words": [],
    "start_words": [],
    "unmatched": "ignored",
    "rate_limit": None,
    "durability": None,
    "tags": [],
    "channels": None,
    "policy": None,
    "alert_text": "",
    "recovery_text": "",
    "priority": 8,
    "resume_on_ping": False,
    "last_ping_at": None,
    "next_slot_at": None,
    "next_deadline_at": None,
    "resume_at": None,
    "running_since": None,
    "last_duration_ms": None,
    "incident": None,
}


async def test_a_name_is_enough_to_make_a_heartbeat(api: Api) -> None:
    made = await api.heartbeat("nightly")

    assert {**made, **DEFAULTS} == made
    assert made["name"] == "nightly"
    token = made["ping_url"].removeprefix(f"{PUBLIC_URL}/ping/")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", token)
    assert token.replace("-", "").startswith(made["id"])
    assert made["created_at"] == made["since"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made["since"])


async def test_the_whole_life_of_a_heartbeat_on_every_server(db: Database) -> None:
    async with serving(create_app(db, settings(db.url))) as api:
        made = await api.heartbeat(period=60, grace=30)
        path = f"/api/heartbeats/{made['id']}"
        await signal(db, made["id"])
        up = (await api.get(path)).body
        await signal(db, made["id"], signal="fail", exit_status="3")
        down = (await api.get(path)).body
        await signal(db, made["id"])
        again = (await api.get(path)).body
        await signal(db, made["id"], signal="start", rid="r1")
        running = (await api.get(path)).body
        paused = (await api.post(path + "/pause")).body
        resumed = (await api.post(path + "/resume")).body
        deleted = await api.delete(path)
        after = [await api.get(path), await api.delete(path), await api.patch(path, {"grace": 1})]

    assert (up["status"], up["incident"]) == ("up", None)
    assert up["next_deadline_at"] > up["last_ping_at"] > made["created_at"]
    assert (down["status"], down["next_deadline_at"]) == ("down", None)
    assert down["incident"].startswith(made["id"] + "-")
    assert down["last_ping_at"] == down["since"] > up["last_ping_at"]
    assert (again["status"], again["incident"]) == ("up", None)
    assert running["running_since"] is not None
    assert (paused["status"], paused["running_since"]) == ("paused", None)
    assert resumed["status"] == "up"
    assert (deleted.status, deleted.body) == (204, b"")
    assert [answer.status for answer in after] == [404, 404, 404]
    assert after[0].error == {"code": "not_found", "message": "no such heartbeat", "field": None}


async def test_late_is_reckoned_when_it_is_read(api: Api, store: Database) -> None:
    made = await api.heartbeat(period=1, grace=3600)
    await signal(store, made["id"], age_s=5)

    assert (await api.get(f"/api/heartbeats/{made['id']}")).body["status"] == "late"
    assert [h["id"] for h in (await api.get("/api/heartbeats?status=late")).body["heartbeats"]] == [made["id"]]
    assert (await api.get("/api/heartbeats?status=up")).body["heartbeats"] == []


async def test_everything_a_user_sets_comes_back_as_it_was_sent(api: Api) -> None:
    channel = (await api.channel())["id"]
    sent: dict[str, Any] = {
        "name": "Резервная копия — ночь 🌙",
        "slug": "nightly-copy",
        "period": 300,
        "grace": 0,
        "schedule": "Mon..Fri 02:30\nSat *:0/15 Asia/Tokyo",
        "timezone": "Europe/Berlin",
        "early": 0,
        "misses": 3,
        "recover_after": 2,
        "max_runtime": 7200,
        "post_only": True,
        "failure_words": ["ERROR ", "нет места"],
        "success_words": ["|", " done"],
        "start_words": ["begin"],
        "unmatched": "fail",
        "rate_limit": 6,
        "durability": "replica",
        "tags": ["прод", "база данных"],
        "channels": [channel],
        "alert_text": "Звони Ивану\n\tи не жди",
        "recovery_text": "Отбой",
        "priority": 0,
        "resume_on_ping": True,
    }
    made = await api.heartbeat(**sent)

    assert {**made, **sent} == made
    assert (await api.get(f"/api/heartbeats/{made['id']}")).body == made
    assert (await api.get("/api/heartbeats", params={"tag": "база данных"})).body["heartbeats"] == [made]
    assert (await api.get("/api/heartbeats", params={"tag": "прод", "status": "up"})).body["heartbeats"] == []


async def test_a_change_touches_only_what_is_sent(api: Api) -> None:
    made = await api.heartbeat(
        period=300, tags=["a"], max_runtime=60, resume_on_ping=True, priority=3, failure_words=["no"], rate_limit=6
    )
    path = f"/api/heartbeats/{made['id']}"

    assert (await api.patch(path, {"grace": 7})).body == {**made, "grace": 7}
    assert (await api.patch(path, {})).body == {**made, "grace": 7}
    changed = {
        "grace": 7,
        "name": "other",
        "tags": [],
        "channels": [],
        "max_runtime": None,
        "resume_on_ping": False,
        "failure_words": [],
        "rate_limit": None,
    }
    assert (await api.patch(path, changed)).body == {**made, **changed}
    assert (await api.patch(path, {"channels": None, "priority": 8})).body == {
        **made,
        **changed,
        "channels": None,
        "priority": 8,
    }


async def test_line_ends_of_texts_become_newlines(api: Api) -> None:
    assert (await api.heartbeat(alert_text="one\r\ntwo"))["alert_text"] == "one\ntwo"


async def test_a_slug_may_be_given_changed_and_taken_away_and_its_url_holds_the_ping_key(api: Api) -> None:
    ping_url = (await api.get("/api/project")).body["ping_url"]
    made = await api.heartbeat(slug="copy_1")
    path = f"/api/heartbeats/{made['id']}"
    changed = (await api.patch(path, {"slug": "copy_2"})).body
    taken = (await api.patch(path, {"slug": None})).body

    assert (made["slug"], made["slug_url"]) == ("copy_1", ping_url + "/copy_1")
    assert (changed["slug"], changed["slug_url"]) == ("copy_2", ping_url + "/copy_2")
    assert (taken["slug"], taken["slug_url"]) == (None, None)
    assert (await api.get("/api/heartbeats")).body["heartbeats"] == [taken]


async def test_two_heartbeats_may_have_one_slug(api: Api, store: Database) -> None:
    made = [await api.heartbeat(slug="copy"), await api.heartbeat(slug="copy")]

    assert sorted((await projects.with_slugs(store, [("default", "copy")]))[0]) == sorted(h["id"] for h in made)


async def test_the_last_run_tells_how_long_it_took(api: Api, store: Database) -> None:
    made = await api.heartbeat()
    await signal(store, made["id"], signal="start", age_s=2)
    await signal(store, made["id"], age_s=1)
    took = (await api.get(f"/api/heartbeats/{made['id']}")).body["last_duration_ms"]
    success = (await events.page(store, made["id"]))[0][1]

    assert took == success.duration_ms
    assert took >= 1_000


async def test_durability_that_this_redis_cannot_keep_is_refused_when_it_is_set(db: Database) -> None:
    """Valkey knows WAITAOF, as long as it syncs at all; these Redis servers are older than it."""
    if db.server.name == "valkey":
        db.server = replace(db.server, fsync="everysec")
    async with serving(create_app(db, settings(db.url))) as api:
        path = "/api/heartbeats/" + (await api.heartbeat())["id"]
        answers = [
            await api.post("/api/heartbeats", {"name": "x", "durability": "disk"}),
            await api.patch(path, {"durability": "disk"}),
            await api.post("/api/fleets", {"name": "x", "durability": "disk"}),
        ]
        kept = (await api.get(path)).body["durability"]
        others = [(await api.patch(path, {"durability": level})).body["durability"] for level in OTHER_LEVELS]

    if db.server.name == "valkey":
        assert [answer.body["durability"] for answer in answers] == ["disk"] * 3
        assert kept == "disk"
    else:
        assert [(answer.status, answer.error["field"]) for answer in answers] == [(422, "durability")] * 3
        assert "appendfsync always" in answers[0].error["message"]
        assert kept is None
    assert others == OTHER_LEVELS


OTHER_LEVELS = ["memory", "replica", None]


async def test_there_are_as_many_heartbeats_as_there_may_be(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEARTBEATS_MAX", 1)
    await api.heartbeat()
    refused = await api.post("/api/heartbeats", {"name": "one too many"})

    assert refused.status == 403
    assert refused.error == {"code": "too_many", "message": "a project has at most 1 heartbeats", "field": None}
    assert len((await api.get("/api/heartbeats")).body["heartbeats"]) == 1


async def test_rotation_gives_a_new_ping_url_and_keeps_the_id(api: Api) -> None:
    made = await api.heartbeat()
    rotated = (await api.post(f"/api/heartbeats/{made['id']}/rotate")).body

    assert rotated["ping_url"] != made["ping_url"]
    assert {**rotated, "ping_url": made["ping_url"]} == made


@pytest.mark.parametrize("limit", [7, 500])
async def test_pages_walk_all_heartbeats_in_the_order_of_names(api: Api, limit: int) -> None:
    names = [f"{word} {number:03}" for word in ("Яблоко", "alpha", "Beta", "ель", "Ёж") for number in range(50)]
    await asyncio.gather(*(api.heartbeat(name) for name in names))
    seen: list[str] = []
    params = {"limit": str(limit)}
    while True:
        page = (await api.get("/api/heartbeats", params=params)).body
        seen += [heartbeat["name"] for heartbeat in page["heartbeats"]]
        if page["next_cursor"] is None:
            break
        assert len(page["heartbeats"]) == limit
        params["cursor"] = page["next_cursor"]

    assert seen == sorted(names, key=lambda name: name.casefold().encode())


async def test_unknown_channels_are_refused_by_name(api: Api) -> None:
    known = (await api.channel())["id"]
    made = await api.heartbeat()
    for channels in (["0123456789ab"], [known, "0123456789ab"]):
        answers = [
            await api.post("/api/heartbeats", {"name": "x", "channels": channels}),
            await api.patch(f"/api/heartbeats/{made['id']}", {"channels": channels}),
        ]
        for answer in answers:
            assert (answer.status, answer.error["field"]) == (422, "channels")
            assert "0123456789ab" in answer.error["message"]


@pytest.mark.parametrize(
    "heartbeat", ["0123456789ab", "0123456789AB", "ping", "0" * 11, "0" * 13, "0123456789a%0A", "*"]
)
async def test_what_is_no_id_of_ours_is_not_found(api: Api, heartbeat: str) -> None:
    assert (await api.get(f"/api/heartbeats/{heartbeat}")).status == 404
    assert (await api.post(f"/heartbeat/{heartbeat}/pause")).status == 404
