"""What a notifier counts, by kind of channel and by reason: both closed sets."""

from collections.abc import Iterable
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from notifier.channels import SENDERS, Reason
from store.problems import KINDS, Kind

Beat = Literal["ok", "failed", "withheld"]


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._messages = Counter(
            "flatline_messages_total", "Messages tried, by kind and outcome.", ["kind", "outcome"], registry=registry
        )
        self._incidents = Counter(
            "flatline_deliveries_total", "Incidents told to a channel.", ["kind"], registry=registry
        )
        self._failures = Counter(
            "flatline_delivery_failures_total", "Failed messages, by reason.", ["kind", "reason"], registry=registry
        )
        self._latency = Histogram(
            "flatline_message_seconds",
            "Duration of a message that was taken.",
            ["kind"],
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
            registry=registry,
        )

        self._problems = Gauge("flatline_problems", "Problems of our own that last.", ["kind"], registry=registry)
        self._beats = Counter(
            "flatline_outgoing_heartbeats_total", "Outgoing heartbeats, by result.", ["result"], registry=registry
        )

    def delivered(self, kind: str, incidents: int, seconds: float) -> None:
        self._messages.labels(kind, "told").inc()
        self._incidents.labels(kind).inc(incidents)
        self._latency.labels(kind).observe(seconds)

    def failed(self, kind: str, reason: Reason, *, dead: bool) -> None:
        kind = kind if kind in SENDERS else "unknown"  # the record may say anything
        self._messages.labels(kind, "dead" if dead else "retry").inc()
        self._failures.labels(kind, reason).inc()

    def problems(self, lasting: Iterable[Kind]) -> None:
        kinds = list(lasting)
        for kind in KINDS:
            self._problems.labels(kind).set(kinds.count(kind))

    def outgoing_heartbeat(self, result: Beat) -> None:
        self._beats.labels(result).inc()
