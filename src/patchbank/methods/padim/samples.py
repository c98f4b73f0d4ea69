"""What the examples show at each position: the samples of its Gaussian."""

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
    """What all examples show at a few positions."""

    positions: slice
    samples: NDArray[np.float32]
    """(p, n, d)."""
    present: NDArray[np.bool_]
    """(p, n): False where a copy shows nothing of its photograph."""


@dataclass(frozen=True, slots=True)
class PatchTable:
    """The patches of the photographs themselves at a few positions, up to k at each."""

    rows: Indices
    """(p, k)."""
    photographs: Indices
    """(p, k)."""
    is_there: NDArray[np.bool_]
    """(p, k): False where a position has fewer."""


class Samples:
    """All patches of the fit in one array; the first photograph's grid gives the positions.

    A photograph of another grid shows at each position what lies at the same share of its height
    and width.  Filled by `append`; after `close` it is read.
    """

    def __init__(self, n_examples: int, stride: int) -> None:
        self._rows = GrowingArray(n_examples)
        self._stride = stride
        self._patches: list[slice] = []  # of each example, among the rows
        self._grids: list[tuple[int, int]] = []
        self._insides: list[NDArray[np.bool_]] = []  # (h * w,)
        self._photographs: list[list[int]] = []  # their examples, the original first

    def append(self, embedding: NDArray[np.float32], example: TrainingImage) -> None:
        """Add the patches of the next example, (h, w, d)."""
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
        """Find out what lies where."""
        cells = [nearest_cells(self.grid, grid) for grid in self._grids]
        self._row_at = np.stack(
            [patches.start + at for patches, at in zip(self._patches, cells, strict=True)], axis=1
        )  # (p, n)
        self._present = np.stack(
            [inside[at] for inside, at in zip(self._insides, cells, strict=True)], axis=1
        )
        self._members, self._is_member = self._tables()
        self._sorted = self._sorted_patches()

    @property
    def n_photographs(self) -> int:
        """Photographs, copies not counted."""
        return len(self._photographs)

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the positions."""
        return self._grids[0]

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d): examples, and dimensions of a patch."""
        return len(self._grids), self._rows.all.shape[1]

    @property
    def n_rows(self) -> int:
        """Patches of all examples together."""
        return len(self._rows.all)

    @property
    def numbers_a_position(self) -> int:
        """About how many numbers it takes to learn one position and to leave samples out there."""
        n, d = self.shape
        return d * (3 * d + 3 * n + 4 * self._members.size + 4 * self.n_photographs)

    def block(self, positions: slice) -> Block:
        """What all examples show at a few positions."""
        return Block(positions, self.rows(self._row_at[positions]), self._present[positions])

    def groups(self, block: Block) -> Groups:
        """The samples of each photograph and its copies: m groups of one photograph each."""
        present = block.present[:, self._members] & self._is_member  # (p, m, g)
        return Groups(block.samples[:, self._members], present)

    def rows(self, rows: Indices) -> Features:
        """(..., d) of given rows."""
        return self._rows.all[rows]

    def of_photographs(self, positions: slice) -> PatchTable:
        """The patches of the photographs themselves that are held against a few positions.

        Where all grids are the same it is one of each photograph; a finer grid has several at one
        position, a coarser one none at some.
        """
        begin, end = np.searchsorted(self._sorted[:, 0], (positions.start, positions.stop))
        at, rows, photographs = self._sorted[begin:end].T
        at = at - positions.start
        counts = np.bincount(at, minlength=positions.stop - positions.start)
        place = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = (len(counts), int(counts.max()))
        table = PatchTable(
            np.zeros(shape, dtype=np.intp),
            np.zeros(shape, dtype=np.intp),
            np.zeros(shape, dtype=np.bool_),
        )
        table.rows[at, place] = rows
        table.photographs[at, place] = photographs
        table.is_there[at, place] = True
        return table

    def grids_of(self, values: NDArray[np.float32]) -> list[PatchGrid]:
        """(rows,), one number a row -> (h, w) of each photograph itself."""
        originals = [examples[0] for examples in self._photographs]
        return [values[self._patches[i]].reshape(self._grids[i]) for i in originals]

    def _tables(self) -> tuple[Indices, NDArray[np.bool_]]:
        """(m, g) examples of each photograph; False where it has fewer."""
        largest = max(len(examples) for examples in self._photographs)
        members = np.zeros((self.n_photographs, largest), dtype=np.intp)
        is_member = np.zeros(members.shape, dtype=np.bool_)
        for number, examples in enumerate(self._photographs):
            members[number, : len(examples)] = examples
            is_member[number, : len(examples)] = True
        return members, is_member

    def _sorted_patches(self) -> Indices:
        """(patches, 3): position, row and photograph of each patch, by position."""
        found = []
        for number, (original, *_) in enumerate(self._photographs):
            rows = self._patches[original]
            positions = nearest_cells(self._grids[original], self.grid)
            row_numbers = np.arange(rows.start, rows.stop)
            found.append(np.stack([positions, row_numbers, np.full_like(row_numbers, number)], 1))
        every = np.concatenate(found)
        return every[np.argsort(every[:, 0], kind="stable")]
