"""Image files in rare modes, made by four libraries, each with the picture that it shows."""

import io
from dataclasses import dataclass

import numpy as np
import tifffile
from PIL import Image

from tests.tiff_files import ORIENTATIONS, tiff_bytes

SIZE = (33, 47)


@dataclass
class Made:
    """A file, and the picture that another reader shows."""

    kind: str
    content: bytes
    shown: np.ndarray
    """(H, W, 3) uint8."""
    tolerance: int = 0
    """Largest difference: decoders of lossy formats round in their own ways."""


def made(seed, libraries=("pillow", "tifffile", "by hand")):
    """A file in a mode that the seed chooses."""
    rng = np.random.default_rng(seed)
    library = libraries[seed % len(libraries)]
    return MAKERS[library](rng, photograph(rng))


def photograph(rng):
    """Smooth colours with noise, (H, W, 3)."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    waves = [np.sin(x / rng.uniform(4, 9) + i) + np.cos(y / rng.uniform(4, 9)) for i in range(3)]
    image = np.stack(waves, axis=2) * 50 + 128 + rng.normal(0, 3, (*SIZE, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def pick(rng, values):
    """One of several values of any type."""
    return values[int(rng.integers(len(values)))]


def rgb(values):
    """(H, W, 3) from (H, W) or (H, W, 1)."""
    return np.broadcast_to(values.reshape(*values.shape[:2], -1), (*values.shape[:2], 3))


def on_black(colours, alpha):
    """Colours with an opacity of 0 to 255 on black, as Pillow composites them."""
    drawn = Image.fromarray(np.dstack([rgb(colours), alpha]))
    black = Image.new("RGBA", drawn.size, (0, 0, 0, 255))
    return np.asarray(Image.alpha_composite(black, drawn).convert("RGB"))


def by_pillow(rng, image):
    """A file by Pillow; what it shows follows from the picture, not from reading the file."""
    mode = pick(rng, ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"))
    alpha = (image[..., 1] > 90).astype(np.uint8) * 255
    picture = Image.fromarray(image).convert("RGB")
    if mode in ("LA", "RGBA"):
        picture = picture.convert(mode[:-1])
        colours = np.asarray(picture)
        picture.putalpha(Image.fromarray(alpha))
        shown = on_black(colours, alpha)
    elif mode == "I;16":
        deep = image[..., 0].astype(np.uint16) << 8 | image[..., 1]
        picture, shown = Image.fromarray(deep), rgb(image[..., 0])
    else:
        picture = picture.quantize(17) if mode == "P" else picture.convert(mode)
        shown = np.asarray(picture.convert("RGB"))
    formats = {
        "1": ("PNG", "TIFF", "BMP", "PPM", "GIF"),
        "L": ("PNG", "TIFF", "BMP", "PPM", "GIF", "TGA", "JPEG2000"),
        "LA": ("PNG", "TIFF", "TGA", "JPEG2000"),
        "P": ("PNG", "TIFF", "BMP", "GIF", "TGA"),
        "RGB": ("PNG", "TIFF", "BMP", "PPM", "TGA", "WEBP", "JPEG2000"),
        "RGBA": ("PNG", "TIFF", "TGA", "WEBP", "JPEG2000"),
        "CMYK": ("TIFF", "JPEG"),
        "I;16": ("PNG", "TIFF", "PPM"),
    }
    format = pick(rng, formats[mode])
    options = {"WEBP": {"lossless": True, "exact": True}, "JPEG": {"quality": 100}}.get(format, {})
    if format == "TIFF":
        codecs = [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma"]
        codecs += ["group3", "group4"] if mode == "1" else []
        options = {"compression": pick(rng, codecs)}
    if format in ("PNG", "WEBP", "TIFF") and rng.random() < 0.5:
        orientation = int(rng.integers(1, 9))
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
        shown = ORIENTATIONS[orientation](shown)
    file = io.BytesIO()
    picture.save(file, format, **options)
    kind = f"Pillow {format} {mode} {options.get('compression', '')}".strip()
    return Made(kind, file.getvalue(), shown, 2 if format == "JPEG" else 0)


def by_tifffile(rng, image, *, heavy=False):
    """A TIFF by tifffile; `heavy` for codecs that need imagecodecs."""
    dtype = pick(rng, (np.uint8, np.uint8, np.uint16, np.uint16, np.uint32, np.float32, np.int16))
    kind = pick(rng, ("minisblack", "miniswhite", "rgb", "rgba", "rgbx", "la", "cmyk"))
    alpha = (image[..., 1] > 90).astype(np.uint8) * 255
    colours, shown, extra = image[..., 0], rgb(image[..., 0]), {}
    if kind == "miniswhite":
        colours = 255 - colours
    elif kind in ("rgb", "rgba", "rgbx"):
        colours, shown = image, image
    elif kind == "cmyk":
        colours = np.dstack([image, image[..., 1] // 2])
        shown = np.asarray(Image.frombytes("CMYK", SIZE[::-1], colours.tobytes()).convert("RGB"))
    if kind in ("rgba", "rgbx", "la"):
        colours = np.dstack([colours, alpha])
        extra["extrasamples"] = ["unspecified" if kind == "rgbx" else "unassalpha"]
        shown = shown if kind == "rgbx" else on_black(shown, alpha)
    stored = colours.astype(dtype)
    if dtype is np.uint16:
        stored = stored * np.uint16(257)
    elif dtype is np.float32:
        stored = stored / np.float32(255)
    codec = pick(rng, (None, "zlib", *(("packbits", "lzw", "zstd", "lzma") if heavy else ())))
    options = {"compression": codec, "byteorder": pick(rng, "<>"), "bigtiff": rng.random() < 0.2}
    if stored.ndim == 3:
        options["planarconfig"] = pick(rng, ("contig", "separate"))
        if options["planarconfig"] == "separate":
            stored = np.ascontiguousarray(np.moveaxis(stored, -1, 0))
    if codec in ("zlib", "lzw") and dtype in (np.uint8, np.uint16):
        options["predictor"] = rng.random() < 0.5
    if rng.random() < 0.4:
        options["tile"] = (16, 32)
    else:
        options["rowsperstrip"] = int(rng.integers(1, 40))
    photometric = {"rgba": "rgb", "rgbx": "rgb", "la": "minisblack", "cmyk": "separated"}
    file = io.BytesIO()
    tifffile.imwrite(file, stored, photometric=photometric.get(kind, kind), **options, **extra)
    name = f"tifffile {kind} {np.dtype(dtype)} {codec} {options.get('planarconfig', '')}".strip()
    return Made(name, file.getvalue(), shown)


def by_hand(rng, image):
    """A TIFF written tag by tag."""
    bits = pick(rng, (1, 2, 4, 8, 12, 16))
    is_colour = bits in (8, 16) and rng.random() < 0.5
    top = 2**bits - 1
    source = image if is_colour else image[..., 0]
    stored = source.astype(np.int64) * top // 255
    shown = stored >> (bits - 8) if bits > 8 else stored * 255 // top
    photometric = 2 if is_colour else int(rng.integers(2))
    if photometric == 0:
        stored = top - stored
    orientation, planar = int(rng.integers(1, 9)), bool(is_colour and rng.random() < 0.5)
    order, deflate = pick(rng, "<>"), rng.random() < 0.5
    tile = (16, 32) if rng.random() < 0.3 else None
    tags = {262: [photometric], 274: [orientation]}
    content = tiff_bytes(
        stored, bits, order=order, planar=planar, deflate=deflate, tile=tile, tags=tags
    )
    kind = f"by hand {bits} bits, photometric {photometric}{', planar' * planar}"
    return Made(kind, content, ORIENTATIONS[orientation](rgb(shown.astype(np.uint8))))


def by_opencv(rng, image):
    """A file by OpenCV, and what OpenCV reads from it."""
    import cv2

    channels, dtype = pick(rng, (1, 3, 4)), pick(rng, (np.uint8, np.uint16))
    suffix = pick(rng, (".png", ".tiff", ".jpg", ".jp2", ".webp", ".bmp", ".ppm", ".pgm"))
    if suffix in (".jpg", ".webp", ".bmp"):
        dtype = np.uint8
    if suffix in (".ppm", ".pgm", ".jp2"):
        channels = {".ppm": 3, ".pgm": 1, ".jp2": pick(rng, (1, 3))}[suffix]
    stored = image[..., :1] if channels == 1 else image[..., ::-1]
    if channels == 4 and suffix in (".jpg", ".ppm"):
        channels = 3
    if channels == 4:
        stored = np.dstack([stored, (image[..., 1] > 90).astype(np.uint8) * 255])
    if dtype is np.uint16:
        stored = stored.astype(np.uint16) * 256 + 77
    codecs = {".webp": [cv2.IMWRITE_WEBP_QUALITY, 101], ".jp2": [272, 1000]}
    options = codecs.get(suffix, [])
    if suffix == ".tiff":
        options = [cv2.IMWRITE_TIFF_COMPRESSION, pick(rng, (1, 5, 8, 32946))]
    _, content = cv2.imencode(suffix, stored, options)
    read = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    read = (read >> 8).astype(np.uint8) if read.dtype == np.uint16 else read
    if read.ndim == 3 and read.shape[2] == 4:
        shown = on_black(read[..., 2::-1], read[..., 3])
    else:
        shown = rgb(read) if read.ndim == 2 else read[..., ::-1]
    kind = f"OpenCV {suffix} {channels} x {np.dtype(dtype)}"
    return Made(kind, content.tobytes(), shown, 3 if suffix == ".jpg" else 0)


def by_imageio(rng, image):
    """A file by imageio, and what imageio reads from it."""
    import imageio.v3 as imageio

    suffix = pick(rng, (".png", ".tif", ".jpg", ".gif", ".bmp", ".webp", ".jp2", ".ppm"))
    dtype = pick(rng, (np.uint8, np.uint16)) if suffix in (".png", ".tif") else np.uint8
    is_grey = rng.random() < 0.4 or (suffix == ".png" and dtype is np.uint16)
    stored = image[..., 0] if is_grey or suffix == ".gif" else image
    if dtype is np.uint16:
        stored = stored.astype(np.uint16) * 256 + 77
    options = {"lossless": True} if suffix == ".webp" else {}
    content = imageio.imwrite("<bytes>", stored, extension=suffix, **options)
    read = imageio.imread(content, extension=suffix, index=0)
    read = (read >> 8).astype(np.uint8) if read.dtype == np.uint16 else read
    shown = rgb(read) if read.ndim == 2 else read[..., :3]
    kind = f"imageio {suffix} {'grey' if stored.ndim == 2 else 'RGB'} {np.dtype(dtype)}"
    return Made(kind, content, shown)


MAKERS = {
    "pillow": by_pillow,
    "tifffile": by_tifffile,
    "by hand": by_hand,
    "opencv": by_opencv,
    "imageio": by_imageio,
}
