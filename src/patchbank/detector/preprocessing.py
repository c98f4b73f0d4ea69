"""From an image to the network's input, and from patch scores back to the image's pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones import FeatureExtractor
from patchbank.core.rounding import settled
from patchbank.core.spatial import anomaly_map
from patchbank.core.spatial.box import Box
from patchbank.errors import ParameterError
from patchbank.images.augment import ORIGINAL, Augmentation
from patchbank.images.placement import Placement
from patchbank.images.resize import input_size, resized, to_multiple
from patchbank.images.roi import InspectedPart
from patchbank.methods import PatchScores
from patchbank.methods.base import FeatureMaps
from patchbank.settings import InputSettings, MapSettings, Settings, part_of
from patchbank.types import AnomalyMap, Image, PatchGrid

LARGEST_OF_SHORT_SIDE = 2**24
"""Pixels that a photograph may have when its short side is resized to a side up to 2048: its long
side has no limit, and neither would time and memory."""
SMALLEST_WEIGHT = 1e-6
"""Share of a pixel of the map that patches of the region of interest have at least."""
SEEN_WHOLE_PX = (448, 448)
"""Network's input of a usual photograph that is seen whole, for which settings relative to it are
meant where a larger one is seen tile by tile."""


@dataclass(frozen=True, slots=True)
class ImageGeometry:
    """Sizes and positions from an image to its features.  All sizes are (height, width)."""

    photograph: tuple[int, int]
    """Pixels of the photograph."""
    crop_box: Box
    """The inspected part of the photograph, in its pixels; of the canonical image, if there is a
    placement."""
    input_size: tuple[int, int]
    """Pixels of the network's input at the first scale."""
    feature_grid: tuple[int, int]
    """Cells of the first layer's feature map, which covers the inspected part."""
    settings: MapSettings
    """Settings of the anomaly map."""
    part: InspectedPart | None = None
    """The region of interest in photographs of this size; None without."""
    cells: NDArray[np.bool_] | None = None
    """(h, w) of the feature grid: True for the cells of the region; None where all count."""
    placement: Placement | None = None
    """Where the canonical image lies in the photograph; None for photographs that are not turned.
    """
    covered: tuple[int, int] | None = None
    """Pixels of the photograph that the feature grid covers where it was made tile by tile: the
    inspected part, and what is missing to whole cells below and to the right of it.  None for a
    photograph that was seen whole."""

    @property
    def inspected_box(self) -> Box:
        """The rectangle of the photograph outside of which nothing is inspected."""
        return self.crop_box if self.placement is None else Box(0, 0, *self.photograph)

    @property
    def crop_shares(self) -> tuple[float, float, float, float]:
        """(top, left, bottom, right) of the feature grid, as shares of the photograph."""
        (height, width), box = self.photograph, self.crop_box
        down, across = self.covered or (box.height, box.width)
        bottom, right = box.top + down, box.left + across
        return box.top / height, box.left / width, bottom / height, right / width

    def anomaly_map(self, scores: PatchScores) -> AnomalyMap:
        """The anomaly map in the photograph's own pixels; 0 outside the inspected part."""
        inside = self._enlarged(scores.patch_scores, scores.stride)
        if self.part is not None:
            inside = self._within(self.part, inside, scores.stride)
        placement = self.placement
        size = self.photograph if placement is None else placement.size
        whole = inside
        if inside.shape != size:
            whole = np.zeros(size, dtype=np.float32)
            self.crop_box.of(whole)[...] = inside
        return whole if placement is None else placement.turned_back(whole, self.photograph)

    def counted(self, scores: PatchScores) -> NDArray[np.float32]:
        """The scores of the patches that count, (n,)."""
        if self.cells is None:
            return scores.patch_scores.ravel()
        counted: NDArray[np.float32] = scores.patch_scores[
            self.cells[:: scores.stride, :: scores.stride]
        ]
        return counted

    def _enlarged(self, grid: PatchGrid, stride: int) -> AnomalyMap:
        """A number for each patch, enlarged to the pixels of the inspected part."""
        box = self.crop_box
        seen = self.input_size if self.covered is None else SEEN_WHOLE_PX
        return anomaly_map.anomaly_map(
            grid,
            self.input_size,
            self.covered or (box.height, box.width),
            sigma=anomaly_map.scaled_sigma(self.settings.smoothing, seen),
            stride=stride,
            cells=self.feature_grid,
            interpolation=self.settings.map_interpolation,
            border=self.settings.map_border,
        )[: box.height, : box.width]

    def _within(self, part: InspectedPart, enlarged: AnomalyMap, stride: int) -> AnomalyMap:
        """The map of the region of interest alone: 0 outside of it.

        At its border a pixel has the mean of the patches that count, not of those that do not.
        """
        if self.cells is not None:
            weights = self._enlarged(self.cells[::stride, ::stride].astype(np.float32), stride)
            reached = weights > SMALLEST_WEIGHT
            enlarged = np.divide(enlarged, weights, out=np.zeros_like(enlarged), where=reached)
        return enlarged if part.is_box else np.where(part.mask, enlarged, np.float32(0))


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An image at the sizes that the network sees."""

    inputs: list[Image]
    """One (H, W, 3) for each scale."""
    photograph: tuple[int, int]
    crop_box: Box
    settings: MapSettings
    part: InspectedPart | None = None
    """The region of interest in the photograph; None without."""
    patch_stride: int = 1
    """Cells of the feature grid from one patch to the next."""
    placement: Placement | None = None
    """Where the canonical image lies in the photograph; None for one that is not turned."""

    def features(self, extractor: FeatureExtractor) -> tuple[FeatureMaps, ImageGeometry]:
        """Extract one (c, h, w) map for each layer and scale."""
        maps = [m for image in self.inputs for m in extractor(image)]
        input_size, grid = self.inputs[0].shape[:2], (maps[0].shape[1], maps[0].shape[2])
        return maps, ImageGeometry(
            self.photograph,
            self.crop_box,
            (input_size[0], input_size[1]),
            grid,
            self.settings,
            self.part,
            None if self.part is None else self.part.cells(grid, self.patch_stride),
            self.placement,
        )


def extract(
    extractor: FeatureExtractor,
    settings: Settings,
    image: Image,
    part: InspectedPart | None = None,
    augmentation: Augmentation = ORIGINAL,
) -> tuple[FeatureMaps, ImageGeometry]:
    """Extract the features of an image; see `prepare` and `PreparedImage.features`."""
    return prepare(extractor, settings, image, part, augmentation).features(extractor)


def prepare(
    extractor: FeatureExtractor,
    settings: Settings,
    image: Image,
    part: InspectedPart | None = None,
    augmentation: Augmentation = ORIGINAL,
) -> PreparedImage:
    """Turn or cut, resize and crop an image to the sizes that the network sees.

    Args:
        extractor: the network.
        settings: of the input.
        image: (H, W, 3), a photograph.
        part: the region of interest in images of this size; None where all of it is inspected.
        augmentation: makes a copy: of the photograph, or of the part in canonical position.

    Raises:
        ParameterError: the backbone accepts another size only, or the image is too small.
    """
    if settings.position == "as_photographed":
        return _prepared(extractor, settings, augmentation.of(image), part)
    placement = Placement.of(image, part_size(settings, image.shape[:2]))
    if augmentation != ORIGINAL:
        placement = placement.copied(augmentation)
    return _prepared(extractor, settings, image, placement=placement)


def _prepared(
    extractor: FeatureExtractor,
    settings: Settings,
    image: Image,
    part: InspectedPart | None = None,
    placement: Placement | None = None,
) -> PreparedImage:
    photograph = image.shape[0], image.shape[1]
    if part is not None:
        image = part.box.of(image)
    seen = (image.shape[0], image.shape[1]) if placement is None else placement.size
    whole, crop = _resized_and_cropped(extractor, settings, seen)
    box = _in_photograph(crop, whole, seen)
    sizes = _input_sizes(extractor, settings.scales, (crop.height, crop.width))
    if placement is None:
        inputs = [_input(settings, image, whole, crop, box, size) for size in sizes]
    else:
        inputs = [placement.canonical(image, box, size, settings.resampling) for size in sizes]
    return PreparedImage(
        inputs,
        photograph,
        box if part is None else part.box,
        part_of(settings, MapSettings),
        part,
        patch_stride(settings),
        placement,
    )


def geometry_of_size(
    extractor: FeatureExtractor,
    settings: Settings,
    photograph: tuple[int, int],
    part: InspectedPart | None = None,
    placement: Placement | None = None,
) -> ImageGeometry:
    """Geometry of a photograph of (H, W) that was seen whole, without the photograph.

    Its feature grid is that of a network whose cells are as large as its stride.

    Raises:
        ParameterError: as `prepare`.
    """
    seen = photograph if placement is None else placement.size
    if part is not None:
        seen = part.box.height, part.box.width
    whole, crop = _resized_and_cropped(extractor, settings, seen)
    box = _in_photograph(crop, whole, seen) if part is None else part.box
    size = _input_sizes(extractor, settings.scales, (crop.height, crop.width))[0]
    stride = extractor.info.available_layers[extractor.layers[0]].stride
    grid = -(-size[0] // stride), -(-size[1] // stride)
    of_map = part_of(settings, MapSettings)
    return ImageGeometry(photograph, box, size, grid, of_map, part, placement=placement)


def patch_stride(settings: Settings) -> int:
    """Cells of the feature grid from one patch to the next, which not every method can set."""
    stride: int = getattr(settings, "patch_stride", 1)
    return stride


def part_size(settings: Settings, photograph: tuple[int, ...]) -> tuple[int, int]:
    """(height, width) of the canonical image.

    Raises:
        ParameterError: it is not known, as a fit finds it, or the photograph is too small for it.
    """
    size = settings.part_size
    if settings.position == "auto" or size is None:
        raise ParameterError(
            "position: expected 'as_photographed', or 'canonical' with part_size, got "
            f"{settings.position!r} and {size}; a fit decides it"
        )
    height, width = (size, size) if isinstance(size, int) else size
    if max(height, width) > 2 * sum(photograph):  # pixels beyond the border take memory, too
        raise ParameterError(
            f"part_size: expected parts that fit a photograph of {photograph[1]} x "
            f"{photograph[0]} pixels, got {width} x {height}; give photographs of the size that "
            "was learned, or a smaller part_size"
        )
    return height, width


def input_sizes(
    extractor: FeatureExtractor, settings: InputSettings, photograph: tuple[int, int]
) -> list[tuple[int, int]]:
    """(H, W) of the network's input at each scale, for a photograph of some (H, W).

    Raises:
        ParameterError: as `prepare`.
    """
    _, crop = _resized_and_cropped(extractor, settings, photograph)
    return _input_sizes(extractor, settings.scales, (crop.height, crop.width))


def _input(
    settings: InputSettings,
    image: Image,
    whole: tuple[int, int],
    crop: Box,
    box: Box,
    size: tuple[int, int],
) -> Image:
    """The network's input of `size`, (H, W, 3)."""
    if size == (crop.height, crop.width):
        return crop.of(resized(image, whole, settings.resampling))
    return resized(box.of(image), size, settings.resampling)


def _resized_and_cropped(
    extractor: FeatureExtractor, settings: InputSettings, photograph: tuple[int, int]
) -> tuple[tuple[int, int], Box]:
    """-> (H, W) to which the whole image is resized, and the centre crop of that.

    Raises:
        ParameterError: the crop is larger than the whole, or not of a size that the network takes.
    """
    demanded = extractor.info.size_multiple
    is_area = settings.resize == "area" and not isinstance(settings.image_size, tuple)
    multiple = grid_step(extractor) if is_area else demanded
    whole = input_size(
        photograph,
        settings.image_size,
        settings.resize,
        multiple if settings.crop is None else 1,
        settings.max_upscale,
    )
    if settings.resize == "short_side" and not isinstance(settings.image_size, tuple):
        _require_bounded(whole, settings.image_size, photograph)
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


def _require_bounded(whole: tuple[int, int], side: int, photograph: tuple[int, int]) -> None:
    (height, width), limit = whole, max(LARGEST_OF_SHORT_SIDE, 4 * side**2)
    if height * width > limit:
        raise ParameterError(
            f"image_size: expected a short side that makes at most {limit:,} pixels of a "
            f"photograph, got {height} x {width} (height x width) of one of {photograph[0]} x "
            f"{photograph[1]}; use resize area, or cut the photograph into parts"
        )


def grid_step(extractor: FeatureExtractor) -> int:
    """Sizes that we choose are multiples of this, so that the grids of all layers align."""
    deepest = max(extractor.info.available_layers[layer].stride for layer in extractor.layers)
    return max(extractor.info.size_multiple, deepest)


def _input_sizes(
    extractor: FeatureExtractor, scales: tuple[float, ...], first: tuple[int, int]
) -> list[tuple[int, int]]:
    """(H, W) of the network's input at each scale; `first` is that at scale 1."""
    info, step = extractor.info, grid_step(extractor)
    sizes = [
        first
        if scale == 1
        else (to_multiple(first[0] * scale, step), to_multiple(first[1] * scale, step))
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
    """The crop in the photograph's own pixels."""
    down, across = photograph[0] / whole[0], photograph[1] / whole[1]
    top, left = round(settled(crop.top * down)), round(settled(crop.left * across))
    bottom = round(settled((crop.top + crop.height) * down))
    right = round(settled((crop.left + crop.width) * across))
    return Box(top, left, bottom - top, right - left)
