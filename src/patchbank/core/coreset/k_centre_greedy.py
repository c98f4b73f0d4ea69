"""Greedy k-centre selection of the rows of a memory bank: the public functions.

The package's page (`patchbank.core.coreset`) explains the algorithm.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.core import int8
from patchbank.core.array_api import to_device_if_fits, to_numpy
from patchbank.core.coreset.elsewhere import FeaturesElsewhere
from patchbank.core.coreset.feature_rows import RELATIVE_TOLERANCE
from patchbank.core.coreset.gemm import GemmGreedy
from patchbank.core.coreset.gemm_rows import GemmRows, squared_distances_to
from patchbank.core.coreset.greedy_state import (
    CHOSEN,
    Beginning,
    ExistingCentres,
    GreedyState,
    InitialDistances,
)
from patchbank.core.coreset.int8 import Int8Greedy
from patchbank.core.coreset.int8_rows import Int8Rows
from patchbank.core.coreset.result import Coreset
from patchbank.core.coreset.sharded import ShardedGemmRows, ShardedInt8Rows
from patchbank.core.finite import LARGEST_DISTANCE, require_finite
from patchbank.errors import ParameterError, ShapeError
from patchbank.runtime.devices import HOST, Device
from patchbank.types import Array, Features, Indices

Start: TypeAlias = int | InitialDistances | ExistingCentres | None
"""The row of the first centre, distances or centres that are there before the first one, or None
for the row nearest to the mean."""
ShardedRows: TypeAlias = ShardedGemmRows | ShardedInt8Rows
AnyRows: TypeAlias = GemmRows | Int8Rows | ShardedRows


def greedy_coreset(
    features: Array | FeaturesElsewhere,
    n_keep: int,
    *,
    start: Start = None,
    radius: float | None = None,
    groups: Indices | None = None,
    sizes: Collection[int] = (),
    device: Device = HOST,
    on_progress: Callable[[int], None] | None = None,
) -> Coreset:
    """Choose rows so that every row is near a chosen one (greedy k-centre; PatchCore, Algorithm 1).

    On ties the lowest row is chosen.

    Args:
        features: (n, d) float32; in shards elsewhere they are selected there.
        n_keep: the most rows to choose, from 1 to n; existing centres do not count.
        start: row of the first centre; None chooses the row nearest to the mean.
            `ExistingCentres`: points that are centres already, so that the rows are chosen that
            they cover worst; fewer than `n_keep` only where `radius` stops.  `InitialDistances`:
            distances that stay in the running minimum, so that the radii are not known.
        radius: stop as soon as no row is farther than this from its nearest centre; None never
            stops.
        groups: (n,) group of each row (the photograph that a patch comes from).  The distance of
            each row to the nearest centre of another group, which leave-one-out scores need, is
            then part of the result, at little cost where rows of a group are contiguous.
        sizes: numbers of centres after which these distances are kept too.
        device: where the passes over the features are computed.
        on_progress: called with the number of centres chosen since the last call.

    Raises:
        ShapeError: `features` does not have two axes, another array does not fit it, or a number is
            not finite.
        ParameterError: `n_keep`, `start` or `radius` is out of range.

    Cost: 2 * n * n_keep * d operations in a few tens of passes; memory for a quarter of the
    features, or a copy of the chosen rows, and a few numbers a row.

    >>> line = np.array([[0.0], [1.0], [10.0]], dtype=np.float32)
    >>> coreset = greedy_coreset(line, 3, start=0)
    >>> coreset.centres.tolist(), coreset.radii.tolist()
    ([0, 2, 1], [10.0, 1.0, 0.0])
    >>> more = greedy_coreset(line, 1, start=ExistingCentres(line[:1]))
    >>> more.radius_before, more.centres.tolist(), more.radii.tolist()
    (10.0, [2], [1.0])
    """
    if isinstance(features, FeaturesElsewhere):
        assert not isinstance(start, InitialDistances)
        return features.selected(
            n_keep, start=start, radius=radius, groups=groups, sizes=sizes, on_progress=on_progress
        )
    _check(features, n_keep, start, radius, groups)
    initial = start.distances if isinstance(start, InitialDistances) else None
    rows = _rows(to_device_if_fits(features, device), device, groups, initial)
    coreset = _selected(rows, n_keep, start, radius, sizes, device, on_progress)
    coreset = with_distances_to_other_groups(coreset, rows, sizes)
    return coreset if initial is None else replace(coreset, radii=None)


def greedy_coreset_of_shards(
    rows: ShardedRows,
    n_keep: int,
    *,
    start: int | ExistingCentres | None = None,
    radius: float | None = None,
    sizes: Collection[int] = (),
    on_progress: Callable[[int], None] | None = None,
) -> Coreset:
    """The same rows, to the last one, where the features are in shards.

    Args:
        rows: the shards.
        n_keep: the most rows to choose.
        start: row of the first centre, or centres that are there before; see `greedy_coreset`.
            None where the shards have distances before the first centre.
        radius: stop as soon as no row is farther than this from its nearest centre.
        sizes: numbers of centres after which the shards keep distances to other groups.
        on_progress: called with the number of centres chosen since the last call.

    Returns:
        The rows through all shards, without distances to other groups: those stay in the shards,
        for these sizes and for the last one.

    Raises:
        ShapeError: features are not finite.
        ParameterError: `n_keep`, `start` or `radius` is out of range.
    """
    check_numbers(len(rows), n_keep, start, radius)
    if isinstance(rows, ShardedInt8Rows) and (start is not None or rows.has_initial):
        _mean_of(rows)  # all other selections need it, and check it
    return _selected(rows, n_keep, start, radius, sizes, HOST, on_progress)


def with_distances_to_other_groups(
    coreset: Coreset, rows: AnyRows, sizes: Collection[int]
) -> Coreset:
    """A selection with the distances to other groups that its rows have kept, for these sizes."""
    at_sizes = {size: rows.distances_to_other_groups(size) for size in sizes}
    return replace(
        coreset,
        min_distance_to_other_groups=rows.distances_to_other_groups(len(coreset.centres)),
        min_distance_to_other_groups_at={
            size: found for size, found in at_sizes.items() if found is not None
        },
    )


def _selected(
    rows: AnyRows,
    n_keep: int,
    start: Start,
    radius: float | None,
    sizes: Collection[int],
    device: Device,
    on_progress: Callable[[int], None] | None,
) -> Coreset:
    """The selection of `greedy_coreset`; the rows keep distances to other groups."""
    progress = on_progress or (lambda centres: None)
    state = begun(rows, n_keep, start, device)
    progress(len(state.centres))
    radius_before = state.radius if isinstance(start, ExistingCentres) else None
    stop = (
        CHOSEN if radius is None else float(radius) * float(radius)
    )  # ** raises where it overflows
    for size in sorted(size for size in {*sizes, n_keep} if size <= n_keep):
        state.select_until(size, stop, progress)
        if len(state.centres) == size and size in sizes:
            rows.keep_distances_to_other_groups(size)
    rows.keep_distances_to_other_groups(len(state.centres))
    return coreset_of(state, radius_before)


class ContinuedSelection:
    """A selection among new rows that goes on from existing centres, in several steps.

    Whatever the steps, the rows are those that `greedy_coreset` chooses at once.

    >>> line = np.array([[0.0], [1.0], [10.0]], dtype=np.float32)
    >>> selection = ContinuedSelection(line, line[:1], 3)
    >>> selection.go_on(3, radius=2.0)
    >>> selection.coreset.centres.tolist()
    [2]
    >>> selection.go_on(2)
    >>> selection.coreset.centres.tolist(), selection.coreset.radii.tolist()
    ([2, 1], [1.0, 0.0])
    """

    def __init__(
        self,
        features: Array,
        points: Features,
        most: int,
        *,
        groups: Indices | None = None,
        sizes: Collection[int] = (),
        device: Device = HOST,
    ) -> None:
        """Find the distance of each row to the existing centres.

        Args:
            features: (n, d) float32, the new rows.
            points: (m, d) centres that are there already, of no group of the rows.
            most: the most rows that are chosen in all steps together, from 1 to n.
            groups: (n,) group of each row; see `greedy_coreset`.
            sizes: numbers of existing centres, from 1 to m, for which the distances of the rows to
                the first so many are kept.
            device: where the passes over the features are computed.

        Raises:
            ShapeError, ParameterError: as `greedy_coreset`.
        """
        _check(features, most, ExistingCentres(points), None, groups)
        ends = sorted({*sizes, len(points)})
        first, room = ExistingCentres(points[: ends[0]]), most + len(points) - ends[0]
        rows = _rows(to_device_if_fits(features, device), device, groups, None)
        state = begun(rows, room, first, device)
        self.distances_to_first = {ends[0]: _root(to_numpy(rows.min_distances))}
        """(n,) distance of each row to the nearest of the first so many existing centres, for each
        of the sizes, and for all."""
        for begin, end in pairwise(ends):
            state.add_existing(points[begin:end])
            self.distances_to_first[end] = _root(to_numpy(rows.min_distances))
        self._rows, self._state = rows, state
        self._radius_before = state.radius

    def go_on(self, size: int, radius: float | None = None) -> None:
        """Choose rows until there are `size`, or no row is farther than `radius` from a centre."""
        stop = CHOSEN if radius is None else float(radius) * float(radius)
        self._state.select_until(size, stop, lambda centres: None)

    @property
    def coreset(self) -> Coreset:
        """The rows that were chosen so far."""
        to_others = self._rows.min_distance_to_other_groups
        return replace(
            coreset_of(self._state, self._radius_before),
            min_distance_to_other_groups=None if to_others is None else _root(to_numpy(to_others)),
        )


def coreset_of(state: GreedyState, radius_before: float | None) -> Coreset:
    """The result of a selection so far; distances of the state are squared."""
    return Coreset(
        centres=np.array(state.centres, dtype=np.intp),
        radii=_root(np.array(state.radii, dtype=np.float64)),
        radius_before=None if radius_before is None else float(np.sqrt(radius_before)),
    )


def random_coreset(n: int, n_keep: int, *, rng: np.random.Generator) -> Indices:
    """Choose `n_keep` of `n` rows at random, without repetition.  -> (n_keep,) ascending."""
    if not 1 <= n_keep <= n:
        raise ParameterError(f"n_keep: expected 1 to {n} (the patches there are), got {n_keep}")
    return np.sort(rng.choice(n, n_keep, replace=False))


def row_nearest_to_mean(features: Array, *, device: Device = HOST) -> int:
    """Deterministic first centre: the row nearest to the mean, the lowest on ties."""
    return extreme_from_mean(_rows(features, device), 1.0)


def row_farthest_from_mean(features: Array, *, device: Device = HOST) -> int:
    """First centre of the official exact selection: the row farthest from the mean.

    It is defined there as the row of the distance matrix with the largest L2 norm.  The squared
    distances of row x to all rows y add up to n |x - mean|^2 plus a term that is the same for every
    x, so the matrix is not needed.  On ties the lowest row.
    """
    return extreme_from_mean(_rows(features, device), -1.0)


def _mean_of(rows: AnyRows) -> NDArray[np.float32]:
    """The mean row, (d,).  Raises a ShapeError where a number is not finite."""
    total = np.zeros(rows.d, dtype=np.float64)
    for of_tile in rows.tile_sums():
        total += of_tile
    mean = total / len(rows)
    require_finite("features", mean)  # NaN or infinite if any of a column is
    return mean.astype(np.float32)


def extreme_from_mean(rows: AnyRows, sign: float) -> int:
    """The row nearest to the mean; with a sign of -1 farthest from it."""
    found, distances = rows.nearest_to(_mean_of(rows), sign)
    least = distances.min()
    return int(found[distances <= least + abs(least) * RELATIVE_TOLERANCE].min())


def mean_distances(features: Array, rows: Indices, *, device: Device = HOST) -> NDArray[np.float32]:
    """Mean Euclidean distance of every row to the given ones.  (n, d), (s,) -> (n,).

    With ten random rows these are the `InitialDistances` of the official approximate selection.
    """
    total = np.zeros(len(features), dtype=np.float64)
    for row in rows:
        point = device.put(features[int(row)])
        total += np.sqrt(to_numpy(squared_distances_to(features, point, device)))
    distances = (total / len(rows)).astype(np.float32)
    require_finite("distances", distances, LARGEST_DISTANCE)
    return distances


def _check(
    features: Array, n_keep: int, start: Start, radius: float | None, groups: Indices | None
) -> None:
    if features.ndim != 2:
        raise ShapeError(f"features: expected (n, d), got {tuple(features.shape)}")
    n, d = features.shape
    check_numbers(n, n_keep, start, radius)
    require_finite("features", features)
    if groups is not None:
        _check_length("groups", groups, n)
    if isinstance(start, InitialDistances):
        _check_length("initial distances", start.distances, n)
        require_finite("initial distances", start.distances, LARGEST_DISTANCE)
        if radius is not None:
            raise ParameterError(
                f"radius: expected none with initial distances, whose covering radius is not "
                f"known, got {radius}"
            )
    elif isinstance(start, ExistingCentres):
        points = start.points
        if points.ndim != 2 or points.shape[1] != d or not len(points):
            raise ShapeError(
                f"existing centres: expected (m, {d}) with at least one point, got {points.shape}"
            )
        require_finite("existing centres", points)
        if start.groups is not None:
            _check_length("groups of existing centres", start.groups, len(points))


def check_numbers(n: int, n_keep: int, start: Start, radius: float | None) -> None:
    """Raise a ParameterError where a number of a selection of n rows is out of range."""
    if not 1 <= n_keep <= n:
        raise ParameterError(f"n_keep: expected 1 to {n} (the patches there are), got {n_keep}")
    if radius is not None and not radius >= 0:
        raise ParameterError(f"radius: expected 0 or more, got {radius}")
    if start is None or isinstance(start, ExistingCentres | InitialDistances):
        return
    if not 0 <= start < n:
        raise ParameterError(f"start: expected a row from 0 to {n - 1}, got {start}")


def _check_length(name: str, array: NDArray[np.generic], n: int) -> None:
    if array.shape != (n,):
        raise ShapeError(f"{name}: expected ({n},), one a row, got {array.shape}")


def _rows(
    features: Array,
    device: Device,
    groups: Indices | None = None,
    initial: NDArray[np.float32] | None = None,
) -> GemmRows | Int8Rows:
    """Rows for the int8 kernel where it can be used, else for matrix products."""
    if int8.is_usable_for(features, device):
        return Int8Rows(features, groups, initial)
    return GemmRows(features, device, groups, initial)


def begun(rows: AnyRows, n_keep: int, start: Start, device: Device) -> GreedyState:
    """A selection with its first centre, or the existing ones; see `greedy_coreset`."""
    existing, first, origin = None, None, None
    if rows.has_initial:
        first, _ = rows.largest_initial()
    elif isinstance(start, ExistingCentres):
        existing = start
    elif start is None:
        first = origin = extreme_from_mean(rows, 1.0)
    elif not isinstance(start, InitialDistances):
        first = int(start)
    if isinstance(rows, Int8Rows | ShardedInt8Rows):
        return Int8Greedy(rows, Beginning(first, existing))
    if origin is None:
        origin = extreme_from_mean(rows, 1.0)
    return GemmGreedy(rows, Beginning(first, existing), n_keep, origin, device)


def _root(squared: NDArray[Any]) -> NDArray[np.float32]:
    """Distances from squared ones, which keep their precision until here."""
    return np.asarray(np.sqrt(squared), dtype=np.float32)
