"""Samples of the Gaussians: the patches of the training images at each position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.core.gaussians import Groups
from patchbank.core.spatial.grid_cells import nearest_cells
from patchbank.methods.base import TrainingImage
from patchbank.methods.growing_array import GrowingArray
from patchbank.types import Features, Indices, PatchGrid


@dataclass(frozen=True, slots=True)
class Block:
    """The samples of a few positions."""

    positions: slice
    samples: NDArray[np.float32]
    """(p, n, d): position, training image, dimension."""
    present: NDArray[np.bool_]
    """(p, n) False where a copy shows nothing of its photograph."""


@dataclass(frozen=True, slots=True)
class PatchTable:
    """The patches of the photographs, without copies, at a few positions; up to k at each."""

    rows: Indices
    """(p, k) row of each patch among all samples."""
    photographs: Indices
    """(p, k) number of the photograph of each patch."""
    is_present: NDArray[np.bool_]
    """(p, k) False where a position has fewer than k patches."""


class Samples:
    """All patches of the fit in one array; the grid of the first photograph gives the positions.

    A photograph with another grid contributes to each position its patch at the same fraction of
    the height and width.  `append` adds images; after `close` the samples can be read.
    """

    def __init__(self, n_examples: int, stride: int) -> None:
        self._rows = GrowingArray(n_examples)
        self._stride = stride
        self._patches: list[slice] = []  # rows of each training image
        self._grids: list[tuple[int, int]] = []
        self._insides: list[NDArray[np.bool_]] = []  # (h * w,)
        self._photographs: list[list[int]] = []  # their images, itself first

    def append(self, embedding: NDArray[np.float32], example: TrainingImage) -> None:
        """Add the patches of the next training image, (h, w, d)."""
        h, w, d = embedding.shape
        if example.photograph == len(self._photographs):
            self._photographs.append([])
        self._photographs[example.photograph].append(len(self._grids))
        self._patches.append(self._rows.append(embedding.reshape(h * w, d)))
        self._grids.append((h, w))
        inside = np.ones((h, w), dtype=np.bool_)
        if example.inside is not None:
            inside = example.inside[:: self._stride, :: self._stride]
        self._insides.append(inside.ravel())

    def close(self) -> None:
        """Find the rows of each position; no image can be added after."""
        cells = [nearest_cells(self.grid, grid) for grid in self._grids]
        row_at = [patches.start + cell for patches, cell in zip(self._patches, cells, strict=True)]
        self._row_at = np.stack(row_at, axis=1)  # (p, n)
        self._present = np.stack(
            [inside[cell] for inside, cell in zip(self._insides, cells, strict=True)], axis=1
        )
        self._members, self._is_member = self._tables()
        self._sorted = self._sorted_patches()

    @property
    def n_photographs(self) -> int:
        """Number of photographs, without copies."""
        return len(self._photographs)

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the positions."""
        return self._grids[0]

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d): training images, and dimensions of a patch."""
        return len(self._grids), self._rows.array.shape[1]

    @property
    def n_rows(self) -> int:
        """Number of patches of all training images together."""
        return len(self._rows.array)

    @property
    def numbers_a_position(self) -> int:
        """Approximate count of float64 numbers that one position needs, leave-one-out included."""
        n, d = self.shape
        return d * (3 * d + 3 * n + 4 * self._members.size + 4 * self.n_photographs)

    def block(self, positions: slice) -> Block:
        """The samples of a few positions."""
        return Block(positions, self.rows(self._row_at[positions]), self._present[positions])

    def groups(self, block: Block) -> Groups:
        """The samples grouped by photograph: each of m groups is one photograph and its copies."""
        present = block.present[:, self._members] & self._is_member  # (p, m, g)
        return Groups(block.samples[:, self._members], present)

    def rows(self, rows: Indices) -> Features:
        """The features of given rows.  (...,) -> (..., d)."""
        return self._rows.array[rows]

    def of_photographs(self, positions: slice) -> PatchTable:
        """The patches of the photographs that are scored at a few positions.

        If all grids are equal, each photograph has one patch per position; a finer grid has several
        at one position, a coarser grid has none at some.
        """
        begin, end = np.searchsorted(self._sorted[:, 0], (positions.start, positions.stop))
        position, rows, photographs = self._sorted[begin:end].T
        position = position - positions.start
        counts = np.bincount(position, minlength=positions.stop - positions.start)
        slot = np.arange(len(position)) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = (len(counts), int(counts.max()))
        table = PatchTable(
            np.zeros(shape, dtype=np.intp),
            np.zeros(shape, dtype=np.intp),
            np.zeros(shape, dtype=np.bool_),
        )
        table.rows[position, slot] = rows
        table.photographs[position, slot] = photographs
        table.is_present[position, slot] = True
        return table

    def grids_of(self, values: NDArray[np.float32]) -> list[PatchGrid]:
        """Arrange one number per row as grids.  (rows,) -> (h, w) for each photograph."""
        originals = [examples[0] for examples in self._photographs]
        return [values[self._patches[i]].reshape(self._grids[i]) for i in originals]

    def _tables(self) -> tuple[Indices, NDArray[np.bool_]]:
        """Training images of each photograph, (m, g), and False where it has fewer than g."""
        largest = max(len(examples) for examples in self._photographs)
        members = np.zeros((self.n_photographs, largest), dtype=np.intp)
        is_member = np.zeros(members.shape, dtype=np.bool_)
        for number, examples in enumerate(self._photographs):
            members[number, : len(examples)] = examples
            is_member[number, : len(examples)] = True
        return members, is_member

    def _sorted_patches(self) -> Indices:
        """(patches, 3) position, row and photograph of each patch, sorted by position."""
        found = []
        for number, (original, *_) in enumerate(self._photographs):
            rows = self._patches[original]
            positions = nearest_cells(self._grids[original], self.grid)
            row_numbers = np.arange(rows.start, rows.stop)
            found.append(np.stack([positions, row_numbers, np.full_like(row_numbers, number)], 1))
        patches = np.concatenate(found)
        return patches[np.argsort(patches[:, 0], kind="stable")]
