"""What an ingest node counts. Labels from closed sets only: never a name, a token, an address."""

from collections.abc import Sized
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

RESULTS: Final = ("ok", "not_found", "bad_request", "refused", "unavailable", "overloaded")


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        pings = Counter("flatline_pings_total", "Pings answered, by result.", ["result"], registry=registry)
        self.pings = {result: pings.labels(result) for result in RESULTS}
        self._batch = Histogram(
            "flatline_ping_batch_size",
            "Pings that shared one write.",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
            registry=registry,
        )
        self._write = Histogram(
            "flatline_ping_write_seconds",
            "Duration of one write of pings to Redis.",
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
            registry=registry,
        )
        self.pulses = Counter(
            "flatline_pulses_total", "Pings through our own front, by result.", ["result"], registry=registry
        )
        self.deaf_windows = Counter(
            "flatline_deaf_windows_total", "Times in which we could not hear, as this node noticed.", registry=registry
        )
        self._cached = Gauge(
            "flatline_cached_heartbeats", "Heartbeats whose settings this node remembers.", registry=registry
        )

    def observe_batch(self, size: int, seconds: float) -> None:
        self._batch.observe(size)
        self._write.observe(seconds)

    def watch_cache(self, cache: Sized) -> None:
        self._cached.set_function(lambda: len(cache))
