"""Embedding of PatchCore: neighbourhood means of feature maps."""

from __future__ import annotations

from collections.abc import Sequence

from patchbank.core.finite import require_finite
from patchbank.core.spatial import patch_embedding
from patchbank.methods.base import FeatureMaps
from patchbank.methods.memory_bank import method_with_bank
from patchbank.methods.patchcore.settings import PRESETS, PatchCoreParameters, PatchCoreSettings
from patchbank.types import Array


def embed(settings: PatchCoreParameters, maps: FeatureMaps) -> Array:
    """Embed the patches of one image as the settings say.  [(c, h, w), ...] -> (h, w, d).

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
    return require_finite("features", embedding)


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
