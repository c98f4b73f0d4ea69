"""The gallery of SPADE: pooled features and pixel features of the good photographs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import to_numpy
from patchbank.core.finite import require_finite
from patchbank.core.spatial import patch_embedding
from patchbank.core.spatial.grid_cells import all_inside, any_inside
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
    of_interest: NDArray[np.bool_] | None = None
    """Cells of that grid that are scored; None where all are."""

    @classmethod
    def of(
        cls,
        settings: SpadeParameters,
        maps: FeatureMaps,
        inside: NDArray[np.bool_] | None = None,
        of_interest: NDArray[np.bool_] | None = None,
    ) -> ImageFeatures:
        """Compute them from feature maps.

        Args:
            settings: of the method.
            maps: of all layers and scales.
            inside: cells of the first layer's grid that show something; those of an augmented copy
                that do not are not pooled.
            of_interest: cells of that grid that count; others are not pooled either.

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
        kept = kept_cells((deepest.shape[1], deepest.shape[2]), inside, of_interest)
        return cls(_pooled(deepest, kept), _planes(settings, arrays), (h, w), of_interest)

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
        self._originals: list[_Original] = []

    @property
    def n_photographs(self) -> int:
        """Number of photographs, without copies."""
        return len(self._originals)

    def append(self, example: TrainingImage) -> None:
        """Add the next training image; a copy is skipped if a layer has no whole cell inside it."""
        inside, of_interest = example.inside, example.of_interest
        if inside is not None and not _shows_a_cell(example.maps, inside, of_interest):
            return
        features = ImageFeatures.of(self._settings, example.maps, inside, of_interest)
        if not self._planes:
            self._planes = [GrowingArray(self._n_examples) for _ in features.planes]
        kept = [_rows(plane, inside, of_interest) for plane in features.planes]
        slices = [rows.append(some) for rows, some in zip(self._planes, kept, strict=True)]
        self._pooled.append(features.pooled)
        self._photographs.append(example.photograph)
        self._counts.append([len(some) for some in kept])
        if not example.is_copy:
            grids = [(plane.shape[0], plane.shape[1]) for plane in features.planes]
            self._originals.append(_Original(features.grid, slices, grids, of_interest))

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
        own = self._originals[number]
        planes = tuple(
            _plane(rows.array[some], sides, own.of_interest)
            for rows, some, sides in zip(self._planes, own.slices, own.grids, strict=True)
        )
        pooled = self._pooled[self._photographs.index(number)]
        return ImageFeatures(pooled, planes, own.grid, own.of_interest)


@dataclass(frozen=True, slots=True)
class _Original:
    """A photograph in the gallery, not a copy of one."""

    grid: tuple[int, int]
    """(h, w) grid of the first layer."""
    slices: list[slice]
    """Rows of its pixels, for each plane."""
    grids: list[tuple[int, int]]
    """Grid of each plane."""
    of_interest: NDArray[np.bool_] | None


def kept_cells(
    grid: tuple[int, int],
    inside: NDArray[np.bool_] | None,
    of_interest: NDArray[np.bool_] | None,
) -> NDArray[np.bool_] | None:
    """Cells of a plane's grid that are in the gallery; None if all are.

    Args:
        grid: (h, w) of the plane.
        inside: as of `TrainingImage`: a cell that is not entirely inside shows something else.
        of_interest: as of `TrainingImage`: a cell counts with any part of it.
    """
    masks = []
    if inside is not None:
        masks.append(all_inside(inside, grid))
    if of_interest is not None:
        masks.append(any_inside(of_interest, grid))
    return np.logical_and.reduce(masks) if masks else None


def _pooled(planes: NDArray[np.float32], cells: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """Mean over some of the cells.  (c, h, w) -> (c,)."""
    c, h, w = planes.shape
    kept = planes.reshape(c, h * w) if cells is None else planes[:, cells]
    return np.asarray(kept.mean(axis=1, dtype=np.float64), dtype=np.float32)


def _planes(
    settings: SpadeParameters, maps: list[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], ...]:
    if settings.fusion == "concatenate":
        return (patch_embedding.concatenated(maps, 1),)
    return tuple(np.ascontiguousarray(planes.transpose(1, 2, 0)) for planes in maps)


def _rows(
    plane: NDArray[np.float32],
    inside: NDArray[np.bool_] | None,
    of_interest: NDArray[np.bool_] | None,
) -> Features:
    """The pixels that are in the gallery.  (h, w, d) -> (m, d)."""
    h, w, d = plane.shape
    kept = kept_cells((h, w), inside, of_interest)
    return plane.reshape(h * w, d) if kept is None else plane[kept]


def _plane(
    rows: Features, grid: tuple[int, int], of_interest: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    """The plane of which a photograph has these rows in the gallery; 0 elsewhere.  -> (h, w, d)."""
    kept = kept_cells(grid, None, of_interest)
    if kept is None:
        return rows.reshape(*grid, -1)
    plane = np.zeros((*grid, rows.shape[1]), dtype=rows.dtype)
    plane[kept] = rows
    return plane


def _shows_a_cell(
    maps: FeatureMaps, inside: NDArray[np.bool_], of_interest: NDArray[np.bool_] | None
) -> bool:
    kept = (kept_cells((m.shape[1], m.shape[2]), inside, of_interest) for m in maps)
    return all(cells is None or cells.any() for cells in kept)
