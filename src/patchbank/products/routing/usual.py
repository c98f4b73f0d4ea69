"""Usual distances of good photographs of a product, and the limit beyond which none is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from patchbank.core.scores.tail_model import TailModel
from patchbank.detector.detector import Detector
from patchbank.detector.inspection import Inspection
from patchbank.detector.member import patch_distances

RATE = 0.001
"""Share of good photographs of a product that are called none of them, where the model holds."""
MARGIN = 1.1
"""Factor by which the limit lies beyond the largest distance of a learned photograph at least."""
SPOT_SHARE = 0.35
"""Share of the rise of the largest distance that the rise of the ordinary one is, at least, where
another part is shown; around a defect it is less."""
SMALLEST = 1e-12
"""Smallest usual distance that is divided by."""


@dataclass(frozen=True, slots=True)
class Usual:
    """The usual distances of a product, in which others are counted, and what is beyond them.

    The *ordinary* distance is the one that a quarter of the patches of a photograph, the most
    ordinary ones, do not exceed (`PatchDistances`), so that a defect hardly changes it.
    """

    ordinary: float
    """Median over the learned photographs, each when it was left out."""
    largest: float
    """Median of the largest distances."""
    limit: float
    """Ordinary distance by the usual one, beyond which a photograph shows another part, unless a
    spot in it is farther still, as a defect is."""

    @classmethod
    def of(cls, detector: Detector) -> Usual:
        """The usual distances of a detector, from its file.

        Without traits of the photographs, as in files of format 2, the median image score stands in
        for both: that of the oddest patches, which an ordinary patch of another part exceeds.
        """
        likeness = detector.likeness
        if likeness is not None and likeness.ordinary is not None:
            ordinary, largest = np.median(likeness.patch_distances[-1], axis=0).tolist()
            distances, shares = likeness.patch_distances[-1, :, 0], likeness.shares
            if len(shares) != len(distances):  # other views of one photograph
                shares = np.full(len(distances), 1 / len(distances))
            beyond = TailModel.fit(distances, shares, 0.0).quantile(RATE)
            limit = max(beyond, MARGIN * float(distances.max()))
            return cls(ordinary, largest, limit / ordinary)
        calibration = detector.calibration
        score = float(np.median(calibration.image_scores)) - calibration.score_origin
        return cls(max(score, SMALLEST), max(score, SMALLEST), 1.0)

    def relative(self, inspection: Inspection) -> float:
        """Ordinary distance of an inspected photograph, by the usual one."""
        return patch_distances(inspection.predictions).ordinary / self.ordinary

    def share(self, inspection: Inspection) -> float:
        """The same as a share of the limit."""
        return self.relative(inspection) / self.limit

    def is_another(self, inspection: Inspection) -> bool:
        """Whether an inspected photograph shows another part."""
        times = self.relative(inspection)
        rise = patch_distances(inspection.predictions).largest / self.largest
        return times > self.limit and times >= SPOT_SHARE * rise
