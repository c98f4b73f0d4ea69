"""The patches of the good images, and which of them the bank keeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.core import coreset, projection
from patchbank.core.arrays import Array, Device, settle
from patchbank.core.coreset import Coreset
from patchbank.methods.base import Progress
from patchbank.methods.patchcore.settings import PatchCoreSettings
from patchbank.types import Features, Indices


class PatchStore:
    """All patches of the fit in one array, and where each came from."""

    def __init__(self, n_images: int) -> None:
        self._n_images = n_images
        self._buffer = np.empty((0, 0), dtype=np.float32)
        self._grids: list[tuple[int, int]] = []
        self._ends = [0]

    @property
    def features(self) -> Features:
        """(n, d): a view."""
        return self._buffer[: self._ends[-1]]

    def append(self, embedding: NDArray[np.float32]) -> None:
        """Add the patches of the next image, (h, w, d)."""
        h, w, d = embedding.shape
        begin, end = self._ends[-1], self._ends[-1] + h * w
        if end > len(self._buffer):
            # Memory that is not written to costs nothing, so ask for all images at once.
            remaining = max(self._n_images - len(self._grids), 1)
            larger = np.empty((begin + int(h * w * remaining * 1.2), d), dtype=np.float32)
            if begin:
                larger[:begin] = self._buffer[:begin]
            self._buffer = larger
        self._buffer[begin:end] = embedding.reshape(h * w, d)
        self._grids.append((h, w))
        self._ends.append(end)

    def embedding(self, image: int) -> NDArray[np.float32]:
        """(h, w, d) of one image: a view."""
        h, w = self._grids[image]
        return self._buffer[self.patches_of(image)].reshape(h, w, -1)

    def patches_of(self, image: int) -> slice:
        """The rows of `features` that belong to one image."""
        return slice(self._ends[image], self._ends[image + 1])

    def image_of_patches(self) -> Indices:
        """(n,) number of the image that each patch comes from."""
        return np.repeat(np.arange(len(self._grids)), np.diff(self._ends))

    def origins(self, rows: Indices) -> NDArray[np.int32]:
        """(m, 3): image number, grid row and grid column of given patches."""
        images = np.searchsorted(self._ends, rows, side="right") - 1
        inside = rows - np.array(self._ends)[images]
        widths = np.array([w for _, w in self._grids])[images]
        return np.stack([images, inside // widths, inside % widths], axis=1).astype(np.int32)


def select(
    settings: PatchCoreSettings, store: PatchStore, progress: Progress, device: Device
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
    # The nearest row of another image falls out of the selection; more neighbours do not.
    groups = None if projected or settings.n_neighbours > 1 else store.image_of_patches()
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
    settings: PatchCoreSettings, features: Features, rng: np.random.Generator, device: Device
) -> Array:
    """The space to select in, on the device where it fits there."""
    if settings.projection == "none":
        return settle(features, device)
    d = features.shape[1]
    n_dims = settings.projection_dims or projection.johnson_lindenstrauss_dims(len(features))
    matrix = projection.projection_matrix(settings.projection, d, n_dims, rng=rng)
    return settle(projection.project(features, matrix, device=device), device)


def _start(
    settings: PatchCoreSettings, space: Array, rng: np.random.Generator, device: Device
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
