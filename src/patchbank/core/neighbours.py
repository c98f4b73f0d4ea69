"""Nearest rows of a bank (kNN): exact by default, approximate (faiss) on request.

    build_index --+-- ExactIndex --+-- _Int8Search   CPUs, by the native kernel: a lower bound skips
                  |                |                 most distance computations (`core.int8`)
                  |                +-- _GemmSearch   everything else: matrix products, on any device
                  +-- FaissIndex                     a graph (HNSW) or an inverted file (IVF)

With matrix products |q - b|^2 = |q|^2 + |b|^2 - 2qb; the distances of the rows that are found are
computed again by differences, and are exact to float32 rounding.  The products round, too: relative
to the distance from the mean of the bank, which decides nothing unless that is more than a hundred
times the distance to the nearest row.  Such queries are searched again in double precision, so that
the distance found is within 2% of the smallest (in practice, it is the smallest).  Distances below
1e-19, whose squares float32 cannot hold, come as 0.  A bank that does not fit on the device is
streamed through it in tiles.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from patchbank.choices import IndexKind
from patchbank.core import int8
from patchbank.core.array_api import (
    blocks,
    empty_on_device_of,
    namespace,
    on_device_of,
    ones_on_device_of,
    to_device_if_fits,
    to_numpy,
)
from patchbank.core.finite import require_finite
from patchbank.errors import ParameterError, ShapeError
from patchbank.runtime.devices import HOST, Device
from patchbank.runtime.once import BuiltOnce
from patchbank.types import Array, Features, Indices

TILE_QUERIES, TILE_BANK_ROWS = 1024, 2048  # of a product, which then stays in the cache
DOUBTFUL = 1 / 32  # of a squared distance: rounding errors above it may choose a wrong row
SINGLE, DOUBLE = 20 * 2.0**-24, 20 * 2.0**-53  # such errors, relative to the squares of norms
HNSW_LINKS = 32  # of each node of the graph
HNSW_CANDIDATES = 128  # kept while building and searching
IVF_POINTS_A_CELL = 39  # the least that faiss asks for when it trains


class NeighbourIndex(Protocol):
    """Finds the rows of a bank that are nearest to queries."""

    def nearest(self, queries: Array, k: int = 1) -> tuple[NDArray[np.float32], Indices]:
        """(n, d) queries -> Euclidean distances (n, k), ascending, and bank rows (n, k)."""
        ...


def build_index(bank: Features, kind: IndexKind, device: Device = HOST) -> NeighbourIndex:
    """Build the index of `kind` over a bank (m, d); only the exact one uses the device.

    Raises:
        ParameterError: an unknown kind, or an approximate one without faiss.
    """
    require_index(kind)
    return ExactIndex(bank, device) if kind == "exact" else FaissIndex(bank, kind)


def require_index(kind: IndexKind) -> None:
    """Raise a ParameterError where an index of `kind` cannot be built."""
    if kind not in ("exact", "hnsw", "ivf"):
        raise ParameterError(f"index: expected 'exact', 'hnsw' or 'ivf', got {kind!r}")
    if kind != "exact" and find_spec("faiss") is None:
        raise ParameterError(
            f"index: expected faiss for {kind!r}, got none; pip install 'patchbank[approximate]'"
        )


class ExactIndex:
    """Exact index; with the native kernel a lower bound prunes most distances.

    Raises:
        ShapeError: the bank does not have two axes and a row, or a number in it is not finite.
    """

    def __init__(self, bank: Features, device: Device = HOST) -> None:
        if bank.ndim != 2 or len(bank) == 0:
            raise ShapeError(f"bank: expected (m, d) with at least one row, got {bank.shape}")
        self.bank = require_finite("bank", bank)
        self._search: _Int8Search | _GemmSearch
        if int8.is_usable_for(bank, device):
            self._search = _Int8Search(bank)
        else:
            self._search = _GemmSearch(bank, device)

    def nearest(
        self, queries: Array, k: int = 1, *, exclude: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], Indices]:
        """Find the `k` nearest rows of each query.

        Args:
            queries: (n, d) float32.
            k: neighbours, from 1 to the number of rows of the bank that are not excluded.
            exclude: (m,) True for rows that are no neighbours.

        Returns:
            Euclidean distances (n, k), ascending, and bank rows (n, k); on ties the lower row comes
            first.

        Raises:
            ShapeError: the queries have another shape, or a number in them is not finite.
            ParameterError: there are not `k` rows.
        """
        m, d = self.bank.shape
        n_rows = m if exclude is None else m - int(exclude.sum())
        if queries.ndim != 2 or queries.shape[1] != d:
            raise ShapeError(f"queries: expected (n, {d}), got {tuple(queries.shape)}")
        if not 1 <= k <= n_rows:
            raise ParameterError(f"k: expected 1 to {n_rows} (the rows of the bank), got {k}")
        require_finite("queries", queries)
        return self._search.nearest(queries, k, exclude)


class _Int8Search:
    """Exact search on the native int8 kernel."""

    def __init__(self, bank: Features) -> None:
        rows = np.ascontiguousarray(bank, dtype=np.float32)
        self._quantization = int8.Quantization.fit(rows)
        self._bank = int8.PackedRows(self._quantization.quantize(rows))

    def nearest(
        self, queries: Array, k: int, exclude: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], Indices]:
        """`ExactIndex.nearest` for valid arguments."""
        values = np.ascontiguousarray(to_numpy(queries), dtype=np.float32)
        squared = np.full((len(values), k), np.inf)
        rows = np.zeros((len(values), k), dtype=np.int64)
        quantized = self._quantization.quantize(values)
        int8.update_nearest(quantized, self._bank, squared, nearest=rows, exclude=exclude)
        return np.sqrt(squared).astype(np.float32), rows.astype(np.intp, copy=False)


class _GemmSearch:
    """Exact search by matrix products, on any device."""

    def __init__(self, bank: Features, device: Device) -> None:
        self._bank = bank
        self._device = device
        # Relative to the mean of the bank the norms are small, and little is lost to cancellation.
        origin = bank.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = bank - origin
        d = bank.shape[1]
        points = np.empty((d + 1, len(bank)), dtype=np.float32)
        np.multiply(centred.T, -2.0, out=points[:d])
        points[d] = np.einsum("md,md->m", centred, centred)
        self._centre = origin
        self._origin = device.put(origin)
        self._points = to_device_if_fits(points, device)
        self._bank_there = bank if device is HOST else to_device_if_fits(bank, device)

    def nearest(
        self, queries: Array, k: int, exclude: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float32], Indices]:
        """`ExactIndex.nearest` for valid arguments."""
        rows = np.empty((len(queries), k), dtype=np.intp)
        distances = np.empty((len(queries), k), dtype=np.float32)
        norms = np.empty(len(queries))
        buffer = self._product_buffer(min(TILE_QUERIES, len(queries)))
        for some in blocks(len(queries), TILE_QUERIES):
            there = self._on_device(queries[some])
            found = self._candidates(there, k, exclude, buffer)
            distances[some], rows[some] = self._sorted(there, found)
            norms[some] = self._norms(there)
        again = np.arange(len(queries))
        for precision, search in (
            (SINGLE, self._nearest_in_double),
            (DOUBLE, self._nearest_by_differences),
        ):
            again = again[_doubtful(norms[again], distances[again, -1], precision)]
            if not len(again):
                break
            values = to_numpy(queries[again])
            found = search(values, k, exclude)
            distances[again], rows[again] = sorted_by_distance(self._bank, values, found)
        return distances, rows

    def _sorted(
        self, queries: Array, rows: NDArray[np.intp]
    ) -> tuple[NDArray[np.float32], Indices]:
        """`sorted_by_distance`, where the bank is."""
        is_on_host = isinstance(self._bank_there, np.ndarray)
        return sorted_by_distance(
            self._bank_there, to_numpy(queries) if is_on_host else queries, rows
        )

    def _norms(self, queries: Array) -> NDArray[np.float64]:
        """Distance of each query to the mean of the bank."""
        centred = queries - self._origin
        squared = namespace(centred).einsum("nd,nd->n", centred, centred)
        return np.asarray(np.sqrt(to_numpy(squared)), dtype=np.float64)

    def _nearest_in_double(
        self, queries: Features, k: int, exclude: NDArray[np.bool_] | None
    ) -> NDArray[np.intp]:
        """Rows of the k smallest |b|^2 - 2qb, in double precision.  (n, d) -> (n, k)."""
        centred = np.subtract(queries, self._centre, dtype=np.float64)

        def products(rows: slice) -> NDArray[np.float64]:
            points = np.subtract(self._bank[rows], self._centre, dtype=np.float64)
            norms = np.einsum("md,md->m", points, points)
            return np.asarray(norms - 2.0 * (centred @ points.T))

        return self._smallest_of_tiles(products, len(queries), k, exclude)

    def _nearest_by_differences(
        self, queries: Features, k: int, exclude: NDArray[np.bool_] | None
    ) -> NDArray[np.intp]:
        """Compute all distances by differences, in double precision.  (n, d) -> (n, k)."""

        def squared(rows: slice) -> NDArray[np.float64]:
            bank = self._bank[rows].astype(np.float64)
            return np.stack([np.square(bank - query).sum(axis=1) for query in queries])

        return self._smallest_of_tiles(squared, len(queries), k, exclude)

    def _smallest_of_tiles(
        self,
        compute: Callable[[slice], NDArray[np.float64]],
        n: int,
        k: int,
        exclude: NDArray[np.bool_] | None,
    ) -> NDArray[np.intp]:
        """The rows of the k smallest numbers of each query; `compute` gives (n, tile) numbers."""
        best: NDArray[np.floating] = np.empty((n, 0))
        best_rows = np.empty((n, 0), dtype=np.intp)
        for tile in blocks(len(self._bank), TILE_BANK_ROWS):
            numbers = compute(tile)
            if exclude is not None:
                numbers[:, np.flatnonzero(exclude[tile])] = np.inf
            values, columns = _smallest(numbers, k)
            best = np.concatenate([best, values], axis=1)
            best_rows = np.concatenate([best_rows, columns + tile.start], axis=1)
            best, keep = _smallest(best, k)
            best_rows = np.take_along_axis(best_rows, keep, axis=1)
        return best_rows

    def _on_device(self, queries: Array) -> Array:
        """Queries from anywhere, as the kind of array that the products are computed with."""
        there = self._device.put(queries)
        is_same_kind = isinstance(there, np.ndarray) == isinstance(self._origin, np.ndarray)
        return there if is_same_kind else to_numpy(there)

    def _product_buffer(self, n_queries: int) -> Array:
        """Memory for the products of one tile."""
        n_rows = min(TILE_BANK_ROWS * self._device.tile_factor, len(self._bank))
        return empty_on_device_of((n_queries, n_rows), self._origin)

    def _candidates(
        self, queries: Array, k: int, exclude: NDArray[np.bool_] | None, buffer: Array
    ) -> NDArray[np.intp]:
        """The rows of the k smallest |b|^2 - 2qb.  (n, d) -> (n, k), in no order."""
        xp = namespace(queries)
        n, d = queries.shape
        # The last column stays 1, so that the product adds |b|^2.
        extended = ones_on_device_of((n, d + 1), queries)
        xp.subtract(queries, self._origin, out=extended[:, :d])
        best = np.full((n, 0), np.inf, dtype=np.float32)
        best_rows = np.empty((n, 0), dtype=np.intp)
        size = buffer.shape[1]
        for begin in range(0, len(self._bank), size):
            points = self._device.put(self._points[:, begin : begin + size])
            products = xp.matmul(extended, points, out=buffer[:n, : points.shape[1]])  # (n, tile)
            if exclude is not None:
                products[:, np.flatnonzero(exclude[begin : begin + size])] = np.inf
            values, columns = _smallest(products, k)
            best = np.concatenate([best, values], axis=1)
            best_rows = np.concatenate([best_rows, columns + begin], axis=1)
            best, keep = _smallest(best, k)
            best_rows = np.take_along_axis(best_rows, keep, axis=1)
        return best_rows


class FaissIndex:
    """An approximate index: a graph (HNSW) or an inverted file (IVF)."""

    def __init__(self, bank: Features, kind: Literal["hnsw", "ivf"]) -> None:
        self.bank = np.ascontiguousarray(require_finite("bank", bank), dtype=np.float32)
        self._index = _hnsw(self.bank) if kind == "hnsw" else _ivf(self.bank)
        self._exact = BuiltOnce(partial(ExactIndex, self.bank))

    def nearest(self, queries: Array, k: int = 1) -> tuple[NDArray[np.float32], Indices]:
        """Find `k` near rows of each query; `recall` measures how often they are the nearest."""
        m, d = self.bank.shape
        if queries.ndim != 2 or queries.shape[1] != d:
            raise ShapeError(f"queries: expected (n, {d}), got {tuple(queries.shape)}")
        if not 1 <= k <= m:
            raise ParameterError(f"k: expected 1 to {m} (the rows of the bank), got {k}")
        queries = to_numpy(require_finite("queries", queries))
        _, rows = self._index.search(np.ascontiguousarray(queries), k)
        missing = (rows < 0).any(axis=1)  # the cells that were searched have fewer than k rows
        if missing.any():
            _, rows[missing] = self._exact().nearest(queries[missing], k)
        return sorted_by_distance(self.bank, queries, rows.astype(np.intp))


def recall(index: NeighbourIndex, exact: ExactIndex, queries: Features) -> float:
    """Share of queries whose nearest row `index` finds, from 0 to 1; equal distances count."""
    found = index.nearest(queries)[0][:, 0]
    truth = exact.nearest(queries)[0][:, 0]
    return float((found <= truth * (1 + 1e-6)).mean())


def sorted_by_distance(
    bank: Array, queries: Array, rows: NDArray[np.intp]
) -> tuple[NDArray[np.float32], Indices]:
    """Compute the distances to given rows by differences; sort by distance, then by row.

    Bank and queries are in one place.
    """
    squared = np.empty(rows.shape, dtype=np.float32)  # (n, k)
    xp, which = namespace(bank), on_device_of(rows, bank)
    for neighbour in range(rows.shape[1]):
        difference = queries - bank[which[:, neighbour]]  # (n, d)
        squared[:, neighbour] = to_numpy(xp.einsum("nd,nd->n", difference, difference))
    order = np.lexsort((rows, squared), axis=1)
    distances = np.sqrt(np.take_along_axis(squared, order, axis=1))
    return distances, np.take_along_axis(rows, order, axis=1)


def _doubtful(
    norms: NDArray[np.float64], distances: NDArray[np.float32], precision: float
) -> Indices:
    """Queries for which products of a precision may have rounded the nearest rows away."""
    errors = precision * np.square(norms + distances)
    return np.flatnonzero(
        (errors > DOUBTFUL * np.square(distances, dtype=np.float64)) & (distances > 0)
    )


def _smallest(values: Array, k: int) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
    """The min(k, m) smallest values of each row, in no order, and their columns, in numpy."""
    if k == 1:
        columns = to_numpy(namespace(values).argmin(values, axis=1))[:, None]
        rows = np.arange(len(columns))[:, None]
        return to_numpy(values[rows, columns]), columns
    if not isinstance(values, np.ndarray):  # the Array API has no partial sort; torch does
        smallest, columns = values.topk(min(k, values.shape[1]), dim=1, largest=False)
        return to_numpy(smallest), to_numpy(columns)
    if k >= values.shape[1]:
        return values.copy(), np.broadcast_to(np.arange(values.shape[1]), values.shape)
    columns = np.argpartition(values, k - 1, axis=1)[:, :k]
    return np.take_along_axis(values, columns, axis=1), columns


def _hnsw(bank: Features) -> Any:
    import faiss

    index = faiss.IndexHNSWFlat(bank.shape[1], HNSW_LINKS)
    index.hnsw.efConstruction = HNSW_CANDIDATES
    index.hnsw.efSearch = HNSW_CANDIDATES
    for row in range(len(bank)):  # one at a time, so that the graph does not depend on threads
        index.add(bank[row : row + 1])
    return index


def _ivf(bank: Features) -> Any:
    import faiss

    m, d = bank.shape
    cells = max(1, min(int(4 * np.sqrt(m)), m // IVF_POINTS_A_CELL))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(d), d, cells)
    index.train(bank)
    index.add(bank)
    index.nprobe = max(1, cells // 8)
    return index
