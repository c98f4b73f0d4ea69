"""From a grid of patch scores to an anomaly map: enlarge, smooth, resize to the photograph."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from patchbank.choices import Border, Interpolation
from patchbank.core.spatial import resampling
from patchbank.core.spatial.resampling import Operator
from patchbank.types import AnomalyMap, PatchGrid

REFERENCE_SIDE_PX = 224  # the papers smooth with sigma = 4 at this input size


def anomaly_map(
    grid: PatchGrid,
    input_size: tuple[int, int],
    size: tuple[int, int] | None = None,
    *,
    sigma: float = 4.0,
    stride: int = 1,
    cells: tuple[int, int] | None = None,
    interpolation: Interpolation = "bilinear",
    border: Border = "reflect",
) -> AnomalyMap:
    """Enlarge a patch grid to the network's input, smooth it, and resize it to the photograph.

    The three steps are linear and separable: `map_operators` makes one operator for each axis of
    them, so that a map costs two matrix products.

    Args:
        grid: (h, w) patch scores.
        input_size: (H, W) in pixels of the network's input.
        size: (H, W) in pixels of the map; None for that of the input.
        sigma: standard deviation of the Gaussian in pixels of the input; 0 does not smooth.
        stride: cells of the feature grid from one patch to the next.
        cells: (h, w) of the feature grid that covers the input; None where each cell is a patch.
        interpolation: how the grid is enlarged.
        border: how the Gaussian continues the map: ``reflect`` or ``mirror``.

    >>> import numpy as np
    >>> anomaly_map(np.ones((3, 5), np.float32), (24, 40), (48, 100)).shape
    (48, 100)
    """
    rows, columns = map_operators(
        (grid.shape[0], grid.shape[1]),
        input_size,
        size,
        sigma=sigma,
        stride=stride,
        cells=cells,
        interpolation=interpolation,
        border=border,
    )
    enlarged: AnomalyMap = resampling.apply(rows, columns, grid)
    return enlarged


def map_operators(
    grid: tuple[int, int],
    input_size: tuple[int, int],
    size: tuple[int, int] | None = None,
    *,
    sigma: float = 4.0,
    stride: int = 1,
    cells: tuple[int, int] | None = None,
    interpolation: Interpolation = "bilinear",
    border: Border = "reflect",
) -> tuple[Operator, Operator]:
    """Operators that make an anomaly map of a patch grid: rows @ grid @ columns.T.

    Args:
        grid: (h, w) of the patch grid.
        input_size: (H, W) in pixels of the network's input.
        size: (H, W) in pixels of the map; None for that of the input.
        sigma: standard deviation of the Gaussian in pixels of the input; 0 does not smooth.
        stride: cells of the feature grid from one patch to the next.
        cells: (h, w) of the feature grid that covers the input; None where each cell is a patch.
        interpolation: how the grid is enlarged.
        border: how the Gaussian continues the map: ``reflect`` or ``mirror``.

    Returns:
        (H, h) for the rows and (W, w) for the columns.

    >>> rows, columns = map_operators((3, 5), (24, 40), (48, 100))
    >>> rows.shape, columns.shape
    ((48, 3), (100, 5))
    """
    axes = zip(grid, cells or grid, input_size, size or input_size, strict=True)
    rows, columns = (_operator(Axis(*axis, stride), sigma, interpolation, border) for axis in axes)
    return rows, columns


def scaled_sigma(sigma: float, input_size: tuple[int, int]) -> float:
    """Scale a sigma given for a 224 x 224 input to another input, by the root of the area."""
    height, width = input_size
    return float(sigma * (height * width) ** 0.5 / REFERENCE_SIDE_PX)


class Axis(NamedTuple):
    """Lengths along the height or the width; the key under which its operator is cached."""

    n_patches: int
    n_cells: int
    n_input: int
    n_pixels: int
    stride: int


@lru_cache(maxsize=8)
def _operator(axis: Axis, sigma: float, interpolation: Interpolation, border: Border) -> Operator:
    to_input = _to_input(axis._replace(n_pixels=0), sigma, interpolation, border)
    if axis.n_pixels == axis.n_input:
        return to_input
    return resampling.resized(to_input, axis.n_pixels)


@lru_cache(maxsize=32)
def _to_input(axis: Axis, sigma: float, interpolation: Interpolation, border: Border) -> Operator:
    enlarge = resampling.resize(
        axis.n_patches, axis.n_input, interpolation, stride=axis.stride, n_cells=axis.n_cells
    )
    return resampling.smoothed(enlarge, sigma, border) if sigma > 0 else enlarge
