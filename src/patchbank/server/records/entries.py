"""The entries of the records, as the rest of the service sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

from patchbank.runtime.printable import json_text

Verdict = Literal["good", "anomalous", "unread"]
Decision = Literal["confirmed_defect", "false_alarm", "unsure"]
Judgement = Literal["confirmed_defect", "false_alarm", "unsure", "withdrawn"]
"""A decision, or that the latest own one does not count any more."""
Role = Literal["operator", "engineer", "admin"]
VERDICTS: tuple[Verdict, ...] = ("good", "anomalous", "unread")
DECISIONS: tuple[Decision, ...] = ("confirmed_defect", "false_alarm", "unsure")
WITHDRAWN: Literal["withdrawn"] = "withdrawn"
ROLES: tuple[Role, ...] = ("operator", "engineer", "admin")
"""Each may do what those before it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Facts of the part, from whoever sends a photograph; each up to 200 characters."""

    serial_number: str | None = None
    lot: str | None = None
    station: str | None = None
    shift: str | None = None
    operator: str | None = None
    camera: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInspection:
    """An inspection that is to be recorded."""

    time: datetime
    """When it was inspected, UTC."""
    product: str
    fields: Fields
    result: Mapping[str, Any]
    """The object of `patchbank predict --json`, with the digest of the detector."""
    photograph_sha256: str
    """SHA-256 of the bytes that were received."""
    source: str
    """Where the photograph came from: ``http``, ``watch`` or ``camera``."""
    by: str
    """Name of the token that it was sent with; ``local`` without one."""
    idempotency_key: str | None = None
    """Name that the sender gave this inspection: one key is recorded once for a product."""
    photograph: str | None = None
    """Name of the kept photograph in `Pictures`; None where it is not kept."""
    overlay: str | None = None
    """Name of the kept overlay."""
    map: str | None = None
    """Name of the kept anomaly map."""
    is_border: bool = False
    """Whether it passed, and few good parts have a score as high."""

    @property
    def verdict(self) -> Verdict:
        """Verdict of the detector; a photograph that was not inspected is never good."""
        anomalous = self.result["anomalous"]
        if self.result.get("error") is not None or anomalous is None:
            return "unread"
        return "anomalous" if anomalous else "good"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInspection(NewInspection):
    """An inspection in the records."""

    id: int
    """Rises with each inspection of a database, also where a clock was set back."""
    instance: str
    """Name of the service that recorded it."""
    review: Decision | None = None
    """The latest decision of a person."""

    def to_json(self, root: str = "") -> dict[str, Any]:
        """The object that the service answers: the line of `predict --json` and what is recorded.

        Args:
            root: path of the service behind a proxy, in front of its links.
        """
        own = f"{root}/v1/inspections/{self.id}"
        kept = self.photograph is not None
        is_shown = kept and self.verdict != "unread"  # what was not inspected has no map
        links = {
            "self": own,
            "photograph": f"{own}/photograph" if kept else None,
            "overlay": f"{own}/overlay" if is_shown or self.overlay is not None else None,
            "map": f"{own}/map" if is_shown or self.map is not None else None,
            "explanation": f"{own}/explanation" if is_shown else None,
            "review": f"{own}/review",
        }
        return {
            **self.result,
            "id": self.id,
            "time": iso_utc(self.time),
            "product": self.product,
            "verdict": self.verdict,
            **{name: getattr(self.fields, name) for name in self.fields.__slots__},
            "photograph_sha256": self.photograph_sha256,
            "source": self.source,
            "by": self.by,
            "instance": self.instance,
            "idempotency_key": self.idempotency_key,
            "review": self.review,
            "links": links,
        }

    def to_text(self) -> str:
        """The same as JSON text, as it is sent by outboxes."""
        return json_text(self.to_json())


@dataclass(frozen=True, slots=True)
class Answer:
    """An inspection that is on record."""

    inspection: StoredInspection
    is_new: bool
    """False where the same photograph came under the same key before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which inspections are asked for; None asks for all."""

    product: str | None = None
    verdict: Verdict | None = None
    review: Decision | Literal["none"] | None = None
    """``none`` for those without a review."""
    since: datetime | None = None
    """At this time or later."""
    until: datetime | None = None
    """Before this time."""
    fields: Fields = field(default_factory=Fields)
    """Each that is given is equal."""
    min_score: float | None = None
    max_score: float | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Inspections, newest first."""

    inspections: tuple[StoredInspection, ...]
    cursor: str | None
    """Asks for the next page; None on the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A person's decision about an inspection; the latest one that stands counts."""

    inspection_id: int
    time: datetime
    decision: Judgement
    by: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorEntry:
    """A detector that a product had or has."""

    product: str
    sha256: str
    """Digest of its content, as inspections name it."""
    time: datetime
    """When the product got it."""
    action: str
    """``served``, ``uploaded``, ``activated``, ``tuned``, ``updated``, ``undone``, ``replaced``."""
    by: str
    reason: str
    threshold: float
    false_alarm_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of the audit: an append-only chain, in which each entry has the hash of the last."""

    number: int
    time: datetime
    by: str
    action: str
    product: str | None
    details: Mapping[str, Any]
    previous: str
    """Hash of the entry before; 64 zeros for the first."""
    hash: str
    """SHA-256 of the canonical JSON of all else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of the service without its secret."""

    name: str
    role: Role
    created: datetime
    expires: datetime | None
    revoked: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One result that has to be sent by a channel."""

    id: int
    """Rises in the order of the inspections of a service."""
    channel: str
    product: str
    inspection_id: int
    key: str
    """The same at each attempt, so that a receiver knows what it has already."""
    payload: str
    """`StoredInspection.to_text`."""
    attempts: int
    """Attempts that have failed."""


def iso_utc(time: datetime) -> str:
    """A time as ISO 8601 in UTC, to the microsecond.

    >>> iso_utc(datetime(2026, 3, 1, 8, 30, tzinfo=timezone.utc))
    '2026-03-01T08:30:00.000000Z'
    """
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
