"""Coverage of the bank by a photograph: whether it shows what good parts show.

Distances of patches to the bank say whether what is seen is usual; distances of the rows of the
bank to the patches say whether what is usual is seen.  A defect hides little of a part, and another
part shows little of it, even one whose patches all resemble some patch of the bank, as those of a
texture do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import to_numpy
from patchbank.methods.memory_bank.model import BankModel
from patchbank.methods.memory_bank.per_map import MapBanks
from patchbank.methods.patch_store import PatchStore
from patchbank.types import Array, Features, Indices

N_ROWS = 200
"""Rows of a bank, the first ones, which differ most, that a photograph has to cover."""
N_PATCHES = 200
"""Patches of a photograph that cover them, spread evenly; all of a smaller grid."""
N_PHOTOGRAPHS = 16
"""Learned photographs whose coverage is kept."""


def uncovered(model: BankModel, patches: Array, group: Indices | None = None) -> float:
    """Mean distance of rows of a bank to the nearest patch of a photograph.

    Where feature maps have banks of their own, it is the mean over them in units of their spreads.

    Args:
        model: whose first rows are compared.
        patches: (n, d) of the photograph, in the order of its grid.
        group: photographs whose rows are left out.
    """
    chosen: Features = to_numpy(patches[:: max(1, len(patches) // N_PATCHES)])
    if not len(chosen):
        return 0.0
    banks = model.banks_of_maps
    spreads = [each.spread for each in model.banks] if isinstance(model, MapBanks) else [1.0]
    found = []
    for bank, part, spread in zip(banks, model.columns(chosen), spreads, strict=True):
        rows = bank.bank[:N_ROWS]
        if group is not None:
            others = rows[~np.isin(bank.origins[:N_ROWS, 0], group)]
            rows = others if len(others) else rows
        found.append(_mean_distance(rows, part) / spread)
    return float(np.mean(found))


def uncovered_by_one(model: BankModel) -> float:
    """The same distance of one patch that is the mean of these rows: hardly anything is covered."""
    means = [bank.bank[:N_ROWS].mean(axis=0, dtype=np.float64) for bank in model.banks_of_maps]
    return uncovered(model, np.hstack(means).astype(np.float32)[None])


def of_learned(model: BankModel, store: PatchStore, groups: Indices) -> NDArray[np.float64]:
    """`uncovered` of some learned photographs, by rows of the other groups alone.  -> (k,)."""
    n = store.n_photographs
    numbers = np.unique(np.linspace(0, n - 1, min(n, N_PHOTOGRAPHS)).astype(np.intp))
    found = [
        uncovered(
            model,
            store.features[store.patches_of(number)],
            np.flatnonzero(groups == groups[number]),
        )
        for number in numbers.tolist()
    ]
    return np.array(found, dtype=np.float64)


def _mean_distance(rows: Features, patches: Features) -> float:
    """Mean distance of rows (m, d) to the nearest of some patches (n, d)."""
    origin = patches.mean(axis=0)
    rows, patches = rows - origin, patches - origin  # little is lost to rounding then
    squared = np.einsum("nd,nd->n", patches, patches) - 2 * (rows @ patches.T)
    nearest = squared.min(axis=1) + np.einsum("md,md->m", rows, rows)
    return float(np.sqrt(np.maximum(nearest, 0)).mean(dtype=np.float64))
