"""Learning more with a fitted model: what is asked of a method, and what one that can offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from patchbank.methods.base import FittedMethod, PatchScores, TrainingImage


@dataclass(frozen=True, slots=True)
class Continuation:
    """The photographs that a fitted model is to learn in addition."""

    n_images: int
    """Images that will be added, augmented copies included."""
    n_learned: int
    """Photographs that the model has learned; the next ones are numbered from there."""
    n_copies: int = 1
    """Images of each photograph: itself, and its augmented copies."""
    sizes: tuple[int, ...] = ()
    """Smaller sizes of a bank in which the new photographs are scored, too."""
    most_rows: int | None = None
    """Rows that a bank has at most afterwards; None for no limit."""
    kept: tuple[int, ...] = ()
    """Photographs said to be normal, whose rows a bank keeps at its limit, too."""
    cells: NDArray[np.bool_] | None = None
    """(h, w) of the first layer's grid: the cells of a photograph that are said to be normal; None
    for all."""


@dataclass(frozen=True, slots=True)
class NormalTrial:
    """A model that has learned more of a photograph said to be normal, and what it says of it."""

    model: FittedMethod
    scores: PatchScores


class NormalLearner(Protocol):
    """Learns one photograph said to be normal, no more of it than is needed."""

    def add(self, image: TrainingImage) -> None:
        """Take the features of the photograph, or of its next tile.

        Raises:
            ShapeError: a feature is not finite.
        """
        ...

    def learned(self, effort: int) -> NormalTrial | None:
        """The model that has learned the photograph with some effort, 1, 2, 4, ...

        The effort is the number of rows that a bank gets, or the number of photographs that it
        counts as.  None where nothing is left that half the effort did not reach.
        """
        ...
