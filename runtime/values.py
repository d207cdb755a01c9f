"""How a setting's text becomes a value: a parser per type. Its ValueError says "must be …", without the input."""

import math
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal, NamedTuple, get_args, get_origin
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")  # int() would also take 1_000 and other scripts' digits


class Limits(NamedTuple):
    """Least and greatest value of a number, or length of a string; None = no limit."""

    minimum: float | None = None
    maximum: float | None = None

    def admit(self, size: float) -> bool:
        return (self.minimum is None or size >= self.minimum) and (self.maximum is None or size <= self.maximum)

    def __str__(self) -> str:
        match self:
            case (None, None):
                return ""
            case (least, None):
                return f" of at least {least}"
            case (None, most):
                return f" of at most {most}"
        return f" from {self.minimum} to {self.maximum}"


def parser_for(kind: object, limits: Limits) -> Callable[[str], object]:
    """Give the parser of a field's type; raises TypeError for a type that needs a `parse` of its own."""
    if get_origin(kind) is Literal:
        return lambda raw: _choice(raw, get_args(kind))
    parsers: dict[object, Callable[[str], object]] = {
        int: lambda raw: _whole(raw, limits),
        float: lambda raw: _number(raw, limits),
        str: lambda raw: _text(raw, limits),
        bool: _boolean,
        tuple[Network, ...]: _networks,
    }
    if kind not in parsers:
        raise TypeError(f"settings of type {kind} need a parse function")
    return parsers[kind]


def _whole(raw: str, limits: Limits) -> int:
    if not WHOLE_NUMBER.fullmatch(raw.strip()) or not limits.admit(int(raw)):
        raise ValueError(f"must be a whole number{limits}")
    return int(raw)


def _number(raw: str, limits: Limits) -> float:
    try:
        value = float(raw)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not limits.admit(value):
        raise ValueError(f"must be a number{limits}")
    return value


def _text(raw: str, limits: Limits) -> str:
    if not limits.admit(len(raw)):
        raise ValueError(f"must be a text with a length{limits} characters")
    return raw


def _boolean(raw: str) -> bool:
    word = raw.strip().lower()
    if word not in TRUE | FALSE:
        raise ValueError("must be true or false")
    return word in TRUE


def _networks(raw: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(item) for item in raw.replace(",", " ").split())
    except ValueError:
        raise ValueError("must be networks like 10.0.0.0/8,fd00::/8, each with no bit set behind its prefix") from None


def _choice(raw: str, choices: tuple[str, ...]) -> str:
    word = raw.strip().lower()
    if word not in choices:
        raise ValueError(f"must be one of {', '.join(choices)}")
    return word


def parse_public_url(raw: str) -> str:
    """An http or https URL without credentials, query and fragment; a path is allowed, its last slash is dropped."""
    url = raw.strip()
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        usable = False
    if not usable or not re.fullmatch(r"[!-~]+", url) or re.search(r"[@?#\\]", url):
        raise ValueError("must be an http:// or https:// URL without user, query and fragment")
    return url.rstrip("/")
