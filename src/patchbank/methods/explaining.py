"""Explanations: the good patches that are nearest to a patch, or what a model has instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from patchbank.methods.base import FeatureMaps
from patchbank.types import Array, Indices


@dataclass(frozen=True, slots=True)
class GoodCell:
    """A good patch, by where it lies in the photographs of the fit."""

    photograph: int
    """Number of the photograph."""
    cell: tuple[float, float] | None
    """(row, column) of its centre in cells of the first layer's grid; None where not known."""
    copy: int = 0
    """Number of the augmented copy that it lies in, 0 for the photograph itself."""
    row: int | None = None
    """Row of the bank; None where a model has no bank."""
    distance: float | None = None
    """Distance to the patch that is explained; None where it was not compared with this one."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of one patch with one part of a model, such as one of several banks."""

    part: str
    """Name of that part."""
    distance: float
    """Distance to the nearest good patch, or what the model has instead."""
    nearest: tuple[GoodCell, ...] = ()
    """Good patches, nearest first; of several at the same distance any."""
    usual: float | None = None
    """Distance that no learned patch exceeds; None where it is not known."""
    map_number: int | None = None
    """Number of the only feature map that it compares; None where it compares all together."""
    remark: str = ""
    """Meaning of the number, where it is no distance to a good patch."""


@runtime_checkable
class Explaining(Protocol):
    """A fitted model that says what it compared a patch with; a model offers it or does not."""

    def compare(
        self,
        maps: FeatureMaps,
        patches: Indices,
        n_nearest: int,
        of_interest: NDArray[np.bool_] | None = None,
    ) -> list[tuple[Comparison, ...]]:
        """Compare some patches of one image with each part of the model.

        Args:
            maps: of all layers, as `FittedMethod.score` takes them; or those of a tile.
            patches: (n, 2) row and column of each in the patch grid of the maps.
            n_nearest: good patches that are looked for, 1 or more.
            of_interest: as `FittedMethod.score` takes it.

        Returns:
            The comparisons of each patch.
        """
        ...

    def sources(self, n_photographs: int) -> Indices:
        """Count what comes from each photograph of the fit, such as rows.  -> (n_photographs,).

        The pictures of those with the largest numbers are the most useful ones; 0 for a photograph
        that no comparison names.
        """
        ...


@runtime_checkable
class ExplainingPhotographs(Protocol):
    """A fitted model that looks for similar photographs first; a model offers it or does not."""

    def similar(
        self, maps: FeatureMaps, n_nearest: int, of_interest: NDArray[np.bool_] | None = None
    ) -> tuple[Indices, NDArray[np.float64]]:
        """The most similar photographs of the fit, by number, and their distances, (n,) each."""
        ...


def at_patches(features: Array, patches: Indices) -> Array:
    """The features of some patches.  (h, w, d), (n, 2) -> (n, d), on the same device."""
    numbers = patches[:, 0] * features.shape[1] + patches[:, 1]
    return features.reshape(-1, features.shape[2])[numbers.tolist()]


def centre(row: int, column: int, stride: int) -> tuple[float, float]:
    """Centre of a patch in cells of the first layer's grid.

    >>> centre(2, 0, 4)
    (8.5, 0.5)
    """
    return row * stride + 0.5, column * stride + 0.5
