"""The orientation in which a camera stored a picture, and the upright picture."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

Pixel = TypeVar("Pixel", bound=np.generic)

TAG = 0x0112
SWAPPED = (5, 6, 7, 8)
"""Orientations whose height and width are exchanged."""
_METHODS = {
    2: pillow.Transpose.FLIP_LEFT_RIGHT,
    3: pillow.Transpose.ROTATE_180,
    4: pillow.Transpose.FLIP_TOP_BOTTOM,
    5: pillow.Transpose.TRANSPOSE,
    6: pillow.Transpose.ROTATE_270,
    7: pillow.Transpose.TRANSVERSE,
    8: pillow.Transpose.ROTATE_90,
}


def orientation_of(image: pillow.Image) -> int:
    """Orientation in the EXIF data of an image, from 1 to 8; 1 where they are damaged."""
    try:
        found: Any = image.getexif().get(TAG, 1)
    except Exception:  # parsers raise many types on damaged data
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def upright_image(image: pillow.Image, orientation: int) -> pillow.Image:
    """The upright image; the same one where nothing is turned."""
    return image.transpose(_METHODS[orientation]) if orientation in _METHODS else image


def upright(pixels: NDArray[Pixel], orientation: int) -> NDArray[Pixel]:
    """Upright pixels of an array (H, W, ...).

    >>> upright(np.array([[1, 2], [3, 4]]), 6)  # to be turned clockwise
    array([[3, 1],
           [4, 2]])
    """
    if orientation in SWAPPED:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
