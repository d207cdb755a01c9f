"""`/mcp`: the tools of mcp_tools.py for assistants, by POST of one JSON-RPC message, without sessions.

DESIGN. A tool calls the JSON API within this process with the caller's own key: so what a key may do, what is checked
and what is hidden is the same as outside, by construction. Cookies count for nothing here, so no page of a stranger can
make a browser call. The SDK takes a second to load, so the first call loads it, in a thread: pings are answered
meanwhile. Nobody else ever loads it.
"""

import asyncio
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import orjson
from starlette.requests import Request
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.errors import ApiError, Forbidden, Unauthorized
from console.routing import Context

BODY_MAX: Final = 65_536  # bytes
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
#: Of the caller's request, what the API is told of.
PASSED_ON: Final = (b"authorization", b"x-flatline-project", b"host")


class Mcp:
    """The route. `api`: the routes of the JSON API."""

    def __init__(self, context: Context, api: list[Route]) -> None:
        self._context = context
        self._api = Router(api)
        self.routes: list[BaseRoute] = [Route("/mcp", self, methods=["POST"])]
        self._hosts, self._origins = allowed(context.public_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            await self._check(request)
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        tools = await asyncio.to_thread(import_module, "console.mcp_tools")
        headers = [(name, value) for name, value in scope["headers"] if name in PASSED_ON]
        backend = Inside(self._api, headers)
        await tools.answer(backend, (self._hosts, self._origins, BODY_MAX), scope, receive, send)

    async def _check(self, request: Request) -> None:
        """Raises Unauthorized or Forbidden."""
        if not request.headers.get("authorization"):
            raise Unauthorized(
                "a valid API key is needed, as in: Authorization: Bearer <key>", headers={"www-authenticate": "Bearer"}
            )
        caller = await self._context.keys.caller(request, "bearer")
        if not caller.may("read"):
            raise Forbidden("this needs the scope read in this project")


class Inside:
    """The JSON API, called within the process."""

    def __init__(self, api: ASGIApp, headers: list[tuple[bytes, bytes]]) -> None:
        self._api = api
        self._headers = headers

    async def __call__(
        self, method: str, path: str, body: object = None, query: dict[str, object] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the answer."""
        sent = b"" if body is None else orjson.dumps(body)
        headers = [*self._headers, (b"content-length", str(len(sent)).encode())]
        if sent:
            headers.append((b"content-type", b"application/json"))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": urlencode(query or {}).encode(),
            "root_path": "",
            "headers": headers,
            "client": None,
            "server": None,
        }
        status, parts = 500, []

        async def receive() -> Message:
            return {"type": "http.request", "body": sent, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                parts.append(message.get("body", b""))

        await self._api(scope, receive, send)
        found = orjson.loads(b"".join(parts) or b"{}")
        return status, found


def allowed(public_url: str) -> tuple[list[str], list[str]]:
    """Host and Origin headers that are ours: those of the public URL, and of this machine itself."""
    public = urlsplit(public_url)
    hosts = [public.netloc] if public.port else [public.netloc, f"{public.netloc}:443", f"{public.netloc}:80"]
    hosts += [form for name in LOOPBACK for form in (name, f"{name}:*")]
    return hosts, [f"{public.scheme}://{public.netloc}", *(f"http://{name}:*" for name in LOOPBACK)]
