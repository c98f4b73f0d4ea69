"""A monitor of a detector in use: an alarm when good parts are no longer like the learned ones.

Two streams are tested (`patchbank.core.scores.martingale`), each with the same promise: **of all
runs in which nothing changes, of any length, a share of `false_alarm_rate` at most has an alarm.**

- *Scores of the parts that passed* (those not above the threshold), ranked among the parts that
  passed before.  Defects that are found are not in it, so that a bad lot is no alarm.  The
  selection keeps the parts exchangeable: one threshold cuts all.  They are also ranked among the
  left-out scores of the learned photographs below the threshold, with bets on higher scores only:
  a left-out score is too high, most of all with a cut bank, which makes p-values larger and such
  bets lose, so that the promise is kept; a bet on lower scores would win without a change.  Each
  of the two gets half of the rate.
- *Verdicts*: whether the share of flagged parts has risen.  Parts that changed so far that none
  passes leave no trace in the first stream.  More defects raise it too.

Nothing changes means: parts come in an order that says nothing, one photograph of each, and, at
the beginning, as the learned ones did.  Photographs that were left out in groups (copies, series)
are not like single parts, so one of each group, drawn at random, stands for it.  With one learned
photograph parts are compared with earlier parts only.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores.calibration import Calibration, check_false_alarm_rate
from patchbank.core.scores.martingale import (
    LIFTS,
    N_HIGHER,
    SCORE_BETS,
    ChangeMartingale,
    Logs,
    OnlineRanks,
    log_lift_bets,
    log_score_bets,
)
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.strict_json import parse_json
from patchbank.errors import DataError, ParameterError
from patchbank.runtime.arguments import of_kind, path_argument
from patchbank.runtime.atomic_file import replace_file
from patchbank.runtime.printable import json_text

SCHEMA_VERSION = 1
"""Version of `docs/schemas/monitor.schema.json`."""
MORE_FLAGGED = "more flagged"
DIRECTIONS = (*dict.fromkeys(bet.direction for bet in SCORE_BETS), MORE_FLAGGED)
"""Directions of a change."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that raised the alarm."""

    part: int
    """Number of the part at which the alarm came; the first part is 1."""
    since: int
    """Number of the part since which it most likely is."""
    direction: str
    """``higher``, ``lower``, ``wider`` or ``narrower`` scores; or ``more flagged``."""


@dataclass(frozen=True, slots=True)
class MonitorState:
    """The counts and the evidence of a monitor so far."""

    parts: int
    """Number of parts, those that could not be inspected included."""
    passed: int
    """Number whose score is not above the threshold."""
    flagged: int
    """Number that were called anomalous."""
    failed: int
    """Number that could not be inspected."""
    evidence: float
    """Evidence that parts that pass have changed: log10 of the martingale, 0 at the beginning."""
    flagged_evidence: float
    """Evidence that more parts are flagged than before, likewise."""
    change: Change | None
    """The change of the parts that pass, once there was an alarm; it stays."""
    more_flagged: Change | None
    """The rise of the share of flagged parts, once there was an alarm; it stays."""

    @property
    def alarm(self) -> bool:
        """Whether one of the two has been found."""
        return self.change is not None or self.more_flagged is not None


class Monitor:
    """Counts parts as they are inspected, and raises the alarm; `Detector.monitor` makes one.

    It changes with each part: use it in one thread, in the order of the parts.
    """

    def __init__(
        self, calibration: Calibration, detector_sha256: str, false_alarm_rate: float
    ) -> None:
        """A monitor before the first part.

        Args:
            calibration: of the detector.
            detector_sha256: `Detector.sha256`.
            false_alarm_rate: promised share of runs with a false alarm, for each of the two
                streams, in (0, 1).

        Raises:
            ParameterError: `false_alarm_rate` is outside (0, 1).
        """
        check_false_alarm_rate(false_alarm_rate)
        self.false_alarm_rate = false_alarm_rate
        self._threshold = calibration.threshold
        self._sha256 = detector_sha256
        seed = int(detector_sha256[:16] or "0", 16)
        passed, flagged = learned_streams(calibration, seed)
        self._scores = _Stream(OnlineRanks(seed=seed), len(SCORE_BETS))
        self._above_learned = _Stream(OnlineRanks(passed, seed=seed + 2), N_HIGHER)
        self._change: Change | None = None
        self._flags = _Stream(OnlineRanks(flagged, seed=seed + 1), len(LIFTS))
        self._learned = (int(np.sum(flagged)), len(flagged))
        self._parts = self._n_flagged = self._failed = 0

    @property
    def alarm_line(self) -> float:
        """Evidence at which the alarm comes: log10 of 1 / `false_alarm_rate`."""
        return -math.log10(self.false_alarm_rate)

    @property
    def state(self) -> MonitorState:
        """The counts and the evidence so far."""
        return MonitorState(
            parts=self._parts,
            passed=self._parts - self._n_flagged - self._failed,
            flagged=self._n_flagged,
            failed=self._failed,
            evidence=self._evidence,
            flagged_evidence=self._flags.martingale.log10,
            change=self._change,
            more_flagged=self._flags.change,
        )

    def add(self, part: Inspection | FailedInspection | float) -> MonitorState:
        """Add the next part: its inspection, or its score.

        Raises:
            ParameterError: the inspection is one of another detector, or it is none, and no number.
        """
        if isinstance(part, Inspection) and part.threshold != self._threshold:
            raise ParameterError(
                f"inspection: expected one of this detector, with the threshold {self._threshold}, "
                f"got one with {part.threshold}"
            )
        of_kind("part", part, (Inspection, FailedInspection, Real), "an inspection or a score")
        self._parts += 1
        if isinstance(part, FailedInspection):
            self._failed += 1
            return self.state
        score = part.score if isinstance(part, Inspection) else float(part)
        flagged = not score <= self._threshold
        self._add_flag(flagged)
        self._n_flagged += flagged
        if not flagged:
            self._add_score(score)
        return self.state

    @property
    def _evidence(self) -> float:
        """The larger of the two about scores, each of which has half of the rate."""
        both = (self._scores.martingale.log10, self._above_learned.martingale.log10)
        return max(both) - math.log10(2) if self._scores.last else 0.0

    def _add_score(self, score: float) -> None:
        for stream, n_bets in ((self._scores, len(SCORE_BETS)), (self._above_learned, N_HIGHER)):
            p_value = stream.ranks.p_value(score)
            stream.bet(log_score_bets(p_value)[:n_bets], self._parts)
        if self._change is None and self._evidence >= self.alarm_line:
            streams = (self._scores, self._above_learned)
            found = max(streams, key=lambda stream: stream.martingale.log10).martingale
            direction = SCORE_BETS[found.best_bet].direction
            self._change = Change(self._parts, found.best_start, direction)

    def _add_flag(self, flagged: bool) -> None:
        learned_flagged, learned = self._learned
        counted = learned + self._parts - self._failed  # this part is one
        share = (learned_flagged + self._n_flagged + 0.5) / counted
        p_value = self._flags.ranks.p_value(float(flagged))
        self._flags.bet(log_lift_bets(p_value, share), self._parts)
        self._flags.judge(self.alarm_line, self._parts, MORE_FLAGGED)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save as JSON, atomically; `Detector.monitor` goes on from it.

        Raises:
            DataError: the file cannot be written.
        """
        file = path_argument("path", path)
        try:
            replace_file(file, (json_text(self.to_json()) + "\n").encode())
        except OSError as error:
            raise DataError(f"{path}: expected to write a monitor, got: {error.strerror}") from None

    def to_json(self) -> dict[str, Any]:
        """The counts and both streams: enough to go on."""
        return {
            "schema_version": SCHEMA_VERSION,
            "detector_sha256": self._sha256,
            "false_alarm_rate": self.false_alarm_rate,
            "parts": self._parts,
            "flagged": self._n_flagged,
            "failed": self._failed,
            "scores": self._scores.to_json(),
            "above_learned": self._above_learned.to_json(),
            "flags": self._flags.to_json(),
            "change": None if self._change is None else asdict(self._change),
            "more_flagged": None if self._flags.change is None else asdict(self._flags.change),
        }

    def go_on_from(self, path: Path) -> None:
        """Set everything to what `save` wrote.

        Raises:
            DataError: the file is damaged, or of another detector or false-alarm rate.
        """
        try:
            state = parse_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(f"{path}: expected a saved monitor, got: {reason}") from None
        except ValueError as error:
            raise _damaged(str(path), error) from None
        self.restore(state, str(path))

    def restore(self, state: Any, name: str) -> None:
        """Set everything to what `to_json` gave.

        Args:
            state: parsed JSON.
            name: of where it comes from, for messages.

        Raises:
            DataError: it is damaged, or of another detector or false-alarm rate.
        """
        try:
            self._check_same(name, state)
            self._parts, self._n_flagged, self._failed = (
                _count(state[name]) for name in ("parts", "flagged", "failed")
            )
            if self._n_flagged + self._failed > self._parts:
                raise ValueError("more parts are flagged than there are")
            self._scores = _Stream.from_json(state["scores"], len(SCORE_BETS))
            self._above_learned = _Stream.from_json(state["above_learned"], N_HIGHER)
            self._flags = _Stream.from_json(state["flags"], len(LIFTS))
            self._change = _change(state["change"])
            self._flags.change = _change(state["more_flagged"])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise _damaged(name, error) from None

    def _check_same(self, origin: str, state: Any) -> None:
        expected = (SCHEMA_VERSION, self._sha256, self.false_alarm_rate)
        names = ("schema_version", "detector_sha256", "false_alarm_rate")
        for name, value in zip(names, expected, strict=True):
            if state[name] != value:
                raise DataError(
                    f"{origin}: expected a monitor with {name} {value}, got {state[name]!r}; "
                    "name another file to begin anew"
                )


def open_monitor(
    calibration: Calibration,
    detector_sha256: str,
    false_alarm_rate: float,
    state: str | os.PathLike[str] | None,
) -> Monitor:
    """The monitor that was saved, or a new one; see `Detector.monitor`."""
    monitor = Monitor(calibration, detector_sha256, false_alarm_rate)
    if state is not None and os.path.lexists(file := path_argument("state", state)):
        monitor.go_on_from(file)
    return monitor


class _Stream:
    """One tested stream: ranks, bets, and the change once it is found."""

    def __init__(self, ranks: OnlineRanks, n_bets: int) -> None:
        self.ranks = ranks
        self.martingale = ChangeMartingale(n_bets)
        self.change: Change | None = None
        self.last = 0
        """Number of the last part of the stream: a change may be since the one after it."""

    def bet(self, log_bets: Logs, part: int) -> None:
        """Bet on one more part of the stream."""
        self.martingale.add(log_bets, self.last + 1)
        self.last = part

    def judge(self, alarm_line: float, part: int, direction: str) -> None:
        """Note the change when the evidence first reaches the line."""
        if self.change is None and self.martingale.log10 >= alarm_line:
            self.change = Change(part, self.martingale.best_start, direction)

    def to_json(self) -> dict[str, Any]:
        return {
            "ranks": self.ranks.to_json(),
            "martingale": self.martingale.to_json(),
            "last": self.last,
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any], n_bets: int) -> _Stream:
        stream = cls(OnlineRanks.from_json(state["ranks"]), n_bets)
        stream.martingale = ChangeMartingale.from_json(state["martingale"], n_bets)
        stream.last = _count(state["last"])
        return stream


def learned_streams(
    calibration: Calibration, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The learned photographs as parts that came before: scores of those that pass, and flags.

    Args:
        calibration: of the detector.
        seed: of the draw of one photograph from each group.

    Returns:
        (p,) left-out scores below the threshold, and (n,) 1.0 for each above it, else 0.0.  Where
        the threshold is one of the scores, that one counts as above: given the k-th highest score,
        only those below it are distributed as parts below it.  One more part above is counted, as
        in a conformal p-value, so that the share of flagged parts is not underestimated.
    """
    if calibration.views_of_one:
        return np.empty(0), np.empty(0)
    scores = calibration.image_scores
    if calibration.groups is not None:
        order = np.random.default_rng(seed).permutation(len(scores))
        _, first = np.unique(calibration.groups[order], return_index=True)
        scores = scores[order[first]]
    scores = np.sort(scores)
    above = int(np.count_nonzero(scores > calibration.threshold))
    above += int((scores == calibration.threshold).any())
    flags = np.zeros(len(scores) + 1)
    flags[: above + 1] = 1.0
    return scores[: len(scores) - above], flags


def _damaged(name: str, error: Exception) -> DataError:
    return DataError(
        f"{name}: expected a saved monitor, got a damaged file ({error}); remove it to begin anew"
    )


def _change(state: Any) -> Change | None:
    if state is None:
        return None
    part, since, direction = (state[name] for name in ("part", "since", "direction"))
    if direction not in DIRECTIONS:
        raise ValueError(f"expected a direction of a change, got {direction!r}")
    return Change(_count(part), _count(since), direction)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"expected a count, got {value!r}")
    return value
