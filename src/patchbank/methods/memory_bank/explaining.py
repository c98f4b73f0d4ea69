"""The bank rows that are nearest to a patch, and where each of them comes from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.core.neighbours import ExactIndex
from patchbank.methods.explaining import Comparison, GoodCell, centre
from patchbank.types import Array, Indices


def nearest_rows(
    index: ExactIndex,
    origins: NDArray[np.int32],
    queries: Array,
    n_nearest: int,
    stride: int,
) -> list[tuple[GoodCell, ...]]:
    """The nearest rows of a bank to each query, with their origins.

    Args:
        index: of the bank.
        origins: (m, 4), as `BankModel.origins`.
        queries: (n, d).
        n_nearest: rows of each query; all if there are fewer.
        stride: cells from one patch to the next.
    """
    distances, rows = index.nearest(queries, min(n_nearest, len(origins)))
    return [
        tuple(
            _good_cell(origins, row, distance, stride)
            for row, distance in zip(of_query, distances[number].tolist(), strict=True)
        )
        for number, of_query in enumerate(rows.tolist())
    ]


def comparison(
    part: str,
    nearest: tuple[GoodCell, ...],
    radii: NDArray[np.float32],
    unit: float = 1.0,
    map_number: int | None = None,
) -> Comparison:
    """The comparison of a patch with a bank.

    Args:
        part: name of the bank.
        nearest: its nearest rows, at least one.
        radii: covering radii of the bank; empty where they are not known.
        unit: that the distances of the bank are divided by.
        map_number: see `Comparison.map_number`.
    """
    cells = tuple(
        GoodCell(each.photograph, each.cell, each.copy, each.row, (each.distance or 0.0) / unit)
        for each in nearest
    )
    usual = float(radii[-1]) / unit if len(radii) else None
    return Comparison(part, cells[0].distance or 0.0, cells, usual, map_number)


def rows_of_photographs(origins: NDArray[np.int32], n_photographs: int) -> Indices:
    """Rows that come from each photograph.  (..., 4) -> (n_photographs,)."""
    return np.bincount(origins[..., 0].ravel(), minlength=n_photographs)[:n_photographs]


def _good_cell(origins: NDArray[np.int32], row: int, distance: float, stride: int) -> GoodCell:
    photograph, down, across, copy = origins[row].tolist()
    return GoodCell(photograph, centre(down, across, stride), copy, row, distance)
