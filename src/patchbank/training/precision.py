"""How much a lower precision of the backbone changes the scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from patchbank.detector.detector import Detector


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """Change of the leave-one-out scores of good images, as shares of the float32 threshold."""

    mean: float
    largest: float
    n_images: int

    def __str__(self) -> str:
        return (
            f"when left out, {self.n_images} good images score otherwise than in float32 by "
            f"{self.mean:.2%} of the threshold on average, {self.largest:.2%} at most"
        )


def score_change(rounded: Detector, precise: Detector) -> ScoreChange:
    """Compare the leave-one-out scores of two detectors.

    Unseen good images score like that, so the change is that of a detector in use: it includes the
    change of the features and of everything learned from them.

    Args:
        rounded: fitted in a lower precision.
        precise: fitted in float32, on the same images and with the same settings.
    """
    ours, theirs = rounded.calibration.image_scores, precise.calibration.image_scores
    shares = np.abs(ours - theirs) / abs(precise.calibration.threshold)
    return ScoreChange(float(shares.mean()), float(shares.max()), len(shares))
