"""Photographs on a page, as data URLs: a page has no other files."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image as pillow

from patchbank.detector.inspection import Inspection
from patchbank.detector.overlay import draw_overlay, lit
from patchbank.images.roi import RegionOfInterest
from patchbank.images.source import ImageSource

PICTURE_PX = 360
"""Largest side of a picture."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One photograph of a gallery, plain and, where it was inspected, with its overlay."""

    caption: str
    photograph: str = ""
    overlay: str = ""
    error: str = ""
    """Reason why it could not be drawn; then there are no data URLs."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Photographs that have something in common."""

    title: str
    remark: str
    pictures: tuple[Picture, ...]


def draw_inspection(caption: str, inspection: Inspection) -> Picture:
    """A photograph with its overlay next to it, or the reason why it cannot be drawn."""

    def urls() -> tuple[str, str]:
        image = inspection.pixels
        overlay = draw_overlay(image, inspection)
        return data_url(pillow.fromarray(image)), data_url(overlay)

    return _drawn(caption, urls)


def draw_photograph(
    caption: str, source: ImageSource, roi: RegionOfInterest | None = None
) -> Picture:
    """A photograph, dark outside a region of interest; or the reason why it cannot be drawn."""

    def urls() -> tuple[str, str]:
        image = source.read()
        if roi is not None:
            part = roi.on((image.shape[0], image.shape[1]))
            image = lit(image, part.box, part.mask)
        return data_url(pillow.fromarray(image)), ""

    return _drawn(caption, urls)


def data_url(picture: pillow.Image) -> str:
    """A small JPEG of a picture, which is made small itself, as a data URL."""
    picture.thumbnail((PICTURE_PX, PICTURE_PX))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _drawn(caption: str, urls: Callable[[], tuple[str, str]]) -> Picture:
    try:
        return Picture(caption, *urls())
    except Exception as error:  # whatever is wrong with one picture, the page is written
        return Picture(caption, error=str(error) or type(error).__name__)
