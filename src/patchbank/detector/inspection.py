"""What a person looks at: one inspected photograph."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from patchbank.core.spatial.regions import Region
from patchbank.detector.member import MemberPrediction, combined_map, normal_value
from patchbank.detector.overlay import draw_overlay, write_picture
from patchbank.detector.preprocessing import Box
from patchbank.images.read import ImageInput, read_image
from patchbank.types import AnomalyMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Whether a photograph shows an anomaly, where, and how sure that is."""

    image: str
    """Its path, or ``array`` for one given as an array."""
    size: tuple[int, int]
    """(width, height) in pixels, as image programs say it."""
    score: float
    """Raw: higher is more anomalous; comparable between images of one detector."""
    p_value: float
    """How likely a good image scores this high or higher, in (0, 1]."""
    threshold: float
    """The score above which an image is anomalous."""
    pixel_threshold: float
    """The value of the map above which a pixel belongs to a region."""
    regions: tuple[Region, ...]
    """Worst first; on good images there are any at the false-alarm rate only."""
    normalised_score: float | None
    """The score in [0, 1] with the threshold at 0.5; None unless `normalise_score` is set."""
    findings: tuple[MemberPrediction, ...] = field(repr=False)
    """What each member of the detector said of it, patch by patch."""
    source: ImageInput = field(repr=False)
    """What was inspected."""

    @property
    def is_anomalous(self) -> bool:
        """Whether the score is above the threshold."""
        return self.score > self.threshold

    @property
    def anomaly_map(self) -> AnomalyMap:
        """(H, W) float32 in the photograph's own pixels; made anew at each access.

        Outside the part that was inspected (see `box`) it has its lowest value, `normal_map_value`.
        """
        return combined_map(self.findings)

    @property
    def normal_map_value(self) -> float:
        """The value of the map where nothing differs: 0, but for ensembles (they standardise)."""
        return normal_value(self.findings)

    @property
    def box(self) -> Box:
        """The part of the photograph that was looked at: all of it, unless `crop` is set."""
        boxes = [finding.view.box for finding in self.findings]
        top, left = max(b.top for b in boxes), max(b.left for b in boxes)
        bottom = min(b.top + b.height for b in boxes)
        right = min(b.left + b.width for b in boxes)
        return Box(top, left, bottom - top, right - left)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the photograph with its map and regions drawn over it.

        Raises:
            ImageError: the photograph is not there any more.
            DataError: the picture cannot be written.
        """
        write_picture(draw_overlay(read_image(self.source), self), Path(path))

    def to_json(self) -> dict[str, Any]:
        """The line that `patchbank predict --json` writes."""
        normalised = {"normalised_score": self.normalised_score}
        return {
            "image": self.image,
            "size": list(self.size),
            "score": self.score,
            **(normalised if self.normalised_score is not None else {}),
            "p_value": self.p_value,
            "threshold": self.threshold,
            "anomalous": self.is_anomalous,
            "regions": [
                {
                    "left": r.left,
                    "top": r.top,
                    "width": r.width,
                    "height": r.height,
                    "area": r.area,
                    "score": r.score,
                }
                for r in self.regions
            ],
            "error": None,
        }


@dataclass(frozen=True, slots=True)
class FailedInspection:
    """A photograph that could not be read; it has no score, so nobody can take it for normal."""

    image: str
    error: str

    def to_json(self) -> dict[str, Any]:
        """The line that `patchbank predict --json` writes: all that is not known is null."""
        known = {"image": self.image, "error": self.error}
        unknown = ("size", "score", "p_value", "threshold", "anomalous", "regions")
        return {**dict.fromkeys(unknown), **known}
