"""A member of a detector: one fitted method with its backbone, and its predictions.

Most detectors have one.  Members of an ensemble have different score scales, so the scores of each
are standardised by its leave-one-out scores of the good images, and then averaged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones import FeatureExtractor
from patchbank.detector.preprocessing import ImageGeometry, prepare
from patchbank.detector.tiling import score_tiles
from patchbank.errors import ShapeError
from patchbank.images.augment import ORIGINAL, Augmentation
from patchbank.images.roi import InspectedPart
from patchbank.methods import FittedMethod, PatchScores, Settings
from patchbank.methods.base import FeatureMaps
from patchbank.runtime.devices import Device
from patchbank.runtime.forks import computing
from patchbank.types import AnomalyMap, Image

ORDINARY_SHARE = 0.25
"""Share of the patches of a photograph that are called its most ordinary ones."""


class PatchDistances(NamedTuple):
    """Distances of the patches of a photograph to what was learned, 0 at the least.

    Members of an ensemble count as they do in its map.
    """

    ordinary: float
    """Distance that a quarter of the patches, the most ordinary ones, do not exceed."""
    largest: float


@dataclass(frozen=True, slots=True)
class ScoreStandardization:
    """Standardisation of a member's scores by those of good images: (x - centre) / spread."""

    centre: float = 0.0
    spread: float = 1.0

    @classmethod
    def of(cls, good_scores: NDArray[np.float64]) -> ScoreStandardization:
        """Mean and standard deviation of scores (n,); a spread of 1 where all are equal."""
        return cls(float(good_scores.mean()), float(good_scores.std()) or 1.0)

    def apply(self, values: Any) -> Any:
        """Standardise a number or an array; float32 stays float32."""
        return (values - self.centre) / self.spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A method's model with its backbone and its settings."""

    method: str
    """Name of the method in METHODS."""
    settings: Settings
    extractor: FeatureExtractor
    model: FittedMethod
    device: Device
    """The device that it computes on."""
    image_scale: ScoreStandardization = ScoreStandardization()
    """Standardisation of its image scores."""
    map_scale: ScoreStandardization = ScoreStandardization()
    """Standardisation of its anomaly maps."""

    def predict(
        self,
        image: Image,
        part: InspectedPart | None = None,
        augmentation: Augmentation = ORIGINAL,
        *,
        keep_maps: bool = False,
    ) -> MemberPrediction:
        """Score one image, or a copy of it.

        Args:
            image: (H, W, 3) uint8 RGB, the photograph.
            part: the region of interest in images of this size; None where all of it is inspected.
            augmentation: makes the copy; see `detector.preprocessing.prepare`.
            keep_maps: whether the prediction keeps the feature maps, but those of tiles.

        Raises:
            ParameterError, BackboneError: the backbone does not accept or cannot process it.
            ShapeError: a feature or a score is not finite.
        """
        if self.settings.tiles:
            with computing.short(), self.device.full_precision():
                scores, geometry = score_tiles(
                    self.extractor, self.settings, self.model, augmentation.of(image), part
                )
            return self.judged(scores, geometry, None)
        maps, geometry = self.features(image, part, augmentation)
        return self.scored(maps, geometry, keep_maps=keep_maps)

    def features(
        self,
        image: Image,
        part: InspectedPart | None = None,
        augmentation: Augmentation = ORIGINAL,
    ) -> tuple[FeatureMaps, ImageGeometry]:
        """Feature maps of one image that is seen whole; arguments and errors as of `predict`."""
        prepared = prepare(self.extractor, self.settings, image, part, augmentation)
        with computing.short(), self.device.full_precision():
            return prepared.features(self.extractor)

    def scored(
        self, maps: FeatureMaps, geometry: ImageGeometry, *, keep_maps: bool = False
    ) -> MemberPrediction:
        """Score an image by its feature maps, which `features` made.

        Raises:
            ShapeError: a feature or a score is not finite.
        """
        with computing.short(), self.device.full_precision():
            if geometry.cells is None:  # a method of another package may know no other form
                scores = self.model.score(maps)
            else:
                scores = self.model.score(maps, geometry.cells)
        return self.judged(scores, geometry, maps if keep_maps else None)

    def judged(
        self, scores: PatchScores, geometry: ImageGeometry, kept: FeatureMaps | None
    ) -> MemberPrediction:
        """The prediction of patch scores, with the feature maps that are kept.

        Raises:
            ShapeError: a score is not finite.
        """
        if not (math.isfinite(scores.image_score) and np.isfinite(scores.patch_scores).all()):
            raise ShapeError("scores: expected finite numbers, got NaN or infinity")
        return MemberPrediction(scores, geometry, self.image_scale, self.map_scale, kept)


@dataclass(frozen=True, slots=True)
class MemberPrediction:
    """The scores of one member for one image."""

    scores: PatchScores
    geometry: ImageGeometry
    image_scale: ScoreStandardization = ScoreStandardization()
    map_scale: ScoreStandardization = ScoreStandardization()
    maps: FeatureMaps | None = None
    """Feature maps of the image, where they were asked for."""

    @property
    def image_score(self) -> float:
        """Standardised image score."""
        return float(self.image_scale.apply(self.scores.image_score))

    @property
    def highest_value(self) -> float:
        """Standardised score of the worst patch: no value of the map exceeds it."""
        return float(self.map_scale.apply(self.scores.patch_scores.max()))

    @property
    def patch_distances(self) -> PatchDistances:
        """Lower quartile and largest of the patch scores, by the spread of the map."""
        scores = self.geometry.counted(self.scores)
        rank = int(ORDINARY_SHARE * (len(scores) - 1))
        spread = self.map_scale.spread
        return PatchDistances(
            float(np.partition(scores, rank)[rank]) / spread, float(scores.max()) / spread
        )

    @property
    def normal_value(self) -> float:
        """Map value of a perfectly normal patch: the lowest value of the map."""
        return float(self.map_scale.apply(0.0))

    @property
    def n_pixels(self) -> int:
        """Pixels of the photograph."""
        return self.geometry.photograph[0] * self.geometry.photograph[1]

    def anomaly_map(self) -> AnomalyMap:
        """(H, W) float32 in the photograph's pixels; `normal_value` outside the inspected part."""
        raw = self.geometry.anomaly_map(self.scores)
        if self.map_scale == ScoreStandardization():
            return raw
        scaled: AnomalyMap = self.map_scale.apply(raw)
        return scaled


MemberPredictions = Sequence[MemberPrediction]
"""Predictions of every member for one image."""


def combined_score(predictions: MemberPredictions) -> float:
    """Image score of a detector: the mean over its members.

    Raises:
        ShapeError: it is beyond float64.
    """
    score = float(np.mean([prediction.image_score for prediction in predictions]))
    if not math.isfinite(score):
        raise ShapeError("score: expected a finite number, got NaN or infinity")
    return score


def combined_map(predictions: MemberPredictions) -> AnomalyMap:
    """Anomaly map of a detector, (H, W): the mean over its members."""
    with computing.short():
        total = predictions[0].anomaly_map()
        for prediction in predictions[1:]:
            total = total + prediction.anomaly_map()
    mean: AnomalyMap = total / np.float32(len(predictions)) if len(predictions) > 1 else total
    return mean


def origins(members: Sequence[Member]) -> tuple[float, float]:
    """Image score and map value of a photograph without any distance to the learned ones.

    They are 0, except in ensembles, which standardise.
    """
    image = float(np.mean([member.image_scale.apply(0.0) for member in members]))
    return image, float(np.mean([member.map_scale.apply(0.0) for member in members]))


def patch_distances(predictions: MemberPredictions) -> PatchDistances:
    """Distances of the patches of a photograph: the mean over the members."""
    pairs = [prediction.patch_distances for prediction in predictions]
    ordinary, largest = np.mean(pairs, axis=0).tolist()
    return PatchDistances(ordinary, largest)


def highest_value(predictions: MemberPredictions) -> float:
    """Upper bound of the combined map."""
    return float(np.mean([prediction.highest_value for prediction in predictions]))


def normal_value(predictions: MemberPredictions) -> float:
    """Combined map value of a perfectly normal patch: the lowest value of the map."""
    return float(np.mean([prediction.normal_value for prediction in predictions]))
