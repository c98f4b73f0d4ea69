"""The largest image that is read."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image as pillow

from patchbank.errors import ImageError, VariableError

VARIABLE = "PATCHBANK_MAX_PIXELS"
"""Environment variable with another limit than DEFAULT_MAX_PIXELS."""
DEFAULT_MAX_PIXELS = 500_000_000
SMALLEST_SIDE_PX = 8

_lifting = threading.Lock()


def max_pixels() -> int:
    """Number of pixels of the largest image that is read.

    Raises:
        VariableError: the environment variable holds no positive integer.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return DEFAULT_MAX_PIXELS
    # Python converts digits of other scripts too, and refuses more than 4300 digits.
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0):
        shown = text if len(text) < 40 else f"{text[:40]}..."
        raise VariableError(f"{VARIABLE}: expected a number of pixels, 1 or more, got {shown!r}")
    return int(text)


def check_size(name: str, size: tuple[int, int]) -> None:
    """Check (height, width) of an image.

    Raises:
        ImageError: a side is shorter than SMALLEST_SIDE_PX, or there are more pixels than
            `max_pixels` allows.
    """
    height, width = size
    if min(size) < SMALLEST_SIDE_PX:
        raise ImageError(
            f"{name}: expected at least {SMALLEST_SIDE_PX} x {SMALLEST_SIDE_PX} pixels, "
            f"got {width} x {height}"
        )
    allowed = max_pixels()
    if width * height > allowed:
        raise ImageError(
            f"{name}: expected at most {allowed / 1e6:g} million pixels, got {width} x {height} "
            f"({width * height / 1e6:,.0f} million, which may be a decompression bomb); set the "
            f"environment variable {VARIABLE}={width * height} to allow it"
        )


@contextmanager
def without_limit_of_pillow(n_pixels: int) -> Iterator[None]:
    """Lift Pillow's own limit while an image of so many pixels is decoded.

    That limit holds for the whole process and prints a warning.  It is set back afterwards, and an
    image below it is decoded without waiting for larger ones.
    """
    limit = pillow.MAX_IMAGE_PIXELS
    if limit is None or n_pixels <= limit:
        yield
        return
    with _lifting:
        limit = pillow.MAX_IMAGE_PIXELS
        pillow.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            pillow.MAX_IMAGE_PIXELS = limit
