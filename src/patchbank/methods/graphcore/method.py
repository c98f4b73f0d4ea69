"""Patches, and what each is among its likes in the image, into a bank."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np

from patchbank.core import patches
from patchbank.core.arrays import Array, Device, to_numpy
from patchbank.core.graph import max_relative
from patchbank.methods.bank import BankModel, fit_bank, restore_bank
from patchbank.methods.base import Example, FeatureMaps, Fit, Method, Progress, Tensors
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


def fit(
    settings: GraphCoreSettings,
    examples: Iterable[Example],
    n_examples: int,
    progress: Progress,
    device: Device,
) -> Fit:
    """Fill the bank, and score each photograph when it is left out."""
    return fit_bank(settings, partial(embed, settings), examples, n_examples, progress, device)


def restore(settings: GraphCoreSettings, tensors: Tensors, device: Device) -> BankModel:
    """Build the model that `tensors` came from."""
    return restore_bank(settings, partial(embed, settings), tensors, device)


METHOD = Method("graphcore", GraphCoreSettings, tuple(PRESETS), changed_preset, fit, restore)
