"""Embedding of PatchCore: neighbourhood means of feature maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from patchbank.core.finite import require_finite
from patchbank.core.spatial import patch_embedding
from patchbank.methods.base import FeatureMaps, PatchEmbedding
from patchbank.methods.memory_bank import method_with_bank
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

    Raises:
        ShapeError: a feature is not finite.
    """
    if settings.target_dims is None:
        embedding = patch_embedding.concatenated(
            maps, settings.patch_size, settings.patch_stride, alignment=settings.alignment
        )
    else:
        embedding = patch_embedding.adaptively_pooled(
            maps,
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


def dimensions(settings: PatchCoreParameters, channels: Sequence[int]) -> int:
    """Dimensions of a patch, from the channels of each feature map."""
    return settings.target_dims or sum(channels)


METHOD = method_with_bank(
    "patchcore",
    PatchCoreSettings,
    PatchCoreParameters,
    PRESETS,
    embed,
    dimensions,
    scores_tiles=True,
)
