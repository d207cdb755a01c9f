import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from store.database import Database
from tests.console.conftest import KEY, Api, signal


def ms(time: str) -> float:
    return datetime.fromisoformat(time).timestamp() * 1000


NO_END: list[dict[str, Any]] = [
    {},
    {"data": b""},
    {"data": b" \n"},
    {"data": b"null"},
    {"json": {}},
    {"json": {"for": None, "until": None}},
]


async def test_without_an_end_a_pause_lasts_until_it_is_resumed(api: Api) -> None:
    for body in NO_END:
        path = "/api/heartbeats/" + (await api.heartbeat())["id"]
        paused = await api.call("POST", path + "/pause", **body)

        assert (paused.status, paused.body["status"], paused.body["resume_at"]) == (200, "paused", None)


async def test_a_pause_can_last_for_so_many_seconds(api: Api) -> None:
    path = "/api/heartbeats/" + (await api.heartbeat())["id"]
    paused = (await api.post(path + "/pause", {"for": 90})).body

    assert abs(ms(paused["resume_at"]) - ms(paused["since"]) - 90_000) < 5_000


@pytest.mark.parametrize("zone", ["Z", "z", "+00:00"])
async def test_a_pause_can_last_until_a_time_and_a_second_one_sets_the_new_end(api: Api, zone: str) -> None:
    path = "/api/heartbeats/" + (await api.heartbeat())["id"]
    end = datetime.now(UTC).replace(microsecond=123_000) + timedelta(days=3)
    first = (await api.post(path + "/pause", {"until": f"{end:%Y-%m-%dT%H:%M:%S}.123{zone}"})).body
    second = (await api.post(path + "/pause", {"until": "2999-01-01t03:00:00.5+03:00"})).body
    third = (await api.post(path + "/pause")).body

    assert first["resume_at"] == f"{end:%Y-%m-%dT%H:%M:%S}.123Z"
    assert second["resume_at"] == "2999-01-01T00:00:00.500Z"
    assert third["resume_at"] is None
    assert first["since"] == second["since"] == third["since"]


BAD_ENDS: list[tuple[dict[str, Any], str | None, str]] = [
    ({"for": 0}, "for", "for must be between 1 and 316224000 seconds (3660 days), got 0"),
    ({"for": "60"}, "for", "for must be a whole number"),
    ({"for": True}, "for", "for must be a whole number"),
    ({"until": "2020-01-01T00:00:00Z"}, "until", "until must be in the future"),
    ({"until": "2999-01-01T00:00:00"}, "until", "until must be an RFC 3339 time with its zone"),
    ({"until": "2999-01-01"}, "until", "until must be an RFC 3339 time"),
    ({"until": "2999-02-30T00:00:00Z"}, "until", "until must be a day and a time that exist"),
    ({"until": "9999-12-31T23:59:59-23:59"}, "until", "until must be a day and a time that exist"),
    ({"until": 4_000_000_000}, "until", "until must be an RFC 3339 time"),
    ({"for": 60, "until": "2999-01-01T00:00:00Z"}, None, "either for or until, not both"),
    ({"seconds": 60}, "seconds", 'unknown field "seconds"'),
]


async def test_a_bad_end_is_refused_and_nothing_is_paused(api: Api) -> None:
    for body, field, message in BAD_ENDS:
        path = "/api/heartbeats/" + (await api.heartbeat())["id"]
        refused = await api.post(path + "/pause", body)

        assert (refused.status, refused.error["field"]) == (422, field)
        assert message in refused.error["message"]
        assert (await api.get(path)).body["status"] == "pending"


async def test_resuming_starts_the_clock_anew_and_does_nothing_to_what_runs(api: Api, store: Database) -> None:
    made = await api.heartbeat(period=60, grace=30)
    path = "/api/heartbeats/" + made["id"]
    await signal(store, made["id"])
    running = (await api.get(path)).body

    assert (await api.post(path + "/resume")).body == running
    await api.post(path + "/pause")
    resumed = (await api.post(path + "/resume", {"ignored": True})).body
    assert (resumed["status"], resumed["last_ping_at"]) == ("up", running["last_ping_at"])
    assert ms(resumed["next_deadline_at"]) - ms(resumed["since"]) == 90_000


async def test_what_was_never_pinged_is_pending_again_when_it_is_resumed(api: Api) -> None:
    path = "/api/heartbeats/" + (await api.heartbeat())["id"]
    await api.post(path + "/pause")

    assert (await api.post(path + "/resume")).body["status"] == "pending"


@pytest.mark.parametrize("header", ["X-Notifly-Key", "X-Gotify-Key", "x-notifly-key"])
async def test_push_clients_pause_and_resume_with_their_own_header(api: Api, header: str) -> None:
    path = "/heartbeat/" + (await api.heartbeat())["id"]
    key = {header: KEY}
    paused = await api.post(path + "/pause", {"for": 60}, key=None, headers=key)
    resumed = await api.post(path + "/resume", key=None, headers=key)

    assert (paused.status, paused.body["status"]) == (200, "paused")
    assert (resumed.status, resumed.body["status"]) == (200, "pending")
    assert (
        await api.post("/api" + path.replace("heartbeat", "heartbeats") + "/pause", key=None, headers=key)
    ).status == 401


async def test_a_ping_token_pauses_nothing(api: Api) -> None:
    made = await api.heartbeat()
    token = made["ping_url"].rpartition("/")[2]

    assert (await api.post(f"/heartbeat/{token}/pause")).status == 404
    assert (await api.post(f"/heartbeat/{made['id']}/pause", key=token)).status == 401
    assert (await api.get(f"/heartbeat/{made['id']}/pause")).headers["Allow"] == "POST"


async def test_many_pauses_at_once_are_all_answered(api: Api) -> None:
    path = "/api/heartbeats/" + (await api.heartbeat())["id"]
    answers = await asyncio.gather(*(api.post(path + "/pause", {"for": 60 + number}) for number in range(20)))

    assert {answer.body["status"] for answer in answers} == {"paused"}
