"""Photographs of 16 bits a channel, and the bits of them that are in use.

Cameras of 10 and 12 bits store their values in the lower bits of 16.  Nothing in such a file says
so: the largest value of all training photographs does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.errors import ImageError

FULL = 16
USUAL = (8, 10, 12, 14, FULL)
"""Bit depths of cameras."""


@dataclass(frozen=True, slots=True, eq=False)
class DeepPixels:
    """Decoded pixels of 16 bits a channel, upright."""

    values: NDArray[np.uint16]
    """(H, W) or (H, W, 3)."""
    alpha: NDArray[np.uint8] | None = None
    """(H, W) opacity, for values that are not multiplied by it yet; None where all is opaque."""
    is_inverted: bool = False
    """Whether 0 is white."""

    @property
    def largest(self) -> int:
        """Largest value that is stored."""
        return int(self.values.max())

    def to_8_bits(self, name: str, bit_depth: int) -> pillow.Image:
        """Grey or RGB, with alpha if there is one; see `to_8_bits`."""
        eight = to_8_bits(self.values, bit_depth, name)
        if self.is_inverted:
            eight = 255 - eight
        image = pillow.fromarray(eight)
        if self.alpha is not None:
            image.putalpha(pillow.fromarray(self.alpha))
        return image


def to_8_bits(values: NDArray[np.uint16], bit_depth: int, name: str = "image") -> NDArray[np.uint8]:
    """The upper eight of the bits that are in use.  Any shape, which stays.

    Args:
        values: of 16 bits, of which the lower `bit_depth` are in use.
        bit_depth: from 8 to 16.
        name: of the image in errors.

    Raises:
        ImageError: a value needs more bits.

    >>> to_8_bits(np.array([0, 16, 4095], np.uint16), 12)
    array([  0,   1, 255], dtype=uint8)
    """
    if bit_depth < FULL and (largest := int(values.max(initial=0))) >> bit_depth:
        raise ImageError(
            f"{name}: expected 16-bit values of up to {2**bit_depth - 1:,} (bit_depth {bit_depth}, "
            f"as the photographs that were learned), got {largest:,}; fit with bit_depth="
            f"{usual_depth(largest)} (--bit-depth)"
        )
    eight: NDArray[np.uint8] = (values >> (bit_depth - 8)).astype(np.uint8)
    return eight


def usual_depth(largest: int) -> int:
    """The smallest usual bit depth that holds a value; 16 where there is none but zero.

    >>> usual_depth(255), usual_depth(900), usual_depth(4095), usual_depth(20_000)
    (8, 10, 12, 16)
    """
    if largest == 0:
        return FULL
    return next(depth for depth in USUAL if not largest >> depth)


def is_deep_array(array: NDArray[Any]) -> bool:
    """Whether an array is an image of 16 bits a channel."""
    return array.dtype.kind == "u" and array.dtype.itemsize == 2  # of any byte order
