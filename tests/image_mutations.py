"""Image files of six formats, and seeded damage to them."""

import io

import numpy as np
from PIL import Image

from tests.photographs import part

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")


def seeds_of(format):
    """Small files of a format in different modes."""
    image = part(1, size=(29, 43))
    rgb, grey = Image.fromarray(image), Image.fromarray(image[..., 0])
    deep = Image.fromarray(image[..., 0].astype(np.uint16) * 257)
    alpha = Image.fromarray(np.dstack([image, image[..., 1]]))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = {
        "PNG": [(rgb, {"exif": exif}), (deep, {}), (alpha, {}), (rgb.quantize(9), {}), (grey, {})],
        "JPEG": [(rgb, {"exif": exif}), (grey, {"progressive": True}), (rgb.convert("CMYK"), {})],
        "TIFF": [
            (rgb, {}),
            (deep, {}),
            (rgb, {"compression": "tiff_lzw", "exif": exif}),
            (rgb, {"compression": "jpeg"}),
            (grey.convert("1"), {"compression": "group4"}),
            (rgb.quantize(9), {"compression": "packbits"}),
        ],
        "BMP": [(rgb, {}), (grey, {}), (rgb.quantize(9), {}), (alpha, {})],
        "WEBP": [(rgb, {"exif": exif}), (alpha, {"lossless": True})],
        "GIF": [(rgb.quantize(9), {}), (grey, {"save_all": True, "append_images": [grey]})],
    }
    for picture, options in kinds[format]:
        file = io.BytesIO()
        picture.save(file, format, **options)
        yield file.getvalue()


def mutated(seed):
    """(format, bytes) of a damaged file, always the same for a seed."""
    rng = np.random.default_rng(seed)
    format = FORMATS[seed % len(FORMATS)]
    files = list(seeds_of(format))
    content = bytearray(files[rng.integers(len(files))])
    for _ in range(rng.integers(1, 4)):
        kind = rng.integers(5)
        at = int(rng.integers(len(content)))
        if kind == 0:  # bits
            for place in rng.integers(len(content), size=rng.integers(1, 9)):
                content[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:  # a file that was cut off
            del content[max(at, 8) :]
        elif kind == 2:  # a part of another file
            other = files[rng.integers(len(files))]
            begin = int(rng.integers(len(other)))
            content[at : at + int(rng.integers(64))] = other[begin : begin + rng.integers(1, 64)]
        elif kind == 3:  # fields of the header
            at = int(rng.integers(min(len(content), 120)))
            size = int(rng.choice([1, 2, 4]))
            extreme = [b"\0" * size, b"\xff" * size, b"\x7f" + b"\xff" * (size - 1)]
            content[at : at + size] = extreme[rng.integers(3)]
        else:  # bytes that are missing or doubled
            end = at + int(rng.integers(1, 32))
            content[at:end] = content[at:end] * int(rng.choice([0, 2]))
        if not content:
            break
    return format, bytes(content)
