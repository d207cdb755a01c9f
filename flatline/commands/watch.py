"""`flatline watch`: a live table of what is down and late. A call at a time, at most one round each interval."""

import argparse
import contextlib
import signal
import threading
from collections.abc import Sequence
from typing import Final

from flatline.commands.api import OK, Api, Refused, add_options, api_of
from flatline.commands.main import guarded
from flatline.commands.status import look, summary
from flatline.commands.words import Parser

INTERVAL_MIN_S: Final = 1.0
INTERVAL_MAX_S: Final = 3_600.0
ROWS_MAX: Final = 200  # that are drawn; a screen shows fewer


def parser() -> Parser:
    words = Parser(
        prog="flatline watch",
        description="Show what is down and late, and keep showing it. Ctrl-C ends it.",
        epilog="exit status: 0 ended by Ctrl-C, 1 error at the first look, 2 wrong usage, 4 not allowed.",
        allow_abbrev=False,
    )
    words.add_argument(
        "--interval", type=_interval, default=5.0, metavar="SECONDS", help="between looks, 1 to 3600 (5)"
    )
    add_options(words)
    return words


def main(words: Sequence[str]) -> int:
    """The command after `flatline watch`; its exit status."""
    options = parser().parse_args(words)

    def work() -> int:
        return _watch(api_of(options), options.interval)

    return guarded("flatline watch", work)


def _watch(api: Api, interval: float) -> int:
    from rich.console import Group  # noqa: PLC0415 - only now is it needed
    from rich.live import Live  # noqa: PLC0415

    from flatline.commands import show  # noqa: PLC0415

    def picture(found: dict[str, list[dict[str, object]]]) -> Group:
        shown = [*found["down"], *found["late"]]
        table = show.rows(shown[:ROWS_MAX], ("name", "status", "since", "last_ping_at", "id"))
        return Group(show.cell(f"{api.host}: {summary(found)}"), *([table] if shown else []))

    seen = picture(look(api))  # the first look tells at once what is wrong with URL and key
    screen = show.console()
    # Off a terminal Live would draw only its last picture.
    live = Live(seen, console=screen, auto_refresh=False, screen=True) if screen.is_terminal else None

    def draw(shown: Group) -> None:
        live.update(shown, refresh=True) if live else screen.print(shown)

    def keep_looking() -> None:
        shown = seen
        while not over.wait(interval):
            try:
                shown = picture(look(api))
                draw(shown)
            except Refused as error:
                draw(Group(show.cell(f"{error}; what follows was seen before"), shown))

    # A call may hang for its whole time-out; Ctrl-C is not to wait for it, so a thread looks, and dies with us.
    over = threading.Event()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with live or contextlib.nullcontext(), contextlib.suppress(KeyboardInterrupt):
        draw(seen)
        threading.Thread(target=keep_looking, daemon=True).start()
        threading.Event().wait()
    over.set()
    return OK


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not INTERVAL_MIN_S <= seconds <= INTERVAL_MAX_S:
        raise argparse.ArgumentTypeError("must be 1 to 3600 seconds")
    return seconds
