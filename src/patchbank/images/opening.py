"""Open image files: no other format than those that are meant, and nothing that is no file."""

from __future__ import annotations

import importlib
import io
import os
import stat
import struct
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image as pillow
from PIL.ImageFile import ImageFile

from patchbank.errors import ImageError
from patchbank.images import tiff
from patchbank.images.formats import (
    FORMATS,
    HEAD_BYTES,
    NAMES,
    TAIL_BYTES,
    Format,
    format_by_end,
    format_of,
    kind_of,
)
from patchbank.images.limits import check_size, without_limit_of_pillow
from patchbank.images.orientation import SWAPPED, orientation_of
from patchbank.runtime.atomic_file import KINDS

# Said of damaged metadata, which are ignored, and of sound files of other programs.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")

DAMAGED = (SyntaxError, IndexError, TypeError, KeyError, struct.error)
"""Errors by which Pillow says that a header is not that of the format."""


class Header(NamedTuple):
    """Facts of an image file that are known without decoding it."""

    height: int
    """Pixels of the upright picture."""
    width: int
    is_deep: bool
    """Whether it has 16 bits a channel, of which the file does not say how many are in use."""
    has_more: bool = False
    """Whether there are more frames or pages than the first, which is read."""


class UnknownLayoutError(Exception):
    """A TIFF file whose layout Pillow does not know."""


@contextmanager
def opened(name: str, content: Path | bytes, *, in_memory: bool = False) -> Iterator[ImageFile]:
    """Open an image file, and check its size; its pixels are not decoded.

    Args:
        name: of the image in errors.
        content: path or bytes of the file.
        in_memory: whether a TIFF file is read into memory first.  Its decoder maps files, and one
            that is cut short while it is mapped ends the process.

    Raises:
        ImageError: it is no regular file, or no image of a format that is read, or too small or
            too large.
        UnknownLayoutError: it is a TIFF file that Pillow does not open.
        OSError: it cannot be read.
    """
    with _stream(name, content) as stream:
        head = stream.read(HEAD_BYTES)
        known = format_of(head) or _format_without_beginning(content, head, stream)
        if known is None:
            raise ImageError(f"{name}: expected a {NAMES} image, got {kind_of(head)}")
        stream.seek(0)
        if in_memory and known.name == "TIFF":
            stream = io.BytesIO(stream.read())
        image = _image(name, known, stream)
        check_size(name, (image.height, image.width))
        yield image  # decoded pixels outlive the stream


def header_of(name: str, content: Path | bytes) -> Header:
    """Read the header of an image file.

    Raises:
        ImageError: it cannot be read.
    """
    try:
        with opened(name, content) as image:
            if image.format == "TIFF":
                tags = image.tag_v2  # type: ignore[attr-defined]
                return Header(*tiff.size_of(tags), tiff.is_deep(tags), has_more(image))
            height, width = image.height, image.width
            # Without EXIF data Pillow searches for others, and decodes a PNG for that.
            has_exif = {"exif", "xmp"} & image.info.keys() or image.format not in (
                "PNG",
                "JPEG",
                "MPO",
            )
            if has_exif and orientation_of(image) in SWAPPED:
                height, width = width, height
            is_deep = ";16" in rawmode_of(image) and image.format in ("PNG", "PPM")
            is_deep = is_deep or image.mode.startswith("I;16") or is_deep_pnm(image)
            return Header(height, width, is_deep, has_more(image))
    except UnknownLayoutError:
        raw = content if isinstance(content, bytes) else content.read_bytes()
        return Header(*tiff.header_with_tifffile(raw))


def has_more(image: ImageFile) -> bool:
    """Whether an opened file has more frames or pages than the first."""
    # Telephones add a small second picture to many a JPEG: that is no second photograph.
    return image.format != "MPO" and bool(getattr(image, "is_animated", False))


def is_deep_pnm(image: ImageFile) -> bool:
    """Whether it is a PNM file with colours of 16 bits, whose largest value is 65535."""
    tile = image.tile[0] if image.format == "PPM" and image.tile else None
    return tile is not None and tile.codec_name == "ppm" and tile.args == ("RGB", 65535)


def rawmode_of(image: pillow.Image) -> str:
    """Layout of the stored pixels in the words of Pillow; empty once they are decoded."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    arguments = tiles[0].args
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _image(name: str, known: Format, stream: BinaryIO) -> ImageFile:
    make = _opener(name, known)
    try:
        # Without a name: Pillow would map the file, and a file that is cut short while it is
        # mapped ends the process.
        try:
            return make(stream, "")
        except ValueError:
            if known.name != "PNG":
                raise
            stream.seek(0)  # it may hold longer texts than Pillow accepts
            return make(io.BytesIO(without_texts(stream.read())), "")
        except pillow.DecompressionBombError:
            stream.seek(0)  # WebP, which is opened with its canvas
            with without_limit_of_pillow(sys.maxsize):
                return make(stream, "")
    except DAMAGED as error:
        if known.name == "TIFF":
            raise UnknownLayoutError from None
        reason = f" ({error})" if str(error) else ""
        raise ImageError(
            f"{name}: expected a whole {known.name} image, got a damaged one{reason}"
        ) from None


def without_texts(png: bytes) -> bytes:
    """A PNG file without its texts."""
    kept, at = [png[:8]], 8
    while at + 8 <= len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] not in (b"tEXt", b"zTXt", b"iTXt"):
            kept.append(png[at:end])
        at = end
    return b"".join(kept)


def _opener(name: str, known: Format) -> Callable[[BinaryIO, str], ImageFile]:
    """The function by which Pillow opens a format."""
    try:
        module = importlib.import_module(known.module)
    except ImportError:
        heif = known.name == "HEIF"
        advice = "pip install 'patchbank[heif]'" if heif else "pip install -U pillow"
        raise ImageError(
            f"{name}: expected an image that can be read here, got a "
            f"{'HEIC' if heif else known.name} image; {advice}"
        ) from None
    if known.name == "HEIF" and known.name not in pillow.OPEN:
        module.register_heif_opener()
    opener: Callable[[BinaryIO, str], ImageFile] = pillow.OPEN[known.name][0]
    return opener


def _stream(name: str, content: Path | bytes) -> BinaryIO:
    if isinstance(content, bytes):
        return io.BytesIO(content)
    check_is_file(name, content)
    return open(content, "rb")


def check_is_file(name: str, path: Path) -> None:
    """Check that a path leads to a file: a pipe would be waited for, a device read without end.

    Raises:
        ImageError: it leads to something else.
        OSError: it leads to nothing.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode):
        return
    raise ImageError(
        f"{name}: expected a file, got {KINDS.get(stat.S_IFMT(mode), 'something else')}"
    )


def _format_without_beginning(
    content: Path | bytes, head: bytes, stream: BinaryIO
) -> Format | None:
    """The format of a file whose first bytes are those of none: TGA or nothing."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - TAIL_BYTES))
    suffix = content.suffix.lower() if isinstance(content, Path) else ""
    return format_by_end(head, suffix, stream.read(TAIL_BYTES))


def is_lossy(name: str, content: Path | bytes) -> bool:
    """Whether the format of an image file may change the values that were stored.

    Raises:
        ImageError: it cannot be read.
    """
    try:
        with opened(name, content) as image:
            if image.format == "TIFF":
                return tiff.is_lossy(image.tag_v2)  # type: ignore[attr-defined]
            return any(each.is_lossy for each in FORMATS if each.name == image.format) or (
                image.format == "MPO"
            )
    except UnknownLayoutError:  # decoders that change values are not used for these
        return False
