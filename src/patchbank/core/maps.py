"""From a grid of patch scores to an anomaly map in pixels: enlarge, smooth, fit the photograph."""

from __future__ import annotations

from functools import lru_cache

from patchbank.core import sampling
from patchbank.core.sampling import Border, Interpolation, Operator
from patchbank.types import AnomalyMap, PatchGrid

REFERENCE_SIDE_PX = 224  # the papers smooth with sigma = 4 at this input size


def anomaly_map(
    grid: PatchGrid,
    input_size: tuple[int, int],
    size: tuple[int, int] | None = None,
    *,
    sigma: float = 4.0,
    first_centre: float = 0.5,
    interpolation: Interpolation = "bilinear",
    border: Border = "reflect",
) -> AnomalyMap:
    """Enlarge a patch grid to the network's input, smooth it, and resize to the photograph.

    All three steps are linear and separable, so they are one small matrix a side, and the map
    costs two matrix products.

    Args:
        grid: (h, w) patch scores.
        input_size: (H, W) in pixels of the network's input.
        size: (H, W) in pixels of the map; None for that of the input.
        sigma: standard deviation of the Gaussian in pixels of the input; 0 does not smooth.
        first_centre: where the first patch lies, in steps of the grid from the border.
        interpolation: how the grid is enlarged.
        border: how the Gaussian continues the map: ``reflect`` or ``mirror``.

    >>> import numpy as np
    >>> anomaly_map(np.ones((3, 5), np.float32), (24, 40), (48, 100)).shape
    (48, 100)
    """
    height, width = size or input_size
    down, across = (
        _operator(n, n_input, n_pixels, first_centre, sigma, interpolation, border)
        for n, n_input, n_pixels in zip(grid.shape, input_size, (height, width), strict=True)
    )
    return sampling.apply(down, across, grid)


def scaled_sigma(sigma: float, input_size: tuple[int, int]) -> float:
    """Scale a sigma given for a 224 x 224 input to this input, by the root of its area."""
    height, width = input_size
    return float(sigma * (height * width) ** 0.5 / REFERENCE_SIDE_PX)


@lru_cache(maxsize=64)
def _operator(
    n_patches: int,
    n_input: int,
    n_pixels: int,
    first_centre: float,
    sigma: float,
    interpolation: Interpolation,
    border: Border,
) -> Operator:
    operator = _smoothed(n_patches, n_input, first_centre, sigma, interpolation, border)
    if n_pixels != n_input:
        operator = sampling.resize(n_input, n_pixels) @ operator
    return operator


@lru_cache(maxsize=64)
def _smoothed(
    n_patches: int,
    n_input: int,
    first_centre: float,
    sigma: float,
    interpolation: Interpolation,
    border: Border,
) -> Operator:
    enlarge = sampling.resize(n_patches, n_input, interpolation, first_centre)
    return sampling.gaussian(n_input, sigma, border) @ enlarge if sigma > 0 else enlarge
