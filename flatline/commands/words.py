"""The words of a command: parsers made from the table, hints for typos, and the body that options mean."""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NoReturn

from flatline.commands.api import USAGE, Refused, add_options
from flatline.commands.table import ACTIONS, Command, Noun, Option, verbs
from flatline.run import DURATION

BODY_MAX: Final = 64_000  # bytes, as the API takes

EXIT_STATUS: Final = """\
exit status: 0 ok, 1 error, 2 wrong usage, 3 not found, 4 not allowed.
"""


class Parser(argparse.ArgumentParser):
    """One line for what is wrong, with a hint where a word is nearly right."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            word = unknown[0].partition("=")[0]
            known = list(self._option_string_actions)
            what = "no option is called" if word.startswith("-") else "there is one word too many:"
            self.error(f"{what} {word}{hint(word, known)}")
        return options


def hint(word: str, known: Iterable[str]) -> str:
    """What was probably meant, as the end of a sentence; "" = nothing is near."""
    close = get_close_matches(word, list(known), n=1)
    return f": did you mean {close[0]}?" if close else ""


def parser_of(noun: Noun, command: Command) -> Parser:
    """The parser of one operation."""
    parser = Parser(
        prog=f"flatline {noun.name} {command.verb}",
        description=command.help,
        epilog=EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if command.is_about_one:
        parser.add_argument("id", metavar="NAME|ID" if noun.named else "ID", help="which one")
    if command.takes == "name":
        parser.add_argument("name", metavar="NAME", nargs="?", help="what it is called")
    if command.takes == "slug":
        parser.add_argument("slug", metavar="SLUG", help="its short name in URLs")
    if command.takes == "action":
        parser.add_argument("action", metavar="ACTION", choices=ACTIONS, help=", ".join(ACTIONS))
    for option in command.options:
        _add(parser, option)
    if command.has_fields:
        parser.add_argument(
            "--set", action="append", metavar="FIELD=VALUE", help="any field of the API; VALUE as JSON, or else as text"
        )
        parser.add_argument("--from", dest="from_", metavar="FILE", help="a JSON object of fields; - is stdin")
    if command.confirm or command.takes == "action":
        parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print the API's own answer")
    add_options(parser)
    return parser


def overview(noun: Noun) -> str:
    """The help of `flatline <noun>`."""
    rows = [f"  flatline {noun.name} {command.verb:12} {command.help}" for command in verbs(noun.name)]
    return "\n".join([f"usage: flatline {noun.name} VERB [options]", "", f"{noun.help.capitalize()}.", "", *rows, ""])


def query_of(asked: Iterable[Option], options: argparse.Namespace) -> dict[str, object]:
    """What stands behind the question mark."""
    given = {option.field: getattr(options, option.field) for option in asked}
    return {field: value for field, value in given.items() if value is not None}


def body_of(command: Command, options: argparse.Namespace) -> dict[str, Any]:
    """The fields to send: those of a file, over them those of --set, over them the options. Raises Refused."""
    body: dict[str, Any] = _object(options.from_) if command.has_fields and options.from_ else {}
    for text in (options.set or []) if command.has_fields else []:
        field, value = _pair(text, "--set")
        body[field] = _json_or_text(value)
    for option in command.options:
        value = getattr(options, option.field)
        if option.name == "--setting" and value:
            body[option.field] = body.get(option.field, {}) | {
                name: _json_or_text(text) for name, text in (_pair(each, "--setting") for each in value)
            }
        elif value is not None:
            body[option.field] = value
    if command.takes == "name" and options.name is not None:
        body["name"] = options.name
    return body


def seconds(text: str) -> int:
    """A duration such as 90, 5m, 1h30m, 1d."""
    found = DURATION.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError("must be a duration such as 90, 5m, 1h30m or 1d")
    days, hours, minutes, rest = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def _add(parser: Parser, option: Option) -> None:
    match option.value:
        case "whole":
            parser.add_argument(option.name, dest=option.field, type=_whole, metavar="N", help=option.help)
        case "duration":
            parser.add_argument(option.name, dest=option.field, type=seconds, metavar="DURATION", help=option.help)
        case "texts":
            parser.add_argument(option.name, dest=option.field, action="append", metavar="TEXT", help=option.help)
        case "choice":
            parser.add_argument(option.name, dest=option.field, choices=option.choices, help=option.help)
        case "text":
            parser.add_argument(option.name, dest=option.field, metavar="TEXT", help=option.help)


def _whole(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError("must be a whole number")
    return int(text)


def _pair(text: str, option: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not name or not mark:
        raise Refused(f"{option} wants NAME=VALUE", USAGE)
    return name, value


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _object(file: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read(BODY_MAX) if file == "-" else Path(file).read_text(encoding="utf-8")
        found = json.loads(text)
    except OSError as error:
        raise Refused(f"--from: {file} cannot be read: {error.strerror}", USAGE) from None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused(f"--from: {'stdin' if file == '-' else file} holds no JSON object", USAGE)
    return found
