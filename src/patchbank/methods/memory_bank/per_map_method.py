"""A method with a bank for each feature map, made of the one with a bank of all together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, TypeAlias

from patchbank.errors import ParameterError
from patchbank.methods.base import FittedMethod, Learner, Method, PatchEmbedding, Tensors
from patchbank.methods.memory_bank.model import BankModel
from patchbank.methods.memory_bank.per_map import MapBank, MapBanks, MapPart
from patchbank.methods.memory_bank.per_map_learner import MapBankLearner
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.types import Array

PartsOf: TypeAlias = Callable[[Any, int], Sequence[MapPart]]
"""(parameters, feature maps of an image) -> those with a bank of their own, if each has one."""


def with_bank_per_map(
    joint: Method,
    embed: Callable[..., Array | PatchEmbedding],
    parts_of: PartsOf,
    is_joint: Callable[[Any], bool],
) -> Method:
    """Make a method that has a bank for each feature map where its settings say so.

    Args:
        joint: the method with one bank of all maps, for all other settings.
        embed: as `method_with_bank` takes it; patches of the parts lie side by side.
        parts_of: which maps have a bank.
        is_joint: parameters -> whether they ask for one bank of all maps.
    """

    def learner(chosen: Any, n_images: int, progress: Progress, device: Device) -> Learner:
        if is_joint(chosen):
            return joint.learner(chosen, n_images, progress, device)
        parts = partial(parts_of, chosen)
        return MapBankLearner(chosen, partial(embed, chosen), parts, n_images, progress, device)

    def restore(chosen: Any, tensors: Tensors, device: Device) -> FittedMethod:
        if is_joint(chosen):
            return joint.restore(chosen, tensors, device)
        n_banks = sum(name.endswith("_spread") for name in tensors)
        parts = next(found for n in count(1) if len(found := parts_of(chosen, n)) >= n_banks)
        embedding, recall = partial(embed, chosen), float(tensors["index_recall"][0])
        banks = []
        for number, part in enumerate(parts):
            rows = tensors[f"bank{number}"]
            if chosen.n_neighbours > len(rows):
                raise ParameterError(
                    f"n_neighbours: expected at most {len(rows)} (the rows of a bank), "
                    f"got {chosen.n_neighbours}"
                )
            model = BankModel(
                chosen,
                embedding,
                rows,
                tensors[f"bank{number}_origins"],
                tensors[f"bank{number}_radii"],
                recall,
                device=device,
            )
            banks.append(MapBank(part, model, float(tensors[f"bank{number}_spread"][0])))
        return MapBanks(chosen, embedding, banks, device=device)

    def lengths(chosen: Any, channels: Sequence[int]) -> Mapping[str, int]:
        if is_joint(chosen):
            return joint.lengths(chosen, channels)
        parts = parts_of(chosen, len(channels))
        of_parts = {f"d{number}": channels[part.number] for number, part in enumerate(parts)}
        return {"joint": 0, "banks": len(parts), **of_parts}

    return replace(joint, learner=learner, restore=restore, lengths=lengths)
