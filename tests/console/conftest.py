"""A console on a real server, and a client that holds every answer against the OpenAPI document."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import aiohttp
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from multidict import CIMultiDictProxy
from starlette.types import ASGIApp

from console.app import create_app
from console.settings import ConsoleSettings
from runtime.serve import serve
from store.arrivals import Lane, Ping
from store.database import Database, opened
from store.keys import shard_of
from tests.console.browser import Browser, chromium
from tests.console.house import house as everything

KEY = "кey-with-thirty-two-characters-or-more"  # its first letter is Cyrillic: keys are bytes
LOOPBACK = (ip_network("127.0.0.0/8"),)
PUBLIC_URL = "https://ping.example.org/alive"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: Any

    @property
    def error(self) -> dict[str, Any]:
        assert self.status >= 400, self.body
        error: dict[str, Any] = self.body["error"]
        return error


class Api:
    """`call` with the right key unless told otherwise; json=… or data=… is the body."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url
        self.document: dict[str, Any] = {}

    async def call(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, key: str | None = KEY, **body: Any
    ) -> Answer:
        sent = {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        async with self._session.request(method, self.url + path, headers=sent, **body) as response:
            text = await response.read()
            is_json = text and response.content_type == "application/json"
            answer = Answer(response.status, response.headers, await response.json() if is_json else text)
        self._check(method, path.partition("?")[0], answer)
        return answer

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.call("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> Answer:
        return await self.call("POST", path, **({"json": json} if json is not None else {}), **options)

    async def patch(self, path: str, json: Any) -> Answer:
        return await self.call("PATCH", path, json=json)

    async def delete(self, path: str) -> Answer:
        return await self.call("DELETE", path)

    async def heartbeat(self, name: str = "backup", **settings: Any) -> dict[str, Any]:
        answer = await self.post("/api/heartbeats", {"name": name, **settings})
        assert answer.status == 201, answer.body
        made: dict[str, Any] = answer.body
        return made

    async def fleet(self, name: str = "sensors", **settings: Any) -> dict[str, Any]:
        answer = await self.post("/api/fleets", {"name": name, **settings})
        assert answer.status == 201, answer.body
        made: dict[str, Any] = answer.body
        return made

    async def channel(self, **settings: Any) -> dict[str, Any]:
        given = {"name": "ops", "kind": "webhook", "settings": {"url": "https://hooks.example.org/x", **settings}}
        answer = await self.post("/api/channels", given)
        assert answer.status == 201, answer.body
        made: dict[str, Any] = answer.body
        return made

    def _check(self, method: str, path: str, answer: Answer) -> None:
        """Path, method and status must be declared, and the body must be what is declared for them."""
        paths: dict[str, Any] = self.document.get("paths", {})
        found = (
            [path] if path in paths else [one for one in paths if re.fullmatch(re.sub(r"\{\w+}", "[^/]+", one), path)]
        )
        operation = paths[found[0]].get(method.lower()) if found else None
        if not self.document or method == "HEAD" or not path.startswith(("/api/", "/heartbeat/")):
            return
        if operation is None:
            assert answer.status in {404, 405}, f"{method} {path} is not declared"
            self._validate(answer.body, {"$ref": "#/components/schemas/Error"})
            return
        declared = operation["responses"].get(str(answer.status))
        assert declared, f"{method} {found[0]}: {answer.status} is not declared"
        content = declared.get("content", {})
        if "application/json" in content:
            self._validate(answer.body, content["application/json"]["schema"])
        elif content:
            assert answer.headers["Content-Type"].partition(";")[0] in content
        else:
            assert answer.body == b""

    def _validate(self, body: Any, schema: dict[str, Any]) -> None:
        whole = {**schema, "components": self.document["components"]}
        Draft202012Validator(whole, format_checker=FormatChecker()).validate(body)


@contextlib.asynccontextmanager
async def served(redis_url: str) -> AsyncIterator[Api]:
    """A console on a free port, and a client of it."""
    async with opened(redis_url) as db, serving(create_app(db, settings(redis_url))) as api:
        yield api


@contextlib.asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[Api]:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(app, host="127.0.0.1", port=0, ready=port.set_result))
    task.add_done_callback(lambda _: port.cancel())
    try:
        await port
    except asyncio.CancelledError:
        await task
    try:
        async with aiohttp.ClientSession() as session:
            api = Api(session, f"http://127.0.0.1:{await port}")
            api.document = (await api.get("/api/openapi.json", key=None)).body
            yield api
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def settings(redis_url: str) -> ConsoleSettings:
    return ConsoleSettings(redis_url=redis_url, port=0, public_url=PUBLIC_URL, api_key=KEY)


@pytest.fixture
async def api(redis_url: str) -> AsyncIterator[Api]:
    """A console of its own, on the newest server."""
    async with served(redis_url) as client:
        yield client


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Database]:
    """The database behind `api`, by another connection."""
    async with opened(redis_url) as database:
        yield database


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[str]:
    """The address of all four roles, whose notifier may reach a sink of the test; `store` is the database behind it."""
    async with everything(redis_url, allow_private_targets=LOOPBACK) as url:
        yield url


@pytest.fixture
async def browser(house: str) -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


async def signal(db: Database, heartbeat: str, *, age_s: float = 0, **fields: Any) -> None:
    """A signal that arrived `age_s` ago."""
    lane = Lane(db, db.shard(heartbeat))
    try:
        ping = Ping(heartbeat, await db.now() - int(age_s * 1000), **fields)
        (word,) = await lane.judge([ping], sure=True)
    finally:
        await lane.aclose()
    assert word in {"up", "parked"}, word


async def member_signal(db: Database, fleet: str, slug: str, *, age_s: float = 0, **fields: Any) -> None:
    """A member's signal that arrived `age_s` ago."""
    lane = Lane(db, db.shards[shard_of(slug, len(db.shards))])
    try:
        ping = Ping(slug, await db.now() - int(age_s * 1000), fleet=fleet, **fields)
        (word,) = await lane.judge_members(fleet, [ping], sure=True)
    finally:
        await lane.aclose()
    assert word in {"up", "parked"}, word
