"""`flatline demo`: a plausible place full of jobs and devices that ping, fail and recover, over public URLs alone.

What it makes is tagged `demo`, so a second start goes on with what the first one made, and --clear takes it away.
"""

import argparse
import random
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flatline.client import Address, NotDelivered, deliver
from flatline.commands.api import OK, Api, add_options, api_of
from flatline.commands.main import guarded
from flatline.commands.words import Parser
from flatline.ping import say

TAG: Final = "demo"
RATE_MIN: Final = 0.1  # pings a second
RATE_MAX: Final = 50.0
RATE: Final = 5.0
PAGE: Final = 500
DEVICES: Final = 40
FLEET: Final = "demo greenhouse sensors"
FLEET_PERIOD_S: Final = 60
FLEET_GRACE_S: Final = 30
FAILS: Final = 0.03  # of all pings
FALLS_SILENT: Final = 0.01  # after a ping
SILENT_FOR: Final = 4  # periods
RUNS: Final = 0.3  # of jobs' pings are a start and its finish

#: Name, period and grace in seconds, tags: short ones, so that something happens while one looks.
JOBS: Final = (
    ("Postgres nightly dump", 120, 30, ("backup", "db")),
    ("Offsite copy to vault", 180, 60, ("backup",)),
    ("Photo library snapshot", 240, 60, ("backup", "home")),
    ("TLS certificate renewal", 300, 60, ("infra",)),
    ("Mail queue runner", 45, 20, ("mail",)),
    ("Invoice export", 90, 30, ("billing",)),
    ("Payment reconciliation", 150, 30, ("billing",)),
    ("Search index refresh", 60, 20, ("web",)),
    ("Thumbnail worker", 30, 15, ("web",)),
    ("Session cleanup", 75, 30, ("web", "db")),
    ("Log rotation", 200, 60, ("infra",)),
    ("Router uplink check", 30, 15, ("network",)),
    ("DNS zone sync", 100, 30, ("network",)),
    ("Office door controller", 50, 20, ("iot",)),
    ("Cold room thermometer", 40, 20, ("iot",)),
)
OUTPUTS: Final = (
    b"rsync: connection unexpectedly closed (0 bytes received so far)\n",
    b"pg_dump: error: connection to server failed: No space left on device\n",
    b"Traceback (most recent call last):\n  ...\nTimeoutError: upstream did not answer\n",
)


@dataclass
class Source:
    """One that pings. `due`: monotonic seconds of its next signal."""

    address: Address
    period: float
    is_job: bool
    due: float
    run: str = field(default="")


def parser() -> Parser:
    words = Parser(
        prog="flatline demo",
        description="Fill a server with a plausible fleet that pings, fails and recovers, until Ctrl-C.",
        epilog="exit status: 0 ended by Ctrl-C, 1 error, 2 wrong usage, 4 not allowed.",
        allow_abbrev=False,
    )
    words.add_argument(
        "--rate", type=_rate, default=RATE, metavar="N", help=f"pings a second at most, 0.1 to 50 ({RATE:g})"
    )
    words.add_argument("--seed", type=int, metavar="N", help="the same play again")
    words.add_argument("--clear", action="store_true", help="delete what a demo has made, and end")
    add_options(words)
    return words


def main(words: Sequence[str]) -> int:
    """The command after `flatline demo`; its exit status."""
    options = parser().parse_args(words)

    def work() -> int:
        api = api_of(options)
        if options.clear:
            return _clear(api)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            _play(_furnish(api), options.rate, random.Random(options.seed))  # noqa: S311 - a play needs no secrets
        except KeyboardInterrupt:
            say("flatline demo: ended; `flatline demo --clear` takes away what it made")
        return OK

    return guarded("flatline demo", work)


def _furnish(api: Api) -> list[Source]:
    """Makes what is missing of jobs and fleet. Raises Refused."""
    there = {each["name"]: each for each in _heartbeats(api)}
    sources = []
    now = time.monotonic()
    for name, period, grace, tags in JOBS:
        settings = {"name": name, "period": period, "grace": grace, "tags": [TAG, *tags]}
        made = there.get(name) or api.call("POST", "/api/heartbeats", settings)
        sources.append(Source(Address(made["ping_url"]), period, is_job=True, due=now))
    fleet = next(iter(_fleets(api)), None) or api.call(
        "POST", "/api/fleets", {"name": FLEET, "period": FLEET_PERIOD_S, "grace": FLEET_GRACE_S, "tags": [TAG]}
    )
    for number in range(1, DEVICES + 1):
        address = Address(f"{fleet['ping_url']}/sensor-{number:02}")
        sources.append(Source(address, FLEET_PERIOD_S, is_job=False, due=now))
    say(f"flatline demo: {len(JOBS)} jobs and {DEVICES} devices ping {api.host}; Ctrl-C ends it")
    return sources


def _play(sources: list[Source], rate: float, dice: random.Random) -> None:
    """One signal after the other, whoever is most overdue first; never more than `rate` a second."""
    told = False
    while True:
        began = time.monotonic()
        source = min(sources, key=lambda each: each.due)
        if source.due > began:
            time.sleep(source.due - began)
        try:
            _signal(source, dice)
            told = False
        except NotDelivered as error:
            if not told:  # once, not with every ping while flatline is away
                say(f"flatline demo: {source.address.host} was not told: {error}")
            told = True
        time.sleep(max(0.0, 1 / rate - (time.monotonic() - began)))


def _signal(source: Source, dice: random.Random) -> None:
    """What this one does next, and when it will do something again. Raises NotDelivered."""
    soon = source.period * dice.uniform(0.7, 0.95)
    source.due = time.monotonic() + soon
    if source.run:
        run, source.run = source.run, ""
        deliver(source.address, "", rid=run)
    elif dice.random() < FAILS:
        deliver(source.address, "fail", body=dice.choice(OUTPUTS))
        source.due = time.monotonic() + min(soon, 2 * source.period)
    elif source.is_job and dice.random() < RUNS:
        source.run = str(uuid.UUID(int=dice.getrandbits(128), version=4))
        source.due = time.monotonic() + min(soon, dice.uniform(2, 10))
        deliver(source.address, "start", rid=source.run)
    else:
        deliver(source.address, "")
        if dice.random() < FALLS_SILENT:
            source.due += SILENT_FOR * source.period


def _clear(api: Api) -> int:
    """Only what is tagged as ours, and named as ours."""
    names = {name for name, *_ in JOBS}
    gone = [each for each in _heartbeats(api) if each["name"] in names]
    for each in gone:
        api.call("DELETE", f"/api/heartbeats/{each['id']}")
    fleets = list(_fleets(api))
    for each in fleets:
        api.call("DELETE", f"/api/fleets/{each['id']}")
    say(f"flatline demo: {len(gone)} jobs and {len(fleets)} fleets are gone")
    return OK


def _heartbeats(api: Api) -> Iterator[dict[str, Any]]:
    return _pages(lambda cursor: api.call("GET", "/api/heartbeats", query={"tag": TAG, "limit": PAGE, **cursor}))


def _fleets(api: Api) -> Iterator[dict[str, Any]]:
    pages = _pages(lambda cursor: api.call("GET", "/api/fleets", query={"limit": PAGE, **cursor}))
    return (each for each in pages if each["name"] == FLEET and TAG in each["tags"])


def _pages(ask: Callable[[dict[str, str]], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    cursor: dict[str, str] = {}
    while True:
        page = ask(cursor)
        yield from next(value for value in page.values() if isinstance(value, list))
        if not page["next_cursor"]:
            return
        cursor = {"cursor": page["next_cursor"]}


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not RATE_MIN <= rate <= RATE_MAX:
        raise argparse.ArgumentTypeError(f"must be {RATE_MIN} to {RATE_MAX:g}")
    return rate
