"""One picture of an explanation: the overlay, and below it a row of crops for each odd spot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image as pillow
from PIL import ImageDraw, ImageFont

from patchbank.detector.explanation.crops import SHOWN_GOOD, SIDE_PX
from patchbank.runtime.printable import printable

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont

MARGIN_PX = 16
TEXT_PX = 16
SMALL_PX = 13
LINE = 1.4
"""Height of a line by that of its letters."""
OVERLAY_PX = 480
"""Largest side of the overlay."""
PAPER, INK, FAINT = (255, 255, 255), (28, 36, 48), (102, 102, 119)
WIDTH_PX = (SHOWN_GOOD + 1) * (SIDE_PX + MARGIN_PX) + MARGIN_PX


@dataclass(frozen=True, slots=True)
class Row:
    """The crops of one odd spot."""

    title: str
    crops: tuple[tuple[pillow.Image | None, tuple[str, ...]], ...]
    """Each crop, or None where there is none, with the lines below it."""


def sheet(overlay: pillow.Image, title: str, rows: Sequence[Row]) -> pillow.Image:
    """Put overlay, texts and crops on one picture."""
    small = overlay.copy()
    small.thumbnail((OVERLAY_PX, OVERLAY_PX))
    writers = [_Writer(None), _Writer(None)]
    height = _laid_out(writers[0], small, title, rows)
    picture = pillow.new("RGB", (WIDTH_PX, height), PAPER)
    writers[1].picture = picture
    _laid_out(writers[1], small, title, rows)
    return picture


def _laid_out(writer: _Writer, overlay: pillow.Image, title: str, rows: Sequence[Row]) -> int:
    """Write all of it, or measure it where there is no picture yet.  -> its height."""
    top = writer.text(title, (MARGIN_PX, MARGIN_PX), WIDTH_PX - 2 * MARGIN_PX, TEXT_PX, INK)
    writer.image(overlay, (MARGIN_PX, top + MARGIN_PX // 2))
    top += overlay.height + MARGIN_PX
    for row in rows:
        top = writer.text(
            row.title, (MARGIN_PX, top + MARGIN_PX), WIDTH_PX - 2 * MARGIN_PX, TEXT_PX, INK
        )
        top += MARGIN_PX // 2
        bottom = top
        for number, (crop, lines) in enumerate(row.crops):
            left, below = MARGIN_PX + number * (SIDE_PX + MARGIN_PX), top
            if crop is not None:
                writer.image(crop, (left, top))
                below += crop.height
            for line in lines:
                below = writer.text(line, (left, below), SIDE_PX, SMALL_PX, FAINT)
            bottom = max(bottom, below)
        top = bottom
    return top + MARGIN_PX


class _Writer:
    """Writes on a picture; without one it only measures."""

    def __init__(self, picture: pillow.Image | None) -> None:
        self.picture = picture

    def image(self, image: pillow.Image, corner: tuple[int, int]) -> None:
        if self.picture is not None:
            self.picture.paste(image, corner)

    def text(
        self,
        text: str,
        corner: tuple[int, int],
        width: int,
        size_px: int,
        colour: tuple[int, int, int],
    ) -> int:
        """Write a text in lines of at most `width` pixels.  -> the row below it."""
        font, (left, top) = ImageFont.load_default(size_px), corner
        for line in wrapped(printable(text), font, width):
            if self.picture is not None:
                ImageDraw.Draw(self.picture).text((left, top), line, fill=colour, font=font)
            top += round(LINE * size_px)
        return top


def wrapped(text: str, font: FreeTypeFont | BitmapFont, width: float) -> list[str]:
    """Break a text into lines, at spaces where that is possible.

    Args:
        text: to break.
        font: it is written in.
        width: of a line in pixels.
    """
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:  # a word that is longer than a line is broken anywhere
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines
