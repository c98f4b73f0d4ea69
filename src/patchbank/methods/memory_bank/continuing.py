"""A memory bank that learns further photographs: the selection goes on from its rows.

The rows of the bank are the centres, and patches of the new photographs are added, the farthest
first, until each lies within the covering radius of the bank.  What the bank covered stays covered,
so no photograph of the fit is needed, and the covering radius stays what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from patchbank.core import coreset, neighbours
from patchbank.core.coreset import ContinuedSelection, Coreset, ExistingCentres
from patchbank.methods.base import Fit, PatchScores
from patchbank.methods.continuation import Continuation
from patchbank.methods.memory_bank.columns import copied_columns
from patchbank.methods.memory_bank.learner import BankLearner, GroupedPhotographs
from patchbank.methods.memory_bank.model import UNKNOWN, BankModel
from patchbank.methods.memory_bank.per_map import MapBanks
from patchbank.runtime.devices import Device
from patchbank.runtime.progress import Progress
from patchbank.runtime.scratch import take_rows
from patchbank.types import Features, Indices


class BankContinuation(BankLearner):
    """Collects the patches of further good photographs, then adds rows to a bank, or to several."""

    def __init__(
        self, model: BankModel, asked: Continuation, progress: Progress, device: Device
    ) -> None:
        super().__init__(model.settings, model.embed, asked.n_images, progress, device)
        self._model = model
        self._asked = asked

    def fit(self, groups: Indices | None = None) -> Fit:
        """Add rows until each new patch is covered, and score each photograph without its group."""
        numbers, asked, store, model = self._numbered(groups), self._asked, self._store, self._model
        added = self._added(numbers[store.photograph_of_patches()])
        longer = [
            self._longer(bank, part, coreset)
            for bank, part, coreset in zip(
                model.banks_of_maps, added.features, added.coresets, strict=True
            )
        ]
        shorter = self._within_limit(longer)
        whole, is_trimmed = model.with_banks(shorter), shorter is not longer
        photographs = GroupedPhotographs(store, numbers, self._progress, asked.n_learned)
        known = None if is_trimmed else self._to_others(added.coresets)
        left_out = photographs.scores(whole, known)
        # The order of a bank that was trimmed is another, so that no smaller size is known.
        sizes = () if is_trimmed else asked.sizes
        by_size = {n: self._scored(model.truncated(n), added.to_old.get(n)) for n in sizes}
        before = self._scored(model, added.to_old.get(model.n_rows))
        return Fit(whole, left_out, by_size, before)

    def _scored(
        self, model: BankModel, known: NDArray[np.float32] | None
    ) -> tuple[PatchScores, ...]:
        """Score each photograph by a bank that has no rows of them.

        Args:
            model: with that bank.
            known: distances of all patches to its rows, as `BankModel.together` gives them; None
                where they have to be searched.
        """
        store, scores = self._store, []
        for number in range(store.n_photographs):
            patches = store.patches(number)
            if known is None:
                pairs = zip(model.banks_of_maps, model.columns(patches.rows), strict=True)
                k = self._settings.n_neighbours
                distances = model.together([bank.index.nearest(part, k)[0] for bank, part in pairs])
            else:
                distances = known[store.patches_of(number)]
            scores.append(model.scored(patches, distances))
        return tuple(scores)

    def _added(self, groups: Indices) -> _Added:
        """The new rows of each bank, as many in each as the one that needs the most.

        Args:
            groups: (n,) group of each patch.
        """
        model, settings, asked = self._model, self._settings, self._asked
        parts, n = self._columns_of_maps(), len(groups)
        if settings.selection == "all":
            return _Added(parts, [Coreset(np.arange(n)) for _ in parts])
        if settings.selection == "random":
            rng, n_drawn = np.random.default_rng([settings.seed, model.n_rows]), self._n_drawn()
            drawn = [Coreset(coreset.random_coreset(n, n_drawn, rng=rng)) for _ in parts]
            return _Added(parts, drawn)
        most = n if asked.most_rows is None else min(n, asked.most_rows)
        selections = []
        for bank, part in zip(model.banks_of_maps, parts, strict=True):
            selection = ContinuedSelection(
                part, bank.bank, most, groups=groups, sizes=asked.sizes, device=self._device
            )
            selection.go_on(most, covering_radius(bank))
            selections.append(selection)
        size = max(len(selection.coreset.centres) for selection in selections)
        for selection in selections:
            selection.go_on(size)
        to_old = {}
        if settings.n_neighbours == 1 and settings.index == "exact":
            found = [selection.distances_to_first for selection in selections]
            to_old = {n: model.together([d[n][:, None] for d in found]) for n in found[0]}
        return _Added(parts, [selection.coreset for selection in selections], to_old)

    def _within_limit(self, banks: list[BankModel]) -> list[BankModel]:
        """The banks themselves where they keep to the limit, else trimmed ones."""
        most = self._asked.most_rows
        if most is None or banks[0].n_rows - kept_rows(banks[0], self._asked.kept).sum() <= most:
            return banks
        return [within(bank, most, self._asked.kept, self._device) for bank in banks]

    def _n_drawn(self) -> int:
        """Rows to draw at random, as many for a photograph as the bank has; for random banks."""
        share = self._model.n_rows / self._asked.n_learned
        return min(max(1, round(share * self._store.n_photographs)), len(self._store.features))

    def _columns_of_maps(self) -> list[Features]:
        """The features of each map that has a bank; all of them where there is one bank."""
        stored, widths = self._store.features, self._model.widths
        if len(widths) == 1:
            return [stored]
        ends = np.cumsum(widths).tolist()
        pairs = zip(ends, widths, strict=True)
        return [copied_columns(stored, end - width, end, self._note) for end, width in pairs]

    def _longer(self, bank: BankModel, features: Features, added: Coreset) -> BankModel:
        """The bank with more rows; a new approximate index has a recall of its own."""
        if not len(added.centres):
            return bank
        origins = self._store.origins(added.centres)
        origins[:, 0] += self._asked.n_learned
        rows = take_rows(features, added.centres)
        longer = lengthened(bank, rows, origins, added.radii)
        if bank.settings.index == "exact":
            return longer
        index = neighbours.build_index(longer.bank, bank.settings.index, self._device)
        recall = self._measured_recall(index, longer.bank, features, added.centres)
        return longer.with_index(index, min(recall, bank.recall))

    def _to_others(self, added: Sequence[Coreset]) -> NDArray[np.float32] | None:
        """Distance of each new patch to rows of other groups, where the selections know it."""
        found = [one.min_distance_to_other_groups for one in added]
        known = [distances[:, None] for distances in found if distances is not None]
        if len(known) < len(added) or self._settings.n_neighbours > 1:
            return None
        together = self._model.together(known)
        return together if isinstance(self._model, MapBanks) else together[:, 0]


@dataclass(frozen=True, slots=True)
class _Added:
    """Rows that are added to each bank, and distances that were found on the way."""

    features: list[Features]
    """(n, d) new patches for each bank."""
    coresets: list[Coreset]
    """Selected patches for each bank."""
    to_old: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    """Size -> distances of the new patches to the first so many old rows, as `together` has them;
    empty where they are not known."""


def covering_radius(bank: BankModel) -> float:
    """Distance within which a bank covers what it has learned.

    Where the selection does not know it, as it measured distances in another space, the usual
    distance from one row to the next stands for it.
    """
    known = float(bank.radii[-1]) if len(bank.radii) else _spacing(bank)
    return max(known, bank.settings.covering_radius or 0.0)


def _spacing(bank: BankModel) -> float:
    if bank.n_rows < 2:
        return 0.0
    to_next, _ = bank.exact_index.nearest(bank.bank, 2)
    return float(np.median(to_next[:, 1]))


def lengthened(
    bank: BankModel,
    rows: Features,
    origins: NDArray[np.int32],
    radii: NDArray[np.float32] | None,
) -> BankModel:
    """The bank with more rows at its end.

    Args:
        bank: of which the first rows are.
        rows: (k, d).
        origins: (k, 4).
        radii: (k,) covering radius of the new patches after each row; None where it is not known.
    """
    known = UNKNOWN
    if radii is not None and len(bank.radii):
        known = np.concatenate([bank.radii, np.maximum(radii, bank.radii[-1])])
    return BankModel(
        bank.settings,
        bank.embed,
        np.concatenate([bank.bank, rows]),
        np.concatenate([bank.origins, origins]),
        known,
        bank.recall,
        device=bank.device,
    )


def kept_rows(bank: BankModel, kept: Sequence[int]) -> NDArray[np.bool_]:
    """(m,) the rows of photographs said to be normal, by the numbers of those."""
    return np.isin(bank.origins[:, 0], kept)


def within(bank: BankModel, most: int, kept: Sequence[int], device: Device) -> BankModel:
    """The bank with so many rows, chosen from its rows by the same greedy selection.

    It begins with the same first row.  Rows of photographs said to be normal stay, at the end, and
    do not count.

    Args:
        bank: of more rows.
        most: rows of other photographs that are left, 2 or more.
        kept: numbers of the photographs said to be normal.
        device: where it computes.
    """
    is_kept = kept_rows(bank, kept)
    stay, others = np.flatnonzero(is_kept), np.flatnonzero(~is_kept)
    first, others = others[:1], others[1:]
    n_chosen = most - 1
    existing = ExistingCentres(bank.bank[[*first, *stay]])
    chosen = coreset.greedy_coreset(
        take_rows(bank.bank, others), n_chosen, start=existing, device=device
    )
    order = np.concatenate([first, others[chosen.centres], stay]).astype(np.intp)
    radii = UNKNOWN
    if len(bank.radii) and chosen.radii is not None and chosen.radius_before is not None:
        before = np.array([chosen.radius_before], dtype=np.float32)
        of_stay = np.repeat(chosen.radii[-1:], len(stay))
        radii = np.concatenate([before, chosen.radii, of_stay])
        radii = np.maximum(radii, bank.radii[-1])
    return BankModel(
        bank.settings,
        bank.embed,
        bank.bank[order],
        bank.origins[order],
        radii,
        bank.recall,
        device=bank.device,
    )
