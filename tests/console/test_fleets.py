import asyncio
import base64
from typing import Any

import pytest

from console.app import create_app
from store import fleets
from store.database import Database, opened
from tests.console.conftest import PUBLIC_URL, Api, member_signal, served, serving, settings
from tests.console.test_pause import ms

NOBODY = {"up": 0, "late": 0, "down": 0, "paused": 0}
DEFAULTS: dict[str, Any] = {
    "status": "up",
    "period": 86_400,
    "grace": 3_600,
    "misses": 1,
    "tags": [],
    "channels": None,
    "alert_text": "",
    "recovery_text": "",
    "priority": 8,
    "durability": None,
    "cap": 1_000_000,
    "members": NOBODY,
    "incident": None,
}


async def test_a_name_is_enough_to_make_a_fleet(api: Api) -> None:
    made = await api.fleet("датчики")

    assert {**made, **DEFAULTS} == made
    assert made["name"] == "датчики"
    assert made["ping_url"] == f"{PUBLIC_URL}/ping/{made['ping_key']}"
    assert (await api.get("/api/fleets")).body == {"fleets": [made], "next_cursor": None}


async def test_the_whole_life_of_a_fleet_on_every_server(db: Database) -> None:
    async with serving(create_app(db, settings(db.url))) as api:
        made = await api.fleet(period=60, grace=30)
        path = f"/api/fleets/{made['id']}"
        await member_signal(db, made["id"], "good")
        await member_signal(db, made["id"], "bad", signal="fail", exit_status="3")
        incident = await fleets.look(db, made["id"])
        down = (await api.get(path)).body
        paused = (await api.post(path + "/pause")).body
        await fleets.look(db, made["id"])
        resumed = (await api.post(path + "/resume")).body
        again = (await api.post(path + "/resume")).body
        deleted = await api.delete(path)
        after = [await api.get(path), await api.delete(path), await api.patch(path, {"grace": 1})]
        after += [await api.post(path + "/" + word) for word in ("pause", "resume", "rotate")]
        after += [await api.post(path + "/forget", {"silent_for": 0}), await api.get(path + "/members")]

    assert (down["status"], down["incident"], down["members"]) == ("down", incident, {**NOBODY, "up": 1, "down": 1})
    assert (paused["status"], paused["members"]) == ("paused", {**NOBODY, "paused": 2})
    assert (resumed["status"], resumed["incident"], resumed["members"]) == ("up", None, {**NOBODY, "up": 2})
    assert again == resumed
    assert (deleted.status, deleted.body) == (204, b"")
    assert {(answer.status, answer.error["message"]) for answer in after} == {(404, "no such fleet")}


async def test_everything_a_user_sets_comes_back_as_it_was_sent(api: Api) -> None:
    channel = (await api.channel())["id"]
    sent: dict[str, Any] = {
        "name": "Датчики 🌙",
        "period": 1,
        "grace": 0,
        "misses": 100,
        "tags": ["прод", "база данных"],
        "channels": [channel],
        "alert_text": "Звони Ивану\n\tи не жди",
        "recovery_text": "Отбой",
        "priority": 0,
        "durability": "memory",
        "cap": 10_000_000,
    }
    made = await api.fleet(**sent)

    assert {**made, **sent} == made
    assert (await api.get(f"/api/fleets/{made['id']}")).body == made


async def test_a_change_touches_only_what_is_sent(api: Api) -> None:
    made = await api.fleet(period=300, tags=["a"], cap=5, durability="memory")
    path = f"/api/fleets/{made['id']}"

    assert (await api.patch(path, {"grace": 7})).body == {**made, "grace": 7}
    assert (await api.patch(path, {})).body == {**made, "grace": 7}
    changed = {"name": "other", "tags": [], "channels": [], "cap": 6, "durability": None, "grace": 7}
    assert (await api.patch(path, changed)).body == {**made, **changed}
    assert (await api.get("/api/fleets")).body["fleets"] == [{**made, **changed}]


REFUSED: list[tuple[str, Any, str]] = [
    ("name", "", "name must have 1 to 100 characters, got 0"),
    ("period", 0, "period must be between 1 and 31622400 seconds (366 days), got 0"),
    ("grace", -1, "grace must be between 0 and 31622400 seconds (366 days), got -1"),
    ("misses", 101, "misses must be between 1 and 100, got 101"),
    ("tags", ["a", "a"], "tags must not name the same entry twice"),
    ("channels", ["0123456789ab"], "channels names 0123456789ab, and there is no such channel"),
    ("priority", 11, "priority must be between 0 and 10, got 11"),
    ("durability", "tape", "durability must be 'memory', 'disk' or 'replica'"),
    ("cap", 0, "cap must be between 1 and 10000000 members, got 0"),
    ("cap", 10_000_001, "cap must be between 1 and 10000000 members, got 10000001"),
    ("cap", None, "cap must be a whole number between 1 and 10000000 members"),
    ("schedule", "daily", 'unknown field "schedule"'),
    ("ping_key", "x", 'unknown field "ping_key"'),
]


async def test_what_is_out_of_its_limits_is_refused_with_the_field_and_the_limit(api: Api) -> None:
    made = await api.fleet()
    for field, value, message in REFUSED:
        for answer in (
            await api.post("/api/fleets", {"name": "x", field: value}),
            await api.patch("/api/fleets/" + made["id"], {field: value}),
        ):
            assert (answer.status, answer.error["code"], answer.error["field"]) == (422, "invalid", field)
            assert message in answer.error["message"]

    assert (await api.get("/api/fleets")).body["fleets"] == [made]


async def test_rotation_gives_a_new_ping_key_and_keeps_the_id(api: Api) -> None:
    made = await api.fleet()
    rotated = (await api.post(f"/api/fleets/{made['id']}/rotate")).body

    assert rotated["ping_key"] != made["ping_key"]
    assert rotated["ping_url"] == f"{PUBLIC_URL}/ping/{rotated['ping_key']}"
    assert {**rotated, "ping_key": made["ping_key"], "ping_url": made["ping_url"]} == made


@pytest.mark.parametrize("limit", [3, 500])
async def test_pages_walk_all_fleets_in_the_order_of_names(api: Api, limit: int) -> None:
    names = [f"{word} {number}" for word in ("Яблоко", "alpha", "Beta", "ель") for number in range(4)]
    await asyncio.gather(*(api.fleet(name) for name in names))
    seen = await walk(api, "/api/fleets", "fleets", limit)

    assert [fleet["name"] for fleet in seen] == sorted(names, key=lambda name: name.casefold().encode())


async def walk(api: Api, path: str, of: str, limit: int, **params: str) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    asked = {"limit": str(limit), **params}
    for _ in range(500):
        page = (await api.get(path, params=asked)).body
        seen += page[of]
        if page["next_cursor"] is None:
            return seen
        asked["cursor"] = page["next_cursor"]
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("limit", [7, 500])
async def test_pages_walk_all_members_over_all_shards(redis_url: str, limit: int) -> None:
    async with opened(redis_url, shards=3) as store, served(redis_url) as api:
        made = await api.fleet(period=60, grace=3_600)
        path = f"/api/fleets/{made['id']}/members"
        for number in range(40):
            await member_signal(store, made["id"], f"up-{number}")
            if number < 20:
                await member_signal(store, made["id"], f"late-{number}", age_s=70)
                await member_signal(store, made["id"], f"down-{number}", signal="fail")
        everyone = await walk(api, path, "members", limit)
        by_status = {status: await walk(api, path, "members", limit, status=status) for status in NOBODY}
        counts = (await api.get("/api/fleets")).body["fleets"][0]["members"]

    slugs = [member["slug"] for member in everyone]
    assert len(slugs) == len(set(slugs)) == 80
    assert counts == {"up": 60, "late": 20, "down": 20, "paused": 0}
    assert [len(by_status[status]) for status in ("up", "late", "down", "paused")] == [40, 20, 20, 0]
    for status, found in by_status.items():
        assert all(member["slug"].startswith(status) and member["status"] == status for member in found)


async def test_a_member_tells_its_state_and_why_it_is_down(api: Api, store: Database) -> None:
    made = await api.fleet(period=60, grace=30)
    path = f"/api/fleets/{made['id']}/members"
    await member_signal(store, made["id"], "good")
    await member_signal(store, made["id"], "bad", signal="fail", exit_status="137")
    good, bad = (await api.get(f"{path}/good")).body, (await api.get(f"{path}/bad")).body

    assert (good["status"], good["since"], good["cause"]) == ("up", None, None)
    assert ms(good["next_deadline_at"]) - ms(good["last_ping_at"]) == 90_000
    assert (bad["status"], bad["cause"], bad["next_deadline_at"]) == ("down", "137", None)
    assert ms(bad["since"]) >= ms(made["created_at"])
    assert sorted((await api.get(path)).body["members"], key=lambda m: m["slug"]) == [bad, good]


async def test_a_member_can_be_forgotten_and_joins_again_when_it_pings(api: Api, store: Database) -> None:
    made = await api.fleet()
    path = f"/api/fleets/{made['id']}/members/sensor_1"
    assert (await api.get(path)).error == {"code": "not_found", "message": "no such member", "field": None}
    await member_signal(store, made["id"], "sensor_1")

    assert (await api.delete(path)).status == 204
    assert [(await api.get(path)).status, (await api.delete(path)).status] == [404, 404]
    await member_signal(store, made["id"], "sensor_1")
    assert (await api.get(path)).body["status"] == "up"


async def test_the_long_silent_are_forgotten_at_once_and_the_others_stay(api: Api, store: Database) -> None:
    made = await api.fleet()
    path = f"/api/fleets/{made['id']}"
    for number in range(3):
        await member_signal(store, made["id"], f"old-{number}", signal="fail", age_s=100)
    await member_signal(store, made["id"], "new", signal="fail")
    await member_signal(store, made["id"], "good")

    assert (await api.post(path + "/forget", {"silent_for": 50})).body == {"forgotten": 3}
    assert (await api.post(path + "/forget", {"silent_for": 50})).body == {"forgotten": 0}
    assert (await api.get(path)).body["members"] == {**NOBODY, "up": 1, "down": 1}
    for body, field in (({}, "silent_for"), ({"silent_for": -1}, "silent_for"), ({"silent": 1}, "silent")):
        refused = await api.post(path + "/forget", body)
        assert (refused.status, refused.error["field"]) == (422, field)


async def test_a_cursor_of_another_list_is_refused(api: Api, store: Database) -> None:
    made = await api.fleet()
    for cursor in ("nonsense", "MC0w", "x" * 12_000):
        answer = await api.get(f"/api/fleets/{made['id']}/members", params={"cursor": cursor})
        assert (answer.status, answer.error["field"]) == (422, "cursor")


async def test_what_is_no_id_and_no_slug_of_ours_is_not_found(api: Api) -> None:
    made = await api.fleet()
    heartbeat = await api.heartbeat()
    for path in ("0123456789AB", "ping", heartbeat["id"], made["id"] + "/members/A", made["id"] + "/members/a%0A"):
        assert (await api.get("/api/fleets/" + path)).status == 404, path
    assert (await api.get("/api/heartbeats/" + made["id"])).status == 404


@pytest.mark.parametrize("size", [60, 100])  # servers keep small sets of short names in another way
async def test_a_page_of_long_names_has_a_short_cursor(api: Api, store: Database, size: int) -> None:
    fleet = await api.fleet()
    slugs = [f"{number:03}".ljust(size, "x") for number in range(120)]
    for slug in slugs:
        await member_signal(store, fleet["id"], slug)
    listed: list[str] = []
    cursor = ""
    while len(listed) < len(slugs):
        found = (await api.get(f"/api/fleets/{fleet['id']}/members?limit=7{cursor}")).body
        listed += [member["slug"] for member in found["members"]]
        assert len(found["next_cursor"] or "") < 1_000
        cursor = f"&cursor={found['next_cursor']}"

    assert sorted(listed) == slugs
    assert found["next_cursor"] is None


@pytest.mark.parametrize("inside", [f'[1,"{2**64}",""]', '[1,"12.5000",""]', '[1,"x",""]', '[1,"0","A B"]'])
async def test_a_forged_cursor_is_refused(api: Api, inside: str) -> None:
    fleet = await api.fleet()
    cursor = base64.urlsafe_b64encode(inside.encode()).decode()

    assert (await api.get(f"/api/fleets/{fleet['id']}/members?cursor={cursor}")).status == 422
