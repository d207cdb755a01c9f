"""Notes on incidents: who said what, in order, no more than there may be, gone when the incident goes."""

from html import escape
from typing import Any

import pytest

from rules import limits
from store import heartbeats, incidents, problems, restore, transfer
from store.database import Database, opened
from store.errors import NotFound, TooMany
from store.records import Heartbeat
from tests.conftest import Clock
from tests.console import cast
from tests.console.conftest import Api
from tests.servers import binaries, running
from tests.store.scene import make, send


async def failed(db: Database, at: int | None = None) -> tuple[Heartbeat, str]:
    """A heartbeat and its open incident; `at`: on a clock that is moved."""
    heartbeat = await make(db)
    await send(db, heartbeat, "fail", at=at or await db.now())
    incident = (await heartbeats.get(db, heartbeat.id)).incident
    assert incident
    return heartbeat, incident


async def test_notes_stand_with_the_incident_in_the_order_in_which_they_came(api: Api, store: Database) -> None:
    heartbeat, incident = await failed(store)
    path = f"/api/incidents/{incident}"
    assert (await api.get(path)).body["notes"] == []

    first = await api.post(f"{path}/notes", {"text": "disk is full\r\nfreed some", "by": "Ада"})
    await send(store, heartbeat, at=await store.now())
    second = await api.post(f"{path}/notes", {"text": "it was the log"})

    assert (first.status, first.body["by"], first.body["text"]) == (201, "Ада", "disk is full\nfreed some")
    assert (second.status, second.body["by"]) == (201, "admin")
    found = (await api.get(path)).body
    assert (found["status"], found["notes"]) == ("resolved", [first.body, second.body])
    (listed,) = (await api.get("/api/incidents")).body["incidents"]
    assert listed["notes"] == found["notes"]


async def test_a_note_is_by_whoever_calls(api: Api, store: Database) -> None:
    _, incident = await failed(store)
    member, key = await cast.signed_in(store, "member"), await cast.key(store, "write")
    for actor in (member, key):
        await api.post(f"/api/incidents/{incident}/notes", {"text": "seen"}, key=None, headers=actor.headers)

    assert member.user
    assert [note.by for note in (await incidents.get(store, incident)).notes] == [member.user.login, "write"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "text"),
    ({"text": ""}, "text"),
    ({"text": " \n\t"}, "text"),
    ({"text": "x" * (limits.NOTE_MAX + 1)}, "text"),
    ({"text": "a\x00b"}, "text"),
    ({"text": 7}, "text"),
    ({"text": "x", "by": "a\nb"}, "by"),
    ({"text": "x", "by": ""}, "by"),
    ({"text": "x", "at": 1}, "at"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
async def test_what_a_note_may_hold_is_bounded(api: Api, store: Database, body: dict[str, Any], field: str) -> None:
    _, incident = await failed(store)

    refused = await api.post(f"/api/incidents/{incident}/notes", body)

    assert (refused.status, refused.error["field"]) == (422, field)
    assert (await incidents.get(store, incident)).notes == ()


async def test_the_longest_note_is_kept_as_it_was_written(api: Api, store: Database) -> None:
    _, incident = await failed(store)
    text = "\n1\n" + "ж" * (limits.NOTE_MAX - 3)

    await api.post(f"/api/incidents/{incident}/notes", {"text": text})

    (note,) = (await incidents.get(store, incident)).notes
    assert note.text == text


async def test_an_incident_has_only_so_many_notes(api: Api, store: Database) -> None:
    _, incident = await failed(store)
    for number in range(limits.NOTES_MAX):
        assert await incidents.add_note(store, incident, "Ada", f"note {number}") == number + 1

    with pytest.raises(TooMany):
        await incidents.add_note(store, incident, "Ada", "one more")
    refused = await api.post(f"/api/incidents/{incident}/notes", {"text": "one more"})
    assert (refused.status, refused.error["code"]) == (403, "too_many")
    notes = (await incidents.get(store, incident)).notes
    assert [note.text for note in notes] == [f"note {number}" for number in range(limits.NOTES_MAX)]


async def test_a_note_that_was_sent_twice_is_one_and_may_be_said_again_later(db: Database, clock: Clock) -> None:
    _, incident = await failed(db, clock.now)
    assert await incidents.add_note(db, incident, "Ada", "still looking") == 1
    await clock.forward(incidents.REPEAT_MS / 1000 - 1)
    assert await incidents.add_note(db, incident, "Ada", "still looking") == 1
    assert await incidents.add_note(db, incident, "Bob", "still looking") == 2
    assert await incidents.add_note(db, incident, "Ada", "still looking") == 3
    await clock.forward(incidents.REPEAT_MS / 1000)
    assert await incidents.add_note(db, incident, "Ada", "still looking") == 4


async def test_notes_go_when_the_incident_goes(db: Database, clock: Clock) -> None:
    heartbeat, incident = await failed(db, clock.now)
    await incidents.add_note(db, incident, "Ada", "a thing of the past")
    await clock.forward(1)
    await send(db, heartbeat, at=clock.now)

    await clock.forward(31 * limits.DAY)
    another, _ = await failed(db, clock.now)
    await clock.forward(1)
    await send(db, another, at=clock.now)  # what closes an incident trims the oldest

    assert await incidents.get_many(db, [incident]) == [None]
    with pytest.raises(NotFound):
        await incidents.add_note(db, incident, "Ada", "too late")
    assert await db.execute("EXISTS", db.shard(incident).incident(incident)) == 0


async def test_a_problem_of_flatline_itself_takes_no_notes(api: Api, store: Database) -> None:
    await problems.begin(store, "hold", "", "No pulse has come.", project="default", channels=())
    (problem,) = await problems.open_problems(store)

    assert (await api.post(f"/api/incidents/{problem.incident}/notes", {"text": "x"})).status == 404
    assert (await incidents.get(store, problem.incident)).notes == ()


async def test_notes_travel_with_an_export(store: Database) -> None:
    _, incident = await failed(store)
    await incidents.add_note(store, incident, "Ада", "дело ясное\nв диске")
    lines = [line async for line in transfer.export(store)]

    async with running(binaries()["valkey-9"]) as server, opened(server.url, shards=3) as target:
        bringing = restore.Import(target)
        for line in lines:
            await bringing.take(line)
        await bringing.finish()
        there = (await incidents.get(target, incident)).notes

    assert there == (await incidents.get(store, incident)).notes != ()


async def test_a_note_is_written_on_the_list_of_incidents_and_shown_as_text(api: Api, store: Database) -> None:
    _, incident = await failed(store)
    member, reader = await cast.signed_in(store, "member"), await cast.signed_in(store, "reader")
    said = "<b>disk</b> is full\nagain"
    path = f"/incidents/{incident}/notes"

    sent = {"text": said, "back": "/incidents?status=open", "by": "somebody else"}
    answer = await api.call("POST", path, key=None, headers=member.headers, data=sent, allow_redirects=False)
    refused = await api.call("POST", path, key=None, headers=reader.headers, data=sent)
    empty = await api.call("POST", path, key=None, headers=member.headers, data={"text": " "})
    away = await api.call(
        "POST", path, key=None, headers=member.headers, data={"text": "x", "back": "//evil"}, allow_redirects=False
    )
    shown = (await api.call("GET", "/incidents", key=None, headers=member.headers)).body.decode()
    read = (await api.call("GET", "/incidents", key=None, headers=reader.headers)).body.decode()

    assert (answer.status, answer.headers["Location"]) == (303, f"/incidents?status=open#{incident}")
    assert (refused.status, empty.status, away.headers["Location"]) == (403, 422, f"/incidents#{incident}")
    assert member.user
    assert [note.by for note in (await incidents.get(store, incident)).notes] == [member.user.login] * 2
    assert escape(said) in shown
    assert escape(said) in read
    assert ('action="/incidents/' in shown, 'action="/incidents/' in read) == (True, False)
