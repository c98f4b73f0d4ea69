"""Traits of a photograph by which one differs from others as a whole: size, kind, light, focus.

They are computed of a few rows and columns, so that they cost next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.core.spatial.box import Box
from patchbank.images.source import ImageSource
from patchbank.types import Image

SAMPLED_PX = 2**16
"""Pixels of the rows, and of the columns, that are used, for photographs of a usual shape."""
FEWEST_LINES = 32
BLACK = 2
"""Largest luma of a pixel that counts as black."""
SATURATED = 254
"""Smallest value of a channel that counts as saturated."""
CODED_BLOCK_PX = 8
"""Side of the blocks in which JPEG, and most video, is coded."""
FINE = 256
"""The fine distance of `Traits.sharpness` is one pixel of a photograph of this side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Facts of one photograph; those of its pixels are measured after conversion to 8 bits."""

    height: int
    width: int
    mode: str
    """Pixels of the file in the words of Pillow: L, RGB, P, I;16, ..."""
    is_grey: bool
    """Whether red, green and blue are the same, whatever the mode is."""
    bit_depth: int
    """Bits of a channel in the file: 1, 8 or 16."""
    bits_in_use: int
    """Bits that the largest value needs, of those that cameras have; `bit_depth` below 16."""
    format: str | None
    """JPEG, PNG, BMP, TIFF, ...: the name in Pillow; None for arrays."""
    jpeg_quality: int | None
    """Quality of the compression by `images.file_facts.estimated_quality`; None for others."""
    brightness: float
    """Mean of the luma (ITU-R BT.601), from 0 to 255."""
    sharpness: float
    """Steepness of the edges, from 0.25 (blurred) to about 1 (sharp); 0 where all is of one colour.

    The differences between pixels at a fine distance by those at four times that distance, each as
    the fourth root of their mean fourth power, in which the strongest edges count and noise does
    not.  The fine distance is a 256th of the geometric mean of the sides, at least one pixel: so
    contrast and number of pixels count little.
    """
    blockiness: float
    """Traces of JPEG compression in the pixels, whatever the file says: about 0 without, 0.1 to 2
    for qualities from 95 to 50.

    The steps between neighbours across the borders of blocks of 8 pixels, in excess of the steps
    next to them and as a share of the usual step: of rows and columns, each at the position of the
    blocks where it is largest, less the second largest of the eight (after the blocking measure of
    Wang, Sheikh and Bovik, "No-reference perceptual quality assessment of JPEG compressed images",
    2002; with medians over the blocks, so that edges of the part do not count, and nothing where a
    pattern of fewer pixels repeats, as enlargement leaves it).
    """
    share_black: float
    """Share of pixels with a luma of at most 2."""
    share_saturated: float
    """Share of pixels with a channel of at least 254."""

    @classmethod
    def of(cls, source: ImageSource, image: Image, box: Box | None = None) -> Traits:
        """Measure a photograph.

        Args:
            source: that `ImageSource.read_once` or `read_with_facts` returned; any other is read
                once more for the facts of its file.
            image: (H, W, 3), what was read.
            box: the part of it whose pixels are measured; None for all.
        """
        facts = source.facts or source.read_with_facts()[1]
        whole, image = image, image if box is None else box.of(image)
        height, width = image.shape[:2]
        rows = image[_evenly(height, _n_lines(width))]
        columns = np.take(image, _evenly(width, _n_lines(height)), axis=1).swapaxes(0, 1)
        is_grey = _is_grey(rows) and _is_grey(columns)
        across, down = _luma(rows, is_grey), _luma(columns, is_grey)
        lines = across, down
        return cls(
            height=whole.shape[0],
            width=whole.shape[1],
            mode=facts.mode,
            is_grey=is_grey,
            bit_depth=facts.bit_depth,
            bits_in_use=facts.bits_in_use,
            format=facts.format,
            jpeg_quality=facts.jpeg_quality,
            brightness=float(across.mean()),
            sharpness=_sharpness(lines, max(1, round((height * width) ** 0.5 / FINE))),
            blockiness=float(np.mean([_blockiness(each) for each in lines])),
            share_black=float((across <= BLACK).mean()),
            share_saturated=float((_largest_channel(rows) >= SATURATED).mean()),
        )


def _n_lines(length: int) -> int:
    return max(FEWEST_LINES, SAMPLED_PX // length // 2)


def _evenly(length: int, count: int) -> NDArray[np.intp]:
    """Positions of at most `count` lines, evenly from one side of a photograph to the other."""
    if count >= length:
        return np.arange(length)
    return ((np.arange(count) + 0.5) * (length / count)).astype(np.intp)


def _is_grey(lines: Image) -> bool:
    red, green, blue = (lines[..., channel] for channel in range(3))
    return bool((red == green).all() and (green == blue).all())


def _largest_channel(lines: Image) -> NDArray[np.uint8]:
    # Ten times as fast as a maximum over the last axis, which has three values.
    largest: NDArray[np.uint8] = np.maximum(np.maximum(lines[..., 0], lines[..., 1]), lines[..., 2])
    return largest


def _luma(lines: Image, is_grey: bool) -> NDArray[np.float32]:
    if is_grey:
        return lines[..., 0].astype(np.float32, order="C")
    # No product of matrices: threads of BLAS would wait for those that extract features.
    luma = np.zeros(lines.shape[:2], dtype=np.float32)
    for channel, weight in enumerate((0.299, 0.587, 0.114)):
        luma += np.float32(weight) * lines[..., channel]
    return luma


def _sharpness(lines: tuple[NDArray[np.float32], ...], fine: int) -> float:
    at_fine, at_coarse = (_strength(lines, distance) for distance in (fine, 4 * fine))
    return (at_fine / at_coarse) ** 0.25 if at_coarse > 0 else 0.0


def _strength(lines: tuple[NDArray[np.float32], ...], distance: int) -> float:
    """Mean fourth power of the differences at a distance along lines; 0 where none is so long."""
    total, count = 0.0, 0
    for each in lines:
        squared = np.square(each[:, distance:] - each[:, :-distance])
        total += float(np.square(squared).sum(dtype=np.float64))
        count += squared.size
    return total / max(count, 1)


def _blockiness(lines: NDArray[np.float32]) -> float:
    steps = np.abs(lines[:, 1:] - lines[:, :-1]).sum(axis=0)
    excess = steps[1:-1] - (steps[:-2] + steps[2:]) / 2
    n_blocks = len(excess) // CODED_BLOCK_PX
    usual_step = float(np.median(steps)) if n_blocks else 0.0
    if usual_step == 0:
        return 0.0
    # The median over the blocks: an edge of the part lies in one of them, the grid in all.
    blocks = excess[: n_blocks * CODED_BLOCK_PX].reshape(-1, CODED_BLOCK_PX)
    *_, second, largest = np.sort(np.median(blocks, axis=0))
    return float(largest - second) / usual_step
