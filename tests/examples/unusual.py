"""Photographs in files that programs read in different ways: transparent ones, and deep ones."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from tests.photographs import SIZE, part

CLEAR = "hole"
"""What is named so has pixels that are transparent or opaque, and nothing in between."""


def hole() -> np.ndarray:
    """Opacity, 0 in a rectangle, (H, W) uint8."""
    opacity = np.full(SIZE, 255, np.uint8)
    opacity[20:50, 30:70] = 0
    return opacity


def veil() -> np.ndarray:
    """Opacity of all values, (H, W) uint8."""
    return np.linspace(0, 255, SIZE[1]).astype(np.uint8)[None].repeat(SIZE[0], axis=0)


def transparent_files(folder: Path) -> list[Path]:
    """Files of 8 bits a channel, parts of which are transparent."""
    colours = part(100)
    palette = Image.fromarray(colours).quantize(64)
    keyed = colours.copy()
    keyed[hole() == 0] = 200, 10, 250
    made = {
        "RGBA with a hole": (np.dstack([colours, hole()]), {}),
        "RGBA with a veil": (np.dstack([colours, veil()]), {}),
        "grey with a hole": (np.dstack([colours[..., 0], hole()]), {}),
        "grey with a veil": (np.dstack([colours[..., 0], veil()]), {}),
        "palette with a hole": (palette, {"transparency": 20}),
        "palette with a veil": (palette, {"transparency": bytes(range(0, 256, 4))}),
        "a colour that is a hole": (keyed, {"transparency": (200, 10, 250)}),
        "a grey that is a hole": (colours[..., 0], {"transparency": 120}),
    }
    for name, (image, options) in made.items():
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        image.save(folder / f"{name}.png", **options)
    few = np.where(hole() == 0, 5, part(100)[..., 0] // 16)
    for bits in (2, 4):
        _written(
            folder / f"a grey of {bits} bits that is a hole.png", grey_png(few, bits, 5 % 2**bits)
        )
    return sorted(folder.glob("*.png"))


def grey_png(values: np.ndarray, bits: int, key: int) -> bytes:
    """A grey PNG of 1, 2 or 4 bits: the lowest of values (H, W), with a transparent grey."""
    height, width = values.shape
    ones = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., 8 - bits :]
    rows = np.packbits(ones.reshape(height, width * bits), axis=1)
    header = struct.pack(">LLBBBBB", width, height, bits, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks = ((b"IHDR", header), (b"tRNS", struct.pack(">H", key)), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def deep_pngs(folder: Path) -> list[Path]:
    """PNG files of 16 bits a channel."""
    colours = part(100).astype(np.uint16) * 257
    made = {
        "deep grey": (colours[..., :1], 0),
        "deep RGB": (colours, 2),
        "deep grey with alpha": (colours[..., :2], 4),
        "deep RGBA": (np.dstack([colours, colours[..., :1]]), 6),
    }
    return [
        _written(folder / f"{name}.png", deep_png(values, kind))
        for name, (values, kind) in made.items()
    ]


def deep_tiffs(folder: Path) -> list[Path]:
    """TIFF files of other numbers than 8 bits."""
    colours = part(100)
    grey = colours[..., 0]
    made: dict[str, Callable[[], np.ndarray]] = {
        "16-bit grey": lambda: grey.astype(np.uint16) * 257,
        "16-bit RGB": lambda: colours.astype(np.uint16) * 257,
        "signed": lambda: grey.astype(np.int16),
        "32-bit": lambda: grey.astype(np.int32),
        "float": lambda: grey.astype(np.float32) / 255,
    }
    files = []
    for name, values in made.items():
        content = io.BytesIO()
        photometric = "rgb" if values().ndim == 3 else "minisblack"
        tifffile.imwrite(content, values(), photometric=photometric)
        files.append(_written(folder / f"{name}.tif", content.getvalue()))
    return files


def deep_png(values: np.ndarray, colour_type: int) -> bytes:
    """A PNG of 16 bits a channel, of values (H, W, channels)."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">LLBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def turned(file: Path, photograph: Path, order: str = "<", orientation: int = 6) -> Path:
    """A PNG of a photograph as a camera on its side writes it, with its orientation.

    Args:
        file: to write.
        photograph: upright.
        order: of the bytes in its Exif data.
        orientation: 6, to be turned clockwise, or 1, upright.
    """
    exif = Image.Exif()
    exif.endian = order
    exif[0x0112] = orientation
    with Image.open(photograph) as image:
        stored = image.transpose(Image.Transpose.ROTATE_90) if orientation == 6 else image
        stored.save(file, exif=exif)
    return file


def _written(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file
