"""Image scores: from the distances of an image's patches to one number, higher = more anomalous."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.choices import ImageScore, Metric
from patchbank.core.rounding import settled
from patchbank.core.spatial import resampling
from patchbank.types import PatchGrid


def grid_score(
    grid: PatchGrid, kind: ImageScore, top_fraction: float, mask: NDArray[np.bool_] | None = None
) -> float:
    """Score an image by its patches alone: ``max``, ``smooth_max`` or ``top_fraction``.

    Args:
        grid: (h, w) patch scores.
        kind: of image score.
        top_fraction: fraction of the patches that are averaged.
        mask: (h, w) True for the patches that count, at least one; None where all do.
    """
    if kind == "smooth_max":
        return smooth_largest(grid, mask)
    values = grid if mask is None else grid[mask]
    if kind == "top_fraction":
        return top_fraction_mean(values, top_fraction)
    return largest(values)


def patch_scores(distances: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """Score each patch by its mean distance to its k neighbours.  (n, k) -> (n,)."""
    values = np.square(distances) if metric == "squared" else distances
    scores: NDArray[np.float32] = values.mean(axis=1)
    return scores


def largest(grid: NDArray[np.float32]) -> float:
    """Score an image by its worst patch (PatchCore, equation 6, without re-weighting)."""
    return float(grid.max())


def smooth_largest(grid: PatchGrid, mask: NDArray[np.bool_] | None = None) -> float:
    """Score an image by its worst 3 x 3 mean, of the patches that are in the grid and count.

    >>> round(smooth_largest(np.array([[9, 0, 0, 4], [0, 0, 4, 4]], np.float32)), 4)
    3.0
    """
    down, across = (resampling.window_mean(n, 3) for n in grid.shape)
    if mask is None:
        means = resampling.apply(down, across, grid)
        inside = resampling.apply(down, across, np.ones_like(grid))
        return float((means / inside).max())
    means = resampling.apply(down, across, np.where(mask, grid, np.float32(0)))
    counts = resampling.apply(down, across, mask.astype(np.float32))
    return float((means[mask] / counts[mask]).max())


def top_fraction_mean(grid: NDArray[np.float32], fraction: float) -> float:
    """Score an image by the mean of its worst patches, a fraction in (0, 1] of all, at least one.

    >>> top_fraction_mean(np.arange(10, dtype=np.float32).reshape(2, 5), fraction=0.2)
    8.5
    """
    return mean_of_largest(grid, max(1, round(settled(fraction * grid.size))))


def mean_of_largest(grid: NDArray[np.float32], count: int) -> float:
    """Mean of the `count` largest values, of all if there are fewer.

    >>> mean_of_largest(np.arange(10, dtype=np.float32).reshape(2, 5), 2)
    8.5
    """
    values = grid.ravel()
    count = min(count, len(values))
    return float(np.partition(values, len(values) - count)[-count:].mean())


def reweighted(nearest: float, support: NDArray[np.floating]) -> float:
    """Re-weight the largest patch distance (PatchCore, equation 7), numerically stable.

    s = (1 - exp|q - m*| / sum over m in N_b(m*) of exp|q - m|) |q - m*|

    Args:
        nearest: |q - m*|, Euclidean: the worst patch q to its nearest bank row m*.
        support: (b,) |q - m|, Euclidean, for the b rows m nearest to m*, m* itself among them.

    The exponents are shifted by the largest, so that no distance overflows.  With b = 1 the
    equation gives 0; callers then use `nearest` itself.
    """
    top = max(float(support.max()), nearest)
    weight = 1.0 - np.exp(nearest - top) / np.exp(support.astype(np.float64) - top).sum()
    return float(weight * nearest)


def hcw_reweighted(nearest: NDArray[np.floating]) -> float:
    """Re-weight the largest patch distance as hcw-00 does, numerically stable.

    s = (1 - max over N of exp(d^2) / sum over N of exp(d^2)) |q - m*|^2

    Args:
        nearest: (b,) Euclidean distances, ascending, of the worst patch q to its b nearest bank
            rows (of q itself, not of m* as in equation 7); the first is |q - m*|.

    It differs from equation 7 in all three terms, and its weight is that of the *farthest* of the
    b rows.  In hcw-00, exponentials of squared distances overflow float32 above 88; here the
    exponents are shifted by the largest.
    """
    squared = np.square(nearest.astype(np.float64))
    weight = 1.0 - 1.0 / np.exp(squared - squared.max()).sum()
    return float(weight * squared[0])
