"""TIFF files written tag by tag, which no library would write, and other readers of them."""

import struct
import zlib

import numpy as np

ORIENTATIONS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
    8: lambda a: np.rot90(a),
}
"""Orientation -> the picture as it is shown, from the one that is stored."""


def packed(values, bits):
    """Values of fewer than 8 or of 12 bits as bytes, each row padded."""
    shifts = np.arange(bits - 1, -1, -1)
    rows = ((values[..., None] >> shifts) & 1).reshape(len(values), -1).astype(np.uint8)
    return np.packbits(rows, axis=1).tobytes()


def tiff_bytes(pixels, bits, *, order="<", planar=False, deflate=False, tile=None, tags=None):
    """A TIFF file of pixels (H, W) or (H, W, samples).

    Args:
        pixels: whole numbers, as they are stored.
        bits: of a sample.
        order: of the bytes.
        planar: whether each channel is a plane of its own.
        deflate: whether the data are compressed.
        tile: (height, width) of tiles; None for one strip.
        tags: number -> 16-bit values, for what else the file says, or says instead.
    """
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    planes = [pixels[..., c] for c in range(samples)] if planar and samples > 1 else [pixels]
    height, width = pixels.shape[:2]
    parts = []
    for plane in planes:
        for part in [plane] if tile is None else _tiles(plane, tile):
            in_bytes = bits in (8, 16, 32)
            data = part.astype(f"{order}u{bits // 8}").tobytes() if in_bytes else packed(part, bits)
            parts.append(zlib.compress(data) if deflate else data)
    where, sizes = (273, 279) if tile is None else (324, 325)
    found = {
        256: [width],
        257: [height],
        258: [bits] * samples,
        259: [8 if deflate else 1],
        262: [2 if samples >= 3 else 1],
        277: [samples],
        284: [2 if planar else 1],
        where: [0] * len(parts),
        sizes: [len(part) for part in parts],
    }
    found |= {278: [height]} if tile is None else {322: [tile[1]], 323: [tile[0]]}
    found |= tags or {}
    return _file(found, parts, where, order)


def _tiles(plane, tile):
    down, across = (-plane.shape[0] % tile[0], -plane.shape[1] % tile[1])
    padded = np.pad(plane, ((0, down), (0, across), *[(0, 0)] * (plane.ndim - 2)))
    for top in range(0, padded.shape[0], tile[0]):
        for left in range(0, padded.shape[1], tile[1]):
            yield padded[top : top + tile[0], left : left + tile[1]]


def _file(tags, parts, where, order):
    large = {where, 279, 325}
    lengths = {tag: len(values) * (4 if tag in large else 2) for tag, values in tags.items()}
    head = 8 + 2 + 12 * len(tags) + 4
    begin = head + sum(n for n in lengths.values() if n > 4)
    tags = dict(tags)
    if tags[where] == [0] * len(parts):
        tags[where] = [begin + sum(map(len, parts[:i])) for i in range(len(parts))]
    entries = extra = b""
    for tag, values in sorted(tags.items()):
        kind, code = (4, "L") if tag in large else (3, "H")
        body = struct.pack(f"{order}{len(values)}{code}", *values)
        if len(body) > 4:
            entries += struct.pack(f"{order}HHLL", tag, kind, len(values), head + len(extra))
            extra += body
        else:
            entries += struct.pack(f"{order}HHL", tag, kind, len(values)) + body.ljust(4, b"\0")
    mark = b"II*\0" if order == "<" else b"MM\0*"
    start = mark + struct.pack(f"{order}LH", 8, len(tags)) + entries + struct.pack(f"{order}L", 0)
    return start + extra + b"".join(parts)
