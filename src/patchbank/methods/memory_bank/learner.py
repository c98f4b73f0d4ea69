"""Fit of a memory bank: select its rows, and score each photograph without its group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.core import neighbours
from patchbank.core.coreset import Coreset
from patchbank.core.coreset.elsewhere import FeaturesElsewhere
from patchbank.errors import DataError
from patchbank.methods.base import (
    Fit,
    PatchScores,
    TrainingImage,
    numbered_groups,
)
from patchbank.methods.memory_bank.coverage import of_learned
from patchbank.methods.memory_bank.model import UNKNOWN, BankModel, Embed, embedded_to_learn
from patchbank.methods.memory_bank.selection import select
from patchbank.methods.memory_bank.settings import BankParameters
from patchbank.methods.patch_store import CollectedPatches, PatchStore
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.runtime.scratch import drop_pages, take_rows
from patchbank.types import Features, Indices

RECALL_QUERIES = 2048  # patches on which the recall of an approximate index is measured


class BankLearner:
    """Collects the patches of good photographs, then selects the bank from them."""

    def __init__(
        self,
        settings: BankParameters,
        embed: Embed,
        n_images: int,
        progress: Progress,
        device: Device,
    ) -> None:
        """Prepare for `n_images`.

        Raises:
            ParameterError: the index needs a package that is not installed.
        """
        neighbours.require_index(settings.index)  # before minutes of work
        self._settings = settings
        self._embed = embed
        self._progress = progress
        self._device = device
        self._note = _said_once(progress.note)
        self._store = PatchStore(n_images, settings.patch_stride, self._note)

    def add(self, image: TrainingImage) -> None:
        """Embed the features of the next image, and store its patches."""
        self._store.append(embedded_to_learn(self._embed, image), image)

    @property
    def features(self) -> Features:
        """(n, d) features of the patches that were added; see `ShardedLearner`."""
        return self._store.features_in_memory

    @property
    def collected(self) -> CollectedPatches:
        """Patches that were added, without features; see `ShardedLearner`."""
        return self._store.collected

    def join(self, features: FeaturesElsewhere, parts: Sequence[CollectedPatches]) -> None:
        """Take what others have added; see `ShardedLearner`."""
        self._store.join(features, parts)

    def fit(self, groups: Indices | None = None) -> Fit:
        """Select the bank, and score each photograph without its group."""
        numbers = self._numbered(groups)
        model, coreset = self._bank_of(self._store.features, numbers)
        if numbers.max() == 0:
            return Fit(model, ())
        photographs = GroupedPhotographs(self._store, numbers, self._progress)
        left_out = photographs.scores(model, coreset.min_distance_to_other_groups)
        by_size = LeftOutBySize(model, photographs, coreset)
        return Fit(model, left_out, by_size, uncovered=of_learned(model, self._store, numbers))

    def _numbered(self, groups: Indices | None) -> Indices:
        """Numbers of the groups of the photographs, of which there is a patch at least."""
        store = self._store
        if not store.n_photographs:
            raise DataError("expected the features of at least one photograph, got none")
        if not len(store.features):
            raise DataError("expected at least one patch that counts, got images masked all over")
        return numbered_groups(groups, store.n_photographs)

    def _bank_of(
        self, features: Features | FeaturesElsewhere, groups: Indices
    ) -> tuple[BankModel, Coreset]:
        """The bank of some features, (n, d), of all patches, and the selection of its rows."""
        store, settings = self._store, self._settings
        of_patches = groups[store.photograph_of_patches()]
        coreset = select(settings, features, of_patches, self._progress, self._device)
        bank = take_rows(features, coreset.centres)
        index, recall = None, 1.0
        if settings.index != "exact":
            index = neighbours.build_index(bank, settings.index, self._device)
            recall = self._measured_recall(index, bank, features, coreset.centres)
        model = BankModel(
            settings,
            self._embed,
            bank,
            store.origins(coreset.centres),
            UNKNOWN if coreset.radii is None else coreset.radii,
            recall,
            device=self._device,
            index=index,
        )
        return model, coreset

    def _measured_recall(
        self,
        index: neighbours.NeighbourIndex,
        bank: Features,
        features: Features | FeaturesElsewhere,
        bank_rows: Indices,
    ) -> float:
        """Recall of an index on patches outside the bank; on those of the bank if it has all."""
        rng = np.random.default_rng(self._settings.seed)
        others = np.setdiff1d(np.arange(len(features)), bank_rows)
        candidates = others if len(others) else bank_rows
        drawn = np.sort(rng.choice(candidates, min(RECALL_QUERIES, len(candidates)), replace=False))
        exact = neighbours.ExactIndex(bank, self._device)
        return neighbours.recall(index, exact, take_rows(features, drawn))


def _said_once(note: Callable[[str], None]) -> Callable[[str], None]:
    """Pass the first line on; later arrays go to a file for the same reason as the first."""
    said: list[str] = []

    def say(line: str) -> None:
        if not said:
            said.append(line)
            note(line)

    return say


@dataclass(frozen=True, slots=True)
class GroupedPhotographs:
    """The patches of the photographs, and the groups in which those are left out."""

    store: PatchStore
    groups: Indices
    """(n,) group of each photograph, from 0."""
    progress: Progress
    """Shows the photographs that are scored."""
    first: int = 0
    """Number that the bank gives the first of them."""

    def scores(
        self, model: BankModel, to_others: NDArray[np.float32] | None
    ) -> tuple[PatchScores, ...]:
        """Score every photograph without the rows of its group.

        Args:
            model: whose bank is searched.
            to_others: (n,) distance of each patch to the rows of other groups; None if unknown.
        """
        store, scores = self.store, []
        numbers = range(self.groups.max() + 1)
        members = [self.first + np.flatnonzero(self.groups == number) for number in numbers]
        with self.progress.task("calibrating", store.n_photographs) as advance:
            for number, group in enumerate(self.groups.tolist()):
                nearest = None if to_others is None else to_others[store.patches_of(number)]
                scored = model.score_left_out(store.patches(number), members[group], nearest)
                drop_pages(store.features[store.patches_of(number)])
                scores.append(scored)
                advance(1)
        return tuple(scores)


class LeftOutBySize(Mapping[int, tuple[PatchScores, ...]]):
    """Leave-one-out scores of the photographs for each smaller bank, by its number of rows.

    An entry is computed each time it is read.  Where the selection knows the distances for that
    size this is little work, otherwise it is a search of all patches in the smaller bank.  As long
    as it lives, so does the array of all patches of the fit.
    """

    def __init__(self, model: BankModel, photographs: GroupedPhotographs, coreset: Coreset) -> None:
        self._model = model
        self._photographs = photographs
        self._coreset = coreset
        groups = photographs.groups
        self._sizes = tuple(n for n in model.sizes if model.can_leave_out(n, groups))

    def __getitem__(self, n_rows: int) -> tuple[PatchScores, ...]:
        if n_rows not in self._sizes:
            raise KeyError(n_rows)
        known = self._coreset.min_distance_to_other_groups_at.get(n_rows)
        return self._photographs.scores(self._model.truncated(n_rows), known)

    def __iter__(self) -> Iterator[int]:
        return iter(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)
