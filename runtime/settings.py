"""Settings from the environment: one frozen dataclass per role, read once at start.

The name is FLATLINE_ plus the field's name in capitals; a secret may stand in a file that FLATLINE_<NAME>_FILE names.
Command-line flags come as overrides and win. An empty value counts as not given, because compose files and unit files
pass `NAME=` for a variable that nobody set.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_type_hints

from runtime.errors import StartError
from runtime.values import Limits, parser_for

PREFIX = "FLATLINE_"
FILE_SUFFIX = "_FILE"
SHOWN_LENGTH = 60  # characters of a bad value that an error repeats

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
HIGHEST_PORT = 65_535
HIGHEST_SHARDS = 1_024

T = TypeVar("T")


class SettingsError(StartError):
    """A setting is unknown, unreadable or out of its limits; the message names it and never holds a secret."""


class Described(NamedTuple):
    """One row of the settings' documentation."""

    env: str
    default: object
    doc: str


def setting(
    default: T,
    doc: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    secret: bool = False,
    parse: Callable[[str], T] | None = None,
) -> T:
    """Declare a field: its default, its line of documentation, its limits (of a string: its length in characters).

    `parse` reads types that `runtime.values` does not know; its ValueError continues the sentence "FLATLINE_X …".
    """
    metadata = {"doc": doc, "limits": Limits(minimum, maximum), "secret": secret, "parse": parse}
    return dataclasses.field(default=default, metadata=metadata, repr=not secret, kw_only=True)


def proxies_setting() -> Any:
    """Declare whom a role behind proxies believes."""
    return setting((), "Networks whose X-Forwarded-For is believed, comma-separated.")


def port_setting(default: int) -> int:
    """Declare a role's own default port."""
    return setting(default, "Port to listen on; 0 takes any free one.", minimum=0, maximum=HIGHEST_PORT)


@dataclass(frozen=True)
class RoleSettings:
    """What every role needs; each role's own settings extend it."""

    redis_url: str = setting(DEFAULT_REDIS_URL, "The Redis or Valkey server that all roles share.", secret=True)
    host: str = setting(DEFAULT_HOST, "Address to listen on; 0.0.0.0 is every IPv4 interface.")
    port: int = port_setting(DEFAULT_PORT)
    shards: int = setting(
        1, "Parts of a database, fixed when it is first used; 64 for a cluster.", minimum=1, maximum=HIGHEST_SHARDS
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting("info", "The least severe events to log.")
    log_format: Literal["auto", "json", "text"] = setting(
        "auto", "Shape of a log line; auto is text on a terminal, else json."
    )


def load(cls: type[T], environ: Mapping[str, str], **overrides: object) -> T:
    """Read `cls` from `environ`; `overrides`, texts or numbers as flags give them, win over it; None means not given.

    Raises SettingsError with one line that names the first bad setting.
    """
    hints = get_type_hints(cls)
    values: dict[str, object] = {}
    for item in _fields(cls):
        given = overrides.pop(item.name, None)
        name = _env(item)
        if given is None:
            name, given = _read(item, environ)
        else:
            name = f"--{item.name.replace('_', '-')} ({name})"
        if given is not None:
            values[item.name] = _parse(name, item, hints[item.name], str(given))
    if overrides:
        raise TypeError(f"{cls.__name__} has no field {', '.join(sorted(overrides))}")
    return cls(**values)


def check_names(environ: Mapping[str, str], known: Iterable[type]) -> None:
    """Refuse a FLATLINE_ name that none of the `known` classes declares: most often a slip, never without effect."""
    names = set(_names(known))
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in names:
            raise SettingsError(f"{name} is not a setting: {_hint(name, environ[name], names)}")


def describe(*classes: type) -> list[Described]:
    """Every setting of `classes` once, in order: the documentation is tested against this."""
    rows = {
        _env(item): Described(_env(item), item.default, item.metadata["doc"])
        for cls in classes
        for item in _fields(cls)
    }
    return list(rows.values())


def _fields(cls: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)


def _env(item: dataclasses.Field[Any]) -> str:
    return PREFIX + item.name.upper()


def _names(classes: Iterable[type]) -> Iterator[str]:
    for item in (item for cls in classes for item in _fields(cls)):
        yield _env(item)
        if item.metadata["secret"]:
            yield _env(item) + FILE_SUFFIX


def _hint(name: str, value: str, known: Iterable[str]) -> str:
    # Kubernetes gives each pod such names for every service of its namespace.
    if name.endswith("_SERVICE_HOST") or "_SERVICE_PORT" in name or value.startswith(("tcp://", "udp://")):
        return "if it is a Kubernetes service link, set enableServiceLinks: false"
    # Compared without the prefix, which alone would make any two names alike.
    close = get_close_matches(name.removeprefix(PREFIX), [other.removeprefix(PREFIX) for other in sorted(known)], n=1)
    return f"did you mean {PREFIX}{close[0]}?" if close else "the documentation lists all settings"


def _read(item: dataclasses.Field[Any], environ: Mapping[str, str]) -> tuple[str, str | None]:
    name = _env(item)
    value, path = environ.get(name), environ.get(name + FILE_SUFFIX)
    if not item.metadata["secret"] or not path:
        return name, value or None
    if value:
        raise SettingsError(f"{name} and {name}{FILE_SUFFIX} are both set: keep one of them")
    name += FILE_SUFFIX
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{name} names a file that cannot be read: {_shown(path)}: {reason}") from None
    return name, text.removesuffix("\n").removesuffix("\r") or None


def _parse(name: str, item: dataclasses.Field[Any], kind: object, raw: str) -> object:
    parse = item.metadata["parse"] or parser_for(kind, item.metadata["limits"])
    try:
        return parse(raw)
    except ValueError as error:
        if not item.metadata["secret"]:
            raise SettingsError(f"{name} {' '.join(str(error).split())}, not {_shown(raw)}") from None
        # A parser may quote its input, so only our own ones, which never do, may speak about a secret.
        reason = "is not valid: " + item.metadata["doc"] if item.metadata["parse"] else str(error)
        raise SettingsError(f"{name} {reason}") from None


def _shown(raw: str) -> str:
    return repr(raw if len(raw) <= SHOWN_LENGTH else raw[:SHOWN_LENGTH] + "…")
