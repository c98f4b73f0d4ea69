"""Result of a comparison: what two detectors say of the same photographs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from patchbank.datasets import GOOD
from patchbank.detector.inspection import Inspection
from patchbank.detector.lineage.entry import Entry

SCHEMA_VERSION = 1
"""Version of `docs/schemas/compare.schema.json`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One detector's word on one photograph."""

    score: float
    threshold: float
    is_anomalous: bool
    time_ms: float | None = None
    """Time from the file to the verdict; None where it was not measured."""
    is_learned: bool | None = None
    """Whether the detector has learned this photograph; None where that is not known."""

    @property
    def share(self) -> float | None:
        """Score as a share of the threshold; None where that is no number that can be shown.

        So it is where the threshold is not above zero, or next to it.
        """
        share = self.score / self.threshold if self.threshold > 0 else math.inf
        return share if math.isfinite(share) else None

    @property
    def word(self) -> str:
        """The verdict as a word."""
        return "anomalous" if self.is_anomalous else "good"

    def to_json(self) -> dict[str, Any]:
        """The object in the JSON of a comparison."""
        return {
            "score": self.score,
            "share": self.share,
            "anomalous": self.is_anomalous,
            "time_ms": self.time_ms,
            "learned": self.is_learned,
        }


@dataclass(frozen=True, slots=True)
class Pair:
    """A photograph with both verdicts."""

    image: str
    """Path of the photograph."""
    label: str | None
    """``good``, or the name of the defect; None without labels."""
    a: Verdict
    b: Verdict

    @property
    def is_changed(self) -> bool:
        """Whether the two verdicts differ."""
        return self.a.is_anomalous != self.b.is_anomalous

    @property
    def is_defect(self) -> bool | None:
        """Whether the label is that of a defect; None without labels."""
        return None if self.label is None else self.label != GOOD

    def to_json(self) -> dict[str, Any]:
        """The object in the JSON of a comparison."""
        both = {"a": self.a.to_json(), "b": self.b.to_json()}
        return {"image": self.image, "label": self.label, "changed": self.is_changed, **both}


@dataclass(frozen=True, slots=True)
class Unread:
    """A photograph that at least one of both could not inspect: it is in no figure."""

    image: str
    error_a: str | None
    error_b: str | None

    @property
    def error(self) -> str:
        """The first error, in one line."""
        return self.error_a or self.error_b or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Metrics of one detector on labelled photographs; those of pixels are None without masks."""

    image_auroc: float
    image_ap: float
    pixel_auroc: float | None
    aupro: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Facts of one of both detectors; what lines of `predict` do not say is None."""

    name: str
    """File of the detector, or of its lines, as it was given; else ``A`` or ``B``."""
    sha256: str | None = None
    methods: tuple[str, ...] = ()
    """Method and backbone of each member."""
    n_photographs: int | None = None
    """Number of photographs that it has learned."""
    threshold: float | None = None
    pixel_threshold: float | None = None
    false_alarm_rate: float | None = None
    """Rate that its threshold lets expect; None where that is not known."""
    file_bytes: int | None = None
    bank_rows: tuple[int | None, ...] = ()
    """Rows of the bank of each member; None for one without a bank."""
    time_ms: float | None = None
    """Median time of a photograph."""
    metrics: Metrics | None = None
    """Metrics on the photographs; None without labels of both kinds."""

    def to_json(self) -> dict[str, Any]:
        """The object in the JSON of a comparison."""
        content = asdict(self)
        content["detector_sha256"] = content.pop("sha256")
        return {**content, "methods": list(self.methods), "bank_rows": list(self.bank_rows)}


@dataclass(frozen=True, slots=True)
class SettingDifference:
    """A setting or fact in which two detectors differ; None where one does not have it."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class Descent:
    """Entries of the history between two detectors, one of which comes from the other."""

    newer: str
    """``a`` or ``b``: the one that has the further entries."""
    entries: tuple[Entry, ...]
    """Entries after the state of the older one, oldest first."""

    def to_json(self) -> dict[str, Any]:
        """The object in the JSON of a comparison."""
        entries = [{**entry.to_json(), "hash": entry.hash} for entry in self.entries]
        return {"newer": self.newer, "entries": entries}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Verdicts of two detectors, A and B, on the same photographs, and how they differ."""

    data: str
    """Name of the photographs."""
    a: Side
    b: Side
    pairs: tuple[Pair, ...]
    """Photographs that both inspected, in order."""
    unread: tuple[Unread, ...] = ()
    """Photographs that at least one could not inspect."""
    not_read: tuple[str, ...] = ()
    """Files among the photographs whose kind is not read."""
    damaged: tuple[str, ...] = ()
    """Lines of results that cannot be used: file, number and fault."""
    rank_correlation: float | None = None
    """Rank correlation of the two scores, in [-1, 1]; None where it is not defined."""
    settings: tuple[SettingDifference, ...] = ()
    """Settings and facts in which the detectors differ."""
    descent: Descent | None = None
    """History between them; None where neither comes from the other."""
    remarks: tuple[str, ...] = ()
    """Lines about what the figures do not say by themselves."""
    inspections: Mapping[int, tuple[Inspection, Inspection]] = field(
        default_factory=dict, repr=False, compare=False
    )
    """Inspections by both of some photographs whose verdicts differ, by their index in `pairs`."""
    masks: Mapping[int, Path] = field(default_factory=dict, repr=False, compare=False)
    """Files with the masks of the true defects of these photographs, where they have any."""

    @property
    def changed(self) -> tuple[Pair, ...]:
        """Photographs whose verdicts differ."""
        return tuple(pair for pair in self.pairs if pair.is_changed)

    @property
    def newly_flagged(self) -> tuple[Pair, ...]:
        """Photographs that are good for A and anomalous for B."""
        return tuple(pair for pair in self.changed if pair.b.is_anomalous)

    @property
    def newly_passed(self) -> tuple[Pair, ...]:
        """Photographs that are anomalous for A and good for B."""
        return tuple(pair for pair in self.changed if pair.a.is_anomalous)

    @property
    def has_labels(self) -> bool:
        """Whether every photograph has a label."""
        return bool(self.pairs) and all(pair.label is not None for pair in self.pairs)

    @property
    def found(self) -> tuple[Pair, ...]:
        """Defect photographs that A misses and B finds."""
        return tuple(pair for pair in self.newly_flagged if pair.is_defect is True)

    @property
    def lost(self) -> tuple[Pair, ...]:
        """Defect photographs that A finds and B misses."""
        return tuple(pair for pair in self.newly_passed if pair.is_defect is True)

    @property
    def new_false_alarms(self) -> tuple[Pair, ...]:
        """Good photographs that B alone flags."""
        return tuple(pair for pair in self.newly_flagged if pair.is_defect is False)

    @property
    def gone_false_alarms(self) -> tuple[Pair, ...]:
        """Good photographs that A alone flags."""
        return tuple(pair for pair in self.newly_passed if pair.is_defect is False)

    @property
    def is_complete(self) -> bool:
        """Whether every photograph, and every line of results, is in the figures."""
        return not (self.unread or self.not_read or self.damaged)

    def to_json(self) -> dict[str, Any]:
        """The document that `patchbank compare --json` writes."""
        by_label = {
            name: [pair.image for pair in getattr(self, name)]
            for name in ("found", "lost", "new_false_alarms", "gone_false_alarms")
        }
        return {
            "schema_version": SCHEMA_VERSION,
            "data": self.data,
            "a": self.a.to_json(),
            "b": self.b.to_json(),
            "photographs": len(self.pairs),
            "changed": len(self.changed),
            "newly_flagged": [pair.image for pair in self.newly_flagged],
            "newly_passed": [pair.image for pair in self.newly_passed],
            "by_label": by_label if self.has_labels else None,
            "rank_correlation": self.rank_correlation,
            "settings": [asdict(one) for one in self.settings],
            "descent": self.descent.to_json() if self.descent else None,
            "images": [pair.to_json() for pair in self.pairs],
            "unread": [asdict(one) for one in self.unread],
            "not_read": list(self.not_read),
            "damaged": list(self.damaged),
            "remarks": list(self.remarks),
        }
