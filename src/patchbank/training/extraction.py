"""Extract the features of good photographs and of their augmented copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from patchbank.backbones import FeatureExtractor
from patchbank.detector.preprocessing import ImageGeometry, extract
from patchbank.images.augment import Augmentation
from patchbank.images.source import ImageSource, n_pixels
from patchbank.methods import TrainingImage
from patchbank.runtime.progress import Progress
from patchbank.runtime.threads import map_in_order
from patchbank.settings import Settings
from patchbank.types import Image


@dataclass(frozen=True, slots=True)
class ExtractedImage:
    """One image of the fit: its features for the method, its geometry for the calibration."""

    features: TrainingImage
    geometry: ImageGeometry


@dataclass(frozen=True, slots=True)
class _Copy:
    """A decoded photograph, and the copy of it to make."""

    photograph: int
    image: Image
    augmentation: Augmentation


def extract_images(
    extractor: FeatureExtractor,
    settings: Settings,
    sources: Sequence[ImageSource],
    progress: Progress,
) -> Iterator[ExtractedImage]:
    """Yield every photograph in order, each followed by its copies.

    Photographs are decoded, and features extracted, on all cores a few images ahead of the one that
    is yielded; so memory does not grow with the number of photographs.

    Raises:
        ImageError, ShapeError: a photograph cannot be read.
        ParameterError, BackboneError: the network cannot run on it.
    """

    def extracted(copy: _Copy) -> ExtractedImage:
        image = copy.augmentation.of(copy.image)
        maps, geometry = extract(extractor, settings, image)
        inside = None
        if not copy.augmentation.is_original:
            inside = copy.augmentation.inside(
                copy.image.shape[:2], geometry.feature_grid, geometry.crop_shares
            )
        return ExtractedImage(TrainingImage(maps, copy.photograph, inside), geometry)

    n_images = len(sources) * len(settings.copies)
    with progress.task("reading good images", n_images) as advance:
        for _, image in map_in_order(extracted, _copies(sources, settings), _n_pixels):
            yield image.result()
            advance(1)


def _copies(sources: Sequence[ImageSource], settings: Settings) -> Iterator[_Copy]:
    # A loop: a generator expression would keep its iterator, and so the threads, after an error.
    for number, (_, decoded) in enumerate(map_in_order(ImageSource.read, sources, n_pixels)):
        image = decoded.result()
        for augmentation in settings.copies:
            yield _Copy(number, image, augmentation)


def _n_pixels(copy: _Copy) -> int:
    return int(np.prod(copy.image.shape[:2]))
