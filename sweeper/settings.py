"""Settings of a sweeper."""

from dataclasses import dataclass

from runtime.settings import RoleSettings, port_setting


@dataclass(frozen=True)
class SweeperSettings(RoleSettings):
    """What a sweeper needs."""

    port: int = port_setting(8002)
