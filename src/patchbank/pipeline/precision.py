"""What a lower precision of the backbone does to the scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from patchbank.backbones import Engine, OnnxExtractor
from patchbank.data.folders import good_images
from patchbank.data.images import ImageInput
from patchbank.methods import Progress
from patchbank.pipeline.detector import Detector
from patchbank.pipeline.members import Member
from patchbank.pipeline.progress import Silent

MOST_IMAGES = 100  # enough for a mean; the search is done twice for each


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """How far scores move when the backbone is run in float32; shares of the threshold."""

    mean: float
    largest: float
    n_images: int

    def __str__(self) -> str:
        return (
            f"scores of {self.n_images} good images differ from those in float32 by "
            f"{self.mean:.2%} of the threshold on average, {self.largest:.2%} at most"
        )


def score_change(
    detector: Detector, images: ImageInput | Iterable[ImageInput], progress: Progress | None = None
) -> ScoreChange:
    """Score images with features in the precision of the detector and in float32.

    Both are held against what the detector has learned, so the difference is what the rounding of
    one photograph does to its score.

    Args:
        detector: fitted in a lower precision.
        images: good ones, as `Recipe.fit` takes them; of more than 100, as many evenly spread.
        progress: told how far it has come.
    """
    sources = good_images(images)
    if len(sources) > MOST_IMAGES:
        sources = [sources[i * len(sources) // MOST_IMAGES] for i in range(MOST_IMAGES)]
    precise = replace(detector, members=tuple(_in_float32(member) for member in detector.members))
    differences = []
    with (progress or Silent()).task("comparing with float32", len(sources)) as advance:
        pairs = zip(detector.predict(sources), precise.predict(sources), strict=True)
        for rounded, exact in pairs:
            differences.append(abs(exact.score - rounded.score))
            advance(1)
    shares = np.array(differences) / abs(detector.calibration.threshold)
    return ScoreChange(float(shares.mean()), float(shares.max()), len(sources))


def _in_float32(member: Member) -> Member:
    extractor = member.extractor
    if not isinstance(extractor, OnnxExtractor):
        return member
    engine = Engine(extractor.engine.name, "float32")
    again = OnnxExtractor(
        extractor.content,
        extractor.info.name,
        extractor.layers,
        extractor.normalisation,
        engine,
    )
    return replace(member, extractor=again)
