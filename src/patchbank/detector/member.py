"""A member of a detector: one fitted method with its backbone, and what it finds.

Most detectors have one.  Those of an ensemble speak different units, so each one's scores are
standardised by what good images score when they are left out, and then averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones import FeatureExtractor
from patchbank.detector.preprocessing import ImageGeometry, prepare
from patchbank.methods import FittedMethod, PatchScores, Settings
from patchbank.runtime.devices import Device
from patchbank.types import AnomalyMap, Image


@dataclass(frozen=True, slots=True)
class ScoreStandardization:
    """Where a member's scores of good images lie: x becomes (x - centre) / spread."""

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
    """Its name in METHODS."""
    settings: Settings
    extractor: FeatureExtractor
    model: FittedMethod
    device: Device
    """Where it computes."""
    image_scale: ScoreStandardization = ScoreStandardization()
    """Of its image scores."""
    map_scale: ScoreStandardization = ScoreStandardization()
    """Of its anomaly maps."""

    def find(self, image: Image) -> MemberPrediction:
        """Look at one photograph, (H, W, 3) uint8 RGB."""
        prepared = prepare(self.extractor, self.settings, image)
        with self.device.full_precision():
            maps, view = prepared.features(self.extractor)
            scored = self.model.score(maps)
        return MemberPrediction(scored, view, self.image_scale, self.map_scale)


@dataclass(frozen=True, slots=True)
class MemberPrediction:
    """What one member says of one photograph."""

    scored: PatchScores
    view: ImageGeometry
    image_scale: ScoreStandardization = ScoreStandardization()
    map_scale: ScoreStandardization = ScoreStandardization()

    @property
    def image_score(self) -> float:
        """On the scale of the detector."""
        return float(self.image_scale.apply(self.scored.image_score))

    @property
    def highest(self) -> float:
        """What no value of the map exceeds: the worst patch."""
        return float(self.map_scale.apply(self.scored.patch_scores.max()))

    @property
    def zero(self) -> float:
        """What the map says where nothing differs from good parts: its lowest value."""
        return float(self.map_scale.apply(0.0))

    @property
    def n_pixels(self) -> int:
        """Of the photograph."""
        return self.view.photograph[0] * self.view.photograph[1]

    def anomaly_map(self) -> AnomalyMap:
        """(H, W) float32 in the photograph's own pixels; `zero` where it was not looked at."""
        raw = self.view.anomaly_map(self.scored)
        if self.map_scale == ScoreStandardization():
            return raw
        scaled: AnomalyMap = self.map_scale.apply(raw)
        return scaled


MemberPredictions = Sequence[MemberPrediction]
"""Of every member, on one photograph."""


def combined_score(findings: MemberPredictions) -> float:
    """The image score of a detector: the mean over its members."""
    return float(np.mean([finding.image_score for finding in findings]))


def combined_map(findings: MemberPredictions) -> AnomalyMap:
    """The anomaly map of a detector, (H, W): the mean over its members."""
    total = findings[0].anomaly_map()
    for finding in findings[1:]:
        total = total + finding.anomaly_map()
    mean: AnomalyMap = total / np.float32(len(findings)) if len(findings) > 1 else total
    return mean


def highest_value(findings: MemberPredictions) -> float:
    """What no value of the combined map exceeds."""
    return float(np.mean([finding.highest for finding in findings]))


def normal_value(findings: MemberPredictions) -> float:
    """What the combined map says where nothing differs: its lowest value."""
    return float(np.mean([finding.zero for finding in findings]))
