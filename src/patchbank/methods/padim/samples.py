"""Samples of the Gaussians: the patches of the training images at each position."""

from __future__ import annotations

from collections.abc import Sequence
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
    """The patches of some photographs, without copies, at a few positions.

    Its arrays are (p, k), up to k patches at each position, or (p, m, q), up to q of each group.
    """

    rows: Indices
    """Row of each patch among all samples."""
    groups: Indices
    """Number of the group of each patch, from 0."""
    is_present: NDArray[np.bool_]
    """False where there are fewer patches."""


@dataclass(frozen=True, slots=True)
class LeftOutGroups:
    """Groups of photographs of about one size, each of which is left out in turn."""

    members: Indices
    """(m, g) training images of each group: its photographs and their copies."""
    is_member: NDArray[np.bool_]
    """(m, g) False where a group has fewer than g."""
    patches: Indices
    """(k, 3) position, row and group of each patch of the photographs, sorted by position and,
    unless the photographs are alone, by group."""
    n_photographs: int
    are_alone: bool
    """Whether each group is one photograph."""

    @property
    def numbers_a_dimension(self) -> int:
        """Approximate count of float64 numbers that one dimension of one position needs."""
        return 4 * self.members.size + 4 * self.n_photographs

    def samples(self, block: Block) -> Groups:
        """The samples of each group at a few positions."""
        present = block.present[:, self.members] & self.is_member  # (p, m, g)
        return Groups(block.samples[:, self.members], present)

    def table(self, positions: slice) -> PatchTable:
        """The patches that are scored at a few positions.

        If all grids are equal, each photograph has one patch per position; a finer grid has several
        at one position, a coarser grid has none at some.
        """
        begin, end = np.searchsorted(self.patches[:, 0], (positions.start, positions.stop))
        position, rows, groups = self.patches[begin:end].T
        n_cells, cell = positions.stop - positions.start, position - positions.start
        shape: tuple[int, ...] = (n_cells,)
        if not self.are_alone:
            m = len(self.members)
            n_cells, cell, shape = n_cells * m, cell * m + groups, (n_cells, m)
        counts = np.bincount(cell, minlength=n_cells)
        slot = np.arange(len(cell)) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = (*shape, int(counts.max()))
        table = PatchTable(
            np.zeros(shape, dtype=np.intp),
            np.zeros(shape, dtype=np.intp),
            np.zeros(shape, dtype=np.bool_),
        )
        for array, values in ((table.rows, rows), (table.groups, groups), (table.is_present, True)):
            array.reshape(n_cells, -1)[cell, slot] = values
        return table


class Samples:
    """All patches of the fit in one array; the grid of the first photograph gives the positions.

    A photograph with another grid contributes to each position its patch at the same fraction of
    the height and width.  `append` adds images; after `close` the samples can be read.
    """

    def __init__(self, n_examples: int, stride: int, grid: tuple[int, int] | None = None) -> None:
        """Prepare for `n_examples`; their positions are those of `grid`, if it is known."""
        self._grid = grid
        self._rows = GrowingArray(n_examples)
        self._stride = stride
        self._patches: list[slice] = []  # rows of each training image
        self._grids: list[tuple[int, int]] = []
        self._insides: list[NDArray[np.bool_]] = []  # (h * w,)
        self._photographs: list[list[int]] = []  # their images, itself first
        self.of_interest: list[NDArray[np.bool_] | None] = []
        """Cells of each photograph that are scored; all positions are learned, but those of other
        cells are never compared."""

    def append(self, embedding: NDArray[np.float32], example: TrainingImage) -> None:
        """Add the patches of the next training image, (h, w, d)."""
        h, w, d = embedding.shape
        if example.photograph == len(self._photographs):
            self._photographs.append([])
            self.of_interest.append(example.of_interest)
        self._photographs[example.photograph].append(len(self._grids))
        self._patches.append(self._rows.append(embedding.reshape(h * w, d)))
        self._grids.append((h, w))
        inside = np.ones((h, w), dtype=np.bool_)
        if example.is_copy and example.learned is not None:  # positions of the photograph have it
            inside = example.learned[:: self._stride, :: self._stride]
        self._insides.append(inside.ravel())

    def close(self, groups: Indices) -> None:
        """Find the rows of each position; no image can be added after.

        Args:
            groups: (n,) group of each photograph, numbered from 0.
        """
        cells = [nearest_cells(self.grid, grid) for grid in self._grids]
        row_at = [patches.start + cell for patches, cell in zip(self._patches, cells, strict=True)]
        self._row_at = np.stack(row_at, axis=1)  # (p, n)
        self._present = np.stack(
            [inside[cell] for inside, cell in zip(self._insides, cells, strict=True)], axis=1
        )
        sizes = np.bincount(groups)
        # Groups of 1, 2 to 3, 4 to 7, ... photographs: one table of all would be mostly empty.
        classes = np.frexp(sizes)[1]
        self.parts = tuple(
            self._left_out(groups, np.flatnonzero(classes == size)) for size in np.unique(classes)
        )
        """The groups to leave out, those of about one size together."""

    @property
    def n_photographs(self) -> int:
        """Number of photographs, without copies."""
        return len(self._photographs)

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the positions."""
        return self._grid or self._grids[0]

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
        left_out = max(part.numbers_a_dimension for part in self.parts)
        return d * (3 * d + 3 * n + left_out)

    def block(self, positions: slice) -> Block:
        """The samples of a few positions."""
        return Block(positions, self.rows(self._row_at[positions]), self._present[positions])

    def rows(self, rows: Indices) -> Features:
        """The features of given rows.  (...,) -> (..., d)."""
        return self._rows.array[rows]

    def grids_of(self, values: NDArray[np.float32]) -> list[PatchGrid]:
        """Arrange one number per row as grids.  (rows,) -> (h, w) for each photograph."""
        originals = [examples[0] for examples in self._photographs]
        return [values[self._patches[i]].reshape(self._grids[i]) for i in originals]

    def _left_out(self, groups: Indices, some: Indices) -> LeftOutGroups:
        """Tables of some of the groups, by number."""
        photographs = [np.flatnonzero(groups == group).tolist() for group in some]
        images = [[i for number in own for i in self._photographs[number]] for own in photographs]
        members = np.zeros((len(some), max(map(len, images))), dtype=np.intp)
        is_member = np.zeros(members.shape, dtype=np.bool_)
        for group, own in enumerate(images):
            members[group, : len(own)] = own
            is_member[group, : len(own)] = True
        n_photographs = sum(map(len, photographs))
        are_alone = n_photographs == len(some)
        patches = self._patches_of(photographs)
        keys = (patches[:, 0],) if are_alone else (patches[:, 2], patches[:, 0])
        patches = patches[np.lexsort(keys)]
        return LeftOutGroups(members, is_member, patches, n_photographs, are_alone)

    def _patches_of(self, groups: Sequence[Sequence[int]]) -> Indices:
        """(k, 3) position, row and group of each patch of the photographs of some groups."""
        found = []
        for group, photographs in enumerate(groups):
            for original in (self._photographs[number][0] for number in photographs):
                rows = self._patches[original]
                positions = nearest_cells(self._grids[original], self.grid)
                row_numbers = np.arange(rows.start, rows.stop)
                of_group = np.full_like(row_numbers, group)
                found.append(np.stack([positions, row_numbers, of_group], axis=1))
        return np.concatenate(found)
