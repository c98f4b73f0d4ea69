"""The patches that a fit learns from, and the origin of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import to_numpy
from patchbank.core.coreset.elsewhere import FeaturesElsewhere
from patchbank.core.spatial.tiles import Tile
from patchbank.methods.base import PatchEmbedding, PatchRows, TrainingImage
from patchbank.methods.growing_array import GrowingArray
from patchbank.runtime.memory import room_for_features
from patchbank.types import Array, Features, Indices

MOST_TILED_BYTES = 256_000_000
"""Features of photographs in tiles that are kept in memory: such photographs are large."""


class PatchStore:
    """All patches of the fit in one array, and the origin of each.

    Patches that a mask excludes, and those of a copy that show nothing of its photograph, are not
    stored.  Where memory is too small, or photographs come in tiles and have more than
    `MOST_TILED_BYTES` of features, the array goes to a file, and `note` gets a line about it.
    """

    def __init__(self, n_images: int, stride: int, note: Callable[[str], None]) -> None:
        self._rows = GrowingArray(n_images, self._room)
        self._stride = stride
        self._note = note
        self._most_bytes: int | None = None
        self._images: list[StoredImage] = []
        self._photographs: list[StoredImage] = []
        self._elsewhere: FeaturesElsewhere | None = None

    @property
    def features(self) -> Any:
        """(n, d): a view, or features that are elsewhere."""
        return self._rows.array if self._elsewhere is None else self._elsewhere

    @property
    def features_in_memory(self) -> Features:
        """(n, d): a view of the patches that were stored here."""
        return self._rows.array

    @property
    def collected(self) -> CollectedPatches:
        """Which patches are stored."""
        return CollectedPatches(
            tuple(image.packed for image in self._images), len(self._rows.array)
        )

    def join(self, features: FeaturesElsewhere, parts: Sequence[CollectedPatches]) -> None:
        """Take the patches of other stores instead, one after the other.

        Args:
            features: of all of them.
            parts: numbers of photographs begin at 0 in each.
        """
        self._elsewhere = features
        n_rows = 0
        for part in parts:
            first = len(self._photographs)
            for image in (packed.unpacked for packed in part.images):
                rows = slice(image.rows.start + n_rows, image.rows.stop + n_rows)
                number = image.photograph + first
                self._add(replace(image, photograph=number, rows=rows), is_copy=image.copy > 0)
            n_rows += part.n_rows

    @property
    def n_photographs(self) -> int:
        """Number of photographs, without their copies."""
        return len(self._photographs)

    def _room(self, shape: tuple[int, int]) -> Features:
        return room_for_features(shape, self._note, self._most_bytes)

    def append(self, embedded: Array | PatchEmbedding, image: TrainingImage) -> None:
        """Add the patches of the next image, or tile of one: (h, w, d) or a `PatchEmbedding`."""
        if image.tile is not None:
            self._append_tile(PatchEmbedding.of(embedded), image, image.tile)
            return
        embedding = PatchEmbedding.of(embedded)
        cells = image.cells_inside(embedding.grid, self._stride)
        if embedding.mask is not None:
            cells = cells[embedding.mask.ravel()[cells]]
        features = to_numpy(embedding.features)
        rows = features.reshape(-1, features.shape[2])
        kept = rows if len(cells) == len(rows) else rows[cells]
        copy = self._images[-1].copy + 1 if image.is_copy else 0
        stored = StoredImage(
            image.photograph, copy, embedding.grid, cells, self._rows.append(kept), embedding.mask
        )
        self._add(stored, is_copy=image.is_copy)

    def _add(self, stored: StoredImage, *, is_copy: bool) -> None:
        self._images.append(stored)
        if not is_copy:
            self._photographs.append(stored)

    def _append_tile(self, embedding: PatchEmbedding, image: TrainingImage, tile: Tile) -> None:
        """Add the tile's own patches to those of its photograph, or of the copy of it."""
        self._most_bytes = MOST_TILED_BYTES
        grid, cells = tile.patch_grid(self._stride), tile.cells(self._stride)
        own = tile.in_maps(self._stride)
        features = to_numpy(embedding.features[own]).reshape(len(cells), -1)
        is_kept = np.ones(len(cells), dtype=np.bool_)
        if embedding.mask is not None:
            is_kept &= embedding.mask[own].ravel()
        learned = tile.own(image.learned, self._stride)
        if learned is not None:
            is_kept &= learned.ravel()
        kept = features if is_kept.all() else features[is_kept]
        rows = self._rows.append(kept, share=max(len(kept), 1) / (grid[0] * grid[1]))
        if tile.is_first:
            copy = self._images[-1].copy + 1 if image.is_copy else 0
            stored = StoredImage(image.photograph, copy, grid, cells[is_kept], rows, None)
            self._add(stored, is_copy=image.is_copy)
            return
        last = self._images.pop()
        joined = replace(
            last,
            cells=np.concatenate([last.cells, cells[is_kept]]),
            rows=slice(last.rows.start, rows.stop),
        )
        if not image.is_copy:
            self._photographs.pop()
        self._add(joined, is_copy=image.is_copy)

    def patches_of(self, photograph: int) -> slice:
        """The rows of `features` that show a photograph itself, not a copy of it."""
        return self._photographs[photograph].rows

    def patches(self, photograph: int) -> PatchRows:
        """The patches of one photograph itself that count: a view."""
        stored = self._photographs[photograph]
        return PatchRows(self.features[stored.rows], stored.grid, stored.cells)

    def embedding(self, photograph: int) -> PatchEmbedding:
        """The embedding of one photograph itself: a copy if it has a mask or came in tiles."""
        stored, rows = self._photographs[photograph], self.features[self.patches_of(photograph)]
        h, w = stored.grid
        if stored.mask is None and np.array_equal(stored.cells, np.arange(h * w)):
            return PatchEmbedding(rows.reshape(h, w, -1))
        features = np.zeros((h * w, rows.shape[1]), dtype=rows.dtype)
        features[stored.cells] = rows
        mask = self.patches(photograph).mask if stored.mask is None else stored.mask
        return PatchEmbedding(features.reshape(h, w, -1), mask)

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
class CollectedPatches:
    """Which patches of some images were stored; their features are elsewhere."""

    images: tuple[StoredImage, ...]
    n_rows: int
    channels: tuple[int, ...] = ()
    """Channels of each feature map; empty where the learner does not need them."""


class ShardedLearner(Protocol):
    """A learner whose features can stay where they were made, in parts of the photographs.

    Others of its kind add the photographs of one part each.  It `join`s what they have collected,
    and learns as if it had added all of them itself.
    """

    @property
    def features(self) -> Features:
        """(n, d) of all that was added."""
        ...

    @property
    def collected(self) -> CollectedPatches:
        """All else of what was added."""
        ...

    def join(self, features: FeaturesElsewhere, parts: Sequence[CollectedPatches]) -> None:
        """Take what others have added.

        Args:
            features: of all parts, in order.
            parts: what they have collected.
        """
        ...


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One image of the fit, and its part of the patch array."""

    photograph: int
    copy: int
    grid: tuple[int, int]
    cells: Indices
    """(m,) grid cells of the stored patches, by number."""
    rows: slice
    """Rows of this image in the patch array."""
    mask: NDArray[np.bool_] | None

    @property
    def packed(self) -> StoredImage:
        """The same without the cells where all of the grid are stored, as in most images."""
        has_all = np.array_equal(self.cells, _all_cells(self.grid))  # tiles have another order
        return replace(self, cells=NO_CELLS) if has_all else self

    @property
    def unpacked(self) -> StoredImage:
        """The same with cells, which images of one grid share where all are stored."""
        if self.rows.stop - self.rows.start == len(self.cells):
            return self
        return replace(self, cells=_all_cells(self.grid))


NO_CELLS = np.empty(0, dtype=np.intp)


@lru_cache(maxsize=16)
def _all_cells(grid: tuple[int, int]) -> Indices:
    return np.arange(grid[0] * grid[1])
