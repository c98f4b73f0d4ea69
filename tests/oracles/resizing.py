"""Resizing of 8 bits a channel by Pillow's definition, one weight at a time."""

from __future__ import annotations

import math

import numpy as np

BITS = 22
"""Weights are whole multiples of 2**-22 (PRECISION_BITS of src/libImaging/Resample.c)."""


def _sinc(x):
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


def _bicubic(x):
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


FILTERS = {
    "box": (0.5, lambda x: float(-0.5 < x <= 0.5)),
    "bilinear": (1.0, lambda x: max(1 - abs(x), 0.0)),
    "bicubic": (2.0, _bicubic),
    "lanczos": (3.0, lambda x: _sinc(x) * _sinc(x / 3) if -3 <= x < 3 else 0.0),
}
"""Name -> half the width, and the filter."""


def rows_filtered(image, n_out, name):
    """One pass down the first axis.  (n, ...) -> (n_out, ...)."""
    half, filter_ = FILTERS[name]
    n = len(image)
    scale = n / n_out
    width = max(scale, 1.0)
    made = np.empty((n_out, *image.shape[1:]), np.uint8)
    for i in range(n_out):
        centre = (i + 0.5) * scale
        first = max(int(centre - half * width + 0.5), 0)
        last = min(int(centre + half * width + 0.5), n)
        weights = [filter_((j - centre + 0.5) / width) for j in range(first, last)]
        total = sum(weights)
        shares = [w / total * 2**BITS for w in weights]
        whole = np.array([int(s + math.copysign(0.5, s)) for s in shares])
        sums = np.tensordot(whole, image[first:last].astype(np.int64), axes=1)
        made[i] = np.clip((sums + 2 ** (BITS - 1)) >> BITS, 0, 255)
    return made


def resized(image, size, name):
    """(H, W, c) uint8 -> (*size, c): across, then down."""
    height, width = size
    across = image
    if image.shape[1] != width:
        across = rows_filtered(image.swapaxes(0, 1), width, name).swapaxes(0, 1)
    return across if image.shape[0] == height else rows_filtered(across, height, name)
