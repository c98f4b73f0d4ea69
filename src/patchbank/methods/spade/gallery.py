"""The gallery of SPADE: pooled features and pixel features of the good photographs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import to_numpy
from patchbank.core.finite import require_finite
from patchbank.core.spatial import patch_embedding
from patchbank.core.spatial.grid_cells import all_inside
from patchbank.errors import ParameterError
from patchbank.methods.base import FeatureMaps, TrainingImage
from patchbank.methods.growing_array import GrowingArray
from patchbank.methods.spade.settings import SpadeParameters
from patchbank.types import Features, Indices


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """Features of one image: a pooled one to find similar images, and those of its pixels."""

    pooled: NDArray[np.float32]
    """(c,) mean of the deepest layer at the first scale."""
    planes: tuple[NDArray[np.float32], ...]
    """One (h, w, d) array per layer; with `fusion` "concatenate" a single one of all layers."""
    grid: tuple[int, int]
    """(h, w) grid of the first layer."""

    @classmethod
    def of(
        cls, settings: SpadeParameters, maps: FeatureMaps, inside: NDArray[np.bool_] | None = None
    ) -> ImageFeatures:
        """Compute them from feature maps; only the part `inside` of an augmented copy is pooled.

        Raises:
            ShapeError: a feature is not finite.
            ParameterError: `pool_deepest_only` leaves no layer.
        """
        arrays = [to_numpy(require_finite("features", planes)) for planes in maps]
        n_layers = len(arrays) // len(settings.scales)
        deepest = arrays[n_layers - 1]
        if settings.pool_deepest_only:
            arrays = [a for number, a in enumerate(arrays) if (number + 1) % n_layers]
            if not arrays:
                raise ParameterError("pool_deepest_only: expected at least two layers, got one")
        h, w = arrays[0].shape[1:]
        return cls(_pooled(deepest, inside), _planes(settings, arrays), (h, w))

    @property
    def channels(self) -> tuple[int, ...]:
        """Number of channels of the pooled feature and of each plane."""
        return len(self.pooled), *(plane.shape[2] for plane in self.planes)


class Gallery:
    """Good photographs and their copies: the pooled feature and the pixels of each."""

    def __init__(
        self,
        pooled: Features,
        photographs: NDArray[np.int32],
        planes: tuple[Features, ...],
        counts: NDArray[np.int32],
    ) -> None:
        self.pooled = pooled
        """(n, c) pooled features."""
        self.photographs = photographs
        """(n,) number of the photograph that each image is, or is a copy of."""
        self.planes = planes
        """(m, d) for each plane: the pixel features of all images, image after image."""
        self.counts = counts
        """(n, planes) number of pixels of each image."""
        self._begins = np.cumsum(counts, axis=0, dtype=np.intp) - counts

    @property
    def channels(self) -> tuple[int, ...]:
        """Number of channels of the pooled feature and of each plane."""
        return self.pooled.shape[1], *(plane.shape[1] for plane in self.planes)

    def similar(
        self, pooled: NDArray[np.float32], k: int, exclude: Indices | None = None
    ) -> tuple[Indices, NDArray[np.float64]]:
        """Find the gallery images whose pooled features are nearest.

        Args:
            pooled: (c,) of an image.
            k: number of images; all if there are fewer.
            exclude: numbers of photographs that are left out with their copies.

        Returns:
            (k,) numbers of images, nearest first, and their Euclidean distances.
        """
        differences = self.pooled.astype(np.float64) - pooled
        distances = np.sqrt(np.einsum("nc,nc->n", differences, differences))
        candidates = np.arange(len(distances))
        if exclude is not None:
            candidates = np.flatnonzero(~np.isin(self.photographs, exclude))
        nearest = candidates[np.argsort(distances[candidates], kind="stable")[:k]]
        return nearest, distances[nearest]

    def pixels(self, plane: int, images: Indices) -> Features:
        """Pixel features of some images on one plane, concatenated.  -> (m, d)."""
        begins, counts = self._begins[images, plane], self.counts[images, plane]
        parts = [self.planes[plane][b : b + n] for b, n in zip(begins, counts, strict=True)]
        return np.concatenate(parts)


class GalleryBuilder:
    """Builds a gallery image by image."""

    def __init__(self, settings: SpadeParameters, n_examples: int) -> None:
        self._settings = settings
        self._n_examples = n_examples
        self._pooled: list[NDArray[np.float32]] = []
        self._photographs: list[int] = []
        self._planes: list[GrowingArray] = []
        self._counts: list[list[int]] = []
        self._originals: list[tuple[tuple[int, int], list[slice], list[tuple[int, int]]]] = []

    @property
    def n_photographs(self) -> int:
        """Number of photographs, without copies."""
        return len(self._originals)

    def append(self, example: TrainingImage) -> None:
        """Add the next training image; a copy is skipped if a layer has no whole cell inside it."""
        if example.inside is not None and not _shows_a_cell(example.maps, example.inside):
            return
        features = ImageFeatures.of(self._settings, example.maps, example.inside)
        if not self._planes:
            self._planes = [GrowingArray(self._n_examples) for _ in features.planes]
        kept = [_rows(plane, example.inside) for plane in features.planes]
        slices = [rows.append(some) for rows, some in zip(self._planes, kept, strict=True)]
        self._pooled.append(features.pooled)
        self._photographs.append(example.photograph)
        self._counts.append([len(some) for some in kept])
        if not example.is_copy:
            grids = [(plane.shape[0], plane.shape[1]) for plane in features.planes]
            self._originals.append((features.grid, slices, grids))

    def gallery(self) -> Gallery:
        """The gallery of all images added; its pixel features are views."""
        return Gallery(
            np.stack(self._pooled),
            np.array(self._photographs, dtype=np.int32),
            tuple(rows.array for rows in self._planes),
            np.array(self._counts, dtype=np.int32),
        )

    def photograph(self, number: int) -> ImageFeatures:
        """The features of one of the photographs."""
        grid, slices, grids = self._originals[number]
        planes = tuple(
            rows.array[some].reshape(*sides, -1)
            for rows, some, sides in zip(self._planes, slices, grids, strict=True)
        )
        return ImageFeatures(self._pooled[self._photographs.index(number)], planes, grid)


def _pooled(planes: NDArray[np.float32], inside: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """Mean over the cells inside.  (c, h, w) -> (c,)."""
    c, h, w = planes.shape
    kept = planes.reshape(c, h * w) if inside is None else planes[:, all_inside(inside, (h, w))]
    return np.asarray(kept.mean(axis=1, dtype=np.float64), dtype=np.float32)


def _planes(
    settings: SpadeParameters, maps: list[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], ...]:
    if settings.fusion == "concatenate":
        return (patch_embedding.concatenated(maps, 1),)
    return tuple(np.ascontiguousarray(planes.transpose(1, 2, 0)) for planes in maps)


def _rows(plane: NDArray[np.float32], inside: NDArray[np.bool_] | None) -> Features:
    """The pixels inside.  (h, w, d) -> (m, d)."""
    h, w, d = plane.shape
    return plane.reshape(h * w, d) if inside is None else plane[all_inside(inside, (h, w))]


def _shows_a_cell(maps: FeatureMaps, inside: NDArray[np.bool_]) -> bool:
    return all(all_inside(inside, (m.shape[1], m.shape[2])).any() for m in maps)
