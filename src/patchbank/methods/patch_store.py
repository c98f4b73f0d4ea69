"""The patches that a fit learns from, and the origin of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import to_numpy
from patchbank.methods.base import PatchEmbedding, TrainingImage
from patchbank.methods.growing_array import GrowingArray
from patchbank.runtime.memory import room_for_features
from patchbank.types import Array, Features, Indices


class PatchStore:
    """All patches of the fit in one array, and the origin of each.

    Patches that a mask excludes, and those of a copy that show nothing of its photograph, are not
    stored.  Where memory is too small the array goes to a file, and `note` gets a line about it.
    """

    def __init__(self, n_images: int, stride: int, note: Callable[[str], None]) -> None:
        self._rows = GrowingArray(n_images, partial(room_for_features, note=note))
        self._stride = stride
        self._images: list[_StoredImage] = []
        self._photographs: list[_StoredImage] = []

    @property
    def features(self) -> Features:
        """(n, d): a view."""
        return self._rows.array

    @property
    def n_photographs(self) -> int:
        """Number of photographs, without their copies."""
        return len(self._photographs)

    def append(self, embedded: Array | PatchEmbedding, image: TrainingImage) -> None:
        """Add the patches of the next image, (h, w, d) or a `PatchEmbedding`."""
        embedding = PatchEmbedding.of(embedded)
        cells = image.cells_inside(embedding.grid, self._stride)
        if embedding.mask is not None:
            cells = cells[embedding.mask.ravel()[cells]]
        features = to_numpy(embedding.features)
        rows = features.reshape(-1, features.shape[2])
        kept = rows if len(cells) == len(rows) else rows[cells]
        copy = self._images[-1].copy + 1 if image.is_copy else 0
        stored = _StoredImage(
            image.photograph, copy, embedding.grid, cells, self._rows.append(kept), embedding.mask
        )
        self._images.append(stored)
        if not image.is_copy:
            self._photographs.append(stored)

    def patches_of(self, photograph: int) -> slice:
        """The rows of `features` that show a photograph itself, not a copy of it."""
        return self._photographs[photograph].rows

    def embedding(self, photograph: int) -> PatchEmbedding:
        """The embedding of one photograph itself: a view, or a copy if it has a mask."""
        stored, rows = self._photographs[photograph], self.features[self.patches_of(photograph)]
        h, w = stored.grid
        if stored.mask is None:
            return PatchEmbedding(rows.reshape(h, w, -1))
        features = np.zeros((h * w, rows.shape[1]), dtype=rows.dtype)
        features[stored.cells] = rows
        return PatchEmbedding(features.reshape(h, w, -1), stored.mask)

    def photograph_of_patches(self) -> Indices:
        """(n,) number of the photograph that each patch, or its copy, comes from."""
        numbers = np.array([image.photograph for image in self._images], dtype=np.intp)
        return np.repeat(numbers, [len(image.cells) for image in self._images])

    def origins(self, rows: Indices) -> NDArray[np.int32]:
        """(m, 4) origin of given patches: photograph, grid row, grid column, number of the copy.

        Grid row and column are those of the copy's own grid; copy 0 is the photograph itself.
        """
        # Images without a patch begin where the next one does: "right" finds the last of them.
        begins = [image.rows.start for image in self._images]
        numbers = np.searchsorted(begins, rows, side="right") - 1
        found = np.empty((len(rows), 4), dtype=np.int32)
        for at, (number, row) in enumerate(zip(numbers.tolist(), rows.tolist(), strict=True)):
            image = self._images[number]
            cell = int(image.cells[row - image.rows.start])
            found[at] = image.photograph, *divmod(cell, image.grid[1]), image.copy
        return found


@dataclass(frozen=True, slots=True)
class _StoredImage:
    """One image of the fit, and its part of the patch array."""

    photograph: int
    copy: int
    grid: tuple[int, int]
    cells: Indices
    """(m,) grid cells of the stored patches, by number."""
    rows: slice
    """Rows of this image in the patch array."""
    mask: NDArray[np.bool_] | None
