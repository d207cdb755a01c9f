"""`flatline export` and `flatline import`: all of a server in a file, and from it into an empty server.

Straight from and to Redis: an export holds every secret, and needs no console.
"""

import argparse
import asyncio
import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote

from flatline import unixsocket
from flatline.commands.words import Parser
from flatline.ping import say
from runtime.errors import StartError
from runtime.settings import DEFAULT_REDIS_URL, HIGHEST_SHARDS, load, setting
from store import keys, restore, transfer
from store.database import Database, opened
from store.errors import Unavailable, UnfitServer

LINE_MAX: Final = 64_000_000  # bytes; the longest that is written have some hundred kB
REDRAW: Final = 200  # lines
TAIL: Final = 200  # bytes, more than the last line has

#: What is counted, one and several: lines of a kind, and entries of keys that begin so.
LINES: Final = {
    "heartbeat": ("heartbeat", "heartbeats"),
    "fleet": ("fleet", "fleets"),
    "incident": ("incident", "incidents"),
}
ENTRIES: Final = {
    keys.CHANNELS: ("channel", "channels"),
    keys.PEOPLE: ("person", "people"),
    keys.ONCALL: ("on-call schedule", "on-call schedules"),
    keys.POLICIES: ("policy", "policies"),
    keys.WINDOWS: ("maintenance window", "maintenance windows"),
    keys.USERS: ("user", "users"),
    keys.API_KEYS_OF: ("API key", "API keys"),
}


@dataclass(frozen=True)
class TransferSettings:
    """Which server."""

    redis_url: str = setting("", "The Redis or Valkey server.", secret=True)
    data_dir: str = setting("./data", "Where the embedded server lives.")
    shards: int = setting(1, "Parts of a new database.", minimum=1, maximum=HIGHEST_SHARDS)


class Failed(Exception):
    """The message is one line."""


def parser(command: str) -> Parser:
    if command == "export":
        words = Parser(
            prog="flatline export",
            description="Write all that is configured, with its state and every secret, to a file.",
            epilog="exit status: 0 written, 1 error, 2 wrong usage.",
            allow_abbrev=False,
        )
        words.add_argument("file", nargs="?", default="-", help="- (the default) is stdout; must not be there yet")
    else:
        words = Parser(
            prog="flatline import",
            description="Read an export into an empty server. Ids and tokens stay, so no client needs an edit; nothing "
            "alarms for the time since the export.",
            epilog="exit status: 0 read, 1 error, 2 wrong usage. After an error empty the server and begin anew.",
            allow_abbrev=False,
        )
        words.add_argument("file", help="what `flatline export` wrote; - is stdin")
        words.add_argument("--shards", metavar="N", help="parts of the new database (env FLATLINE_SHARDS, 1)")
    words.add_argument(
        "--redis-url", metavar="URL", help="the server (env FLATLINE_REDIS_URL; else that of `flatline up` here)"
    )
    return words


def main(words: Sequence[str], command: str) -> int:
    """The command after `flatline export` or `flatline import`; its exit status."""
    options = parser(command).parse_args(words)
    try:
        if command == "export":
            asyncio.run(_export(options))
        else:
            asyncio.run(_import(options))
    except StartError as error:
        say(f"flatline {command}: {error}")
        return 2
    except (Failed, restore.BadExport, UnfitServer, Unavailable) as error:
        say(f"flatline {command}: {error}")
        return 1
    except restore.NotEmpty:
        say(f"flatline {command}: this server is not empty: import into a new one")
        return 1
    except BrokenPipeError:  # the reader has gone; Python would complain once more at its end
        sys.stderr.close()
        return 1
    return 0


def redis_url(settings: TransferSettings) -> str:
    """The server that is named, or the embedded one of `flatline up` in the data directory."""
    return settings.redis_url or embedded_url(Path(settings.data_dir)) or DEFAULT_REDIS_URL


def embedded_url(data: Path) -> str:
    """Where `flatline up` on this directory has its server; empty = nowhere."""
    path = data.absolute() / unixsocket.NAME
    return f"unix://{quote(str(path.resolve()))}" if path.is_socket() else ""


async def _export(options: argparse.Namespace) -> None:
    settings = load(TransferSettings, os.environ, redis_url=options.redis_url)
    async with opened(redis_url(settings)) as db:
        with _output(options.file) as file, _progress("exported", await transfer.count(db)) as step:
            async for line in transfer.export(db):
                file.write(transfer.dumps(line))
                step(line)


async def _import(options: argparse.Namespace) -> None:
    settings = load(TransferSettings, os.environ, redis_url=options.redis_url, shards=options.shards)
    with _input(options.file) as file:
        async with opened(redis_url(settings), shards=settings.shards) as db:
            await _restore(db, file)


async def _restore(db: Database, file: BinaryIO) -> None:
    await restore.require_empty(db)
    work = restore.Import(db)
    with _progress("imported", None) as step:
        while text := file.readline(LINE_MAX):
            line = restore.loads(text)
            await work.take(line)
            step(line)
        await work.finish()


@contextlib.contextmanager
def _output(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        if sys.stdout.isatty():
            raise Failed("an export holds secrets: name a file, or send it somewhere")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Failed(f"{name} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:  # half an export must not be taken for one
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _input(name: str) -> Iterator[BinaryIO]:
    """A file that is cut is refused before anything is read of it; of stdin that is known at its end."""
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(name).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            if b'"kind":"end"' not in file.read():
                raise Failed(f"{name} is cut, or no export: its end is missing")
            file.seek(0)
            yield file
    except OSError as error:
        raise Failed(f"{name} cannot be read: {error.strerror}") from None


@contextlib.contextmanager
def _progress(done: str, total: int | None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A bar on a terminal's stderr; elsewhere one line at the end. A step is told the line that was done."""
    counts: Counter[tuple[str, str]] = Counter()
    lines = 0

    def count(line: Mapping[str, Any]) -> None:
        nonlocal lines
        lines += 1
        counts.update(_counted(line))

    if not sys.stderr.isatty():
        yield count
    else:
        from rich.console import Console  # noqa: PLC0415 - only for a terminal
        from rich.progress import Progress  # noqa: PLC0415

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(done, total=total)

            def draw(line: Mapping[str, Any]) -> None:
                count(line)
                if lines % REDRAW == 0:
                    bar.update(task, completed=counts[LINES["heartbeat"]])

            yield draw
    say(f"{done} {_summary(counts)} in {lines:,} lines")


def _counted(line: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """How many of what a line holds."""
    if line.get("kind") == "plain":
        return {words: len(line["entries"]) for start, words in ENTRIES.items() if line["key"].startswith(start)}
    return {words: 1 for kind, words in LINES.items() if kind == line.get("kind")}


def _summary(counts: Mapping[tuple[str, str], int]) -> str:
    """Heartbeats, and of the rest what there is."""
    shown = [words for words in (*LINES.values(), *ENTRIES.values()) if counts[words] or words == LINES["heartbeat"]]
    return ", ".join(f"{counts[words]:,} {words[counts[words] != 1]}" for words in shown)
