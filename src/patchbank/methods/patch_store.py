"""The patches that a fit learns from, and where each came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from patchbank.methods.base import TrainingImage
from patchbank.methods.growing_array import GrowingArray
from patchbank.runtime.memory import room_for_features
from patchbank.types import Features, Indices


class PatchStore:
    """All patches of the fit in one array, with the photograph and grid cell of each.

    If memory cannot hold them they go to a scratch file, and `note` receives a line that says so.
    """

    def __init__(self, n_examples: int, stride: int, note: Callable[[str], None]) -> None:
        self._rows = GrowingArray(n_examples, partial(room_for_features, note=note))
        self._stride = stride
        self._sources: list[_Source] = []
        self._originals: list[_Source] = []

    @property
    def features(self) -> Features:
        """(n, d): a view."""
        return self._rows.array

    @property
    def n_photographs(self) -> int:
        """Photographs, copies not counted."""
        return len(self._originals)

    def append(self, embedding: NDArray[np.float32], example: TrainingImage) -> None:
        """Add the patches of the next example, (h, w, d), but for those outside its photograph."""
        h, w, d = embedding.shape
        cells = example.cells_inside((h, w), self._stride)
        rows = embedding.reshape(h * w, d)
        place = self._rows.append(rows[cells] if example.is_copy else rows)
        copy = self._sources[-1].copy + 1 if example.is_copy else 0
        self._sources.append(_Source(example.photograph, copy, (h, w), cells, place))
        if not example.is_copy:
            self._originals.append(self._sources[-1])

    def patches_of(self, photograph: int) -> slice:
        """The rows of `features` that show a photograph itself, not a copy of it."""
        return self._originals[photograph].place

    def embedding(self, photograph: int) -> NDArray[np.float32]:
        """(h, w, d) of one photograph itself: a view."""
        h, w = self._originals[photograph].grid
        return self.features[self.patches_of(photograph)].reshape(h, w, -1)

    def photograph_of_patches(self) -> Indices:
        """(n,) number of the photograph that each patch, or its copy, comes from."""
        numbers = np.array([source.photograph for source in self._sources], dtype=np.intp)
        return np.repeat(numbers, [len(source.cells) for source in self._sources])

    def origins(self, rows: Indices) -> NDArray[np.int32]:
        """(m, 4) of given patches: photograph, grid row, grid column, and number of the copy.

        Rows and columns are those of the copy's own grid; copy 0 is the photograph itself.
        """
        begins = [source.place.start for source in self._sources]
        numbers = np.searchsorted(begins, rows, side="right") - 1
        found = np.empty((len(rows), 4), dtype=np.int32)
        for at, (number, row) in enumerate(zip(numbers.tolist(), rows.tolist(), strict=True)):
            source = self._sources[number]
            cell = int(source.cells[row - source.place.start])
            found[at] = source.photograph, *divmod(cell, source.grid[1]), source.copy
        return found


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the patches of one example come from."""

    photograph: int
    copy: int
    grid: tuple[int, int]
    cells: Indices
    """Of its grid, one a patch."""
    place: slice
    """Of its patches among all."""
