"""Quantises the backbone of a member to int8, with what it sees of the good photographs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

from patchbank.backbones import BackboneInfo, FeatureExtractor, OnnxExtractor
from patchbank.errors import ParameterError
from patchbank.images.roi import RegionOfInterest
from patchbank.images.source import ImageSource
from patchbank.runtime.progress import NullProgress, Progress
from patchbank.settings import Settings
from patchbank.training.extraction import extract_images
from patchbank.training.photographs import tried, unreadable
from patchbank.types import FeatureMap, Image

if TYPE_CHECKING:
    from patchbank.backbones.quantisation import Quantised

Item = TypeVar("Item")

MOST_PHOTOGRAPHS = 32
"""Photographs that the ranges of activations are measured on."""
MOST_PIXELS = 32 * 512 * 512
"""Pixels of what the network sees of them, at least one image of each."""


class _Recorder:
    """An extractor that keeps the images which it sees."""

    def __init__(self, extractor: FeatureExtractor) -> None:
        self._extractor = extractor
        self.images: list[Image] = []

    @property
    def info(self) -> BackboneInfo:
        """Origin of the weights, and how their input is prepared."""
        return self._extractor.info

    @property
    def layers(self) -> tuple[str, ...]:
        """The chosen layers."""
        return self._extractor.layers

    def __call__(self, image: Image) -> Sequence[FeatureMap]:
        """The features of the extractor."""
        self.images.append(image)
        return self._extractor(image)


def quantised_for(
    extractor: FeatureExtractor,
    settings: Settings,
    sources: Sequence[ImageSource],
    roi: RegionOfInterest | None,
    progress: Progress,
) -> Quantised:
    """Quantise a backbone, so that it fits what it sees of good photographs.

    Args:
        extractor: of the features, in float32.
        settings: of the input, and the augmented copies.
        sources: the photographs, of which up to `MOST_PHOTOGRAPHS` are read.
        roi: region of interest; None where whole photographs are learned.
        progress: shows the layers.

    Raises:
        ParameterError: the backbone is not ONNX or is in int8 already, or the tools are missing.
        BackboneError: the network cannot be quantised.
        ImageError, ShapeError: photographs cannot be read; one error names all of them.
    """
    if not isinstance(extractor, OnnxExtractor):
        name = extractor.info.name
        raise ParameterError(
            f"precision: expected float32 for {name}, which runs in torch, got int8; make an ONNX "
            f"file of it (patchbank backbones export {name}) and use that as backbone"
        )
    if extractor.engine.precision == "int8":
        raise ParameterError(
            f"precision: expected none with {extractor.info.name}, which is in int8 already, got "
            "int8; leave it out"
        )
    if find_spec("onnx") is None:
        raise ParameterError(
            "precision: expected the package onnx for int8, got none; "
            "pip install 'patchbank[export]'"
        )
    from patchbank.backbones.quantisation import quantised

    chosen = evenly(sources, MOST_PHOTOGRAPHS)
    images: list[Image] = []
    errors: list[Exception] = []
    for source in chosen:
        seen = _seen(extractor, settings, source, roi, errors)
        if errors:
            break
        n_pixels = sum(image.shape[0] * image.shape[1] for image in seen)
        images += evenly(seen, max(1, len(seen) * MOST_PIXELS // (len(chosen) * n_pixels)))
    # Not only after the quantisation, which takes a while.
    if errors or any(source.header.height == 0 for source in sources):
        errors = tried(sources, progress)[1] or errors
    if errors:
        raise unreadable(errors, len(sources))
    return quantised(extractor, images, progress)


def _seen(
    extractor: OnnxExtractor,
    settings: Settings,
    source: ImageSource,
    roi: RegionOfInterest | None,
    errors: list[Exception],
) -> list[Image]:
    """Images of a photograph that the network sees; `errors` receives that it cannot be read."""
    recorder = _Recorder(extractor)
    for _ in extract_images(recorder, settings, [source], NullProgress(), roi=roi, unread=errors):
        pass
    # They come from several threads, so their order is none.
    return sorted(recorder.images, key=lambda image: image.tobytes())


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """So many of some items, or all of fewer, from the first on and spread over all.

    >>> evenly(range(10), 4)
    [0, 2, 5, 7]
    """
    if len(items) <= most:
        return list(items)
    return [items[number * len(items) // most] for number in range(most)]
