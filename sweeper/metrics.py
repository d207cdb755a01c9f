"""What a sweeper counts, per shard where it matters."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge

from store.deadlines import Swept
from store.fleets import SweptFleet


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._taken = Counter("flatline_deadlines_taken_total", "Passed deadlines taken.", registry=registry)
        self._silent = Counter(
            "flatline_silent_members_total", "Members of fleets that fell silent.", registry=registry
        )
        self._timers = Counter("flatline_timers_fired_total", "Due timers fired.", registry=registry)
        self._chores = Counter("flatline_chores_handed_total", "Due chores handed to notifiers.", registry=registry)
        self._corrupt = Counter(
            "flatline_corrupt_records_total", "Records that could not be judged.", registry=registry
        )
        self._lag = Gauge(
            "flatline_sweep_lag_seconds", "Age of the oldest due moment that waits.", ["shard"], registry=registry
        )
        self._at = Gauge(
            "flatline_sweep_last_success_timestamp_seconds",
            "When a shard was last swept.",
            ["shard"],
            registry=registry,
        )

    def count(self, fired: int, chores: int, corrupt: int, fleet: SweptFleet) -> None:
        self._timers.inc(fired)
        self._chores.inc(chores)
        self._silent.inc(fleet.silent)
        self._corrupt.inc(corrupt + fleet.corrupt)

    def observe(self, shard: int, swept: Swept) -> None:
        self._taken.inc(swept.taken)
        self._corrupt.inc(swept.corrupt)
        lag_ms = max(0, swept.now - swept.due) if swept.due else 0  # 0: a walk over fleets, no moment that has passed
        self._lag.labels(shard).set(lag_ms / 1000)
        self._at.labels(shard).set(time.time())
