"""The fitted SPADE: a gallery of good photographs; it compares on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.core.neighbours import ExactIndex
from patchbank.core.scores import image_score
from patchbank.core.spatial import resampling
from patchbank.errors import ShapeError
from patchbank.methods.base import FeatureMaps, PatchScores, Tensors
from patchbank.methods.spade.gallery import Gallery, Picture
from patchbank.methods.spade.settings import SpadeParameters
from patchbank.types import Indices, PatchGrid


class SpadeModel:
    """A gallery, and how images are held against it."""

    def __init__(self, settings: SpadeParameters, gallery: Gallery) -> None:
        self.settings = settings
        self.gallery = gallery

    def score(self, maps: FeatureMaps) -> PatchScores:
        """Score the feature maps of one image; its grid is that of the first layer.

        Raises:
            ShapeError: a feature is not finite, or the channels are not those that were learned.
        """
        picture = Picture.of(self.settings, maps)
        if picture.channels != self.gallery.channels:
            raise ShapeError(
                f"features: expected {self.gallery.channels} channels (pooled, and of each plane), "
                f"got {picture.channels}"
            )
        return self.score_picture(picture)

    def score_picture(self, picture: Picture, without: int | None = None) -> PatchScores:
        """Score an image; photograph number `without` and its copies are left out of everything."""
        similar, distances = self.gallery.similar(picture.pooled, self.settings.n_images, without)
        grid = self._grid(picture, similar)
        if self.settings.image_score == "pooled":
            return PatchScores(grid, float(distances.mean()))
        score = image_score.grid_score(grid, self.settings.image_score, self.settings.top_fraction)
        return PatchScores(grid, score)

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
        """Photographs with their copies, and how many pixels they have."""
        return {
            "gallery_images": len(self.gallery.pooled),
            "gallery_pixels": int(self.gallery.counts.sum()),
        }

    def _grid(self, picture: Picture, similar: Indices) -> PatchGrid:
        """The mean over the planes of the distances to the pixels of the similar pictures."""
        total = np.zeros(picture.grid, dtype=np.float32)
        for number, plane in enumerate(picture.planes):
            distances = pixel_distances(
                plane, self.gallery.pixels(number, similar), self.settings.n_neighbours
            )
            down, across = (
                resampling.resize(n, n_out)
                for n, n_out in zip(distances.shape, picture.grid, strict=True)
            )
            total += resampling.apply(down, across, distances)
        return total / np.float32(len(picture.planes))


def pixel_distances(
    plane: NDArray[np.float32], gallery: NDArray[np.float32], n_neighbours: int
) -> PatchGrid:
    """Mean distance of each pixel to its nearest in the gallery.

    Args:
        plane: (h, w, d).
        gallery: (m, d).
        n_neighbours: how many are averaged; all where there are fewer.

    Returns:
        (h, w) Euclidean distances, exact to rounding.
    """
    h, w, d = plane.shape
    k = min(n_neighbours, len(gallery))
    distances, _ = ExactIndex(gallery).nearest(plane.reshape(h * w, d), k)
    return np.asarray(distances.mean(axis=1).reshape(h, w))
