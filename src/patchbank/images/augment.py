"""Augmented copies of photographs: rotated, flipped, shifted, zoomed.

Beyond the border of the photograph a copy shows its mirror image, so that the network sees no black
corners; `Augmentation.inside` marks the cells that are not affected, and only those are learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.choices import Flips
from patchbank.types import Image

TILT_DEGREES = 7.5  # of views of a part in canonical position
SHIFT = 0.04  # shift of `translations`, as a fraction of height and width
_MIRRORED: dict[str, tuple[tuple[int, int], ...]] = {  # signs of (y, x)
    "none": ((1, 1),),
    "horizontal": ((1, 1), (1, -1)),
    "vertical": ((1, 1), (-1, 1)),
    "both": ((1, 1), (1, -1), (-1, 1)),
}


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Transformation that makes a copy: flip, zoom, rotation about the centre, then shift."""

    angle_degrees: float = 0.0
    """Rotation, anticlockwise."""
    signs: tuple[int, int] = (1, 1)
    """Signs of (y, x): -1 where the copy is flipped."""
    zoom: float = 1.0
    """Magnification: above 1 the part appears larger."""
    shift: tuple[float, float] = (0.0, 0.0)
    """(down, right), as fractions of height and width."""

    @property
    def is_original(self) -> bool:
        """Whether it is the photograph itself."""
        return self == ORIGINAL

    def of(self, image: Image) -> Image:
        """Make the copy.  (H, W, 3) -> (H, W, 3), or (W, H, 3) after a rotation by 90 degrees."""
        if self.is_original:
            return image
        if self._is_exact:
            mirrored = image[:: self.signs[0], :: self.signs[1]]
            return np.ascontiguousarray(np.rot90(mirrored, round(self.angle_degrees / 90)))
        return self._warped(image)

    def inside(
        self,
        size: tuple[int, int],
        grid: tuple[int, int],
        window: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
    ) -> NDArray[np.bool_]:
        """True for the cells of a grid over the copy that are entirely in the photograph.

        Args:
            size: (H, W) of the photograph.
            grid: (h, w) cells; the shape of the result.
            window: (top, left, bottom, right) covered by the grid, as fractions of the copy.
        """
        if self._is_exact:
            return np.ones(grid, dtype=np.bool_)
        top, left, bottom, right = window
        down = np.linspace(top, bottom, grid[0] + 1) * size[0]
        across = np.linspace(left, right, grid[1] + 1) * size[1]
        corners = np.stack(np.meshgrid(down, across, indexing="ij"), axis=-1)  # (h + 1, w + 1, 2)
        linear, offset = self.to_photograph(size)
        there = corners @ linear.T + offset
        slack = 1e-6 * max(size)  # tolerance for rounding at the border
        reached = (there >= -slack) & (there <= np.array(size) + slack)
        within: NDArray[np.bool_] = reached[..., 0] & reached[..., 1]
        # The photograph is convex: a cell is inside if its corners are.
        every: NDArray[np.bool_] = within[:-1, :-1] & within[1:, :-1]
        return every & within[:-1, 1:] & within[1:, 1:]

    @property
    def _is_exact(self) -> bool:
        """Whether pixels are only permuted, without interpolation."""
        return self.angle_degrees % 90 == 0 and self.zoom == 1 and self.shift == (0, 0)

    def to_photograph(
        self, size: tuple[int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(2, 2) and (2,): (y, x) in the photograph = linear (y, x) in the copy + offset.

        Args:
            size: (H, W) of both.
        """
        angle = np.deg2rad(self.angle_degrees)
        cosine, sine = np.cos(angle), np.sin(angle)
        turned_back = np.array([[cosine, sine], [-sine, cosine]])
        linear = np.diag(self.signs) @ turned_back / self.zoom
        centre = np.array(size) / 2
        return linear, centre - linear @ (centre + np.array(self.shift) * size)

    def _warped(self, image: Image) -> Image:
        height, width = image.shape[:2]
        linear, offset = self.to_photograph((height, width))
        corners = np.array(list(product((0, height), (0, width)))) @ linear.T + offset
        low = np.ceil(np.maximum(-corners.min(axis=0), 0)).astype(int) + 1
        high = np.ceil(np.maximum(corners.max(axis=0) - (height, width), 0)).astype(int) + 1
        padded = np.pad(image, ((low[0], high[0]), (low[1], high[1]), (0, 0)), mode="symmetric")
        # Pillow takes x before y.
        (yy, yx), (xy, xx) = linear
        coefficients = (xx, xy, offset[1] + low[1], yx, yy, offset[0] + low[0])
        warped = pillow.fromarray(padded).transform(
            (width, height), pillow.Transform.AFFINE, coefficients, pillow.Resampling.BILINEAR
        )
        return np.asarray(warped)


ORIGINAL = Augmentation()
"""Leaves the photograph as it is."""


def copies(
    rotations: int = 1, flips: Flips = "none", translations: int = 0, zooms: tuple[float, ...] = ()
) -> tuple[Augmentation, ...]:
    """All combinations of the given augmentations; the photograph itself is the first.

    Args:
        rotations: number of angles, evenly over the full circle from 0.
        flips: left to right (``horizontal``), top to bottom (``vertical``), or ``both``.
        translations: number of directions of shifts, evenly over the full circle.
        zooms: magnifications, above 1 larger and below 1 smaller.

    >>> [copy.angle_degrees for copy in copies(rotations=4)]
    [0.0, 90.0, 180.0, 270.0]
    >>> len(copies(rotations=4, flips="horizontal", translations=2, zooms=(1.1,)))
    48
    """
    angles = [360.0 * i / rotations for i in range(rotations)]
    directions = [2 * np.pi * i / translations for i in range(translations)]
    shifts = [(0.0, 0.0), *((SHIFT * np.sin(a), SHIFT * np.cos(a)) for a in directions)]
    return tuple(
        Augmentation(angle, signs, zoom, shift)
        for shift, zoom, signs, angle in product(shifts, (1.0, *zooms), _MIRRORED[flips], angles)
    )


def views_of_one(
    learned: tuple[Augmentation, ...], are_turned: bool = False
) -> tuple[Augmentation, ...]:
    """Nine augmented views unlike the training augmentations, to calibrate a single-image fit.

    They stand in for other good parts, which differ more than two views of one part.  So they are
    flipped, magnified by a tenth, moved to each side, and rotated to half-way between the
    orientations that were learned.

    Args:
        learned: the copies that were learned.
        are_turned: whether parts are in canonical position: none is flipped end to end then, and
            all are tilted a little, which they are not when they are inspected.
    """
    zoom = 1.1
    edge = (zoom - 1) / 2
    moved = [(edge * down, edge * right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    angles = sorted({copy.angle_degrees for copy in learned})
    between = 180.0 / len(angles) if len(angles) > 1 else 0.0
    tilts = (TILT_DEGREES, -TILT_DEGREES) if are_turned else (between, between)
    signs = ((1, 1), (-1, 1)) if are_turned else ((1, -1), (1, -1))
    views = [
        Augmentation(
            angles[number * len(angles) // len(moved)] + tilts[number % 2],
            signs[number % 2],
            zoom,
            shift,
        )
        for number, shift in enumerate(moved)
    ]
    return tuple(view for view in views if view not in learned)
