"""Patches, their nearest bank rows, image scores and p-values, as nodes of a graph."""

from __future__ import annotations

import numpy as np

from patchbank.choices import ImageScore, Metric
from patchbank.export.graph import operators
from patchbank.export.graph.builder import Tensor, concatenated, counting, rounded, settled
from patchbank.types import Features

ROWS_AT_ONCE = 2048
"""Rows of a bank that patches are compared with at a time: more need memory, and gain nothing."""


def nearest(patches: Tensor, bank: Features, k: int) -> tuple[Tensor, Tensor]:
    """Distances to the nearest rows of a bank, and their numbers.  (n, d) -> (n, k) twice.

    The rows are found by |p|^2 - 2 p m + |m|^2, block by block; the distances to those found are
    then computed from differences, which do not cancel.
    """
    builder, best = patches.builder, None
    whole = builder.weights(bank)
    half_squares = np.square(builder.as_stored(bank).astype(np.float64)).sum(axis=1) / 2
    for begin in range(0, len(bank), ROWS_AT_ONCE):
        end = min(begin + ROWS_AT_ONCE, len(bank))
        rows = whole if end - begin == len(bank) else whole.sliced(0, begin, end)
        halves = builder.constant(half_squares[begin:end].astype(np.float32))
        # Half the squared distance to each row, less half the square of the patch.
        close = builder.node(
            "Gemm", [patches, rows, halves], np.float32, {"alpha": -1.0, "transB": 1}
        )
        best = _better(best, close, begin, k)
    assert best is not None
    found = whole.gathered(best[1])  # (n, k, d)
    difference = found - patches.with_axis(1)
    squared = (difference * difference).sum(2)
    return squared.apply("Sqrt"), best[1]


def _better(
    best: tuple[Tensor, Tensor] | None, close: Tensor, begin: int, k: int
) -> tuple[Tensor, Tensor]:
    """The k least numbers of those found before and of another block, and their rows."""
    if k == 1:
        least = close.reduced("ReduceMin", (1,), keep=True)
        row = close.arg("ArgMin", 1).with_axis(1) + begin
        if best is None:
            return least, row
        is_less = least < best[0]
        return is_less.where(least, best[0]), is_less.where(row, best[1])
    count = close.size(1).minimum(k)
    least, row = close.largest(count, smallest=True)
    row = row + begin
    if best is None:
        return least, row
    values, rows = concatenated([best[0], least], 1), concatenated([best[1], row], 1)
    kept, at = values.largest(values.size(1).minimum(k), smallest=True)
    return kept, rows.builder.node("GatherElements", [rows, at], rows.dtype, {"axis": 1})


def patch_scores(distances: Tensor, metric: Metric) -> Tensor:
    """Mean over the neighbours of each patch.  (n, k) -> (n,)."""
    values = distances * distances if metric == "squared" else distances
    return values.reduced("ReduceMean", (1,))


def grid_score(
    grid: Tensor, kind: ImageScore, top_fraction: float, counted: Tensor | None = None
) -> Tensor:
    """Score of images by their patches alone.  (n, h, w) -> (n,).

    Args:
        grid: scores of the patches.
        kind: of image score.
        top_fraction: fraction of the patches that are averaged.
        counted: (h, w) bool, the patches that count; None where all do.
    """
    if kind == "smooth_max":
        return _smooth_largest(grid, counted)
    values = grid if counted is None else counted.where(grid, -np.inf)
    flat = values.reshaped(0, -1)
    if kind == "top_fraction":
        n = flat.size(1) if counted is None else number_of(counted)
        share = n.cast(np.float64) * top_fraction
        count = rounded(settled(share)).maximum(1.0).cast(np.int64)
        values, _ = flat.largest(count)
        return values.reduced("ReduceMean", (1,))
    return flat.reduced("ReduceMax", (1,))


def number_of(cells: Tensor) -> Tensor:
    """Number of cells that are true: an integer.  (h, w) bool -> ()."""
    return cells.cast(np.int64).reshaped(-1).sum(0)


def _smooth_largest(grid: Tensor, counted: Tensor | None) -> Tensor:
    """Largest 3 x 3 mean; patches that do not count are 0 in the grid."""
    down, across = (operators.window_mean(grid.size(axis), 3) for axis in (1, 2))
    shares = grid.sliced(0, 0, 1) * 0.0 + 1.0 if counted is None else counted.cast(np.float32)
    means = operators.applied(down, across, grid) / operators.applied(down, across, shares)
    if counted is not None:
        means = counted.where(means, -np.inf)
    return means.reduced("ReduceMax", (1, 2))


def worst_patch(patches: Tensor, scores: Tensor) -> Tensor:
    """The patch of the highest score of each image.  (n, p, d), (n, p) -> (n, d)."""
    n, p = patches.size(0), patches.size(1)
    number = counting(n) * p + scores.arg("ArgMax", 1)
    return patches.reshaped(-1, patches.size(2)).gathered(number)


def reweighted(worst: Tensor, bank: Features, k: int) -> Tensor:
    """Re-weighted distance of the worst patch (equation 7 of PatchCore).  (n, d) -> (n,).

    Args:
        worst: the worst patch of each image.
        bank: (m, d), of two rows or more.
        k: rows around the nearest one.
    """
    distance, row = nearest(worst, bank, 1)
    star = worst.builder.weights(bank).gathered(row.without_axis(1))
    _, around = nearest(star, bank, k)
    support = _distances(worst, bank, around)
    own = distance.without_axis(1).cast(np.float64)
    top = support.reduced("ReduceMax", (1,)).maximum(own)
    shares = (support - top.with_axis(1)).apply("Exp").sum(1)
    return (1 - (own - top).apply("Exp") / shares) * own


def hcw_reweighted(worst: Tensor, bank: Features, k: int) -> Tensor:
    """Re-weighted squared distance of the worst patch, as hcw-00 does.  (n, d) -> (n,)."""
    _, around = nearest(worst, bank, k)
    distances = _distances(worst, bank, around)
    squared = distances * distances
    top = squared.reduced("ReduceMax", (1,), keep=True)
    weight = 1 - 1 / (squared - top).apply("Exp").sum(1)
    return weight * squared.reduced("ReduceMin", (1,))


def _distances(patches: Tensor, bank: Features, rows: Tensor) -> Tensor:
    """Distances to some rows of each patch, in float64.  (n, d), (n, k) -> (n, k)."""
    found = patches.builder.weights(bank).gathered(rows).cast(np.float64)
    difference = found - patches.with_axis(1).cast(np.float64)
    return (difference * difference).sum(2).apply("Sqrt")
