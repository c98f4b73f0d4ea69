"""Pictures for people: the photograph with its anomaly map and regions drawn over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow
from PIL import ImageDraw, ImageFont

from patchbank.detector.inspection import Inspection
from patchbank.detector.preprocessing import Box
from patchbank.errors import DataError
from patchbank.types import Image

SMALLEST_SIDE_PX = 400  # smaller photographs are enlarged, so that boxes and words fit
CAPTION_PX = 26
RED, GREEN, INK = (214, 39, 40), (34, 139, 70), (255, 255, 255)
HEAT = np.array([(255, 236, 120), (255, 140, 0), (200, 0, 30)], dtype=np.float32)
FAINT, FULL = 0.8, 1.4  # map over pixel threshold, where colour begins and where it is strongest
OPACITY = 0.55
DARK = 0.35  # of the light, where the photograph was not looked at
SMALLEST_THRESHOLD = 1e-6  # good parts that are all alike leave a threshold of 0


def draw_overlay(image: Image, inspection: Inspection) -> pillow.Image:
    """Draw map, regions and verdict over a photograph.

    Colours mean the same on every picture: they begin below the pixel threshold, so that a good
    part looks good.
    """
    zero = inspection.normal_map_value
    unit = max(inspection.pixel_threshold - zero, SMALLEST_THRESHOLD)
    heat = (inspection.anomaly_map - zero) / unit
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


def write_picture(picture: pillow.Image, path: Path) -> None:
    """Save a picture in the format that its suffix names.

    Raises:
        DataError: an unknown suffix, or a place that cannot be written to.
    """
    try:
        picture.save(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: expected a place and a suffix for a picture, got: {error}"
        ) from None


def _lit(image: Image, box: Box) -> Image:
    """The photograph, dark where it was not looked at."""
    if image.shape[:2] == (box.height, box.width):
        return image
    lit = (image * DARK).astype(np.uint8)
    box.of(lit)[...] = box.of(image)
    return lit


def _blended(image: Image, strength: NDArray[np.float32]) -> Image:
    position = strength * (len(HEAT) - 1)
    low = np.minimum(position.astype(np.intp), len(HEAT) - 2)
    share = (position - low)[..., None]
    colour = HEAT[low] * (1 - share) + HEAT[low + 1] * share  # (H, W, 3)
    opacity = (OPACITY * np.minimum(strength * 4, 1))[..., None]
    blended: Image = (image * (1 - opacity) + colour * opacity).astype(np.uint8)
    return blended


def _captioned(picture: pillow.Image, inspection: Inspection) -> pillow.Image:
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
