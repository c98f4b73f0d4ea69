"""The size below which even plain defects are missed: a lower bound, from pasted spots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores.calibration import Calibration
from patchbank.detector.member import Member
from patchbank.detector.preprocessing import extract
from patchbank.detector.settings_choice import SettingsChoice
from patchbank.images.roi import RegionOfInterest
from patchbank.images.source import ImageSource, n_pixels
from patchbank.methods import PatchEmbedding, PatchScores
from patchbank.methods.base import FeatureMaps
from patchbank.methods.memory_bank.model import embedded
from patchbank.runtime.blas import one_thread_of_blas
from patchbank.runtime.progress import Progress
from patchbank.runtime.threads import map_in_order
from patchbank.settings import Settings
from patchbank.training.choose.candidates import TRIED
from patchbank.training.choose.defects import plain_spot
from patchbank.training.choose.placing import Positions, inspected_mask
from patchbank.types import Indices

LARGEST = 0.08
"""Diameter of the largest spot, as a share of the side of a photograph."""
STEP = 2**0.5
"""Ratio of one diameter to the next."""
CONTRAST = 0.5
"""Contrast of a plain spot, as a share of white."""
FOUND = 0.5
"""Share of the spots that have to be found for their size to count as found."""
LARGE_PHOTOGRAPHS = 4
"""Ratio of the pixels of a photograph to those of the largest input, from which tiles are advised.
"""
N_PHOTOGRAPHS, FEWEST_PHOTOGRAPHS = 16, 8
"""Photographs that get spots, and photographs below which nothing is measured."""


@runtime_checkable
class LeavesOut(Protocol):
    """A model that scores a photograph of its fit as if it had not learned it."""

    def embed(self, maps: FeatureMaps) -> Any:
        """Feature maps of one image -> its patches, (h, w, d) or a PatchEmbedding."""
        ...

    def score_left_out(
        self,
        embedding: PatchEmbedding,
        photographs: Indices,
        nearest: NDArray[np.float32] | None = None,
    ) -> PatchScores:
        """Score patches against what was learned of other photographs than those given."""
        ...


@dataclass(frozen=True, slots=True)
class SpotTest:
    """Spots on photographs that a member has learned, each scored without its own photograph."""

    member: Member
    model: LeavesOut
    sources: Sequence[ImageSource]
    calibration: Calibration
    seed: int
    roi: RegionOfInterest | None = None

    @property
    def numbers(self) -> Indices:
        """Numbers of the photographs that get spots, drawn."""
        n, rng = len(self.sources), np.random.default_rng([self.seed, 2])
        return rng.permutation(n)[:N_PHOTOGRAPHS]

    def finds(self, share: float) -> bool:
        """Whether `FOUND` of the spots of a diameter are found at least.

        Spots that cannot change that anymore are not pasted.

        Args:
            share: the diameter, as a share of the side of what is inspected.
        """

        def is_found(number: int) -> bool:
            return self._score(number, share) > self.calibration.threshold

        numbers, results = self.numbers.tolist(), list[bool]()
        least = int(np.ceil(FOUND * len(numbers)))

        def undecided() -> Iterator[int]:
            for number in numbers:
                n_found = sum(results)
                if n_found >= least or n_found + len(numbers) - len(results) < least:
                    return
                yield number

        pixels = {number: n_pixels(self.sources[number]) for number in numbers}
        for _, result in map_in_order(is_found, undecided(), lambda number: pixels[number]):
            results.append(result.result())
        return sum(results) >= least

    def _score(self, number: int, share: float) -> float:
        image, extractor = self.sources[number].read(), self.member.extractor
        rng = np.random.default_rng([self.seed, 3, number])  # the same position for every size
        part = None if self.roi is None else self.roi.on((image.shape[0], image.shape[1]))
        inspected = inspected_mask(extractor, self.member.settings, image, part)
        seen = image if part is None else part.box.of(image)
        side = (seen.shape[0] * seen.shape[1]) ** 0.5
        centre = Positions.of(image, inspected).draw(rng)
        spotted = plain_spot(image, centre, share * side, CONTRAST).on(image)
        maps, geometry = extract(extractor, self.member.settings, spotted, part)
        groups = self.calibration.groups
        alone = np.array([number])
        group = alone if groups is None else np.flatnonzero(groups == groups[number])
        scored = self.model.score_left_out(embedded(self.model.embed, maps, geometry.cells), group)
        return scored.image_score


def with_missed(
    choice: SettingsChoice | None,
    member: Member,
    sources: Sequence[ImageSource],
    calibration: Calibration,
    progress: Progress,
    roi: RegionOfInterest | None = None,
) -> SettingsChoice | None:
    """A choice with the largest diameter of plain spots of which fewer than half are found.

    Each spot is on a photograph that is scored as when the threshold was made: without itself and
    its group.  What is missed though it is this plain is missed when it is real.  The reverse does
    not hold: real defects are fainter.

    Args:
        choice: the record; None, and nothing is measured.
        member: that was fitted with the chosen settings.
        sources: the photographs that it learned.
        calibration: of the detector.
        progress: shows the sizes.
        roi: region of interest, where spots are pasted; None for anywhere.

    Returns:
        The record, with nothing added where photographs are few, spots of a single pixel are found,
        or the model cannot leave out photographs.
    """
    model = member.model
    if choice is None or len(sources) < FEWEST_PHOTOGRAPHS or not isinstance(model, LeavesOut):
        return choice
    side = float(np.median([source.n_pixels for source in sources])) ** 0.5
    seen = 1.0 if roi is None else (roi.on(roi.size).mask.size / roi.mask.size) ** 0.5
    shares = diameters(seen * side)
    test = SpotTest(member, model, sources, calibration, member.settings.seed, roi)
    low, high = 0, len(shares)  # the first size that is found, by bisection
    with (
        progress.task("pasting spots", high.bit_length()) as advance,
        member.device.full_precision(),
        one_thread_of_blas(),
    ):
        while low < high:
            middle = (low + high) // 2
            if test.finds(shares[middle]):
                high = middle
            else:
                low = middle + 1
            advance(1)
    if low == 0:
        return choice
    share = seen * shares[low - 1]
    advice = "" if roi is not None else _advice(member.settings, side)
    return replace(choice, missed_below_share=share, missed_below_px=share * side, advice=advice)


def _advice(settings: Settings, side_px: float) -> str:
    """A sentence about tiles, where photographs are much larger than every input that is tried."""
    sizes = [settings.image_size, *TRIED["image_size"]]
    largest = max(one**2 if isinstance(one, int) else one[0] * one[1] for one in sizes)
    if settings.crop is not None or side_px**2 < LARGE_PHOTOGRAPHS * largest:
        return ""
    times = side_px**2 / largest
    return (
        f"photographs have {times:.0f} times as many pixels as the largest input that is tried: "
        "for smaller defects give tiles (--tiles), which keep every pixel, instead of the preset; "
        "a fit and an inspection then take longer"
    )


def diameters(side_px: float) -> list[float]:
    """Diameters of the spots, as shares of the side, ascending from about a pixel.

    >>> [round(100 * share) for share in diameters(100)]
    [1, 2, 3, 4, 6, 8]
    """
    steps = int(np.log(max(1.0, LARGEST * side_px)) / np.log(STEP))
    return [float(LARGEST / STEP**step) for step in range(steps, -1, -1)]
