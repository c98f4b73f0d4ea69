"""Alignment of small pictures that may show the same: shifted, stretched, brighter or darker.

Shifts are found by phase correlation (Kuglin and Hines, 1975), then shift and stretch by steps of
Gauss and Newton (Lucas and Kanade, 1981), for many pairs at a time.  Height and width stretch
independently, and nothing rotates: so a picture is resampled by two small matrix products.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.types import Indices

Pictures: TypeAlias = NDArray[np.float32]
"""(n, side, side): luminance, or its detail."""
Placements: TypeAlias = NDArray[np.float32]
"""(p, 4): shift down and right, as fractions of the side; stretch of height and width."""

FARTHEST = np.array([0.12, 0.12, 0.12, 0.12], dtype=np.float32)
"""Largest shift, and largest change of the stretch, that are searched."""
WHITENING = 0.02
"""Share of the largest amplitude below which frequencies count less in the phase correlation."""


def blurred(pictures: Pictures, sigma: float) -> Pictures:
    """Blur pictures by a Gaussian; what lies beyond their edges has no weight.

    By sums of shifted pictures: small products of matrices in several threads at once make the
    threads of BLAS wait for each other, which takes many times as long.
    """
    across = blurred_across(pictures, sigma)
    return blurred_across(across.swapaxes(-1, -2), sigma).swapaxes(-1, -2)


def blurred_across(pictures: Pictures, sigma: float) -> Pictures:
    """Blur the rows of pictures, from left to right only; see `blurred`."""
    side = pictures.shape[-1]
    radius = min(side - 1, int(4 * sigma + 0.5))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2).astype(np.float32)
    norms = np.convolve(np.ones(side, dtype=np.float32), weights)[radius : radius + side]
    padded = np.pad(pictures, [(0, 0)] * (pictures.ndim - 1) + [(radius, radius)])
    total = np.zeros(pictures.shape, dtype=np.float32)
    for at, weight in enumerate(weights):
        total += weight * padded[..., at : at + side]
    return total / norms


def detail(pictures: Pictures, sigma: float) -> Pictures:
    """Pictures without what a blur of `sigma` pixels keeps."""
    return pictures - blurred(pictures, sigma)


def halved(pictures: Pictures) -> Pictures:
    """Pictures of half the side: means of four pixels."""
    n, side = pictures.shape[0], pictures.shape[-1] // 2
    means: Pictures = pictures.reshape(n, side, 2, side, 2).mean(axis=(2, 4), dtype=np.float32)
    return means


def resampled(pictures: Pictures, placements: Placements) -> Pictures:
    """Each picture as its placement shows it, by cubic convolution (Keys, 1981); edges go on.

    Args:
        pictures: (p, side, side), or (bands, p, side, side) for several bands of each.
        placements: (p, 4).
    """
    side = pictures.shape[-1]
    down = _stretched(pictures, placements[:, 0] * side, placements[:, 2])
    turned = np.ascontiguousarray(down.swapaxes(-1, -2))
    across = _stretched(turned, placements[:, 1] * side, placements[:, 3])
    return across.swapaxes(-1, -2)


def shifted(fine: Pictures, first: int, second: Indices) -> Placements:
    """Placements that shift pictures over the first one, to the pixel.  -> (p, 4).

    Args:
        fine: detail of all pictures.
        first: number of the picture that stays.
        second: numbers of the p pictures that are moved.
    """
    side = fine.shape[-1]
    reach = int(FARTHEST[0] * side)
    tapered = window(side)
    product = np.fft.rfft2(fine[second] * tapered) * np.fft.rfft2(fine[first] * tapered).conj()
    size = np.abs(product)
    product /= size + WHITENING * size.max(axis=(1, 2), keepdims=True) + 1e-9
    peaks = np.roll(np.fft.irfft2(product, (side, side)), (reach, reach), axis=(1, 2))
    width = 2 * reach + 1
    near = peaks[:, :width, :width].reshape(len(second), width**2)
    down, right = np.divmod(near.argmax(axis=1), width)
    ones = np.ones(len(second))
    shifts = np.stack([(down - reach) / side, (right - reach) / side, ones, ones], axis=1)
    return shifts.astype(np.float32)


def refined(pictures: Pictures, first: int, second: Indices, placements: Placements) -> Placements:
    """Placements after steps of Gauss and Newton towards the first picture.  -> (p, 4).

    Args:
        pictures: detail of all pictures.
        first: number of the picture that stays.
        second: numbers of the p pictures that are moved.
        placements: (p, 4) where they are so far.
    """
    steps = _Steps(pictures[first])
    moved = pictures[second]
    for _ in range(N_STEPS):
        placements = steps.improved(placements, moved)
    return placements


def align(coarse: Pictures, fine: Pictures, first: int, second: Indices) -> Placements:
    """Placements that put pictures over the first one.  -> (p, 4).

    Args:
        coarse: detail of all pictures.
        fine: the same at twice the side.
        first: number of the picture that stays.
        second: numbers of the p pictures that are moved.
    """
    placements = refined(coarse, first, second, shifted(fine, first, second))
    return refined(fine, first, second, placements)


N_STEPS = 3
"""Steps at each of the two sizes."""


class _Steps:
    """Gauss-Newton steps towards one picture, whose gradients stand for those of the others."""

    def __init__(self, fixed: NDArray[np.float32]) -> None:
        side = fixed.shape[0]
        self._weights = np.sqrt(window(side))
        across = np.linspace(-0.5, 0.5, side, dtype=np.float32)
        down_slope, right_slope = np.gradient(fixed)
        columns = [
            down_slope * side,
            right_slope * side,
            down_slope * side * across[:, None],
            right_slope * side * across[None],
            fixed,
            np.ones_like(fixed),
        ]
        self._columns = (np.stack(columns) * self._weights).reshape(len(columns), -1)
        normal = self._columns @ self._columns.T
        diagonal = np.arange(len(columns))
        normal[diagonal, diagonal] = normal[diagonal, diagonal] * 1.0001 + 1e-3
        self._inverse = np.linalg.inv(normal)

    def improved(self, placements: Placements, moved: Pictures) -> Placements:
        """Placements after one step."""
        shown = (resampled(moved, placements) * self._weights).reshape(
            len(moved), self._weights.size
        )
        fitted = shown @ self._columns.T @ self._inverse.T
        gain = np.clip(np.abs(fitted[:, 4:5]), 0.3, 3)
        step = np.clip(fitted[:, :4] / gain, -0.03, 0.03)
        start = np.array([0, 0, 1, 1], dtype=np.float32)
        found: Placements = np.clip(placements - step, start - FARTHEST, start + FARTHEST)
        return found


def window(side: int) -> NDArray[np.float32]:
    """Hann window: what lies at the edge may be in one of the two only."""
    taper = np.hanning(side + 2)[1:-1].astype(np.float32)
    window: NDArray[np.float32] = taper[:, None] * taper[None]
    return window


def _stretched(
    pictures: Pictures, shift: NDArray[np.float32], stretch: NDArray[np.float32]
) -> Pictures:
    """Resample the columns of pictures.  (..., p, side, side) -> the same."""
    side = pictures.shape[-1]
    centre = np.float32((side - 1) / 2)
    at = np.arange(side, dtype=np.float32)
    source = centre + (at - centre) * stretch[:, None] + shift[:, None]
    source = np.minimum(np.maximum(source, 0), side - 1)
    before = np.minimum(source.astype(np.intp), side - 2)
    t = source - before
    taps = (
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )
    flat = pictures.reshape(*pictures.shape[:-3], -1, side)
    starts = np.arange(len(shift))[:, None] * side
    total = np.zeros(pictures.shape, dtype=np.float32)
    for offset, weights in enumerate(taps):
        rows = np.minimum(np.maximum(before + (offset - 1), 0), side - 1) + starts
        tapped = flat.take(rows.reshape(-1), axis=-2).reshape(pictures.shape)
        tapped *= weights[:, :, None].astype(np.float32)
        total += tapped
    return total
