"""Linear operators along one axis: window means, resizing, Gaussian smoothing.

Every spatial step between a feature map and an anomaly map is linear and separable.  Each is
therefore a small matrix that is applied to rows and to columns, and a chain of steps is the product
of their matrices.  The matrices are also the constants that a graph for another runtime needs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.choices import Border, Interpolation
from patchbank.core.array_api import on_device_of
from patchbank.types import Array

Operator: TypeAlias = NDArray[np.float32]
"""(n_out, n_in): a matrix that is applied to one axis of an array."""


def apply(rows: Operator, columns: Operator, planes: Array) -> Array:
    """Apply one operator to the rows and one to the columns.  (..., h, w) -> (..., H, W)."""
    down, across = on_device_of(rows, planes), on_device_of(columns.T, planes)
    if rows.shape[0] <= rows.shape[1]:  # shrink first: less to multiply
        return (down @ planes) @ across
    return down @ (planes @ across)


@lru_cache(maxsize=256)
def window_mean(n: int, size: int, stride: int = 1) -> Operator:
    """Mean over windows of `size`, padded by (size - 1) // 2 zeros that count.

    -> (floor((n + 2 * padding - size) / stride) + 1, n), as in the official code.
    """
    padding = (size - 1) // 2
    n_out = (n + 2 * padding - size) // stride + 1
    operator = np.zeros((n_out, n), dtype=np.float32)
    for i in range(n_out):
        begin = i * stride - padding
        operator[i, max(begin, 0) : begin + size] = 1.0 / size
    return _frozen(operator)


@lru_cache(maxsize=256)
def window_element(n: int, size: int, stride: int, offset: int) -> Operator:
    """Element `offset` of each window of `window_mean`; zero where that element is padding.

    -> (floor((n + 2 * padding - size) / stride) + 1, n).
    """
    padding = (size - 1) // 2
    n_out = (n + 2 * padding - size) // stride + 1
    operator = np.zeros((n_out, n), dtype=np.float32)
    source = np.arange(n_out) * stride - padding + offset
    inside = (source >= 0) & (source < n)
    operator[np.flatnonzero(inside), source[inside]] = 1.0
    return _frozen(operator)


@lru_cache(maxsize=256)
def resize(
    n_in: int,
    n_out: int,
    interpolation: Interpolation = "bilinear",
    *,
    stride: int = 1,
    n_cells: int | None = None,
) -> Operator:
    """Resize an axis without anti-aliasing.  -> (n_out, n_in).

    Args:
        n_in: samples before.
        n_out: samples after.
        interpolation: ``bilinear`` is torch's ``interpolate(..., align_corners=False)``.
        stride: the samples are every `stride`-th cell of a grid of `n_cells` cells.
        n_cells: cells of that grid, which covers the output; None where each cell is a sample.
    """
    identity = np.eye(n_in, dtype=np.float32)
    return _frozen(resized(identity, n_out, interpolation, stride=stride, n_cells=n_cells))


def resized(
    planes: NDArray[np.float32],
    n_out: int,
    interpolation: Interpolation = "bilinear",
    *,
    stride: int = 1,
    n_cells: int | None = None,
) -> NDArray[np.float32]:
    """Resize the first axis of an array as `resize` does.  (n_in, ...) -> (n_out, ...)."""
    n_in = len(planes)
    position = ((np.arange(n_out) + 0.5) * (n_cells or n_in) / n_out - 0.5) / stride
    if interpolation == "nearest":
        nearest = np.floor(position + 0.5).astype(np.intp)
        return planes[np.clip(nearest, 0, n_in - 1)]
    centre = np.clip(position, 0, n_in - 1)
    low = np.floor(centre).astype(np.intp)
    share = (centre - low).astype(np.float32).reshape(-1, *[1] * (planes.ndim - 1))
    return planes[low] * (1 - share) + planes[np.minimum(low + 1, n_in - 1)] * share


@lru_cache(maxsize=64)
def gaussian(n: int, sigma: float, border: Border = "reflect") -> Operator:
    """Gaussian smoothing, truncated at four standard deviations.  -> (n, n).

    The border ``reflect`` repeats the edge sample (official code), ``mirror`` does not (anomalib).
    """
    radius = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    beyond: Literal["symmetric", "reflect"] = "symmetric" if border == "reflect" else "reflect"
    source = np.pad(np.arange(n), radius, mode=beyond)  # numpy's names are not scipy's
    operator = np.zeros((n, n))
    for offset, weight in enumerate(weights / weights.sum()):
        operator[np.arange(n), source[offset : offset + n]] += weight
    return _frozen(operator.astype(np.float32))


def _frozen(operator: Operator) -> Operator:
    operator.setflags(write=False)  # cached and shared
    return operator
