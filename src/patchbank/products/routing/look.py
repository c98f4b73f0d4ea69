"""The nearest banks to the patches of a photograph, without searching every bank.

Each bank is divided into balls around a few of its rows: whatever row of a ball is nearest to a
patch, it is no nearer than the middle of the ball is, less its radius.  So distances to the middles
of all balls of all banks, one matrix product, give a lower bound for each bank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from patchbank.types import Features

LOOK_ROWS = 32
"""Balls of each bank."""
ROUNDING = 20 * 2.0**-24
"""Error of a squared distance by a matrix product in float32, relative to the squares of norms."""


class Ranked(NamedTuple):
    """A product, and how far a photograph is from it."""

    distance: float
    product: str


@dataclass(frozen=True, slots=True)
class Look:
    """A few rows of each bank of one feature map, with the balls that hold all other rows."""

    rows: Features
    """(p * r, d): r rows of each of p products, one product after the other, less `origin`."""
    radii: NDArray[np.float32]
    """(p * r,) distance from each of these rows to the farthest row that is nearest to it."""
    origin: NDArray[np.float32]
    """(d,) from which little is lost to rounding."""

    @classmethod
    def of(cls, banks: Sequence[Features]) -> Look:
        """Choose rows of banks, spread evenly over the order of their selection."""
        found = [_balls(bank) for bank in banks]
        rows = np.vstack([rows for rows, _ in found])
        origin = rows.mean(axis=0)
        return cls(rows - origin, np.hstack([radii for _, radii in found]), origin)

    def bounds(self, patches: Features, n_products: int) -> NDArray[np.float64]:
        """Lower bounds of the mean distance of patches (n, d) to the nearest row.  -> (p,)."""
        distances = _distances(patches - self.origin, self.rows, -ROUNDING)
        distances -= self.radii
        smallest = distances.reshape(len(patches), n_products, -1).min(axis=2)
        means: NDArray[np.float64] = np.maximum(smallest, 0).mean(axis=0, dtype=np.float64)
        return means


def two_nearest(
    names: Sequence[str], bounds: NDArray[np.float64], exact: Callable[[int], float]
) -> list[Ranked]:
    """The two smallest distances, the smallest first, and by name where they are equal.

    Args:
        names: of what the distances are to; for one name there is one distance.
        bounds: (p,) that no distance is below.
        exact: computes the distance of a number; it is called as seldom as the bounds allow.

    >>> distances = {"a": 3.0, "b": 1.0, "c": 2.0}
    >>> two_nearest("abc", np.array([2.5, 0.0, 0.0]), [*distances.values()].__getitem__)
    [Ranked(distance=1.0, product='b'), Ranked(distance=2.0, product='c')]
    """
    best: list[Ranked] = []
    for number in sorted(range(len(names)), key=lambda n: (bounds[n], names[n])):
        if len(best) == 2 and bounds[number] > best[1].distance:
            break  # the bounds that follow are larger still
        best = sorted([*best, Ranked(exact(number), names[number])])[:2]
    return best


def _balls(bank: Features) -> tuple[Features, NDArray[np.float32]]:
    """`LOOK_ROWS` rows of a bank (m, d), and the radius around each that holds its share."""
    chosen = np.linspace(0, len(bank) - 1, LOOK_ROWS).astype(np.intp)
    rows = bank[chosen]
    origin = rows.mean(axis=0)
    distances = _distances(bank - origin, rows - origin, ROUNDING)
    nearest = distances.argmin(axis=1)
    radii = np.zeros(LOOK_ROWS, dtype=np.float32)
    np.maximum.at(radii, nearest, distances[np.arange(len(bank)), nearest])
    return rows, radii


def _distances(a: Features, b: Features, error: float) -> NDArray[np.float32]:
    """(n, d), (m, d) -> (n, m) by a matrix product, with an `error` that is on the safe side."""
    of_a = np.einsum("nd,nd->n", a, a)[:, None] * np.float32(1 + error)
    of_b = np.einsum("md,md->m", b, b) * np.float32(1 + error)
    squared = of_a - 2 * (a @ b.T) + of_b
    found: NDArray[np.float32] = np.sqrt(np.maximum(squared, 0))
    return found
