"""An array of rows that grows image by image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from patchbank.runtime.scratch import drop_pages
from patchbank.types import Features

HEADROOM = 1.2  # later images may have more rows than the first


def _in_memory(shape: tuple[int, int]) -> Features:
    return np.empty(shape, dtype=np.float32)


class GrowingArray:
    """Rows of several images in one array; space for all images is allocated at the first.

    >>> rows = GrowingArray(2)
    >>> rows.append(np.zeros((3, 5), np.float32)), rows.append(np.ones((4, 5), np.float32))
    (slice(0, 3, None), slice(3, 7, None))
    >>> rows.array.shape
    (7, 5)
    """

    def __init__(
        self, n_images: int, allocate: Callable[[tuple[int, int]], Features] = _in_memory
    ) -> None:
        """Expect `n_images`; `allocate` makes the array, in memory or in a file."""
        self._n_images = n_images
        self._allocate = allocate
        self._buffer = np.empty((0, 0), dtype=np.float32)
        self._ends = [0]

    @property
    def array(self) -> Features:
        """(n, d) float32: a view of all rows so far."""
        return self._buffer[: self._ends[-1]]

    def append(self, rows: Features) -> slice:
        """Add the rows of the next image, (m, d), and return their slice of `array`."""
        begin, end = self._ends[-1], self._ends[-1] + len(rows)
        if end > len(self._buffer) or not self._buffer.shape[1]:
            # Memory that is not written to costs nothing, so all images are allocated at once.
            remaining = max(self._n_images - len(self._ends) + 1, 1)
            room = (begin + int(len(rows) * remaining * HEADROOM) + 1, rows.shape[1])
            larger = self._allocate(room)
            if begin:
                larger[:begin] = self._buffer[:begin]
            self._buffer = larger
        self._buffer[begin:end] = rows
        drop_pages(self._buffer[begin:end])
        self._ends.append(end)
        return slice(begin, end)
