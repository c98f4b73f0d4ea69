"""The region of interest in photographs of any size, as nodes of a graph.

Which pixels and cells are in it is decided as `images.roi` and `core.spatial.interest` do, in whole
numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from patchbank.export.graph.builder import Tensor, concatenated, counting
from patchbank.export.graph.sizes import Crop
from patchbank.types import Mask

ROUNDED = 1 - 1e-6
"""Share of an area that counts as all of it: without float64, areas of large photographs round."""


@dataclass(frozen=True, slots=True)
class Region:
    """The region of interest in photographs of one size."""

    box: Crop
    """Part of the photograph that the network sees."""
    mask: Tensor
    """(h, w) of the box, float32: 1 where its pixels are inspected."""
    fits: Tensor
    """Whether the photographs have the aspect ratio of the region, and a pixel of it."""

    def patches(self, grid: tuple[Tensor, Tensor], stride: int) -> Tensor:
        """The patches that count.  -> (h', w') bool, as `cells_of_interest` with every stride-th.

        Args:
            grid: (h, w) cells of the feature grid, which covers the box.
            stride: cells from one patch to the next.
        """
        mask = self.mask.cast(np.float64)
        edges = [_edges(n, stride) for n in grid]
        down, across = (
            _overlaps(edge, n * 2, mask.size(axis)).cast(np.float64)
            for axis, (edge, n) in enumerate(zip(edges, grid, strict=True))
        )
        covered = down @ mask @ across.transposed(1, 0)
        rows, columns = (
            _lengths(edge).cast(np.float64) * mask.size(axis).cast(np.float64)
            for axis, edge in enumerate(edges)
        )
        area = rows.with_axis(1) * columns.with_axis(0)
        inside, is_whole = covered >= area * (ROUNDED / 2), covered >= area * ROUNDED
        inside = inside & (is_whole | _near(~inside, beyond=1.0))
        return inside | ((covered > 0.0) & ~_near(inside, beyond=0.0))


def region(mask: Mask, height: Tensor, width: Tensor) -> Region:
    """The region in photographs of some size.

    Args:
        mask: (H, W) of the region, at its own size.
        height: of the photographs.
        width: of the photographs.
    """
    rows, columns = (
        (counting(n) * 2 + 1) * own / (n * 2)
        for n, own in zip((height, width), mask.shape, strict=True)
    )
    whole = height.builder.constant(mask.astype(np.uint8))
    inside = whole.gathered(rows).gathered(columns, axis=1).cast(np.float32)
    (top, down), (left, across) = (_span(inside.reduced("ReduceMax", (axis,))) for axis in (1, 0))
    box = Crop(top, left, down, across)
    part = inside.sliced(0, top, top + down).sliced(1, left, left + across)
    is_any = part.reduced("ReduceMax", (0, 1)) > 0.0
    return Region(box, part, is_any & _fits(mask.shape, height, width))


def _span(inside: Tensor) -> tuple[Tensor, Tensor]:
    """Begin and length of what is inside along an axis; all of it where nothing is."""
    n, is_inside = inside.size(0), inside > 0.0
    number = counting(n)
    begin = is_inside.where(number, n).reduced("ReduceMin", (0,))
    end = is_inside.where(number + 1, 0).reduced("ReduceMax", (0,))
    has_any = end > 0
    begin, end = has_any.where(begin, 0), has_any.where(end, n)
    return begin, end - begin


def _fits(mask: tuple[int, ...], height: Tensor, width: Tensor) -> Tensor:
    """Whether the aspect ratios are the same, to the pixel that rounding takes."""
    own_height, own_width = mask
    is_larger = (height > own_height) | (height.equals(own_height) & (width >= own_width))
    longest = is_larger.where(height.maximum(width), max(mask))
    return (height * own_width - width * own_height).apply("Abs") < longest


def overlapping(n: Tensor, m: Tensor) -> Tensor:
    """Which of n equal parts of a line each of m parts overlaps.  -> (m, n) float32."""
    part, cell = counting(m).with_axis(1), counting(n).with_axis(0)
    first, last = part * n / m, ((part + 1) * n + (m - 1)) / m
    return ((cell >= first) & (cell < last)).cast(np.float32)


def any_inside(cells: Tensor, grid: tuple[Tensor, Tensor]) -> Tensor:
    """Cells of another grid with some part inside.  (h, w) bool -> grid, bool."""
    down, across = (overlapping(cells.size(axis), n) for axis, n in enumerate(grid))
    return down @ cells.cast(np.float32) @ across.transposed(1, 0) > 0.0


def _edges(n_cells: Tensor, stride: int) -> Tensor:
    """Where the areas of the patches along an axis begin and end, in halves of a cell."""
    n_patches = (n_cells + (stride - 1)) / stride
    between = (counting(n_patches - 1) + 1) * (2 * stride) - (stride - 1)
    zero = n_cells.builder.constant([0], np.int64)
    return concatenated([zero, between, (n_cells * 2).reshaped(1)], 0)


def _lengths(edges: Tensor) -> Tensor:
    return edges.sliced(0, 1, edges.size(0)) - edges.sliced(0, 0, edges.size(0) - 1)


def _overlaps(edges: Tensor, length: Tensor, n_pixels: Tensor) -> Tensor:
    """Overlap of each part of an axis with each pixel, which is as long as the axis.

    Args:
        edges: (p + 1,) of the parts, on an axis of this length.
        length: of the axis.
        n_pixels: of it.

    Returns:
        (p, n_pixels).
    """
    begin = (counting(n_pixels) * length).with_axis(0)
    sides = (edges * n_pixels).with_axis(1)
    low = sides.sliced(0, 0, edges.size(0) - 1).maximum(begin)
    high = sides.sliced(0, 1, edges.size(0)).minimum(begin + length)
    return (high - low).maximum(0)


def _near(cells: Tensor, *, beyond: float) -> Tensor:
    """Cells of which one of the eight neighbours, or the cell itself, is true.  (h, w) bool."""
    fenced = cells.cast(np.float32).padded([1, 1, 1, 1], beyond).with_axis(0, 1)
    return fenced.apply("MaxPool", kernel_shape=[3, 3]).without_axis(0, 1) > 0.0
