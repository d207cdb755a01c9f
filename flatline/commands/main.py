"""`flatline heartbeat|fleet|channel|incident|policy ...`: one call of the API, and its answer on stdout."""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from flatline.commands.api import ERROR, NOT_FOUND, OK, USAGE, Api, Refused, api_of
from flatline.commands.table import FILTERS, Command, Noun, noun, verbs
from flatline.commands.words import body_of, hint, overview, parser_of, query_of
from flatline.ping import say
from runtime.errors import StartError

PAGE: Final = 500  # rows
BULK: Final = 1_000  # ids of one call
PAGES_MAX: Final = 100  # that are looked through for a name
SHOWN_MAX: Final = 5  # ids of those that share a name
TEST_PATIENCE_S: Final = 20.0
TEST_PAUSE_S: Final = 0.3


def main(name: str, words: Sequence[str]) -> int:
    """The command after `flatline`; its exit status."""
    about = noun(name)
    known = {command.verb: command for command in verbs(name)}
    if not words or words[0] in {"-h", "--help"}:
        (sys.stdout if words else sys.stderr).write(overview(about))
        return OK if words else USAGE
    if words[0] not in known:
        say(f"flatline {name}: there is no {words[0]}{hint(words[0], known)} (see flatline {name} --help)")
        return USAGE
    command = known[words[0]]
    options = parser_of(about, command).parse_args(words[1:])
    return guarded(f"flatline {name} {command.verb}", lambda: _run(about, command, options))


def guarded(name: str, work: Callable[[], int]) -> int:
    """What went wrong as one line on stderr, and its exit status."""
    try:
        return work()
    except StartError as error:
        say(f"{name}: {error}")
        return USAGE
    except Refused as error:
        say(f"{name}: {error}")
        return error.exit_status
    except BrokenPipeError:  # the reader has seen enough; Python would complain once more at its end
        sys.stderr.close()
        return OK


def _run(about: Noun, command: Command, options: argparse.Namespace) -> int:
    if command.takes == "action":
        return _bulk(about, command, options)
    path, query, body = command.path, None, None
    if command.method == "GET":
        query = query_of(command.options, options)
    elif command.method != "DELETE":
        body = body_of(command, options)
    api = api_of(options)
    if command.is_about_one:
        id_ = _id_of(api, about, options.id)
        path = path.replace("{id}", quote(id_, safe=""))
    if command.takes == "slug":
        path = path.replace("{slug}", quote(options.slug, safe=""))
    if command.confirm and not options.yes:
        _ask(f"This ends {command.confirm}: {about.name} {options.id} on {api.host}.")
    found = api.call(command.method, path, body, query=query)
    if command.verb == "test":
        found = outcome(api, found)
    if options.json:
        print_json(found)
    else:
        _print(about, command, found)
    if command.verb == "test":
        return OK if found.get("status") == "told" else ERROR
    return OK


def _id_of(api: Api, about: Noun, given: str) -> str:
    """Whom a word means: an id, or a name that only one has. Raises Refused."""
    if re.fullmatch(about.id, given):
        return given
    if not about.named:
        raise Refused(f"{given} is not the id of an {about.name}", USAGE)
    names = _names(api, about, {}, "give the id")
    exact = [id_ for id_, name in names.items() if name == given]
    found = exact or [id_ for id_, name in names.items() if name.casefold() == given.casefold()]
    if len(found) > 1:
        shown = ", ".join(found[:SHOWN_MAX]) + ("…" if len(found) > SHOWN_MAX else "")
        raise Refused(f"{len(found)} are called {given}: give the id ({shown})", USAGE)
    if not found:
        raise Refused(f"no {about.name} is called {given}{hint(given, names.values())}", NOT_FOUND)
    return found[0]


def _names(api: Api, about: Noun, query: Mapping[str, object], otherwise: str) -> dict[str, str]:
    """Of all that a list finds, by id. Raises Refused where there are too many; `otherwise`: what to do then."""
    names: dict[str, str] = {}
    # The lists of small kinds have one page, and know no limit.
    asked = {**query, **({"limit": PAGE} if about.name in {"heartbeat", "fleet"} else {})}
    for _ in range(PAGES_MAX):
        page = api.call("GET", about.path, query=asked)
        names |= {record["id"]: record["name"] for record in page[about.plural]}
        if not page["next_cursor"]:
            return names
        asked["cursor"] = page["next_cursor"]
    raise Refused(f"there are more than {PAGE * PAGES_MAX:,}: {otherwise}", USAGE)


def _bulk(about: Noun, command: Command, options: argparse.Namespace) -> int:
    """One thing done with all that are found, after a look at how many they are."""
    query = query_of(FILTERS, options)
    if not query:
        raise Refused(f"say which: {', '.join(option.name for option in FILTERS)}", USAGE)
    given = {option.field: getattr(options, option.field) for option in command.options if option not in FILTERS}
    body = {"action": options.action, **{field: value for field, value in given.items() if value is not None}}
    api = api_of(options)
    api.call(command.method, command.path, {**body, "ids": []})  # what makes no sense is refused before one is asked
    names = _names(api, about, query, "narrow it")
    if names and not options.yes:
        _ask(f"{options.action}: {_counted(len(names), about)} on {api.host}, such as {next(iter(names.values()))}.")
    done, failed, ids = 0, [], list(names)
    for i in range(0, len(ids), BULK):
        found = api.call(command.method, command.path, {**body, "ids": ids[i : i + BULK]})
        done += found["done"]
        failed += found["failed"]
    if options.json:
        print_json({"done": done, "failed": failed})
    else:
        say(f"{options.action}: {_counted(done, about)}" if names else "none")
        for each in failed:
            say(f"not {each['id']}: {each['message']}")
    return ERROR if failed else OK


def _counted(count: int, about: Noun) -> str:
    return f"{count:,} {about.name if count == 1 else about.plural}"


def _ask(question: str) -> None:
    """Raises Refused unless somebody says yes."""
    if not sys.stdin.isatty():
        raise Refused(f"{question} Nobody can be asked here: add --yes", USAGE)
    sys.stderr.write(f"{question} Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Refused("nothing was changed")


def outcome(api: Api, asked: dict[str, Any]) -> dict[str, Any]:
    """The delivery of a test, once it is told or has failed, or as it is when patience ends."""
    path = f"/api/deliveries/{asked['delivery']}"
    until = time.monotonic() + TEST_PATIENCE_S
    while True:
        found = api.call("GET", path)
        if found["status"] in {"told", "dead", "retrying"} or time.monotonic() > until:
            return found
        time.sleep(TEST_PAUSE_S)


def print_json(found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")


def _print(about: Noun, command: Command, found: dict[str, Any]) -> None:
    from flatline.commands import show  # noqa: PLC0415 - rich takes longer to load than most calls

    if command.method == "DELETE":
        say(f"the {about.name} is deleted")
        return
    if command.verb in {"pause", "resume"}:
        sys.stdout.write(show.standing(found) + "\n")
        return
    if not command.columns:
        show.console().print(show.record(found))
        return
    listed = found[about.plural if command.verb == "list" else command.verb]
    if listed:
        show.console().print(show.rows(listed, command.columns))
    else:
        say("none")
    if found["next_cursor"]:
        say(f"there are more: --cursor {found['next_cursor']}")
