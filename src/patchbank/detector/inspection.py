"""The result for one photograph: an inspection, or the reason why there is none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from PIL import Image as pillow

from patchbank.core.spatial.box import Box
from patchbank.core.spatial.regions import Region
from patchbank.detector.difference import Differences
from patchbank.detector.explanation.explain import Learned, Seen
from patchbank.detector.explanation.explained import Explanation
from patchbank.detector.member import MemberPrediction, combined_map, normal_value
from patchbank.detector.notebook import html_table
from patchbank.detector.overlay import draw_overlay, png_bytes, write_picture
from patchbank.detector.position import shows_part
from patchbank.detector.route import Route
from patchbank.errors import ImageError, NoProductError, PatchbankError
from patchbank.images.source import ImageSource
from patchbank.runtime.arguments import path_argument
from patchbank.types import AnomalyMap, Image, Mask


@dataclass(frozen=True, slots=True)
class KeptPixels:
    """Pixels of an inspected photograph, and its anomaly map."""

    image: Image
    """(H, W, 3)."""
    anomaly_map: AnomalyMap
    """(H, W)."""


SCHEMA_VERSION = 1
"""Version of `docs/schemas/predict.schema.json`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Whether a photograph shows an anomaly, where, and how sure that is."""

    image: str
    """Path of the photograph; ``array``, ``bytes``, ``file`` or ``image`` where it has no name."""
    size: tuple[int, int]
    """(width, height) in pixels, in the order that image programs use."""
    score: float
    """Raw image score: higher is more anomalous; comparable between images of one detector."""
    p_value: float
    """Probability that a good image scores this high or higher, in (0, 1]."""
    threshold: float
    """The score above which an image is anomalous."""
    pixel_threshold: float
    """The value of the map above which a pixel belongs to a region."""
    regions: tuple[Region, ...]
    """Worst first; good images have one at the false-alarm rate only."""
    normalised_score: float | None
    """The score in [0, 1] with the threshold at 0.5; None unless `normalise_score` is set."""
    unlike: Differences = ()
    """Ways in which the photograph differs from the learned ones as a whole; score and verdict do
    not depend on them.  Without most of them where the file of the detector has no traits."""
    is_learned: bool = False
    """Whether the detector has learned a photograph with the same file name and the same pixels:
    then the score says nothing of new parts."""
    predictions: tuple[MemberPrediction, ...] = field(repr=False)
    """Patch scores of each member of the detector."""
    source: ImageSource = field(repr=False)
    """The photograph, to be read again."""
    kept: KeptPixels | None = field(default=None, repr=False)
    """Pixels and map, where the detector was asked to keep them (``keep_image=True``)."""
    learned: Learned | None = field(default=None, repr=False, compare=False)
    """The detector, for `explain`; it is not handed to other processes."""
    route: Route | None = None
    """Product that it shows, as a router found it; None where the detector was given."""

    @property
    def is_anomalous(self) -> bool:
        """Whether the score is above the threshold; a score that is no number is.

        So is a photograph in which no part was found to be turned to its canonical position, since
        its score says nothing of the part.
        """
        placements = (prediction.geometry.placement for prediction in self.predictions)
        return not self.score <= self.threshold or not all(map(shows_part, placements))

    @property
    def anomaly_map(self) -> AnomalyMap:
        """(H, W) float32 in the photograph's own pixels; unless kept, computed at each access.

        Outside the inspected part (see `box` and `inspected`) it has its lowest value,
        `normal_map_value`.
        """
        return combined_map(self.predictions) if self.kept is None else self.kept.anomaly_map

    @property
    def normal_map_value(self) -> float:
        """Map value of a perfectly normal patch: 0, except in ensembles, which standardise."""
        return normal_value(self.predictions)

    @property
    def box(self) -> Box:
        """The box of what is inspected: the photograph, unless `crop` or a region is set."""
        boxes = [prediction.geometry.inspected_box for prediction in self.predictions]
        top, left = max(b.top for b in boxes), max(b.left for b in boxes)
        bottom = min(b.top + b.height for b in boxes)
        right = min(b.left + b.width for b in boxes)
        return Box(top, left, bottom - top, right - left)

    @property
    def inspected(self) -> Mask | None:
        """(h, w) of `box`: True for the pixels of the region of interest; None if all are."""
        part = self.predictions[0].geometry.part
        return None if part is None or part.is_box else part.mask

    @property
    def pixels(self) -> Image:
        """(H, W, 3) of the photograph; unless kept, it is read again.

        Raises:
            ImageError: the file is not there any more, or is not the one that was inspected.
        """
        return self.source.read() if self.kept is None else self.kept.image

    def overlay(self) -> Image:
        """The photograph with its map and regions drawn over it, below a line with the verdict.

        -> (H', W', 3): a small photograph is enlarged.

        Raises:
            ImageError: as `pixels`.
        """
        return np.asarray(draw_overlay(self.pixels, self))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the overlay as a picture.

        Raises:
            ImageError: as `pixels`.
            DataError: the picture cannot be written.
        """
        write_picture(draw_overlay(self.pixels, self), path_argument("path", path))

    def without_pixels(self) -> Inspection:
        """The inspection without the pixels and the map that it may keep.

        It can still draw a photograph that is a file, which is read again.
        """
        predictions = tuple(replace(each, maps=None) for each in self.predictions)
        source = self.source.without_pixels()
        return replace(self, kept=None, source=source, predictions=predictions)

    def explain(self, n_nearest: int = 3) -> Explanation:
        """Good patches that odd spots of the photograph are compared with, and how far they are.

        Each region is explained by its oddest patch; a photograph without a region by the patches
        that its score is made of.  The photograph is read again, and its features are computed
        again, unless this is called by `Detector.inspect_with`.

        Args:
            n_nearest: good patches that are looked for in each bank, 1 or more.

        Raises:
            ParameterError: `n_nearest` is below 1, or the inspection comes from another process.
            ImageError: as `pixels`.
        """
        learned = self.learned or Learned(None)
        return learned.explained(
            Seen(
                self.image,
                self.regions,
                self.predictions,
                lambda: self.pixels,
                is_anomalous=self.is_anomalous,
                score=self.score,
                threshold=self.threshold,
            ),
            n_nearest,
        )

    def _repr_png_(self) -> bytes | None:
        """The overlay for a notebook; None where the photograph cannot be read any more."""
        try:
            return png_bytes(pillow.fromarray(self.overlay()))
        except ImageError:
            return None

    def _repr_html_(self) -> str:
        try:
            picture: Image | None = self.overlay()
        except ImageError:
            picture = None
        rows = {
            "image": self.image,
            "verdict": "anomalous" if self.is_anomalous else "good",
            "score": f"{self.score:.4g} (threshold {self.threshold:.4g})",
            "p-value": f"{self.p_value:.2g}",
            "regions": len(self.regions),
        }
        if self.unlike:
            rows["unlike the learned ones"] = "; ".join(map(str, self.unlike))
        return html_table("Inspection", rows, picture)

    def to_json(self) -> dict[str, Any]:
        """The line that `patchbank predict --json` writes."""
        normalised = {"normalised_score": self.normalised_score}
        return {
            "schema_version": SCHEMA_VERSION,
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
            "unlike": [difference.to_json() for difference in self.unlike],
            "error": None,
            "error_type": None,
            **({} if self.route is None else {"route": self.route.to_json()}),
        }


Normal: TypeAlias = Inspection | tuple[Inspection, Region | Sequence[Region]]
"""An inspection whose photograph is normal, or with those of its regions that are."""


@dataclass(frozen=True, slots=True)
class FailedInspection:
    """A photograph that could not be inspected; it has no score, so it never passes for normal."""

    image: str
    error: str
    """The message, one line."""
    error_class: type[Exception] = PatchbankError
    """Class of the exception: `ImageError` for an image that cannot be read, `ParameterError` for
    one that the backbone does not accept, `MemoryError` for one that is too large, ..."""
    route: Route | None = None
    """For a photograph of none of the products of a router: which one is nearest."""

    @classmethod
    def of(cls, image: str, error: Exception) -> FailedInspection:
        """The outcome of an error, whose message names the image if it does not yet."""
        text = str(error)
        route = error.route if isinstance(error, NoProductError) else None
        return cls(image, text if image in text else f"{image}: {text}", type(error), route)

    @property
    def error_type(self) -> str:
        """Name of `error_class`."""
        return self.error_class.__name__

    def to_json(self) -> dict[str, Any]:
        """The line that `patchbank predict --json` writes: all that is not known is null."""
        known = {
            "schema_version": SCHEMA_VERSION,
            "image": self.image,
            "error": self.error,
            "error_type": self.error_type,
        }
        unknown = ("size", "score", "p_value", "threshold", "anomalous", "regions", "unlike")
        route = {} if self.route is None else {"route": self.route.to_json()}
        return {**dict.fromkeys(unknown), **known, **route}
