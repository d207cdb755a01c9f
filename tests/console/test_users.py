"""Users, projects and members: who makes them, what may not be taken away, and that nobody reads a password."""

import re
from pathlib import Path
from typing import Any

import pytest

from console.users import PASSWORD_MAX, PASSWORD_MIN
from store import keys, members, users
from store.database import Database
from store.keys import DEFAULT_PROJECT
from tests.console import cast
from tests.console.cast import Actor
from tests.console.conftest import Answer, Api

PASSWORD = "correct horse battery"
ROOT = Path(__file__).parents[2]


async def ask(api: Api, actor: Actor, method: str, path: str, **body: Any) -> Answer:
    sent: dict[str, Any] = {"json": body} if body else {}
    return await api.call(method, path, key=None, headers=actor.headers, **sent)


async def test_an_operator_makes_changes_and_deletes_users(api: Api, store: Database) -> None:
    operator = await cast.signed_in(store, None, operator=True)

    made = await ask(api, operator, "POST", "/api/users", login="ada", password=PASSWORD)
    path = f"/api/users/{made.body['id']}"
    changed = await ask(api, operator, "PATCH", path, operator=True)
    listed = await ask(api, operator, "GET", "/api/users")
    deleted = await ask(api, operator, "DELETE", path)

    assert (made.status, made.body["login"], made.body["operator"]) == (201, "ada", False)
    assert (changed.status, changed.body) == (200, {**made.body, "operator": True})
    assert changed.body in listed.body["users"]
    assert (deleted.status, (await ask(api, operator, "GET", path)).status) == (204, 404)
    assert (await ask(api, operator, "POST", "/api/users", login="ada", password=PASSWORD)).status == 201


async def test_a_login_is_one_user_s(api: Api, store: Database) -> None:
    await cast.user(store, "ada")

    taken = await api.post("/api/users", {"login": "ada", "password": PASSWORD})

    assert (taken.status, taken.error["field"]) == (422, "login")
    assert [user.login for user in await users.page(store)] == ["ada"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"login": "Ada"}, "login"),
    ({"login": ""}, "login"),
    ({"login": "a" * 101}, "login"),
    ({"login": "a b"}, "login"),
    ({"password": "x" * (PASSWORD_MIN - 1)}, "password"),
    ({"password": "x" * (PASSWORD_MAX + 1)}, "password"),
    ({"password": 1}, "password"),
    ({"operator": "yes"}, "operator"),
    ({"role": "owner"}, "role"),
]


@pytest.mark.parametrize(("given", "field"), BAD)
async def test_a_user_is_held_to_its_limits(api: Api, given: dict[str, Any], field: str) -> None:
    refused = await api.post("/api/users", {"login": "ada", "password": PASSWORD, **given})

    assert (refused.status, refused.error["field"]) == (422, field)
    assert str(given.get("password", "\0")) not in refused.error["message"]


async def test_a_password_is_kept_as_argon2id_and_never_answered(api: Api, store: Database) -> None:
    made = await api.post("/api/users", {"login": "ada", "password": PASSWORD})
    record = await store.execute("HGET", keys.USERS, made.body["id"])

    assert b"$argon2id$v=19$" in record
    assert PASSWORD.encode() not in record
    for path in ("/api/users", f"/api/users/{made.body['id']}"):
        assert "argon2id" not in str((await api.get(path)).body)


async def test_an_operator_makes_projects_and_each_sees_their_own(api: Api, store: Database) -> None:
    ada, operator = await cast.user(store, "ada"), await cast.signed_in(store, None, operator=True)

    blue = (await ask(api, operator, "POST", "/api/projects", name="Blue", owner="ada")).body
    green = (await ask(api, operator, "POST", "/api/projects", name="Green")).body
    renamed = await ask(api, operator, "PATCH", f"/api/projects/{blue['id']}", name="Navy")
    hers = (await ask(api, await cast.session(store, ada), "GET", "/api/projects")).body["projects"]
    all_of_them = (await ask(api, operator, "GET", "/api/projects")).body["projects"]

    assert (blue["role"], green["role"], renamed.body["name"]) == (None, "owner", "Navy")
    assert hers == [{"id": blue["id"], "name": "Navy", "role": "owner"}]
    assert [(each["name"], each["role"]) for each in all_of_them] == [
        ("default", None),
        ("Green", "owner"),
        ("Navy", None),
    ]
    assert (await ask(api, operator, "PATCH", f"/api/projects/{'0' * 12}", name="x")).status == 404
    assert (await ask(api, operator, "POST", "/api/projects", name="x", owner="bob")).error["field"] == "owner"


async def test_the_default_project_is_always_there_and_may_be_renamed(api: Api) -> None:
    before = (await api.get("/api/projects")).body["projects"]
    changed = await api.patch("/api/projects/default", {"name": "Home"})

    assert before == [{"id": "default", "name": "default", "role": None}]
    assert changed.body == {"id": "default", "name": "Home", "role": None}
    assert (await api.get("/api/project")).body["name"] == "Home"


async def test_an_owner_adds_changes_and_removes_members(api: Api, store: Database) -> None:
    owner, ada = await cast.signed_in(store, "owner"), await cast.user(store, "ada")
    hers = await cast.session(store, ada)

    added = await ask(api, owner, "POST", "/api/members", login="ada", role="reader")
    reads = await ask(api, hers, "POST", "/api/heartbeats", name="x")
    changed = await ask(api, owner, "PATCH", f"/api/members/{ada.id}", role="member")
    writes = await ask(api, hers, "POST", "/api/heartbeats", name="x")
    listed = (await ask(api, owner, "GET", "/api/members")).body["members"]
    again = await ask(api, owner, "POST", "/api/members", login="ada", role="owner")
    removed = await ask(api, owner, "DELETE", f"/api/members/{ada.id}")

    assert (added.status, added.body) == (201, {"user": ada.id, "login": "ada", "role": "reader"})
    assert (reads.status, writes.status) == (403, 201)
    assert (changed.body["role"], again.status) == ("member", 422)
    assert {"user": ada.id, "login": "ada", "role": "member"} in listed
    assert (removed.status, (await ask(api, hers, "GET", "/api/heartbeats")).status) == (204, 403)
    assert (await ask(api, owner, "DELETE", f"/api/members/{ada.id}")).status == 404
    assert (await ask(api, owner, "POST", "/api/members", login="bob", role="reader")).error["field"] == "login"


async def test_the_last_owner_stays(api: Api, store: Database) -> None:
    owner = await cast.signed_in(store, "owner")
    assert owner.user is not None
    path = f"/api/members/{owner.user.id}"

    refused = [
        await ask(api, owner, "DELETE", path),
        await ask(api, owner, "PATCH", path, role="member"),
        await api.delete(f"/api/users/{owner.user.id}"),
    ]
    assert [(each.status, each.error["code"]) for each in refused] == [(409, "in_use")] * 3
    assert await members.owners(store, DEFAULT_PROJECT) == {owner.user.id}

    await cast.user(store, roles={DEFAULT_PROJECT: "owner"})
    assert (await ask(api, owner, "PATCH", path, role="member")).status == 200


async def test_of_two_owners_who_leave_at_once_one_stays(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is looked at and written in one transaction: who lost the race looks again."""
    first, second = [await cast.user(store, roles={DEFAULT_PROJECT: "owner"}) for _ in range(2)]
    watched = store.redis.pipeline
    raced = False

    def racing(*args: Any, **options: Any) -> Any:
        pipe = watched(*args, **options)
        execute = pipe.execute

        async def late(*given: Any, **named: Any) -> Any:
            nonlocal raced
            if not raced:
                raced = True
                await store.execute("HDEL", keys.MEMBERS + DEFAULT_PROJECT, second.id)
            return await execute(*given, **named)

        monkeypatch.setattr(pipe, "execute", late)
        return pipe

    monkeypatch.setattr(store.redis, "pipeline", racing)
    with pytest.raises(members.LastOwner):
        await members.set_role(store, DEFAULT_PROJECT, first.id, None)

    assert raced
    assert await members.owners(store, DEFAULT_PROJECT) == {first.id}


async def test_a_key_has_no_password_to_change(api: Api) -> None:
    refused = await api.patch("/api/me", {"current": PASSWORD, "password": PASSWORD})

    assert (refused.status, refused.error["code"]) == (403, "forbidden")


async def test_everybody_learns_who_they_are(api: Api, store: Database) -> None:
    named = (await api.get("/api/me")).body
    by_key = (await ask(api, await cast.key(store, "write"), "GET", "/api/me")).body
    reader = (await ask(api, await cast.signed_in(store, "reader"), "GET", "/api/me")).body

    assert (named["kind"], named["operator"], named["scopes"]) == ("admin", True, ["read", "write", "admin"])
    assert (by_key["kind"], by_key["name"], by_key["scopes"]) == ("key", "write", ["read", "write"])
    assert (reader["kind"], reader["role"], reader["scopes"]) == ("user", "reader", ["read"])


KEYS: list[tuple[dict[str, Any], str]] = [
    ({"scopes": []}, "scopes"),
    ({"scopes": ["all"]}, "scopes"),
    ({"scopes": ["read", "read"]}, "scopes"),
    ({"name": ""}, "name"),
]


@pytest.mark.parametrize(("given", "field"), KEYS)
async def test_a_key_is_held_to_its_limits(api: Api, given: dict[str, Any], field: str) -> None:
    refused = await api.post("/api/keys", {"name": "ci", "scopes": ["read"], **given})

    assert (refused.status, refused.error["field"]) == (422, field)


@pytest.mark.parametrize("schema", ["Me", "User", "OwnProject", "Membership", "ApiKey", "MadeApiKey", "MePatch"])
async def test_every_field_is_told_in_the_docs(api: Api, schema: str) -> None:
    pages = ((ROOT / "docs" / page).read_text() for page in ("api.md", "access.md"))
    told = {word for text in pages for word in re.findall(r'[`"](\w+)[`"]', text)}

    assert set(api.document["components"]["schemas"][schema]["properties"]) <= told


async def test_the_document_says_what_each_operation_takes(api: Api) -> None:
    paths = api.document["paths"]

    assert paths["/api/heartbeats"]["post"]["description"] == "Needs the scope write."
    assert paths["/api/users"]["get"]["description"] == "For operators of this server."
    assert paths["/api/heartbeats"]["get"]["security"] == [{"bearer": []}, {"session": []}]
    assert "429" in paths["/api/me"]["patch"]["responses"]
    assert [each["name"] for each in paths["/api/keys"]["get"]["parameters"]] == ["X-Flatline-Project"]
