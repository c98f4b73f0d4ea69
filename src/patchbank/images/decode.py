"""Open image files and convert their pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image as pillow
from PIL import ImageOps, UnidentifiedImageError

from patchbank.errors import ImageError

Decoded = TypeVar("Decoded")

SMALLEST_SIDE_PX = 8


def decoded(
    name: str,
    content: Path | bytes | pillow.Image,
    convert: Callable[[str, pillow.Image], Decoded],
) -> Decoded:
    """Open an image and convert it; whatever is wrong becomes an ImageError of one line."""
    try:
        if isinstance(content, pillow.Image):
            check_size(name, content.size)
            return convert(name, content)
        with pillow.open(openable(content)) as opened:
            check_size(name, opened.size)
            return convert(name, opened)
    except ImageError:
        raise
    except UnidentifiedImageError:
        empty = len(content) == 0 if isinstance(content, bytes) else _is_empty_file(content)
        found = "an empty file" if empty else "something else"
        raise ImageError(
            f"{name}: expected a PNG, JPEG, TIFF, BMP or WebP image, got {found}"
        ) from None
    except pillow.DecompressionBombError as error:
        raise ImageError(
            f"{name}: expected an image that memory can hold, got a decompression bomb ({error}); "
            "split it into smaller images"
        ) from None
    except OSError as error:
        raise ImageError(f"{name}: expected a readable image, got: {reason_of(error)}") from None
    except Exception as error:  # decoders raise many types on damaged files
        reason = f"{type(error).__name__}: {error}"
        raise ImageError(f"{name}: expected a readable image, got: {reason}") from None


def _is_empty_file(content: Path | pillow.Image) -> bool:
    return isinstance(content, Path) and content.stat().st_size == 0


def openable(content: Path | bytes) -> Path | io.BytesIO:
    """The argument of `PIL.Image.open` for a file or the contents of one."""
    return io.BytesIO(content) if isinstance(content, bytes) else content


def rgb(name: str, opened: pillow.Image) -> pillow.Image:
    """Convert an opened image to RGB, upright.

    Raises:
        ImageError: its pixels are 32-bit integers or floating-point numbers.
    """
    ImageOps.exif_transpose(opened, in_place=True)  # no copy unless it turns
    image = opened
    sixteen_bits = image.mode.startswith("I;16")
    # Older versions of Pillow open a PNG of 16 bits in mode I.
    if image.mode == "I" and opened.format == "PNG":
        sixteen_bits = True
    if sixteen_bits:
        image = pillow.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        kind = "32-bit integer" if image.mode == "I" else "floating-point"
        raise ImageError(f"{name}: expected 8 or 16 bits a channel, got {kind} numbers")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = pillow.new("RGBA", image.size, (0, 0, 0, 255))
        image = pillow.alpha_composite(black, image)
    image.load()  # before the file is closed
    return image if image.mode == "RGB" else image.convert("RGB")


def check_size(name: str, size: tuple[int, int]) -> None:
    """Check (width, height) of an image.

    Raises:
        ImageError: a side is shorter than SMALLEST_SIDE_PX.
    """
    width, height = size
    if min(size) < SMALLEST_SIDE_PX:
        raise ImageError(
            f"{name}: expected at least {SMALLEST_SIDE_PX} x {SMALLEST_SIDE_PX} pixels, "
            f"got {width} x {height}"
        )


def reason_of(error: OSError) -> str:
    """The words of an error of the operating system."""
    return error.strerror or str(error)
