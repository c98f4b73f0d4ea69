"""Facts that a fit leaves in its detector: threshold, false-alarm rates, odd good photographs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from patchbank.core.scores.calibration import Calibration
from patchbank.methods import ResizableBank
from patchbank.runtime.percent import percent, percent_at_most

if TYPE_CHECKING:
    from patchbank.detector.detector import Detector
    from patchbank.images.roi import RegionOfInterest

RATES = (0.01, 0.05, 0.1)
"""False-alarm rates at which thresholds are listed."""
NAMED = 5
"""Photographs that a line names at most."""
FEW_PHOTOGRAPHS = 15
"""Number of photographs, or of their groups, up to which a low rate costs much detection."""
LOW_RATE = 0.05
"""Rate below which it does."""
WEIGHTED_SCORES = ("reweighted", "hcw")
"""Image scores whose weights may grow with the bank."""
CLEAR_SHARE = 0.01
"""Expected number of photographs of a regular fit that are warned of."""


@dataclass(frozen=True, slots=True)
class OddPhotograph:
    """A good photograph, with its score when it is left out."""

    name: str
    score: float

    def __str__(self) -> str:
        return f"{self.name} {self.score:.4g}"


@dataclass(frozen=True, slots=True)
class FitFacts:
    """Facts of a calibration, with the names of the photographs that it was made from."""

    calibration: Calibration
    names: tuple[str, ...]
    """Names of the photographs that were learned, and have a score in the calibration."""
    is_bound_proved: bool = True
    """Whether no score grows with one more learned photograph, as the proof of the guaranteed rate
    needs it."""
    roi: RegionOfInterest | None = None
    """Region of interest; None where whole photographs are inspected."""
    n_normal: int = 0
    """Photographs that were learned as a person said them to be normal, and have no such score."""

    @classmethod
    def of(cls, detector: Detector) -> FitFacts:
        """The facts of a detector."""
        first = detector.members[0]
        is_bank = isinstance(first.model, ResizableBank) and len(detector.members) == 1
        is_bank = is_bank and getattr(first.settings, "banks", "joint") == "joint"
        is_weighted = getattr(first.settings, "image_score", None) in WEIGHTED_SCORES
        updates = detector.updates
        is_proved = is_bank and not is_weighted and updates is None
        normal = () if updates is None else updates.normal
        names = [name for i, name in enumerate(detector.fitted_on) if i not in normal]
        return cls(detector.calibration, tuple(names), is_proved, detector.roi, len(normal))

    @property
    def above_threshold(self) -> list[OddPhotograph]:
        """Photographs above the threshold when they are left out, highest score first."""
        return self._photographs(self.calibration.above_threshold)

    @property
    def unlike_others(self) -> list[OddPhotograph]:
        """Photographs that score unlike the others when they are left out, highest score first."""
        return self._photographs(self.calibration.unlike_others)

    @property
    def middle_score(self) -> float:
        """Median of the scores of the photographs when they are left out."""
        return float(np.median(self.calibration.image_scores))

    @property
    def thresholds(self) -> list[tuple[float, float, float]]:
        """(rate, threshold, pixel threshold) at each of `RATES`; none with a single photograph."""
        if self.calibration.views_of_one:
            return []
        changed = [(rate, self.calibration.with_false_alarm_rate(rate)) for rate in RATES]
        return [(rate, one.threshold, one.pixel_threshold) for rate, one in changed]

    @property
    def sample(self) -> str:
        """Number of photographs that were learned, in words, and that of their groups if any."""
        n = len(self.names)
        text = f"{n} good photograph{'s' if n > 1 else ''}"
        if self.calibration.views_of_one or self.calibration.n_groups == n:
            return text
        return f"{text} in {self.calibration.n_groups} groups"

    @property
    def above_line(self) -> str:
        """Sentence about the photographs above the threshold when they are left out."""
        above = self.above_threshold
        if not above:
            return "no photograph lies above the threshold when it is left out"
        verb = "lies" if len(above) == 1 else "lie"
        return (
            f"{len(above)} of {len(self.names)} photographs {verb} above the threshold when left "
            f"out: {listed(above)}"
        )

    @property
    def lines(self) -> list[str]:
        """Sentences about the region of interest and, unless of one photograph, the threshold."""
        region = [] if self.roi is None else [self.roi.line]
        if self.n_normal:
            verb = "photograph is" if self.n_normal == 1 else "photographs are"
            region.append(
                f"{self.n_normal} more {verb} learned as normal after a false alarm, and have no "
                "part in the threshold"
            )
        if self.calibration.views_of_one:
            return region
        threshold = [self._rates_line, self.above_line, *self._unlike_line, self._thresholds_line]
        return [*region, *threshold]

    @property
    def remarks(self) -> list[str]:
        """A line for each reason why the threshold is less sure than it seems."""
        rate, n_groups = self.calibration.expected_rate, self.calibration.n_groups
        found = [self.calibration.remark] if self.calibration.remark else []
        is_low = n_groups <= FEW_PHOTOGRAPHS and rate < LOW_RATE
        if is_low and not self.calibration.views_of_one:
            sample = "photographs" if self.calibration.groups is None else "groups"
            found.append(
                f"with {FEW_PHOTOGRAPHS} {sample} or fewer a low rate costs detection: at 1 % "
                f"down to half of what is found at 5 %; give more {sample}, or a higher "
                "false_alarm_rate (--false-alarm-rate)"
            )
        return found

    @property
    def warning(self) -> str | None:
        """The line about photographs that are unlike the others, if that is hardly chance."""
        calibration = self.calibration
        limit = calibration.with_false_alarm_rate(CLEAR_SHARE / len(self.names)).threshold
        if calibration.views_of_one or calibration.image_scores.max() <= limit:
            return None
        return self._unlike_line[0] if self._unlike_line else None

    def to_json(self) -> dict[str, Any]:
        """Keys that `patchbank info --json` has of the fit."""
        calibration = self.calibration
        return {
            "good_images": len(self.names),
            "normal_images": self.n_normal,
            "groups": 1 if calibration.views_of_one else calibration.n_groups,
            "threshold": calibration.threshold,
            "pixel_threshold": calibration.pixel_threshold,
            "false_alarm_rate": calibration.false_alarm_rate,
            "expected_false_alarm_rate": calibration.expected_rate,
            "guaranteed_false_alarm_rate": calibration.guaranteed_rate,
            "smallest_false_alarm_rate": calibration.smallest_rate,
            "threshold_from": self._origin,
            "threshold_rule": calibration.rule,
            "middle_score": self.middle_score,
            "thresholds": [
                {"false_alarm_rate": rate, "threshold": threshold, "pixel_threshold": pixels}
                for rate, threshold, pixels in self.thresholds
            ],
            "above_threshold": [{"image": p.name, "score": p.score} for p in self.above_threshold],
            "unlike_others": [{"image": p.name, "score": p.score} for p in self.unlike_others],
        }

    @property
    def _origin(self) -> str:
        calibration, by_hand = self.calibration, "set by hand"
        by_scores = "good images left out"
        if calibration.views_of_one:
            by_scores = "other views of the one good image"
        image = by_scores if calibration.set_threshold is None else by_hand
        pixel = by_scores if calibration.set_pixel_threshold is None else by_hand
        return image if image == pixel else f"{image}; that of pixels: {pixel}"

    @property
    def _rates_line(self) -> str:
        expected = percent(self.calibration.expected_rate)
        return f"false alarms: {expected} if good parts vary as these do; {self.bound}"

    @property
    def bound(self) -> str:
        """The guaranteed rate in words."""
        if self.calibration.set_threshold is not None:
            return "no bound, as the threshold was set by hand"
        bound = percent_at_most(self.calibration.guaranteed_rate)
        if self.is_bound_proved:
            return f"at most {bound} on average, whatever good parts look like"
        return f"about {bound} on average at most (a bound that is proved for one memory bank only)"

    @property
    def _unlike_line(self) -> list[str]:
        odd = self.unlike_others
        if not odd:
            return []
        scores = np.sort(self.calibration.image_scores)[::-1]
        following = f"the next {scores[len(odd)]:.4g}, " if len(odd) < len(scores) else ""
        others = f"{following}the middle {self.middle_score:.4g}"
        if len(odd) == 1:
            return [
                f"{odd[0].name} is unlike the others (score {odd[0].score:.4g}; {others}). A "
                f"defect? Fit without it: --exclude {shlex.quote(odd[0].name)}. A good part? More "
                "of its kind make the threshold surer"
            ]
        return [
            f"{len(odd)} photographs are unlike the others ({others}): {listed(odd)}. Defects? Fit "
            "without them: --exclude NAME for each. Good parts? More of their kind make the "
            "threshold surer"
        ]

    @property
    def _thresholds_line(self) -> str:
        rates = " / ".join(percent(rate).removesuffix(" %") for rate in RATES)
        thresholds = " / ".join(f"{threshold:.4g}" for _, threshold, _ in self.thresholds)
        return f"thresholds for {rates} % false alarms: {thresholds}"

    def _photographs(self, numbers: Sequence[int]) -> list[OddPhotograph]:
        scores = self.calibration.image_scores
        return [OddPhotograph(self.names[number], float(scores[number])) for number in numbers]


def listed(photographs: Sequence[OddPhotograph], at_most: int = NAMED) -> str:
    """The first photographs with their scores, and how many more there are.

    >>> listed([OddPhotograph("a", 3.5), OddPhotograph("b", 2.0)], at_most=1)
    'a 3.5 and 1 more'
    """
    shown = ", ".join(map(str, photographs[:at_most]))
    rest = len(photographs) - at_most
    return f"{shown} and {rest} more" if rest > 0 else shown
