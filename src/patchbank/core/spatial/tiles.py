"""Tiles of a large photograph: parts that a network sees one at a time, with a margin around.

Each tile has cells of its own, and no cell belongs to two.  The network sees more than those, a
margin on each side, so that features of its own cells are those of the whole photograph as far as
the margin covers the receptive field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import lcm
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from patchbank.types import Indices


class Span(NamedTuple):
    """A stretch along one axis, [begin, end)."""

    begin: int
    end: int

    @property
    def length(self) -> int:
        """Length of the stretch."""
        return self.end - self.begin

    @property
    def as_slice(self) -> slice:
        """The stretch of an array along this axis."""
        return slice(self.begin, self.end)

    def widened(self, margin: int, length: int) -> Span:
        """The span with a margin on both sides, within [0, length)."""
        return Span(max(self.begin - margin, 0), min(self.end + margin, length))

    def scaled(self, factor: Fraction) -> Span:
        """The span in units of another size; both ends are whole in these.

        >>> Span(32, 96).scaled(Fraction(1, 8))
        Span(begin=4, end=12)
        """
        return Span(int(self.begin * factor), int(self.end * factor))

    def within(self, other: Span) -> slice:
        """The part of an array over `other` that lies in this span."""
        return slice(self.begin - other.begin, self.end - other.begin)


@dataclass(frozen=True, slots=True)
class Tile:
    """Where the feature maps of one tile lie in the feature grid of their whole photograph.

    All numbers are cells of the first layer's grid.
    """

    feature_grid: tuple[int, int]
    """(h, w) of the whole photograph."""
    rows: Span
    """Rows that the feature maps cover; they may end below the grid."""
    columns: Span
    own_rows: Span
    """Rows of its own patches, which lie within the others."""
    own_columns: Span
    is_first: bool
    """Whether it is the first one of its photograph; the others follow row by row."""

    def patch_grid(self, stride: int) -> tuple[int, int]:
        """(h, w) of the photograph's patches, of which each `stride`-th row and column is kept."""
        return -(-self.feature_grid[0] // stride), -(-self.feature_grid[1] // stride)

    def own_patches(self, stride: int) -> tuple[slice, slice]:
        """Rows and columns of its own patches in the photograph's patch grid."""
        rows, columns = self.own_rows, self.own_columns
        return (
            slice(rows.begin // stride, -(-rows.end // stride)),
            slice(columns.begin // stride, -(-columns.end // stride)),
        )

    def in_maps(self, stride: int) -> tuple[slice, slice]:
        """Rows and columns of its own patches in the patch grid of its feature maps."""
        rows, columns = self.own_patches(stride)
        top, left = self.rows.begin // stride, self.columns.begin // stride
        return (
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )

    def own(self, cells: NDArray[np.bool_] | None, stride: int) -> NDArray[np.bool_] | None:
        """Which of its own patches are of cells of the whole feature grid, (h, w); None if all."""
        return None if cells is None else cells[::stride, ::stride][self.own_patches(stride)]

    def cells(self, stride: int) -> Indices:
        """Numbers of its own patches in the photograph's patch grid, row by row.  (n,).

        >>> Tile((4, 6), Span(0, 4), Span(2, 6), Span(0, 4), Span(4, 6), False).cells(2).tolist()
        [2, 5]
        """
        rows, columns = self.own_patches(stride)
        numbers = np.arange(self.patch_grid(stride)[1])[columns]
        found = np.arange(rows.start, rows.stop)[:, None] * self.patch_grid(stride)[1] + numbers
        return np.asarray(found.ravel(), dtype=np.intp)


def parts_of(length: int, largest: int, unit: int) -> list[Span]:
    """Cut [0, length) into parts of about the same length, at multiples of a unit.

    Args:
        length: a multiple of `unit`.
        largest: the longest part, a multiple of `unit`.
        unit: 1 or more.

    >>> parts_of(160, 96, 32)
    [Span(begin=0, end=64), Span(begin=64, end=160)]
    """
    count = -(-length // largest)
    ends = [number * (length // unit) // count * unit for number in range(count + 1)]
    return [Span(begin, end) for begin, end in pairwise(ends)]


def common_unit(scales: Sequence[Fraction], step: int, cell: Fraction) -> int:
    """Smallest number of pixels that is whole cells of the network's grids at each scale.

    Args:
        scales: of the network's input, relative to the photograph.
        step: pixels of which the sides of the input are multiples.
        cell: pixels of the photograph from one patch to the next.

    >>> common_unit((Fraction(1), Fraction(1, 2)), 16, Fraction(16))
    32
    >>> common_unit((Fraction(3, 4),), 16, Fraction(64, 3))
    64
    """
    return lcm(*(length.numerator for length in (*(step / scale for scale in scales), cell)))
