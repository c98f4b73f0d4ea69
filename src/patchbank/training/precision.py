"""Changes of the scores by a lower precision of the backbone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from patchbank.detector.detector import Detector
from patchbank.runtime.percent import percent


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """Change of the leave-one-out scores of good images, as shares of the float32 threshold."""

    mean: float
    largest: float
    n_images: int

    def __str__(self) -> str:
        return (
            f"leave-one-out scores of {self.n_images} good images differ from float32 by "
            f"{percent(self.mean)} of the threshold on average, {percent(self.largest)} at most"
        )


def score_change(rounded: Detector, precise: Detector) -> ScoreChange:
    """Compare the leave-one-out scores of two detectors.

    Leave-one-out scores stand for those of unseen good images, so the change is that of a detector
    in use: it includes the change of the features and of everything learned from them.

    Args:
        rounded: fitted in a lower precision.
        precise: fitted in float32, on the same images and with the same settings.
    """
    ours, theirs = rounded.calibration.image_scores, precise.calibration.image_scores
    shares = np.abs(ours - theirs) / abs(precise.calibration.threshold)
    return ScoreChange(float(shares.mean()), float(shares.max()), len(shares))
