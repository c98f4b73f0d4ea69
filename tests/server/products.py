"""Photographs of two products, and of none, and detectors for them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from patchbank import PatchCore
from tests.photographs import part

SIZE = (96, 136)


def board(seed, *, defect=0):
    """Squares of two greys."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    grey = np.where((y // 9 + x // 9) % 2, 170, 60) + rng.normal(0, 4, SIZE)
    grey[np.hypot(y - 30, x - 40) < defect] = 250
    return np.repeat(np.clip(grey, 0, 255)[..., None], 3, axis=2).astype(np.uint8)


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def ring(seed, **options):
    return part(seed, size=SIZE, **options)


def encoded(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def fit_two(folder):
    """Fit the detectors of the products parts and boards."""
    recipe = PatchCore.preset("fast", image_size=128, false_alarm_rate=0.1)
    for name, draw in (("parts", ring), ("boards", board)):
        found = recipe.fit([draw(seed) for seed in range(8)], groups="none", device="cpu")
        found.save(folder / f"{name}.patchbank")
