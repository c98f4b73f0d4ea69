"""Follow the parts of a line: the monitor's verdict, what changed by how much, and each lot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores.calibration import Calibration
from patchbank.core.scores.false_discoveries import FalseDiscoveries, false_discoveries
from patchbank.detector.inspection import FailedInspection
from patchbank.detector.monitor import Change, Monitor, MonitorState
from patchbank.drift.lines import InspectedPart
from patchbank.drift.neighbours import neighbour_correlation

SCHEMA_VERSION = 1
"""Version of `docs/schemas/drift.schema.json`."""
FEW = 20
"""Inspected parts below which nothing is said to be unchanged."""


@dataclass(frozen=True, slots=True)
class Lot:
    """Parts that belong together, and the false ones among those that were flagged."""

    first: int
    """Number of the first part."""
    last: int
    """Number of the last part."""
    found: FalseDiscoveries


@dataclass(frozen=True, slots=True)
class Shift:
    """A change with its size."""

    change: Change
    image: str | None
    """Photograph of the part since which it is; None where that was in an earlier run."""
    before: float | None
    """Before: the median score of the parts that passed, or the share of flagged parts; of the
    learned photographs where no part came before."""
    since: float | None
    """The same number since then; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The result of `follow`."""

    state: MonitorState
    false_alarm_rate: float
    alarm_line: float
    first: int
    """Number of the first part of this run; more than 1 where a saved monitor went on."""
    parts: tuple[InspectedPart, ...]
    evidence: tuple[float, ...]
    """Evidence after each part that those which pass have changed."""
    flagged_evidence: tuple[float, ...]
    """Evidence after each part that more are flagged."""
    change: Shift | None
    more_flagged: Shift | None
    lots: tuple[Lot, ...]
    remarks: tuple[str, ...] = field(default=())

    @property
    def alarm(self) -> bool:
        """Whether a change was found."""
        return self.state.alarm

    def to_json(self) -> dict[str, Any]:
        """The object that `patchbank drift --json` writes, without what it says of the lines."""
        state = self.state
        return {
            "schema_version": SCHEMA_VERSION,
            "alarm": self.alarm,
            "parts": state.parts,
            "passed": state.passed,
            "flagged": state.flagged,
            "failed": state.failed,
            "false_alarm_rate": self.false_alarm_rate,
            "alarm_line": self.alarm_line,
            "evidence": state.evidence,
            "flagged_evidence": state.flagged_evidence,
            "change": _shift_json(self.change),
            "more_flagged": _shift_json(self.more_flagged),
            "lots": [
                {"first": lot.first, "last": lot.last, **asdict(lot.found)} for lot in self.lots
            ],
            "remarks": list(self.remarks),
        }


def follow(
    monitor: Monitor,
    calibration: Calibration,
    parts: Iterable[InspectedPart],
    *,
    lot: int | None = None,
    level: float = 0.1,
    on_alarm: Callable[[Change], None] | None = None,
) -> Drift:
    """Add all parts to a monitor, and sum up.

    Args:
        monitor: new, or one that went on from a saved one; it is changed.
        calibration: of the detector.
        parts: in their order.
        lot: parts of a lot; None where all are one.
        level: share of false ones allowed among the rejected of a lot.
        on_alarm: called at once when an alarm comes.
    """
    first = monitor.state.parts + 1
    seen: list[InspectedPart] = []
    states: list[tuple[float, float]] = []
    known = set(_changes(monitor.state))
    for part in parts:
        outcome = FailedInspection(part.image, "") if part.score is None else part.score
        state = monitor.add(outcome)
        seen.append(part)
        states.append((state.evidence, state.flagged_evidence))
        for change in _changes(state):
            if change not in known and on_alarm is not None:
                on_alarm(change)
            known.add(change)
    run = _Run(monitor, calibration, first, seen)
    return Drift(
        state=monitor.state,
        false_alarm_rate=monitor.false_alarm_rate,
        alarm_line=monitor.alarm_line,
        first=first,
        parts=tuple(seen),
        evidence=tuple(evidence for evidence, _ in states),
        flagged_evidence=tuple(evidence for _, evidence in states),
        change=run.change_of_scores(),
        more_flagged=run.rise_of_flags(),
        lots=tuple(run.lots(lot, level)),
        remarks=tuple(run.remarks()),
    )


def one_of_each(parts: Iterable[InspectedPart], photographs: int) -> Iterator[InspectedPart]:
    """Yield the first inspected one of each so many photographs in a row, which show one part."""
    source = iter(parts)
    while several := list(islice(source, photographs)):
        yield next((each for each in several if each.score is not None), several[0])


def _changes(state: MonitorState) -> list[Change]:
    return [change for change in (state.change, state.more_flagged) if change is not None]


def _shift_json(shift: Shift | None) -> Mapping[str, Any] | None:
    if shift is None:
        return None
    sizes = {"image": shift.image, "before": shift.before, "after": shift.since}
    return {**asdict(shift.change), **sizes}


class _Run:
    """The parts of one run, as arrays."""

    def __init__(
        self, monitor: Monitor, calibration: Calibration, first: int, parts: list[InspectedPart]
    ) -> None:
        self._monitor, self._calibration = monitor, calibration
        self._first, self._parts = first, parts
        scores = [np.nan if part.score is None else part.score for part in parts]
        self._scores: NDArray[np.float64] = np.array(scores, np.float64)
        self._numbers = np.arange(first, first + len(parts))
        self._inspected = ~np.isnan(self._scores)
        self._flagged = self._scores > calibration.threshold
        self._passed = self._inspected & ~self._flagged

    def change_of_scores(self) -> Shift | None:
        change = self._monitor.state.change
        if change is None:
            return None
        learned = self._calibration.image_scores
        learned = learned[learned <= self._calibration.threshold]
        return self._shift(change, self._passed, self._scores, learned, np.median)

    def rise_of_flags(self) -> Shift | None:
        change = self._monitor.state.more_flagged
        if change is None:
            return None
        learned = self._calibration.image_scores > self._calibration.threshold
        return self._shift(change, self._inspected, self._flagged, learned, np.mean)

    def _shift(
        self,
        change: Change,
        counted: NDArray[np.bool_],
        values: NDArray[Any],
        learned: NDArray[Any],
        middle: Callable[[NDArray[Any]], Any],
    ) -> Shift:
        """A change with its size, of the values of the parts that count."""
        earlier = values[counted & (self._numbers < change.since)]
        later = values[counted & (self._numbers >= change.since)]
        if change.since == 1:
            earlier = learned
        is_here = self._first <= change.since < self._first + len(self._parts)
        is_known = len(earlier) and (is_here or change.since == 1)
        return Shift(
            change,
            image=self._parts[change.since - self._first].image if is_here else None,
            before=float(middle(earlier)) if is_known else None,
            since=float(middle(later)) if len(later) else None,
        )

    def lots(self, size: int | None, level: float) -> Iterator[Lot]:
        """Lots of so many parts, the last of what is left; one without any score is left out."""
        n = len(self._parts)
        for begin in range(0, n, size or max(n, 1)):
            end = min(begin + (size or n), n)
            scores = self._scores[begin:end][self._inspected[begin:end]]
            if len(scores):
                found = false_discoveries(self._calibration, scores, level)
                yield Lot(self._first + begin, self._first + end - 1, found)

    def remarks(self) -> Iterator[str]:
        """Lines about what the promise needs, where that is not so."""
        if self._calibration.views_of_one:
            yield (
                "one learned photograph does not show how good parts differ: parts are compared "
                "with earlier parts only"
            )
        inspected = int(self._inspected.sum())
        if inspected and not self._passed.any():
            yield (
                "no part passed: lines that predict wrote with --only-anomalous lack those that "
                "did, and say nothing about good parts"
            )
        if inspected < FEW:
            yield f"{inspected} parts are few: only a large change would show"
        change = self._monitor.state.change
        later = self._numbers >= (np.inf if change is None else change.since)
        alike = neighbour_correlation(self._scores[self._passed & ~later])
        alike = alike or neighbour_correlation(self._scores[self._passed & later])
        if alike is not None:
            yield (
                f"photographs that follow each other score alike (correlation {alike:.2f}): "
                "the promise is for parts in an order that says nothing, with one photograph of "
                "each; --photographs-per-part N counts one of each N"
            )
