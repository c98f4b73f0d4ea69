"""Which patches the bank keeps: exact greedy k-centre selection at matrix-product speed.

The one-at-a-time loop of Gonzalez (1985) picks the row farthest from those already picked and
pays one pass over all features for each pick.  Here a pass serves hundreds of picks, and the picks
stay the same: `greedy.py` says how.  Ties go to the lowest row number, as in the loop.

On a CPU that multiplies whole numbers fast, most distances are never computed (`screened.py`);
elsewhere, and for tensors of torch, the passes are matrix products.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import namespace, on_device_of, to_device_if_fits, to_numpy
from patchbank.core.coreset.gemm import TAKEN, GemmGreedy, squared_distances_to, tiles
from patchbank.core.coreset.int8 import Int8Greedy
from patchbank.core.int8 import search as int8
from patchbank.errors import ParameterError, ShapeError
from patchbank.runtime.devices import HOST, Device
from patchbank.runtime.scratch import drop_pages
from patchbank.types import Array, Indices

EQUAL = 1e-9  # relative: what double precision cannot tell apart, in whatever order it adds


@dataclass(frozen=True, slots=True)
class Coreset:
    """Rows picked in greedy order: the first m of them are the greedy coreset of size m."""

    rows: Indices
    """(m,) distinct row numbers, in picking order."""
    radii: NDArray[np.float32]
    """(m,) covering radius after each pick: the largest distance of any row to its nearest pick;
    empty where it is not known."""
    to_others: NDArray[np.float32]
    """(n,) distance of each row to the nearest pick of *another* group, infinite if there is none;
    empty where no groups were given."""
    to_others_at: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)
    """The same for the coresets of the first so many rows, the sizes that were asked for."""


def greedy_coreset(
    features: Array,
    n_keep: int,
    *,
    start: int | None = None,
    initial: NDArray[np.float32] | None = None,
    radius: float | None = None,
    groups: Indices | None = None,
    sizes: Collection[int] = (),
    device: Device = HOST,
    on_progress: Callable[[int], None] | None = None,
) -> Coreset:
    """Pick rows so that every row lies near a picked one (greedy k-centre; PatchCore, Algorithm 1).

    Args:
        features: (n, d) float32.
        n_keep: the most rows to keep, from 1 to n.
        start: row number of the first pick; None takes the row nearest to the mean.
        initial: (n,) distance that each row has before the first pick, which is the row of the
            largest one.  It stays in the running minimum (the approximate selection of the
            official code), so that the radii are not known.
        radius: stop as soon as no row is farther than this from its nearest pick; None never stops.
        groups: (n,) group of each row, equal ones side by side (the image that a patch comes
            from); the selection then also tells how far each row is from the picks of the others,
            which is what leaving one group out needs, at little cost.
        sizes: numbers of picks after which that is noted too.
        device: where the passes over the features run.
        on_progress: called with the number of picks made since the last call.

    Raises:
        ShapeError: `features` does not have two axes, or another array not one number a row.
        ParameterError: `n_keep`, `start` or `radius` is out of range.

    Cost: 2 * n * n_keep * d operations in a few tens of passes; extra memory for a quarter of the
    features, or a copy of the picked rows, and a few floats a row.

    >>> line = np.array([[0.0], [1.0], [10.0]], dtype=np.float32)
    >>> picked = greedy_coreset(line, 3, start=0)
    >>> picked.rows.tolist(), picked.radii.tolist()
    ([0, 2, 1], [10.0, 1.0, 0.0])
    """
    n = _check(features, n_keep)
    if start is not None and not 0 <= start < n:
        raise ParameterError(f"start: expected a row from 0 to {n - 1}, got {start}")
    for name, array in (("groups", groups), ("initial", initial)):
        if array is not None and array.shape != (n,):
            raise ShapeError(f"{name}: expected ({n},), one a row, got {array.shape}")
    if radius is not None and not radius >= 0:
        raise ParameterError(f"radius: expected 0 or more, got {radius}")
    if initial is not None and (start is not None or radius is not None):
        raise ParameterError("initial: expected without start and radius, which it rules out")
    rows = to_device_if_fits(features, device)
    if initial is not None:
        start = int(initial.argmax())
    first = row_nearest_to_mean(rows, device=device) if start is None else start
    greedy: Int8Greedy | GemmGreedy
    if _can_be_screened(rows, device):
        contiguous = np.require(rows, np.float32, "C")
        greedy = Int8Greedy(contiguous, first, initial, groups)
    else:
        origin = first if start is None else row_nearest_to_mean(rows, device=device)
        greedy = GemmGreedy(rows, n_keep, origin, first, initial, groups, device)
    told = on_progress or (lambda picks: None)
    told(1)
    stop_gap = TAKEN if radius is None else float(radius) ** 2
    to_others_at = {}
    for size in sorted(size for size in {*sizes, n_keep} if size <= n_keep):
        greedy.pick_until(size, stop_gap, told)
        if len(greedy.rows) == size and size in sizes:
            to_others_at[size] = np.sqrt(to_numpy(greedy.to_others)).astype(np.float32)
    radii = np.sqrt(np.array(greedy.radii if initial is None else [], dtype=np.float64))
    return Coreset(
        np.array(greedy.rows, dtype=np.intp),
        radii.astype(np.float32),
        np.sqrt(to_numpy(greedy.to_others)).astype(np.float32),
        to_others_at,
    )


def random_coreset(n: int, n_keep: int, *, rng: np.random.Generator) -> Indices:
    """Pick `n_keep` of `n` rows at random, without repetition.  -> (n_keep,) ascending."""
    if not 1 <= n_keep <= n:
        raise ParameterError(f"n_keep: expected 1 to {n} (the patches there are), got {n_keep}")
    return np.sort(rng.choice(n, n_keep, replace=False))


def row_nearest_to_mean(features: Array, *, device: Device = HOST) -> int:
    """Find a start that is not luck: the most ordinary row, the lowest of equals."""
    distances = _distances_to_mean(features, device)
    return int((distances <= distances.min() * (1 + EQUAL)).argmax())


def row_farthest_from_mean(features: Array, *, device: Device = HOST) -> int:
    """Find the start of the official exact selection, the lowest of equals.

    It is defined there as the row of the distance matrix with the largest L2 norm.  The squared
    distances of row x to all rows y add up to n |x - mean|^2 plus what is the same for every x, so
    the matrix is not needed.
    """
    distances = _distances_to_mean(features, device)
    return int((distances >= distances.max() * (1 - EQUAL)).argmax())


def mean_distances(features: Array, rows: Indices, *, device: Device = HOST) -> NDArray[np.float32]:
    """Mean Euclidean distance of every row to the given ones.  (n, d), (s,) -> (n,).

    The `initial` distances of the official approximate selection, whose `rows` are ten drawn ones.
    """
    total = np.zeros(len(features), dtype=np.float64)
    for row in rows:
        point = device.put(features[int(row)])
        total += np.sqrt(to_numpy(squared_distances_to(features, point, device)))
    return (total / len(rows)).astype(np.float32)


def _check(features: Array, n_keep: int) -> int:
    if features.ndim != 2:
        raise ShapeError(f"features: expected (n, d), got {tuple(features.shape)}")
    n = len(features)
    if not 1 <= n_keep <= n:
        raise ParameterError(f"n_keep: expected 1 to {n} (the patches there are), got {n_keep}")
    return n


def _can_be_screened(features: Array, device: Device) -> bool:
    host = device is HOST and isinstance(features, np.ndarray)
    return host and int8.is_available(features.shape[1])


def _distances_to_mean(features: Array, device: Device) -> NDArray[np.float64]:
    """Squared distance of every row to the mean of all, in double precision.  (n, d) -> (n,)."""
    total = np.zeros(features.shape[1], dtype=np.float64)
    for tile in tiles(len(features), device):
        rows = device.put(features[tile])
        xp = namespace(rows)
        total += to_numpy(xp.sum(rows, axis=0, dtype=xp.float64))
        drop_pages(features[tile])
    mean = (total / len(features)).astype(np.float32)
    if _can_be_screened(features, device):
        return int8.distances_to(np.require(features, np.float32, "C"), mean)
    point = on_device_of(mean.astype(np.float64), device.put(features[:1]))
    return to_numpy(squared_distances_to(features, point, device))
