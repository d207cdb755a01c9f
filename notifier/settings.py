"""Settings of a notifier."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from notifier.channels.smtp import parse_smtp_from, parse_smtp_url
from runtime.settings import RoleSettings, port_setting, setting
from runtime.values import Network, parse_public_url


def _smtp_url(text: str) -> str:
    parse_smtp_url(text)
    return text


def _smtp_from(text: str) -> str:
    parse_smtp_from(text)
    return text


def _heartbeat_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not re.fullmatch(r"[!-~]+", text):
        raise ValueError("must be an http:// or https:// URL")
    return text


@dataclass(frozen=True)
class NotifierSettings(RoleSettings):
    """What a notifier needs."""

    port: int = port_setting(8003)
    public_url: str = setting(
        "", "Where people reach the console: what links in messages begin with.", parse=parse_public_url
    )
    allow_private_targets: tuple[Network, ...] = setting(
        (), "Private networks that channels may reach, comma-separated; link-local metadata never."
    )
    smtp_url: str = setting(
        "",
        "The server that sends our mail: smtp://, smtp+starttls:// or smtps://user:password@host:port.",
        secret=True,
        parse=_smtp_url,
    )
    smtp_from: str = setting("", "The sender of our mail: an address, with or without a name.", parse=_smtp_from)
    heartbeat_url: str = setting(
        "",
        "An http:// or https:// URL that is asked once a minute while flatline works; some other monitor waits for it.",
        secret=True,
        parse=_heartbeat_url,
    )
