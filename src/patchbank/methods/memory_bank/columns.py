"""Patches of several feature maps side by side, divided by map."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from patchbank.methods.growing_array import ROWS_PER_COPY
from patchbank.runtime.memory import room_for_features
from patchbank.runtime.scratch import drop_pages
from patchbank.types import Array, Features


def columns(rows: Array, widths: Sequence[int]) -> list[Array]:
    """The features of each map in patches (n, d) of all of them.  -> (n, width) each."""
    ends = np.cumsum(widths).tolist()
    return [
        _contiguous(rows[:, end - width : end]) for end, width in zip(ends, widths, strict=True)
    ]


def copied_columns(
    stored: Features,
    begin: int,
    end: int,
    note: Callable[[str], None],
    on_rows: Callable[[Features], None] = lambda rows: None,
) -> Features:
    """Copy some columns of many patches, (n, end - begin): in memory if there is room, else a file.

    Args:
        stored: (n, d), perhaps in a file.
        begin: first column.
        end: the one after the last.
        note: called with one line if a file is used.
        on_rows: called with each part of the rows while it is in memory.
    """
    part = room_for_features((len(stored), end - begin), note)
    for row in range(0, len(stored), ROWS_PER_COPY):
        rows = slice(row, min(row + ROWS_PER_COPY, len(stored)))
        part[rows] = stored[rows, begin:end]
        on_rows(part[rows])
        drop_pages(part[rows])
        drop_pages(stored[rows])
    return part


def sums_of(rows: Features, origin: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Sums over rows (n, d) of their differences to a point, (d,), and of all their squares.

    Sums of squares of large, nearly equal numbers would round.
    """
    centred = rows - origin
    return centred.sum(axis=0), float(np.square(centred).sum())


def _contiguous(rows: Array) -> Array:
    """The same array, or a copy, whose rows follow each other in memory."""
    return np.ascontiguousarray(rows) if isinstance(rows, np.ndarray) else rows.contiguous()
