"""Overlays: a photograph with its anomaly map, regions and verdict drawn over it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.core.spatial.box import Box
from patchbank.core.spatial.regions import Region
from patchbank.errors import DataError
from patchbank.types import AnomalyMap, Image, Mask

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

SMALLEST_SIDE_PX = 400  # smaller photographs are enlarged, so that boxes and caption fit
CAPTION_PX = 26
CAPTION_MARGIN_PX = 8
RED, GREEN, INK = (214, 39, 40), (34, 139, 70), (255, 255, 255)
HEAT = np.array([(255, 236, 120), (255, 140, 0), (200, 0, 30)], dtype=np.float32)
FAINT, FULL = 0.8, 1.4  # map / pixel threshold where colour begins, and where it is strongest
OPACITY = 0.55
BAND_PIXELS = 2**19  # painted at a time, with 120 bytes a pixel
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
        """The box of the inspected part of the photograph."""
        ...

    @property
    def inspected(self) -> Mask | None:
        """(h, w) of the box: True for pixels that are inspected; None if all are."""
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


def draw_overlay(image: Image, inspection: Drawable, *, has_caption: bool = True) -> pillow.Image:
    """Draw map and regions over an image, (H, W, 3), and the verdict into a caption above it.

    A colour has the same meaning on every picture: colours begin a little below the pixel
    threshold, so that a good part stays as it is.  The picture is painted in bands: but for it and
    the map, 4 bytes a pixel each, nothing grows with the photograph.
    """
    from PIL import ImageDraw  # not needed for a verdict

    height, width = image.shape[:2]
    scale = max(1, -(-SMALLEST_SIDE_PX // max(height, width)))
    caption = max(CAPTION_PX, scale * width // 40) if has_caption else 0
    picture = pillow.new("RGB", (scale * width, scale * height + caption))
    _paint(picture, image, inspection, scale, caption)
    draw = ImageDraw.Draw(picture)
    line = max(2, scale * max(height, width) // 300)
    for region in inspection.regions:
        right, bottom = region.left + region.width, region.top + region.height
        box = [scale * side for side in (region.left, region.top, right, bottom)]
        corners = [box[0], caption + box[1], box[2] - 1, caption + box[3] - 1]
        draw.rectangle(corners, outline=RED, width=line)
    if has_caption:
        _write_caption(draw, inspection, (picture.width, caption))
    return picture


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


def _paint(
    picture: pillow.Image, image: Image, inspection: Drawable, scale: int, caption: int
) -> None:
    """Paint the image with its heat colours below the caption, in bands."""
    normal, unit = inspection.normal_map_value, heat_unit(inspection)
    anomaly_map, box, inspected = inspection.anomaly_map, inspection.box, inspection.inspected
    height, width = image.shape[:2]
    # An enlarged picture is small, and is enlarged as a whole: pixels mix across bands.
    n_rows = max(1, BAND_PIXELS // width) if scale == 1 else height
    for begin in range(0, height, n_rows):
        rows = slice(begin, begin + n_rows)
        strength = heat_strength(anomaly_map[rows], normal, unit)
        band = pillow.fromarray(_blended(lit(image[rows], box, inspected, begin), strength))
        enlarged = band.resize((band.width * scale, band.height * scale))
        picture.paste(enlarged, (0, caption + scale * begin))


def heat_unit(inspection: Drawable) -> float:
    """Difference between the pixel threshold and the value of a normal patch; never 0."""
    return max(inspection.pixel_threshold - inspection.normal_map_value, SMALLEST_THRESHOLD)


def heat_strength(values: AnomalyMap, normal: float, unit: float) -> NDArray[np.float32]:
    """Strength of the colour of map values, from 0 to 1: none a little below the pixel threshold.

    Args:
        values: (h, W) of an anomaly map.
        normal: value of a normal patch.
        unit: as `heat_unit` gives it.
    """
    strength: NDArray[np.float32] = np.clip(
        ((values - normal) / unit - FAINT) / (FULL - FAINT), 0, 1
    )
    return strength


def heat_layer(strength: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The colours of an (h, W) strength as a layer to lay over a photograph.  -> (h, W, 4), RGBA.

    >>> heat_layer(np.array([[0, 1]], np.float32)).tolist()
    [[[255, 236, 120, 0], [200, 0, 30, 140]]]
    """
    position = strength * (len(HEAT) - 1)
    low = np.minimum(position.astype(np.intp), len(HEAT) - 2)
    share = (position - low)[..., None]
    colours = HEAT[low] * (1 - share) + HEAT[low + 1] * share
    opacity = 255 * OPACITY * np.minimum(strength * 4, 1)
    layer = np.concatenate([colours, opacity[..., None]], axis=2)
    return layer.astype(np.uint8)


def lit(band: Image, box: Box, inspected: Mask | None, begin: int = 0) -> Image:
    """Darken some rows of an image outside the inspected part.

    Args:
        band: (h, W, 3) rows of the image.
        box: of the inspected part, in the image.
        inspected: True for the pixels of the box that are inspected; None if all are.
        begin: number of the first row.
    """
    rows = slice(max(box.top - begin, 0), max(box.top + box.height - begin, 0))
    inside = rows, slice(box.left, box.left + box.width)
    if band[inside].shape == band.shape and inspected is None:
        return band
    lit = (band * DARK).astype(np.uint8)
    if inspected is None:
        lit[inside] = band[inside]
    else:
        first = max(begin - box.top, 0)
        own = inspected[first : first + band[inside].shape[0]]
        lit[inside][own] = band[inside][own]
    return lit


def _blended(band: Image, strength: NDArray[np.float32]) -> Image:
    """Some rows of an image with heat colours by their strength, (h, W) from 0 to 1."""
    coloured = strength > 0
    if not coloured.any():
        return band
    strength = strength[coloured]  # (n,)
    position = strength * (len(HEAT) - 1)
    low = np.minimum(position.astype(np.intp), len(HEAT) - 2)
    share = position - low
    opacity = OPACITY * np.minimum(strength * 4, 1)
    blended = band.copy()
    for channel, colours in enumerate(HEAT.T):  # one at a time: arrays of 3 columns are slow
        colour = colours[low] * (1 - share) + colours[low + 1] * share
        mixed = band[..., channel][coloured] * (1 - opacity) + colour * opacity
        blended[..., channel][coloured] = mixed.astype(np.uint8)
    return blended


def _write_caption(draw: ImageDraw, inspection: Drawable, size: tuple[int, int]) -> None:
    """Write the verdict into the top of a picture, (width, height) pixels large."""
    from PIL import ImageFont  # not needed for a verdict

    width, height = size
    verdict, colour = ("anomalous", RED) if inspection.is_anomalous else ("good", GREEN)
    text = (
        f"{verdict}   score {inspection.score:.4g} / {inspection.threshold:.4g}   "
        f"p = {inspection.p_value:.2g}"
    )
    draw.rectangle([0, 0, width - 1, height - 1], fill=colour)
    font_size = height * 0.62
    font = ImageFont.load_default(font_size)
    while font_size > 1.5 and font.getlength(text) > width - 2 * CAPTION_MARGIN_PX:
        font_size -= 0.5  # lengths are not proportional to sizes, as letters begin at whole pixels
        font = ImageFont.load_default(font_size)
    draw.text((CAPTION_MARGIN_PX, height / 2), text, fill=INK, font=font, anchor="lm")
