"""Problems of flatline itself, as the API tells them, and the choice of whom they are told to."""

from typing import Any

import pytest

from store import problems
from store.database import Database
from tests.console.conftest import Api

NOBODY = "0" * 12


async def test_what_is_wrong_with_flatline_is_listed_while_it_lasts(api: Api, store: Database) -> None:
    assert (await api.get("/api/problems")).body == {"problems": [], "next_cursor": None}
    await problems.begin(store, "hold", "", "No pulse has come.", project="default", channels=())
    await problems.begin(store, "channel_broken", NOBODY, "It is.", project="default", channels=())

    first, second = (await api.get("/api/problems")).body["problems"]
    assert first.keys() == {"kind", "subject", "text", "opened_at"}
    assert (first["kind"], first["subject"], first["text"]) == ("hold", "", "No pulse has come.")
    assert (second["kind"], second["subject"]) == ("channel_broken", NOBODY)
    await problems.end(store, "hold", "")
    assert (await api.get("/api/problems")).body["problems"] == [second]


async def test_a_problem_is_no_incident(api: Api, store: Database) -> None:
    await problems.begin(store, "hold", "", "No pulse has come.", project="default", channels=())
    (problem,) = await problems.open_problems(store)

    assert (await api.get("/api/incidents")).body["incidents"] == []
    assert (await api.get("/api/incidents/" + problem.incident)).status == 404


async def test_operators_are_chosen_as_a_whole(api: Api, store: Database) -> None:
    made = [(await api.channel())["id"] for _ in range(3)]
    path = "/api/operator-channels"
    assert (await api.get(path)).body == {"channels": []}
    for chosen in ([made[2], made[0]], [made[1]], []):
        answer = await api.call("PUT", path, json={"channels": chosen})

        assert (answer.status, answer.body) == (200, {"channels": chosen})
        assert (await api.get(path)).body == {"channels": chosen}
        assert await problems.operator_channels(store) == sorted(chosen or made)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "channels is required"),
        ({"channels": None}, "channels must be"),
        ({"channels": ["x"]}, "must be the id of a channel"),
        ({"channels": [NOBODY]}, "there is no such channel"),
        ({"channels": [NOBODY, NOBODY]}, "must not name the same entry twice"),
        ({"channels": [], "channel": "x"}, 'unknown field "channel"'),
    ],
)
async def test_a_choice_that_cannot_be_told_is_refused_and_changes_nothing(
    api: Api, body: dict[str, Any], message: str
) -> None:
    made = await api.channel()
    path = "/api/operator-channels"
    await api.call("PUT", path, json={"channels": [made["id"]]})
    refused = await api.call("PUT", path, json=body)

    assert refused.status == 422
    assert message in refused.error["message"]
    assert (await api.get(path)).body == {"channels": [made["id"]]}


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/problems"), ("PUT", "/api/operator-channels")])
async def test_neither_is_shown_without_a_key(api: Api, method: str, path: str) -> None:
    assert (await api.call(method, path, key=None, json={"channels": []})).status == 401
