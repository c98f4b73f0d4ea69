"""Photographs that were learned, among those that `predict` inspects."""

from __future__ import annotations

from pathlib import PurePath

from patchbank.detector.detector import Detector
from patchbank.detector.inspection import Inspection
from patchbank.detector.inspector import Inspector
from patchbank.errors import ImageError
from patchbank.images.digest import pixel_digest

MOST_IN_VAIN = 32
"""Photographs that are read again and were not learned, before no more are: it takes time."""


class LearnedPhotographs:
    """Counts them: their scores say little about new parts.

    Only photographs that can be some are read again: those with the name of a learned one, or with
    a score below all that learned ones have when left out.
    """

    def __init__(self, detector: Inspector) -> None:
        digests = detector.photograph_digests if isinstance(detector, Detector) else None
        self._digests = set() if digests is None else {row.tobytes() for row in digests}
        names = detector.fitted_on if isinstance(detector, Detector) else ()
        self._names = {PurePath(name).name for name in names}
        self._n_inspected = self._n_learned = self._n_in_vain = 0

    def has(self, inspection: Inspection) -> bool:
        """Whether a photograph was learned; threads may ask, while its pixels are in memory."""
        may_be = inspection.p_value == 1 or PurePath(inspection.image).name in self._names
        if not self._digests or not may_be or self._n_in_vain >= MOST_IN_VAIN:
            return False
        try:
            found = pixel_digest(inspection.pixels) in self._digests
        except ImageError:  # it is gone meanwhile
            return False
        self._n_in_vain += not found
        return found

    def add(self, *, is_learned: bool) -> None:
        """Count a photograph."""
        self._n_inspected += 1
        self._n_learned += is_learned

    def lines(self) -> list[str]:
        """Notes on all photographs together."""
        if not self._n_learned:
            return []
        is_one = self._n_learned == 1
        return [
            f"{self._n_learned:,} of {self._n_inspected:,} photographs "
            f"{'is' if is_one else 'are'} among the learned ones, to the pixel: "
            f"{'its score is' if is_one else 'their scores are'} lower than those of new parts"
        ]
