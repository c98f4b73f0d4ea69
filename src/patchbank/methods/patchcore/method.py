"""Embedding of PatchCore: neighbourhood means of feature maps, and which of them have a bank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from patchbank.core.finite import require_finite
from patchbank.core.spatial import patch_embedding
from patchbank.methods.base import FeatureMaps, PatchEmbedding
from patchbank.methods.memory_bank import MapPart, method_with_bank, with_bank_per_map
from patchbank.methods.patchcore.settings import PRESETS, PatchCoreParameters, PatchCoreSettings
from patchbank.types import Array


def embed(
    settings: PatchCoreParameters,
    maps: FeatureMaps,
    of_interest: NDArray[np.bool_] | None = None,
) -> Array | PatchEmbedding:
    """Embed the patches of one image as the settings say.

    Args:
        settings: of the method.
        maps: (c, h, w) of each layer.
        of_interest: cells of the first layer's grid that count; None where all do.

    Where maps have banks of their own, the features of those lie side by side.

    Raises:
        ShapeError: a feature is not finite.
    """
    used = maps
    if settings.banks == "per_map":
        used = [maps[part.number] for part in parts_of(settings, len(maps))]
    if settings.target_dims is None:
        embedding = patch_embedding.concatenated(
            used, settings.patch_size, settings.patch_stride, alignment=settings.alignment
        )
    else:
        embedding = patch_embedding.adaptively_pooled(
            used,
            settings.patch_size,
            settings.patch_stride,
            layer_dims=settings.layer_dims or settings.target_dims,
            target_dims=settings.target_dims,
            alignment=settings.alignment,
        )
    require_finite("features", embedding)
    if of_interest is None:
        return embedding
    return PatchEmbedding(embedding).within(of_interest, settings.patch_stride)


def parts_of(settings: PatchCoreParameters, n_maps: int) -> list[MapPart]:
    """The feature maps of an image that have a bank, if each has its own.

    They are all layers at the first scale, and the deepest one at each other scale, where it sees
    more of the surroundings than any at the first; shallow layers see little more there than deep
    ones do at the first.  A map of a smaller scale has the root of that scale relative to the first
    as its weight, and has no part in the anomaly map: its cells are too coarse.

    >>> [(part.number, round(part.weight, 2)) for part in parts_of(PatchCoreParameters(), 4)]
    [(0, 1.0), (1, 1.0), (3, 0.71)]
    """
    first, *others = settings.scales
    n_layers = n_maps // len(settings.scales)
    parts = [MapPart(layer, 1.0, True) for layer in range(n_layers)]
    for number, scale in enumerate(others, start=2):
        parts.append(MapPart(number * n_layers - 1, min(1.0, scale / first) ** 0.5, False))
    return parts


def dimensions(settings: PatchCoreParameters, channels: Sequence[int]) -> int:
    """Dimensions of a patch, from the channels of each feature map."""
    return settings.target_dims or sum(channels)


METHOD = with_bank_per_map(
    method_with_bank(
        "patchcore",
        PatchCoreSettings,
        PatchCoreParameters,
        PRESETS,
        embed,
        dimensions,
        scores_tiles=True,
    ),
    embed,
    parts_of,
    lambda settings: settings.banks == "joint",
)
