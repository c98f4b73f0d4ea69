"""The explanation of one photograph, drawn: for a page, and as a picture of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from PIL import Image as pillow

from patchbank.detector.explanation.crops import Crop, good_crops, odd_crop
from patchbank.detector.explanation.explained import Explanation, GoodPatch, OddPatch, OddSpot
from patchbank.detector.explanation.pictures import PictureSource
from patchbank.detector.explanation.words import box_words
from patchbank.detector.inspection import Inspection
from patchbank.detector.overlay import draw_overlay, png_bytes
from patchbank.explaining.sheet import Row, sheet
from patchbank.report import PLAIN_PX, Gallery, Picture, data_url, draw_inspection

SHOWN_SPOTS = 5
"""Odd spots of a photograph that are drawn at most."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The explanation of one photograph, with its pictures."""

    explanation: Explanation
    picture: bytes
    """A PNG file with the overlay, and a row of crops for each odd spot."""
    overlay: Picture
    spots: tuple[Gallery, ...]
    """Crops of each odd spot, with captions."""
    remarks: tuple[str, ...]
    """Further lines."""
    text: str
    """One line about the photograph as a whole, without its name."""


def drawn(inspection: Inspection, pictures: PictureSource | None = None) -> Drawn:
    """Explain a photograph, and draw it; its pixels are read again unless they are kept.

    Args:
        inspection: of the photograph.
        pictures: of the learned photographs; None for those in the detector file.

    Raises:
        ImageError: the photograph cannot be read any more.
    """
    explanation = inspection.explain()
    if pictures is not None:
        explanation = replace(explanation, pictures=pictures)
    return drawn_explanation(inspection, explanation, explanation.text)


def drawn_explanation(inspection: Inspection, explanation: Explanation, text: str) -> Drawn:
    """Draw the explanation of a photograph.

    Args:
        inspection: of the photograph, whose pixels are read again unless they are kept.
        explanation: of it, with pictures.
        text: one line about the photograph as a whole, without its name.

    Raises:
        ImageError: the photograph cannot be read any more.
    """
    pixels = inspection.pixels
    rows = [
        (spot, patch, [odd_crop(patch, pixels), *good_crops(explanation, patch)])
        for spot in explanation.spots[:SHOWN_SPOTS]
        for patch in spot.patches
    ]
    picture = sheet(
        draw_overlay(pixels, inspection),
        f"{explanation.image}: {text}",
        [Row(_title(spot, patch), tuple(map(_labelled, crops))) for spot, patch, crops in rows],
    )
    return Drawn(
        explanation,
        png_bytes(picture),
        draw_inspection("", inspection, side_px=PLAIN_PX),
        tuple(_gallery(*row) for row in rows),
        tuple(_remarks(explanation)),
        text,
    )


def _title(spot: OddSpot, patch: OddPatch) -> str:
    """The line about an odd spot, and about one member's patch where there are several."""
    text = spot.text if len(spot.patches) == 1 else f"{spot.text}; {patch.method}"
    return f"{text}. {patch.remark}" if patch.remark else text


def _labelled(crop: Crop) -> tuple[pillow.Image | None, tuple[str, ...]]:
    """A crop with short lines below it."""
    lines = _caption(crop)
    image = None if crop.image is None else pillow.fromarray(crop.image)
    return image, (*lines, crop.reason) if crop.reason else lines


def _caption(crop: Crop) -> tuple[str, ...]:
    patch = crop.patch
    if not isinstance(patch, GoodPatch):
        return ("this photograph", box_words(patch.box))
    lines = [patch.photograph]
    if patch.box is not None:
        lines.append(box_words(patch.box))
    if patch.distance is not None:
        usual = "" if patch.usual is None else f", learned ones within {patch.usual:.3g}"
        lines.append(f"distance {patch.distance:.3g}{usual}")
    return (*lines, patch.part)


def _gallery(spot: OddSpot, patch: OddPatch, crops: list[Crop]) -> Gallery:
    return Gallery(_title(spot, patch), "", tuple(map(_picture, crops)))


def _picture(crop: Crop) -> Picture:
    caption = " · ".join(_caption(crop))
    if crop.image is None:
        return Picture(caption, error=crop.reason)
    return Picture(caption, data_url(pillow.fromarray(crop.image)), opens=False)


def _remarks(explanation: Explanation) -> list[str]:
    found = []
    if len(explanation.spots) > SHOWN_SPOTS:
        found.append(f"{SHOWN_SPOTS} of {len(explanation.spots)} odd spots are drawn")
    if explanation.similar:
        named = (f"{each.photograph} ({each.distance:.3g})" for each in explanation.similar)
        found.append(f"most similar photographs, with their distances: {', '.join(named)}")
    return found
