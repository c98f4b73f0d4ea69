"""Usual distances of good photographs of a product, and whether a photograph shows another part.

A part is another one where the photograph covers the bank worse than one average patch does
(`methods.memory_bank.coverage`).  A defect, even one of the whole part, leaves most of what good
parts show to be seen; of another part next to nothing is, even where all of its patches resemble
some patch of the bank.  A detector that knows no coverage of good photographs, as that of an older
file or of a method without a bank, goes by the distances of the patches to what was learned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from patchbank.core.scores.tail_model import TailModel
from patchbank.detector.detector import Detector
from patchbank.detector.inspection import Inspection
from patchbank.detector.member import patch_distances
from patchbank.methods.memory_bank.coverage import uncovered, uncovered_by_one
from patchbank.methods.memory_bank.model import BankModel
from patchbank.types import Array

RATE = 0.001
"""Share of good photographs of a product beyond the limit, where the model holds."""
MARGIN = 1.1
"""Factor by which the limit lies beyond the largest distance of a learned photograph at least."""
UNCOVERED_MARGIN = 1.06
"""Factor by which the limit of the uncovered distance lies beyond that of one average patch, and of
the learned photographs: docs/adr/0040-the-product-of-a-photograph.md has what was measured."""
LEARNED_SHARE = 0.9
"""Share of the learned photographs that counts there, so that an odd one does not raise it."""
SPOT_SHARE = 0.35
"""Share of the rise of the largest distance that the rise of the ordinary one is, at least, where
another part is shown; around a defect it is less."""
SMALLEST = 1e-12
"""Smallest usual distance that is divided by."""


@dataclass(frozen=True, slots=True)
class Distances:
    """Distances of a photograph, by the usual ones of a product."""

    ordinary: float
    largest: float
    uncovered: float | None
    """The `coverage.uncovered` distance; None where the detector knows no usual one."""


@dataclass(frozen=True, slots=True)
class Usual:
    """The usual distances of a product, in which others are counted, and what is beyond them."""

    ordinary: float
    """Median over the learned photographs, each when it was left out."""
    largest: float
    """Median of the largest distances."""
    limit: float
    """Ordinary distance by the usual one that good photographs do not exceed."""
    uncovered: float | None = None
    """Median of the uncovered distances; None where they are not known."""
    uncovered_limit: float = 0.0
    """Uncovered distance by the usual one, beyond which a photograph shows another part."""

    @classmethod
    def of(cls, detector: Detector) -> Usual:
        """The usual distances of a detector, from its file.

        Without traits of the photographs, as in files of format 2, the median image score stands in
        for both distances to the bank: that of the oddest patches, which an ordinary patch of
        another part exceeds.
        """
        likeness, model = detector.likeness, detector.members[0].model
        if likeness is None or likeness.ordinary is None:
            calibration = detector.calibration
            score = float(np.median(calibration.image_scores)) - calibration.score_origin
            return cls(max(score, SMALLEST), max(score, SMALLEST), 1.0)
        ordinary, largest = np.median(likeness.patch_distances[-1], axis=0).tolist()
        distances, shares = likeness.patch_distances[-1, :, 0], likeness.shares
        if len(shares) != len(distances):  # other views of one photograph
            shares = np.full(len(distances), 1 / len(distances))
        beyond = TailModel.fit(distances, shares, 0.0).quantile(RATE)
        limit = max(beyond, MARGIN * float(distances.max())) / ordinary
        found = likeness.uncovered
        if not len(found) or not found.min() > 0 or not isinstance(model, BankModel):
            return cls(ordinary, largest, limit)
        usual = float(np.median(found))
        most = max(uncovered_by_one(model), float(np.quantile(found, LEARNED_SHARE)))
        return cls(ordinary, largest, limit, usual, UNCOVERED_MARGIN * most / usual)

    def distances(self, inspection: Inspection, model: object, patches: Array | None) -> Distances:
        """Distances of an inspected photograph.

        Args:
            inspection: of it.
            model: that inspected it.
            patches: (n, d) of it; None where they are not known.
        """
        found, seen = patch_distances(inspection.predictions), None
        if self.uncovered is not None and patches is not None and isinstance(model, BankModel):
            seen = uncovered(model, patches) / self.uncovered
        return Distances(found.ordinary / self.ordinary, found.largest / self.largest, seen)

    def is_another(self, found: Distances) -> bool:
        """Whether a photograph shows another part than the product."""
        if found.uncovered is not None:
            return found.uncovered > self.uncovered_limit
        return found.ordinary > self.limit and found.ordinary >= SPOT_SHARE * found.largest
