"""Settings of a notifier."""

from dataclasses import dataclass

from notifier.channels.smtp import parse_smtp_from, parse_smtp_url
from runtime.settings import RoleSettings, port_setting, setting
from runtime.values import Network


def _smtp_url(text: str) -> str:
    parse_smtp_url(text)
    return text


def _smtp_from(text: str) -> str:
    parse_smtp_from(text)
    return text


@dataclass(frozen=True)
class NotifierSettings(RoleSettings):
    """What a notifier needs."""

    port: int = port_setting(8003)
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
