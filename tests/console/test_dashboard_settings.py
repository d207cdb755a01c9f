"""The pages of settings without a browser: who sees what, what is shown once, what is asked first, deaf windows."""

import re
from html import unescape
from typing import Any

import pytest

from console.access import Role
from console.dashboard.system import KINDS as PROBLEM_NAMES
from console.passwords import Passwords
from store import api_keys, channels, deadlines, keys, members, problems, projects, users
from store.database import Database, opened
from store.keys import DEFAULT_PROJECT
from store.problems import KINDS
from tests.console import cast
from tests.console.cast import ADMIN, Actor
from tests.console.conftest import PUBLIC_URL, Api
from tests.console.test_dashboard_fleets import Pages, pages
from tests.servers import binaries, running

__all__ = ["pages"]

PASSWORD = "correct horse battery"
TOPICS = {
    "reader": ["/settings"],
    "member": ["/settings"],
    "owner": ["/settings", "/settings/members", "/settings/keys"],
    "operator": ["/settings", "/settings/users", "/settings/projects", "/system"],
}


def topics(page: str) -> list[str]:
    return re.findall(
        r'class="filter" href="([^"]*)"', page.partition('aria-label="Settings"')[2].partition("</nav>")[0]
    )


def forms(page: str) -> set[str]:
    return set(re.findall(r'method="post" action="([^"]*)"', page)) - {"/logout", "/login/project"}


async def actor_of(db: Database, name: str) -> Actor:
    if name == "operator":
        return await cast.signed_in(db, None, operator=True)
    roles: dict[str, Role] = {"reader": "reader", "member": "member", "owner": "owner"}
    return await cast.signed_in(db, roles[name])


@pytest.mark.parametrize("name", list(TOPICS))
async def test_each_sees_the_topics_and_forms_that_are_theirs(pages: Pages, store: Database, name: str) -> None:
    actor = await actor_of(store, name)
    status, page = await pages.get("/settings", actor)

    assert (status, topics(page)) == (200, TOPICS[name])
    rotates = {"/settings/rotate"} if name == "owner" else set()
    assert forms(page) == {"/settings/password"} | rotates
    for path in TOPICS["owner"] + TOPICS["operator"]:
        assert (await pages.get(path, actor))[0] == (200 if path in TOPICS[name] else 403), path


async def test_who_is_a_member_of_nothing_is_told_so_and_can_still_sign_out(pages: Pages, store: Database) -> None:
    stranger = await cast.signed_in(store, None)

    status, page = await pages.get("/", stranger)

    assert (status, "You are a member of no project yet." in page, 'action="/logout"' in page) == (403, True, True)
    assert re.findall(r'<a href="(/[^"]*)"', page.partition("<nav")[2].partition("</nav>")[0]) == ["/settings"]
    status, page = await pages.get("/settings", stranger)
    assert (status, forms(page)) == (200, {"/settings/password"})


async def test_the_ping_key_is_shown_on_demand_and_changed_after_a_question(pages: Pages, store: Database) -> None:
    owner = await cast.signed_in(store, "owner")
    key = await projects.ping_key(store)
    _, page = await pages.get("/settings", owner)

    hidden = page.partition('<details class="reveal">')[2].partition("</details>")[0]
    assert (page.count(f">{key}<"), hidden.count(f">{key}<")) == (1, 1)
    assert f'data-copy="{PUBLIC_URL}/ping/{key}"' in hidden
    assert "A new ping key?" in (await pages.post("/settings/rotate", actor=owner))[1]
    assert await projects.ping_key(store) == key
    assert await pages.post("/settings/rotate", {"sure": "yes"}, owner) == (303, "/settings?done=rotated")
    assert await projects.ping_key(store) != key


async def test_an_operator_names_the_project_and_makes_others(pages: Pages, store: Database) -> None:
    ada = await cast.user(store, "ada")
    assert await pages.post("/settings/name", {"name": "Home <1>"}) == (303, "/settings?done=name")
    assert (await members.project(store, DEFAULT_PROJECT)).name == "Home <1>"
    status, page = await pages.post("/settings/name", {"name": ""})
    assert (status, "name-fault" in page) == (422, True)

    assert await pages.post("/settings/projects", {"name": "Lab", "owner": " ADA "}) == (303, "/settings/projects")
    lab = next(each for each in await members.projects(store) if each.name == "Lab")
    assert await members.role_of(store, lab.id, ada.id) == "owner"
    status, page = await pages.post("/settings/projects", {"name": "Lab 2", "owner": "nobody"})
    assert (status, 'id="owner-fault"' in page, 'value="Lab 2"' in page) == (422, True, True)
    assert await pages.post(f"/settings/projects/{lab.id}", {"name": "Works"}) == (303, "/settings/projects")
    status, page = await pages.post(f"/settings/projects/{lab.id}", {"name": ""})
    assert (status, f'id="name-{lab.id}-fault"' in page) == (422, True)
    assert [each.name for each in await members.projects(store)] == ["Home <1>", "Works"]
    assert (await pages.post("/settings/projects/default2", {"name": "x"}))[0] == 404


async def test_members_are_added_given_roles_and_removed_but_the_last_owner_stays(
    pages: Pages, store: Database
) -> None:
    owner, ada = await cast.signed_in(store, "owner"), await cast.user(store, "ada")
    assert owner.user
    path = "/settings/members"

    assert await pages.post(path, {"login": " Ada", "role": "reader"}, owner) == (303, path)
    status, page = await pages.post(path, {"login": "ada", "role": "member"}, owner)
    assert (status, "is a member already" in page) == (422, True)
    status, page = await pages.post(path, {"login": "nobody", "role": "boss"}, owner)
    assert (status, re.findall(r'id="(\w+)-fault"', page)) == (422, ["role"])
    assert await pages.post(f"{path}/{ada.id}/role", {"role": "member"}, owner) == (303, path)
    assert (await pages.post(f"{path}/{ada.id}/role", {"role": "boss"}, owner))[0] == 422
    assert await members.role_of(store, DEFAULT_PROJECT, ada.id) == "member"
    for action, form in (("role", {"role": "reader"}), ("remove", {"sure": "yes"})):
        status, page = await pages.post(f"{path}/{owner.user.id}/{action}", form, owner)
        assert (status, "keeps its last owner" in page) == (409, True)
    assert "Remove this member?" in (await pages.post(f"{path}/{ada.id}/remove", actor=owner))[1]
    assert await pages.post(f"{path}/{ada.id}/remove", {"sure": "yes"}, owner) == (303, path)

    assert await members.of_project(store, DEFAULT_PROJECT) == {owner.user.id: "owner"}
    for action, form in (("role", {"role": "reader"}), ("role", {"role": "boss"}), ("remove", {"sure": "yes"})):
        assert (await pages.post(f"{path}/{ada.id}/{action}", form, owner))[0] == 404


async def test_an_api_key_is_shown_once_and_works_until_it_is_deleted(api: Api, pages: Pages, store: Database) -> None:
    owner = await cast.signed_in(store, "owner")
    path = "/settings/keys"
    status, page = await pages.post(path, [("name", "ci <x>"), ("scopes", "write"), ("scopes", "ping")], owner)
    key = unescape(page.partition('id="key">')[2].partition("<")[0])

    ((made,),) = [await api_keys.of_project(store, DEFAULT_PROJECT)]
    assert (status, made.name, set(made.scopes)) == (200, "ci <x>", {"ping", "read", "write"})
    assert f'data-copy="{key}"' in page
    assert (await api.get("/api/me", key=key)).body["name"] == "ci <x>"
    again = (await pages.get(path, owner))[1]
    assert ("ci &lt;x&gt;" in again, key in again) == (True, False)
    assert "Delete this API key?" in (await pages.post(f"{path}/{made.id}/delete", actor=owner))[1]
    assert (await api.get("/api/me", key=key)).status == 200
    assert await pages.post(f"{path}/{made.id}/delete", {"sure": "yes"}, owner) == (303, path)
    assert (await api.get("/api/me", key=key)).status == 401


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ({"name": "", "scopes": "read"}, "name"),
        ({"name": "x"}, "scopes"),
        ({"name": "x", "scopes": "root"}, "scopes"),
    ],
)
async def test_a_bad_key_is_not_made(pages: Pages, store: Database, form: dict[str, Any], fault: str) -> None:
    status, page = await pages.post("/settings/keys", form)

    assert (status, re.findall(r'id="(\w+)-fault"', page)) == (422, [fault])
    assert await api_keys.of_project(store, DEFAULT_PROJECT) == []


async def test_users_are_made_given_passwords_and_rights_and_deleted(pages: Pages, store: Database) -> None:
    path = "/settings/users"
    assert await pages.post(path, {"login": "Ada", "password": PASSWORD}) == (303, path)
    (ada,) = await users.page(store)
    assert (ada.login, ada.operator) == ("ada", False)
    status, page = await pages.post(path, {"login": "ada", "password": PASSWORD})
    assert (status, 'id="login-fault"' in page, PASSWORD in page) == (422, True, False)
    for form, fault in (({"login": "a b"}, "login"), ({"password": "short"}, "password")):
        status, page = await pages.post(path, {"login": "eve", "password": PASSWORD, **form})
        assert (status, re.findall(r'id="(\w+)-fault"', page)) == (422, [fault])

    mine = f"{path}/{ada.id}"
    assert await pages.post(mine, {"switches": "operator", "operator": "1"}) == (303, path)
    assert (await users.get(store, ada.id)).operator
    assert await pages.post(mine, {"password": PASSWORD + "!"}) == (303, path)
    changed = await users.get(store, ada.id)
    assert (changed.operator, changed.epoch == ada.epoch) == (True, False)
    assert await Passwords().fits(changed.password, PASSWORD + "!")
    assert (await pages.post(mine, {"password": "short"}))[0] == 422
    assert await pages.post(mine, {"switches": "operator"}) == (303, path)
    assert not (await users.get(store, ada.id)).operator

    await members.set_role(store, DEFAULT_PROJECT, ada.id, "owner")
    status, page = await pages.post(f"{mine}/delete", {"sure": "yes"})
    assert (status, "as its last owner" in page) == (409, True)
    await cast.signed_in(store, "owner")
    assert "Delete this user?" in (await pages.post(f"{mine}/delete"))[1]
    assert await pages.post(f"{mine}/delete", {"sure": "yes"}) == (303, path)
    assert [each.id for each in await users.page(store) if each.login == "ada"] == []
    assert (await pages.get(mine))[0] == 404


async def test_ones_own_password_is_changed_and_stands_on_no_page(pages: Pages, store: Database) -> None:
    hashed = await Passwords().hash(PASSWORD)
    user = await users.create(store, "ada", hashed, operator=False)
    here, there = await cast.session(store, user), await cast.session(store, user)
    path = "/settings/password"

    status, page = await pages.post(path, {"current": "wrong " + PASSWORD, "password": "another " + PASSWORD}, here)
    assert (status, 'id="current-fault"' in page, PASSWORD in page) == (422, True, False)
    status, page = await pages.post(path, {"current": PASSWORD, "password": "short"}, here)
    assert (status, 'id="password-fault"' in page, PASSWORD in page) == (422, True, False)
    status, to = await pages.post(path, {"current": PASSWORD, "password": "another " + PASSWORD}, here)

    assert (status, to) == (303, "/settings?done=password")
    status, page = await pages.get(to, here)
    assert (status, "Your password is changed." in page) == (200, True)
    assert (await pages.get("/settings", there))[0] == 303
    assert "Your password is changed." not in (await pages.get("/settings?done=%3Cb%3E", here))[1]


async def test_a_page_offers_to_switch_to_ones_other_projects_alone(pages: Pages, store: Database) -> None:
    lab_id, other_id = [(await members.create_project(store, name)).id for name in ("Lab", "Other")]
    user = await cast.user(store, roles={DEFAULT_PROJECT: "reader"})
    actor = await cast.session(store, user)
    switch = re.compile(r'<button name="project" value="(\w+)"( aria-current="true")?>')
    assert switch.findall((await pages.get("/fleets", actor))[1]) == []

    await members.set_role(store, lab_id, user.id, "owner")
    here = ' aria-current="true"'
    assert switch.findall((await pages.get("/fleets", actor))[1]) == [(DEFAULT_PROJECT, here), (lab_id, "")]
    assert await pages.post("/login/project", {"project": lab_id}, actor) == (303, "/")
    assert switch.findall((await pages.get("/settings", actor))[1]) == [(DEFAULT_PROJECT, ""), (lab_id, here)]
    assert (await pages.post("/login/project", {"project": other_id}, actor))[0] == 404


async def test_the_system_page_tells_problems_and_chooses_who_hears_of_them(pages: Pages, store: Database) -> None:
    assert set(PROBLEM_NAMES) == set(KINDS)
    ops = await channels.create(store, "Ops <1>", "webhook", {"url": "https://hooks.example.org/x", "secret": "s"})
    await problems.begin(store, "hold", "", "No <pulse> has come.", project=DEFAULT_PROJECT, channels=())
    _, page = await pages.get("/system")

    assert ("No &lt;pulse&gt; has come." in page, "Ops &lt;1&gt;" in page) == (True, True)
    assert await pages.post("/system/channels", {"told": "some", "channels": ops.id}) == (303, "/system")
    assert await problems.chosen_channels(store) == [ops.id]
    status, page = await pages.post("/system/channels", {"told": "some", "channels": "0" * 12})
    assert (status, "channels-fault" in page) == (422, True)
    assert await pages.post("/system/channels", {"told": "all", "channels": ops.id}) == (303, "/system")
    assert await problems.chosen_channels(store) == []


async def test_it_is_told_when_we_could_not_hear(api: Api, pages: Pages, store: Database) -> None:
    assert (await api.get("/api/deaf")).body == {"deaf": [], "next_cursor": None}
    assert "Never, as far as flatline remembers." in (await pages.get("/system"))[1]
    (shard,), now = store.shards, await store.now()
    await store.execute("ZADD", shard.deaf, 1_800_000_002_500, 1_800_000_000_000, 1_700_000_060_000, 1_700_000_000_000)
    await store.execute("HSET", shard.pulse, "at", now)
    first, second = (await api.get("/api/deaf")).body["deaf"]

    expected = {"from": "2027-01-15T08:00:00.000Z", "until": "2027-01-15T08:00:02.500Z", "duration_ms": 2_500}
    assert (first, second["duration_ms"]) == (expected, 60_000)
    _, page = await pages.get("/system")
    assert ('datetime="2027-01-15T08:00:00.000Z"' in page, "2.5 s" in page, "it lasts" in page) == (True, True, False)
    await store.execute("DEL", shard.deaf)
    await store.execute("HSET", shard.pulse, "at", now - 3_600_000)
    (lasting,) = (await api.get("/api/deaf")).body["deaf"]
    assert (lasting["until"], lasting["duration_ms"] >= 3_600_000) == (None, True)
    assert "it lasts" in (await pages.get("/system"))[1]


async def test_the_deaf_windows_of_all_shards_become_one_list_with_an_end() -> None:
    async with running(binaries()["valkey-9"]) as server, opened(server.url, shards=3) as db:
        one, two, three = db.shards
        await db.execute("ZADD", one.deaf, 20, 10, 60, 50)
        await db.execute("ZADD", two.deaf, 25, 15, 40, 30)
        await db.execute("HSET", three.pulse, "at", 55)
        assert await deadlines.deaf_times(db, 55 + deadlines.GAP_MS) == [(50, 60), (30, 40), (10, 25)]
        assert await deadlines.deaf_times(db, 56 + deadlines.GAP_MS) == [(50, None), (30, 40), (10, 25)]

        many = [part for n in range(deadlines.TIMES_MAX) for part in (n * 100 + 1_050, n * 100 + 1_000)]
        await db.execute("ZADD", one.deaf, *many)
        found = await deadlines.deaf_times(db, 55)
        assert (len(found), found[0], found[-1]) == (100, (10_900, 10_950), (1_000, 1_050))


async def test_keys_of_the_control_plane_are_as_they_were_after_looking(pages: Pages, store: Database) -> None:
    """Pages that are only looked at write nothing but the ping key that they show."""
    await projects.ping_key(store)
    before = {key: await store.execute("DUMP", key) for key in await store.execute("KEYS", "{flatline}:*")}
    for path in (
        "/settings",
        "/settings/members",
        "/settings/keys",
        "/settings/users",
        "/settings/projects",
        "/system",
    ):
        assert (await pages.get(path, ADMIN))[0] == 200

    after = {key: await store.execute("DUMP", key) for key in await store.execute("KEYS", "{flatline}:*")}
    assert (after, keys.META.encode() in before) == (before, True)
