"""Embedding of GraphCore: patch features and their max-relative graph features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from patchbank.core.array_api import to_numpy
from patchbank.core.patch_graph import max_relative
from patchbank.methods.base import FeatureMaps
from patchbank.methods.embedding import embed_patches
from patchbank.methods.graphcore.settings import PRESETS, GraphCoreParameters, GraphCoreSettings
from patchbank.methods.memory_bank import method_with_bank
from patchbank.types import Array


def embed(settings: GraphCoreParameters, maps: FeatureMaps) -> Array:
    """Embed patches with their graph features.  [(c, h, w), ...] -> (h, w, d or 2d).

    Raises:
        ShapeError: a feature is not finite.
    """
    plain = embed_patches(settings, maps)
    if settings.graph_neighbours == 0 or settings.graph_weight == 0:
        return plain
    grid = to_numpy(plain)  # (h, w, d)
    relative = max_relative(grid.reshape(-1, grid.shape[2]), settings.graph_neighbours)
    weight = np.float32(settings.graph_weight)
    return np.concatenate([grid, weight * relative.reshape(grid.shape)], axis=2)  # (h, w, 2d)


def dimensions(settings: GraphCoreParameters, channels: Sequence[int]) -> int:
    """Dimensions of a patch, from the channels of each feature map."""
    is_plain = settings.graph_neighbours == 0 or settings.graph_weight == 0
    return sum(channels) * (1 if is_plain else 2)


METHOD = method_with_bank(
    "graphcore", GraphCoreSettings, GraphCoreParameters, PRESETS, embed, dimensions
)
