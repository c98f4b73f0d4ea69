"""The nearest banks to the patches of a photograph, without searching every bank.

A coarse search compares the patches with a few rows of each bank, all in one matrix product.
Distances to a few rows are larger than those to the whole bank, for all banks by about the same
factor, so that only banks with nearly the smallest ones can be the nearest: those are searched in
full.  It is measured and not proved: docs/adr/0040-the-product-of-a-photograph.md has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from patchbank.types import Features

COARSE_ROWS = 64
"""Rows of each bank that a coarse search compares with."""
CLOSE = 1.15
"""Factor above the smallest coarse distance up to which banks are searched; the nearest one was
within 1.11 of it in 320 photographs of 16 products."""


class Ranked(NamedTuple):
    """A product, and how far a photograph is from it."""

    distance: float
    product: str


def coarse_rows(bank: Features) -> Features:
    """Some rows of a bank (m, d), spread evenly over the order of their selection.  -> (r, d)."""
    rows: Features = bank[np.linspace(0, len(bank) - 1, COARSE_ROWS).astype(np.intp)]
    return rows


@dataclass(frozen=True, slots=True)
class CoarseBanks:
    """A few rows of the banks of several products."""

    rows: Features
    """(p * r, d): r rows of each of p products, one product after the other, less `origin`."""
    origin: NDArray[np.float32]
    """(d,) from which little is lost to rounding."""

    @classmethod
    def of(cls, chosen: Sequence[Features]) -> CoarseBanks:
        """Take the `coarse_rows` of each bank."""
        rows = np.vstack(chosen)
        origin = rows.mean(axis=0)
        return cls(rows - origin, origin)

    def distances(self, patches: Features) -> NDArray[np.float64]:
        """Mean distance of patches (n, d) to the nearest of the rows of each product.  -> (p,)."""
        centred = patches - self.origin
        squared = np.einsum("nd,nd->n", centred, centred)[:, None] - 2 * (centred @ self.rows.T)
        squared += np.einsum("md,md->m", self.rows, self.rows)
        smallest = squared.reshape(len(patches), -1, COARSE_ROWS).min(axis=2)
        means: NDArray[np.float64] = np.sqrt(np.maximum(smallest, 0)).mean(axis=0, dtype=np.float64)
        return means


def two_nearest(
    names: Sequence[str], coarse: NDArray[np.float64], exact: Callable[[int], float]
) -> list[Ranked]:
    """The two smallest distances, the smallest first, and by name where they are equal.

    Where several are close by the coarse search, they are exact distances, of the two nearest of
    these; where one alone is, both are coarse, since no search can change which one is nearest.

    Args:
        names: of what the distances are to; for one name there is one distance.
        coarse: (p,) distances by a coarse search.
        exact: computes the distance of a number; it is called for those that are `CLOSE`.

    >>> distances = [3.0, 1.0, 2.0, 9.0]
    >>> two_nearest("abcd", np.array([4.1, 4.0, 4.2, 9.0]), distances.__getitem__)
    [Ranked(distance=1.0, product='b'), Ranked(distance=2.0, product='c')]
    >>> two_nearest("abcd", np.array([4.1, 2.0, 6.2, 9.0]), distances.__getitem__)
    [Ranked(distance=2.0, product='b'), Ranked(distance=4.1, product='a')]
    """
    order = sorted(range(len(names)), key=lambda number: (coarse[number], names[number]))
    limit = coarse[order[0]] * CLOSE
    close = [number for number in order if coarse[number] <= limit]
    if len(close) == 1:
        return [Ranked(float(coarse[number]), names[number]) for number in order[:2]]
    return sorted(Ranked(exact(number), names[number]) for number in close)[:2]
