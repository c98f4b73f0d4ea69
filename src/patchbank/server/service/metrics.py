"""Figures for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from patchbank.server.intake import Answer

CONTENT_TYPE = CONTENT_TYPE_LATEST
LATENCIES_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SHARES = (0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2, 4)
"""Limits of the histogram of scores by their threshold: 1 is the threshold."""


class Metrics:
    """Counters and histograms of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        own = self._registry
        self._requests = Counter(
            "patchbank_requests",
            "Requests by method, route and status.",
            ["method", "route", "status"],
            registry=own,
        )
        self._latency = Histogram(
            "patchbank_request_seconds",
            "Time from a request to its answer.",
            ["method", "route"],
            buckets=LATENCIES_S,
            registry=own,
        )
        self._inspection = Histogram(
            "patchbank_inspection_seconds",
            "Time of an inspection, without waiting.",
            ["product"],
            buckets=LATENCIES_S,
            registry=own,
        )
        self._verdicts = Counter(
            "patchbank_verdicts",
            "Inspections on record by verdict.",
            ["product", "verdict"],
            registry=own,
        )
        self._scores = Histogram(
            "patchbank_score_ratio",
            "Score by threshold: more than 1 is anomalous.",
            ["product"],
            buckets=SHARES,
            registry=own,
        )
        self._reviews = Counter(
            "patchbank_reviews", "Reviews by decision.", ["decision"], registry=own
        )
        self._dropped = Counter(
            "patchbank_refused",
            "Photographs that were refused as the queue was full.",
            registry=own,
        )

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a figure that is read when it is asked for."""
        Gauge(f"patchbank_{name}", text, registry=self._registry).set_function(read)

    def gauge_by(self, name: str, text: str, read: dict[str, Callable[[], float]]) -> None:
        """Add a figure for each of several channels."""
        gauge = Gauge(f"patchbank_{name}", text, ["channel"], registry=self._registry)
        for channel, function in read.items():
            gauge.labels(channel).set_function(function)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).inc()
        self._latency.labels(method, route).observe(seconds)

    def inspected(self, product: str, seconds: float) -> None:
        """Count the time of an inspection, whether or not it comes on record."""
        self._inspection.labels(product).observe(seconds)

    def recorded(self, answers: Iterable[Answer]) -> None:
        """Count inspections that have come on record."""
        for found in (each.inspection for each in answers if each.is_new):
            self._verdicts.labels(found.product, found.verdict).inc()
            score, threshold = found.result.get("score"), found.result.get("threshold")
            if score is not None and threshold is not None and threshold > 0:
                self._scores.labels(found.product).observe(score / threshold)

    def reviewed(self, decision: str) -> None:
        """Count a review."""
        self._reviews.labels(decision).inc()

    def refused(self) -> None:
        """Count a photograph for which there was no room."""
        self._dropped.inc()

    def text(self) -> bytes:
        """All figures as Prometheus reads them."""
        return generate_latest(self._registry)
