"""TIFF files: which of them Pillow reads right, and how the others are read or refused.

Pillow reads some layouts as other pictures without an error.  So it reads only those that tests
compare with another reader; tifffile reads a few more; the rest is refused.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as pillow

from patchbank.errors import ImageError
from patchbank.images.bit_depth import FULL, DeepPixels
from patchbank.images.limits import check_size, max_pixels
from patchbank.images.orientation import SWAPPED, upright

SUBFILE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = (
    254,
    256,
    257,
    258,
    259,
    262,
    266,
)
STRIP_OFFSETS, ORIENTATION, SAMPLES, STRIP_ROWS, STRIP_BYTES, PLANAR = 273, 274, 277, 278, 279, 284
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES, INK_SET, EXTRA, FORMAT = (
    322,
    323,
    324,
    325,
    332,
    338,
    339,
)
NONE, OLD_JPEG, JPEG, CCITT, PACKBITS = 1, 6, 7, (2, 3, 4), 32773
DEFLATE, LZW, ZSTD, LZMA = (8, 32946), 5, 50000, 34925
MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
UNSIGNED = 1
MOST_SAMPLES = 16  # of a pixel: a small file may hold thousands, all of which are decoded

Tags = Mapping[int, Any]


def is_read_by_pillow(tags: Tags) -> bool:
    """Whether Pillow is known to read a file with these tags right."""
    bits, extra = _tuple(tags, BITS, 1), _tuple(tags, EXTRA)
    compression, planar = tags.get(COMPRESSION, NONE), tags.get(PLANAR, 1) == 2
    photometric = tags.get(PHOTOMETRIC, MIN_IS_WHITE)
    is_compression_known = compression in (
        NONE,
        *CCITT,
        LZW,
        JPEG,
        *DEFLATE,
        PACKBITS,
        ZSTD,
        LZMA,
    )
    is_colour_known = photometric in (MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, LAB) or (
        (photometric == CMYK and tags.get(INK_SET, 1) == 1)
        or (photometric == YCBCR and compression == JPEG)
    )
    if planar and len(bits) > 1:
        is_layout_known = max(bits) == 8 and photometric in (RGB, CMYK) and extra in ((), (2,))
    else:
        is_layout_known = not extra or compression != NONE or not planar
    return (
        is_compression_known
        and is_colour_known
        and is_layout_known
        and set(_tuple(tags, FORMAT, UNSIGNED)) == {UNSIGNED}
        and max(bits) <= 16
        and (TILE_WIDTH not in tags or bits[0] in (1, 8, 16))
        and (tags.get(FILL_ORDER, 1) == 1 or compression in (NONE, *CCITT))
        and _is_complete(tags)
    )


def is_32_bits(tags: Tags) -> bool:
    """Whether a file has one channel of signed or floating-point numbers, or of 32 bits."""
    bits = _tuple(tags, BITS, 1)
    return len(bits) == 1 and (
        bits[0] == 32 or (bits[0] > 8 and _tuple(tags, FORMAT, UNSIGNED) != (UNSIGNED,))
    )


def is_reduced(tags: Tags) -> bool:
    """Whether the first page is a smaller copy of another one, as in camera raw files."""
    return bool(int(tags.get(SUBFILE, 0)) & 1)


def is_lossy(tags: Tags) -> bool:
    """Whether the compression changes values."""
    return tags.get(COMPRESSION) in (OLD_JPEG, JPEG)


def size_of(tags: Tags) -> tuple[int, int]:
    """(height, width) of the upright picture."""
    height, width = int(tags[LENGTH]), int(tags[WIDTH])
    return (width, height) if tags.get(ORIENTATION) in SWAPPED else (height, width)


def bits_of(tags: Tags) -> int:
    """Bits of a channel."""
    return max(_tuple(tags, BITS, 1))


def is_deep(tags: Tags) -> bool:
    """Whether it has 16 bits a channel, of which the file does not say how many are in use."""
    return bits_of(tags) == FULL and tags.get(PHOTOMETRIC) in (
        None,
        MIN_IS_WHITE,
        MIN_IS_BLACK,
        RGB,
    )


def header_with_tifffile(content: bytes) -> tuple[int, int, bool, bool]:
    """Facts of a file that Pillow does not open.

    -> (height, width) of the upright picture, `is_deep`, and whether there are further pages.
    """
    with _tifffile(content) as file:
        tags = _tags(file.pages.first)
        return *size_of(tags), is_deep(tags), len(file.pages) > 1


def read_with_tifffile(name: str, content: bytes) -> pillow.Image | DeepPixels:
    """Read the first page of a file that Pillow does not read right.

    Raises:
        ImageError: it is of a kind that is not read faithfully.
    """
    with _tifffile(content) as file:
        page = file.pages.first
        tags = _tags(page)
        kind = _kind(tags)
        is_known = (
            page.photometric in (MIN_IS_WHITE, MIN_IS_BLACK, RGB)
            and page.imagedepth == 1
            and tags.get(COMPRESSION) != OLD_JPEG
            and page.dtype is not None
            and page.dtype.newbyteorder("=") in (np.dtype(np.uint8), np.dtype(np.uint16))
            and page.bitspersample in (8, 16)
            and page.samplesperpixel <= MOST_SAMPLES
            and not is_reduced(tags)
        )
        if not is_known or not _is_complete(tags):
            raise refusal(name, kind)
        check_size(name, (page.imagelength, page.imagewidth))
        try:
            pixels = page.asarray()
        except ValueError as error:  # a compression whose decoder is not installed
            if "imagecodecs" not in str(error):
                raise
            raise refusal(name, kind) from None
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, -1)
    elif page.axes not in ("YX", "YXS"):
        raise refusal(name, kind)
    return _pixels(
        upright(pixels.astype(pixels.dtype.newbyteorder("=")), int(tags.get(ORIENTATION, 1))),
        tuple(int(each) for each in page.extrasamples),
        is_inverted=page.photometric == MIN_IS_WHITE,
    )


def _tifffile(content: bytes) -> Any:
    import tifffile

    # It logs what it finds wrong; without a handler that is printed.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    return tifffile.TiffFile(io.BytesIO(content))


def _tags(page: Any) -> dict[int, Any]:
    return {tag.code: tag.value for tag in page.tags}


def refusal(name: str, kind: str) -> ImageError:
    """The error of a file that is not read faithfully."""
    return ImageError(
        f"{name}: expected grey, RGB, palette or CMYK pixels of 8 or 16 bits a channel, "
        f"got {kind}; convert it to PNG"
    )


def refusal_of(name: str, tags: Tags) -> ImageError:
    """The error of a file with these tags that is not read faithfully."""
    return refusal(name, _kind(tags))


def _pixels(
    pixels: NDArray[Any], extra: tuple[int, ...], *, is_inverted: bool
) -> pillow.Image | DeepPixels:
    """Split pixels (H, W) or (H, W, samples) into colour and alpha."""
    channels = pixels[..., None] if pixels.ndim == 2 else pixels
    n_colours = channels.shape[2] - len(extra)
    colours = channels[..., 0] if n_colours == 1 else channels[..., :n_colours]
    # Colours that are multiplied by alpha (1) are those of the picture on black.
    alpha = channels[..., n_colours] if extra[:1] == (2,) else None
    if pixels.dtype == np.uint16:
        opacity = None if alpha is None else (alpha >> 8).astype(np.uint8)
        return DeepPixels(np.ascontiguousarray(colours), opacity, is_inverted)
    image = pillow.fromarray(np.ascontiguousarray(255 - colours if is_inverted else colours))
    if alpha is not None:
        image.putalpha(pillow.fromarray(np.ascontiguousarray(alpha)))
    return image


def _is_complete(tags: Tags) -> bool:
    """Whether there is a strip or tile for every part of the picture, and none is left out."""
    height, width = int(tags[LENGTH]), int(tags[WIDTH])
    if TILE_OFFSETS in tags:
        offsets, sizes = _tuple(tags, TILE_OFFSETS), _tuple(tags, TILE_BYTES)
        across, down = int(tags.get(TILE_WIDTH, 0)), int(tags.get(TILE_LENGTH, 0))
    else:
        offsets, sizes = _tuple(tags, STRIP_OFFSETS), _tuple(tags, STRIP_BYTES)
        across, down = width, min(int(tags.get(STRIP_ROWS, height)), height)
    if min(across, down, height, width) < 1 or across * down > max_pixels():
        return False
    planes = int(tags.get(SAMPLES, 1)) if tags.get(PLANAR, 1) == 2 else 1
    expected = math.ceil(width / across) * math.ceil(height / down) * planes
    # Some writers leave the sizes out where the data are not compressed.
    return len(offsets) == expected and 0 not in offsets and 0 not in sizes


def _kind(tags: Tags) -> str:
    """The layout in words."""
    number = {1: "", 2: "signed ", 3: "floating-point ", 5: "complex ", 6: "complex "}
    sample = number.get(_tuple(tags, FORMAT, UNSIGNED)[0], "untyped ")
    bits = bits_of(tags)
    if bits == 32 and not sample:
        sample = "integer "
    colours = {
        MIN_IS_WHITE: "grey (0 is white)",
        MIN_IS_BLACK: "grey",
        RGB: "RGB",
        PALETTE: "palette",
        CMYK: "CMYK or other inks",
        YCBCR: "YCbCr",
        LAB: "Lab",
        32803: "camera raw",
    }
    photometric = int(tags.get(PHOTOMETRIC, 0))
    colour = colours.get(photometric, f"colours of kind {photometric}")
    separate = ", one plane a channel" if tags.get(PLANAR, 1) == 2 else ""
    if is_reduced(tags):
        return (
            f"a TIFF whose first page is a reduced copy (a camera raw file?), {bits}-bit {colour}"
        )
    kind = f"a TIFF of {bits}-bit {sample}numbers, {colour}{separate}"
    return f"{kind}, compression {int(tags.get(COMPRESSION, NONE))}"


def _tuple(tags: Tags, tag: int, default: int | None = None) -> tuple[int, ...]:
    value = tags.get(tag, () if default is None else default)
    return (
        tuple(int(each) for each in value)
        if isinstance(value, (tuple, list, np.ndarray))
        else (int(value),)
    )
