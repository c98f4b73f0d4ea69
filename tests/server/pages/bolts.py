"""Drawn photographs of bolts, for pictures that people look at."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = (240, 360)  # height x width
LARGER = 2


def bolt(seed: int, *, nick: bool = False) -> bytes:
    """The PNG file of a bolt that lies nearly level; one with a nick has lost three threads."""
    rng = np.random.default_rng(seed)
    height, width = (side * LARGER for side in SIZE)
    picture = Image.new("L", (width, height), 190)
    draw = ImageDraw.Draw(picture)
    middle, left, right = height // 2, 110, width - 90
    draw.polygon(
        [
            (left, middle - 110),
            (left + 90, middle - 46),
            (left + 90, middle + 46),
            (left, middle + 110),
        ],
        fill=92,
    )
    draw.rectangle([left + 90, middle - 46, right - 60, middle + 46], fill=84)
    draw.polygon([(right - 60, middle - 46), (right, middle), (right - 60, middle + 46)], fill=80)
    for x in range(left + 150, right - 50, 26):
        draw.polygon(
            [(x, middle - 60), (x + 14, middle + 60), (x + 24, middle + 60), (x + 10, middle - 60)],
            fill=126,
        )
    if nick:
        draw.polygon([(430, middle - 75), (505, middle - 75), (470, middle - 8)], fill=190)
        draw.line([(430, middle - 70), (470, middle - 8), (505, middle - 70)], fill=58, width=7)
    turned = picture.rotate(rng.uniform(-2, 2), Image.Resampling.BICUBIC, fillcolor=190)
    small = turned.filter(ImageFilter.GaussianBlur(2)).resize(SIZE[::-1])
    pixels = np.asarray(small, dtype=np.float32)[..., None] * np.array([1.0, 0.99, 0.96])
    pixels += rng.normal(0, 3, pixels.shape)
    stream = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()
