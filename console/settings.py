"""Settings of the console."""

from dataclasses import dataclass
from typing import Final

from runtime.settings import RoleSettings, port_setting, proxies_setting, setting
from runtime.values import Network, parse_public_url

API_KEY_MIN: Final = 32  # characters


@dataclass(frozen=True)
class ConsoleSettings(RoleSettings):
    """What the console needs. Alone it cannot know where the ingest nodes are: it shows their default port here."""

    port: int = port_setting(8001)
    public_url: str = setting(
        "http://127.0.0.1:8000", "Where pings reach the ingest nodes, as shown in ping URLs.", parse=parse_public_url
    )
    trusted_proxies: tuple[Network, ...] = proxies_setting()
    api_key: str = setting("", "The first admin's API key, at least 32 characters.", minimum=API_KEY_MIN, secret=True)
