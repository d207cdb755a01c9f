"""Whom a client command tells: the options, and what the environment adds to them. The URL and the keys are secrets."""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

from flatline.client import Address
from rules import limits, tokens
from runtime.errors import StartError
from runtime.settings import load, setting
from runtime.values import parse_public_url

Value = TypeVar("Value")


def parse_ping_key(raw: str) -> str:
    """A ping key, also one that was imported."""
    if not re.fullmatch("[A-Za-z0-9_-]{1,100}", raw):
        raise ValueError("must be letters, digits, - and _")
    return raw


@dataclass(frozen=True)
class ClientSettings:
    """What a client may leave to the environment."""

    public_url: str = setting("", "Where flatline is.", parse=parse_public_url)
    ping_key: str = setting("", "The secret that addresses heartbeats by slug.", secret=True, parse=parse_ping_key)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without repeating what was typed: that may be the secret."""

    def error(self, message: str) -> NoReturn:
        said = re.sub("'.*'", "…", message)
        self.exit(2, f"{self.prog}: {said} (see {self.prog} --help)\n")

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        options, unknown = self.parse_known_args(words)
        for word in unknown:
            name = word.partition("=")[0]
            self.error(f"no option is called {name}" if name.startswith("-") else "one URL or token is enough")
        if (options.target is None) == (options.slug is None):
            self.error("say which heartbeat: either a ping URL, a token, or --slug")
        if options.create and options.target is not None and not _is_url(options.target):
            self.error("--create needs --slug: a token cannot be chosen")
        return options


def add_target(parser: Parser) -> None:
    """The options that say whom a signal is about."""
    parser.add_argument(
        "target", nargs="?", type=checked(_target), metavar="URL|TOKEN", help="a ping URL, or a token and --url"
    )
    parser.add_argument("--url", type=checked(parse_public_url), help="where flatline is (env FLATLINE_PUBLIC_URL)")
    parser.add_argument("--slug", type=checked(_slug), metavar="NAME", help="the heartbeat's slug, with a ping key")
    parser.add_argument(
        "--ping-key", type=checked(parse_ping_key), metavar="KEY", help="the secret with --slug (env FLATLINE_PING_KEY)"
    )
    parser.add_argument("--create", action="store_true", help="make the heartbeat if no other has the slug")


def address_of(options: argparse.Namespace, environ: Mapping[str, str]) -> Address:
    """Whom the options mean. Raises StartError when the environment does not hold what they leave out."""
    query = "create=1" if options.create else ""
    if options.target is not None and _is_url(options.target):
        url, _, own = options.target.partition("?")
        return Address(url.rstrip("/"), "&".join(filter(None, (own, query))))
    settings = load(ClientSettings, environ)
    base = options.url or settings.public_url
    key = options.ping_key or settings.ping_key
    if not base:
        raise StartError("say where flatline is: --url or FLATLINE_PUBLIC_URL")
    if options.target is not None:
        return Address(f"{base}/ping/{options.target}", query)
    if not key:
        raise StartError("--slug needs a ping key: --ping-key, FLATLINE_PING_KEY or FLATLINE_PING_KEY_FILE")
    return Address(f"{base}/ping/{key}/{options.slug}", query)


def checked(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """A parser of settings as argparse wants it: argparse's own words would repeat what was typed."""

    def parsed(text: str) -> Value:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


def _is_url(target: str) -> bool:
    return "://" in target


def _target(text: str) -> str:
    if not _is_url(text):
        token = tokens.parse(text)
        if token is None:
            raise ValueError("is neither a ping URL nor a token")
        return token
    url, mark, query = text.partition("?")
    url = parse_public_url(url)
    if not urlsplit(url).path:
        raise ValueError("is not a ping URL: it ends with the host")
    if not re.fullmatch("[!-~]*", query) or "#" in query:
        raise ValueError("must be a ping URL, without spaces and fragment")
    return url + mark + query


def _slug(text: str) -> str:
    if not re.fullmatch(limits.SLUG, text):
        raise ValueError("must be small letters, digits, - and _, at most 100 of them")
    return text
