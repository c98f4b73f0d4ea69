"""Fit of memory banks, one for each feature map: select their rows, and make them comparable."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from patchbank.core.coreset import Coreset
from patchbank.core.scores import image_score
from patchbank.methods.base import Fit, TrainingImage
from patchbank.methods.memory_bank.learner import BankLearner, GroupedPhotographs, LeftOutBySize
from patchbank.methods.memory_bank.model import BankModel, Embed
from patchbank.methods.memory_bank.per_map import (
    MapBank,
    MapBanks,
    MapPart,
    typical_distance,
    weighted,
)
from patchbank.methods.memory_bank.settings import BankParameters
from patchbank.runtime.devices import Device
from patchbank.runtime.memory import room_for_features
from patchbank.runtime.progress import Progress
from patchbank.runtime.scratch import drop_pages
from patchbank.types import Features, Indices

ROWS_PER_COPY = 8192


class MapBankLearner(BankLearner):
    """Collects the patches of good photographs, then selects a bank for each map from them."""

    def __init__(
        self,
        settings: BankParameters,
        embed: Embed,
        parts: Callable[[int], Sequence[MapPart]],
        n_images: int,
        progress: Progress,
        device: Device,
    ) -> None:
        """Prepare for `n_images`.

        Args:
            settings: of the banks.
            embed: patches of the maps of an image; those of each of the `parts` side by side.
            parts: number of feature maps of an image -> those that have a bank.
            n_images: that will be added.
            progress: shows the steps.
            device: where it computes.

        Raises:
            ParameterError: the index needs a package that is not installed.
        """
        super().__init__(settings, embed, n_images, progress, device)
        self._parts_of = parts
        self._parts: Sequence[MapPart] = ()
        self._channels: tuple[int, ...] = ()

    def add(self, image: TrainingImage) -> None:
        """Embed the features of the next image, and store its patches."""
        if not self._parts:
            self._parts = self._parts_of(len(image.maps))
            self._channels = tuple(image.maps[part.number].shape[0] for part in self._parts)
        super().add(image)

    def fit(self, groups: Indices | None = None) -> Fit:
        """Select the banks, and score each photograph without its group."""
        numbers = self._numbered(groups)
        is_one_group = numbers.max() == 0
        banks, selected, left_out = [], [], []
        end = 0
        for part, d in zip(self._parts, self._channels, strict=True):
            features, end = self._columns(end, end + d), end + d
            model, coreset = self._bank_of(features, numbers)
            distances = None
            if not is_one_group:
                distances = self._left_out(model, features, coreset, numbers)
            banks.append(MapBank(part, model, typical_distance(distances, model.bank)))
            selected.append(coreset)
            left_out.append(distances)
        whole = MapBanks(self._settings, self._embed, banks, device=self._device)
        if is_one_group:
            return Fit(whole, ())
        photographs = GroupedPhotographs(self._store, numbers, self._progress)
        found = [each for each in left_out if each is not None]
        return Fit(
            whole,
            photographs.scores(whole, _weighted(banks, found)),
            LeftOutBySize(whole, photographs, _together(banks, selected)),
        )

    def _columns(self, begin: int, end: int) -> Features:
        """The features of one map, (n, end - begin), in memory if there is room, else in a file."""
        stored = self._store.features
        part = room_for_features((len(stored), end - begin), self._progress.note)
        for first in range(0, len(stored), ROWS_PER_COPY):
            rows = slice(first, min(first + ROWS_PER_COPY, len(stored)))
            part[rows] = stored[rows, begin:end]
            drop_pages(part[rows])
            drop_pages(stored[rows])
        return part

    def _left_out(
        self, model: BankModel, features: Features, coreset: Coreset, groups: Indices
    ) -> NDArray[np.float32]:
        """(n,) distances of the patches to the rows of other groups; infinite for those of copies.

        Raises:
            DataError, ParameterError: too few rows remain without a group.
        """
        store, known = self._store, coreset.min_distance_to_other_groups
        distances = np.full(len(features), np.inf, dtype=np.float32)
        own = {}
        for number, group in enumerate(groups.tolist()):
            patches = store.patches_of(number)
            if group not in own:
                own[group] = model.rows_of(np.flatnonzero(groups == group))
            if known is not None:
                distances[patches] = known[patches]
            elif patches.stop > patches.start:
                k = self._settings.n_neighbours
                found, _ = model.exact_index.nearest(features[patches], k, exclude=own[group])
                distances[patches] = image_score.patch_scores(found, "euclidean")
        return distances


def _together(banks: Sequence[MapBank], selected: Sequence[Coreset]) -> Coreset:
    """The selections of all banks as one: `weighted` distances at the sizes that all know."""
    at_sizes = [coreset.min_distance_to_other_groups_at for coreset in selected]
    return Coreset(
        selected[0].centres,
        min_distance_to_other_groups_at={
            size: _weighted(banks, [at[size] for at in at_sizes])
            for size in at_sizes[0]
            if all(size in at for at in at_sizes)
        },
    )


def _weighted(
    banks: Sequence[MapBank], distances: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    relative = [each.relative(d[:, None]) for each, d in zip(banks, distances, strict=True)]
    return weighted(banks, relative)
