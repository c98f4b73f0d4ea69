"""Small pictures of photographs, encoded to travel in a file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image as pillow
from PIL import features

from patchbank.core.spatial.box import Box
from patchbank.images.resize import resized
from patchbank.types import Image

QUALITY = 70
"""Quality of the encoded pictures, of 100."""
EFFORT = 2
"""WebP method: from 0, fast, to 6, small."""
LARGEST_SIDE_PX = 16_000
"""Largest side of an encoded picture; WebP has no larger ones than 16383."""


@dataclass(frozen=True, slots=True)
class SmallPicture:
    """An encoded picture of a part of a photograph."""

    box: Box
    """The part that it shows, in pixels of the photograph."""
    content: bytes
    """A WebP file, or a JPEG file where Pillow has no WebP."""

    @classmethod
    def of(cls, image: Image, box: Box | None, scale: float) -> SmallPicture:
        """Make the picture of an image, (H, W, 3).

        Args:
            image: the photograph.
            box: the part that is shown; None for all of it.
            scale: pixels of the picture by those of the photograph, at most 1.
        """
        shown = Box(0, 0, *image.shape[:2]) if box is None else box
        scale = min(scale, LARGEST_SIDE_PX / max(shown.height, shown.width))
        size = max(1, round(scale * shown.height)), max(1, round(scale * shown.width))
        small = resized(np.ascontiguousarray(shown.of(image)), size, "bicubic")
        return cls(shown, encoded(small))


@dataclass(frozen=True, slots=True)
class PictureScale:
    """Size of small pictures: a picture shows what a network sees, or less, and never more."""

    input_px: int | tuple[int, int] | None
    """(height, width) of the network's input, or the side of a square of its area; None for
    photographs that it sees at their own resolution."""
    factor: float = 1.0
    """Side of the pictures by that."""

    def n_pixels(self, n_pixels: float) -> float:
        """Pixels of the picture of a photograph with so many, at most."""
        if self.input_px is None:
            return n_pixels
        sides = self.input_px if isinstance(self.input_px, tuple) else (self.input_px,) * 2
        return min(n_pixels, float(sides[0] * sides[1]))

    def picture(self, image: Image, box: Box | None) -> SmallPicture:
        """The picture of a photograph, (H, W, 3), or of a box of it."""
        height, width = image.shape[:2] if box is None else (box.height, box.width)
        scale = 1.0
        if isinstance(self.input_px, tuple):
            scale = max(self.input_px[0] / height, self.input_px[1] / width)
        elif self.input_px is not None:
            scale = self.input_px / (height * width) ** 0.5
        return SmallPicture.of(image, box, self.factor * min(1.0, scale))


def encoded(image: Image) -> bytes:
    """An image, (H, W, 3), as the content of a small file; always the same for the same image."""
    stream = io.BytesIO()
    if _has_webp():
        pillow.fromarray(image).save(stream, "WEBP", quality=QUALITY, method=EFFORT)
    else:
        pillow.fromarray(image).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


@cache
def _has_webp() -> bool:
    return bool(features.check("webp"))
