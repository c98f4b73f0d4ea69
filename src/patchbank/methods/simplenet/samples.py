"""The patches of the good photographs, and which photograph each shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.core.rows import Rows
from patchbank.methods.base import Example
from patchbank.types import Features, Indices


class Samples:
    """All patches of the fit in one array."""

    def __init__(self, n_examples: int, stride: int) -> None:
        self._rows = Rows(n_examples)
        self._stride = stride
        self._photographs: list[int] = []
        self._sizes: list[int] = []
        self._originals: list[tuple[slice, tuple[int, int]]] = []

    def append(self, embedding: NDArray[np.float32], example: Example) -> None:
        """Add the patches of the next example, (h, w, d), but for those outside its photograph."""
        h, w, d = embedding.shape
        rows = embedding.reshape(h * w, d)
        if example.is_copy:
            rows = rows[example.cells_inside((h, w), self._stride)]
        place = self._rows.append(rows)
        if not example.is_copy:
            self._originals.append((place, (h, w)))
        self._photographs.append(example.photograph)
        self._sizes.append(len(rows))

    @property
    def n_photographs(self) -> int:
        """Photographs, copies not counted."""
        return len(self._originals)

    @property
    def features(self) -> Features:
        """(n, d): a view."""
        return self._rows.all

    def photograph_of_rows(self) -> Indices:
        """(n,) number of the photograph that each row, or its copy, comes from."""
        return np.repeat(np.array(self._photographs, dtype=np.intp), self._sizes)

    def embedding(self, photograph: int) -> NDArray[np.float32]:
        """(h, w, d) of one photograph itself: a view."""
        place, (h, w) = self._originals[photograph]
        return self.features[place].reshape(h, w, -1)
