"""Answers of the service, as types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

FIELDS = ("serial_number", "lot", "station", "shift", "operator", "camera")


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of a photograph that is anomalous, in its pixels."""

    left: int
    top: int
    width: int
    height: int
    area: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An inspection on record."""

    id: int
    time: datetime
    product: str
    verdict: Literal["good", "anomalous", "unread"]
    image: str
    """Name of the photograph."""
    score: float | None
    """Anomaly score; None for a photograph that could not be read."""
    threshold: float | None
    p_value: float | None
    regions: tuple[Region, ...]
    """Anomalous regions, worst first."""
    error: str | None
    """Reason why it could not be read."""
    detector_sha256: str
    serial_number: str | None = None
    lot: str | None = None
    station: str | None = None
    shift: str | None = None
    operator: str | None = None
    camera: str | None = None
    review: str | None = None
    """The latest decision of a person."""
    idempotency_key: str | None = None
    is_replayed: bool = False
    """Whether it was on record already under this key."""
    content: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict)
    """The whole answer."""

    @property
    def is_good(self) -> bool:
        """Whether it was inspected and found good; false too for one that could not be read."""
        return self.verdict == "good"

    @property
    def is_anomalous(self) -> bool:
        """Whether it was inspected and found anomalous."""
        return self.verdict == "anomalous"

    @classmethod
    def from_json(cls, content: Mapping[str, Any], *, is_replayed: bool = False) -> Verdict:
        """Read the object of one inspection.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        return cls(
            id=int(content["id"]),
            time=datetime.fromisoformat(content["time"].replace("Z", "+00:00")),
            product=content["product"],
            verdict=content["verdict"],
            image=content["image"],
            score=content["score"],
            threshold=content["threshold"],
            p_value=content["p_value"],
            regions=tuple(
                Region(**{name: each[name] for name in Region.__slots__})
                for each in content["regions"] or ()
            ),
            error=content["error"],
            detector_sha256=content["detector_sha256"],
            **{name: content.get(name) for name in (*FIELDS, "review", "idempotency_key")},
            is_replayed=is_replayed,
            content=content,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A product of the service."""

    name: str
    detector_sha256: str
    """Digest of its detector."""
    threshold: float
    false_alarm_rate: float
    error: str | None
    """Why a newer file of its detector is not in use; None if there is none."""
    content: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict)
    """The whole answer about it."""

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Product:
        """Read the object of one product.

        Raises:
            KeyError: it is none.
        """
        return cls(
            name=content["product"],
            detector_sha256=content["detector_sha256"],
            threshold=content["threshold"],
            false_alarm_rate=content["false_alarm_rate"],
            error=content["error"],
            content=content,
        )
