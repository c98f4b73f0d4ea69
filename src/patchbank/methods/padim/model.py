"""The fitted PaDiM: a Gaussian at each position of a grid."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import to_numpy
from patchbank.core.gaussians import Gaussians
from patchbank.core.scores import image_score
from patchbank.core.spatial.grid_cells import nearest_cells
from patchbank.errors import ParameterError, ShapeError
from patchbank.methods.base import FeatureMaps, PatchScores, Tensors
from patchbank.methods.embedding import embed_patches
from patchbank.methods.explaining import Comparison, GoodCell, centre
from patchbank.methods.padim.settings import PadimParameters
from patchbank.types import Indices, PatchGrid

MOST_SHOWN = 3
"""Learned photographs of which an explanation shows the place of an odd patch, at most."""


class PadimModel:
    """A fitted PaDiM; it scores on the CPU, whatever device the feature maps are on."""

    def __init__(
        self,
        settings: PadimParameters,
        gaussians: Gaussians,
        grid: tuple[int, int],
        n_channels: int,
        counts: NDArray[np.int32] | None = None,
    ) -> None:
        self.settings = settings
        self.gaussians = gaussians
        """float32, of grid[0] * grid[1] positions, row by row."""
        self.grid = grid
        """(h, w) of the positions."""
        self.n_channels = n_channels
        """Channels of all layers together, before a subset is drawn."""
        self.counts = counts
        """(p,) samples that each Gaussian was learned from; None in files that do not have them."""

    def score(self, maps: FeatureMaps, of_interest: NDArray[np.bool_] | None = None) -> PatchScores:
        """Score the patches of one image that are of interest.

        An image with another grid keeps its own: each patch is scored by the Gaussian at the same
        fraction of the height and width.

        Raises:
            ShapeError: a feature is not finite, or the number of channels is not the learned one.
        """
        points, (h, w) = self._points(maps)
        positions = None if (h, w) == self.grid else nearest_cells((h, w), self.grid)
        distances = self.gaussians.distances(points, positions).reshape(h, w)
        return scored(self.settings, distances, of_interest)

    def _points(self, maps: FeatureMaps) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """The patches of an image, (h * w, d), and their grid."""
        embedding: NDArray[np.float32] = to_numpy(embed_patches(self.settings, maps))  # (h, w, c)
        if embedding.shape[2] != self.n_channels:
            raise ShapeError(
                f"features: expected {self.n_channels} channels of all layers together, "
                f"got {embedding.shape[2]}"
            )
        h, w = embedding.shape[:2]
        kept = channels_kept(self.settings, self.n_channels)
        return embedding[..., kept].reshape(h * w, -1), (h, w)

    def compare(
        self,
        maps: FeatureMaps,
        patches: Indices,
        n_nearest: int,
        of_interest: NDArray[np.bool_] | None = None,
    ) -> list[tuple[Comparison, ...]]:
        """Compare some patches with the Gaussians at their positions.

        No good patch is the nearest one: the same place of some learned photographs is given.
        """
        points, (h, w) = self._points(maps)
        cells = patches[:, 0] * w + patches[:, 1]
        positions = nearest_cells((h, w), self.grid)[cells]
        distances = self.gaussians.distances(points[cells], positions).tolist()
        found: list[tuple[Comparison, ...]] = []
        for (row, column), position, distance in zip(
            patches.tolist(), positions.tolist(), distances, strict=True
        ):
            down, across = divmod(position, self.grid[1])
            remark = (
                f"{distance:.1f} standard deviations from the mean of good parts at this position "
                f"(row {down}, column {across} of {self.grid[0]} x {self.grid[1]}); the "
                "same spot of learned photographs is shown"
            )
            place = centre(row, column, self.settings.patch_stride)
            same = tuple(GoodCell(number, place) for number in range(min(n_nearest, MOST_SHOWN)))
            found.append((Comparison("position", distance, same, remark=remark),))
        return found

    @property
    def n_features(self) -> int:
        """Numbers of each patch."""
        return int(self.gaussians.means.shape[1])

    def patch_features(
        self, maps: FeatureMaps, patches: Indices, of_interest: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Features of some patches, (n, d), as `methods.remembering.Remembering` has it."""
        points, (_, w) = self._points(maps)
        return np.ascontiguousarray(points[patches[:, 0] * w + patches[:, 1]])

    def scores_of(
        self, features: NDArray[np.float32], patches: Indices, grid: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Scores of patches, (n,), by the Gaussians at their positions."""
        positions = nearest_cells(grid, self.grid)[patches[:, 0] * grid[1] + patches[:, 1]]
        distances: NDArray[np.float32] = self.gaussians.distances(features, positions)
        return distances

    def sources(self, n_photographs: int) -> Indices:
        """One for each of the first photographs, of which the same place is shown."""
        return (np.arange(n_photographs) < MOST_SHOWN).astype(np.intp)

    def tensors(self) -> Tensors:
        """Everything learned, by name."""
        counts = {} if self.counts is None else {"sample_counts": self.counts}
        return {
            **counts,
            "means": self.gaussians.means,
            "bases": self.gaussians.bases,
            "variances": self.gaussians.variances,
            "rests": self.gaussians.rests,
            "grid": np.array(self.grid, dtype=np.int32),
            "n_channels": np.array([self.n_channels], dtype=np.int32),
        }

    def summary(self) -> Mapping[str, Any]:
        """Number of positions, dimensions, and directions kept of each covariance."""
        positions, dimensions, directions = self.gaussians.bases.shape
        return {"positions": positions, "dimensions": dimensions, "directions": directions}


def channels_kept(settings: PadimParameters, n_channels: int) -> Indices:
    """The channels kept of all layers together, in the order drawn: that of the published code.

    Raises:
        ParameterError: more are asked for than there are.

    >>> channels_kept(PadimParameters(dims=5, seed=1024), 448).tolist()
    [408, 9, 247, 435, 199]
    """
    if settings.dims is None:
        return np.arange(n_channels)
    if settings.dims > n_channels:
        raise ParameterError(
            f"dims: expected at most {n_channels} (the channels of all layers), got {settings.dims}"
        )
    return np.array(random.Random(settings.seed).sample(range(n_channels), settings.dims))


def scored(
    settings: PadimParameters, grid: PatchGrid, of_interest: NDArray[np.bool_] | None = None
) -> PatchScores:
    """Scores of an image from the Mahalanobis distances (h, w) of its patches.

    Args:
        settings: of the method.
        grid: distance of each patch.
        of_interest: cells of the first layer's grid that count; None where all do.
    """
    stride, mask = settings.patch_stride, None
    if of_interest is not None:
        mask = of_interest[::stride, ::stride]
        grid = np.where(mask, grid, np.float32(0))
    score = image_score.grid_score(grid, settings.image_score, settings.top_fraction, mask)
    return PatchScores(grid, score, stride)


def restore_model(settings: PadimParameters, tensors: Tensors) -> PadimModel:
    """Build the model that `tensors` came from."""
    gaussians = Gaussians(*(tensors[name] for name in ("means", "bases", "variances", "rests")))
    h, w = tensors["grid"].tolist()
    if h * w != len(gaussians.means):
        raise ShapeError(
            f"grid: expected {len(gaussians.means)} cells (the positions), got {h} x {w}"
        )
    n_channels, counts = int(tensors["n_channels"][0]), tensors.get("sample_counts")
    return PadimModel(settings, gaussians, (h, w), n_channels, counts)
