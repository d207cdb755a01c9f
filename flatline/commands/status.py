"""`flatline status`: what is down and late, for people and for scripts."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flatline.commands.api import DOWN, OK, Api, add_options, api_of
from flatline.commands.main import guarded, print_json
from flatline.commands.words import Parser

ROWS: Final = 500  # of each kind
PAGES: Final = 20  # that are asked for; a page looks at some 500


def parser() -> Parser:
    words = Parser(
        prog="flatline status",
        description="Say what is down and late.",
        epilog="exit status: 0 ok, 1 error, 2 wrong usage, 4 not allowed, 5 something is down (with --exit-code).",
        allow_abbrev=False,
    )
    words.add_argument("--exit-code", action="store_true", help="end with 5 if something is down")
    words.add_argument("--json", action="store_true", help="print the API's own records: down, late, incidents")
    add_options(words)
    return words


def main(words: Sequence[str]) -> int:
    """The command after `flatline status`; its exit status."""
    options = parser().parse_args(words)

    def work() -> int:
        found = look(api_of(options))
        if options.json:
            print_json(found)
        else:
            from flatline.commands import show  # noqa: PLC0415 - rich takes longer to load than the calls

            sys.stdout.write(summary(found) + "\n")
            if shown := [*found["down"], *found["late"]]:
                show.console().print(show.rows(shown, ("id", "name", "status", "last_ping_at")))
        return DOWN if options.exit_code and (found["down"] or found["incidents"]) else OK

    return guarded("flatline status", work)


def look(api: Api) -> dict[str, Any]:
    """Heartbeats that are `down` and `late`, and `incidents` that are open. Raises Refused."""
    return {
        "down": _first(api, "heartbeats", "down"),
        "late": _first(api, "heartbeats", "late"),
        "incidents": _first(api, "incidents", "open"),
    }


def _first(api: Api, what: str, status: str) -> list[Any]:
    """So many, over pages that may come back short: late ones are looked for among all that are up."""
    found: list[Any] = []
    query: dict[str, Any] = {"status": status, "limit": ROWS}
    for _ in range(PAGES):
        page = api.call("GET", f"/api/{what}", query=query)
        found += page[what]
        if page["next_cursor"] is None or len(found) >= ROWS:
            break
        query["cursor"] = page["next_cursor"]
    return found[:ROWS]


def summary(found: Mapping[str, Any]) -> str:
    """One line."""
    fleets = [each for each in found["incidents"] if each["fleet"]]
    word = "fleet" if len(fleets) == 1 else "fleets"
    return f"{_many(found['down'])} down, {_many(found['late'])} late, {_many(fleets)} {word} with silent members"


def _many(found: Sequence[object]) -> str:
    return f"{ROWS} or more" if len(found) == ROWS else str(len(found))
