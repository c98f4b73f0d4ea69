"""A memory bank that learns a photograph said to be normal, with no more rows than it needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.core import neighbours
from patchbank.core.coreset import InitialDistances, greedy_coreset
from patchbank.methods.base import NormalTrial, TrainingImage
from patchbank.methods.continuation import Continuation
from patchbank.methods.memory_bank.continuing import lengthened
from patchbank.methods.memory_bank.model import BankModel, embedded_to_learn
from patchbank.methods.patch_store import PatchStore
from patchbank.runtime.devices import Device
from patchbank.types import Features, Indices


class NormalPatches:
    """The patches of one photograph; those farthest from the bank are learned first."""

    def __init__(self, model: BankModel, asked: Continuation, device: Device) -> None:
        self._model = model
        self._asked = asked
        self._device = device
        stride = model.settings.patch_stride
        self._store = PatchStore(asked.n_images, stride, lambda line: None)
        self._features: list[Features] = []
        self._distances: list[NDArray[np.float32]] = []

    def add(self, image: TrainingImage) -> None:
        """Embed the features of the photograph, or of its next tile."""
        self._store.append(embedded_to_learn(self._model.embed, image), image)

    def learned(self, effort: int) -> NormalTrial | None:
        """The model with so many more rows in each bank; None where half as many are all."""
        banks, patches = self._model.banks_of_maps, self._store.patches(0)
        k = self._model.settings.n_neighbours
        if not self._distances and len(patches.rows):
            self._features = self._model.columns(self._store.features)
            pairs = zip(banks, self._features, strict=True)
            self._distances = [bank.index.nearest(part, k)[0] for bank, part in pairs]
        if effort == 0:
            to_bank = self._distances or [np.empty((0, k), dtype=np.float32)] * len(banks)
            return NormalTrial(
                self._model, self._model.scored(patches, self._model.together(to_bank))
            )
        cells = self._normal_rows()
        if effort >= 2 * len(cells):
            return None
        longer, distances = [], []
        for bank, part, before in zip(banks, self._features, self._distances, strict=True):
            start = InitialDistances(before[cells, 0])
            n_chosen = min(effort, len(cells))
            chosen = greedy_coreset(part[cells], n_chosen, start=start, device=self._device)
            rows = cells[chosen.centres]
            longer.append(self._longer(bank, part[rows], rows))
            index = neighbours.ExactIndex(part[rows], self._device)
            to_new, _ = index.nearest(part, min(k, len(rows)))
            distances.append(np.sort(np.concatenate([before, to_new], axis=1), axis=1)[:, :k])
        model = self._model.with_banks(longer)
        return NormalTrial(model, model.scored(patches, model.together(distances)))

    def _normal_rows(self) -> Indices:
        """The patches that are said to be normal, by their row."""
        patches, cells = self._store.patches(0), self._asked.cells
        if cells is None:
            return np.arange(len(patches.cells))
        stride = self._model.settings.patch_stride
        return np.flatnonzero(cells[::stride, ::stride].ravel()[patches.cells])

    def _longer(self, bank: BankModel, rows: Features, numbers: Indices) -> BankModel:
        """The bank with these rows; they cover nothing that was not covered but what is normal."""
        origins = self._store.origins(numbers)
        origins[:, 0] = self._asked.n_learned
        return lengthened(bank, rows, origins, np.zeros(len(rows), dtype=np.float32))
