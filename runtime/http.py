"""uvicorn's HTTP, with what it lacks: limits on what a client may send and how long it may take; answers in one write.

DESIGN. One request at a time: what comes behind an unanswered request is kept as it came, and reading stops. uvicorn
would parse on and queue, three kilobytes for each eighteen bytes sent, and read more with every answer.

Time is counted in looks, which `serve` takes at all connections at equal distances: no timer per request, and a while
in which this process hung is one look, held against no client.

What we rely on in uvicorn is listed in tests/runtime/test_http.py, which fails when it changes.
"""

import asyncio
from typing import Any, Final, Literal

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

RECEIVE_S: Final = 10.0  # for a whole request, head and body; and for a client to take what it is answered
IDLE_S: Final = 75.0  # longer than the 60 s of common load balancers: the side that closes first must not be ours
HEAD_MAX: Final = 16_384  # bytes of a request line with its headers; and of trailers
PIECE: Final = 4_096  # bytes parsed at once, so that few small requests are parsed ahead
LINGER_S: Final = 0.05  # when we stop, for what has arrived unread; within the 0.1 s that uvicorn waits anyway
END_OF_HEAD: Final = b"\r\n\r\n"


class Wire:
    """A transport that keeps what is written until this turn of the event loop is over, and can be held.

    Head and body of an answer are two messages to the server and would be two system calls. One costs less; and a
    process that is killed has sent all of an answer or nothing, so a load balancer may still repeat it elsewhere.
    """

    __slots__ = ("_held", "_loop", "_paused", "_pieces", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self._paused = self._held = False
        self.is_closing = transport.is_closing  # asked for every answer, so not through __getattr__

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def write_whole(self, data: bytes) -> None:
        """An answer that is complete need not wait."""
        if self._pieces:
            self._pieces.append(data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def pause_reading(self) -> None:
        self._paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        if not self._held:
            self._transport.resume_reading()

    def hold(self) -> None:
        """Stops reading, whoever resumes it, until `release`."""
        self._held = True
        self._transport.pause_reading()

    def release(self) -> None:
        self._held = False
        if not self._paused:
            self._transport.resume_reading()

    def _flush(self) -> None:
        if self._pieces:
            data = b"".join(self._pieces)
            self._pieces.clear()
            if not self._transport.is_closing():
                self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class NoEvent:
    def set(self) -> None:
        """Nobody waits for it."""


class StandIn:
    """Stands where uvicorn keeps the request under way, and has all that it asks of one."""

    __slots__ = ("disconnected", "keep_alive", "response_complete")

    message_event = NoEvent()
    more_body = response_started = False

    def __init__(self) -> None:
        self.disconnected = self.keep_alive = False
        self.response_complete = True


NOT_YET: Final[Any] = StandIn()  # before the first request


class Protocol(HttpToolsProtocol):
    """The protocol of every role."""

    # What is looked at for every request, uvicorn's attributes among it, lies together: a dict of fifty entries per
    # connection would not stay in a core's cache.
    __slots__ = ("_kept", "_looks", "_stops", "_unheard", "cycle", "flow", "loop", "part", "server_state", "wire")

    def __init__(self, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        #: What of a request is coming in; "" = nothing, or only the line breaks that may stand before one.
        self.part: Literal["", "head", "body"] = ""
        self.wire: Wire
        self._unheard = 0  # bytes since the request began, or since the last that were body
        self._kept = b""  # what came behind a request that is not answered yet
        self._looks = 0  # since the connection is as it is
        self._stops = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it, too
        self.wire = Wire(transport, self.loop)
        self.cycle = NOT_YET
        super().connection_made(self.wire)  # type: ignore[arg-type]  # all that is used of one

    def data_received(self, data: bytes) -> None:
        while data:
            if self._answers():
                self._kept += data
                self.wire.hold()
                return
            data = self.take(data)
        if self._stops and self._answers():
            self.cycle.keep_alive = False

    def take(self, data: bytes) -> bytes:
        """Parses the beginning of `data`, of one request if we can tell, and returns the rest."""
        if not self.part:
            self._unheard = 0
        size = min(PIECE, HEAD_MAX - self._unheard)
        if self.part != "body":
            end = data.find(END_OF_HEAD, 0, size)
            size = end + len(END_OF_HEAD) if end >= 0 else size
        self._unheard += min(size, len(data))
        super().data_received(data[:size])
        if self.part and self._unheard >= HEAD_MAX:
            self._refuse(431, "head too large")
        return b"" if self.transport.is_closing() else data[size:]

    def on_message_begin(self) -> None:
        self.part, self._looks = "head", 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.part, self._unheard = "body", 0
        super().on_headers_complete()
        self.headers = []  # uvicorn would add trailers to what the application has read long since

    def on_body(self, body: bytes) -> None:
        self._unheard = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.part, self._unheard = "", 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """uvicorn's, without a timer for each answer, and with what we have kept."""
        self._looks = 0
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._kept:
            data, self._kept = self._kept, b""
            self.data_received(data)
            if not self._kept:
                self.wire.release()
        if self._stops:
            self._close_if_idle()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn says None: close
        """The client will say no more; what it asked is answered first. True keeps the connection."""
        if not self._answers():
            self.transport.close()  # not left to asyncio, which knows nothing of what the wire still has
            return False
        self.cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        self._looks = 0
        super().pause_writing()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def look(self, *, receive: int, idle: int) -> None:
        """One of the looks. Ends what has been going on for more than `receive` or, between requests, `idle` looks."""
        leaves = self.transport.is_closing() or self.flow.write_paused
        if not leaves and (self._answers() or (self.part and self.flow.read_paused)):
            return  # the client waits for us
        self._looks += 1
        if self._looks <= (receive if leaves or self.part or self.cycle is NOT_YET else idle):
            return
        if leaves:
            self.transport.abort()  # takes nothing of what it is answered
        elif self.part:
            self._refuse(408, "request too slow")
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """We stop: what has been asked is answered, also if it was not read yet; to close over that would reset."""
        self._stops = True
        if self.cycle.response_complete:
            self.loop.call_later(LINGER_S, self._close_if_idle)
        elif not self._kept:
            self.cycle.keep_alive = False

    def _close_if_idle(self) -> None:
        if self.cycle.response_complete:
            self.transport.close()

    def _answers(self) -> bool:
        """The latest request is complete and waits for its answer."""
        return not (self.cycle.response_complete or self.cycle.more_body)

    def _refuse(self, status: int, text: str) -> None:
        """Answers what is coming in and hangs up; only hangs up if it has an answer or another waits before it."""
        if self._answers():
            self.cycle.keep_alive = False
            return
        if not self.pipeline and not (self.part == "body" and self.cycle.response_started):
            headers = [
                *self.server_state.default_headers,
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"%d" % len(text)),
                (b"connection", b"close"),
            ]
            head = STATUS_LINE[status] + b"".join(b"%b: %b\r\n" % header for header in headers)
            self.transport.write(head + b"\r\n" + text.encode())
        self.transport.close()
