from typing import Any

import pytest

from store import keys, plans
from store.database import Database
from tests.console.conftest import Api

GONE = "0" * 12


async def person(api: Api, name: str = "Ада", **fields: Any) -> dict[str, Any]:
    contacts = fields or {"contacts": [{"channel": (await api.channel())["id"]}]}
    answer = await api.post("/api/people", {"name": name, **contacts})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body
    return made


async def test_the_whole_life_of_a_person(api: Api) -> None:
    first, second = (await api.channel())["id"], (await api.channel())["id"]
    contacts = [{"channel": first, "wait": 0}, {"channel": second, "wait": 600}]
    made = await person(api, contacts=[{"channel": first}, contacts[1]])
    path = "/api/people/" + made["id"]

    assert made == {"id": made["id"], "name": "Ада", "contacts": contacts}
    assert (await api.get(path)).body == made
    assert (await api.get("/api/people")).body == {"people": [made], "next_cursor": None}

    renamed = {**made, "name": "Ада Л."}
    assert (await api.patch(path, {"name": "Ада Л."})).body == renamed
    assert (await api.patch(path, {"contacts": [{"channel": first}]})).body == {**renamed, "contacts": contacts[:1]}
    assert (await api.patch(path, {})).body == (await api.get(path)).body

    assert (await api.delete(path)).status == 204
    assert [(await api.get(path)).status, (await api.delete(path)).status] == [404, 404]
    assert (await api.patch(path, {"name": "x"})).error["message"] == "no such person"


async def test_people_are_listed_by_name_and_a_corrupt_record_hides_nobody_else(api: Api, store: Database) -> None:
    for name in ("bob", "Ada", "Cid"):
        await person(api, name)
    await store.execute("HSET", keys.PEOPLE + keys.DEFAULT_PROJECT, GONE, "{}")

    assert [each["name"] for each in (await api.get("/api/people")).body["people"]] == ["Ada", "bob", "Cid"]
    assert (await api.delete(f"/api/people/{GONE}")).status == 204


@pytest.mark.parametrize(
    ("contacts", "message"),
    [
        ([], "contacts must have 1 to 10 entries, got 0"),
        ([{"channel": "c" * 12, "wait": i} for i in range(11)], "contacts must have 1 to 10 entries, got 11"),
        ([{"channel": "x"}], "contacts[0][channel] must be the id of a channel"),
        ([{"channel": "c" * 12, "wait": -1}], "contacts[0][wait] must be between 0 and 86400 seconds"),
        ([{"channel": "c" * 12}, {"wait": 5}], "contacts[1] must have the field channel"),
        ([{"channel": "c" * 12, "wiat": 5}], 'contacts[0] must not have the field "wiat"; known are channel, wait'),
        (["c" * 12], "contacts[0] must be an object"),
        ("x", "contacts must be a valid list"),
        ([{"channel": "c" * 12, "wait": 60}], "contacts must begin with a wait of 0"),
        (
            [{"channel": f"{i:012}", "wait": wait} for i, wait in enumerate((0, 600, 300))],
            "no wait may be shorter than the one before",
        ),
        ([{"channel": "c" * 12, "wait": wait} for wait in (0, 5)], "contacts must not name the same channel twice"),
        ([{"channel": GONE}], f"contacts names {GONE}, and there is no such channel"),
    ],
)
async def test_contacts_that_cannot_be_told_are_refused(api: Api, contacts: Any, message: str) -> None:
    made = await person(api)
    refused = [
        await api.post("/api/people", {"name": "Bob", "contacts": contacts}),
        await api.patch("/api/people/" + made["id"], {"contacts": contacts}),
    ]

    assert [(answer.status, answer.error["field"]) for answer in refused] == [(422, "contacts")] * 2
    assert all(message in answer.error["message"] for answer in refused)
    assert (await api.get("/api/people")).body["people"] == [made]


async def test_a_person_has_a_name_and_contacts(api: Api) -> None:
    assert (await api.post("/api/people", {"name": "Bob"})).error["message"] == "contacts is required"
    assert (await api.post("/api/people", {"contacts": []})).status == 422
    assert (await api.post("/api/people", {"name": "Bob", "phone": "1"})).error["field"] == "phone"


async def test_who_is_in_use_cannot_be_deleted_and_the_answer_says_by_whom(api: Api) -> None:
    ada, bob = await person(api, "Ada"), await person(api, "Bob")
    away = {"person": bob["id"], "from": "2030-01-01T00:00:00Z", "until": "2030-01-02T00:00:00Z"}
    turns = {"name": "Nights", "people": [ada["id"]], "start": "2030-01-01", "overrides": [away]}
    schedule = (await api.post("/api/oncall", turns)).body
    policy = (await api.post("/api/policies", {"name": "Loud", "steps": [{"people": [ada["id"]]}]})).body

    refused = await api.delete("/api/people/" + ada["id"])
    assert (refused.status, refused.error["code"]) == (409, "in_use")
    assert 'in use by the on-call schedule "Nights", the policy "Loud"' in refused.error["message"]
    assert (await api.delete("/api/people/" + bob["id"])).status == 409

    await api.patch("/api/oncall/" + schedule["id"], {"people": [], "overrides": []})
    assert (await api.delete("/api/people/" + bob["id"])).status == 204
    assert 'in use by the policy "Loud"' in (await api.delete("/api/people/" + ada["id"])).error["message"]

    await api.delete("/api/policies/" + policy["id"])
    assert (await api.delete("/api/people/" + ada["id"])).status == 204


async def test_of_many_users_some_are_named_and_the_others_counted(api: Api) -> None:
    ada = await person(api)
    for number in range(7):
        await api.post("/api/policies", {"name": f"p{number}", "steps": [{"people": [ada["id"]]}]})

    assert '"p4" and 2 more: take it out there first' in (await api.delete("/api/people/" + ada["id"])).error["message"]


async def test_what_the_store_holds_is_what_the_notifier_reads(api: Api, store: Database) -> None:
    made = await person(api)
    read = (await plans.plan(store)).people[made["id"]]

    assert (read.name, read.contacts[0].channel) == (made["name"], made["contacts"][0]["channel"])
