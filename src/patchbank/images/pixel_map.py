"""Affine maps between cells of a grid and pixels of photographs, of copies and of pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.core.spatial.box import Box
from patchbank.images.augment import Augmentation
from patchbank.images.placement import Placement
from patchbank.types import Image

GROUND = 128
"""Grey of what lies outside of a photograph."""


@dataclass(frozen=True, slots=True)
class PixelMap:
    """(down, right) there = linear (down, right) here + offset."""

    linear: NDArray[np.float64]
    """(2, 2)."""
    offset: NDArray[np.float64]
    """(2,)."""

    @classmethod
    def scaling(
        cls, factors: tuple[float, float], offset: tuple[float, float] = (0.0, 0.0)
    ) -> PixelMap:
        """The map that stretches height and width, and then moves."""
        return cls(np.diag(np.array(factors, np.float64)), np.array(offset, np.float64))

    @classmethod
    def of_placement(cls, placement: Placement) -> PixelMap:
        """From the canonical image to the photograph."""
        return cls(np.array(placement.linear), np.array(placement.offset))

    @classmethod
    def of_copy(cls, augmentation: Augmentation, photograph: tuple[int, int]) -> PixelMap:
        """From an augmented copy to its photograph of (H, W).

        A copy that is turned by 90 degrees is as high as the photograph is wide.
        """
        size = np.array(photograph, np.float64)
        linear, _ = augmentation.to_photograph(photograph)
        centre = np.array(copy_size(augmentation, photograph), np.float64) / 2
        moved = centre + np.array(augmentation.shift) * size
        return cls(linear, np.asarray(size / 2 - linear @ moved, np.float64))

    def at(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points there.  (..., 2) -> (..., 2)."""
        return np.asarray(points @ self.linear.T + self.offset)

    def after(self, first: PixelMap) -> PixelMap:
        """Compose two maps: `first`, then this one.

        >>> half, moved = PixelMap.scaling((0.5, 0.5)), PixelMap.scaling((1, 1), (3, 4))
        >>> moved.after(half).at(np.array([2.0, 6.0])).tolist()
        [4.0, 7.0]
        """
        return PixelMap(self.linear @ first.linear, self.at(first.offset))

    def inverse(self) -> PixelMap:
        """The map back."""
        linear = np.asarray(np.linalg.inv(self.linear), np.float64)
        return PixelMap(linear, -linear @ self.offset)

    def box(self, top: float, left: float, bottom: float, right: float) -> NDArray[np.float64]:
        """Bounding box there of a rectangle here.  -> (top, left, bottom, right)."""
        there = self.at(np.array([(top, left), (top, right), (bottom, left), (bottom, right)]))
        return np.concatenate([there.min(axis=0), there.max(axis=0)])


def copy_size(augmentation: Augmentation, photograph: tuple[int, int]) -> tuple[int, int]:
    """(H, W) of an augmented copy of a photograph of some (H, W)."""
    is_exact = augmentation.zoom == 1 and augmentation.shift == (0, 0)
    is_turned = is_exact and augmentation.angle_degrees % 180 == 90
    return (photograph[1], photograph[0]) if is_turned else photograph


def whole_pixels(bounds: NDArray[np.float64], size: tuple[int, int]) -> Box:
    """The pixels of an image of (H, W) that a rectangle covers, at least one of them.

    Args:
        bounds: (top, left, bottom, right).
        size: of the image.
    """
    height, width = size
    top, left = (math.floor(v + 1e-6) for v in bounds[:2].tolist())
    bottom, right = (math.ceil(v - 1e-6) for v in bounds[2:].tolist())
    top, left = min(max(top, 0), height - 1), min(max(left, 0), width - 1)
    bottom, right = max(min(bottom, height), top + 1), max(min(right, width), left + 1)
    return Box(top, left, bottom - top, right - left)


def sampled(image: Image, to_image: PixelMap, size: tuple[int, int]) -> Image:
    """A picture of (h, w) whose pixels lie in an image where a map says; grey outside of it.

    It is anti-aliased where its pixels are larger than those of the image.

    Args:
        image: (H, W, 3).
        to_image: from pixels of the picture to those of the image.
        size: (h, w).
    """
    steps = np.linalg.norm(to_image.linear, axis=0)
    dense = max(1, math.ceil(float(steps.max()) - 1e-6))
    rows, columns = size[0] * dense, size[1] * dense
    fine = to_image.after(PixelMap.scaling((1 / dense, 1 / dense)))
    low, high = _window(fine, (rows, columns), image.shape)
    (yy, yx), (xy, xx) = fine.linear.tolist()
    down, right = (fine.offset - low).tolist()
    picture = pillow.fromarray(np.ascontiguousarray(image[low[0] : high[0], low[1] : high[1]]))
    drawn = picture.transform(
        (columns, rows),
        pillow.Transform.AFFINE,
        (xx, xy, right, yx, yy, down),
        pillow.Resampling.BICUBIC,
        fillcolor=(GROUND,) * 3,
    )
    return np.asarray(drawn.reduce(dense) if dense > 1 else drawn)


def _window(
    to_image: PixelMap, size: tuple[int, int], shape: tuple[int, ...]
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """The part of an image that a picture shows of it, at least one pixel."""
    bounds, whole = to_image.box(0, 0, *size), np.array(shape[:2])
    low = np.clip(np.floor(bounds[:2]).astype(int) - 3, 0, whole - 1)
    return low, np.clip(np.ceil(bounds[2:]).astype(int) + 3, low + 1, whole)
