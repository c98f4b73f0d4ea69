"""Candidates for copies: for each photograph the few others that could be copies of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.images.alignment import Pictures, align, blurred, detail, halved, resampled, window
from patchbank.types import Indices

N_NEAREST = 6
N_REGISTERED = 4
FURTHER = (10, 16, 26, 40)
"""Ranks of neighbours that show, with the candidates, what many photographs share."""
FARTHEST = 0.12
"""Tangent distance (a share of the variance) above which photographs do not resemble each other."""
ASPECT = 0.12
"""Largest difference of the logarithms of width / height of copies."""
SAME_VIEW = 0.1
"""Tangent distance up to which photographs are registered to one of them."""
SMALLEST_VIEW = 12
"""Photographs of one view, fewer of which are all among the nearest anyway."""
N_VIEWS = 8
"""Views that photographs are registered to at most."""
ROWS = 512
"""Rows of the matrix of distances that are computed at a time."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The photographs that resemble one photograph."""

    candidates: Indices
    further: Indices
    """Less near ones, which are no candidates."""


@dataclass(frozen=True, slots=True)
class Details:
    """Luminances of photographs, and what of them is no light."""

    fine: Pictures
    """(n, 64, 64) luminances."""
    fine_detail: Pictures
    """Detail of these luminances."""
    coarse_detail: Pictures
    """(n, 32, 32) detail at half the side."""

    @classmethod
    def of(cls, fine: Pictures) -> Details:
        """Compute the detail of (n, 64, 64) luminances."""
        return cls(fine, detail(fine, 3.0), detail(halved(fine), 4.0))


def neighbours(details: Details, aspects: NDArray[np.float64]) -> list[Neighbours]:
    """Find the neighbours of each photograph.

    Args:
        details: luminances of the photographs, and their detail.
        aspects: (n,) logarithms of width / height.
    """
    n = len(details.fine)
    tangents = _Tangents(halved(details.fine))
    views = _registered(details, tangents)
    found = []
    for start in range(0, n, ROWS):
        rows = np.arange(start, min(start + ROWS, n))
        far = tangents.distances(rows)
        far[np.abs(aspects[rows][:, None] - aspects) > ASPECT] = np.inf
        far[np.arange(len(rows)), rows] = np.inf
        n_sorted = min(max(FURTHER) + 1, n)
        nearest = np.argpartition(far, n_sorted - 1, axis=1)[:, :n_sorted]
        nearest = np.take_along_axis(
            nearest, np.argsort(np.take_along_axis(far, nearest, 1), axis=1, kind="stable"), 1
        )
        found += [
            _neighbours_of(row, int(number), order, views)
            for row, number, order in zip(far, rows, nearest, strict=True)
        ]
    return found


def _neighbours_of(
    far: NDArray[np.float32], number: int, order: Indices, views: list[_View]
) -> Neighbours:
    near = order[far[order] < FARTHEST]
    alike = [view.nearest(number) for view in views if number in view.places]
    candidates = np.unique(np.concatenate([near[:N_NEAREST], *alike]))
    candidates = candidates[far[candidates] < FARTHEST]
    ranks = [rank for rank in FURTHER if rank < len(near)]
    return Neighbours(candidates, np.setdiff1d(near[ranks], candidates))


class _Tangents:
    """Distances that small shifts, stretches and changes of contrast do not change.

    The distance of y from x is the share of the variance of y that the tangent space of x does not
    explain (Simard et al., 1993): spanned by x, a constant, and the derivatives of x by its shift
    and stretch.
    """

    def __init__(self, pictures: Pictures) -> None:
        n, side = pictures.shape[0], pictures.shape[-1]
        smooth = blurred(pictures, 1.0)
        weights = np.sqrt(window(side))
        across = np.linspace(-1, 1, side, dtype=np.float32)
        down_slope, right_slope = np.gradient(smooth, axis=(1, 2))
        spanning = [
            np.ones_like(smooth),
            smooth,
            down_slope,
            right_slope,
            down_slope * across[None, :, None],
            right_slope * across[None, None],
        ]
        columns = (np.stack(spanning, axis=1) * weights).reshape(n, len(spanning), side * side)
        self._values = columns[:, 1].copy()
        self._basis = np.linalg.qr(columns.transpose(0, 2, 1))[0].transpose(0, 2, 1)
        constant = (weights / np.sqrt((weights**2).sum())).reshape(-1)
        self._energy = (self._values**2).sum(axis=1)
        self._variance = self._energy - (self._values @ constant) ** 2

    def distances(self, rows: Indices) -> NDArray[np.float32]:
        """Distances of all photographs from those of `rows`.  -> (r, n)."""
        explained = np.zeros((len(rows), len(self._values)), dtype=np.float32)
        for axis in range(self._basis.shape[1]):
            explained += (self._basis[rows, axis] @ self._values.T) ** 2
        left = np.maximum(self._energy - explained, 0)
        distances: NDArray[np.float32] = left / np.maximum(self._variance, 1e-3)
        return distances


class _View:
    """Photographs of one view, registered to one of them, without what they have in common."""

    def __init__(self, details: Details, fixed: int, numbers: Indices) -> None:
        self.places = {int(number): place for place, number in enumerate(numbers)}
        self._numbers = numbers
        fine = details.fine_detail
        placements = align(details.coarse_detail, fine, fixed, numbers)
        moved = resampled(fine[numbers], placements)
        edge = fine.shape[-1] // 8
        inner = moved[:, edge:-edge, edge:-edge]
        own = inner - inner.mean(axis=0)
        spread = np.sqrt((own**2).mean(axis=0)) + 0.1
        own = np.clip(own / spread, -2, 2).reshape(len(numbers), -1)  # else a few edges decide
        self._own = own / np.maximum(np.sqrt((own**2).sum(axis=1, keepdims=True)), 1e-6)

    def nearest(self, number: int) -> Indices:
        """The photographs that differ from the mean in the same way as one of them."""
        place = self.places[number]
        alike = self._own @ self._own[place]
        alike[place] = -np.inf
        count = min(N_REGISTERED, len(alike) - 1)
        return self._numbers[np.argpartition(-alike, count - 1)[:count]]


def _registered(details: Details, tangents: _Tangents) -> list[_View]:
    views: list[_View] = []
    left = np.arange(len(details.fine))
    while len(left) >= SMALLEST_VIEW and len(views) < N_VIEWS:
        sample = left[:: max(1, len(left) // 64)]
        same = tangents.distances(sample)[:, left] < SAME_VIEW
        best = int(same.sum(axis=1).argmax())
        numbers = left[same[best]]
        if len(numbers) < SMALLEST_VIEW:
            break
        views.append(_View(details, int(sample[best]), numbers))
        left = left[~same[best]]
    return views
