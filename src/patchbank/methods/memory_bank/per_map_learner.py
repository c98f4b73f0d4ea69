"""Fit of memory banks, one for each feature map: select their rows, and make them comparable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from patchbank.core.coreset import Coreset
from patchbank.core.coreset.elsewhere import FeaturesElsewhere
from patchbank.methods.base import Fit, TrainingImage
from patchbank.methods.memory_bank.columns import copied_columns, sums_of
from patchbank.methods.memory_bank.coverage import of_learned
from patchbank.methods.memory_bank.learner import BankLearner, GroupedPhotographs, LeftOutBySize
from patchbank.methods.memory_bank.model import SMALLEST_SPREAD, Embed
from patchbank.methods.memory_bank.per_map import (
    MapBank,
    MapBanks,
    MapPart,
    weighted,
)
from patchbank.methods.memory_bank.settings import BankParameters
from patchbank.methods.patch_store import CollectedPatches
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.types import Features, Indices


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
        self._channels: tuple[int, ...] = ()

    def add(self, image: TrainingImage) -> None:
        """Embed the features of the next image, and store its patches."""
        self._channels = self._channels or tuple(one.shape[0] for one in image.maps)
        super().add(image)

    @property
    def collected(self) -> CollectedPatches:
        """Patches that were added, without features; see `ShardedLearner`."""
        return replace(super().collected, channels=self._channels)

    def join(self, features: FeaturesElsewhere, parts: Sequence[CollectedPatches]) -> None:
        """Take what others have added."""
        self._channels = next((part.channels for part in parts if part.channels), ())
        super().join(features, parts)

    def fit(self, groups: Indices | None = None) -> Fit:
        """Select the banks, and score each photograph without its group."""
        numbers = self._numbered(groups)
        banks, selected, end = [], [], 0
        for part in self._parts_of(len(self._channels)):
            begin, end = end, end + self._channels[part.number]
            features, spread = self._columns(begin, end)
            model, coreset = self._bank_of(features, numbers)
            banks.append(MapBank(part, model, spread))
            selected.append(coreset)
        whole = MapBanks(self._settings, self._embed, banks, device=self._device)
        if numbers.max() == 0:
            return Fit(whole, ())
        photographs = GroupedPhotographs(self._store, numbers, self._progress)
        known = _together(banks, selected)
        left_out = photographs.scores(whole, known.min_distance_to_other_groups)
        by_size = LeftOutBySize(whole, photographs, known)
        return Fit(whole, left_out, by_size, uncovered=of_learned(whole, self._store, numbers))

    def _columns(self, begin: int, end: int) -> tuple[Features | FeaturesElsewhere, float]:
        """The features of one map, (n, end - begin), and their `MapBank.spread`.

        They are in memory if there is room, else in a file, or where all features are.
        """
        stored = self._store.features
        n, first = len(stored), stored[:1][0][begin:end].astype(np.float64)
        part: Features | FeaturesElsewhere
        if isinstance(stored, FeaturesElsewhere):
            part = stored.columns(begin, end)
            sums = part.sums(first)
        else:
            sums = []
            part = copied_columns(
                stored, begin, end, self._note, lambda rows: sums.append(sums_of(rows, first))
            )
        total, squares = np.zeros(end - begin), 0.0
        for of_columns, of_squares in sums:
            total += of_columns
            squares += of_squares
        spread = max(squares / n - float(np.square(total / n).sum()), 0.0) ** 0.5
        return part, spread if spread >= SMALLEST_SPREAD else 1.0


def _together(banks: Sequence[MapBank], selected: Sequence[Coreset]) -> Coreset:
    """The selections of all banks as one, with `weighted` distances where all know theirs."""

    def together(distances: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
        known = [each for each in distances if each is not None]
        if len(known) < len(banks):
            return None
        relative = [each.relative(d[:, None]) for each, d in zip(banks, known, strict=True)]
        return weighted(banks, relative)

    at_sizes = {
        size: together([each.min_distance_to_other_groups_at.get(size) for each in selected])
        for size in selected[0].min_distance_to_other_groups_at
    }
    return Coreset(
        selected[0].centres,
        min_distance_to_other_groups=together(
            [each.min_distance_to_other_groups for each in selected]
        ),
        min_distance_to_other_groups_at={
            size: distances for size, distances in at_sizes.items() if distances is not None
        },
    )
