"""Overlays: a photograph with its anomaly map, regions and verdict drawn over it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.core.spatial.regions import Region
from patchbank.detector.preprocessing import Box
from patchbank.errors import DataError
from patchbank.types import AnomalyMap, Image

SMALLEST_SIDE_PX = 400  # smaller photographs are enlarged, so that boxes and caption fit
CAPTION_PX = 26
RED, GREEN, INK = (214, 39, 40), (34, 139, 70), (255, 255, 255)
HEAT = np.array([(255, 236, 120), (255, 140, 0), (200, 0, 30)], dtype=np.float32)
FAINT, FULL = 0.8, 1.4  # map / pixel threshold where colour begins, and where it is strongest
OPACITY = 0.55
BLENDED_ROWS = 128
DARK = 0.35  # brightness of the part that was not inspected
SMALLEST_THRESHOLD = 1e-6  # identical good images give a threshold of 0


class Drawable(Protocol):
    """The results that a picture shows; an `Inspection` has them."""

    @property
    def anomaly_map(self) -> AnomalyMap:
        """(H, W) in the pixels of the photograph."""
        ...

    @property
    def normal_map_value(self) -> float:
        """Value of the map for a patch that does not differ from good parts."""
        ...

    @property
    def pixel_threshold(self) -> float:
        """Value of the map above which a pixel belongs to a region."""
        ...

    @property
    def box(self) -> Box:
        """The inspected part of the photograph."""
        ...

    @property
    def regions(self) -> Sequence[Region]:
        """Boxes to draw."""
        ...

    @property
    def is_anomalous(self) -> bool:
        """The verdict of the caption."""
        ...

    @property
    def score(self) -> float:
        """Image score."""
        ...

    @property
    def threshold(self) -> float:
        """The score above which an image is anomalous."""
        ...

    @property
    def p_value(self) -> float:
        """Probability that a good image scores this high or higher."""
        ...


def draw_overlay(image: Image, inspection: Drawable) -> pillow.Image:
    """Draw map, regions and verdict over an image, (H, W, 3).

    A colour has the same meaning on every picture: colours begin a little below the pixel
    threshold, so that a good part stays as it is.
    """
    from PIL import ImageDraw  # not needed for a verdict

    normal = inspection.normal_map_value
    unit = max(inspection.pixel_threshold - normal, SMALLEST_THRESHOLD)
    heat = (inspection.anomaly_map - normal) / unit
    strength = np.clip((heat - FAINT) / (FULL - FAINT), 0, 1)  # (H, W)
    picture = pillow.fromarray(_blended(_lit(image, inspection.box), strength))
    scale = max(1, -(-SMALLEST_SIDE_PX // max(picture.size)))
    picture = picture.resize((picture.width * scale, picture.height * scale))
    draw = ImageDraw.Draw(picture)
    line = max(2, max(picture.size) // 300)
    for region in inspection.regions:
        right, bottom = region.left + region.width, region.top + region.height
        box = [scale * side for side in (region.left, region.top, right, bottom)]
        draw.rectangle([box[0], box[1], box[2] - 1, box[3] - 1], outline=RED, width=line)
    return _captioned(picture, inspection)


def png_bytes(picture: pillow.Image) -> bytes:
    """Encode a picture as the content of a PNG file."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def write_picture(picture: pillow.Image, path: Path) -> None:
    """Save a picture in the format that its suffix names.

    Raises:
        DataError: the suffix is unknown, or the file cannot be written.
    """
    try:
        picture.save(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: expected a path and a suffix for a picture, got: {error}"
        ) from None


def _lit(image: Image, box: Box) -> Image:
    """The image, darkened outside the inspected part."""
    if image.shape[:2] == (box.height, box.width):
        return image
    lit = (image * DARK).astype(np.uint8)
    box.of(lit)[...] = box.of(image)
    return lit


def _blended(image: Image, strength: NDArray[np.float32]) -> Image:
    """The image with heat colours by their strength, (H, W) from 0 to 1."""
    blended = np.empty_like(image)
    for begin in range(0, len(image), BLENDED_ROWS):  # a strip takes 50 bytes a pixel
        rows = slice(begin, begin + BLENDED_ROWS)
        blended[rows] = _blended_strip(image[rows], strength[rows])
    return blended


def _blended_strip(image: Image, strength: NDArray[np.float32]) -> NDArray[np.float32]:
    position = strength * (len(HEAT) - 1)
    low = np.minimum(position.astype(np.intp), len(HEAT) - 2)
    share = (position - low)[..., None]
    colour = HEAT[low] * (1 - share) + HEAT[low + 1] * share  # (h, W, 3)
    opacity = (OPACITY * np.minimum(strength * 4, 1))[..., None]
    blended: NDArray[np.float32] = image * (1 - opacity) + colour * opacity
    return blended


def _captioned(picture: pillow.Image, inspection: Drawable) -> pillow.Image:
    from PIL import ImageDraw, ImageFont  # not needed for a verdict

    size = max(CAPTION_PX, picture.width // 40)
    verdict, colour = ("anomalous", RED) if inspection.is_anomalous else ("good", GREEN)
    text = (
        f"{verdict}   score {inspection.score:.4g} / {inspection.threshold:.4g}   "
        f"p = {inspection.p_value:.2g}"
    )
    font = ImageFont.load_default(size * 0.62)
    framed = pillow.new("RGB", (picture.width, picture.height + size), colour)
    framed.paste(picture, (0, size))
    ImageDraw.Draw(framed).text((8, size / 2), text, fill=INK, font=font, anchor="lm")
    return framed
