"""Finding heartbeats by the beginning of their names, and counting them."""

import pytest

from console.app import create_app
from store import members
from store.database import Database, opened
from tests.console.cast import ADMIN
from tests.console.conftest import Api, served, serving, settings, signal


async def names(api: Api, query: str) -> list[str]:
    """Of all pages."""
    found: list[str] = []
    cursor = ""
    while True:
        page = (await api.get(f"/api/heartbeats?{query}{cursor}")).body
        found += [each["name"] for each in page["heartbeats"]]
        if not page["next_cursor"]:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def test_names_are_found_by_their_beginning_in_whatever_case_on_every_server(db: Database) -> None:
    async with serving(create_app(db, settings(db.url))) as api:
        for name in ("Backup a", "backup b", "BACKUP", "back", "other backup", "Копия", "копия 2", "z"):
            await api.heartbeat(name)

        assert await names(api, "prefix=backup") == ["BACKUP", "Backup a", "backup b"]
        assert await names(api, "prefix=Backup%20") == ["Backup a", "backup b"]
        assert await names(api, "prefix=КОП") == ["Копия", "копия 2"]
        assert await names(api, "prefix=none") == []
        assert await names(api, "prefix=back&limit=1") == ["back", "BACKUP", "Backup a", "backup b"]


async def test_a_prefix_holds_together_with_a_status_and_a_tag(api: Api, store: Database) -> None:
    for name, tags in (("job 1", ["x"]), ("job 2", ["x"]), ("job 3", []), ("task 1", ["x"])):
        made = await api.heartbeat(name, tags=tags)
        if name in {"job 2", "job 3", "task 1"}:
            await signal(store, made["id"])

    assert await names(api, "prefix=job&tag=x") == ["job 1", "job 2"]
    assert await names(api, "prefix=job&status=up") == ["job 2", "job 3"]
    assert await names(api, "prefix=job&status=up&tag=x") == ["job 2"]
    assert await names(api, "prefix=job&status=up&tag=x&limit=1") == ["job 2"]
    assert await names(api, "prefix=task&status=pending") == []


async def test_late_ones_are_found_by_prefix(api: Api, store: Database) -> None:
    for name in ("job 1", "job 2", "task 1"):
        made = await api.heartbeat(name, period=60, grace=3_600)
        await signal(store, made["id"], age_s=600 if name != "job 1" else 0)

    assert await names(api, "prefix=job&status=late") == ["job 2"]


async def test_a_cursor_of_another_list_shows_nothing_that_was_not_asked_for(api: Api) -> None:
    for name in ("a", "b", "m1", "m2", "z"):
        await api.heartbeat(name)
    cursors = [(await api.get(f"/api/heartbeats?limit={number}")).body["next_cursor"] for number in (1, 3, 4)]
    found = []
    for cursor in cursors:
        page = (await api.get(f"/api/heartbeats?prefix=m&cursor={cursor}")).body
        found.append([each["name"] for each in page["heartbeats"]])

    assert found == [["m1", "m2"], ["m2"], []]


async def test_a_prefix_is_found_in_every_shard(redis_url: str) -> None:
    async with opened(redis_url, shards=4):
        pass
    async with served(redis_url) as api:
        for number in range(30):
            await api.heartbeat(f"job {number:02}")
            await api.heartbeat(f"task {number:02}")

        assert await names(api, "prefix=job&limit=7") == [f"job {number:02}" for number in range(30)]
        assert (await api.get("/api/counts")).body["heartbeats"]["pending"] == 60


@pytest.mark.parametrize("prefix", ["", "x" * 101, "a%00b", "a%0Ab", "%E2%80%AEa"])
async def test_a_prefix_that_no_name_can_have_is_refused(api: Api, prefix: str) -> None:
    refused = await api.get(f"/api/heartbeats?prefix={prefix}")

    assert (refused.status, refused.error["field"]) == (422, "prefix")


async def test_counts_are_those_of_the_project_by_status_and_tag(api: Api, store: Database) -> None:
    made = [(await api.heartbeat(f"job {number}", tags=["x"] if number < 4 else []))["id"] for number in range(6)]
    await signal(store, made[0])
    await signal(store, made[1], signal="fail")
    await api.post(f"/api/heartbeats/{made[2]}/pause")
    elsewhere = {**ADMIN.headers, "X-Flatline-Project": (await members.create_project(store, "lab")).id}
    await api.post("/api/heartbeats", {"name": "theirs", "tags": ["x"]}, key=None, headers=elsewhere)

    by_status = {"pending": 3, "up": 1, "down": 1, "paused": 1}
    assert (await api.get("/api/counts")).body == {"heartbeats": by_status, "tagged": None}
    assert (await api.get("/api/counts?tag=x")).body == {"heartbeats": by_status, "tagged": 4}
    assert (await api.get("/api/counts?tag=never")).body["tagged"] == 0
    assert (await api.get("/api/counts?tag=x", key=None, headers=elsewhere)).body["tagged"] == 1
    assert (await api.get("/api/counts?tags=x")).error["field"] == "tags"
