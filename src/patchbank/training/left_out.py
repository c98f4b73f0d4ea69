"""Good photographs with their predictions when they are left out, for the report of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from patchbank.core.scores.calibration import Calibration
from patchbank.core.spatial.regions import find_regions
from patchbank.detector.inspection import Inspection
from patchbank.detector.member import MemberPredictions, combined_map
from patchbank.images.source import ImageSource

SHOWN = 12
"""Photographs of the highest scores that are kept."""


@dataclass(frozen=True, slots=True)
class PhotographGroup:
    """Photographs that were left out together."""

    reason: str
    """Why they belong together, in words."""
    numbers: tuple[int, ...]
    """Numbers of the photographs, in the order in which they were learned."""


@dataclass(slots=True)
class LeftOutPhotographs:
    """The photographs that the report of a fit shows; `fit` fills it in."""

    sources: list[ImageSource] = field(default_factory=list)
    """All photographs that were learned."""
    oddest: list[tuple[int, Inspection]] = field(default_factory=list)
    """Photographs of the highest scores when left out, with their numbers; none of a single one."""
    groups: list[PhotographGroup] = field(default_factory=list)
    """Groups of more than one photograph."""

    def fill(
        self,
        sources: Sequence[ImageSource],
        left_out: Sequence[MemberPredictions],
        calibration: Calibration,
    ) -> None:
        """Keep the photographs and the predictions of the oddest ones.

        Args:
            sources: n photographs.
            left_out: for each member of the detector its n predictions of photographs that are left
                out; those of other views, if there is a single photograph, are not kept.
            calibration: made of them.
        """
        self.sources = list(sources)
        if calibration.views_of_one:
            return
        order = np.argsort(-calibration.image_scores, kind="stable")[:SHOWN]
        self.oddest = [
            (
                int(number),
                _inspection(
                    sources[number], [member[number] for member in left_out], calibration, number
                ),
            )
            for number in order
        ]


def _inspection(
    source: ImageSource, predictions: MemberPredictions, calibration: Calibration, number: int
) -> Inspection:
    """The inspection of a photograph by a detector that has not learned it."""
    height, width = predictions[0].geometry.photograph
    score, pixel_threshold = float(calibration.image_scores[number]), calibration.pixel_threshold
    has_regions = calibration.map_peaks[number] > pixel_threshold
    return Inspection(
        image=source.name,
        size=(width, height),
        score=score,
        p_value=calibration.p_value(score),
        threshold=calibration.threshold,
        pixel_threshold=pixel_threshold,
        regions=find_regions(combined_map(predictions), pixel_threshold) if has_regions else (),
        normalised_score=None,
        predictions=tuple(predictions),
        source=source,
    )
