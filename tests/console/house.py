"""All four roles on one port in this process, for a browser to look at."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from starlette.types import Receive, Scope, Send

from flatline.up import UpSettings, _application
from ingest.fast import FastLane
from runtime.serve import serve
from store.database import opened
from tests.system.processes import free_port

KEY: Final = "a-key-of-more-than-thirty-two-characters"
SIGNED_IN: Final = {"Authorization": f"Bearer {KEY}"}


@contextlib.asynccontextmanager
async def house(redis_url: str) -> AsyncIterator[str]:
    """Its address. When it stops, open streams are told, so nobody waits for them."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    chosen = free_port()
    settings = UpSettings(port=chosen, public_url=f"http://127.0.0.1:{chosen}", redis_url=redis_url, api_key=KEY)
    async with opened(redis_url) as db:
        app, stopping = _application(db, settings, port), asyncio.Event()

        async def told(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["stopping"] = stopping
            await app(scope, receive, send)

        serving = serve(told, host="127.0.0.1", port=chosen, ready=port.set_result, http=FastLane(app))
        task = asyncio.create_task(serving)
        task.add_done_callback(lambda _: port.cancel())  # it did not start, so it never will
        try:
            yield f"http://127.0.0.1:{await port}"
        finally:
            stopping.set()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
