"""Crops of the same scale: an odd patch, and the good patches that are nearest to it, outlined.

A crop shows the same number of cells around both, turned as the network sees them, so that what
differs between two crops is the part and not the view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as pillow
from PIL import ImageDraw

from patchbank.detector.explanation.explained import Explanation, GoodPatch, OddPatch
from patchbank.detector.explanation.pictures import DecodedPicture
from patchbank.detector.overlay import GREEN, RED
from patchbank.errors import ImageError
from patchbank.images.pixel_map import PixelMap, sampled
from patchbank.types import Image

SIDE_PX = 240
"""Side of a crop."""
SHOWN_GOOD = 4
"""Good patches that are shown next to an odd one, at most."""
SEPARATE = 0.25
"""Distance between the centres of two that are shown, by the side of a crop, at least."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A picture of a patch, or the reason why there is none."""

    image: Image | None
    """(SIDE_PX, SIDE_PX, 3)."""
    patch: OddPatch | GoodPatch
    reason: str = ""


def odd_crop(patch: OddPatch, photograph: Image) -> Crop:
    """The crop of an odd patch from its photograph, (H, W, 3)."""
    drawn = _cropped(photograph, patch.around, patch.shown_cells)
    return Crop(_outlined(drawn, patch, RED), patch)


def good_crops(explanation: Explanation, patch: OddPatch) -> list[Crop]:
    """Crops of the good patches that are nearest to an odd one, of all banks by turns.

    Those that would show the same spot of a photograph again are left out.
    """
    decoded: dict[int, DecodedPicture | str] = {}
    return [
        _good_crop(explanation, patch, good, decoded)
        for good in _chosen(patch.nearest, patch.shown_cells)
    ]


def _good_crop(
    explanation: Explanation,
    patch: OddPatch,
    good: GoodPatch,
    decoded: dict[int, DecodedPicture | str],
) -> Crop:
    if good.around is None:
        return Crop(None, good, "where it lies in its photograph is not known")
    if good.number not in decoded:
        decoded[good.number] = _picture(explanation, good.number)
    picture = decoded[good.number]
    if isinstance(picture, str):
        return Crop(None, good, picture)
    around = picture.from_photograph.after(good.around)
    drawn = _cropped(picture.image, around, patch.shown_cells)
    return Crop(_outlined(drawn, patch, GREEN), good)


def _picture(explanation: Explanation, number: int) -> DecodedPicture | str:
    """The small picture of a learned photograph, or the reason why there is none."""
    pictures = explanation.pictures
    if pictures is None:
        return "the detector file has no pictures of the learned photographs"
    try:
        found = pictures.picture(number)
    except ImageError:
        return "its picture in the detector file cannot be read"
    return "the detector file has no picture of this photograph" if found is None else found


def _cropped(image: Image, around: PixelMap, cells: float) -> Image:
    """A square of cells.

    Args:
        image: (H, W, 3).
        around: from cells around the centre to pixels of the image.
        cells: side of the square.
    """
    scale, half = cells / SIDE_PX, cells / 2
    return sampled(
        image, around.after(PixelMap.scaling((scale, scale), (-half, -half))), (SIDE_PX, SIDE_PX)
    )


def _outlined(image: Image, patch: OddPatch, colour: tuple[int, int, int]) -> Image:
    """A crop with the outline of its patch."""
    picture = pillow.fromarray(image)
    half = max(patch.patch_cells / patch.shown_cells * SIDE_PX / 2, 4.0)
    low, high = SIDE_PX / 2 - half, SIDE_PX / 2 + half
    ImageDraw.Draw(picture).rectangle([low, low, high, high], outline=colour, width=2)
    return np.asarray(picture)


def _chosen(nearest: Sequence[GoodPatch], cells: float) -> list[GoodPatch]:
    """Good patches to show: the nearest of each bank, then the next of each, of separate spots."""
    parts = dict.fromkeys(each.part for each in nearest)
    banks = [[each for each in nearest if each.part == part] for part in parts]
    turns = [
        bank[turn]
        for turn in range(max(map(len, banks), default=0))
        for bank in banks[::-1]
        if turn < len(bank)
    ]
    found: list[GoodPatch] = []
    for each in turns:
        if len(found) < SHOWN_GOOD and not any(_is_same(each, one, cells) for one in found):
            found.append(each)
    return found


def _is_same(one: GoodPatch, other: GoodPatch, cells: float) -> bool:
    """Whether both show about the same spot of one photograph."""
    if one.number != other.number:
        return False
    if one.around is None or other.around is None:
        return one.around is other.around
    away = np.linalg.norm(one.around.offset - other.around.offset)
    cell_px = np.linalg.norm(one.around.linear, axis=0).max()
    return bool(away < SEPARATE * cells * cell_px)
