"""Further photographs for a fitted model: the terms on which a method learns them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
