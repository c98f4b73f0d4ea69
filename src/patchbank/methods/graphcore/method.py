"""Patches, and what each is among its likes in the image, into a bank."""

from __future__ import annotations

import numpy as np

from patchbank.core import patches
from patchbank.core.arrays import Array, to_numpy
from patchbank.core.graph import max_relative
from patchbank.methods.bank import method_with_bank
from patchbank.methods.base import FeatureMaps
from patchbank.methods.graphcore.settings import PRESETS, GraphCoreSettings, changed_preset


def embed(settings: GraphCoreSettings, maps: FeatureMaps) -> Array:
    """Embed the patches of one image with their graph.  [(c, h, w), ...] -> (h, w, d or 2d).

    Raises:
        ShapeError: a feature is not finite.
    """
    plain = patches.require_finite(
        patches.concatenated(
            maps, settings.patch_size, settings.patch_stride, alignment=settings.alignment
        )
    )
    if settings.graph_neighbours == 0 or settings.graph_weight == 0:
        return plain
    grid = to_numpy(plain)  # (h, w, d)
    relative = max_relative(grid.reshape(-1, grid.shape[2]), settings.graph_neighbours)
    weight = np.float32(settings.graph_weight)
    return np.concatenate([grid, weight * relative.reshape(grid.shape)], axis=2)  # (h, w, 2d)


METHOD = method_with_bank("graphcore", GraphCoreSettings, tuple(PRESETS), changed_preset, embed)
