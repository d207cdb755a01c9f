from itertools import pairwise
from typing import Any

import pytest

from console.answers import rfc3339
from store import plans
from store.database import Database
from tests.console.conftest import Api
from tests.console.test_people import GONE, person

TIMES = {"timezone": "Europe/Berlin", "days": 7, "handover": "09:00", "start": "2030-01-07"}  # a Monday


async def nights(api: Api, *people: dict[str, Any], **fields: Any) -> dict[str, Any]:
    turns = {"name": "Nights", "people": [each["id"] for each in people], **TIMES, **fields}
    answer = await api.post("/api/oncall", turns)
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body
    return made


async def test_the_whole_life_of_an_on_call_schedule(api: Api) -> None:
    ada, bob = await person(api, "Ada"), await person(api, "Bob")
    made = await nights(api, ada, bob)
    path = "/api/oncall/" + made["id"]
    expected = {"id": made["id"], "name": "Nights", "people": [ada["id"], bob["id"]], **TIMES, "overrides": []}

    assert made == expected
    assert (await api.get(path)).body == made
    assert (await api.get("/api/oncall")).body == {"oncall": [made], "next_cursor": None}

    away = {"person": bob["id"], "from": "2030-01-08T00:00:00.000Z", "until": "2030-01-09T00:00:00.000Z"}
    assert (await api.patch(path, {"overrides": [away]})).body == {**made, "overrides": [away]}
    assert (await api.patch(path, {"days": 1})).body == {**made, "overrides": [away], "days": 1}

    assert (await api.delete(path)).status == 204
    assert [(await api.get(path)).status, (await api.get(path + "/now")).status] == [404, 404]
    assert (await api.get(path + "/shifts")).error["message"] == "no such on-call schedule"


async def test_a_schedule_is_weekly_at_nine_in_utc_unless_told_otherwise(api: Api) -> None:
    made = (await api.post("/api/oncall", {"name": "x", "people": [], "start": "2030-01-07"})).body

    assert [made[field] for field in ("days", "handover", "timezone")] == [7, "09:00", "UTC"]


async def test_it_tells_who_is_on_call_at_any_time_and_until_when(api: Api) -> None:
    ada, bob = await person(api, "Ada"), await person(api, "Bob")
    away = {"person": bob["id"], "from": "2030-01-09T00:00:00Z", "until": "2030-01-09T12:00:00Z"}
    path = f"/api/oncall/{(await nights(api, ada, bob, overrides=[away]))['id']}/now"

    async def at(moment: str) -> tuple[Any, str]:
        answer = (await api.get(f"{path}?at={moment}")).body
        return answer["person"], answer["until"]

    assert await at("2030-01-01T00:00:00Z") == (None, "2030-01-07T08:00:00.000Z")
    assert await at("2030-01-07T09:00:00%2B01:00") == (ada, "2030-01-09T00:00:00.000Z")
    assert await at("2030-01-09T11:59:59Z") == (bob, "2030-01-09T12:00:00.000Z")
    assert await at("2030-01-09T12:00:00Z") == (ada, "2030-01-14T08:00:00.000Z")
    assert await at("2030-04-01T06:59:59Z") == (bob, "2030-04-01T07:00:00.000Z")
    assert await at("2030-04-01T07:00:00Z") == (ada, "2030-04-08T07:00:00.000Z")


async def test_now_is_redis_own(api: Api, store: Database) -> None:
    ada = await person(api)
    path = f"/api/oncall/{(await nights(api, ada, start='2020-01-01'))['id']}"
    before, answer, after = await store.now(), (await api.get(path + "/now")).body, await store.now()

    assert answer["person"] == ada
    assert rfc3339(before) <= answer["at"] <= rfc3339(after)


async def test_nobody_is_on_call_in_a_schedule_without_people(api: Api) -> None:
    path = f"/api/oncall/{(await nights(api))['id']}"

    now = (await api.get(f"{path}/now?at=2031-01-01T00:00:00Z")).body
    assert now == {"person": None, "at": "2031-01-01T00:00:00.000Z", "until": None}
    assert (await api.get(path + "/shifts")).body == {"shifts": [], "next_cursor": None}


async def test_shifts_are_shown_with_their_overrides(api: Api) -> None:
    ada, bob = await person(api, "Ada"), await person(api, "Bob")
    away = {"person": bob["id"], "from": "2030-01-09T00:00:00Z", "until": "2030-01-09T12:00:00Z"}
    path = f"/api/oncall/{(await nights(api, ada, bob, overrides=[away]))['id']}/shifts"

    shown = (await api.get(f"{path}?from=2030-01-01T00:00:00Z&until=2030-01-20T00:00:00Z")).body["shifts"]

    hand_overs = ["2030-01-07T08:00", "2030-01-09T00:00", "2030-01-09T12:00", "2030-01-14T08:00", "2030-01-20T00:00"]
    edges = [f"{moment}:00.000Z" for moment in hand_overs]
    assert [(shift["from"], shift["until"]) for shift in shown] == list(pairwise(edges))
    assert [shift["person"] for shift in shown] == [
        {"id": each["id"], "name": each["name"]} for each in (ada, bob, ada, bob)
    ]


async def test_four_weeks_are_shown_unless_asked_otherwise_and_a_year_at_most(api: Api) -> None:
    path = f"/api/oncall/{(await nights(api, await person(api)))['id']}/shifts"

    weeks = (await api.get(path + "?from=2030-01-07T08:00:00Z")).body["shifts"]
    days = (await api.get(path + "?from=2030-01-07T08:00:00Z&until=2031-01-08T08:00:00Z")).body["shifts"]
    too_long = await api.get(path + "?from=2030-01-07T08:00:00Z&until=2031-01-08T08:00:00.001Z")
    backwards = await api.get(path + "?from=2030-01-07T08:00:00Z&until=2030-01-07T08:00:00Z")

    assert (len(weeks), len(days)) == (4, 53)
    assert [(answer.status, answer.error["field"]) for answer in (too_long, backwards)] == [(422, "until")] * 2


@pytest.mark.parametrize(
    "query", ["now?at=9999-12-31T23:59:59Z", "shifts?from=2200-01-01T00:00:00Z", "now?at=0001-01-01T00:00:00Z"]
)
async def test_what_no_calendar_holds_is_refused(api: Api, query: str) -> None:
    path = f"/api/oncall/{(await nights(api, await person(api), timezone='Pacific/Apia'))['id']}"
    refused = await api.get(f"{path}/{query}")

    assert (refused.status, "must be a time from 1970 to 2199" in refused.error["message"]) == (422, True)


async def test_the_first_and_the_last_moment_of_all_can_be_asked_about(api: Api) -> None:
    path = f"/api/oncall/{(await nights(api, await person(api), timezone='Pacific/Apia'))['id']}"

    assert (await api.get(f"{path}/now?at=1970-01-01T00:00:00Z")).body["person"] is None
    assert (await api.get(f"{path}/now?at=2199-12-31T23:59:59.999Z")).body["person"]
    assert len((await api.get(f"{path}/shifts?from=2199-12-31T23:59:59.999Z")).body["shifts"]) == 5


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"name": ""}, "name", "name must have 1 to 100 characters"),
        ({"timezone": "Mars/Base"}, "timezone", "timezone must be a name such as Europe/Berlin or UTC"),
        ({"timezone": "Europe"}, "timezone", "timezone must be a name such as"),
        ({"people": ["x"]}, "people", "people[0] must be the id of a person"),
        ({"people": [GONE]}, "people", f"people names {GONE}, and there is no such person"),
        ({"people": [GONE, GONE]}, "people", "people must not name the same entry twice"),
        ({"days": 0}, "days", "days must be between 1 and 366 days, got 0"),
        ({"days": 1.5}, "days", "days must be a whole number"),
        ({"handover": "24:00"}, "handover", "handover must be a time of day, 00:00 to 23:59"),
        ({"handover": "9:00"}, "handover", "handover must be a time of day"),
        ({"start": "2030-02-30"}, "start", "start must be a day from 2000 to 2199, as in 2030-01-31"),
        ({"start": "1999-12-31"}, "start", "start must be a day"),
        ({"start": "2030-1-1"}, "start", "start must be a day"),
        ({"overrides": [{"person": GONE}]}, "overrides", "overrides[0] must have the field from"),
        (
            {"overrides": [{"person": GONE, "from": "2030-01-01", "until": "2030-01-02T00:00:00Z"}]},
            "overrides",
            "overrides[0][from] must be an RFC 3339 time",
        ),
        (
            {"overrides": [{"person": GONE, "from": "2030-01-02T00:00:00Z", "until": "2030-01-02T00:00:00Z"}]},
            "overrides",
            "overrides[0] must end after it begins",
        ),
        (
            {"overrides": [{"person": GONE, "from": "2030-01-02T00:00:00Z", "until": "2030-01-03T00:00:00Z"}]},
            "overrides",
            f"overrides names {GONE}, and there is no such person",
        ),
        (
            {"overrides": [{"person": GONE, "from": "2030-01-02T00:00:00Z", "until": "2030-01-03T00:00:00Z"}] * 101},
            "overrides",
            "overrides must have 0 to 100 entries, got 101",
        ),
        ({"shift": 7}, "shift", 'unknown field "shift"'),
    ],
)
async def test_turns_that_cannot_be_reckoned_are_refused(
    api: Api, changes: dict[str, Any], field: str, message: str
) -> None:
    made = await nights(api)
    refused = [
        await api.post("/api/oncall", {"name": "x", "people": [], **TIMES, **changes}),
        await api.patch("/api/oncall/" + made["id"], changes),
    ]

    assert [(answer.status, answer.error["field"]) for answer in refused] == [(422, field)] * 2
    assert all(message in answer.error["message"] for answer in refused)
    assert (await api.get("/api/oncall")).body["oncall"] == [made]


async def test_a_schedule_that_a_policy_names_cannot_be_deleted(api: Api) -> None:
    made = await nights(api)
    policy = (await api.post("/api/policies", {"name": "Loud", "steps": [{"schedules": [made["id"]]}]})).body
    refused = await api.delete("/api/oncall/" + made["id"])

    assert (refused.status, refused.error["code"]) == (409, "in_use")
    assert 'this on-call schedule is in use by the policy "Loud"' in refused.error["message"]

    await api.delete("/api/policies/" + policy["id"])
    assert (await api.delete("/api/oncall/" + made["id"])).status == 204


async def test_who_was_deleted_behind_our_back_is_nobody(api: Api, store: Database) -> None:
    ada = await person(api)
    path = f"/api/oncall/{(await nights(api, ada))['id']}"
    await plans.PEOPLE.delete(store, ada["id"])

    assert (await api.get(path + "/now?at=2030-01-08T00:00:00Z")).body["person"] is None
    shown = (await api.get(path + "/shifts?from=2030-01-08T00:00:00Z")).body["shifts"]
    assert shown[0]["person"] == {"id": ada["id"], "name": None}
