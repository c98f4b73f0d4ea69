"""Linear operators along one axis as matrices that the graph makes, for axes of any length.

They are those of `core.spatial.resampling`, row by row.  Positions are computed in integers,
so that they are exact in runtimes that have no float64.
"""

from __future__ import annotations

import numpy as np

from patchbank.choices import Border, Interpolation
from patchbank.export.graph.builder import Tensor, counting


def window_mean(n: Tensor, size: int, stride: int = 1) -> Tensor:
    """Mean over windows, padded by zeros that count.  -> (n_out, n)."""
    first = _windows(n, size, stride)
    column = counting(n).with_axis(0)
    inside = (column >= first) & (column < first + size)
    share = n.builder.constant(np.float32(1.0 / size))
    return inside.where(share, np.float32(0))


def window_element(n: Tensor, size: int, stride: int, offset: int) -> Tensor:
    """One element of each window; zero where it is padding.  -> (n_out, n)."""
    first = _windows(n, size, stride)
    column = counting(n).with_axis(0)
    return column.equals(first + offset).cast(np.float32)


def _windows(n: Tensor, size: int, stride: int) -> Tensor:
    """The first element of each window, (n_out, 1)."""
    padding = (size - 1) // 2
    n_out = (n + (2 * padding - size)) / stride + 1
    return (counting(n_out) * stride - padding).with_axis(1)


def identity(n: Tensor) -> Tensor:
    """(n, n)."""
    index = counting(n)
    equal = index.with_axis(1).equals(index.with_axis(0))
    return equal.cast(np.float32)


def resized(
    operator: Tensor,
    n_out: Tensor,
    interpolation: Interpolation = "bilinear",
    *,
    stride: int = 1,
    n_cells: Tensor | None = None,
) -> Tensor:
    """Resize the output of an operator without anti-aliasing.  (n, n_in) -> (n_out, n_in)."""
    n = operator.size(0)
    cells = n if n_cells is None else n_cells
    # The position of sample i is ((i + 1/2) cells / n_out - 1/2) / stride, a fraction.
    above = (counting(n_out) * 2 + 1) * cells - n_out
    below = n_out * (2 * stride)
    if interpolation == "nearest":
        nearest = ((above * 2 + below) / (below * 2)).clipped(0, n - 1)
        return operator.gathered(nearest)
    inside = above.clipped(0, (n - 1) * below)
    low = inside / below
    high = (low + 1).minimum(n - 1)
    rest = (inside - low * below).cast(np.float32) / below.cast(np.float32)
    share = rest.with_axis(1)
    return operator.gathered(low) * (1 - share) + operator.gathered(high) * share


def smoothed(operator: Tensor, sigma: Tensor, border: Border = "reflect") -> Tensor:
    """Smooth the output of an operator by a Gaussian.  (n, n_in) -> (n, n_in).

    Args:
        operator: (n, n_in).
        sigma: float64, more than 0.
        border: ``reflect`` repeats the edge sample, ``mirror`` does not.
    """
    n = operator.size(0)
    radius = (sigma * 4 + 0.5).cast(np.int64)
    offsets = counting(radius * 2 + 1) - radius
    share = offsets.cast(np.float64) / sigma
    weights = (share * share * -0.5).apply("Exp")
    weights = (weights / weights.sum(0, keep=True)).cast(np.float32)
    period = n * 2 if border == "reflect" else (n * 2 - 2).maximum(1)
    last = 1 if border == "reflect" else 0
    source = (counting(n).with_axis(1) + offsets.with_axis(0)).apply("Mod", period)
    source = source.minimum((period - last) - source)  # (n, offsets)
    return (weights.with_axis(0, 1) @ operator.gathered(source)).without_axis(1)


def applied(rows: Tensor, columns: Tensor, planes: Tensor) -> Tensor:
    """Apply one operator to the rows and one to the columns.  (..., h, w) -> (..., H, W)."""
    return rows @ (planes @ columns.transposed(1, 0))
