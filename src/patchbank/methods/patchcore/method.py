"""Patches as neighbourhood means of feature maps, into a bank."""

from __future__ import annotations

from patchbank.core import patches
from patchbank.core.arrays import Array
from patchbank.methods.bank import method_with_bank
from patchbank.methods.base import FeatureMaps
from patchbank.methods.patchcore.settings import PRESETS, PatchCoreSettings, changed_preset


def embed(settings: PatchCoreSettings, maps: FeatureMaps) -> Array:
    """Embed the patches of one image as the settings say.  [(c, h, w), ...] -> (h, w, d).

    Raises:
        ShapeError: a feature is not finite.
    """
    if settings.target_dims is None:
        embedding = patches.concatenated(
            maps, settings.patch_size, settings.patch_stride, alignment=settings.alignment
        )
    else:
        embedding = patches.adaptively_pooled(
            maps,
            settings.patch_size,
            settings.patch_stride,
            layer_dims=settings.layer_dims or settings.target_dims,
            target_dims=settings.target_dims,
            alignment=settings.alignment,
        )
    return patches.require_finite(embedding)


METHOD = method_with_bank("patchcore", PatchCoreSettings, tuple(PRESETS), changed_preset, embed)
