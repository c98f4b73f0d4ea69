"""The patches of the good images, and which of them the bank keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.core import coreset, projection
from patchbank.core.arrays import Array, Device, settle
from patchbank.core.coreset import Coreset
from patchbank.methods.bank.settings import BankSettings
from patchbank.methods.base import Example, Progress
from patchbank.types import Features, Indices


class PatchStore:
    """All patches of the fit in one array, and where each came from."""

    def __init__(self, n_examples: int, stride: int) -> None:
        self._n_examples = n_examples
        self._stride = stride
        self._buffer = np.empty((0, 0), dtype=np.float32)
        self._sources: list[_Source] = []
        self._ends = [0]

    @property
    def features(self) -> Features:
        """(n, d): a view."""
        return self._buffer[: self._ends[-1]]

    @property
    def n_photographs(self) -> int:
        """Photographs, copies not counted."""
        return sum(source.copy == 0 for source in self._sources)

    def append(self, embedding: NDArray[np.float32], example: Example) -> None:
        """Add the patches of the next example, (h, w, d), but for those outside its photograph."""
        h, w, d = embedding.shape
        cells = example.cells_inside((h, w), self._stride)
        self._reserve(len(cells), h * w, d)
        begin = self._ends[-1]
        rows = embedding.reshape(h * w, d)
        self._buffer[begin : begin + len(cells)] = rows[cells] if example.is_copy else rows
        self._sources.append(_Source(example.photograph, self._copy_number(example), (h, w), cells))
        self._ends.append(begin + len(cells))

    def _copy_number(self, example: Example) -> int:
        return self._sources[-1].copy + 1 if example.is_copy else 0

    def _reserve(self, n_rows: int, n_cells: int, d: int) -> None:
        begin = self._ends[-1]
        if begin + n_rows <= len(self._buffer):
            return
        # Memory that is not written to costs nothing, so ask for all examples at once.
        remaining = max(self._n_examples - len(self._sources), 1)
        larger = np.empty((begin + int(n_cells * remaining * 1.2), d), dtype=np.float32)
        if begin:
            larger[:begin] = self._buffer[:begin]
        self._buffer = larger

    def patches_of(self, photograph: int) -> slice:
        """The rows of `features` that show a photograph itself, not a copy of it."""
        number = self._numbers_of_originals()[photograph]
        return slice(self._ends[number], self._ends[number + 1])

    def embedding(self, photograph: int) -> NDArray[np.float32]:
        """(h, w, d) of one photograph: a view."""
        h, w = self._sources[self._numbers_of_originals()[photograph]].grid
        return self._buffer[self.patches_of(photograph)].reshape(h, w, -1)

    def photograph_of_patches(self) -> Indices:
        """(n,) number of the photograph that each patch, or its copy, comes from."""
        return np.repeat([source.photograph for source in self._sources], np.diff(self._ends))

    def origins(self, rows: Indices) -> NDArray[np.int32]:
        """(m, 4) of given patches: photograph, grid row, grid column, and number of the copy.

        Rows and columns are those of the copy's own grid; copy 0 is the photograph itself.
        """
        numbers = np.searchsorted(self._ends, rows, side="right") - 1
        found = np.empty((len(rows), 4), dtype=np.int32)
        for place, (number, row) in enumerate(zip(numbers.tolist(), rows.tolist(), strict=True)):
            source = self._sources[number]
            cell = int(source.cells[row - self._ends[number]])
            found[place] = source.photograph, *divmod(cell, source.grid[1]), source.copy
        return found

    def _numbers_of_originals(self) -> list[int]:
        return [number for number, source in enumerate(self._sources) if source.copy == 0]


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the patches of one example come from."""

    photograph: int
    copy: int
    grid: tuple[int, int]
    cells: Indices
    """Of its grid, one a patch."""


def select(
    settings: BankSettings, store: PatchStore, progress: Progress, device: Device
) -> Coreset:
    """Choose the rows of the bank."""
    n = len(store.features)
    n_keep = settings.rows_to_keep(n)
    rng = np.random.default_rng(settings.seed)
    unknown = np.empty(0, dtype=np.float32)
    if settings.selection == "all":
        return Coreset(np.arange(n), unknown, unknown)
    if settings.selection == "random":
        return Coreset(coreset.random_coreset(n, n_keep, rng=rng), unknown, unknown)
    projected = settings.projection != "none"
    space = _projected(settings, store.features, rng, device)
    # The nearest row of another photograph falls out of the selection; more neighbours do not.
    groups = None if projected or settings.n_neighbours > 1 else store.photograph_of_patches()
    total = None if settings.covering_radius is not None else n_keep
    start, initial = _start(settings, space, rng, device)
    with progress.task("selecting the bank", total) as advance:
        picked = coreset.greedy_coreset(
            space,
            n_keep,
            start=start,
            initial=initial,
            radius=settings.covering_radius,
            groups=groups,
            device=device,
            on_progress=advance,
        )
    if projected:  # radii of a projection are not distances of the features
        return Coreset(picked.rows, unknown, unknown)
    return picked


def _projected(
    settings: BankSettings, features: Features, rng: np.random.Generator, device: Device
) -> Array:
    """The space to select in, on the device where it fits there."""
    if settings.projection == "none":
        return settle(features, device)
    d = features.shape[1]
    n_dims = settings.projection_dims or projection.johnson_lindenstrauss_dims(len(features))
    matrix = projection.projection_matrix(settings.projection, d, n_dims, rng=rng)
    return settle(projection.project(features, matrix, device=device), device)


def _start(
    settings: BankSettings, space: Array, rng: np.random.Generator, device: Device
) -> tuple[int | None, NDArray[np.float32] | None]:
    """-> the first row, None for the one nearest the mean; distances before the first pick."""
    n = len(space)
    if settings.start == "random":
        return int(rng.integers(n)), None
    if settings.start == "first":
        return 0, None
    if settings.start == "farthest":
        return coreset.row_farthest_from_mean(space, device=device), None
    if settings.start == "starting_points":
        points = rng.choice(n, min(settings.n_starting_points, n), replace=False)
        return None, coreset.mean_distances(space, points, device=device)
    return None, None
