"""Gradient noise: smooth random patterns of a given grain (Perlin, SIGGRAPH 1985)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def gradient_noise(
    size: tuple[int, int], cell_px: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A pattern that is 0 on the nodes of a lattice, and smooth between them.  -> (h, w).

    Its values are in [-1, 1], and half of them are positive on average.

    Args:
        size: (h, w) of the result.
        cell_px: pixels from one node to the next; at least 1.
        rng: draws the gradients at the nodes, and where the lattice begins.
    """
    cell = max(cell_px, 1.0)
    begin_y, begin_x = rng.random(2)
    y = np.arange(size[0], dtype=np.float32)[:, None] / cell + begin_y
    x = np.arange(size[1], dtype=np.float32)[None, :] / cell + begin_x
    shape = int(y.max()) + 2, int(x.max()) + 2
    angles = rng.uniform(0, 2 * np.pi, shape)
    row, column = y.astype(np.intp), x.astype(np.intp)
    down, across = y - row, x - column

    def corner(below: int, right: int) -> NDArray[np.float32]:
        """Product of the gradient at one corner of each cell with the way from there."""
        angle = angles[row + below, column + right]
        found = np.sin(angle) * (down - below) + np.cos(angle) * (across - right)
        return np.asarray(found, dtype=np.float32)

    fade_y, fade_x = _fade(down), _fade(across)
    above = corner(0, 0) * (1 - fade_x) + corner(0, 1) * fade_x
    below = corner(1, 0) * (1 - fade_x) + corner(1, 1) * fade_x
    noise = above * (1 - fade_y) + below * fade_y
    return np.asarray((noise * np.sqrt(2)).clip(-1, 1), dtype=np.float32)


def _fade(share: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weight of the next node, with a slope of 0 at both ends (Perlin, SIGGRAPH 2002)."""
    return share**3 * (share * (share * 6 - 15) + 10)
