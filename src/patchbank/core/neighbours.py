"""Nearest rows of the bank: exact by default, approximate (faiss) when asked.

Exact search expands |q - b|^2 = |q|^2 + |b|^2 - 2qb, so that the work is one matrix product; the
distances of the rows found are then computed again by differences, and are exact to rounding.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.errors import ParameterError, ShapeError
from patchbank.types import Features, Indices

IndexKind: TypeAlias = Literal["exact", "hnsw", "ivf"]

TILE_QUERIES = 1024
TILE_ROWS = 2048
HNSW_LINKS = 32
HNSW_EFFORT = 128  # candidates kept while building and searching


class NeighbourIndex(Protocol):
    """Finds the rows of a bank nearest to queries."""

    def nearest(self, queries: Features, k: int = 1) -> tuple[NDArray[np.float32], Indices]:
        """(n, d) queries -> Euclidean distances (n, k), ascending, and row numbers (n, k)."""
        ...


def build_index(bank: Features, kind: IndexKind) -> NeighbourIndex:
    """Build the index of `kind` over a bank (m, d)."""
    if kind == "exact":
        return ExactIndex(bank)
    if kind == "hnsw" or kind == "ivf":
        return FaissIndex(bank, kind)
    raise ParameterError(f"index: expected 'exact', 'hnsw' or 'ivf', got {kind!r}")


class ExactIndex:
    """Brute force at matrix-product speed."""

    def __init__(self, bank: Features) -> None:
        if bank.ndim != 2 or len(bank) == 0:
            raise ShapeError(f"bank: expected (m, d) with at least one row, got {bank.shape}")
        self.bank = bank
        # Seen from the middle of the bank the norms are small, and little is lost to cancellation.
        self._origin = bank.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = bank - self._origin
        d = bank.shape[1]
        self._points = np.empty((d + 1, len(bank)), dtype=np.float32)
        self._points[:d] = -2.0 * centred.T
        self._points[d] = np.einsum("md,md->m", centred, centred)

    def nearest(
        self, queries: Features, k: int = 1, *, without: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], Indices]:
        """Find the `k` nearest rows of each query.

        Args:
            queries: (n, d) float32.
            k: neighbours, from 1 to the rows of the bank (less those left out).
            without: (m,) True for the rows to leave out.

        Returns:
            Euclidean distances (n, k), ascending, and row numbers (n, k).
        """
        m, d = self.bank.shape
        left = m if without is None else m - int(without.sum())
        if queries.ndim != 2 or queries.shape[1] != d:
            raise ShapeError(f"queries: expected (n, {d}), got {queries.shape}")
        if not 1 <= k <= left:
            raise ParameterError(f"k: expected 1 to {left} (the rows of the bank), got {k}")
        rows = np.empty((len(queries), k), dtype=np.intp)
        buffer = np.empty((min(TILE_QUERIES, len(queries)), min(TILE_ROWS, m)), dtype=np.float32)
        for begin in range(0, len(queries), TILE_QUERIES):
            some = slice(begin, begin + TILE_QUERIES)
            rows[some] = self._candidates(queries[some], k, without, buffer)
        return sorted_by_distance(self.bank, queries, rows)

    def _candidates(
        self,
        queries: Features,
        k: int,
        without: NDArray[np.bool_] | None,
        buffer: NDArray[np.float32],
    ) -> NDArray[np.intp]:
        """The rows of the k smallest |b|^2 - 2qb.  (n, d) -> (n, k), in no order."""
        n, d = queries.shape
        extended = np.empty((n, d + 1), dtype=np.float32)  # the ones meet the norms in the product
        np.subtract(queries, self._origin, out=extended[:, :d])
        extended[:, d] = 1.0
        best = np.full((n, 0), np.inf, dtype=np.float32)
        best_rows = np.empty((n, 0), dtype=np.intp)
        for begin in range(0, len(self.bank), TILE_ROWS):
            points = self._points[:, begin : begin + TILE_ROWS]
            products = np.matmul(extended, points, out=buffer[:n, : points.shape[1]])  # (n, tile)
            if without is not None:
                products[:, without[begin : begin + TILE_ROWS]] = np.inf
            columns = _smallest(products, k)
            values = np.take_along_axis(products, columns, axis=1)
            best = np.concatenate([best, values], axis=1)
            best_rows = np.concatenate([best_rows, columns + begin], axis=1)
            keep = _smallest(best, k)
            best = np.take_along_axis(best, keep, axis=1)
            best_rows = np.take_along_axis(best_rows, keep, axis=1)
        return best_rows


class FaissIndex:
    """An approximate index: a graph (HNSW) or lists of cells (IVF)."""

    def __init__(self, bank: Features, kind: Literal["hnsw", "ivf"]) -> None:
        self.bank = np.ascontiguousarray(bank, dtype=np.float32)
        self._index = _hnsw(self.bank) if kind == "hnsw" else _ivf(self.bank)

    def nearest(self, queries: Features, k: int = 1) -> tuple[NDArray[np.float32], Indices]:
        """Find `k` near rows of each query; see `recall` for how often they are the nearest."""
        m, d = self.bank.shape
        if queries.ndim != 2 or queries.shape[1] != d:
            raise ShapeError(f"queries: expected (n, {d}), got {queries.shape}")
        if not 1 <= k <= m:
            raise ParameterError(f"k: expected 1 to {m} (the rows of the bank), got {k}")
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


def _smallest(values: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Columns of the k smallest values of each row.  (n, m) -> (n, min(k, m)), in no order."""
    if k == 1:
        return np.asarray(values.argmin(axis=1)[:, None])
    if k >= values.shape[1]:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.asarray(np.argpartition(values, k - 1, axis=1)[:, :k])


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
