"""Statements about many inspections: whether good parts have changed, and what a lot has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from typing import Any

import numpy as np

from patchbank.core.scores.calibration import Calibration
from patchbank.core.scores.false_discoveries import FalseDiscoveries, false_discoveries
from patchbank.detector.monitor import Monitor
from patchbank.drift.follow import Drift, follow
from patchbank.drift.lines import InspectedPart
from patchbank.errors import ParameterError
from patchbank.server.records.entries import Fields, Filter
from patchbank.server.records.listing import Scored
from patchbank.server.records.monitors import SavedMonitor
from patchbank.server.records.store import Records

MOST_AT_ONCE = 20_000
"""Photographs of one question; the next one goes on."""
MOST_POINTS = 500
"""Points of the course of the evidence that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftStatement:
    """Whether good parts of a product have changed since it has its detector."""

    product: str
    detector_sha256: str
    false_alarm_rate: float
    alarm_line: float
    counts: Mapping[str, int]
    """Parts, and those that passed, were flagged, or failed."""
    evidence: float
    flagged_evidence: float
    change: Mapping[str, Any] | None
    """The change of the parts that pass, with the inspection since which it is."""
    more_flagged: Mapping[str, Any] | None
    """The rise of the share of flagged parts, likewise."""
    course: tuple[tuple[int, float, float], ...]
    """Inspection, evidence, and evidence that more are flagged: some points of their course."""
    last_id: int
    """The last inspection that is in it."""
    is_behind: bool
    """Whether later ones wait for the next question."""

    @property
    def alarm(self) -> bool:
        """Whether a change was found."""
        return self.change is not None or self.more_flagged is not None

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        content = asdict(self)
        counts = content.pop("counts")
        return {"alarm": self.alarm, **content, **counts, "course": list(map(list, self.course))}


def drift_of(
    records: Records,
    product: str,
    calibration: Calibration,
    detector_sha256: str,
    *,
    false_alarm_rate: float = 0.01,
    at_most: int = MOST_AT_ONCE,
) -> DriftStatement:
    """Go on with the monitor of a product, from the inspection at which it was last asked.

    The promise of `patchbank.detector.monitor` covers all inspections since the product has this
    detector, however often this is asked.  Photographs in a row with one serial number show one
    part, and count once.

    Args:
        records: of the inspections.
        product: name of it.
        calibration: of its detector.
        detector_sha256: of its detector; inspections by others are left out.
        false_alarm_rate: share of runs without a change that may have an alarm, in (0, 1).
        at_most: photographs of this question.

    Raises:
        ParameterError: `false_alarm_rate` is outside (0, 1).
        NotRecorded: the database fails.
    """
    monitor = Monitor(calibration, detector_sha256, false_alarm_rate)
    saved = records.saved_monitor(product, detector_sha256, false_alarm_rate)
    kept: dict[str, Any] = {"serial_number": None, "course": [], "change": None, "more": None}
    last = records.first_with(product, detector_sha256)
    if saved is not None:
        last, kept = saved.last_id, dict(saved.state)
        monitor.restore(kept.pop("monitor"), f"monitor of {product}")
    stream = records.scores(Filter(product=product), detector_sha256, after=last)
    scored = list(islice(stream, at_most + 1))
    is_behind = len(scored) > at_most
    scored = scored[:at_most]
    parts = list(_parts(scored, kept["serial_number"]))
    drift = follow(monitor, calibration, parts)
    for name, shift in (("change", drift.change), ("more", drift.more_flagged)):
        kept[name] = kept[name] or _shift(shift)
    kept["course"] = _thinned([*kept["course"], *_course(drift)])
    if scored:
        last = scored[-1].id
        kept["serial_number"] = scored[-1].serial_number
        state = SavedMonitor(last, {**kept, "monitor": monitor.to_json()})
        records.save_monitor(product, detector_sha256, false_alarm_rate, state)
    state_now = monitor.state
    return DriftStatement(
        product=product,
        detector_sha256=detector_sha256,
        false_alarm_rate=false_alarm_rate,
        alarm_line=monitor.alarm_line,
        counts={n: getattr(state_now, n) for n in ("parts", "passed", "flagged", "failed")},
        evidence=state_now.evidence,
        flagged_evidence=state_now.flagged_evidence,
        change=kept["change"],
        more_flagged=kept["more"],
        course=tuple((int(a), b, c) for a, b, c in kept["course"]),
        last_id=last,
        is_behind=is_behind,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LotStatement:
    """The flagged parts of a lot: how many are expected to be good."""

    product: str
    lot: str
    detector_sha256: str
    photographs: int
    """Number that this detector has inspected or could not read."""
    other_detectors: int
    """Number that other detectors have inspected; they are in no other number."""
    unread: int
    """Parts that could not be inspected, and have no score."""
    found: FalseDiscoveries

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        content = asdict(self)
        found = content.pop("found")
        return {**content, **found}


def lot_statement(
    records: Records,
    product: str,
    lot: str,
    calibration: Calibration,
    detector_sha256: str,
    *,
    level: float = 0.1,
) -> LotStatement | None:
    """Judge a lot: how many flagged parts are expected to be good, and which clearly are not.

    Photographs in a row with one serial number show one part, which the first one stands for.

    Args:
        records: of the inspections.
        product: name of it.
        lot: as it was sent with the photographs.
        calibration: of the detector.
        detector_sha256: of the detector whose scores are compared with the calibration.
        level: share of false ones allowed among the rejected, in (0, 1).

    Returns:
        None where the lot has no inspection.

    Raises:
        ParameterError: `level` is outside (0, 1).
        NotRecorded: the database does not answer.
    """
    if not 0 < level < 1:
        raise ParameterError(f"level: expected more than 0 and less than 1, got {level}")
    wanted = Filter(product=product, fields=Fields(lot=lot))
    everything = sum(1 for _ in records.scores(wanted))
    if not everything:
        return None
    scored = list(records.scores(wanted, detector_sha256))
    parts = list(_parts(scored, None))
    scores = np.array([part.score for part in parts if part.score is not None], np.float64)
    return LotStatement(
        product=product,
        lot=lot,
        detector_sha256=detector_sha256,
        photographs=len(scored),
        other_detectors=everything - len(scored),
        unread=len(parts) - len(scores),
        found=false_discoveries(calibration, scores, level),
    )


def _parts(scored: Iterable[Scored], last_serial_number: str | None) -> Iterator[InspectedPart]:
    """One of the photographs in a row that show one part: the first that was inspected.

    >>> photographs = [Scored(1, "A", None), Scored(2, "A", 3.0), Scored(3, None, 4.0)]
    >>> [part.image for part in _parts(photographs, None)]
    ['2', '3']
    """
    for _, group in groupby(scored, key=lambda one: one.serial_number or one.id):
        several = list(group)
        if several[0].serial_number and several[0].serial_number == last_serial_number:
            continue
        best = next((one for one in several if one.score is not None), several[0])
        yield InspectedPart(str(best.id), best.score)


def _shift(shift: Any) -> dict[str, Any] | None:
    if shift is None:
        return None
    since = None if shift.image is None else int(shift.image)
    sizes = {"inspection": since, "before": shift.before, "after": shift.since}
    return {**asdict(shift.change), **sizes}


def _course(drift: Drift) -> list[list[float]]:
    numbers = [int(part.image) for part in drift.parts]
    points = zip(numbers, drift.evidence, drift.flagged_evidence, strict=True)
    return [list(point) for point in points]


def _thinned(points: list[list[float]]) -> list[list[float]]:
    """Every second point, and the last, until there are few.

    >>> len(_thinned([[n, 0.0, 0.0] for n in range(1001)]))
    251
    """
    while len(points) > MOST_POINTS:
        points = points[:-1:2] + points[-1:]
    return points
