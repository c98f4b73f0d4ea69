"""Calibration: a threshold and p-values from good images alone.

Each good image is scored against what was learned from the other ones (leave-one-out): unseen good
parts get such scores.  Conformal prediction (Vovk et al., 2005) turns them into p-values that need
no assumption on their distribution: of n + 1 exchangeable good images, the new one is among the k
highest scores with probability k / (n + 1).

With a single good image nothing can be left out.  Augmented views of that image are scored instead.
They show how the score varies with the position of one part, not how it varies between parts, so no
false-alarm rate follows from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.errors import ParameterError, ShapeError


@dataclass(frozen=True, slots=True)
class Calibration:
    """Leave-one-out scores of the good images, and the false-alarm rate to keep."""

    image_scores: NDArray[np.float64]
    """(n,) leave-one-out image scores."""
    map_peaks: NDArray[np.float64]
    """(n,) largest value of each leave-one-out anomaly map."""
    false_alarm_rate: float
    """Share of good images that may be called anomalous, in (0, 1)."""
    views_of_one: bool = False
    """Whether the scores are those of augmented views of a single good image."""

    def __post_init__(self) -> None:
        check_false_alarm_rate(self.false_alarm_rate)
        for name in ("image_scores", "map_peaks"):
            scores = getattr(self, name)
            if scores.ndim != 1 or len(scores) < 2 or not np.isfinite(scores).all():
                raise ShapeError(f"{name}: expected at least 2 finite scores, got {scores!r}")

    @property
    def threshold(self) -> float:
        """Threshold of the image score: an image is anomalous when its score is larger."""
        if self.views_of_one:
            return float(self.image_scores.max())
        return conformal_threshold(self.image_scores, self.false_alarm_rate)

    @property
    def pixel_threshold(self) -> float:
        """Threshold of the anomaly map: a pixel is in a region when its value is larger.

        A good image shows any region at all with a probability of the false-alarm rate.
        """
        if self.views_of_one:
            return float(self.map_peaks.max())
        return conformal_threshold(self.map_peaks, self.false_alarm_rate)

    @property
    def smallest_rate(self) -> float:
        """Smallest false-alarm rate that this many images can resolve: 1 / (n + 1).

        It is 1 for a single image, which resolves no rate.
        """
        return 1.0 if self.views_of_one else 1.0 / (len(self.image_scores) + 1)

    @property
    def remark(self) -> str | None:
        """One line where there are too few images to resolve the false-alarm rate, else None."""
        if self.views_of_one:
            return (
                "one good image does not show what other good images score: the threshold is "
                f"the highest of {len(self.image_scores)} other views of itself, and the rate of "
                f"false alarms is not known; {_images_to_resolve(self.false_alarm_rate)} images "
                f"would resolve {self.false_alarm_rate:.2%}"
            )
        if self.false_alarm_rate >= self.smallest_rate:
            return None
        return (
            f"{len(self.image_scores)} good images are too few to distinguish a false-alarm rate "
            f"of {self.false_alarm_rate:.2%} from {self.smallest_rate:.2%}: the threshold is their "
            f"highest score; {_images_to_resolve(self.false_alarm_rate)} images would resolve it"
        )

    def normalised(self, score: float) -> float:
        """The score scaled so that the threshold is 0.5 and the range of good scores spans 1.

        The result is clipped to [0, 1].  This follows anomalib's post-processor, but the range is
        that of the leave-one-out scores, not of a test set.
        """
        span = float(np.ptp(self.image_scores)) or 1.0
        return float(np.clip(0.5 + (score - self.threshold) / span, 0.0, 1.0))

    def p_value(self, score: float) -> float:
        """Probability that a good image scores this high or higher, in (0, 1]."""
        return conformal_p_value(self.image_scores, score)


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
