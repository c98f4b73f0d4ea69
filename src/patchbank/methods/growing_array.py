"""An array of rows that grows image by image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from patchbank.runtime.scratch import drop_pages
from patchbank.types import Features

HEADROOM = 1.2  # later images may have more rows than the first
ROWS_PER_COPY = 8192  # between two releases of pages of files


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
        self._end = 0
        self._n_begun = 0.0

    @property
    def array(self) -> Features:
        """(n, d) float32: a view of all rows so far."""
        return self._buffer[: self._end]

    def append(self, rows: Features, share: float = 1.0) -> slice:
        """Add the rows of the next image, (m, d), and return their slice of `array`.

        Args:
            rows: of the image, or of a part of it.
            share: of the image that the part is.
        """
        begin, end = self._end, self._end + len(rows)
        if end > len(self._buffer) or not self._buffer.shape[1]:
            # Memory that is not written to costs nothing, so all images are allocated at once.
            remaining = max(self._n_images - self._n_begun, share)
            room = (begin + int(len(rows) / share * remaining * HEADROOM) + 1, rows.shape[1])
            self._move_to(self._allocate(room))
        self._buffer[begin:end] = rows
        drop_pages(self._buffer[begin:end])
        self._end = end
        self._n_begun += share
        return slice(begin, end)

    def _move_to(self, larger: Features) -> None:
        for begin in range(0, self._end, ROWS_PER_COPY):
            part = slice(begin, min(begin + ROWS_PER_COPY, self._end))
            larger[part] = self._buffer[part]
            drop_pages(larger[part])
            drop_pages(self._buffer[part])
        self._buffer = larger
