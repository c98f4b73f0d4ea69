"""Nearest rows of the bank: exact by default, approximate (faiss) when asked.

On a CPU that multiplies whole numbers fast, pairs that cannot be nearest are passed over by those
(`int8.py`).  Elsewhere |q - b|^2 = |q|^2 + |b|^2 - 2qb makes one matrix product of the work; the
distances of the rows found are then computed again by differences, and are exact to rounding.  It
runs on a `Device`; a bank that does not fit there goes through it in blocks.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import (
    empty_on_device_of,
    namespace,
    ones_on_device_of,
    to_device_if_fits,
    to_numpy,
)
from patchbank.core.int8 import search as int8
from patchbank.errors import ParameterError, ShapeError
from patchbank.runtime.devices import HOST, Device
from patchbank.types import Array, Features, Indices

IndexKind: TypeAlias = Literal["exact", "hnsw", "ivf"]

TILE_QUERIES = 1024
TILE_ROWS = 2048
HNSW_LINKS = 32
HNSW_EFFORT = 128  # candidates kept while building and searching


class NeighbourIndex(Protocol):
    """Finds the rows of a bank nearest to queries."""

    def nearest(self, queries: Array, k: int = 1) -> tuple[NDArray[np.float32], Indices]:
        """(n, d) queries -> Euclidean distances (n, k), ascending, and row numbers (n, k)."""
        ...


def build_index(bank: Features, kind: IndexKind, device: Device = HOST) -> NeighbourIndex:
    """Build the index of `kind` over a bank (m, d); only the exact one uses the device."""
    if kind == "exact":
        return ExactIndex(bank, device)
    if kind == "hnsw" or kind == "ivf":
        return FaissIndex(bank, kind)
    raise ParameterError(f"index: expected 'exact', 'hnsw' or 'ivf', got {kind!r}")


class ExactIndex:
    """The nearest of all rows, without looking at most of them for long."""

    def __init__(self, bank: Features, device: Device = HOST) -> None:
        if bank.ndim != 2 or len(bank) == 0:
            raise ShapeError(f"bank: expected (m, d) with at least one row, got {bank.shape}")
        self.bank = bank
        self._search: _Screen | _Products
        if device is HOST and int8.is_available(bank.shape[1]):
            self._search = _Screen(bank)
        else:
            self._search = _Products(bank, device)

    def nearest(
        self, queries: Array, k: int = 1, *, without: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], Indices]:
        """Find the `k` nearest rows of each query.

        Args:
            queries: (n, d) float32.
            k: neighbours, from 1 to the rows of the bank (less those left out).
            without: (m,) True for the rows to leave out.

        Returns:
            Euclidean distances (n, k), ascending, and row numbers (n, k); of equal distances the
            lower row comes first.
        """
        m, d = self.bank.shape
        left = m if without is None else m - int(without.sum())
        if queries.ndim != 2 or queries.shape[1] != d:
            raise ShapeError(f"queries: expected (n, {d}), got {tuple(queries.shape)}")
        if not 1 <= k <= left:
            raise ParameterError(f"k: expected 1 to {left} (the rows of the bank), got {k}")
        return self._search.nearest(queries, k, without)


class _Screen:
    """Exact search on the native kernel."""

    def __init__(self, bank: Features) -> None:
        rows = np.ascontiguousarray(bank, dtype=np.float32)
        self._columns = int8.PackedRows(int8.QuantizedRows.of(rows, int8.Quantization.of(rows)))

    def nearest(
        self, queries: Array, k: int, without: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], Indices]:
        """Like `ExactIndex.nearest`, of sound arguments."""
        rows = np.ascontiguousarray(to_numpy(queries), dtype=np.float32)
        coded = int8.QuantizedRows.of(rows, self._columns.quantization)
        squared = np.full((len(rows), k), np.inf)
        columns = np.zeros((len(rows), k), dtype=np.int64)
        int8.lower(coded, self._columns, squared, best_columns=columns, skipped=without)
        return np.sqrt(squared).astype(np.float32), columns.astype(np.intp, copy=False)


class _Products:
    """Exact search by matrix products, on any device."""

    def __init__(self, bank: Features, device: Device) -> None:
        self._bank = bank
        self._device = device
        # Seen from the middle of the bank the norms are small, and little is lost to cancellation.
        origin = bank.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = bank - origin
        d = bank.shape[1]
        points = np.empty((d + 1, len(bank)), dtype=np.float32)
        np.multiply(centred.T, -2.0, out=points[:d])
        points[d] = np.einsum("md,md->m", centred, centred)
        self._origin = device.put(origin)
        self._points = to_device_if_fits(points, device)

    def nearest(
        self, queries: Array, k: int, without: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], Indices]:
        """Like `ExactIndex.nearest`, of sound arguments."""
        rows = np.empty((len(queries), k), dtype=np.intp)
        buffer = self._buffer(min(TILE_QUERIES, len(queries)))
        for begin in range(0, len(queries), TILE_QUERIES):
            some = slice(begin, begin + TILE_QUERIES)
            rows[some] = self._candidates(self._near(queries[some]), k, without, buffer)
        return sorted_by_distance(self._bank, to_numpy(queries), rows)

    def _near(self, queries: Array) -> Array:
        """Queries where the products are computed, from wherever they are."""
        there = self._device.put(queries)
        alike = isinstance(there, np.ndarray) == isinstance(self._origin, np.ndarray)
        return there if alike else to_numpy(there)

    def _buffer(self, n_queries: int) -> Array:
        """Room for the products of one tile."""
        n_rows = min(TILE_ROWS * self._device.tile_factor, len(self._bank))
        return empty_on_device_of((n_queries, n_rows), self._origin)

    def _candidates(
        self, queries: Array, k: int, without: NDArray[np.bool_] | None, buffer: Array
    ) -> NDArray[np.intp]:
        """The rows of the k smallest |b|^2 - 2qb.  (n, d) -> (n, k), in no order."""
        xp = namespace(queries)
        n, d = queries.shape
        extended = ones_on_device_of((n, d + 1), queries)
        xp.subtract(queries, self._origin, out=extended[:, :d])  # the ones meet the norms
        best = np.full((n, 0), np.inf, dtype=np.float32)
        best_rows = np.empty((n, 0), dtype=np.intp)
        size = buffer.shape[1]
        for begin in range(0, len(self._bank), size):
            points = self._device.put(self._points[:, begin : begin + size])
            products = xp.matmul(extended, points, out=buffer[:n, : points.shape[1]])  # (n, tile)
            if without is not None:
                products[:, np.flatnonzero(without[begin : begin + size])] = np.inf
            values, columns = _smallest(products, k)
            best = np.concatenate([best, values], axis=1)
            best_rows = np.concatenate([best_rows, columns + begin], axis=1)
            best, keep = _smallest(best, k)
            best_rows = np.take_along_axis(best_rows, keep, axis=1)
        return best_rows


class FaissIndex:
    """An approximate index: a graph (HNSW) or lists of cells (IVF)."""

    def __init__(self, bank: Features, kind: Literal["hnsw", "ivf"]) -> None:
        self.bank = np.ascontiguousarray(bank, dtype=np.float32)
        self._index = _hnsw(self.bank) if kind == "hnsw" else _ivf(self.bank)

    def nearest(self, queries: Array, k: int = 1) -> tuple[NDArray[np.float32], Indices]:
        """Find `k` near rows of each query; see `recall` for how often they are the nearest."""
        m, d = self.bank.shape
        if queries.ndim != 2 or queries.shape[1] != d:
            raise ShapeError(f"queries: expected (n, {d}), got {tuple(queries.shape)}")
        if not 1 <= k <= m:
            raise ParameterError(f"k: expected 1 to {m} (the rows of the bank), got {k}")
        queries = to_numpy(queries)
        _, rows = self._index.search(np.ascontiguousarray(queries), k)
        missing = (rows < 0).any(axis=1)  # fewer than k found in the cells that were looked at
        if missing.any():
            _, rows[missing] = ExactIndex(self.bank).nearest(queries[missing], k)
        return sorted_by_distance(self.bank, queries, rows.astype(np.intp))


def recall(index: NeighbourIndex, exact: ExactIndex, queries: Features) -> float:
    """Share of queries whose nearest row `index` finds; an equal distance counts.  In [0, 1]."""
    found = index.nearest(queries)[0][:, 0]
    truth = exact.nearest(queries)[0][:, 0]
    return float((found <= truth * (1 + 1e-6)).mean())


def sorted_by_distance(
    bank: Features, queries: Features, rows: NDArray[np.intp]
) -> tuple[NDArray[np.float32], Indices]:
    """Compute the distances to given rows by differences and sort by them, then by row number."""
    squared = np.empty(rows.shape, dtype=np.float32)  # (n, k)
    for neighbour in range(rows.shape[1]):
        difference = queries - bank[rows[:, neighbour]]  # (n, d)
        squared[:, neighbour] = np.einsum("nd,nd->n", difference, difference)
    order = np.lexsort((rows, squared), axis=1)
    distances = np.sqrt(np.take_along_axis(squared, order, axis=1))
    return distances, np.take_along_axis(rows, order, axis=1)


def _smallest(values: Array, k: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """The min(k, m) smallest values of each row, in no order, and their columns, as numpy."""
    if k == 1:
        columns = to_numpy(namespace(values).argmin(values, axis=1))[:, None]
        rows = np.arange(len(columns))[:, None]
        return to_numpy(values[rows, columns]), columns
    if not isinstance(values, np.ndarray):  # the Array API has no partial sort; torch does
        found, where = values.topk(min(k, values.shape[1]), dim=1, largest=False)
        return to_numpy(found), to_numpy(where)
    if k >= values.shape[1]:
        return values.copy(), np.broadcast_to(np.arange(values.shape[1]), values.shape)
    columns = np.argpartition(values, k - 1, axis=1)[:, :k]
    return np.take_along_axis(values, columns, axis=1), columns


def _hnsw(bank: Features) -> Any:
    import faiss

    index = faiss.IndexHNSWFlat(bank.shape[1], HNSW_LINKS)
    index.hnsw.efConstruction = HNSW_EFFORT
    index.hnsw.efSearch = HNSW_EFFORT
    for row in range(len(bank)):  # one at a time: the graph then does not depend on threads
        index.add(bank[row : row + 1])
    return index


def _ivf(bank: Features) -> Any:
    import faiss

    m, d = bank.shape
    cells = max(1, min(int(4 * np.sqrt(m)), m // 39))  # faiss asks for 39 points a cell
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(d), d, cells)
    index.train(bank)
    index.add(bank)
    index.nprobe = max(1, cells // 8)
    return index
