"""Patches as neighbourhood means of feature maps, into a bank."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from patchbank.core import patches
from patchbank.core.arrays import Array, Device
from patchbank.methods.bank import BankModel, fit_bank, restore_bank
from patchbank.methods.base import Example, FeatureMaps, Fit, Method, Progress, Tensors
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


def fit(
    settings: PatchCoreSettings,
    examples: Iterable[Example],
    n_examples: int,
    progress: Progress,
    device: Device,
) -> Fit:
    """Fill the bank, and score each photograph when it is left out."""
    return fit_bank(settings, partial(embed, settings), examples, n_examples, progress, device)


def restore(settings: PatchCoreSettings, tensors: Tensors, device: Device) -> BankModel:
    """Build the model that `tensors` came from."""
    return restore_bank(settings, partial(embed, settings), tensors, device)


METHOD = Method("patchcore", PatchCoreSettings, tuple(PRESETS), changed_preset, fit, restore)
