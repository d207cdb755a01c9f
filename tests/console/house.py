"""All four roles on one port in this process, for a browser to look at."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from flatline.up import UpSettings, _application
from ingest.fast import FastLane
from runtime.serve import serve
from store.database import opened
from tests.system.processes import free_port

KEY: Final = "a-key-of-more-than-thirty-two-characters"
SIGNED_IN: Final = {"Authorization": f"Bearer {KEY}"}


@contextlib.asynccontextmanager
async def house(redis_url: str, **others: Any) -> AsyncIterator[str]:
    """Its address. `others`: more of its settings."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    chosen = free_port()
    address = f"http://127.0.0.1:{chosen}"
    settings = UpSettings(port=chosen, public_url=address, redis_url=redis_url, api_key=KEY, **others)
    async with opened(redis_url) as db:
        app = _application(db, settings, port)
        serving = serve(app, host="127.0.0.1", port=chosen, ready=port.set_result, http=FastLane(app))
        task = asyncio.create_task(serving)
        task.add_done_callback(lambda _: port.cancel())  # it did not start, so it never will
        try:
            yield f"http://127.0.0.1:{await port}"
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def ping(url: str) -> None:
    """As a job does it."""
    await shell(f"curl -fsS -m 10 -o /dev/null {url}")


async def shell(line: str) -> str:
    process = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()
