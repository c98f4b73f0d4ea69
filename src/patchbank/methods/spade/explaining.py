"""The pixels of the most similar good photographs that are nearest to those of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import blocks
from patchbank.methods.explaining import Comparison, GoodCell
from patchbank.methods.spade.gallery import Gallery, ImageFeatures, kept_cells
from patchbank.types import Features, Indices

BLOCK_PIXELS = 16_384  # subtracted at a time


def compared(
    features: ImageFeatures, gallery: Gallery, n_images: int, patches: Indices, n_nearest: int
) -> list[tuple[Comparison, ...]]:
    """Compare some patches with the most similar images of the gallery.

    Args:
        features: of the image.
        gallery: of good photographs.
        n_images: similar images whose pixels are searched.
        patches: (n, 2) row and column of each in the grid of the first layer.
        n_nearest: pixels that are looked for on each plane.
    """
    similar, _ = gallery.similar(features.pooled, n_images)
    found = []
    for number, plane in enumerate(features.planes):
        shape = plane.shape[0], plane.shape[1]
        cells = patches * shape // np.array(features.grid)
        kept = kept_cells(shape, None, features.of_interest)
        numbers = np.arange(shape[0] * shape[1]) if kept is None else np.flatnonzero(kept)
        known = _KnownCells(gallery, number, numbers, shape, features.grid)
        pixels = gallery.pixels(number, similar)
        rows = [_nearest(pixels, plane[row, column], n_nearest) for row, column in cells.tolist()]
        name = "pixels" if len(features.planes) == 1 else f"plane {number + 1}"
        found.append([known.comparison(name, similar, *each) for each in rows])
    return list(zip(*found, strict=True))


class _KnownCells:
    """Where the pixels of gallery images lie, for images with the grid of the inspected one."""

    def __init__(
        self,
        gallery: Gallery,
        plane: int,
        numbers: Indices,
        shape: tuple[int, int],
        grid: tuple[int, int],
    ) -> None:
        self._gallery, self._plane = gallery, plane
        self._numbers, self._shape = numbers, shape
        """Cells that an image of this kind has in the gallery, and the grid of the plane."""
        self._grid = grid

    def comparison(
        self, name: str, similar: Indices, distances: list[float], rows: Indices
    ) -> Comparison:
        """The comparison of one patch: rows of the pixels of the similar images."""
        counts = self._gallery.counts[similar, self._plane]
        ends = np.cumsum(counts)
        at = np.searchsorted(ends, rows, side="right")
        nearest = tuple(
            self._good_cell(int(similar[image]), int(row - ends[image] + counts[image]), distance)
            for image, row, distance in zip(at.tolist(), rows.tolist(), distances, strict=True)
        )
        return Comparison(name, distances[0], nearest)

    def _good_cell(self, image: int, pixel: int, distance: float) -> GoodCell:
        gallery = self._gallery
        photograph = int(gallery.photographs[image])
        is_first = image == int(np.argmax(gallery.photographs == photograph))
        if not is_first or gallery.counts[image, self._plane] != len(self._numbers):
            return GoodCell(photograph, None, distance=distance)  # a copy, or another grid
        row, column = divmod(int(self._numbers[pixel]), self._shape[1])
        down, across = (n / m for n, m in zip(self._grid, self._shape, strict=True))
        return GoodCell(
            photograph, ((row + 0.5) * down, (column + 0.5) * across), distance=distance
        )


def _nearest(
    pixels: Features, query: NDArray[np.float32], n_nearest: int
) -> tuple[list[float], Indices]:
    """Distances of the nearest pixels, ascending, and their numbers; the lower one on ties."""
    squared = np.empty(len(pixels))
    for some in blocks(len(pixels), BLOCK_PIXELS):
        differences = pixels[some].astype(np.float64) - query
        squared[some] = np.einsum("md,md->m", differences, differences)
    nearest = np.argsort(squared, kind="stable")[:n_nearest]
    return np.sqrt(squared[nearest]).tolist(), nearest
