"""Distances to the pixels of the most similar good photographs (SPADE), as nodes of a graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from patchbank.export.graph import operators
from patchbank.export.graph.builder import Tensor, concatenated, counting, filled
from patchbank.export.graph.region import any_inside
from patchbank.types import Features

POOLED_AT_ONCE = 2**18
"""Numbers of pooled features that are compared with those of a photograph at a time."""
PIXELS_AT_ONCE = 2048
"""Pixels of a similar photograph that those of a photograph are compared with at a time."""
MANY = 16
FEW_AT_ONCE = 64
"""Pixels at a time where more than `MANY` neighbours of each are looked for: each is gathered."""


def pooled(layer: Tensor, counted: Tensor | None = None) -> Tensor:
    """The mean over all cells.  (n, c, h, w) -> (n, c) float32.

    Args:
        layer: the deepest one.
        counted: cells of the first layer that count, bool; None where all do.
    """
    values = layer.cast(np.float64)
    if counted is None:
        return values.reduced("ReduceMean", (2, 3)).cast(np.float32)
    kept = any_inside(counted, (layer.size(2), layer.size(3))).cast(np.float64)
    total = (values * kept).sum(3).sum(2)
    return (total / kept.sum(1).sum(0)).cast(np.float32)


def similar(pooled: Tensor, gallery: Features, n_images: int) -> tuple[Tensor, Tensor]:
    """The images of a gallery that are most similar, as `Gallery.similar` finds them.

    Args:
        pooled: (n, c) pooled features of photographs.
        gallery: (q, c) of the gallery.
        n_images: to find; all if there are fewer.

    Returns:
        (n, k) distances, ascending, in float64, and numbers of the images, ascending.
    """
    own, whole = pooled.cast(np.float64).with_axis(1), pooled.builder.constant(gallery)
    at_once = max(1, POOLED_AT_ONCE // gallery.shape[1])
    parts = []
    for begin in range(0, len(gallery), at_once):
        rows = whole.sliced(0, begin, min(begin + at_once, len(gallery))).cast(np.float64)
        difference = rows - own  # (n, rows, c)
        parts.append((difference * difference).sum(2).apply("Sqrt"))
    every = concatenated(parts, 1)
    count = pooled.builder.constant(min(n_images, len(gallery)), np.int64)
    distances, _ = every.largest(count, smallest=True)
    last = distances.reduced("ReduceMax", (1,), keep=True)
    is_nearer, is_last = every < last, every.equals(last)
    # Of images that are equally far the first ones count, which TopK of OpenVINO does not heed.
    room = count - is_nearer.cast(np.int64).sum(1, keep=True)
    is_first = is_last & (is_last.cast(np.int64).apply("CumSum", 1) <= room)
    number = counting(every.size(1))
    key = (is_nearer | is_first).where(-number, -number - len(gallery))
    _, images = key.largest(count)
    return distances, images


def pixel_distances(
    plane: Tensor,
    images: Tensor,
    rows: Features,
    counts: NDArray[np.int32],
    n_neighbours: int,
    n_images: int,
) -> Tensor:
    """Mean distance of each pixel to its nearest ones among those of some images of a gallery.

    The photographs are compared one after the other, each with the pixels of one image at a time:
    what they need beyond the pixels themselves does not grow with the gallery.

    Args:
        plane: (n, h, w, d) pixels of photographs.
        images: (n, k) images of the gallery that each is compared with.
        rows: (m, d) pixels of the gallery, image after image.
        counts: (q,) pixels of each image.
        n_neighbours: of each pixel; all if there are fewer.
        n_images: k.

    Returns:
        (n, h, w) Euclidean distances.
    """
    builder = plane.builder
    most = int(np.sort(counts)[-n_images:].sum())
    k = min(n_neighbours, most)
    blocks = _Blocks(counts, PIXELS_AT_ONCE if k <= MANY else FEW_AT_ONCE)
    whole, origin = builder.weights(rows), rows.mean(axis=0, dtype=np.float64)
    shape = [plane.size(axis) for axis in range(3)]
    pixels = plane.reshaped(0, -1, rows.shape[1])  # (n, p, d)
    photographs = counting(shape[0])
    chosen = images.reshaped(-1)  # (n k,) pairs of a photograph and an image
    n_blocks = builder.constant(blocks.per_image).gathered(chosen)
    ends = n_blocks.apply("CumSum", 0)
    ahead = builder.constant(blocks.first).gathered(chosen) - (ends - n_blocks)

    def step(number: Tensor, best: Tensor) -> Tensor:
        pair = (ends <= number).cast(np.int64).sum(0)
        block = number + ahead.gathered(pair)
        begin, end = (builder.constant(side).gathered(block) for side in (blocks.begin, blocks.end))
        photograph = pair / n_images
        squared = _nearest(
            pixels.gathered(photograph), whole.sliced(0, begin, end), origin.astype(np.float32), k
        )
        before = best.gathered(photograph)
        if k == 1:
            nearer = before.minimum(squared)
        else:
            both = concatenated([before, squared], 1)
            nearer, _ = both.largest(builder.constant(k, np.int64), smallest=True)
        is_own = photographs.equals(photograph).with_axis(1, 2)
        return is_own.where(nearer.with_axis(0), best)

    unknown = filled(builder, np.inf, (shape[0], pixels.size(1), k))
    found = builder.loop(n_blocks.sum(0), unknown, step)  # (n, p, k)
    is_found = found < np.inf  # not all, where an image has few pixels
    total = is_found.where(found, 0.0).apply("Sqrt").sum(2)
    return (total / is_found.cast(np.float32).sum(2)).reshaped(*shape)


def fused(grids: Sequence[Tensor], counted: Tensor | None = None) -> Tensor:
    """Mean of the distances of several layers on the grid of the first.  (n, h, w) each.

    Args:
        grids: of the layers.
        counted: (h, w) bool, cells of the first that count; others are 0, and have no part in the
            result.  None where all count.
    """
    total = grids[0]
    for grid in grids[1:]:
        down, across = (
            operators.resized(operators.identity(grid.size(axis)), grids[0].size(axis))
            for axis in (1, 2)
        )
        if counted is None:
            total = total + operators.applied(down, across, grid)
            continue
        kept = any_inside(counted, (grid.size(1), grid.size(2))).cast(np.float32)
        weights = operators.applied(down, across, kept)
        total = total + operators.applied(down, across, grid * kept) / weights
    mean = total / float(len(grids))
    return mean if counted is None else counted.where(mean, 0.0)


class _Blocks:
    """The pixels of each image of a gallery, in blocks."""

    def __init__(self, counts: NDArray[np.int32], at_once: int) -> None:
        ends = np.cumsum(counts, dtype=np.int64)
        self.per_image = -(-counts.astype(np.int64) // at_once)
        """(q,) number of blocks of each image."""
        self.first = np.cumsum(self.per_image) - self.per_image
        """(q,) number of the first one of each image."""
        image = np.repeat(np.arange(len(counts)), self.per_image)
        own = np.arange(len(image)) - self.first[image]
        self.begin = (ends - counts)[image] + own * at_once
        """(blocks,) first row of each block."""
        self.end = np.minimum(self.begin + at_once, ends[image])


def _nearest(pixels: Tensor, rows: Tensor, origin: NDArray[np.float32], k: int) -> Tensor:
    """Squared distances to the nearest of some rows.  (p, d), (m, d) -> (p, min(k, m)).

    They are found by products, and computed again by differences, which do not cancel; relative to
    the mean of the gallery, the products cancel little.
    """
    centred = rows - origin
    halves = (centred * centred).sum(1) * 0.5
    close = pixels.builder.node(
        "Gemm", [pixels - origin, centred, halves], np.float32, {"alpha": -1.0, "transB": 1}
    )
    if k == 1:
        nearest = close.arg("ArgMin", 1).with_axis(1)
    else:
        _, nearest = close.largest(close.size(1).minimum(k), smallest=True)
    difference = rows.gathered(nearest) - pixels.with_axis(1)
    return (difference * difference).sum(2)
