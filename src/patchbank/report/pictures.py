"""Photographs on a page, as data URLs: a page has no other files.

A photograph is in the page once, as large as it is shown in full; its marks are outlines and a
layer of colours, which are drawn over it at any size.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image as pillow

from patchbank.detector.inspection import Inspection
from patchbank.detector.overlay import heat_layer, heat_strength, heat_unit, lit
from patchbank.images.roi import RegionOfInterest
from patchbank.images.source import ImageSource
from patchbank.report.outlines import cell_px, outline, reduced
from patchbank.types import Image, Mask

PICTURE_PX = 720
"""Largest side of a photograph with marks."""
PLAIN_PX = 480
"""Largest side of a photograph without."""
JPEG_QUALITY = 80
HEAT_QUALITY = 70


@dataclass(frozen=True, slots=True)
class Marks:
    """Drawings over a photograph; outlines are paths in halves of `cell` pixels."""

    cell: int
    found: str
    """Outline of what lies above the pixel threshold."""
    heat: str
    """Data URL of the colours of the anomaly map; empty if it has none."""
    defect: str = ""
    """Outline of the true defect."""
    dark: str = ""
    """Outline of what is not inspected."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a photograph, and whether it is right."""

    state: str
    """``ok`` or ``ng``."""
    text: str
    """Score and p-value."""
    wrong: str = ""
    """``missed`` or ``false alarm``."""

    @property
    def word(self) -> str:
        """The verdict as pages write it."""
        return self.state.upper()


@dataclass(frozen=True, slots=True)
class Picture:
    """One photograph of a gallery, plain and, where it was inspected, with its marks."""

    caption: str
    photograph: str = ""
    """Data URL."""
    size: tuple[int, int] = (0, 0)
    """(width, height) of the photograph itself."""
    marks: Marks | None = None
    verdict: Verdict | None = None
    error: str = ""
    """Reason why it could not be drawn; then there are no data URLs."""
    opens: bool = True
    """Whether it can be opened in full."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """Photographs that have something in common."""

    title: str
    remark: str
    pictures: tuple[Picture, ...]


def draw_inspection(
    caption: str,
    inspection: Inspection,
    *,
    is_defect: bool | None = None,
    defect: Callable[[], Mask | None] = lambda: None,
    side_px: int = PICTURE_PX,
) -> Picture:
    """A photograph with its marks, or the reason why it cannot be drawn.

    Args:
        caption: below it.
        inspection: of the photograph.
        is_defect: its label; None where it has none.
        defect: reads the (H, W) mask of the true defect, if there is one.
        side_px: largest side.
    """

    def draw() -> Picture:
        image = inspection.pixels
        return Picture(
            caption, data_url(pillow.fromarray(image), side_px), _size(image), _marks(inspection)
        )

    verdict = verdict_on(inspection, is_defect)
    drawn = replace(_drawn(caption, draw), verdict=verdict)
    if drawn.marks is None:
        return drawn
    try:
        mask = defect()
    except Exception:  # a mask that is gone is no reason to show no photograph
        mask = None
    shown = "" if mask is None else outline(mask)
    return replace(drawn, marks=replace(drawn.marks, defect=shown))


def draw_photograph(
    caption: str,
    source: ImageSource,
    roi: RegionOfInterest | None = None,
    *,
    side_px: int = PLAIN_PX,
) -> Picture:
    """A photograph, dark outside a region of interest; or the reason why it cannot be drawn."""

    def draw() -> Picture:
        image = source.read()
        if roi is not None:
            part = roi.on((image.shape[0], image.shape[1]))
            image = lit(image, part.box, part.mask)
        return Picture(caption, data_url(pillow.fromarray(image), side_px), _size(image))

    return _drawn(caption, draw)


def verdict_on(inspection: Inspection, is_defect: bool | None = None) -> Verdict:
    """The verdict of an inspection, in the words of a page."""
    flagged = inspection.is_anomalous
    share = inspection.score / inspection.threshold if inspection.threshold > 0 else None
    parts = [f"score {inspection.score:.4g}"]
    if share is not None and np.isfinite(share):
        parts.append(f"{100 * share:.3g} % of the threshold")
    parts.append(f"p = {inspection.p_value:.2g}")
    wrong = {(True, False): "missed", (False, True): "false alarm"}
    return Verdict(
        "ng" if flagged else "ok",
        ", ".join(parts),
        "" if is_defect is None else wrong.get((is_defect, flagged), ""),
    )


def data_url(picture: pillow.Image, side_px: int = PLAIN_PX) -> str:
    """A JPEG of a picture, which is made small itself, as a data URL."""
    picture.thumbnail((side_px, side_px))
    return _encoded(picture, "JPEG", JPEG_QUALITY)


def _marks(inspection: Inspection) -> Marks:
    anomaly_map = inspection.anomaly_map
    cell = cell_px(anomaly_map.shape)
    values = reduced(anomaly_map, cell)
    strength = heat_strength(values, inspection.normal_map_value, heat_unit(inspection))
    has_heat = bool(strength.any())
    box, inside = inspection.box, inspection.inspected
    dark = np.ones(anomaly_map.shape, np.bool_)
    box.of(dark)[...] = False if inside is None else ~inside
    return Marks(
        cell,
        outline(anomaly_map > inspection.pixel_threshold),
        _encoded(pillow.fromarray(heat_layer(strength)), "WEBP", HEAT_QUALITY) if has_heat else "",
        dark=outline(dark),
    )


def _size(image: Image) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _encoded(picture: pillow.Image, kind: str, quality: int) -> str:
    stream = io.BytesIO()
    picture.save(stream, kind, quality=quality)
    content = base64.b64encode(stream.getvalue()).decode()
    return f"data:image/{kind.lower()};base64,{content}"


def _drawn(caption: str, draw: Callable[[], Picture]) -> Picture:
    try:
        return draw()
    except Exception as error:  # whatever is wrong with one picture, the page is written
        return Picture(caption, error=str(error) or type(error).__name__)
