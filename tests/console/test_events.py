from typing import Any

from store import events
from store.database import Database
from tests.console.conftest import Api, signal
from tests.console.test_pause import ms

PAGE = b"<script>alert(1)</script>\xff\0"


async def test_events_come_newest_first_with_all_that_a_ping_told(api: Api, store: Database) -> None:
    made = await api.heartbeat()
    path = f"/api/heartbeats/{made['id']}/events"
    await signal(store, made["id"], signal="start", age_s=3, rid="r1")
    sent: dict[str, Any] = {"sender": b"2001:db8::1", "agent": b"curl\xff", "output": PAGE, "exit_status": "3"}
    await signal(store, made["id"], signal="fail", age_s=1, rid="r1", **sent)
    page = (await api.get(path)).body
    down, fail, start, created = page["events"]

    assert page["next_cursor"] is None
    assert fail.items() >= {
        "kind": "fail", "exit_status": "3", "run": "r1", "size": len(PAGE), "has_output": True,
        "client": "2001:db8::1", "user_agent": "curl\ufffd", "cause": None, "until": None,
    }.items()  # fmt: skip
    assert fail["duration_ms"] == ms(fail["at"]) - ms(start["at"]) >= 2_000
    assert (down["kind"], down["cause"], down["at"]) == ("down", "failure", fail["at"])
    assert start.items() >= {"kind": "start", "duration_ms": None, "exit_status": None, "has_output": False}.items()
    assert created.items() >= {"kind": "created", "at": made["created_at"], "client": None, "size": 0}.items()


async def test_pages_of_events_walk_the_whole_log(api: Api, store: Database) -> None:
    made = await api.heartbeat()
    for age in range(9, 0, -1):
        await signal(store, made["id"], signal="log", age_s=age)
    seen: list[str] = []
    params = {"limit": "3"}
    for _ in range(4):
        page = (await api.get(f"/api/heartbeats/{made['id']}/events", params=params)).body
        seen += [event["id"] for event in page["events"]]
        params["cursor"] = page["next_cursor"] or ""

    assert page["next_cursor"] is None
    assert len(seen) == len(set(seen)) == 10
    assert seen == [event.id for event in (await events.page(store, made["id"]))[0]]


async def test_an_output_is_answered_as_it_came_and_cannot_become_a_page(api: Api, store: Database) -> None:
    made = await api.heartbeat()
    path = f"/api/heartbeats/{made['id']}/events"
    await signal(store, made["id"], signal="fail", output=PAGE)
    (event,) = [event for event in (await api.get(path)).body["events"] if event["has_output"]]
    answer = await api.get(f"{path}/{event['id']}/output")

    assert (answer.status, answer.body) == (200, PAGE)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_what_is_not_there_is_not_found(api: Api, store: Database) -> None:
    path = f"/api/heartbeats/{(await api.heartbeat())['id']}/events"
    (created,) = (await api.get(path)).body["events"]
    for missing in (
        "/api/heartbeats/0123456789ab/events",
        "/api/heartbeats/0123456789ab/events/1-0/output",
        f"{path}/{created['id']}/output",
        f"{path}/1-0/output",
        f"{path}/0-0/output",
        f"{path}/{'9' * 30}-0/output",
        f"{path}/+/output",
        f"{path}/{created['id']}",
    ):
        answer = await api.get(missing)
        assert (answer.status, answer.error["code"]) == (404, "not_found"), missing
