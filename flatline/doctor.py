"""`flatline doctor`: what is wrong with flatline itself, a line per check, each with what to do.

It looks at Redis directly, at the console's API, or at both: at whatever it is given or finds. It changes nothing, but
for --test-channels, which sends messages.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from flatline.commands.api import ERROR, OK, Api, Refused, add_options, api_of
from flatline.commands.main import guarded, outcome
from flatline.commands.words import Parser
from flatline.transfer import embedded_url
from rules.times import duration
from runtime.errors import StartError
from runtime.settings import load, setting
from store import diagnosis
from store.database import opened
from store.diagnosis import Server, Work
from store.errors import Unavailable, UnfitServer

Verdict = Literal["ok", "warn", "fail"]

OFFSET_MS: Final = 1_000  # nodes are allowed to be off by so much
PULSE_MS: Final = 10_000
BEHIND_MS: Final = 5_000
WAITING_MS: Final = 15_000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where to look."""

    redis_url: str = setting("", "The Redis or Valkey server.", secret=True)
    data_dir: str = setting("./data", "Where the embedded server lives.")


@dataclass(frozen=True)
class Check:
    """One line, and what to do unless it is ok."""

    verdict: Verdict
    name: str
    said: str
    todo: str = ""


def parser() -> Parser:
    words = Parser(
        prog="flatline doctor",
        description="Say what is wrong with flatline itself, and what to do. It looks at Redis and at the API: at what "
        "it is given, else at what it finds.",
        epilog="exit status: 0 nothing fails (warnings do not count), 1 something fails, 2 wrong usage.",
        allow_abbrev=False,
    )
    words.add_argument("--redis-url", metavar="URL", help="look here (env FLATLINE_REDIS_URL)")
    words.add_argument("--test-channels", action="store_true", help="send a test message to every channel")
    words.add_argument("--json", action="store_true", help="print a list of {check, verdict, said, todo}")
    add_options(words)
    return words


def main(words: Sequence[str]) -> int:
    """The command after `flatline doctor`; its exit status."""
    options = parser().parse_args(words)
    return guarded("flatline doctor", lambda: _examine(options))


def _examine(options: argparse.Namespace) -> int:
    settings = load(Settings, os.environ, redis_url=options.redis_url)
    redis_url = settings.redis_url or embedded_url(Path(settings.data_dir))
    checks = list(asyncio.run(of_redis(redis_url))) if redis_url else []
    try:
        api = api_of(options)
    except StartError as error:
        if options.url or not redis_url or options.test_channels:
            raise
        checks.append(Check("warn", "API", f"not looked at: {error}", "give a key to look at the console, too"))
    else:
        checks += of_api(api, test_channels=options.test_channels, problems=not redis_url)
    if options.json:
        found = [{"check" if key == "name" else key: value for key, value in asdict(c).items()} for c in checks]
        sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
    else:
        _show(checks)
    return ERROR if any(check.verdict == "fail" for check in checks) else OK


async def of_redis(url: str) -> list[Check]:
    """All that can be seen in Redis."""
    try:
        server = await diagnosis.server(url)
    except (Unavailable, UnfitServer) as error:
        return [Check("fail", "Redis", str(error), "is it running, and is FLATLINE_REDIS_URL right?")]
    checks = list(of_server(server))
    if any(check.verdict == "fail" for check in checks):
        return checks
    if not server.shards:
        return [*checks, Check("warn", "database", "there is none of flatline's here", "start flatline, or import one")]
    try:
        async with opened(url) as db:
            return [*checks, *of_work(await diagnosis.work(db))]
    except (Unavailable, UnfitServer) as error:
        return [*checks, Check("fail", "database", str(error), "see the line above")]


def of_server(server: Server) -> Iterator[Check]:
    """Version, eviction, persistence, clock."""
    shown, oldest = ".".join(map(str, server.version)), ".".join(map(str, server.oldest))
    if server.version < server.oldest:
        yield Check("fail", "Redis", f"{server.name} {shown}", f"use {server.name} {oldest} or newer")
    else:
        yield Check("ok", "Redis", f"{server.name} {shown}")
    if server.policy not in {None, "noeviction"}:
        todo = "set maxmemory-policy noeviction: deadlines would vanish without an alarm"
        yield Check("fail", "eviction", f"maxmemory-policy is {server.policy}", todo)
    else:
        yield Check("ok", "eviction", "noeviction" if server.policy else "hidden by the server")
    yield _persistence(server)
    if abs(server.offset_ms) > OFFSET_MS + server.uncertain_ms:
        ahead = "ahead of" if server.offset_ms > 0 else "behind"
        said = f"Redis' clock is {duration(abs(server.offset_ms) / 1000)} {ahead} this machine's"
        yield Check("warn", "clock", said, "let both keep time by NTP; Redis' clock rules")
    else:
        yield Check("ok", "clock", f"{server.offset_ms} ms off, within {server.uncertain_ms} ms")


def of_work(work: Work) -> Iterator[Check]:
    """Sweep, pulse, outbox, memory, problems, dead letters."""
    facts = work.facts
    if work.pulse_ms is None:
        yield Check("warn", "pulse", "no ingest node has ever been here", "start `flatline ingest` or `flatline up`")
    else:
        age = f"{duration(work.pulse_ms / 1000)} ago"
        todo = "are the ingest nodes up, and can they write to Redis? Nothing is judged meanwhile"
        yield Check("fail", "pulse", age, todo) if work.pulse_ms > PULSE_MS else Check("ok", "pulse", age)
    behind = f"{duration(facts.behind_ms / 1000)} behind"
    todo = "is a sweeper running, and can it write to Redis?"
    yield Check("fail", "sweep", behind, todo) if facts.behind_ms > BEHIND_MS else Check("ok", "sweep", behind)
    waits = f"the oldest entry waits for {duration(facts.waiting_ms / 1000)}" if facts.waiting_ms else "empty"
    todo = "is a notifier reading every shard? Its /readyz says"
    yield Check("fail", "outbox", waits, todo) if facts.waiting_ms > WAITING_MS else Check("ok", "outbox", waits)
    if facts.writes_fail:
        yield Check("fail", "disk", "Redis cannot write to its disk", "is it full? Redis' log says why")
    if work.dead_letters:
        todo = "GET /api/deliveries?status=dead says why; send them again, or purge them"
        yield Check("warn", "dead letters", f"{work.dead_letters:,} messages were given up", todo)
    else:
        yield Check("ok", "dead letters", "none")
    yield from _problems([(problem.kind, problem.text) for problem in work.problems])


def of_api(api: Api, *, test_channels: bool, problems: bool) -> Iterator[Check]:
    """The console, the public URL that pings go to, and, when asked, every channel."""
    try:
        ping_url = api.call("GET", "/api/project")["ping_url"]
        yield Check("ok", "API", api.host)
        if problems:
            found = api.call("GET", "/api/problems")["problems"]
            yield from _problems([(each["kind"], each["text"]) for each in found])
        yield _public_url(api, ping_url.partition("/ping/")[0])
        if test_channels:
            for channel in api.call("GET", "/api/channels")["channels"]:
                yield _channel(api, channel)
    except Refused as error:
        yield Check("fail", "API", str(error), "is the console running, and are URL and key right?")


def _persistence(server: Server) -> Check:
    if server.appends:
        if server.fsync == "always":
            return Check("ok", "persistence", "an append-only file, synced before every answer")
        return Check("ok", "persistence", f"an append-only file, synced {server.fsync or 'as the server likes'}")
    if server.save:
        todo = "set appendonly yes: a crash forgets what came after the last snapshot"
        return Check("warn", "persistence", "snapshots alone", todo)
    if server.save is None:
        return Check("warn", "persistence", "hidden by the server", "ask its provider whether a restart keeps the data")
    return Check("fail", "persistence", "none", "set appendonly yes: a restart forgets every heartbeat")


def _problems(found: Sequence[tuple[str, str]]) -> Iterator[Check]:
    for kind, text in found:
        yield Check("fail", "problem", text, f"see {kind} in watching-flatline.md")
    if not found:
        yield Check("ok", "problems", "none are open")


def _public_url(api: Api, public: str) -> Check:
    host = urlsplit(public).hostname or ""
    try:
        status, _ = Api(public, "").ask("GET", "/healthz")
    except Refused as error:
        return Check("fail", "public URL", str(error), "set FLATLINE_PUBLIC_URL to where jobs reach the ingest nodes")
    if status != 200:
        return Check(
            "fail", "public URL", f"{public}/healthz answers {status}", "do jobs reach the ingest nodes there?"
        )
    if _is_loopback(host) and not _is_loopback(urlsplit(api.url).hostname or ""):
        return Check(
            "warn", "public URL", f"{public} is this machine alone", "set FLATLINE_PUBLIC_URL for other machines"
        )
    return Check("ok", "public URL", public)


def _channel(api: Api, channel: dict[str, Any]) -> Check:
    name = f"channel {channel['name']}"
    told = outcome(api, api.call("POST", f"/api/channels/{channel['id']}/test"))
    if told["status"] == "told":
        return Check("ok", name, "a test message was taken")
    said = f"{told['status']}: {told['answer'] or 'no answer yet'}"
    return Check("fail", name, said, "its key, its address, or the network; GET /api/channels/<id>/log says more")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _show(checks: Sequence[Check]) -> None:
    from rich.text import Text  # noqa: PLC0415 - rich takes longer to load than most checks

    from flatline.commands import show  # noqa: PLC0415

    styles: dict[Verdict, str] = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    screen = show.console()
    for check in checks:
        line = Text.assemble((f"{check.verdict:5}", styles[check.verdict]), show.clean(f"{check.name}: {check.said}"))
        screen.print(line, soft_wrap=True)
        if check.todo:
            screen.print(Text(show.clean(f"      {check.todo}")), soft_wrap=True)
