from typing import Any

import pytest

from rules import policies
from store import plans
from store.database import Database
from tests.console.conftest import Api
from tests.console.test_oncall import nights
from tests.console.test_people import GONE, person


async def test_the_whole_life_of_a_policy(api: Api) -> None:
    channel, ada = (await api.channel())["id"], await person(api)
    schedule = await nights(api, ada)
    steps = [
        {"wait": 0, "channels": [channel], "people": [], "schedules": []},
        {"wait": 300, "channels": [], "people": [ada["id"]], "schedules": [schedule["id"]]},
    ]
    given = {"name": "Loud", "steps": steps, "repeat": 2, "repeat_after": 600}
    made = (await api.post("/api/policies", given)).body
    path = "/api/policies/" + made["id"]

    assert made == {"id": made["id"], **given}
    assert (await api.get(path)).body == made
    assert (await api.get("/api/policies")).body == {"policies": [made], "next_cursor": None}
    assert (await api.patch(path, {"repeat": 0})).body == {**made, "repeat": 0}
    changed = {**made, "repeat": 0, "steps": steps[:1]}
    assert (await api.patch(path, {"steps": [{"channels": [channel]}]})).body == changed

    assert (await api.delete(path)).status == 204
    assert (await api.patch(path, {"name": "x"})).error["message"] == "no such policy"


async def test_what_is_not_sent_has_a_default(api: Api) -> None:
    channel = (await api.channel())["id"]
    made = (await api.post("/api/policies", {"name": "x", "steps": [{"channels": [channel]}]})).body

    assert (made["repeat"], made["repeat_after"]) == (0, 300)
    assert made["steps"] == [{"wait": 0, "channels": [channel], "people": [], "schedules": []}]


async def test_the_notifier_walks_what_was_saved(api: Api, store: Database) -> None:
    channel = (await api.channel())["id"]
    steps = [{"channels": [channel]}, {"channels": [channel], "wait": 60}]
    made = (await api.post("/api/policies", {"name": "x", "steps": steps, "repeat": 1, "repeat_after": 90})).body
    saved = (await plans.plan(store)).policies[made["id"]]

    assert policies.next_position(saved, "") == ("0.1", 60)
    assert policies.next_position(saved, "0.1") == ("1.0", 90)


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"name": "a\nb"}, "name", "name must have no control characters"),
        ({"steps": []}, "steps", "steps must have 1 to 20 entries, got 0"),
        ({"steps": [{"channels": ["c" * 12]}] * 21}, "steps", "steps must have 1 to 20 entries, got 21"),
        ({"steps": [{"wait": 5}]}, "steps", "steps[0] must name at least one channel, person or on-call schedule"),
        (
            {"steps": [{"wait": 604_801, "people": [GONE]}]},
            "steps",
            "steps[0][wait] must be between 0 and 604800 seconds",
        ),
        ({"steps": [{"oncall": [GONE]}]}, "steps", 'steps[0] must not have the field "oncall"'),
        ({"steps": [{"people": ["x"]}]}, "steps", "steps[0][people][0] must be the id of a person"),
        ({"steps": [{"people": [GONE, GONE]}]}, "steps", "steps[0][people] must not name the same entry twice"),
        (
            {"steps": [{"people": [f"{number:012}" for number in range(21)]}]},
            "steps",
            "steps[0][people] must have at most 20 entries, got 21",
        ),
        ({"steps": [{"channels": [GONE]}]}, "steps", f"steps names {GONE}, and there is no such channel"),
        ({"steps": [{"people": [GONE]}]}, "steps", f"steps names {GONE}, and there is no such person"),
        ({"steps": [{"schedules": [GONE]}]}, "steps", f"steps names {GONE}, and there is no such on-call schedule"),
        ({"repeat": 10}, "repeat", "repeat must be between 0 and 9, got 10"),
        ({"repeat_after": 59}, "repeat_after", "repeat_after must be between 60 and 86400 seconds"),
        ({"setps": []}, "setps", 'did you mean "steps"?'),
    ],
)
async def test_a_policy_that_cannot_be_carried_out_is_refused(
    api: Api, changes: dict[str, Any], field: str, message: str
) -> None:
    steps = [{"channels": [(await api.channel())["id"]]}]
    made = (await api.post("/api/policies", {"name": "x", "steps": steps})).body
    refused = [
        await api.post("/api/policies", {"name": "y", "steps": steps, **changes}),
        await api.patch("/api/policies/" + made["id"], changes),
    ]

    assert [(answer.status, answer.error["field"]) for answer in refused] == [(422, field)] * 2
    assert all(message in answer.error["message"] for answer in refused)
    assert (await api.get("/api/policies")).body["policies"] == [made]
