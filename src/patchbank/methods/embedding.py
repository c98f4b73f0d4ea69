"""Patch embedding of the methods that concatenate neighbourhood means of all layers."""

from __future__ import annotations

from patchbank.core.finite import require_finite
from patchbank.core.spatial import patch_embedding
from patchbank.methods.base import FeatureMaps
from patchbank.settings import PatchSettings
from patchbank.types import Array


def embed_patches(settings: PatchSettings, maps: FeatureMaps) -> Array:
    """Embed the patches of one image by concatenation.  [(c, h, w), ...] -> (h, w, d).

    Raises:
        ShapeError: a feature is not finite, or a map is smaller than a patch.
    """
    return require_finite(
        "features",
        patch_embedding.concatenated(
            maps, settings.patch_size, settings.patch_stride, alignment=settings.alignment
        ),
    )
