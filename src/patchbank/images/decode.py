"""Decode image files, and convert their pixels to those of a photograph."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow
from PIL.ImageFile import ImageFile

from patchbank.errors import ImageError, PatchbankError
from patchbank.images import tiff
from patchbank.images.bit_depth import FULL, DeepPixels
from patchbank.images.file_facts import FileFacts, facts_of, quality_of
from patchbank.images.limits import check_size, without_limit_of_pillow
from patchbank.images.opening import (
    UnknownLayoutError,
    has_more,
    is_deep_pnm,
    opened,
    rawmode_of,
)
from patchbank.images.orientation import orientation_of, upright, upright_image
from patchbank.runtime.printable import one_line
from patchbank.types import Image

Converted = TypeVar("Converted")
Pixels: TypeAlias = pillow.Image | DeepPixels
"""Decoded pixels, upright: with 8 bits a channel, or with 16."""

WHITE = 255
GREY_STEPS = {"L;2": WHITE // 3, "L;4": WHITE // 15}
"""Layout of grey pixels of fewer than 8 bits -> difference of neighbouring greys of 8 bits."""
BAND_PX = 2**24
"""Pixels that are converted at a time."""


def decoded(
    name: str,
    content: Path | bytes | pillow.Image,
    convert: Callable[[str, Pixels], Converted],
) -> Converted:
    """Decode an image and convert it; whatever is wrong becomes an ImageError of one line."""
    return decoded_with_facts(name, content, convert)[0]


def decoded_with_facts(
    name: str,
    content: Path | bytes | pillow.Image,
    convert: Callable[[str, Pixels], Converted],
) -> tuple[Converted, FileFacts]:
    """Decode an image and convert it, as `decoded`, and return the facts of its file too."""
    try:
        if not isinstance(content, pillow.Image):
            pixels, stored = read_pixels(name, content)
            return convert(name, pixels), facts_of(pixels, *stored)
        check_size(name, (content.height, content.width))
        pixels = deep_or_not(content)
        return convert(name, pixels), facts_of(pixels, content.format, quality_of(content))
    except PatchbankError:
        raise
    except pillow.DecompressionBombError as error:
        raise ImageError(
            f"{name}: expected an image that memory can hold, got a decompression bomb ({error}); "
            "split it into smaller images"
        ) from None
    except OSError as error:
        raise ImageError(f"{name}: expected a readable image, got: {reason_of(error)}") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise many types on damaged files
        reason = one_line(f"{type(error).__name__}: {error}")
        raise ImageError(f"{name}: expected a readable image, got: {reason}") from None


def read_pixels(
    name: str, content: Path | bytes
) -> tuple[Pixels, tuple[str | None, int | None, bool]]:
    """Decode an image file: the first of several frames or pages, upright.

    -> The pixels; and the format of the file, the quality of its JPEG compression or None, and
    whether there are more frames or pages.

    Raises:
        ImageError: it is no image that is read, or not one that is read faithfully.
        Exception: it is damaged.
    """
    try:
        with (
            opened(name, content, in_memory=True) as image,
            without_limit_of_pillow(image.width * image.height),
        ):
            stored = image.format, quality_of(image), has_more(image)
            return _pixels_of(name, content, image), stored
    except UnknownLayoutError:
        raw = content if isinstance(content, bytes) else content.read_bytes()
        *_, further = tiff.header_with_tifffile(raw)
        return tiff.read_with_tifffile(name, raw), ("TIFF", None, further)


def _pixels_of(name: str, content: Path | bytes, image: ImageFile) -> Pixels:
    """The pixels of an opened file, upright."""
    if image.format == "TIFF":
        return _read_tiff(name, content, image)
    rawmode = rawmode_of(image)
    if image.format == "PNG" and rawmode.endswith(";16B") and image.mode != "I;16":
        return _deep_png(name, content, image, rawmode)
    if is_deep_pnm(image):
        return DeepPixels(_both_bytes(name, content, image, "RGB;16B", "RGB;16L"))
    load(image)
    if image.format == "PPM" and image.mode == "I":  # from 0 to 65535 by its header
        values = np.asarray(image).astype(np.uint16)
        is_scaled = ";16" not in rawmode
        return pillow.fromarray((values >> 8).astype(np.uint8)) if is_scaled else DeepPixels(values)
    pixels = deep_or_not(image)
    orientation = orientation_of(image)
    if isinstance(pixels, pillow.Image):
        return upright_image(pixels, orientation)
    alpha = None if pixels.alpha is None else upright(pixels.alpha, orientation)
    return DeepPixels(upright(pixels.values, orientation), alpha)


def deep_or_not(image: pillow.Image) -> Pixels:
    """The image itself, or its values if they have 16 bits."""
    if not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image).astype(np.uint16)
    key = image.info.get("transparency")
    return DeepPixels(values, _opacity(values == key) if isinstance(key, int) else None)


def load(image: pillow.Image) -> None:
    """Decode the pixels of an opened image.

    The transparent grey of a PNG of 2 or 4 bits is scaled as its pixels are, which Pillow leaves.
    """
    step = GREY_STEPS.get(rawmode_of(image), 1)
    try:
        image.load()
    except ValueError:
        # A PNG with longer texts behind its pixels than Pillow accepts: the pixels are there.
        if image.format != "PNG" or getattr(image, "tile", None):
            raise
    key = image.info.get("transparency")
    if image.format == "PNG" and isinstance(key, int) and step * key <= WHITE:
        image.info["transparency"] = step * key


def copied(image: pillow.Image) -> pillow.Image | bytes:
    """A decoded copy of a Pillow image, upright: it may itself be closed or changed later.

    A TIFF file that is not decoded yet is copied as its bytes: Pillow reads some of them as other
    pictures.
    """
    is_tiff = image.format == "TIFF" and isinstance(image, ImageFile)
    file: Any = image
    if is_tiff and file.tile and file.fp is not None and file.tell() == 0:
        file.fp.seek(0)
        content: bytes = file.fp.read()
        return content
    load(image)
    copy = image.copy()
    # Pillow turns TIFF files by itself.
    turned = copy if is_tiff else upright_image(copy, orientation_of(image))
    turned.format = image.format  # a copy forgets it
    if hasattr(image, "quantization"):
        turned.quantization = image.quantization  # type: ignore[attr-defined]
    return turned


def rgb(name: str, pixels: Pixels, bit_depth: int = FULL) -> Image:
    """Convert pixels to (H, W, 3) uint8 RGB; what is transparent becomes black.

    Args:
        name: of the image in errors.
        pixels: to convert.
        bit_depth: bits that are in use where there are 16.

    Raises:
        ImageError: they are 32-bit integers or floating-point numbers, or need more bits.
    """
    image = pixels.to_8_bits(name, bit_depth) if isinstance(pixels, DeepPixels) else pixels
    if image.mode in ("I", "F"):
        kind = "32-bit or signed integer" if image.mode == "I" else "floating-point"
        raise ImageError(
            f"{name}: expected 8 or 16 bits a channel, got {kind} numbers, whose black and white "
            "are not known; convert it to 8 or 16 bits"
        )
    if image.mode == "La":  # multiplied by alpha: as on black
        image = image.getchannel(0)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = pillow.new("RGBA", image.size, (0, 0, 0, 255))
        image = pillow.alpha_composite(black, image)
    return _in_bands(image)


def _in_bands(image: pillow.Image) -> Image:
    """Pixels (H, W, 3) of an image: a large one in bands, as Pillow makes two more copies of it."""
    rows = max(BAND_PX // image.width, 1)
    if image.height <= rows:
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    pixels = np.empty((image.height, image.width, 3), dtype=np.uint8)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        band = image.crop((0, top, image.width, bottom))
        pixels[top:bottom] = np.asarray(band if band.mode == "RGB" else band.convert("RGB"))
    pixels.setflags(write=False)  # as those of a small one
    return pixels


def reason_of(error: OSError) -> str:
    """The words of an error of the operating system."""
    return error.strerror or str(error)


def _read_tiff(name: str, content: Path | bytes, image: ImageFile) -> Pixels:
    tags = image.tag_v2  # type: ignore[attr-defined]
    if tiff.is_reduced(tags):
        raise tiff.refusal_of(name, tags)
    if tiff.is_32_bits(tags):
        load(image)
        return image  # for masks; the values of photographs are refused
    if not tiff.is_read_by_pillow(tags):
        raw = content if isinstance(content, bytes) else content.read_bytes()
        return tiff.read_with_tifffile(name, raw)
    rawmode, mode = rawmode_of(image), image.mode
    if ";16" in rawmode and mode in ("RGB", "RGBA"):
        # Colours that are multiplied by alpha are those of the picture on black.
        is_multiplied = rawmode.startswith("RGBa")
        high = rawmode.replace("RGBa", "RGBA")
        values = _both_bytes(name, content, image, high, _other_byte(high))
        alpha = (values[..., 3] >> 8).astype(np.uint8) if mode == "RGBA" else None
        return DeepPixels(values[..., :3], None if is_multiplied else alpha)
    is_inverted = tags.get(tiff.PHOTOMETRIC, tiff.MIN_IS_WHITE) == tiff.MIN_IS_WHITE
    bits = tiff.bits_of(tags)
    load(image)
    if not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image).astype(np.uint16)
    if bits == FULL:
        return DeepPixels(values, None, is_inverted)
    return pillow.fromarray((values >> (bits - 8)).astype(np.uint8))


def _deep_png(name: str, content: Path | bytes, image: ImageFile, rawmode: str) -> DeepPixels:
    values: NDArray[np.uint16]
    alpha: NDArray[np.uint8] | None
    if rawmode == "LA;16B":
        _set_rawmode(image, "RGBA")  # four bytes: grey and alpha, the high one first
        load(image)
        stored = np.asarray(image)
        values = stored[..., 0].astype(np.uint16) << np.uint16(8) | stored[..., 1]
        alpha = stored[..., 2]
    else:
        both = _both_bytes(name, content, image, rawmode, _other_byte(rawmode))
        values = both[..., :3]
        alpha = (both[..., 3] >> 8).astype(np.uint8) if both.shape[2] == 4 else None
        key = image.info.get("transparency")
        if isinstance(key, tuple):
            alpha = _opacity((values == np.array(key)).all(axis=2))
    orientation = orientation_of(image)
    opacity = None if alpha is None else upright(alpha, orientation)
    return DeepPixels(upright(values, orientation), opacity)


def _both_bytes(
    name: str, content: Path | bytes, image: ImageFile, high: str, low: str
) -> NDArray[np.uint16]:
    """Pixels of 16 bits.  Pillow gives one byte of each value, so they are decoded twice.

    Args:
        name: of the image.
        content: of which `image` was opened.
        image: not decoded yet.
        high: layout in the words of Pillow that gives the high byte of each value.
        low: the one that gives the other byte.
    """
    with opened(name, content, in_memory=True) as again:
        _set_rawmode(again, low)
        load(again)
        values = np.asarray(again).astype(np.uint16)
    _set_rawmode(image, high)
    load(image)
    values |= np.asarray(image).astype(np.uint16) << 8
    return values


def _set_rawmode(image: ImageFile, rawmode: str) -> None:
    if is_deep_pnm(image):  # its own decoder keeps 8 bits
        image.tile = [image.tile[0]._replace(codec_name="raw", args=rawmode)]
        return
    image.tile = [
        tile._replace(args=(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode)
        for tile in image.tile
    ]


def _other_byte(rawmode: str) -> str:
    """The layout of the other byte: N is that of the machine, L little-endian, B big-endian."""
    little = rawmode[-1] == "L" or (rawmode[-1] == "N" and sys.byteorder == "little")
    return rawmode[:-1] + ("B" if little else "L")


def _opacity(is_transparent: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(is_transparent, 0, 255).astype(np.uint8)
