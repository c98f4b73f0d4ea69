"""The range of numbers that the array functions compute with, checked where they are handed in.

Squares of numbers up to `LARGEST` and sums of ten million of them stay below the largest float32,
3.4e38.  Comparisons with NaN are false, so NaN would be scored as normal: nothing computes with it.
"""

from __future__ import annotations

import numpy as np

from patchbank.core.array_api import blocks, namespace
from patchbank.errors import ShapeError
from patchbank.runtime.scratch import drop_pages
from patchbank.types import Array

LARGEST = 1e15
LARGEST_DISTANCE = 1e18
BLOCK_NUMBERS = 2**18  # checked at a time, so that they stay in the cache


def require_finite(name: str, array: Array, largest: float = LARGEST) -> Array:
    """Return an array unchanged whose numbers are finite, and at most `largest` in magnitude.

    Raises:
        ShapeError: a number is NaN, infinite or too large.

    >>> require_finite("bank", np.array([[1.0, np.nan]]))
    Traceback (most recent call last):
    patchbank.errors.ShapeError: bank: expected finite numbers, got NaN or infinity
    """
    xp = namespace(array)
    if 0 in array.shape:
        return array
    for some in blocks(len(array), max(1, BLOCK_NUMBERS * len(array) // int(np.prod(array.shape)))):
        part = array[some]
        low, high = float(xp.min(part)), float(xp.max(part))  # NaN if any number is
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ShapeError(f"{name}: expected finite numbers, got NaN or infinity")
        if max(-low, high) > largest:
            raise ShapeError(
                f"{name}: expected numbers of at most {largest:.0e}, got {max(-low, high):.3g}"
            )
        if isinstance(part, np.ndarray):
            drop_pages(part)
    return array
