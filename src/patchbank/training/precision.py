"""What a lower precision of the backbone does to the scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from patchbank.detector.detector import Detector


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """How far the scores of good images move; shares of the threshold in float32."""

    mean: float
    largest: float
    n_images: int

    def __str__(self) -> str:
        return (
            f"when left out, {self.n_images} good images score otherwise than in float32 by "
            f"{self.mean:.2%} of the threshold on average, {self.largest:.2%} at most"
        )


def score_change(rounded: Detector, precise: Detector) -> ScoreChange:
    """Compare what two detectors say of the good images when those are left out.

    That is what unseen good images score, so the change is that of a detector in use: of its
    features and of all that was learned from them.

    Args:
        rounded: fitted in a lower precision.
        precise: fitted in float32, on the same images and with the same settings.
    """
    ours, theirs = rounded.calibration.image_scores, precise.calibration.image_scores
    shares = np.abs(ours - theirs) / abs(precise.calibration.threshold)
    return ScoreChange(float(shares.mean()), float(shares.max()), len(shares))
