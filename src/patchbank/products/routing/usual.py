"""How far good photographs of a product usually are from what was learned of the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from patchbank.detector.detector import Detector
from patchbank.detector.inspection import Inspection
from patchbank.detector.likeness import WHOLE_SHARE, Likeness
from patchbank.detector.member import patch_distances

SMALLEST = 1e-12
"""Smallest usual distance that is divided by."""


@dataclass(frozen=True, slots=True)
class Usual:
    """The usual distance of a product, in which others are counted, and what is beyond it.

    Distances are those that a quarter of the patches of a photograph, the most ordinary ones, do
    not exceed (`PatchDistances.ordinary`), so that a defect hardly changes them.
    """

    distance: float
    """Median over the learned photographs, each when it was left out."""
    limit: float
    """Distance by the usual one, beyond which a photograph shows another part, unless a spot in it
    is farther still, as a defect is."""
    likeness: Likeness | None
    """What was learned of these distances; None in files that have nothing of it."""

    @classmethod
    def of(cls, detector: Detector) -> Usual:
        """The usual distance of a detector, from its file.

        Without traits of the photographs, as in files of format 2, the median image score stands in
        for it: that of the oddest patches, which an ordinary patch of another part exceeds.
        """
        likeness = detector.likeness
        if likeness is not None and likeness.ordinary is not None:
            usual = float(np.median(likeness.patch_distances[-1, :, 0]))
            return cls(usual, likeness.ordinary.high / usual, likeness)
        calibration = detector.calibration
        score = float(np.median(calibration.image_scores)) - calibration.score_origin
        return cls(max(score, SMALLEST), 1.0, None)

    def relative(self, inspection: Inspection) -> float:
        """Distance of an inspected photograph, by the usual one."""
        return patch_distances(inspection.predictions).ordinary / self.distance

    def is_another(self, inspection: Inspection) -> bool:
        """Whether an inspected photograph shows another part."""
        distances = patch_distances(inspection.predictions)
        if self.likeness is not None:
            return self.likeness.is_another_part(distances)
        is_far = distances.ordinary > self.limit * self.distance
        return is_far and distances.ordinary >= WHOLE_SHARE * distances.largest

    def share(self, inspection: Inspection) -> float:
        """Distance of an inspected photograph, as a share of the limit."""
        return self.relative(inspection) / self.limit
