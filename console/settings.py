"""Settings of the console."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from runtime.settings import RoleSettings, port_setting, setting

API_KEY_MIN: Final = 32  # characters


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


@dataclass(frozen=True)
class ConsoleSettings(RoleSettings):
    """What the console needs. Alone it cannot know where the ingest nodes are: it shows their default port here."""

    port: int = port_setting(8001)
    public_url: str = setting(
        "http://127.0.0.1:8000", "Where pings reach the ingest nodes, as shown in ping URLs.", parse=parse_public_url
    )
    api_key: str = setting("", "The first admin's API key, at least 32 characters.", minimum=API_KEY_MIN, secret=True)
