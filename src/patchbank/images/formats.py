"""Formats of image files that are read, recognised by their first bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

HEAD_BYTES = 512
"""Bytes at the beginning of a file that are enough to recognise its format."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format that is read, and the module that opens it."""

    name: str
    """Name of the format in Pillow."""
    suffixes: tuple[str, ...]
    module: str
    """Module that makes Pillow open the format when it is imported."""
    beginnings: tuple[bytes, ...] = ()
    """First bytes of its files; none where something else recognises them."""
    is_lossy: bool = False
    """Whether its files may have other values than were stored, such as ringing at edges."""


_PIL = "PIL.{}ImagePlugin"
_PNM = tuple(
    b"P" + digit + space
    for digit in (b"1", b"2", b"3", b"4", b"5", b"6")
    for space in (b" ", b"\t", b"\n", b"\r", b"#")
)
FORMATS = (
    Format("PNG", (".png", ".apng"), _PIL.format("Png"), (b"\x89PNG\r\n\x1a\n",)),
    Format(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
        _PIL.format("Jpeg"),
        (b"\xff\xd8\xff",),
        is_lossy=True,
    ),
    Format(
        "TIFF",
        (".tif", ".tiff"),
        _PIL.format("Tiff"),
        (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    ),
    Format("BMP", (".bmp", ".dib"), _PIL.format("Bmp"), (b"BM",)),
    Format("WEBP", (".webp",), _PIL.format("WebP"), is_lossy=True),
    Format("GIF", (".gif",), _PIL.format("Gif"), (b"GIF87a", b"GIF89a")),
    Format("PPM", (".ppm", ".pgm", ".pbm", ".pnm"), _PIL.format("Ppm"), _PNM),
    Format(
        "JPEG2000",
        (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
        _PIL.format("Jpeg2K"),
        (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"),
        is_lossy=True,
    ),
    Format("TGA", (".tga", ".icb", ".vda", ".vst"), _PIL.format("Tga")),
    Format("AVIF", (".avif",), _PIL.format("Avif"), is_lossy=True),
    Format("HEIF", (".heic", ".heif", ".hif"), "pillow_heif", is_lossy=True),
)
SUFFIXES = frozenset(suffix for each in FORMATS for suffix in each.suffixes)
"""Endings of the names of image files, in lower case."""
NAMES = "PNG, JPEG, TIFF, BMP, WebP, GIF, PNM, JPEG 2000, TGA, AVIF or HEIC"
"""The formats in words."""

_BY_NAME = {each.name: each for each in FORMATS}
_TGA_FOOTER = b"TRUEVISION-XFILE.\0"
TAIL_BYTES = len(_TGA_FOOTER)
_BY_BEGINNING = [(each.beginnings, each) for each in FORMATS if each.beginnings]
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_PICTURES = (
    (b"8BPS\0", "a Photoshop file"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"II\xbc\x01", "a JPEG XR image"),
    (b"v/1\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"SIMPLE  =", "a FITS image"),
)
_OTHERS = (
    *_PICTURES,
    (b"%PDF", "a PDF"),
    (b"%!", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"\0\0\x01\0", "an icon"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PAR1", "a Parquet table"),
    *((bytes([0x80, protocol]), "a pickle of Python") for protocol in (2, 3, 4, 5)),
    (b"version https://git-lfs", "a pointer of Git LFS (run `git lfs pull`)"),
)


def format_of(head: bytes) -> Format | None:
    """The format of a file by its first bytes; None if they are those of none that is read.

    Args:
        head: HEAD_BYTES, or all of it.
    """
    for beginnings, each in _BY_BEGINNING:
        if head.startswith(beginnings):
            return each
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _BY_NAME["WEBP"]
    brands = _brands(head)
    if b"avif" in brands or b"avis" in brands:
        return _BY_NAME["AVIF"]
    return _BY_NAME["HEIF"] if brands.intersection(_HEIF_BRANDS) else None


def format_by_end(head: bytes, suffix: str, tail: bytes) -> Format | None:
    """TGA, whose files begin with nothing particular; None for others.

    Args:
        head: first bytes of a file, which are those of no format that is read.
        suffix: ending of its name, in lower case.
        tail: its last TAIL_BYTES, where newer files have a signature.
    """
    tga = _BY_NAME["TGA"]
    is_other = kind_of(head) != UNKNOWN
    return tga if not is_other and (suffix in tga.suffixes or tail == _TGA_FOOTER) else None


_CERTAIN = {
    "BMP": re.compile(rb".{14}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL),
    "PPM": re.compile(rb"..\s*(?:#[^\n]*\n\s*)*\d+\s"),
}
"""Bytes at the beginning of formats whose first letters begin many a text, too."""


def shows_a_picture(head: bytes) -> bool | None:
    """Whether the first bytes of a file without a known ending are those of a picture.

    Returns:
        True: of a format that is read.  False: of another one.  None: of no picture, for sure.
    """
    found = format_of(head)
    if found is None:
        return False if head.startswith(tuple(beginning for beginning, _ in _PICTURES)) else None
    certain = _CERTAIN.get(found.name)
    return True if certain is None or certain.match(head) else None


UNKNOWN = "something else"
DETECTOR = "a detector file"
_SAFETENSORS = re.compile(rb".{8}\{\"__metadata__\":\{(\"patchbank\":)?", re.DOTALL)


def described(head: bytes) -> str:
    """Format or kind of a file by its first bytes, in words that follow "got".

    >>> described(b"GIF89a"), described(b"%PDF-1.7")
    ('a GIF image', 'a PDF')
    """
    found = format_of(head)
    return f"a {found.name} image" if found is not None else kind_of(head)


def kind_of(head: bytes) -> str:
    """Kind of a file that is no image, in words that follow "got".

    >>> kind_of(b"%PDF-1.7"), kind_of(b"abc")
    ('a PDF', 'something else')
    """
    if not head:
        return "an empty file"
    for beginning, kind in _OTHERS:
        if head.startswith(beginning):
            return kind
    if _brands(head):
        return "a video"
    container = _SAFETENSORS.match(head)
    if container is not None:
        return DETECTOR if container[1] else "a safetensors file"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if text.startswith((b"<svg", b"<?xml")):
        return "an SVG or XML file"
    return "a DICOM file" if head[128:132] == b"DICM" else UNKNOWN


def _brands(head: bytes) -> set[bytes]:
    """Brands of a file of the MP4 family; empty for others."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
