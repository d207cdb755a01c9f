from typing import Any

import pytest

from console.answers import rfc3339
from rules.windows import covers, ends
from store import plans
from store.database import Database
from tests.console.conftest import Api
from tests.console.test_people import GONE

NIGHTLY = {"days": [0, 1, 2, 3, 4], "start": "22:00", "end": "02:00", "timezone": "Europe/Berlin"}
ONCE = {"from": "2030-01-01T00:00:00.000Z", "until": "2030-01-02T00:00:00.000Z"}


async def window(api: Api, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/api/windows", {"name": "Patches", **fields})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body
    return made


async def test_the_whole_life_of_a_window(api: Api) -> None:
    heartbeat, fleet = (await api.heartbeat())["id"], (await api.fleet())["id"]
    made = await window(api, heartbeats=[heartbeat, fleet], tags=["db"], **ONCE)
    path = "/api/windows/" + made["id"]
    rest = {"everything": False, "days": [], "start": None, "end": None, "timezone": "UTC"}

    assert made == {
        "id": made["id"], "name": "Patches", "heartbeats": [heartbeat, fleet], "tags": ["db"], **ONCE, **rest,
    }  # fmt: skip
    assert (await api.get(path)).body == made
    assert (await api.get("/api/windows")).body == {"windows": [made], "next_cursor": None}
    assert (await api.patch(path, {"until": None})).body == {**made, "until": None}
    assert (await api.patch(path, {"heartbeats": []})).body == {**made, "until": None, "heartbeats": []}

    assert (await api.delete(path)).status == 204
    assert (await api.get(path)).error["message"] == "no such window"


async def test_without_times_a_window_begins_now_and_lasts_until_it_is_deleted(api: Api, store: Database) -> None:
    before, made, after = await store.now(), await window(api, tags=["db"]), await store.now()
    (saved,) = (await plans.plan(store)).windows

    assert rfc3339(before) <= made["from"] <= rfc3339(after)
    assert made["until"] is None
    assert ends(saved, after) == float("inf")
    assert (covers(saved, "x", ["db"]), covers(saved, "x", ["web"])) == (True, False)


async def test_a_window_may_recur(api: Api, store: Database) -> None:
    made = await window(api, everything=True, **{**NIGHTLY, "days": [4, 0, 2]})
    (saved,) = (await plans.plan(store)).windows

    assert [made[field] for field in ("days", "start", "end", "timezone")] == [
        [0, 2, 4],
        "22:00",
        "02:00",
        "Europe/Berlin",
    ]
    assert (made["from"], made["until"]) == (None, None)
    assert ends(saved, 1_893_535_200_000) is None  # Tuesday, 1 January 2030, 23:00 in Berlin
    assert ends(saved, 1_893_621_600_000) == 1_893_632_400_000  # a day later, until 02:00 of Thursday


async def test_a_one_off_window_can_become_a_recurring_one_and_the_other_way_round(api: Api) -> None:
    path = "/api/windows/" + (await window(api, everything=True, **ONCE))["id"]

    recurring = (await api.patch(path, {"from": None, "until": None, **NIGHTLY})).body
    assert (recurring["from"], recurring["days"]) == (None, NIGHTLY["days"])
    assert (await api.patch(path, {"end": "03:00"})).body == {**recurring, "end": "03:00"}

    once = (await api.patch(path, {"days": [], "start": None, "end": None, **ONCE})).body
    assert (once["from"], once["until"], once["days"], once["start"]) == (ONCE["from"], ONCE["until"], [], None)


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"tags": [], "everything": False}, "heartbeats", "a window must be meant for somebody"),
        ({"heartbeats": ["x"]}, "heartbeats", "heartbeats[0] must be the id of a heartbeat or a fleet"),
        ({"heartbeats": [GONE]}, "heartbeats", f"heartbeats names {GONE}, and there is no such heartbeat or fleet"),
        ({"heartbeats": [f"{n:012}" for n in range(501)]}, "heartbeats", "heartbeats must have at most 500 entries"),
        ({"tags": ["db", "db"]}, "tags", "tags must not name the same entry twice"),
        ({"everything": 1}, "everything", "everything must be a valid boolean"),
        ({"from": "9000-01-01T00:00:00Z"}, "from", "from must be a time from 1970 to 2199"),
        ({"from": "tomorrow"}, "from", "from must be an RFC 3339 time with its zone"),
        ({"from": ONCE["until"], "until": ONCE["from"]}, "until", "until must be after from"),
        ({"until": "2020-01-01T00:00:00Z"}, "until", "until must be after from, which is now unless you send it"),
        ({**NIGHTLY, **ONCE}, "days", "send either from and until, or days, start and end, not both"),
        ({**NIGHTLY, "from": None, "until": ONCE["until"]}, "days", "not both"),
        (
            {**NIGHTLY, "from": None, "until": None, "days": []},
            "days",
            "days, start and end belong together: send all three",
        ),
        ({**NIGHTLY, "from": None, "until": None, "end": None}, "days", "days, start and end belong together"),
        ({"days": [7]}, "days", "days[0] must be between 0 and 6, got 7"),
        ({"days": [0, 0]}, "days", "days must not name the same entry twice"),
        ({"start": "7 pm"}, "start", "start must be a time of day, 00:00 to 23:59"),
        ({"timezone": "Berlin"}, "timezone", "timezone must be a name such as Europe/Berlin or UTC"),
        ({"mute": True}, "mute", 'unknown field "mute"'),
    ],
)
async def test_a_window_that_cannot_be_kept_is_refused(
    api: Api, fields: dict[str, Any], field: str, message: str
) -> None:
    made = await window(api, tags=["db"])
    refused = [
        await api.post("/api/windows", {"name": "x", "tags": ["db"], **fields}),
        await api.patch("/api/windows/" + made["id"], fields),
    ]

    assert [(answer.status, answer.error["field"]) for answer in refused] == [(422, field)] * 2
    assert all(message in answer.error["message"] for answer in refused)
    assert (await api.get("/api/windows")).body["windows"] == [made]


async def test_a_heartbeat_that_is_gone_does_not_keep_its_window_from_being_changed(api: Api) -> None:
    heartbeat = (await api.heartbeat())["id"]
    made = await window(api, heartbeats=[heartbeat], **ONCE)
    await api.delete("/api/heartbeats/" + heartbeat)

    assert (await api.patch("/api/windows/" + made["id"], {"name": "Later"})).body == {**made, "name": "Later"}
