"""Sizes and crops of a photograph of any size, computed in the graph as `images.resize` does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from patchbank.export.graph.builder import Tensor, rounded, settled
from patchbank.images import resize
from patchbank.settings import InputSettings


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle, in pixels."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor

    def of(self, pixels: Tensor) -> Tensor:
        """The rectangle of photographs, (n, H, W, c)."""
        down = pixels.sliced(1, self.top, self.top + self.height)
        return down.sliced(2, self.left, self.left + self.width)


def input_size(
    height: Tensor, width: Tensor, settings: InputSettings, multiple: int
) -> tuple[Tensor, Tensor]:
    """Height and width to which a photograph is resized; see `images.resize.input_size`."""
    builder, size = height.builder, settings.image_size
    if isinstance(size, tuple):
        whole = (builder.constant(resize.to_multiple(side, multiple), np.int64) for side in size)
        return next(whole), next(whole)
    rows, columns = height.cast(np.float64), width.cast(np.float64)
    is_short = settings.resize == "short_side"
    own = rows.minimum(columns) if is_short else (rows * columns).apply("Sqrt")
    side = (
        (own * settings.max_upscale).maximum(float(resize.SMALLEST_INPUT_PX)).minimum(float(size))
    )
    if settings.resize == "squash":
        both = to_multiple(side, multiple)
        return both, both
    down, across = rows * side / own, columns * side / own
    if is_short:  # the long side is truncated, as torchvision does
        down, across = (settled(one).apply("Floor") for one in (down, across))
    return to_multiple(down, multiple), to_multiple(across, multiple)


def to_multiple(side: Tensor, multiple: int) -> Tensor:
    """The multiple nearest to `side`, at least one: an integer."""
    return rounded(settled(side / float(multiple))).maximum(1.0).cast(np.int64) * multiple


def centre_crop(whole: tuple[Tensor, Tensor], crop: int | tuple[int, int] | None) -> Crop:
    """The crop of a resized photograph."""
    height, width = whole
    constant = height.builder.constant
    if crop is None:
        zero = constant(0, np.int64)
        return Crop(zero, zero, height, width)
    sides = (crop, crop) if isinstance(crop, int) else crop
    top, left = (
        rounded((side - own).cast(np.float64) / 2.0).cast(np.int64)
        for side, own in zip(whole, sides, strict=True)
    )
    return Crop(top, left, constant(sides[0], np.int64), constant(sides[1], np.int64))


def is_crop(crop: int | tuple[int, int] | None, scale: float, step: int) -> bool:
    """Whether a further scale has the size of the crop, and so its pixels.

    >>> is_crop((96, 112), 0.95, 16), is_crop((96, 112), 0.9, 16), is_crop(None, 1.01, 16)
    (True, False, False)
    """
    if crop is None:
        return False
    sides = (crop, crop) if isinstance(crop, int) else crop
    return all(resize.to_multiple(side * scale, step) == side for side in sides)


def in_photograph(crop: Crop, whole: tuple[Tensor, Tensor], height: Tensor, width: Tensor) -> Crop:
    """The crop in the photograph's own pixels."""
    (top, down), (left, across) = (
        _stretched(begin, length, own, to)
        for begin, length, own, to in (
            (crop.top, crop.height, whole[0], height),
            (crop.left, crop.width, whole[1], width),
        )
    )
    return Crop(top, left, down, across)


def _stretched(begin: Tensor, length: Tensor, own: Tensor, to: Tensor) -> tuple[Tensor, Tensor]:
    factor = to.cast(np.float64) / own.cast(np.float64)
    first, last = (
        rounded(settled(place.cast(np.float64) * factor)).cast(np.int64)
        for place in (begin, begin + length)
    )
    return first, last - first
