"""`flatline up`: the four roles in one process on one port, with a server of our own. Nothing else to set up."""

import asyncio
import logging
import secrets
import shlex
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from starlette.applications import Starlette

from console.app import EXCEPTION_HANDLERS, Console
from console.settings import ConsoleSettings
from flatline import embedded, roles
from ingest.app import Ingest
from ingest.fast import FastLane
from ingest.ping import Pings
from ingest.settings import IngestSettings
from notifier.app import Notifier
from notifier.settings import NotifierSettings
from runtime import health, logs, metrics
from runtime.errors import StartError
from runtime.listen import listen
from runtime.serve import serve
from runtime.settings import port_setting, setting
from runtime.values import parse_public_url
from store import sessions, users
from store.database import Database
from sweeper.app import Sweeper

KEY_FILE: Final = "api-key"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class UpSettings(IngestSettings, NotifierSettings, ConsoleSettings):
    """What `flatline up` needs: everything, and a place for its data."""

    port: int = port_setting(8000)
    public_url: str = setting("", "Where pings reach us, as shown in ping URLs.", parse=parse_public_url)
    redis_url: str = setting("", "A Redis or Valkey to use instead of the embedded one.", secret=True)
    data_dir: str = setting("./data", "Where the embedded server and the API key live.")


async def up(settings: UpSettings) -> None:
    """Serves everything until cancelled. Raises StartError."""
    logs.configure(settings.log_level, settings.log_format)
    settings = _with_url(settings)
    data = Path(settings.data_dir)
    async with AsyncExitStack() as stack:
        redis_url = settings.redis_url
        if not redis_url:
            server = await stack.enter_async_context(embedded.run(data))
            redis_url = server.url
        key, is_new = (settings.api_key, False) if settings.api_key else api_key(data)
        key_file = None if settings.api_key else data / KEY_FILE
        db = await stack.enter_async_context(roles.store(redis_url, settings.shards))
        link = await _link(db, settings.public_url)
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def ready(bound: int) -> None:
            port.set_result(bound)
            sys.stdout.write(_greeting(settings.public_url, link, key if is_new else None, key_file))
            sys.stdout.flush()

        app = _application(db, replace(settings, api_key=key), port)
        await serve(app, host=settings.host, port=settings.port, ready=ready, http=FastLane(app))


def _application(db: Database, settings: UpSettings, port: "asyncio.Future[int]") -> Pings:
    registry = metrics.new_registry()
    ingest = Ingest(db, settings, registry)
    sweeper = Sweeper(db, registry)
    notifier = Notifier(db, settings, registry)
    console = Console(db, settings)

    async def is_ready() -> Mapping[str, str]:
        probes: dict[str, str] = {}
        for role in (console, ingest, sweeper, notifier):
            probes |= await role.ready()
        return probes

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # Told to stop, the way in closes first and the way out last.
        async with notifier.running(), sweeper.running(), ingest.running(port):
            yield

    routes = [*ingest.routes, *console.routes, *health.routes("up", is_ready, registry)]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=dict(EXCEPTION_HANDLERS))
    app.router.redirect_slashes = False
    return ingest.in_front_of(app)


def _with_url(settings: UpSettings) -> UpSettings:
    """Ping URLs name the port, so one that is to be drawn is drawn before anything is built. Raises StartError."""
    port = settings.port
    if not port:
        drawn = listen(settings.host, 0, 1)
        port = drawn[0].getsockname()[1]
        for sock in drawn:
            sock.close()
    return replace(settings, port=port, public_url=settings.public_url or f"http://127.0.0.1:{port}")


def api_key(data: Path) -> tuple[str, bool]:
    """The admin key of a data directory, and whether it was made just now. Raises StartError."""
    path = data / KEY_FILE
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            return path.read_text().strip(), False
        key = secrets.token_urlsafe(32)
        path.touch(mode=0o600)
        path.write_text(key + "\n")
    except OSError as error:
        raise StartError(f"cannot keep the API key in {path}: {error.strerror}") from None
    return key, True


async def _link(db: Database, url: str) -> str | None:
    """Signs in whoever opens it first; None = there are users, who sign in with their passwords."""
    if await users.any_there(db):
        return None
    return f"{url}/login?token={await sessions.new_token(db)}"


def _greeting(url: str, link: str | None, new_key: str | None, key_file: Path | None) -> str:
    """`new_key`: is shown; `key_file`: where the key is kept, None = it came with the environment."""
    # For any shell and any folder that the line is pasted in.
    kept = f"$(cat {shlex.quote(str(key_file.absolute()))})" if key_file else "$FLATLINE_API_KEY"
    authorization = f'-H "Authorization: Bearer {new_key or kept}"'
    lines = ["", f"  flatline is up:  {url}"]
    if link:
        minutes = sessions.TOKEN_S // 60
        lines += ["", f"  Sign in (this link opens once, within {minutes} minutes):", f"    {link}"]
    if new_key:
        lines += ["", f"  API key (shown this once, kept in {key_file}):", f"    {new_key}"]
    lines += [
        "",
        "  Create a heartbeat; the answer holds its ping_url:",
        f'    curl {authorization} {url}/api/heartbeats -d \'{{"name": "backup"}}\'',
        "",
        "  Then let the job say that it ran:",
        "    curl -fsS -m 10 --retry 5 -o /dev/null <ping_url>",
        "",
        "  Ctrl-C stops it.",
        "",
        "",
    ]
    return "\n".join(lines)
