"""The kinds of channels and their fields, as one table: the API checks by it, the dashboard draws its forms from it.

How a kind is *sent* is the notifier's business; a new kind is one entry here and one sender there.
"""

import base64
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from typing import Final, Literal
from urllib.parse import urlsplit

from rules import limits

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the mark of a secret, not a secret

FieldType = Literal["text", "url", "secret", "emails", "bool", "int"]  # how a form asks for it
Shown = Literal["all", "admins", "never"]  # to whom the API gives a saved value back


class FieldError(ValueError):
    """A field that cannot be saved; the text names the field and its limit, never the value."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field} {message}")
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One setting of a kind. `check` returns the normalised value or raises ValueError with what it must be."""

    name: str
    type: FieldType
    doc: str
    check: Callable[[object], object]
    maximum: int | None = None  # characters; of `emails`, addresses
    required: bool = True
    default: object = None  # None: an absent field stays absent
    shown: Shown = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    name: str
    description: str
    fields: tuple[Field, ...]


def check(kind: str, settings: Mapping[str, object]) -> dict[str, object]:
    """The settings, normalised and with defaults. An absent field and one that is None are the same.

    Raises FieldError for an unknown kind, an unknown or missing field and a bad value.
    """
    if kind not in KINDS:
        raise FieldError("kind", f"must be one of {', '.join(KINDS)}")
    fields = KINDS[kind].fields
    for name in settings:
        if name not in {field.name for field in fields}:
            raise FieldError(limits.clean(name)[: limits.NAME_MAX], f"is not a setting of {kind}")
    checked = {field.name: _value(field, settings.get(field.name)) for field in fields}
    return {name: value for name, value in checked.items() if value is not None}


def make_secret() -> str:
    """A fresh webhook secret, for a channel that was made without one."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secret_key(secret: str) -> bytes:
    """The bytes a webhook is signed with. Raises ValueError for anything that is not a secret."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not limits.SECRET_MIN_BYTES <= len(key) <= limits.SECRET_MAX_BYTES:
        raise ValueError(
            f"must be {SECRET_PREFIX} and the base64 of {limits.SECRET_MIN_BYTES} to {limits.SECRET_MAX_BYTES} bytes"
        )
    return key


def email_address(value: object) -> str:
    """One bare address, its domain in ASCII, because few servers take another. Raises ValueError."""
    address = _text(value)
    if not re.fullmatch(r'[^\s@"(),:;<>\[\]\\]+@[^\s@"(),:;<>\[\]\\]+', address):
        raise ValueError("must hold plain addresses such as ops@example.org")
    local, _, domain = address.partition("@")
    try:
        address = Address(addr_spec=f"{local}@{domain.encode('idna').decode()}").addr_spec
    except (ValueError, MessageError):
        raise ValueError("must hold valid e-mail addresses") from None
    if len(address) > limits.EMAIL_MAX:
        raise ValueError(f"must hold addresses of at most {limits.EMAIL_MAX} characters")
    return address


def _value(field: Field, value: object) -> object:
    if value is None:
        if field.required:
            raise FieldError(field.name, "is required")
        return field.default
    if field.maximum is not None and isinstance(value, str | list) and len(value) > field.maximum:
        unit = "characters" if isinstance(value, str) else "entries"
        raise FieldError(field.name, f"must have at most {field.maximum:,} {unit}")
    try:
        return field.check(value)
    except ValueError as error:
        raise FieldError(field.name, str(error)) from None


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a non-empty string")
    if limits.clean(value) != value:
        raise ValueError("must have no control characters and no spaces at its ends")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - for the caller all refusals are ValueErrors
    return value


def _url(value: object) -> str:
    url = _text(value)
    # Parsers disagree about blanks and backslashes; whoever lets them pass lets one host look like another.
    if re.search(r"[\s\\]", url):
        raise ValueError("must have no spaces and no backslashes")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be a valid URL") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("must be http:// or https:// with a host")
    if "@" in parts.netloc:
        raise ValueError("must have no user or password in it")
    return url


def _base_url(value: object) -> str:
    url = _url(value)
    if re.search(r"[?#]", url):
        raise ValueError("must have no query and no fragment")
    return url.rstrip("/")


def _secret(value: object) -> str:
    secret = _text(value)
    secret_key(secret)
    return secret


def _emails(value: object) -> list[str]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"must be a list of 1 to {limits.EMAILS_MAX} addresses")
    return list(dict.fromkeys(email_address(entry) for entry in value))


_FOLD: Final = Field(
    name="fold",
    type="bool",
    doc="Tell many incidents that open together in one message.",
    check=_flag,
    required=False,
    default=True,
)

KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            name="webhook",
            description="A signed HTTP POST of JSON, as in Standard Webhooks.",
            fields=(
                Field(
                    name="url",
                    type="url",
                    doc="Where to POST; http or https.",
                    check=_url,
                    maximum=limits.URL_MAX,
                    shown="admins",  # many services put their key into the URL
                ),
                Field(
                    name="secret",
                    type="secret",
                    doc="What the receiver verifies signatures with; made for you if absent.",
                    check=_secret,
                    maximum=limits.TOKEN_MAX,
                    required=False,
                    shown="never",
                ),
                _FOLD,
            ),
        ),
        Kind(
            name="gotify",
            description="A push to phones through Gotify or Notifly.",
            fields=(
                Field(
                    name="url",
                    type="url",
                    doc="The server's address, with its sub-path if it has one.",
                    check=_base_url,
                    maximum=limits.URL_MAX,
                ),
                Field(
                    name="token",
                    type="secret",
                    doc="The application's token.",
                    check=_text,
                    maximum=limits.TOKEN_MAX,
                    shown="never",
                ),
                _FOLD,
            ),
        ),
        Kind(
            name="email",
            description="An e-mail through the SMTP server of FLATLINE_SMTP_URL.",
            fields=(
                Field(
                    name="to",
                    type="emails",
                    doc="Who gets it; the addresses see each other.",
                    check=_emails,
                    maximum=limits.EMAILS_MAX,
                ),
                _FOLD,
            ),
        ),
    )
}
