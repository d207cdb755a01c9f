"""One thing done with many heartbeats by one call."""

from typing import Any

import pytest

from console.app import create_app
from console.bulk import IDS_MAX
from store import events, heartbeats, members
from store.database import Database
from store.errors import TooMany
from tests.console.cast import ADMIN
from tests.console.conftest import Api, serving, settings, signal

PATH = "/api/heartbeats/bulk"
NOBODY = "0" * 12


async def some(api: Api, count: int, **given: Any) -> list[str]:
    return [(await api.heartbeat(f"job {number}", **given))["id"] for number in range(count)]


async def act(api: Api, action: str, ids: list[str], **more: Any) -> Any:
    answer = await api.post(PATH, {"action": action, "ids": ids, **more})
    assert answer.status == 200, answer.body
    return answer.body


async def of_all(api: Api, field: str) -> list[Any]:
    return [each[field] for each in (await api.get("/api/heartbeats")).body["heartbeats"]]


async def test_many_are_paused_resumed_and_deleted_on_every_server(db: Database) -> None:
    async with serving(create_app(db, settings(db.url))) as api:
        ids = await some(api, 60)
        paused = await act(api, "pause", ids[:50])
        statuses = await of_all(api, "status")
        resumed = await act(api, "resume", ids)
        after = await of_all(api, "status")
        deleted = await act(api, "delete", ids[10:])
        left = await of_all(api, "id")

    assert paused == {"done": 50, "failed": []}
    assert (statuses.count("paused"), statuses.count("pending")) == (50, 10)
    assert (resumed, set(after)) == ({"done": 60, "failed": []}, {"pending"})
    assert (deleted, sorted(left)) == ({"done": 50, "failed": []}, sorted(ids[:10]))


async def test_a_pause_of_many_has_one_end(api: Api, store: Database) -> None:
    ids = await some(api, 3)
    before = await store.now()
    await act(api, "pause", ids, **{"for": 3_600})
    (end,) = {(await heartbeats.get(store, id_)).resume_at or 0 for id_ in ids}
    at = "2190-01-31T09:00:00.000Z"
    await act(api, "pause", ids[:1], until=at)

    assert before + 3_600_000 <= end <= await store.now() + 3_600_000
    assert (await api.get(f"/api/heartbeats/{ids[0]}")).body["resume_at"] == at


async def test_many_are_tagged_and_untagged_and_keep_their_other_tags(api: Api, store: Database) -> None:
    ids = await some(api, 3, tags=["own"])
    await act(api, "tag", ids, tags=["night", "own"])
    tagged = await of_all(api, "tags")
    again = await act(api, "tag", ids, tags=["night"])
    await act(api, "untag", ids[:2], tags=["own", "never"])

    assert tagged == [["own", "night"]] * 3
    assert await of_all(api, "tags") == [["night"], ["night"], ["own", "night"]]
    assert again["done"] == 3
    assert [event.kind for event in (await events.page(store, ids[2]))[0]] == ["edited", "created"]


async def test_what_one_refuses_the_others_do_and_it_says_why(api: Api, store: Database) -> None:
    full = (await api.heartbeat(tags=[f"t{number}" for number in range(20)]))["id"]
    elsewhere = {**ADMIN.headers, "X-Flatline-Project": (await members.create_project(store, "lab")).id}
    theirs = (await api.post("/api/heartbeats", {"name": "theirs"}, key=None, headers=elsewhere)).body["id"]
    (ours,) = await some(api, 1)
    done = await act(api, "tag", [full, NOBODY, ours, theirs], tags=["x"])

    assert done == {
        "done": 1,
        "failed": [
            {"id": full, "code": "too_many", "message": "a heartbeat has at most 20 tags"},
            {"id": NOBODY, "code": "not_found", "message": "no such heartbeat"},
            {"id": theirs, "code": "not_found", "message": "no such heartbeat"},
        ],
    }
    assert (await act(api, "delete", [theirs, ours]))["done"] == 1
    assert (await heartbeats.get(store, theirs)).settings.tags == ()


async def test_one_that_is_deleted_meanwhile_is_no_error_of_the_others(
    api: Api, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await some(api, 3)
    pause = heartbeats.pause

    async def pause_one_too_late(db: Database, id_: str, until: int | None = None) -> Any:
        if id_ == ids[1]:
            await heartbeats.delete(db, id_)
        return await pause(db, id_, until)

    monkeypatch.setattr(heartbeats, "pause", pause_one_too_late)
    done = await act(api, "pause", ids)

    assert (done["done"], [each["id"] for each in done["failed"]]) == (2, [ids[1]])


async def test_a_thousand_go_at_once_and_one_more_is_too_many(api: Api) -> None:
    ids = [f"{number:012x}" for number in range(IDS_MAX)]
    done = await act(api, "pause", ids)
    refused = await api.post(PATH, {"action": "pause", "ids": [*ids, "f" * 12]})

    assert (done["done"], [each["id"] for each in done["failed"]]) == (0, ids)
    assert (refused.status, refused.error["message"]) == (422, "ids must have at most 1000 entries, got 1001")
    assert await act(api, "pause", []) == {"done": 0, "failed": []}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"action": "burn", "ids": []}, "action must be"),
        ({"ids": []}, "action is required"),
        ({"action": "pause"}, "ids is required"),
        ({"action": "pause", "ids": ["x"]}, "ids[0] must be the id of a heartbeat"),
        ({"action": "pause", "ids": [NOBODY, NOBODY]}, "ids must not name the same entry twice"),
        ({"action": "pause", "ids": [], "for": 60, "until": "2190-01-31T09:00:00Z"}, "either for or until"),
        ({"action": "pause", "ids": [], "until": "2001-01-31T09:00:00Z"}, "until must be in the future"),
        ({"action": "resume", "ids": [], "for": 60}, "not with resume"),
        ({"action": "delete", "ids": [], "tags": ["x"]}, "send tags with"),
        ({"action": "tag", "ids": []}, "send tags with"),
        ({"action": "untag", "ids": [], "tags": []}, "send tags with"),
    ],
)
async def test_what_makes_no_sense_changes_nothing(api: Api, body: dict[str, Any], message: str) -> None:
    refused = await api.post(PATH, body)

    assert refused.status == 422
    assert message in refused.error["message"]


async def test_those_that_are_up_stay_so_when_they_are_resumed(api: Api, store: Database) -> None:
    up, paused = await some(api, 2)
    await signal(store, up)
    await act(api, "pause", [paused])
    assert await act(api, "resume", [up, paused]) == {"done": 2, "failed": []}

    assert next(event.kind for event in (await events.page(store, up))[0]) != "resumed"
    assert await of_all(api, "status") == ["up", "pending"]
    with pytest.raises(TooMany):
        await heartbeats.tag(store, up, [f"t{number}" for number in range(21)])
