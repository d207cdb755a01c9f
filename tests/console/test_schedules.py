from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from rules import schedules
from store.database import Database
from tests.console.conftest import Api, signal
from tests.console.test_pause import ms


async def reckoned(db: Database, expression: str, timezone: str, grace: int) -> dict[str, Any]:
    """What a node says of a ping with a schedule."""
    due = schedules.due(expression, timezone, await db.now(), grace=grace)
    return {"rev": 1, "dues": f"{due.slot} {due.deadline}"}


async def test_a_schedule_tells_its_next_slot_while_one_is_awaited(api: Api, store: Database) -> None:
    made = await api.heartbeat(schedule="0 3 * * *", timezone="Asia/Tokyo", grace=600)
    path = f"/api/heartbeats/{made['id']}"
    said = await reckoned(store, "0 3 * * *", "Asia/Tokyo", 600)
    await signal(store, made["id"], **said)
    up = (await api.get(path)).body
    await signal(store, made["id"], signal="start", rid="r1")
    running = (await api.get(path)).body
    await signal(store, made["id"], signal="fail", **said)
    down = (await api.get(path)).body
    paused = (await api.post(path + "/pause")).body
    by_period = (await api.patch(path, {"schedule": None})).body

    assert (made["next_slot_at"], made["status"]) == (None, "pending")
    assert datetime.fromisoformat(up["next_slot_at"]).astimezone(UTC).strftime("%H:%M:%S") == "18:00:00"
    assert ms(up["next_deadline_at"]) - ms(up["next_slot_at"]) == 600_000
    assert (running["next_slot_at"], running["next_deadline_at"]) == (up["next_slot_at"], None)
    assert [(each["status"], each["next_slot_at"]) for each in (down, paused)] == [("down", None), ("paused", None)]
    assert (by_period["schedule"], by_period["timezone"], by_period["next_slot_at"]) == (None, "Asia/Tokyo", None)


async def test_by_period_there_are_no_slots(api: Api, store: Database) -> None:
    made = await api.heartbeat()
    await signal(store, made["id"])

    assert (await api.get(f"/api/heartbeats/{made['id']}")).body["next_slot_at"] is None


async def test_a_change_of_one_field_is_judged_with_the_other_that_is_kept(api: Api) -> None:
    """Berlin's clocks skip that moment each year, so there it would never come."""
    skipped = "Sun *-3-25..31 02:30"
    in_berlin = "/api/heartbeats/" + (await api.heartbeat(timezone="Europe/Berlin"))["id"]
    in_utc = "/api/heartbeats/" + (await api.heartbeat(schedule=skipped))["id"]
    refused = [
        await api.patch(in_berlin, {"schedule": skipped}),
        await api.patch(in_utc, {"timezone": "Europe/Berlin"}),
        await api.post("/api/heartbeats", {"name": "x", "schedule": skipped, "timezone": "Europe/Berlin"}),
    ]

    for answer in refused:
        assert (answer.status, answer.error["field"]) == (422, "schedule")
        assert "must come round" in answer.error["message"]
    assert (await api.get(in_berlin)).body["schedule"] is None
    assert (await api.get(in_utc)).body["timezone"] == "UTC"
    assert (await api.patch(in_berlin, {"schedule": skipped, "timezone": "UTC"})).body["schedule"] == skipped


async def test_what_is_no_schedule_or_no_zone_is_refused_and_nothing_is_changed(api: Api) -> None:
    made = await api.heartbeat(schedule="daily Europe/Berlin", timezone="Asia/Tokyo")
    path = f"/api/heartbeats/{made['id']}"
    refused = [
        await api.patch(path, {"timezone": "Mars"}),
        await api.patch(path, {"schedule": "soon"}),
        await api.patch(path, {"schedule": "soon", "timezone": "UTC"}),
        await api.patch(path, {"schedule": None, "timezone": "Mars"}),
        await api.post("/api/heartbeats", {"name": "x", "timezone": "Mars"}),
    ]

    assert [answer.error["field"] for answer in refused] == ["timezone", "schedule", "schedule", "timezone", "timezone"]
    assert (await api.get(path)).body == made
    assert (await api.patch(path, {"timezone": "UTC"})).body == {**made, "timezone": "UTC"}
    assert (await api.patch(path, {"schedule": "weekly"})).body["schedule"] == "weekly"
    assert (await api.patch("/api/heartbeats/0123456789ab", {"schedule": "weekly"})).status == 404


@pytest.mark.parametrize("misses", [1, 3])
async def test_a_preview_shows_slots_and_when_the_silence_after_each_is_an_incident(api: Api, misses: int) -> None:
    query: dict[str, Any] = {"schedule": "0 3 * * *", "timezone": "Asia/Tokyo", "grace": 60, "misses": misses}
    slots = (await api.get("/api/schedules/preview", params={**query, "count": 20})).body["slots"]
    days = [ms(slot["at"]) for slot in slots]

    assert len(slots) == 20
    assert timedelta(0) < datetime.fromisoformat(slots[0]["at"]) - datetime.now(UTC) <= timedelta(days=1)
    assert [later - day for day, later in pairwise(days)] == [86_400_000] * 19
    assert {slot["at"][11:] for slot in slots} == {"18:00:00.000Z"}
    assert {slot["local"][10:] for slot in slots} == {"T03:00:00+09:00"}
    assert {ms(slot["deadline_at"]) - ms(slot["at"]) for slot in slots} == {(misses - 1) * 86_400_000 + 60_000}


async def test_a_preview_with_the_defaults_shows_five_slots_in_utc_with_an_hour_of_grace(api: Api) -> None:
    slots = (await api.get("/api/schedules/preview", params={"schedule": "*:0/15\ndaily"})).body["slots"]

    assert len(slots) == 5
    assert all(slot["local"] == slot["at"].replace(".000Z", "+00:00") for slot in slots)
    assert {ms(slot["deadline_at"]) - ms(slot["at"]) for slot in slots} == {3_600_000}
