"""Calibration: a threshold and p-values from good images alone.

Each good image is scored against what was learned from the other ones (leave-one-out): unseen good
parts get such scores.  Conformal prediction turns them into p-values and a threshold, by one of two
rules (`RULES`); `patchbank.core.scores.left_out` has the one of today, with its source.

With a single good image nothing can be left out.  Augmented views of that image are scored instead.
They show how the score varies with the position of one part, not how it varies between parts, so no
false-alarm rate follows from them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores.left_out import LeftOutScores, group_shares
from patchbank.errors import ParameterError, ShapeError
from patchbank.runtime.percent import percent, percent_at_most

Rule: TypeAlias = Literal["tail", "ranks"]
"""``tail``: conformal ranks, refined by a tail model.  ``ranks``: conformal ranks alone, as
files of format 2 have it."""
RULES: tuple[Rule, ...] = get_args(Rule)
UNLIKE_SHARE = 0.3
"""Expected number of photographs of a regular fit that are called unlike the others."""


@dataclass(frozen=True)
class Calibration:
    """Left-out scores of the good images, and the false-alarm rate to keep."""

    image_scores: NDArray[np.float64]
    """(n,) left-out image scores."""
    map_peaks: NDArray[np.float64]
    """(n,) largest value of each left-out anomaly map."""
    false_alarm_rate: float
    """Share of good images that may be called anomalous, in (0, 1)."""
    views_of_one: bool = False
    """Whether the scores are those of augmented views of a single good image."""
    rule: Rule = "ranks"
    """Rule by which threshold and p-values follow from the scores."""
    groups: NDArray[np.int32] | None = None
    """(n,) number of the group that each image was left out with; None where each was alone."""
    score_origin: float = 0.0
    """Image score of a photograph without any distance to the learned ones."""
    map_origin: float = 0.0
    """Map value of a patch without any distance to the learned ones."""
    set_threshold: float | None = None
    """Threshold of the image score that was set by hand; None where it follows from the rate."""
    set_pixel_threshold: float | None = None
    """The same for the anomaly map."""

    def __post_init__(self) -> None:
        check_false_alarm_rate(self.false_alarm_rate)
        for name in ("image_scores", "map_peaks"):
            scores = getattr(self, name)
            if scores.ndim != 1 or len(scores) < 2 or not np.isfinite(scores).all():
                raise ShapeError(f"{name}: expected at least 2 finite scores, got {scores!r}")
        if self.groups is not None and self.groups.shape != self.image_scores.shape:
            raise ShapeError(
                f"groups: expected one number for each of {len(self.image_scores)} scores, "
                f"got shape {self.groups.shape}"
            )
        if self.rule not in RULES:
            raise ParameterError(f"rule: expected {' or '.join(RULES)}, got {self.rule!r}")
        for name in ("set_threshold", "set_pixel_threshold"):
            threshold = getattr(self, name)
            if threshold is not None and not math.isfinite(threshold):
                raise ParameterError(f"{name}: expected a finite number, got {threshold}")

    @cached_property
    def threshold(self) -> float:
        """Threshold of the image score: an image is anomalous when its score is larger."""
        if self.set_threshold is not None:
            return self.set_threshold
        return self.threshold_at(self.false_alarm_rate)

    @cached_property
    def pixel_threshold(self) -> float:
        """Threshold of the anomaly map: a pixel is in a region when its value is larger.

        A good image shows any region at all with a probability of the false-alarm rate.
        """
        if self.set_pixel_threshold is not None:
            return self.set_pixel_threshold
        return self.pixel_threshold_at(self.false_alarm_rate)

    def threshold_at(self, rate: float) -> float:
        """Threshold of the image score at another false-alarm rate, in (0, 1)."""
        return self._threshold_at(rate, self.left_out_scores)

    def pixel_threshold_at(self, rate: float) -> float:
        """Threshold of the anomaly map at another false-alarm rate, in (0, 1)."""
        return self._threshold_at(rate, self._peaks)

    def _threshold_at(self, rate: float, left_out: LeftOutScores) -> float:
        check_false_alarm_rate(rate)
        if self.views_of_one:
            return float(left_out.scores.max())
        if self.rule == "ranks":
            return conformal_threshold(left_out.scores, rate)
        return left_out.threshold(rate)

    @cached_property
    def left_out_scores(self) -> LeftOutScores:
        """The left-out image scores, with their tail model."""
        return LeftOutScores(self.image_scores, self._weights, self.score_origin)

    @cached_property
    def _peaks(self) -> LeftOutScores:
        return LeftOutScores(self.map_peaks, self._weights, self.map_origin)

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        """(n,) share of its group that each image is."""
        return group_shares(self.groups, len(self.image_scores))

    @property
    def n_groups(self) -> int:
        """Number of groups that were left out: the size of the sample."""
        return self.left_out_scores.n_groups

    @property
    def smallest_rate(self) -> float:
        """Smallest false-alarm rate that ranks of this many groups distinguish: 1 / (n + 1).

        It is 1 for a single image, which resolves no rate.
        """
        return 1.0 if self.views_of_one else 1.0 / (self.n_groups + 1)

    @property
    def expected_rate(self) -> float:
        """False-alarm rate of the threshold in use: as asked for, or that of the one set by hand.

        For a single image it is what was asked for, and means nothing.
        """
        if self.set_threshold is None or self.views_of_one:
            return self.false_alarm_rate
        return self.rate_of(self.set_threshold)

    def rate_of(self, threshold: float) -> float:
        """False-alarm rate that is expected of a threshold that would be set by hand."""
        return self._p_value(math.nextafter(threshold, math.inf))

    @property
    def guaranteed_rate(self) -> float:
        """Bound of the mean false-alarm rate whatever good parts look like, in (0, 1].

        The mean is over draws of the photographs that are learned; the bound needs new parts that
        are exchangeable with them, and no other assumption.  It is 1 for a single image, and for a
        threshold that was set by hand, of which nothing is guaranteed.
        """
        if self.set_threshold is not None:
            return 1.0
        return self.guaranteed_rate_at(self.expected_rate)

    def guaranteed_rate_at(self, rate: float) -> float:
        """`guaranteed_rate` of the threshold at another false-alarm rate."""
        if self.views_of_one:
            return 1.0
        if self.rule == "ranks":
            return max(rate, self.smallest_rate)
        return self.left_out_scores.guaranteed_rate(rate)

    @property
    def is_set_by_hand(self) -> bool:
        """Whether a threshold was set by hand."""
        return self.set_threshold is not None or self.set_pixel_threshold is not None

    @property
    def above_threshold(self) -> list[int]:
        """Numbers of the good images that lie above the threshold when left out, highest first."""
        return self._highest(self.image_scores > self.threshold)

    @property
    def unlike_others(self) -> list[int]:
        """Numbers of the good images that score unlike the others, highest first.

        Their left-out score is so high that a regular fit is expected to have 0.3 such images.
        They are defects that slipped in, or good parts of which there are too few.
        """
        if self.views_of_one:
            return []
        model, limit = self.left_out_scores.model, UNLIKE_SHARE / len(self.image_scores)
        odd = [model.tail_probability(float(score)) < limit for score in self.image_scores]
        return self._highest(np.array(odd))

    def _highest(self, chosen: NDArray[np.bool_]) -> list[int]:
        order = np.argsort(-self.image_scores, kind="stable")
        return [int(number) for number in order if chosen[number]]

    def with_false_alarm_rate(self, rate: float) -> Calibration:
        """The calibration at another rate, without thresholds that were set by hand.

        It has the rule ``tail``, also where the file had the one of format 2.
        """
        check_false_alarm_rate(rate)
        rule: Rule = self.rule if self.views_of_one else "tail"
        return replace(
            self, false_alarm_rate=rate, rule=rule, set_threshold=None, set_pixel_threshold=None
        )

    def with_threshold(
        self, threshold: float | None = None, pixel_threshold: float | None = None
    ) -> Calibration:
        """The calibration with thresholds that are set by hand; None leaves one as it is."""
        return replace(
            self,
            set_threshold=self.set_threshold if threshold is None else threshold,
            set_pixel_threshold=(
                self.set_pixel_threshold if pixel_threshold is None else pixel_threshold
            ),
        )

    @property
    def remark(self) -> str | None:
        """One line where there are too few images to resolve the false-alarm rate, else None."""
        rate = self.false_alarm_rate
        if self.views_of_one:
            return (
                "one good image does not show what other good images score: the threshold is "
                f"the highest of {len(self.image_scores)} other views of itself, and the rate of "
                f"false alarms is not known; {_images_to_resolve(rate)} images "
                f"would resolve {percent(rate)}"
            )
        if rate >= self.smallest_rate or self.set_threshold is not None:
            return None
        n_now = len(self.image_scores) if self.groups is None else self.n_groups
        unit = "images" if self.groups is None else "groups"
        more = f"{_images_to_resolve(rate) - n_now} more {unit} would show it"
        few = f"{self._sample} are too few to be sure of {percent(rate)} false alarms: "
        if self.rule == "ranks":
            most = percent_at_most(self.smallest_rate)
            return f"{few}expect {most}; {more}; until then the threshold is their highest score"
        most = percent_at_most(self.guaranteed_rate)
        return (
            f"{few}that is expected, but up to {most} on average is possible; {more}; until then "
            "the threshold is extrapolated from the spread of their scores"
        )

    @property
    def _sample(self) -> str:
        if self.groups is None:
            return f"{len(self.image_scores)} good images"
        return f"{self.n_groups} groups of good images"

    def normalised(self, score: float) -> float:
        """The score scaled so that the threshold is 0.5 and the range of good scores spans 1.

        The result is clipped to [0, 1].  This follows anomalib's post-processor, but the range is
        that of the left-out scores, not of a test set.
        """
        span = float(np.ptp(self.image_scores)) or 1.0
        return float(np.clip(0.5 + (score - self.threshold) / span, 0.0, 1.0))

    def p_value(self, score: float) -> float:
        """Probability that a good image scores this high or higher, in (0, 1].

        It is at most the false-alarm rate exactly where the score is above the threshold that
        follows from that rate.
        """
        p_value = self._p_value(score)
        if self.rule == "ranks" or self.views_of_one:
            return p_value
        # At the threshold itself the two differ by rounding.
        if not score <= self._threshold_of_rate:
            return min(p_value, self.false_alarm_rate)
        return max(p_value, math.nextafter(self.false_alarm_rate, 1.0))

    @cached_property
    def _threshold_of_rate(self) -> float:
        return self.threshold_at(self.false_alarm_rate)

    def _p_value(self, score: float) -> float:
        if self.rule == "ranks" or self.views_of_one:
            return conformal_p_value(self.image_scores, score)
        return self.left_out_scores.p_value(score)


def conformal_p_value(good_scores: NDArray[np.float64], score: float) -> float:
    """(1 + number of good scores at or above) / (1 + number of good scores).

    >>> conformal_p_value(np.array([1.0, 2.0, 3.0]), 2.5)
    0.5
    """
    return float((1 + np.count_nonzero(good_scores >= score)) / (1 + len(good_scores)))


def conformal_threshold(good_scores: NDArray[np.float64], false_alarm_rate: float) -> float:
    """Score above which the p-value is at most `false_alarm_rate`.

    Where there are too few images to resolve the rate, it is the largest good score, which gives
    the smallest rate that can be promised, 1 / (n + 1).

    >>> conformal_threshold(np.arange(99.0), 0.05)  # five of a hundred ranks
    94.0
    """
    rank = int(np.floor(false_alarm_rate * (len(good_scores) + 1) * (1 + 1e-12)))
    return float(np.sort(good_scores)[-min(max(rank, 1), len(good_scores))])


def _images_to_resolve(rate: float) -> int:
    """Number of images with which 1 / (n + 1) is at most `rate`, or a thousand million millions.

    >>> _images_to_resolve(0.01), _images_to_resolve(5e-324)
    (99, 999999999999999)
    """
    return int(np.ceil(min(1 / rate, 1e15))) - 1


def check_false_alarm_rate(rate: float) -> None:
    """Raise ParameterError unless `rate` lies in (0, 1)."""
    if not 0 < rate < 1:
        raise ParameterError(f"false_alarm_rate: expected more than 0 and less than 1, got {rate}")
