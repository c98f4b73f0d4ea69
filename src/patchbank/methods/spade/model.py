"""The fitted SPADE: a gallery of good photographs, searched on the CPU."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.core.neighbours import ExactIndex
from patchbank.core.scores import image_score
from patchbank.core.spatial import resampling
from patchbank.core.spatial.grid_cells import any_inside
from patchbank.errors import ShapeError
from patchbank.methods.base import FeatureMaps, PatchScores, Tensors
from patchbank.methods.explaining import Comparison
from patchbank.methods.spade.explaining import compared
from patchbank.methods.spade.gallery import Gallery, ImageFeatures, kept_cells
from patchbank.methods.spade.settings import SpadeParameters
from patchbank.types import Indices, PatchGrid


class SpadeModel:
    """A fitted SPADE: scores images by their distances to the gallery."""

    def __init__(self, settings: SpadeParameters, gallery: Gallery) -> None:
        self.settings = settings
        self.gallery = gallery

    def score(self, maps: FeatureMaps, of_interest: NDArray[np.bool_] | None = None) -> PatchScores:
        """Score the pixels of one image that are of interest; the grid is that of the first layer.

        Raises:
            ShapeError: a feature is not finite, or the channels are not the learned ones.
        """
        return self.score_features(self._features(maps, of_interest))

    def _features(self, maps: FeatureMaps, of_interest: NDArray[np.bool_] | None) -> ImageFeatures:
        features = ImageFeatures.of(self.settings, maps, of_interest=of_interest)
        if features.channels != self.gallery.channels:
            raise ShapeError(
                f"features: expected {self.gallery.channels} channels (pooled, and of each plane), "
                f"got {features.channels}"
            )
        return features

    def compare(
        self,
        maps: FeatureMaps,
        patches: Indices,
        n_nearest: int,
        of_interest: NDArray[np.bool_] | None = None,
    ) -> list[tuple[Comparison, ...]]:
        """Compare some patches with the pixels of the most similar photographs, plane by plane."""
        features = self._features(maps, of_interest)
        return compared(features, self.gallery, self.settings.n_images, patches, n_nearest)

    def similar(
        self, maps: FeatureMaps, n_nearest: int, of_interest: NDArray[np.bool_] | None = None
    ) -> tuple[Indices, NDArray[np.float64]]:
        """The most similar photographs of the gallery, by number, and their distances."""
        pooled = self._features(maps, of_interest).pooled
        images, distances = self.gallery.similar(pooled, n_nearest)
        return self.gallery.photographs[images].astype(np.intp), distances

    def sources(self, n_photographs: int) -> Indices:
        """Images of the gallery that come from each photograph, (n_photographs,)."""
        return np.bincount(self.gallery.photographs, minlength=n_photographs)[:n_photographs]

    def score_features(
        self, features: ImageFeatures, exclude: Indices | None = None
    ) -> PatchScores:
        """Score an image; photographs with the numbers `exclude` are left out, with copies."""
        similar, distances = self.gallery.similar(features.pooled, self.settings.n_images, exclude)
        grid = self._grid(features, similar)
        if self.settings.image_score == "pooled":
            return PatchScores(grid, float(distances.mean()))
        kind, fraction = self.settings.image_score, self.settings.top_fraction
        return PatchScores(grid, image_score.grid_score(grid, kind, fraction, features.of_interest))

    def tensors(self) -> Tensors:
        """Everything learned, by name."""
        planes = {f"plane{i}": rows for i, rows in enumerate(self.gallery.planes)}
        return {
            "pooled": self.gallery.pooled,
            "photographs": self.gallery.photographs,
            "counts": self.gallery.counts,
            **planes,
        }

    def summary(self) -> Mapping[str, Any]:
        """Number of images in the gallery, copies included, and of their pixels."""
        return {
            "gallery_images": len(self.gallery.pooled),
            "gallery_pixels": int(self.gallery.counts.sum()),
        }

    def _grid(self, features: ImageFeatures, similar: Indices) -> PatchGrid:
        """Mean over the planes of the distances to the pixels of the similar images."""
        k, of_interest = self.settings.n_neighbours, features.of_interest
        grids = (
            pixel_distances(
                plane,
                self.gallery.pixels(number, similar),
                k,
                kept_cells((plane.shape[0], plane.shape[1]), None, of_interest),
            )
            for number, plane in enumerate(features.planes)
        )
        return fused(grids, features.grid, of_interest)


def fused(
    grids: Iterable[PatchGrid],
    grid: tuple[int, int],
    of_interest: NDArray[np.bool_] | None = None,
) -> PatchGrid:
    """Mean of the distances of several layers on one grid.  [(h, w), ...] -> grid.

    Args:
        grids: of the layers.
        grid: (h, w) of the result.
        of_interest: its cells that count; others are 0, and so are those of a layer that have no
            part in them, which do not enter the result.  None where all count.

    >>> fused([np.ones((2, 4)), np.full((1, 2), 3.0)], (2, 4)).tolist()
    [[2.0, 2.0, 2.0, 2.0], [2.0, 2.0, 2.0, 2.0]]
    """
    total, count = np.zeros(grid, dtype=np.float32), 0
    for distances in grids:
        down, across = (
            resampling.resize(n, n_out) for n, n_out in zip(distances.shape, grid, strict=True)
        )
        resized = resampling.apply(down, across, distances)
        if of_interest is not None:
            kept = any_inside(of_interest, (distances.shape[0], distances.shape[1]))
            weights = resampling.apply(down, across, kept.astype(np.float32))
            resized = np.divide(resized, weights, out=np.zeros_like(total), where=of_interest)
        total += resized
        count += 1
    return np.asarray(total / np.float32(count))


def pixel_distances(
    plane: NDArray[np.float32],
    gallery: NDArray[np.float32],
    n_neighbours: int,
    cells: NDArray[np.bool_] | None = None,
) -> PatchGrid:
    """Mean distance of each pixel to its nearest neighbours in the gallery.

    Args:
        plane: (h, w, d) pixel features of the image.
        gallery: (m, d) pixel features of the gallery.
        n_neighbours: neighbours that are averaged; all if there are fewer.
        cells: (h, w) of the pixels that are compared; others get 0.  None compares all.

    Returns:
        (h, w) Euclidean distances, exact to rounding.
    """
    h, w, d = plane.shape
    k = min(n_neighbours, len(gallery))
    pixels = plane.reshape(h * w, d) if cells is None else plane[cells]
    distances, _ = ExactIndex(gallery).nearest(pixels, k)
    means = distances.mean(axis=1)
    if cells is None:
        return np.asarray(means.reshape(h, w))
    grid = np.zeros((h, w), dtype=np.float32)
    grid[cells] = means
    return grid
