"""uvicorn's HTTP, with two things that it lacks: an answer in one write, and a limit on what a request's head may be.

Head and body of an answer are two messages to the server, and would be two system calls. One costs less; and a process
that is killed has sent all of an answer or nothing, so a load balancer may still repeat the request elsewhere.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_MAX: Final = 65_536  # bytes of a head that is not complete yet; one that comes in a single read is bounded by that
TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class OneWrite:
    """A transport that keeps what is written until this turn of the event loop is over."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self.is_closing = transport.is_closing  # asked for every answer, so not through __getattr__

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._pieces:
            data = b"".join(self._pieces)
            self._pieces.clear()
            if not self._transport.is_closing():
                self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """The protocol of every role."""

    _in_head = True
    _head_bytes = 0  # that came while the head was not complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it, too
        super().connection_made(OneWrite(transport, self.loop))  # type: ignore[arg-type]  # all that is used of one

    def data_received(self, data: bytes) -> None:
        ended = self._head_bytes = self._head_bytes + len(data)
        super().data_received(data)
        if self._in_head and ended > HEAD_MAX and self._head_bytes == ended and not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()
