"""Bytes on a socket: what a client sends, what it is answered, and what is stored of it."""

import asyncio
from dataclasses import dataclass
from typing import Final, NamedTuple

from store import events
from store.errors import NotFound
from store.records import Heartbeat
from tests.ingest.conftest import Node

PINGS: Final = frozenset({"success", "start", "fail", "log", "ignored"})
OK_HEADERS: Final = {
    "content-type": "text/plain; charset=utf-8",
    "content-length": "2",
    "access-control-allow-origin": "*",
    "ping-body-limit": "10000",
    "cache-control": "max-age=0, no-cache, no-store, must-revalidate, private",
}


@dataclass
class Reply:
    """One answer; `interim`: a 100 Continue came before it."""

    status: int
    headers: dict[str, str]
    body: bytes
    interim: bool = False


class Stored(NamedTuple):
    """A ping as the event log tells it; `output` as it came."""

    signal: str
    exit_status: str = ""
    rid: str = ""
    output: bytes = b""


class Connection:
    """A client's socket. Nothing is added to what it sends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, node: Node) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", node.port))

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(10):
            self._writer.write(data)
            await self._writer.drain()

    async def continued(self) -> bool:
        """Waits for the 100 that asks for the body."""
        async with asyncio.timeout(10):
            return (await self._head())[0] == 100

    async def receive(self, *, head: bool = False) -> Reply:
        """`head`: to a HEAD, so its Content-Length speaks of a body that does not come."""
        async with asyncio.timeout(10):
            status, headers = await self._head()
            interim = status == 100
            if interim:
                status, headers = await self._head()
            length = 0 if head or status == 204 else int(headers["content-length"])
            return Reply(status, headers, await self._reader.readexactly(length), interim)

    async def _head(self) -> tuple[int, dict[str, str]]:
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        fields = (line.partition(": ") for line in lines)
        return int(first.split(" ")[1]), {name.lower(): value for name, _, value in fields if name.lower() != "date"}

    async def closed_by_server(self) -> bool:
        async with asyncio.timeout(10):
            return await self._reader.read() == b""

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def replay(node: Node, request: bytes) -> Reply:
    """The answer to exactly these bytes, on a connection of their own."""
    connection = await Connection.to(node)
    try:
        await connection.send(request)
        return await connection.receive(head=request.startswith(b"HEAD "))
    finally:
        await connection.close()


async def ask(node: Node, path: str, method: str = "GET", body: bytes = b"", headers: str = "") -> Reply:
    """A plain request of no client in particular; a body comes with its length."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return await replay(node, f"{method} {path} HTTP/1.1\r\nHost: hb\r\n{headers}{length}\r\n".encode() + body)


async def stored(node: Node, heartbeat: Heartbeat | str) -> list[Stored]:
    """The pings of a heartbeat, oldest first, as the API will show them."""
    id_ = heartbeat if isinstance(heartbeat, str) else heartbeat.id
    rows, _ = await events.page(node.db, id_)
    return [
        Stored(row.kind, row.exit_status, row.run, await _output(node, id_, row))
        for row in reversed(rows)
        if row.kind in PINGS
    ]


async def _output(node: Node, heartbeat: str, row: events.Event) -> bytes:
    try:
        return await events.output(node.db, heartbeat, row.id)
    except NotFound:
        return b""
