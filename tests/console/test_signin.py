"""/login and /logout: what signs in, how long it lasts, what ends it, and that nobody can do it for another."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any

import aiohttp
import argon2
import orjson
import pytest

from console import passwords
from console.app import create_app
from console.attempts import MOST, site_of
from console.errors import Unavailable
from flatline import up
from store import api_keys, errors, keys, members, sessions
from store.api_keys import digest_of
from store.database import Database
from tests.console import cast
from tests.console.cast import ADMIN, COOKIE, OURS, Actor
from tests.console.conftest import KEY, Api, serving, settings
from tests.console.dump import dump

PASSWORD = "correct horse battery"
ME = "/api/me"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


class Answered:
    """What a page answered, and the session that it began."""

    def __init__(self, answer: aiohttp.ClientResponse, text: str) -> None:
        self.status, self.headers, self.text = answer.status, answer.headers, text
        self.cookie = answer.headers.get("Set-Cookie", "")
        self.session = self.cookie.partition(";")[0].partition("=")[2]

    @property
    def actor(self) -> Actor:
        assert self.session, self.text
        return Actor({"Cookie": f"{COOKIE}={self.session}", **OURS})


class Browser:
    def __init__(self, http: aiohttp.ClientSession, api: Api) -> None:
        self._http, self._url = http, api.url

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **form: str) -> Answered:
        sent = OURS if headers is None else headers
        async with self._http.request(
            method, self._url + path, headers=sent, data=form or None, allow_redirects=False
        ) as answer:
            return Answered(answer, await answer.text())

    async def sign_in(self, **form: str) -> Answered:
        return await self.ask("POST", "/login", None, **form)


@pytest.fixture
def browser(http: aiohttp.ClientSession, api: Api) -> Browser:
    return Browser(http, api)


async def ada(api: Api, **settings: Any) -> str:
    """Makes the user and answers her id."""
    made = await api.post("/api/users", {"login": "ada", "password": PASSWORD, **settings})
    assert made.status == 201, made.body
    id_: str = made.body["id"]
    return id_


async def status(api: Api, actor: Actor) -> int:
    return (await api.get(ME, key=None, headers=actor.headers)).status


async def test_the_link_of_the_start_signs_in_once(api: Api, store: Database, browser: Browser) -> None:
    link = await up._link(store, api.url)
    assert link is not None
    path = link.removeprefix(api.url)

    await browser.ask("HEAD", path)
    first, second = await browser.ask("GET", path), await browser.ask("GET", path)

    assert (first.status, first.headers["Location"]) == (303, "/")
    me = (await api.get(ME, key=None, headers=first.actor.headers)).body
    assert (me["kind"], me["name"], me["operator"], me["user"]) == ("admin", "admin", True, None)
    assert (second.status, second.cookie) == (403, "")
    assert "used before" in second.text
    assert "each start prints a new link" in second.text
    assert path.partition("token=")[2] not in second.text


async def test_the_link_ends_by_itself_and_is_offered_as_long_as_there_are_no_users(api: Api, store: Database) -> None:
    link = await up._link(store, api.url)
    assert link is not None
    token = link.partition("token=")[2]

    left = await store.execute("TTL", keys.SIGN_IN + digest_of(token.encode()))
    await cast.user(store)

    assert 0 < left <= sessions.TOKEN_S
    assert await up._link(store, api.url) is None


def test_the_greeting_shows_the_link(tmp_path: Any) -> None:
    link = "http://127.0.0.1:8000/login?token=x"

    assert link in up._greeting("http://127.0.0.1:8000", link, None, tmp_path / "api-key")
    assert "login" not in up._greeting("http://127.0.0.1:8000", None, None, tmp_path / "api-key")


def test_the_greeting_names_the_key_by_where_it_is() -> None:
    of_file = up._greeting("http://127.0.0.1:8000", None, None, Path("data/api-key"))
    of_environment = up._greeting("http://127.0.0.1:8000", None, None, None)

    assert f'"Authorization: Bearer $(cat {Path.cwd()}/data/api-key)"' in of_file
    assert '"Authorization: Bearer $FLATLINE_API_KEY"' in of_environment


async def test_the_server_s_key_signs_in_and_another_does_not(api: Api, store: Database, browser: Browser) -> None:
    good = await browser.sign_in(key=KEY)
    scoped = (await cast.key(store, "admin")).headers["Authorization"].removeprefix("Bearer ")

    assert (good.status, await status(api, good.actor)) == (303, 200)
    for wrong in (KEY[:-1], KEY + "x", scoped, "\N{SNOWMAN}"):
        refused = await browser.sign_in(key=wrong)
        assert (refused.status, refused.cookie) == (403, "")
        assert wrong not in refused.text


async def test_the_cookie_is_for_our_pages_alone(redis_url: str, store: Database, http: aiohttp.ClientSession) -> None:
    https = settings(redis_url)
    plain = type(https)(redis_url=redis_url, port=0, public_url="http://127.0.0.1:8000", api_key=KEY)
    found = []
    for each in (https, plain):
        async with serving(create_app(store, each)) as api:
            cookie = (await Browser(http, api).sign_in(key=KEY)).cookie
            name, _, rest = cookie.partition("=")
            found.append((name, {part.strip() for part in rest.split(";")[1:]} - {"Max-Age=2592000"}))

    attributes = {"HttpOnly", "Path=/", "SameSite=lax"}
    assert found == [("__Host-flatline", attributes | {"Secure"}), ("flatline", attributes)]


async def test_a_user_signs_in_by_login_and_password(api: Api, store: Database, browser: Browser) -> None:
    await members.set_role(store, "default", await ada(api), "member")

    answered = await browser.sign_in(login=" Ada ", password=PASSWORD, next="/heartbeats/0123456789ab?x=1")

    assert (answered.status, answered.headers["Location"]) == (303, "/heartbeats/0123456789ab?x=1")
    me = (await api.get(ME, key=None, headers=answered.actor.headers)).body
    assert (me["kind"], me["name"], me["role"], me["operator"]) == ("user", "ada", "member", False)
    assert me["project"] == {"id": "default", "name": "default"}


async def test_an_unknown_user_costs_and_answers_the_same(
    api: Api, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ada(api)
    held: list[str] = []
    verify = argon2.PasswordHasher.verify

    def counted(self: argon2.PasswordHasher, stored: str, password: str) -> bool:
        held.append(stored)
        return verify(self, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    wrong = await browser.sign_in(login="ada", password="wrong")
    unknown = await browser.sign_in(login="bob", password="wrong")
    strange = await browser.sign_in(login="\N{SNOWMAN}" * 50, password="")

    assert len(held) == 3
    known, nobody = held[0], held[1]
    assert argon2.extract_parameters(known) == argon2.extract_parameters(nobody)
    assert known.startswith("$argon2id$")
    assert (wrong.status, wrong.text) == (unknown.status, unknown.text) == (strange.status, strange.text)
    assert (wrong.status, wrong.cookie) == (403, "")


async def test_few_passwords_are_hashed_at_once_and_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAITING_MAX", 0)

    with pytest.raises(Unavailable, match="too many people"):
        await passwords.Passwords().fits(None, PASSWORD)


async def test_nothing_that_opens_is_kept_as_it_is(api: Api, store: Database, browser: Browser) -> None:
    await ada(api)
    token = await sessions.new_token(store)
    answered = await browser.sign_in(login="ada", password=PASSWORD)

    everything = await dump(store)

    assert digest_of(answered.session.encode()) in everything
    assert digest_of(token.encode()) in everything
    for secret in (answered.session, token, PASSWORD, KEY):
        assert secret not in everything
        assert base64.b64encode(secret.encode()).decode() not in everything


async def test_another_password_ends_all_other_sessions(api: Api, store: Database, browser: Browser) -> None:
    user = await ada(api)
    mine, other = [(await browser.sign_in(login="ada", password=PASSWORD)).actor for _ in range(2)]
    change = {"current": PASSWORD, "password": "staple staple staple"}

    wrong = await api.call("PATCH", ME, key=None, headers=mine.headers, json={**change, "current": "no"})
    right = await api.call("PATCH", ME, key=None, headers=mine.headers, json=change)

    assert (wrong.status, wrong.error["field"], right.status) == (422, "current", 200)
    assert (await status(api, mine), await status(api, other)) == (200, 401)
    assert (await browser.sign_in(login="ada", password=PASSWORD)).status == 403
    again = (await browser.sign_in(login="ada", password="staple staple staple")).actor
    assert (await api.patch(f"/api/users/{user}", {"password": PASSWORD})).status == 200
    assert (await status(api, mine), await status(api, again)) == (401, 401)


async def test_who_is_deleted_is_signed_out(api: Api, store: Database) -> None:
    user = await cast.user(store, roles={"default": "member"})
    actor = await cast.session(store, user)
    assert await status(api, actor) == 200

    assert (await api.delete(f"/api/users/{user.id}")).status == 204

    assert await status(api, actor) == 401


async def test_another_key_of_the_server_ends_the_admin_s_sessions(
    redis_url: str, store: Database, http: aiohttp.ClientSession
) -> None:
    was = settings(redis_url)
    now = type(was)(redis_url=redis_url, port=0, public_url=was.public_url, api_key="another" * 6)
    async with serving(create_app(store, was)) as api:
        actor = (await Browser(http, api).sign_in(key=KEY)).actor
        assert await status(api, actor) == 200

    async with serving(create_app(store, now)) as api:
        assert await status(api, actor) == 401


async def test_signed_out_a_cookie_opens_nothing(api: Api, browser: Browser) -> None:
    actor = (await browser.sign_in(key=KEY)).actor

    answered = await browser.ask("POST", "/logout", actor.headers)

    assert (answered.status, answered.headers["Location"]) == (303, "/login")
    assert 'flatline="";' in answered.cookie
    assert await status(api, actor) == 401


async def test_no_session_survives_a_sign_in(api: Api, browser: Browser) -> None:
    first = await browser.sign_in(key=KEY)

    second = await browser.ask("POST", "/login", first.actor.headers, key=KEY)

    assert second.session != first.session
    assert (await status(api, first.actor), await status(api, second.actor)) == (401, 200)


async def test_a_session_ends_when_it_was_idle_or_is_old(api: Api, store: Database, browser: Browser) -> None:
    answered = await browser.sign_in(key=KEY)
    key = keys.SESSION + digest_of(answered.session.encode())
    fresh = await store.execute("TTL", key)
    await store.execute("EXPIRE", key, 1_000)
    assert await status(api, answered.actor) == 200
    used = await store.execute("TTL", key)

    record = orjson.loads(await store.execute("GET", key))
    record["began_at"] -= (sessions.ABSOLUTE_S - 500) * 1000
    await store.execute("SET", key, orjson.dumps(record), "KEEPTTL")
    assert await status(api, answered.actor) == 200
    old = await store.execute("TTL", key)
    record["began_at"] -= 600_000
    await store.execute("SET", key, orjson.dumps(record), "KEEPTTL")

    assert sessions.IDLE_S - 60 < fresh <= sessions.IDLE_S
    assert sessions.IDLE_S - 60 < used <= sessions.IDLE_S
    assert 0 < old <= 500
    assert await status(api, answered.actor) == 401
    assert await store.execute("EXISTS", key) == 0


async def test_one_switches_between_ones_own_projects(api: Api, store: Database, browser: Browser) -> None:
    theirs = [await members.create_project(store, name) for name in ("blue", "green", "red")]
    blue, green, red = (project.id for project in theirs)
    actor = await cast.session(store, await cast.user(store, roles={blue: "owner", green: "reader"}), blue)

    switched = await browser.ask("POST", "/login/project", actor.headers, project=green, next="/new")
    me = (await api.get(ME, key=None, headers=actor.headers)).body
    refused = [
        (await browser.ask("POST", "/login/project", actor.headers, project=each)).status
        for each in (red, "default", "x", "")
    ]

    assert (switched.status, switched.headers["Location"]) == (303, "/new")
    assert (me["project"]["name"], me["role"], me["scopes"]) == ("green", "reader", ["read"])
    assert refused == [404] * 4
    assert (await api.get(ME, key=None, headers=actor.headers)).body == me
    await members.set_role(store, green, str(me["user"]), None)
    assert (await api.get(ME, key=None, headers=actor.headers)).body["project"]["name"] == "blue"


async def test_who_is_a_member_of_nothing_may_do_nothing(api: Api, store: Database) -> None:
    await api.heartbeat()
    actor = await cast.signed_in(store, None)

    me = (await api.get(ME, key=None, headers=actor.headers)).body

    assert (me["project"], me["role"], me["scopes"]) == (None, None, [])
    assert (await api.get("/api/heartbeats", key=None, headers=actor.headers)).status == 403
    assert (await api.get("/api/projects", key=None, headers=actor.headers)).body["projects"] == []


SITES: list[tuple[dict[str, str], bool]] = [
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "none"}, True),
    ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": "anything"}, False),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "http://HOST"}, False),
    ({"Origin": "http://HOST"}, True),
    ({"Origin": "https://HOST"}, True),
    ({"Origin": "http://evil.example"}, False),
    ({"Origin": "http://HOST.evil.example"}, False),
    ({"Origin": "http://evil.example/HOST"}, False),
    ({"Origin": "http://[HOST"}, False),
    ({"Origin": "null"}, False),
    ({}, False),
]


@pytest.mark.parametrize(("said", "is_ours"), SITES)
async def test_a_page_of_others_cannot_use_the_cookie(
    api: Api, store: Database, browser: Browser, said: dict[str, str], *, is_ours: bool
) -> None:
    host = api.url.removeprefix("http://")
    sent = {name: value.replace("HOST", host) for name, value in said.items()}
    actor = await cast.signed_in(store, "owner")
    cookie = {"Cookie": actor.headers["Cookie"], **sent}

    made = await api.call("POST", "/api/heartbeats", key=None, headers=cookie, json={"name": "x"})
    read = await api.call("GET", "/api/heartbeats", key=None, headers=cookie)
    by_key = await api.call("POST", "/api/heartbeats", headers=cookie, json={"name": "x"})
    switched = await browser.ask("POST", "/login/project", cookie, project="default")
    signed_in = await browser.ask("POST", "/login", sent, key=KEY)
    signed_out = await browser.ask("POST", "/logout", cookie)

    assert (made.status, switched.status) == ((201, 303) if is_ours else (403, 403))
    assert signed_out.status == (303 if is_ours else 403)
    assert signed_in.status == (303 if is_ours or not sent else 403)  # a program says nothing, and brings its own key
    assert (read.status, by_key.status) == (200, 201)
    assert await status(api, actor) == (401 if is_ours else 200)


async def test_an_account_may_be_tried_so_often(api: Api, browser: Browser) -> None:
    await ada(api)
    for _ in range(MOST["account"]):
        assert (await browser.sign_in(login="ada", password="wrong")).status == 403

    refused = await browser.sign_in(login="ada", password=PASSWORD)

    assert (refused.status, refused.cookie) == (429, "")
    assert 0 < int(refused.headers["Retry-After"]) <= sessions.WINDOW_S
    assert (await browser.sign_in(login="bob", password=PASSWORD)).status == 403


async def test_success_forgives_what_was_tried_before(api: Api, store: Database, browser: Browser) -> None:
    await ada(api)
    for _ in range(MOST["account"] - 1):
        await sessions.attempt(store, "account", "ada")

    assert (await browser.sign_in(login="ada", password=PASSWORD)).status == 303
    assert (await browser.sign_in(login="ada", password=PASSWORD)).status == 303


async def test_an_address_may_try_so_often_whatever_it_tries(api: Api, store: Database, browser: Browser) -> None:
    for number in range(MOST["address"]):
        tried = browser.ask("GET", f"/login?token={number}") if number % 2 else browser.sign_in(key=str(number))
        assert (await tried).status == 403

    by_key, by_link = await browser.sign_in(key=KEY), await browser.ask("GET", "/login?token=x")

    assert (by_key.status, by_link.status) == (429, 429)
    assert "Retry-After" in by_key.headers
    assert (await browser.ask("GET", "/login")).status == 200
    assert await status(api, ADMIN) == 200


@pytest.mark.parametrize(("proxies", "status"), [((ip_network("127.0.0.0/8"),), 403), ((), 429)])
async def test_clients_of_a_proxy_that_is_believed_are_counted_apart(
    redis_url: str, store: Database, proxies: tuple[IPv4Network, ...], status: int
) -> None:
    async with serving(create_app(store, replace(settings(redis_url), trusted_proxies=proxies))) as api:

        async def tries(client: str) -> int:
            return (await api.get("/login?token=x", key=None, headers={"X-Forwarded-For": f"evil, {client}"})).status

        found = [await tries("192.0.2.1") for _ in range(MOST["address"] + 1)]
        assert (set(found[:-1]), found[-1]) == ({403}, 429)
        assert await tries("192.0.2.2") == status


async def test_counters_are_few_and_end(store: Database) -> None:
    for number in range(100):
        await sessions.attempt(store, "account", f"user {number}")

    names = await store.execute("KEYS", keys.ATTEMPTS + "*")

    assert all(len(name.decode().rpartition(":")[2]) == sessions.COUNTERS_DIGITS for name in names)
    assert all([0 < await store.execute("TTL", name) <= sessions.WINDOW_S for name in names])


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
    ],
)
def test_an_ipv6_site_counts_as_one_address(address: str, site: str) -> None:
    assert site_of(address) == site


AWAY = [
    "//evil.example",
    "/\\evil.example",
    "https://evil.example",
    "evil",
    "/\t/evil",
    "/a\r\nSet-Cookie: x=1",
    "/" * 2_500,
]


async def test_one_goes_on_to_pages_of_ours_only(browser: Browser) -> None:
    for path in AWAY:
        answered = await browser.sign_in(key=KEY, next=path)
        assert (answered.status, answered.headers["Location"]) == (303, "/"), path
    assert (await browser.sign_in(key=KEY, next="/a?b=c%20d")).headers["Location"] == "/a?b=c%20d"


async def test_the_page_says_nothing_of_a_stranger_s_as_it_is(browser: Browser) -> None:
    shown = await browser.ask("GET", '/login?next=/"><script>alert(1)</script>')

    assert shown.status == 200
    assert "<script>alert" not in shown.text
    assert shown.headers["Referrer-Policy"] == "same-origin"
    assert shown.headers["Cache-Control"] == "no-store"
    assert shown.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_a_form_is_bounded(browser: Browser) -> None:
    assert (await browser.sign_in(login="x" * 70_000)).status == 413
    assert (await browser.sign_in(**{f"field{number}": "x" for number in range(700)})).status == 400


async def test_without_redis_nobody_is_let_in(api: Api, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise errors.Unavailable("away")

    monkeypatch.setattr(sessions, "attempt", away)
    answered = await browser.sign_in(key=KEY)

    assert (answered.status, answered.cookie) == (503, "")


async def test_every_server_keeps_sessions_members_and_keys(db: Database) -> None:
    user = await cast.user(db, roles={"default": "owner"})
    first, second = [await sessions.begin(db, user.id, "default", user.epoch) for _ in range(2)]
    found = await sessions.find(db, first)
    assert found is not None

    await sessions.switch(db, first, found, "0123456789ab")
    await sessions.survive(db, first, "another")
    await sessions.end(db, second)
    await sessions.switch(db, second, found, "0123456789ab")
    counts = [await sessions.attempt(db, "account", "ada") for _ in range(2)]
    _, text = await api_keys.create(db, "default", "ci", ["read"], "r")
    changed, ended = await sessions.find(db, first), await sessions.find(db, second)

    assert changed is not None
    assert (changed.project, changed.epoch, ended) == ("0123456789ab", "another", None)
    assert [count for count, _ in counts] == [1, 2]
    assert (await api_keys.find(db, text.encode())) is not None
    with pytest.raises(members.LastOwner):
        await members.set_role(db, "default", user.id, "reader")
    assert await sessions.use_token(db, await sessions.new_token(db))
