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
from rules.apprise import apprise_url

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the mark of a secret, not a secret

FieldType = Literal["text", "url", "secret", "emails", "bool", "int", "priority"]  # how a form asks for it
OFF: Final = "off"  # as a priority: not told at all
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


def _number(minimum: int, maximum: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            raise ValueError(f"must be a whole number from {minimum:,} to {maximum:,}")
        return value

    return check


def _priority(value: object) -> int | str:
    if value == OFF:
        return OFF
    try:
        return _number(limits.PRIORITY_MIN, limits.PRIORITY_MAX)(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "{OFF}"') from None


def _matching(pattern: str, what: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not re.fullmatch(pattern, text := _text(value)):
            raise ValueError(f"must be {what}")
        return text

    return check


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


#: Of every kind.
_COMMON: Final = (
    Field(
        name="fold",
        type="bool",
        doc="Send one message when more than five incidents open together.",
        check=_flag,
        required=False,
        default=True,
    ),
    Field(
        name="alert_priority",
        type="priority",
        doc='How loud bad news is, from 0 (quiet) to 10, or "off" to send none. If not set: as the heartbeat says.',
        check=_priority,
        required=False,
    ),
    Field(
        name="recovery_priority",
        type="priority",
        doc='How loud good news is, 0 to 10, or "off". If not set: as the heartbeat says, but at most 3.',
        check=_priority,
        required=False,
    ),
)


def _hook(doc: str) -> Field:
    """A URL that is its own password."""
    return Field(name="url", type="url", doc=doc, check=_url, maximum=limits.URL_MAX, shown="admins")


def _server(doc: str, default: str | None = None) -> Field:
    return Field(
        name="url",
        type="url",
        doc=doc,
        check=_base_url,
        maximum=limits.URL_MAX,
        required=default is None,
        default=default,
    )


def _token(name: str, doc: str, *, required: bool = True) -> Field:
    return Field(
        name=name,
        type="secret",
        doc=doc,
        check=_text,
        maximum=limits.TOKEN_MAX,
        required=required,
        shown="never",
    )


KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            name="webhook",
            description="A signed HTTP POST of JSON, as in Standard Webhooks.",
            fields=(
                _hook("Where to POST; http or https."),  # many services put their key into the URL
                Field(
                    name="secret",
                    type="secret",
                    doc="What the receiver verifies signatures with; made for you if absent.",
                    check=_secret,
                    maximum=limits.TOKEN_MAX,
                    required=False,
                    shown="never",
                ),
                *_COMMON,
            ),
        ),
        Kind(
            name="gotify",
            description="A push to phones through Gotify or Notifly.",
            fields=(
                _server("The server's address, with its sub-path if it has one."),
                _token("token", "The application's token."),
                *_COMMON,
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
                *_COMMON,
            ),
        ),
        Kind(
            name="slack",
            description="A message in Slack, or in Mattermost or Rocket.Chat, which take the same.",
            fields=(_hook("The URL of an incoming webhook."), *_COMMON),
        ),
        Kind(
            name="discord",
            description="A message in a Discord channel.",
            fields=(_hook("The URL of the channel's webhook."), *_COMMON),
        ),
        Kind(
            name="telegram",
            description="A message of a Telegram bot.",
            fields=(
                _token("token", "The bot's token."),
                Field(
                    name="chat_id",
                    type="text",
                    doc="The number of a chat, or the @name of a channel.",
                    check=_matching(r"-?[0-9]+|@\w+", "a number such as -1001234567890 or a name such as @alerts"),
                    maximum=limits.CHAT_MAX,
                ),
                Field(
                    name="topic",
                    type="int",
                    doc="The number of a topic of the group.",
                    check=_number(1, 2**31 - 1),
                    required=False,
                ),
                _server("Where the Bot API is.", "https://api.telegram.org"),
                *_COMMON,
            ),
        ),
        Kind(
            name="teams",
            description="A card in Microsoft Teams, through a workflow.",
            fields=(_hook("The URL of a workflow that starts when a webhook request is received."), *_COMMON),
        ),
        Kind(
            name="ntfy",
            description="A push to phones through ntfy.",
            fields=(
                Field(
                    name="topic",
                    type="text",
                    doc="The topic; on a public server whoever knows it can read it.",
                    check=_matching("[-_A-Za-z0-9]+", "letters, digits, - and _"),
                    maximum=limits.TOPIC_MAX,
                    shown="admins",
                ),
                _token("token", "An access token, if the server asks for one.", required=False),
                _server("The server's address.", "https://ntfy.sh"),
                *_COMMON,
            ),
        ),
        Kind(
            name="pushover",
            description="A push to phones through Pushover.",
            fields=(
                _token("token", "The application's token."),
                _token("user", "The key of the user or the group."),
                Field(
                    name="device",
                    type="text",
                    doc="One device only.",
                    check=_matching("[-_A-Za-z0-9]+", "letters, digits, - and _"),
                    maximum=limits.DEVICE_MAX,
                    required=False,
                ),
                Field(
                    name="emergency",
                    type="bool",
                    doc="Send priority 10 as an emergency, repeated until somebody confirms it.",
                    check=_flag,
                    required=False,
                    default=False,
                ),
                Field(
                    name="retry",
                    type="int",
                    doc="Seconds between the repeats of an emergency.",
                    check=_number(limits.EMERGENCY_MIN, limits.EMERGENCY_MAX),
                    required=False,
                    default=60,
                ),
                Field(
                    name="expire",
                    type="int",
                    doc="Seconds for which an emergency is repeated.",
                    check=_number(limits.EMERGENCY_MIN, limits.EMERGENCY_MAX),
                    required=False,
                    default=3_600,
                ),
                _server("Where the API is.", "https://api.pushover.net"),
                *_COMMON,
            ),
        ),
        Kind(
            name="pagerduty",
            description="An incident in PagerDuty, acknowledged and resolved with ours.",
            fields=(
                _token("routing_key", "The integration key of an Events API v2 integration."),
                _server("Where the Events API is.", "https://events.pagerduty.com"),
                *_COMMON,
            ),
        ),
        Kind(
            name="alertmanager",
            description="An alert in Prometheus' Alertmanager, resolved with the incident.",
            fields=(
                _server("The server's address, with its sub-path if it has one."),
                _token("token", "A bearer token, if a proxy before it asks for one.", required=False),
                *_COMMON,
            ),
        ),
        Kind(
            name="apprise",
            description="One of some fifty other services, through Apprise.",
            fields=(
                Field(
                    name="url",
                    type="secret",
                    doc="The service's Apprise URL.",
                    check=lambda value: apprise_url(_text(value)),
                    maximum=limits.URL_MAX,
                    shown="never",
                ),
                *_COMMON,
            ),
        ),
    )
}
