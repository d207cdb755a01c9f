"""Keys in headers: which are right, where they may stand, and what of them is kept."""

import pytest

from console.access import Scope
from console.api import TABLE
from console.auth import Keys
from console.routing import Row
from store import api_keys, keys, members
from store.database import Database
from store.keys import DEFAULT_PROJECT
from tests.console import cast
from tests.console.conftest import KEY, Api
from tests.console.dump import dump

IDS = {
    "heartbeat": "0" * 12,
    "slug": "nightly",
    "event": "1-0",
    "fleet": "0" * 12,
    "member": "sensor-1",
    "channel": "0" * 12,
    "incident": "0" * 12 + "-1",
    "delivery": "0" * 12 + "-1:" + "0" * 12,
    "person": "0" * 12,
    "oncall": "0" * 12,
    "policy": "0" * 12,
    "window": "0" * 12,
    "user": "0" * 12,
    "project": "0" * 12,
    "key": "0" * 12,
}
WRONG = [None, "x" * len(KEY), KEY[:-1], KEY + "x", KEY.upper(), "flw_" + "x" * 43]


async def test_every_route_asks_for_the_key(api: Api) -> None:
    for row in TABLE:
        await asks_for_the_key(api, row)


async def asks_for_the_key(api: Api, row: Row) -> None:
    path = row.path.format(**IDS)
    if row.needs == "open":
        assert (await api.call(row.method, path, key=None)).status == 200
        return
    for key in WRONG:
        refused = await api.call(row.method, path, key=key)
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert (refused.error["code"], refused.error["field"]) == ("unauthorized", None)
        assert KEY not in refused.error["message"]
    assert (await api.call(row.method, path)).status not in {401, 500}


SCHEMES: list[tuple[str, int]] = [
    (f"Bearer {KEY}", 200),
    (f"bearer {KEY}", 200),
    (f"BEARER  {KEY}", 200),
    (f"Basic {KEY}", 401),
    (KEY, 401),
    ("Bearer", 401),
    ("Bearer ", 401),
    (f"Bearer {KEY} {KEY}", 401),
]


async def test_the_scheme_is_bearer_in_any_case(api: Api) -> None:
    for authorization, status in SCHEMES:
        assert (await api.get("/api/heartbeats", key=None, headers={"Authorization": authorization})).status == status


async def test_the_key_is_taken_from_headers_only(api: Api) -> None:
    path = "/api/heartbeats"

    assert (await api.get(f"{path}?token={KEY}", key=None)).status == 401
    assert (await api.get(path, key=None, headers={"X-Notifly-Key": KEY})).status == 401


async def test_an_empty_key_opens_nothing(store: Database) -> None:
    with pytest.raises(ValueError, match="empty key"):
        Keys("", store, "http://127.0.0.1")


#: Scope, prefix of its keys, what reading, writing and ruling answer.
SCOPES: list[tuple[Scope, str, tuple[int, int, int]]] = [
    ("ping", "flp_", (403, 403, 403)),
    ("read", "flr_", (200, 403, 403)),
    ("write", "flw_", (200, 201, 403)),
    ("admin", "fla_", (200, 201, 200)),
]


@pytest.mark.parametrize(("scope", "prefix", "statuses"), SCOPES)
async def test_a_key_opens_what_its_scope_says(
    api: Api, scope: Scope, prefix: str, statuses: tuple[int, int, int]
) -> None:
    made = (await api.post("/api/keys", {"name": "ci", "scopes": [scope]})).body
    theirs = {"key": made["key"]}

    assert made["key"].startswith(prefix)
    reads = await api.get("/api/heartbeats", **theirs)
    writes = await api.post("/api/heartbeats", {"name": "x"}, **theirs)
    rules = await api.get("/api/keys", **theirs)
    assert (reads.status, writes.status, rules.status) == statuses
    assert (await api.get("/api/users", **theirs)).status == 403
    assert (await api.get("/api/me", **theirs)).body["scopes"] == made["scopes"]


async def test_a_key_for_pings_alone_learns_who_it_is_and_nothing_else(api: Api) -> None:
    key = (await api.post("/api/keys", {"name": "job", "scopes": ["ping"]})).body["key"]
    whole = [row for row in TABLE if row.method == "GET" and "{" not in row.path and row.needs != "open"]

    opened = {row.path for row in whole if (await api.get(row.path, key=key)).status != 403}

    assert opened == {"/api/me", "/api/projects"}


async def test_a_refusal_names_what_it_takes(api: Api, store: Database) -> None:
    reader = await cast.key(store, "read")

    writes = (await api.post("/api/heartbeats", {"name": "x"}, key=None, headers=reader.headers)).error
    rules = (await api.get("/api/users", key=None, headers=reader.headers)).error

    assert (writes["code"], writes["message"]) == ("forbidden", "this needs the scope write in this project")
    assert (rules["code"], rules["message"]) == ("forbidden", "only an operator of this server may do this")


async def test_a_deleted_key_opens_nothing(api: Api) -> None:
    made = (await api.post("/api/keys", {"name": "ci", "scopes": ["read"]})).body
    assert (await api.get("/api/heartbeats", key=made["key"])).status == 200

    assert (await api.delete(f"/api/keys/{made['id']}")).status == 204

    assert (await api.get("/api/heartbeats", key=made["key"])).status == 401
    assert (await api.get("/api/keys")).body["keys"] == []
    assert (await api.delete(f"/api/keys/{made['id']}")).status == 404


async def test_a_key_is_kept_hashed_and_shown_once(api: Api, store: Database) -> None:
    made = (await api.post("/api/keys", {"name": "ci", "scopes": ["admin"]})).body
    await api.get("/api/heartbeats", key=made["key"])

    listed = await api.get("/api/keys")
    everything = await dump(store)

    assert [(each["name"], each["scopes"]) for each in listed.body["keys"]] == [("ci", ["read", "write", "admin"])]
    assert "key" not in listed.body["keys"][0]
    assert made["id"] in everything
    for secret in (made["key"], made["key"][4:], KEY):
        assert secret not in everything


async def test_the_last_use_is_written_once_a_minute(api: Api, store: Database) -> None:
    _, text = await api_keys.create(store, DEFAULT_PROJECT, "ci", ["read"], "r")
    digest = api_keys.digest_of(text.encode())

    async def used_after(ms: int) -> int | None:
        """As if the last use were so much longer ago; what a use then leaves."""
        if ms:
            await store.execute("HINCRBY", keys.API_KEYS_USED, digest, -ms)
        await api.get("/api/heartbeats", key=text)
        (found,) = await api_keys.of_project(store, DEFAULT_PROJECT)
        return found.used_at

    (fresh,) = await api_keys.of_project(store, DEFAULT_PROJECT)
    first = await used_after(0)
    soon, later = await used_after(30_000), await used_after(30_000)

    assert (fresh.used_at, first is not None) == (None, True)
    assert soon == (first or 0) - 30_000
    assert (later or 0) >= (first or 0)


async def test_the_server_s_own_key_chooses_a_project_by_header(api: Api, store: Database) -> None:
    other = await members.create_project(store, "other")
    there = {"X-Flatline-Project": other.id}
    await api.heartbeat("here")

    made = await api.call("POST", "/api/heartbeats", headers=there, json={"name": "there"})

    assert made.status == 201
    assert [each["name"] for each in (await api.get("/api/heartbeats")).body["heartbeats"]] == ["here"]
    assert [each["name"] for each in (await api.get("/api/heartbeats", headers=there)).body["heartbeats"]] == ["there"]
    assert (await api.get("/api/heartbeats", headers={"X-Flatline-Project": "0" * 12})).status == 404
    assert (await api.get("/api/project", headers=there)).body["name"] == "other"
