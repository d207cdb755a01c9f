"""What the tests of bulk share: a request, its answer, and a node without a server before it."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson
from prometheus_client import CollectorRegistry
from starlette.types import Message

from ingest.bulk import Bulk
from ingest.metrics import Metrics
from ingest.node import AHEAD_MS
from ingest.node import Node as IngestNode
from ingest.settings import IngestSettings
from runtime.tasks import background
from store import events, fleets
from store.database import Database, opened
from store.fleet_records import Fleet, FleetSettings
from store.records import Heartbeat
from tests.conftest import eventually
from tests.ingest.conftest import Node

NOBODY: Final = "00000000-0000-4000-8000-000000000000"
SPAN: Final = 90_000  # ms, of the heartbeats and fleets of these tests


class Answer(NamedTuple):
    status: int
    accepted: int
    rejected: list[tuple[int, int, str]]  # index, status, message

    @property
    def refusals(self) -> list[tuple[int, int]]:
        return [(index, status) for index, status, _ in self.rejected]


def read_answer(status: int, body: bytes) -> Answer:
    said = orjson.loads(body)
    rejected = [(each["index"], each["status"], each["message"]) for each in said["rejected"]]
    return Answer(status, said["accepted"], rejected)


def lines(*items: Any) -> bytes:
    """NDJSON; bytes stand for themselves."""
    return b"\n".join(item if isinstance(item, bytes) else orjson.dumps(item) for item in items)


async def bulk(node: Node, body: Any) -> Answer:
    """`body`: bytes, or what aiohttp sends chunk by chunk."""
    async with node.http.post(node.url + "/ping/bulk", data=body) as response:
        return read_answer(response.status, await response.read())


async def fleet_of(node: Node, **chosen: Any) -> Fleet:
    settings: dict[str, Any] = {"name": "devices", "period": 60, "grace": 30} | chosen
    return await fleets.create(node.db, FleetSettings(**settings))


async def signals(node: Node, heartbeat: Heartbeat) -> list[tuple[str, str]]:
    """Kind and exit status of the pings in the event log, oldest first."""
    rows, _ = await events.page(node.db, heartbeat.id)
    own = {"created", "up", "down", "paused", "edited"}
    return [(row.kind, row.exit_status) for row in reversed(rows) if row.kind not in own]


async def member_status(node: Node, fleet: Fleet, slug: str) -> str:
    member = await fleets.member(node.db, fleet.id, slug)
    return member.status if member else "none"


async def later(db: Database) -> int:
    """A time after all that was sent: signals of one moment may lie AHEAD_MS ahead."""
    sent = await db.now()

    async def now() -> int:
        found = await db.now()
        return found if found > sent + AHEAD_MS else 0

    found: int = await eventually(now)
    return found


def rfc3339(ms: float) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Scene(NamedTuple):
    """A node without a server before it: so a test says where a body is split."""

    db: Database
    node: IngestNode
    bulk: Bulk

    async def post(self, parts: Sequence[bytes]) -> Answer:
        """What is answered to a body that comes in exactly these parts."""
        coming = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        coming.append({"type": "http.request", "body": b"", "more_body": False})
        sent: list[Message] = []

        async def receive() -> Message:
            return coming.pop(0)

        async def send_(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/ping/bulk", "headers": [], "query_string": b"",
                 "client": ("127.0.0.1", 1)}  # fmt: skip
        await self.bulk.route().handle(scope, receive, send_)
        return read_answer(sent[0]["status"], sent[1]["body"])


async def make_scene(stack: AsyncExitStack, url: str) -> Scene:
    db = await stack.enter_async_context(opened(url))
    node = IngestNode(db, IngestSettings(port=0), Metrics(CollectorRegistry()), "n1")
    stack.push_async_callback(node.aclose)
    await node.clock.measure(db)
    await stack.enter_async_context(background(node.cache.follow_changes, name="changes"))
    return Scene(db, node, Bulk(node))
