"""Real servers for senders to talk to: HTTP and SMTP, on loopback, told beforehand how to answer or to misbehave."""

import asyncio
import contextlib
import datetime as dt
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from multidict import CIMultiDict

TICK = 0.01  # seconds between the bytes of a drip
PATIENCE = 25.0  # seconds a test waits for what must come: a starved machine is deaf, and an alarm is excused thrice


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How to answer one request. `until`: keep silent until it is set."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    how: Literal["plainly", "hang", "drip head", "drip body", "endless", "reset", "not http"] = "plainly"
    until: asyncio.Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    method: str
    path: str
    headers: CIMultiDict[str]
    body: bytes


class HttpSink:
    """Records requests and answers them by `answers`, in order; when these are used up, by `answer`."""

    def __init__(self) -> None:
        self.port = 0
        self.answers: deque[Answer] = deque()
        self.answer = Answer()
        self.requests: list[Request] = []
        self._news = asyncio.Condition()
        self._closing = asyncio.Event()

    async def received(self, count: int) -> list[Request]:
        """Wait for that many requests in all."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: len(self.requests) >= count)
        return self.requests

    def close(self) -> None:
        self._closing.set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        seen = Request(method=request.method, path=request.path_qs, headers=CIMultiDict(request.headers), body=body)
        async with self._news:
            self.requests.append(seen)
            self._news.notify_all()
        answer = self.answers.popleft() if self.answers else self.answer
        if answer.until is not None:
            await answer.until.wait()
        with contextlib.suppress(ConnectionError):  # the client may leave whenever it likes
            return await self._reply(request, answer)
        return web.Response()

    async def _reply(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        if answer.how == "plainly":
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        match answer.how:
            case "hang":
                await self._closing.wait()
            case "reset":
                transport.abort()
            case "not http":
                transport.write(b"220 mail.example.org ESMTP\r\n\r\n")
            case "drip head":
                transport.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                await self._drip(transport)
            case _:
                response = web.StreamResponse(status=answer.status, headers=answer.headers)
                await response.prepare(request)
                if answer.how == "drip body":
                    await self._drip(transport, b"1\r\nx\r\n")
                while not self._closing.is_set() and not transport.is_closing():
                    await response.write(bytes(16_384))
        transport.abort()
        return web.Response()

    async def _drip(self, transport: asyncio.Transport, drop: bytes = b"x") -> None:
        while not self._closing.is_set() and not transport.is_closing():
            transport.write(drop)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), TICK)


@contextlib.asynccontextmanager
async def http_sink(tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpSink]:
    sink = HttpSink()
    runner = web.ServerRunner(web.Server(sink.handle), shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        sink.port = runner.addresses[0][1]
        yield sink
    finally:
        sink.close()
        await runner.cleanup()


class SmtpSink:
    """Keeps what it accepted. `replies`: what to say instead of 250 to a recipient or, as "DATA", to a message."""

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[Envelope] = []
        self.replies: dict[str, str] = {}
        self.encrypted: list[bool] = []  # of each mail
        self.users: list[str] = []  # who logged in
        self.silent = asyncio.Event()  # set: take the message and never answer
        self._closing = asyncio.Event()

    def close(self) -> None:
        self._closing.set()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        reply = self.replies.get(address, "250 2.1.5 Ok")
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.silent.is_set():
            await self._closing.wait()
        reply = self.replies.get("DATA", "250 2.0.0 Ok: queued")
        if reply.startswith("2"):
            self.mails.append(envelope)
            assert server.transport is not None
            self.encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
        return reply


@contextlib.asynccontextmanager
async def smtp_sink(
    *, tls: ssl.SSLContext | None = None, implicit_tls: bool = False, login: tuple[str, str] | None = None
) -> AsyncIterator[SmtpSink]:
    """`tls` offers STARTTLS, or with `implicit_tls` speaks it from the first byte; `login` demands user, password."""
    sink = SmtpSink()

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        good = (given.login.decode(), given.password.decode()) == login
        if good:
            sink.users.append(given.login.decode())
        return AuthResult(success=good, handled=False)

    loop = asyncio.get_running_loop()
    sessions: list[SMTP] = []

    def session() -> SMTP:
        sessions.append(
            SMTP(
                sink,
                hostname="localhost",
                loop=loop,
                tls_context=None if implicit_tls else tls,
                auth_required=login is not None,
                authenticator=authenticate,
            )
        )
        return sessions[-1]

    server = await loop.create_server(session, "127.0.0.1", 0, ssl=tls if implicit_tls else None)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        sink.close()
        server.close()
        for each in sessions:
            if isinstance(each.transport, asyncio.WriteTransport):
                each.transport.abort()
        await server.wait_closed()


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS for localhost, signed by nobody else, and the file for SSL_CERT_FILE that makes it trusted."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(public, private)
    return context, public
