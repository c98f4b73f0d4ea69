"""Explain an inspection: find its odd patches, and what they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from patchbank.core.spatial.box import Box
from patchbank.core.spatial.regions import Region
from patchbank.detector.explanation.compare import PatchComparisons, compared, similar_photographs
from patchbank.detector.explanation.explained import (
    Explanation,
    GoodPatch,
    OddPatch,
    OddSpot,
    SimilarPhotograph,
)
from patchbank.detector.explanation.geometry import CellMap, LearnedGeometry
from patchbank.detector.explanation.odd_patches import Chosen, patch_of_region, patches_of_score
from patchbank.detector.member import Member, MemberPrediction
from patchbank.detector.packing import DetectorParts
from patchbank.errors import ParameterError
from patchbank.methods.explaining import Comparison, GoodCell
from patchbank.settings.rules import Integer
from patchbank.types import Image

MOST_REGIONS = 20
"""Regions of a photograph that are explained at most."""
LEAST_SHOWN_CELLS = 16.0
"""Side in cells of what a picture shows around a patch, at least."""
REGION_MARGIN = 1.25
"""Side of what a picture shows, by that of the region."""
LARGEST_SHOWN = 0.75
"""Side of what a picture shows, by that of the feature grid, at most."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An inspected photograph, as far as an explanation needs it."""

    image: str
    regions: Sequence[Region]
    predictions: Sequence[MemberPrediction]
    read: Callable[[], Image]
    """Reads its pixels again."""
    is_anomalous: bool
    score: float
    threshold: float


class Learned:
    """The detector of an inspection, to explain it; copies in other processes have none."""

    def __init__(self, parts: DetectorParts | None) -> None:
        self._parts = parts

    def __reduce__(self) -> tuple[Any, ...]:
        """No model goes to another process with an inspection."""
        return Learned, (None,)

    def __deepcopy__(self, memo: object) -> Learned:
        return self

    def explained(self, seen: Seen, n_nearest: int) -> Explanation:
        """Explain an inspection; see `Inspection.explain`."""
        n_nearest = Integer(1).check("n_nearest", n_nearest)
        if self._parts is None:
            raise ParameterError(
                f"explain: expected an inspection of this process, got one of {seen.image} that "
                "was handed over without its detector; inspect the photograph again, or explain "
                "it before"
            )
        return _Explaining(self._parts, seen, n_nearest).explanation()


class _Explaining:
    """One explanation in the making."""

    def __init__(self, parts: DetectorParts, seen: Seen, n_nearest: int) -> None:
        self._parts, self._seen, self._n_nearest = parts, seen, n_nearest
        self._of_members = [
            _OfMember(parts, number, member, prediction)
            for number, (member, prediction) in enumerate(
                zip(parts.members, seen.predictions, strict=True)
            )
        ]

    def explanation(self) -> Explanation:
        """Choose patches, compare them, and put both together."""
        seen, regions = self._seen, self._seen.regions[:MOST_REGIONS]
        asked = [self._chosen(each, regions) for each in self._of_members]
        found = [
            compared(each.member, each.prediction, seen.read, patches, self._n_nearest)
            for each, patches in zip(self._of_members, asked, strict=True)
        ]
        patches = [
            [
                each.odd_patch(one, parts, self._region(one))
                for one, parts in zip(*pair, strict=True)
            ]
            for each, *pair in zip(self._of_members, asked, found, strict=True)
        ]
        photographs = self._parts.photographs
        return Explanation(
            image=seen.image,
            is_anomalous=seen.is_anomalous,
            score=seen.score,
            threshold=seen.threshold,
            usual_score=float(np.median(self._parts.calibration.image_scores)),
            spots=tuple(self._spots(asked, patches)),
            similar=tuple(self._similar()),
            n_regions=len(seen.regions),
            pictures=None if photographs is None else photographs.pictures,
        )

    def _chosen(self, of: _OfMember, regions: Sequence[Region]) -> list[Chosen]:
        if regions:
            return [
                patch_of_region(of.prediction, of.cells, number, region)
                for number, region in enumerate(regions)
            ]
        return patches_of_score(of.prediction, of.member.settings, of.member.extractor)

    def _region(self, chosen: Chosen) -> Region | None:
        return None if chosen.region is None else self._seen.regions[chosen.region]

    def _spots(self, asked: list[list[Chosen]], patches: list[list[OddPatch]]) -> list[OddSpot]:
        """Patches of all members for one region make one spot; others are spots of their own."""
        is_one = len(asked) == 1
        if not self._seen.regions:
            members = zip(asked, patches, strict=True)
            pairs = [pair for both in members for pair in zip(*both, strict=True)]
            usual = self._usual() if is_one else None
            return [self._spot(None, p.box, [one.distance], usual, (p,)) for one, p in pairs]
        spots = []
        for number, (ones, of_region) in enumerate(
            zip(zip(*asked, strict=True), zip(*patches, strict=True), strict=True)
        ):
            region = self._seen.regions[number]
            box = Box(region.top, region.left, region.height, region.width)
            distances = [one.distance for one in ones]
            spots.append(self._spot(number, box, distances, self._usual(), of_region))
        return spots

    def _spot(
        self,
        region: int | None,
        box: Box,
        distances: Sequence[float],
        usual: float | None,
        patches: tuple[OddPatch, ...],
    ) -> OddSpot:
        distance = float(np.mean(distances))
        if self._is_squared:
            distance, usual = distance**0.5, None if usual is None else usual**0.5
        return OddSpot(region=region, box=box, distance=distance, usual=usual, patches=patches)

    def _usual(self) -> float | None:
        """Median over the learned photographs of the distance of their oddest patches."""
        likeness = self._parts.likeness
        return None if likeness is None else float(np.median(likeness.patch_distances[-1][:, 1]))

    @property
    def _is_squared(self) -> bool:
        """Whether patch scores are squares of distances."""
        metrics = [getattr(one.settings, "metric", "euclidean") for one in self._parts.members]
        return metrics == ["squared"]

    def _similar(self) -> list[SimilarPhotograph]:
        names, found = self._parts.fitted_on, []
        for each in self._of_members:
            found += [
                SimilarPhotograph(names[number], number, distance)
                for number, distance in similar_photographs(
                    each.member, each.prediction, self._seen.read, self._n_nearest
                )
            ]
        return found


class _OfMember:
    """One member of the detector, with its prediction."""

    def __init__(
        self, parts: DetectorParts, number: int, member: Member, prediction: MemberPrediction
    ) -> None:
        self.number, self.member, self.prediction = number, member, prediction
        self.cells = CellMap.of(prediction.geometry)
        self._parts = parts
        self._learned = LearnedGeometry(parts, member, prediction.geometry)

    def odd_patch(
        self, chosen: Chosen, comparisons: PatchComparisons, region: Region | None
    ) -> OddPatch:
        """A patch with all that it was compared with."""
        side = getattr(self.member.settings, "patch_size", 1)
        stride = self.prediction.scores.stride
        centre = chosen.row * stride + 0.5, chosen.column * stride + 0.5
        return OddPatch(
            member=self.number,
            method=self.member.method,
            box=self.cells.box(centre, side),
            score=chosen.score,
            nearest=tuple(
                self._good_patch(each, cell, side) for each in comparisons for cell in each.nearest
            ),
            remark="; ".join(each.remark for each in comparisons if each.remark),
            around=self.cells.around(centre),
            patch_cells=side,
            shown_cells=self._shown_cells(region),
        )

    def _shown_cells(self, region: Region | None) -> float:
        """Cells that a picture shows: the same number around an odd patch and around good ones."""
        largest = LARGEST_SHOWN * max(self.cells.grid)
        if region is None:
            return min(LEAST_SHOWN_CELLS, largest)
        pitch = np.linalg.norm(self.cells.to_photograph.linear, axis=0).min()
        extent = REGION_MARGIN * max(region.height, region.width) / float(pitch)
        return min(max(LEAST_SHOWN_CELLS, extent), largest)

    def _good_patch(self, comparison: Comparison, cell: GoodCell, side: int) -> GoodPatch:
        there, centre = self._learned.cells(cell.photograph, cell.copy), cell.cell
        if there is not None and centre is not None and cell.distance is None:
            scale = np.array(there.grid) / np.array(self.cells.grid)  # the same spot of each
            centre = float(centre[0] * scale[0]), float(centre[1] * scale[1])
        box, around = None, None
        if there is not None and centre is not None:
            box, around = there.box(centre, side), there.around(centre)
        return GoodPatch(
            photograph=self._parts.fitted_on[cell.photograph],
            number=cell.photograph,
            box=box,
            part=self._part(comparison),
            row=cell.row,
            distance=cell.distance,
            usual=comparison.usual,
            around=around,
        )

    def _part(self, comparison: Comparison) -> str:
        """Name of a part, with the layer and the scale that it compares."""
        number, layers = comparison.map_number, self.member.extractor.layers
        named = comparison.part
        if number is not None:
            scale = self.member.settings.scales[number // len(layers)]
            named = f"{named}, {layers[number % len(layers)]} at scale {scale:g}"
        return named if len(self._parts.members) == 1 else f"member {self.number + 1}, {named}"
