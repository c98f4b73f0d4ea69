"""A method with a memory bank, made of an embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from patchbank.errors import ParameterError
from patchbank.methods.base import Method, PatchEmbedding, Tensors
from patchbank.methods.memory_bank.continuing import BankContinuation
from patchbank.methods.memory_bank.learner import BankLearner
from patchbank.methods.memory_bank.model import CONTENTS, BankModel
from patchbank.methods.memory_bank.normal import NormalPatches
from patchbank.methods.memory_bank.selection import check_selects_in_shards
from patchbank.methods.memory_bank.settings import BankParameters
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.settings import Settings
from patchbank.types import Array


def method_with_bank(
    name: str,
    settings: type[Settings],
    parameters: type[BankParameters],
    presets: Mapping[str, Mapping[str, Any]],
    embed: Callable[..., Array | PatchEmbedding],
    dimensions: Callable[[Any, Sequence[int]], int],
    *,
    scores_tiles: bool = False,
) -> Method:
    """Make a method with one bank of all feature maps together.

    Args:
        name: of the method.
        settings: all settings of it.
        parameters: the part of them that it receives.
        presets: name -> the settings that differ.
        embed: (parameters, feature maps) -> patches; (parameters, feature maps, cells of interest)
            where there is a region of interest.
        dimensions: (parameters, channels of each map) -> dimensions of a patch.
        scores_tiles: whether a patch depends on the features around it alone.
    """

    def learner(
        chosen: BankParameters, n_images: int, progress: Progress, device: Device
    ) -> BankLearner:
        return BankLearner(chosen, partial(embed, chosen), n_images, progress, device)

    def restore(chosen: BankParameters, tensors: Tensors, device: Device) -> BankModel:
        if chosen.n_neighbours > len(tensors["bank"]):
            raise ParameterError(
                f"n_neighbours: expected at most {len(tensors['bank'])} (the rows of the bank), "
                f"got {chosen.n_neighbours}"
            )
        return BankModel(
            chosen,
            partial(embed, chosen),
            tensors["bank"],
            tensors["bank_origins"],
            tensors["bank_radii"],
            float(tensors["index_recall"][0]),
            device=device,
        )

    def lengths(chosen: BankParameters, channels: Sequence[int]) -> Mapping[str, int]:
        return {"d": dimensions(chosen, channels), "joint": 1, "banks": 0}

    return Method(
        name,
        settings,
        parameters,
        presets,
        learner,
        restore,
        contents=CONTENTS,
        lengths=lengths,
        takes_interest=True,
        scores_tiles=scores_tiles,
        continued=BankContinuation,
        normal=NormalPatches,
        check_in_shards=check_selects_in_shards,
    )
