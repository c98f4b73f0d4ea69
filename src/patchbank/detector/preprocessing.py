"""From a photograph to its features, and from patch scores back to its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones import FeatureExtractor
from patchbank.core.spatial import anomaly_map
from patchbank.errors import ParameterError
from patchbank.images.read import input_size, resized, to_multiple
from patchbank.methods import PatchScores
from patchbank.methods.base import FeatureMaps
from patchbank.settings import InputSettings, MapSettings, Settings, part_of
from patchbank.types import AnomalyMap, Image

Pixel = TypeVar("Pixel", bound=np.generic)


class Box(NamedTuple):
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, pixels: NDArray[Pixel]) -> NDArray[Pixel]:
        """The part of an (H, W, ...) array inside: a view."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True, slots=True)
class ImageGeometry:
    """How one photograph was looked at.  All sizes are (height, width)."""

    photograph: tuple[int, int]
    """In pixels."""
    box: Box
    """The part of the photograph that was looked at, in its pixels."""
    seen: tuple[int, int]
    """In pixels, of the network's input at the first scale."""
    cells: tuple[int, int]
    """Of the feature grid that covers it."""
    settings: MapSettings
    """Settings of its anomaly map."""

    @property
    def window(self) -> tuple[float, float, float, float]:
        """(top, left, bottom, right) of that part, as shares of the photograph."""
        height, width = self.photograph
        bottom, right = self.box.top + self.box.height, self.box.left + self.box.width
        return self.box.top / height, self.box.left / width, bottom / height, right / width

    def anomaly_map(self, scored: PatchScores) -> AnomalyMap:
        """The map in the photograph's own pixels; 0 where it was not looked at."""
        inside = anomaly_map.anomaly_map(
            scored.patch_scores,
            self.seen,
            (self.box.height, self.box.width),
            sigma=anomaly_map.scaled_sigma(self.settings.smoothing, self.seen),
            stride=scored.stride,
            cells=self.cells,
            interpolation=self.settings.map_interpolation,
            border=self.settings.map_border,
        )
        if inside.shape == self.photograph:
            return inside
        whole = np.zeros(self.photograph, dtype=np.float32)
        self.box.of(whole)[...] = inside
        return whole


@dataclass(frozen=True, slots=True)
class Prepared:
    """A photograph at the sizes that the network sees."""

    inputs: list[Image]
    """One (H, W, 3) a scale."""
    photograph: tuple[int, int]
    box: Box
    settings: MapSettings

    def features(self, extractor: FeatureExtractor) -> tuple[FeatureMaps, ImageGeometry]:
        """Take its features: one (c, h, w) map a layer and scale."""
        taken = [m for image in self.inputs for m in extractor(image)]
        seen, cells = self.inputs[0].shape[:2], taken[0].shape[1:]
        return taken, ImageGeometry(
            self.photograph, self.box, (seen[0], seen[1]), (cells[0], cells[1]), self.settings
        )


def extract(
    extractor: FeatureExtractor, settings: Settings, image: Image
) -> tuple[FeatureMaps, ImageGeometry]:
    """Take the features of a photograph; see `prepare` and `Prepared.features`."""
    return prepare(extractor, settings, image).features(extractor)


def prepare(extractor: FeatureExtractor, settings: Settings, image: Image) -> Prepared:
    """Bring a photograph to the sizes that the network shall see.

    Raises:
        ParameterError: the backbone accepts another size only, or the photograph is too small.
    """
    photograph = image.shape[0], image.shape[1]
    whole, crop = _resized_and_cropped(extractor, settings, photograph)
    box = _in_photograph(crop, whole, photograph)
    sizes = _sizes(extractor, settings.scales, (crop.height, crop.width))
    inputs = [_input(settings, image, whole, crop, box, size) for size in sizes]
    return Prepared(inputs, photograph, box, part_of(settings, MapSettings))


def _input(
    settings: InputSettings,
    image: Image,
    whole: tuple[int, int],
    crop: Box,
    box: Box,
    size: tuple[int, int],
) -> Image:
    """What the network sees: (H, W, 3) of `size`."""
    if size == (crop.height, crop.width):
        return crop.of(resized(image, whole, settings.resampling))
    return resized(box.of(image), size, settings.resampling)


def _resized_and_cropped(
    extractor: FeatureExtractor, settings: InputSettings, photograph: tuple[int, int]
) -> tuple[tuple[int, int], Box]:
    """-> (H, W) to which the whole photograph is resized, and the middle of that to look at.

    Raises:
        ParameterError: the middle is larger than the whole, or not of a size that the network
            takes.
    """
    demanded = extractor.info.size_multiple
    is_area = settings.resize == "area" and not isinstance(settings.image_size, tuple)
    multiple = _grid_step(extractor) if is_area else demanded
    whole = input_size(
        photograph,
        settings.image_size,
        settings.resize,
        multiple if settings.crop is None else 1,
        settings.max_upscale,
    )
    if settings.crop is None:
        return whole, Box(0, 0, *whole)
    crop = (settings.crop,) * 2 if isinstance(settings.crop, int) else settings.crop
    height, width = crop
    if height % demanded or width % demanded:
        raise ParameterError(
            f"crop: expected multiples of {demanded} (what {extractor.info.name} takes), "
            f"got {height} x {width}"
        )
    if height > whole[0] or width > whole[1]:
        raise ParameterError(
            f"crop: expected at most {whole[0]} x {whole[1]} (height x width of the resized "
            f"photograph), got {height} x {width}; use a larger image_size"
        )
    top, left = round((whole[0] - height) / 2), round((whole[1] - width) / 2)
    return whole, Box(top, left, height, width)


def _grid_step(extractor: FeatureExtractor) -> int:
    """Sizes of our own choice are multiples of this, so that the grids of all layers align."""
    deepest = max(extractor.info.available_layers[layer].stride for layer in extractor.layers)
    return max(extractor.info.size_multiple, deepest)


def _sizes(
    extractor: FeatureExtractor, scales: tuple[float, ...], seen: tuple[int, int]
) -> list[tuple[int, int]]:
    """The (H, W) that the network sees at each scale."""
    info, step = extractor.info, _grid_step(extractor)
    sizes = [
        seen
        if scale == 1
        else (to_multiple(seen[0] * scale, step), to_multiple(seen[1] * scale, step))
        for scale in scales
    ]
    if info.input_size is not None and sizes != [info.input_size]:
        height, width = info.input_size
        raise ParameterError(
            f"image_size: expected {height}x{width} and scales 1, the one size that {info.name} "
            f"accepts, got {' and '.join(f'{h}x{w}' for h, w in sizes)}"
        )
    return sizes


def _in_photograph(crop: Box, whole: tuple[int, int], photograph: tuple[int, int]) -> Box:
    """The same part, in the photograph's own pixels."""
    down, across = photograph[0] / whole[0], photograph[1] / whole[1]
    top, left = round(crop.top * down), round(crop.left * across)
    bottom = round((crop.top + crop.height) * down)
    right = round((crop.left + crop.width) * across)
    return Box(top, left, bottom - top, right - left)
