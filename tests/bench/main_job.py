"""How soon people hear: `flatline up` as a user starts it, one heartbeat of 2 s + 1 s, a webhook receiver."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from tests.notifier.sinks import http_sink
from tests.system.processes import Api, house

ROUNDS: Final = 7
SPAN_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds from a ping's answer to the message at the receiver."""

    what: str
    seconds: list[float]
    least: float
    most: float

    @property
    def met(self) -> bool:
        return self.least <= min(self.seconds) and max(self.seconds) <= self.most

    def __str__(self) -> str:
        wanted = f"wanted {self.least:g} to {self.most:g} s"
        spread = f"{median(self.seconds):.2f} s ({min(self.seconds):.2f} to {max(self.seconds):.2f})"
        return f"{self.what}: {spread} of {len(self.seconds)}; {wanted}: {'met' if self.met else 'not met'}"


async def lags(folder: Path) -> list[Lag]:
    """Silence and return, in turn; each is told once, or this waits in vain and fails."""
    opened: list[float] = []
    resolved: list[float] = []
    async with http_sink() as sink, house(folder) as here:
        up = await here.start("up", data_dir=str(folder / "data"), allow_private_targets="127.0.0.0/8")
        async with Api(up.url) as api:
            await api.create_channel("hook", "webhook", url=f"http://127.0.0.1:{sink.port}/")
            heartbeat = await api.create_heartbeat("clock", period=2, grace=1)
            for number in range(ROUNDS):
                for event, found, told in (("opened", opened, 1), ("resolved", resolved, 2)):
                    await api.ping(heartbeat["ping_url"])
                    answered = time.monotonic()
                    count = number * 2 + told
                    request = (await sink.received(count))[count - 1]
                    found.append(time.monotonic() - answered)
                    assert json.loads(request.body)["event"] == f"incident.{event}"
    return [
        Lag("last ping -> incident.opened at the webhook, period 2 s, grace 1 s", opened, SPAN_S, 3.6),
        Lag("next ping -> incident.resolved at the webhook", resolved, 0.0, 0.6),
    ]
