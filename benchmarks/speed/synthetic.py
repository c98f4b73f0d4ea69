"""The points that the benchmarks select and search: drawn, or patches of photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchbank import PatchCore
from patchbank.backbones import open_backbone
from patchbank.detector.preprocessing import extract
from patchbank.images.source import read_image
from patchbank.methods.patchcore import embed
from patchbank.types import Features, Indices

INNER_DIMS = 24
BLOCK_ROWS = 65_536


def drawn(n: int, d: int, *, seed: int = 0) -> Features:
    """Hard but seeded: features of low intrinsic dimension, with noise.  (n, d)."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((INNER_DIMS, d), dtype=np.float32)
    spreads = np.linspace(3, 0.3, INNER_DIMS, dtype=np.float32)
    points = np.empty((n, d), dtype=np.float32)
    for begin in range(0, n, BLOCK_ROWS):  # so that little else is in memory
        some = points[begin : begin + BLOCK_ROWS]
        inner = rng.standard_normal((len(some), INNER_DIMS), dtype=np.float32)
        np.matmul(inner * spreads, mixing, out=some)
        some += np.float32(0.3) * rng.standard_normal(some.shape, dtype=np.float32)
    return points


def gaussian(n: int, d: int, *, seed: int = 0) -> Features:
    """The worst case: every direction alike, every distance nearly the same.  (n, d)."""
    return np.random.default_rng(seed).standard_normal((n, d), dtype=np.float32)


def photographed(
    paths: Sequence[Path], recipe: PatchCore, *, unfolded_dims: int | None = None
) -> tuple[Features, Indices]:
    """The patches of photographs, as a recipe embeds them.

    Args:
        paths: of the photographs.
        recipe: settings that embed them.
        unfolded_dims: concatenate the 3 x 3 neighbours of each patch instead of averaging
            (set ``patch_size=1`` then), and keep so many numbers.

    Returns:
        (n, d), and the number of the photograph of each row (n,).
    """
    extractor = open_backbone(recipe.backbone, recipe.layers)
    parts = []
    for path in paths:
        maps, _ = extract(extractor, recipe, read_image(path))
        grid = embed(recipe, maps)  # (h, w, d)
        if unfolded_dims is not None:
            grid = _unfolded(grid)[:, :, :unfolded_dims]
        parts.append(grid.reshape(-1, grid.shape[2]))
    return np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(p) for p in parts])


def _unfolded(grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """The 3 x 3 neighbours of each patch, zeros beyond the border.  (h, w, d) -> (h, w, 9 d)."""
    h, w, _ = grid.shape
    padded = np.pad(grid, ((1, 1), (1, 1), (0, 0)))
    windows = [padded[y : y + h, x : x + w] for y in range(3) for x in range(3)]
    return np.concatenate(windows, axis=2)
