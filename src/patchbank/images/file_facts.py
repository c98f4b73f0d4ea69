"""Facts of an image file that its pixels do not say: format, mode, bits, JPEG quality."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.images.bit_depth import FULL, DeepPixels, is_deep_array, usual_depth

_LUMINANCE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
"""Table K.1 of ITU-T T.81: steps of the luminance at quality 50."""


class FileFacts(NamedTuple):
    """Facts of a file, or of an array, of which a photograph was read."""

    format: str | None
    """JPEG, PNG, BMP, TIFF, ...: the name in Pillow; None for arrays."""
    mode: str
    """Pixels in the words of Pillow: L, RGB, P, I;16, ..."""
    bit_depth: int
    """Bits of a channel: 1, 8 or 16."""
    bits_in_use: int
    """Bits that the largest value needs, of those that cameras have; `bit_depth` below 16."""
    jpeg_quality: int | None
    """See `estimated_quality`; None for other formats."""
    has_more: bool = False
    """Whether there are more frames or pages than the first, which is read."""


def facts_of(
    pixels: pillow.Image | DeepPixels,
    format_name: str | None,
    jpeg_quality: int | None,
    has_more: bool = False,
) -> FileFacts:
    """The facts of a file, of its decoded pixels and its header."""
    # Of telephones, which add a small second picture to a JPEG.
    name = "JPEG" if format_name == "MPO" else format_name
    if isinstance(pixels, DeepPixels):
        has_alpha, is_grey = pixels.alpha is not None, pixels.values.ndim == 2
        mode = ("LA" if has_alpha else "I;16") if is_grey else ("RGBA" if has_alpha else "RGB")
        return FileFacts(name, mode, FULL, usual_depth(pixels.largest), jpeg_quality, has_more)
    bits = 1 if pixels.mode == "1" else 8
    return FileFacts(name, pixels.mode, bits, bits, jpeg_quality, has_more)


def facts_of_array(array: NDArray[Any]) -> FileFacts:
    """The facts of an array (H, W) or (H, W, C) as `images.arrays.laid_out` returns it."""
    is_deep = is_deep_array(array)
    channels = 1 if array.ndim == 2 else array.shape[2]
    mode = {1: "I;16" if is_deep else "L", 3: "RGB", 4: "RGBA"}[channels]
    if not is_deep:
        return FileFacts(None, mode, 8, 8, None)
    colours = array[..., :3] if channels == 4 else array
    return FileFacts(None, mode, FULL, usual_depth(int(colours.max(initial=0))), None)


def quality_of(image: pillow.Image) -> int | None:
    """Estimated quality of a Pillow image that a JPEG file holds; None for others."""
    tables = getattr(image, "quantization", None)
    if not isinstance(tables, dict) or not tables:
        return None
    return estimated_quality(tables[min(tables)])


def estimated_quality(table: Any) -> int:
    """The quality from 1 to 100 that a quantisation table is nearest to.

    The scale is that of the Independent JPEG Group (libjpeg, jcparam.c), which most programs use:
    at quality q each step of the table K.1 is multiplied by 50 / q below 50 and by 2 - q / 50 from
    50 on, rounded, and limited to 1 to 255.  The tables of cameras and of Photoshop are others;
    the number is then that of the table with the nearest steps (sum of absolute differences).
    Steps are compared in ascending order, because programs store them in two.

    Args:
        table: 64 steps of the luminance.

    >>> estimated_quality(_LUMINANCE)
    50
    """
    steps = np.sort(np.asarray(table, dtype=np.int64))
    return 1 + int(np.abs(_sorted_tables() - steps).sum(axis=1).argmin())


@cache
def _sorted_tables() -> NDArray[np.int64]:
    """Steps of each quality from 1 to 100, ascending: (100, 64)."""
    quality = np.arange(1, 101)
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    base = np.sort(np.array(_LUMINANCE))
    steps: NDArray[np.int64] = np.clip((base * percent[:, None] + 50) // 100, 1, 255)
    return steps


def relative_steps(quality: int) -> float:
    """Quantisation steps of a quality, 1 at quality 50, by the rule of `estimated_quality`.

    >>> relative_steps(25), relative_steps(50), relative_steps(75)
    (2.0, 1.0, 0.5)
    """
    return max(50 / quality if quality < 50 else 2 - quality / 50, 0.02)
