"""Settings of an ingest node."""

from dataclasses import dataclass
from typing import Literal

from runtime.settings import RoleSettings, port_setting, proxies_setting, setting
from runtime.values import Network

#: Above this the tail of one output would not fit what a heartbeat may keep (32 kB, store/lua/common.lua).
HIGHEST_OUTPUT_LIMIT = 30_000


@dataclass(frozen=True)
class IngestSettings(RoleSettings):
    """What an ingest node needs."""

    port: int = port_setting(8000)
    output_limit: int = setting(
        10_000, "Bytes kept of a ping's body: its tail.", minimum=0, maximum=HIGHEST_OUTPUT_LIMIT
    )
    queue_limit: int = setting(
        20_000, "Pings that may wait for Redis; more are answered 503.", minimum=1, maximum=1_000_000
    )
    cache_size: int = setting(200_000, "Heartbeats whose settings a node remembers.", minimum=1, maximum=10_000_000)
    durability: Literal["memory", "disk", "replica"] = setting(
        "memory",
        "What a ping's 200 promises: memory, disk (fsync), or replica (one has it); a heartbeat may ask for more.",
    )
    trusted_proxies: tuple[Network, ...] = proxies_setting()
