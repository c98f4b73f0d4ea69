"""A Gaussian at each position, and Mahalanobis distances with some of its samples left out.

The covariance is S / (n - 1) + ridge I, with S = sum of (x - mean)(x - mean)^T.  It is stored as an
orthonormal basis Q (d, r) and the variance along each of its columns; all directions outside the
basis share one variance.  With r = min(d, n - 1) columns only the ridge lies outside, and this *is*
the covariance; with fewer it is the probabilistic PCA of Tipping and Bishop (1999), where the
variance outside is the mean of the discarded eigenvalues.

Leaving out g of n samples moves the mean by -V 1 / (n - g), with V = [v_1 .. v_g], v = x - mean,
and subtracts V C V^T from S, with C = I + 1 1^T / (n - g).  That is a downdate of rank g: the
distance follows from the same basis by a g x g system (Woodbury identity) instead of a new
decomposition.  The inverse of C is I - 1 1^T / n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import blocks
from patchbank.core.finite import require_finite
from patchbank.types import Indices

BLOCK_POSITIONS = 512  # bases gathered at a time; more would only take memory

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Gaussians:
    """Gaussians of p positions, in float32 or float64."""

    means: NDArray[np.floating]
    """(p, d)."""
    bases: NDArray[np.floating]
    """(p, d, r) orthonormal columns, largest variance first."""
    variances: NDArray[np.floating]
    """(p, r) variance along each column."""
    rests: NDArray[np.floating]
    """(p,) variance along each direction outside the basis."""

    def distances(
        self, points: NDArray[np.floating], positions: Indices | None = None
    ) -> NDArray[np.floating]:
        """Mahalanobis distances.  (n, d) -> (n,).

        Args:
            points: (n, d).
            positions: (n,) position whose Gaussian each point is compared with; None where point i
                belongs to position i.

        Raises:
            ShapeError: a number is not finite.
        """
        require_finite("points", points)
        found = np.empty(len(points), dtype=np.result_type(points, self.means))
        for some in blocks(len(points), BLOCK_POSITIONS):
            these = some if positions is None else positions[some]
            found[some] = self._distances(points[some], these)
        lost = np.flatnonzero(~np.isfinite(found))  # squares that float32 cannot hold
        if len(lost):
            these = lost if positions is None else positions[lost]
            found[lost] = self._distances(points[lost].astype(np.float64), these)
        return found

    @classmethod
    def empty(cls, p: int, d: int, r: int) -> Gaussians:
        """Allocate float32 arrays for p positions; `put` fills them."""
        shapes = (p, d), (p, d, r), (p, r), (p,)
        return cls(*(np.empty(shape, dtype=np.float32) for shape in shapes))

    def put(self, positions: slice, part: Gaussians) -> None:
        """Write the Gaussians of some positions."""
        for name in ("means", "bases", "variances", "rests"):
            getattr(self, name)[positions] = getattr(part, name)

    def _distances(
        self, points: NDArray[np.floating], these: slice | Indices
    ) -> NDArray[np.floating]:
        with np.errstate(over="ignore", invalid="ignore"):  # `distances` computes those again
            return self._rounded_distances(points, these)

    def _rounded_distances(
        self, points: NDArray[np.floating], these: slice | Indices
    ) -> NDArray[np.floating]:
        centred, basis = points - self.means[these], self.bases[these]
        along = (centred[:, None, :] @ basis)[:, 0]  # (n, r)
        squared = np.einsum("nr,nr->n", along, along / self.variances[these])
        if basis.shape[2] < basis.shape[1]:
            # Vectors are subtracted, since a difference of squares would cancel.
            outside = centred - (basis @ along[:, :, None])[:, :, 0]
            squared += np.einsum("nd,nd->n", outside, outside) / self.rests[these]
        return np.asarray(np.sqrt(squared))


@dataclass(frozen=True, slots=True)
class Scatters:
    """Decomposed scatter matrices of p positions, in float64, from which Gaussians are made."""

    counts: Float64
    """(p,) number of samples."""
    means: Float64
    """(p, d)."""
    bases: Float64
    """(p, d, r)."""
    sums: Float64
    """(p, r) sums of squares along each column of the basis."""
    outside: Float64
    """(p,) sum of squares along all directions outside the basis together."""

    def gaussians(self, ridge: float) -> Gaussians:
        """The Gaussians; a single sample gives its position and the ridge."""
        freedom = np.maximum(self.counts - 1, 1)
        variances = self.sums / freedom[:, None] + ridge
        return Gaussians(self.means, self.bases, variances, self.rest(self.outside, freedom, ridge))

    def rest(self, outside: Float64, freedom: Float64, ridge: float) -> Float64:
        """Variance along each direction outside the basis."""
        _, d, r = self.bases.shape
        return np.asarray(outside / (max(d - r, 1) * freedom) + ridge)

    def along(self, points: Float64) -> Float64:
        """Coordinates of vectors in the basis.  (p, ..., d) -> (p, ..., r)."""
        p, d, r = self.bases.shape
        return (points.reshape(p, -1, d) @ self.bases).reshape(*points.shape[:-1], r)


def scatters(
    samples: NDArray[np.floating], present: NDArray[np.bool_], rank: int | None = None
) -> Scatters:
    """Decompose the scatter matrix of the samples at each position.

    Args:
        samples: (p, n, d).
        present: (p, n) False where an entry is not a sample; each position has at least one.
        rank: columns kept, 1 or more; None for all that the samples span.

    Raises:
        ShapeError: a number is not finite.

    Cost: p eigen-decompositions of d x d, or singular values of n x d where n <= d.
    """
    require_finite("samples", samples)
    samples, weights = samples.astype(np.float64), present[..., None].astype(np.float64)
    n, d = samples.shape[1:]
    counts = present.sum(axis=1).astype(np.float64)
    means = (samples * weights).sum(axis=1) / counts[:, None]
    centred = (samples - means[:, None]) * weights
    values, vectors = _decomposed(centred)
    spanned, r = min(d, n - 1), n_directions(n, d, rank)
    bases = np.ascontiguousarray(vectors[:, :, :r])
    outside = values[:, r:spanned].sum(axis=1)
    return Scatters(counts, means, bases, values[:, :r].clip(0), outside.clip(0))


def with_more_samples(
    learned: Gaussians,
    counts: Float64,
    samples: NDArray[np.floating],
    present: NDArray[np.bool_],
    ridge: float,
    rank: int | None = None,
    weight: int = 1,
) -> Scatters:
    """Decompose the scatter matrices of what was learned and of further samples together.

    With means m and m', counts n and n' and scatters S and S' they are
    S + S' + n n' / (n + n') (m - m')(m - m')^T (Chan, Golub, LeVeque, "Updating formulae and a
    pairwise algorithm for computing sample variances", 1979).  That is exact where the bases span
    all samples.  What a truncated basis left out is known by its sum only, which is kept.

    Args:
        learned: Gaussians of p positions.
        counts: (p,) number of samples that each was learned from.
        samples: (p, n, d).
        present: (p, n) False where an entry is not a sample.
        ridge: that was added to the variances.
        rank: columns kept, 1 or more; None for all that the samples span.
        weight: number of times that each further sample counts.

    Raises:
        ShapeError: a number is not finite.
    """
    require_finite("samples", samples)
    old = _scatters_of(learned, counts, ridge)
    further = present.sum(axis=1) * float(weight)
    weights = present[..., None].astype(np.float64)
    sums = (samples.astype(np.float64) * weights).sum(axis=1) * weight
    means = sums / np.maximum(further, 1)[:, None]
    centred = (samples - means[:, None]) * weights * weight**0.5
    total = counts + further
    shift = np.where(further[:, None] > 0, means - old.means, 0.0)
    between = np.sqrt(counts * further / total)[:, None] * shift
    rows = np.concatenate(
        [
            np.sqrt(old.sums)[..., None] * old.bases.swapaxes(1, 2),
            centred,
            between[:, None],
        ],
        axis=1,
    )
    spanned = min(samples.shape[2], old.bases.shape[2] + samples.shape[1])
    r = spanned if rank is None else min(rank, spanned)
    values, vectors = _decomposed(rows)
    outside = old.outside + values[:, r:].clip(0).sum(axis=1)
    return Scatters(
        total,
        old.means + shift * (further / total)[:, None],
        np.ascontiguousarray(vectors[:, :, :r]),
        values[:, :r].clip(0),
        outside if r < samples.shape[2] else np.zeros(len(total)),
    )


def _scatters_of(learned: Gaussians, counts: Float64, ridge: float) -> Scatters:
    """The scatters that Gaussians were made of; undoes `Scatters.gaussians`."""
    freedom = np.maximum(counts - 1, 1)
    _, d, r = learned.bases.shape
    sums = (learned.variances.astype(np.float64) - ridge) * freedom[:, None]
    outside = (learned.rests.astype(np.float64) - ridge) * freedom * (d - r)
    bases, means = learned.bases.astype(np.float64), learned.means.astype(np.float64)
    return Scatters(counts, means, bases, sums.clip(0), outside.clip(0))


def _decomposed(rows: Float64) -> tuple[Float64, Float64]:
    """Eigenvalues of the scatter of centred rows, largest first, and their vectors as columns.

    (p, n, d) -> (p, k), (p, d, k) with k = min(n, d).
    """
    n, d = rows.shape[1:]
    if n > d:
        values, vectors = np.linalg.eigh(rows.swapaxes(1, 2) @ rows)
        return values[:, ::-1], vectors[:, :, ::-1]
    _, singular, right = np.linalg.svd(rows, full_matrices=False)
    return singular**2, right.swapaxes(1, 2)


def n_directions(n: int, d: int, rank: int | None = None) -> int:
    """Number of columns of the basis for n samples in d dimensions.

    >>> n_directions(8, 168), n_directions(320, 168), n_directions(320, 168, 32)
    (7, 168, 32)
    """
    spanned = min(d, n - 1)
    return spanned if rank is None else min(rank, spanned)


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of samples that are left out together, at each position."""

    samples: NDArray[np.floating]
    """(p, m, g, d) m groups of up to g samples."""
    present: NDArray[np.bool_]
    """(p, m, g) False where an entry is not a sample, or the group is smaller."""


def left_out_distances(
    learned: Scatters,
    groups: Groups,
    points: NDArray[np.floating],
    group_of: Indices,
    ridge: float,
) -> Float64:
    """Leave-one-group-out Mahalanobis distances.

    They are exact where the basis spans all samples.  A truncated basis is kept as it is: mean,
    variances and the variance outside are those of the remaining samples, along directions that
    were found with the group.

    Args:
        learned: scatter of p positions, from all samples.
        groups: m groups; without any one of them each position has at least one sample.
        points: (p, n, d).
        group_of: (p, n) group that is left out for each point.
        ridge: added to the covariance.

    Returns:
        (p, n) distances.

    Raises:
        ShapeError: a number is not finite.

    Cost: a g x g system for each point; `left_out_distances_of_groups` has one for each group.
    """
    require_finite("samples", groups.samples)
    require_finite("points", points)
    downdate = _downdate(learned, groups, ridge)
    some = np.arange(len(points))[:, None], group_of
    moved = points - (learned.means[:, None] + downdate.shift[some])  # (p, n, d)
    along = learned.along(moved)  # (p, n, r)
    projected = (downdate.scaled[some] @ along[..., None])[..., 0]  # (p, n, g)
    solved = np.linalg.solve(downdate.kernel[some], projected[..., None])[..., 0]
    squared = np.einsum("pnr,pnr->pn", along, along / downdate.variances[some])
    squared += np.einsum("png,png->pn", projected, solved)
    if along.shape[-1] < moved.shape[-1]:
        squared += _outside(moved, along) / downdate.rests[some]
    return np.asarray(np.sqrt(squared))


def left_out_distances_of_groups(
    learned: Scatters, groups: Groups, points: NDArray[np.floating], ridge: float
) -> Float64:
    """Leave-one-group-out Mahalanobis distances of several points for each group.

    The same as `left_out_distances`, where many points are left out together.

    Args:
        learned: scatter of p positions, from all samples.
        groups: m groups; without any one of them each position has at least one sample.
        points: (p, m, q, d) of which those of each group are compared without it.
        ridge: added to the covariance.

    Returns:
        (p, m, q) distances.

    Raises:
        ShapeError: a number is not finite.
    """
    require_finite("samples", groups.samples)
    require_finite("points", points)
    downdate = _downdate(learned, groups, ridge)
    moved = points - (learned.means[:, None] + downdate.shift)[:, :, None]  # (p, m, q, d)
    along = learned.along(moved)  # (p, m, q, r)
    projected = downdate.scaled @ along.swapaxes(2, 3)  # (p, m, g, q)
    solved = np.linalg.solve(downdate.kernel, projected)
    squared = np.einsum("pmqr,pmqr->pmq", along, along / downdate.variances[:, :, None])
    squared += np.einsum("pmgq,pmgq->pmq", projected, solved)
    if along.shape[-1] < moved.shape[-1]:
        squared += _outside(moved, along) / downdate.rests[..., None]
    return np.asarray(np.sqrt(squared))


@dataclass(frozen=True, slots=True)
class _Downdate:
    """Downdate of p covariances for each of m groups: A = S / f + ridge I, f = n - g - 1."""

    shift: Float64
    """(p, m, d) shift of the mean."""
    variances: Float64
    """(p, m, r) diagonal of A in the basis."""
    scaled: Float64
    """(p, m, g, r) V^T A^-1 in the basis."""
    kernel: Float64
    """(p, m, g, g) f C^-1 - V^T A^-1 V."""
    rests: Float64
    """(p, m) variance along each direction outside the basis."""


def _downdate(learned: Scatters, groups: Groups, ridge: float) -> _Downdate:
    present = groups.present.astype(np.float64)  # (p, m, g)
    centred = (groups.samples - learned.means[:, None, None]) * present[..., None]  # V^T
    along = learned.along(centred)  # (p, m, g, r)
    n = learned.counts[:, None]
    left = n - present.sum(axis=2)  # (p, m)
    freedom = np.maximum(left - 1, 1)
    variances = learned.sums[:, None] / freedom[..., None] + ridge
    scaled = along / variances[:, :, None]
    mixed = np.eye(present.shape[2]) - present[..., None] * present[:, :, None] / n[..., None, None]
    total = centred.sum(axis=2)  # (p, m, d)
    outside = _outside(centred, along).sum(axis=2) + _outside(total, along.sum(axis=2)) / left
    return _Downdate(
        shift=-total / left[..., None],
        variances=variances,
        scaled=scaled,
        kernel=freedom[..., None, None] * mixed - scaled @ along.swapaxes(2, 3),
        rests=learned.rest((learned.outside[:, None] - outside).clip(0), freedom, ridge),
    )


def _outside(points: Float64, along: Float64) -> Float64:
    """Squared length of the part of a vector outside the basis.  (..., d), (..., r) -> (...)."""
    squared = np.einsum("...d,...d->...", points, points)
    return np.asarray((squared - np.einsum("...r,...r->...", along, along)).clip(0))
