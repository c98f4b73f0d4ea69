"""Rectangles of pixels."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from patchbank.types import Mask

Pixel = TypeVar("Pixel", bound=np.generic)


class Box(NamedTuple):
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, pixels: NDArray[Pixel]) -> NDArray[Pixel]:
        """The part of an (H, W, ...) array inside the rectangle: a view."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


def bounding_box(mask: Mask) -> Box:
    """The smallest rectangle with all true pixels of a mask that has at least one.

    >>> bounding_box(np.array([[0, 0, 0, 0], [0, 0, 1, 1]], dtype=bool))
    Box(top=1, left=2, height=1, width=2)
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    return Box(top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left)
