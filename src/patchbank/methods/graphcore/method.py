"""Embedding of GraphCore: patch features and their max-relative graph features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import to_numpy
from patchbank.core.patch_graph import max_relative
from patchbank.methods.base import FeatureMaps, PatchEmbedding
from patchbank.methods.embedding import embed_patches
from patchbank.methods.graphcore.settings import PRESETS, GraphCoreParameters, GraphCoreSettings
from patchbank.methods.memory_bank import method_with_bank
from patchbank.types import Array


def embed(
    settings: GraphCoreParameters,
    maps: FeatureMaps,
    of_interest: NDArray[np.bool_] | None = None,
) -> Array | PatchEmbedding:
    """Embed patches with their graph features, (h, w, d or 2d).

    Args:
        settings: of the method.
        maps: (c, h, w) of each layer.
        of_interest: cells of the first layer's grid that count, and are the nodes of the graph;
            None where all are.

    Raises:
        ShapeError: a feature is not finite.
    """
    plain = embed_patches(settings, maps)
    is_plain = settings.graph_neighbours == 0 or settings.graph_weight == 0
    embedding = plain if is_plain else _with_graph(settings, to_numpy(plain), of_interest)
    if of_interest is None:
        return embedding
    return PatchEmbedding(embedding).within(of_interest, settings.patch_stride)


def _with_graph(
    settings: GraphCoreParameters,
    grid: NDArray[np.float32],
    of_interest: NDArray[np.bool_] | None,
) -> NDArray[np.float32]:
    """Add the graph features of the patches that count.  (h, w, d) -> (h, w, 2d)."""
    weight, nodes = np.float32(settings.graph_weight), grid.reshape(-1, grid.shape[2])
    if of_interest is None:
        relative = max_relative(nodes, settings.graph_neighbours)
    else:
        stride = settings.patch_stride
        counted = np.flatnonzero(of_interest[::stride, ::stride])
        relative = np.zeros_like(nodes)
        relative[counted] = max_relative(nodes[counted], settings.graph_neighbours)
    return np.concatenate([grid, weight * relative.reshape(grid.shape)], axis=2)


def dimensions(settings: GraphCoreParameters, channels: Sequence[int]) -> int:
    """Dimensions of a patch, from the channels of each feature map."""
    is_plain = settings.graph_neighbours == 0 or settings.graph_weight == 0
    return sum(channels) * (1 if is_plain else 2)


METHOD = replace(
    method_with_bank(
        "graphcore", GraphCoreSettings, GraphCoreParameters, PRESETS, embed, dimensions
    ),
    chooses_neighbours=True,
)
