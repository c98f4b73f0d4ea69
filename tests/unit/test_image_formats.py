"""Only images of the formats that are meant are opened, whatever a file is called."""

import io
import os
import socket
import struct
import sys
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from patchbank.errors import ImageError, ParameterError
from patchbank.images.formats import SUFFIXES
from patchbank.images.limits import DEFAULT_MAX_PIXELS, max_pixels
from patchbank.images.masks import image_size, read_mask
from patchbank.images.source import n_pixels, read_image
from tests.photographs import part, save

IMAGE = part(0)


def content_of(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def chunk(kind, data):
    checksum = struct.pack(">L", zlib.crc32(kind + data))
    return struct.pack(">L", len(data)) + kind + data + checksum


@pytest.mark.parametrize(
    ("suffix", "format", "options"),
    [
        (".png", "PNG", {}),
        (".apng", "PNG", {}),
        (".jpg", "JPEG", {"quality": 100, "subsampling": 0}),
        (".jfif", "JPEG", {"quality": 100, "subsampling": 0}),
        (".mpo", "MPO", {"quality": 100, "subsampling": 0}),
        (".tif", "TIFF", {}),
        (".bmp", "BMP", {}),
        (".webp", "WEBP", {"lossless": True}),
        (".ppm", "PPM", {}),
        (".pnm", "PPM", {}),
        (".jp2", "JPEG2000", {}),
        (".j2k", "JPEG2000", {}),
        (".tga", "TGA", {}),
        (".avif", "AVIF", {"quality": 100}),
    ],
)
def test_every_format_is_read_by_its_content_whatever_its_name(tmp_path, suffix, format, options):
    assert suffix in SUFFIXES
    content = content_of(Image.fromarray(IMAGE), format, **options)
    named = [tmp_path / f"a{suffix}"]
    if format != "TGA":  # without a signature it is known by its name alone
        named += [tmp_path / "no_ending", tmp_path / "a.png"]
    for path in named:
        path.write_bytes(content)
        assert np.abs(read_image(path).astype(int) - IMAGE).mean() < 2
        assert n_pixels(path) == IMAGE.shape[0] * IMAGE.shape[1]


def test_a_gif_is_read(tmp_path):
    grey = IMAGE[..., 0]
    path = tmp_path / "a.gif"
    Image.fromarray(grey).save(path)
    assert (read_image(path) == grey[..., None]).all()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"%PDF-1.7\n%abc", "a PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "PostScript"),
        (b"\xc5\xd0\xd3\xc6" + bytes(40), "PostScript"),
        (b"\n<!DOCTYPE html><html>404</html>", "an HTML page"),
        (b"<svg xmlns='...'></svg>", "an SVG or XML file"),
        (b"PK\x03\x04" + bytes(30), "a ZIP archive"),
        (b"8BPS\0\1" + bytes(30), "a Photoshop file"),
        (b"\0\0\0\x18ftypisom" + bytes(30), "a video"),
        (b"\0\0\x01\0\1\0\x10\x10" + bytes(30), "an icon"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        (b"", "an empty file"),
        (b"\0" * 600, "something else"),
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".tga"])
def test_what_is_no_image_is_named_by_its_content(tmp_path, content, kind, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    if suffix == ".tga" and kind == "something else":
        kind = "a damaged one"  # the name alone says that it is one
    with pytest.raises(ImageError, match=f"got {kind}") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    assert n_pixels(path) == 0


def test_no_plugin_of_another_format_is_reached(tmp_path, monkeypatch):
    Image.init()
    called = []
    for name, (_, accept) in list(Image.OPEN.items()):
        if name in ("EPS", "PDF", "WMF", "FLI", "PSD", "ICO"):
            monkeypatch.setitem(Image.OPEN, name, (lambda *_: called.append(1), accept))
    for format in ("EPS", "ICO"):
        path = tmp_path / f"{format}.jpg"
        path.write_bytes(content_of(Image.fromarray(IMAGE), format))
        with pytest.raises(ImageError):
            read_image(path)
    assert called == []


def test_heic_is_read_with_its_extra_or_names_it(tmp_path):
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    try:
        import pillow_heif
    except ImportError:
        with pytest.raises(ImageError, match=r"got a HEIC image; pip install 'patchbank\[heif\]'"):
            read_image(path)
        return
    with pytest.raises(ImageError):  # nothing is behind the header
        read_image(path)
    pillow_heif.from_pillow(Image.fromarray(IMAGE)).save(path, quality=100)
    assert np.abs(read_image(path).astype(int) - IMAGE).mean() < 3


def in_time(work):
    """The result of `work`, or None if it takes ten seconds."""
    results = []

    def run():
        try:
            results.append(work())
        except ImageError as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    return results[0] if results else None


def test_pipes_sockets_devices_and_folders_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "link.png").symlink_to(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    kinds = {"pipe": "pipe", "device": "device", "link": "pipe", "folder": "folder"}
    with socket.socket(socket.AF_UNIX) as bound:
        if len(str(tmp_path)) < 90:  # the length of the name of a socket is limited
            bound.bind(str(tmp_path / "socket.png"))
            kinds["socket"] = "socket"
        for name, kind in kinds.items():
            path = tmp_path / f"{name}.png"
            error = in_time(lambda path=path: read_image(path))
            assert isinstance(error, ImageError)
            assert str(error).startswith(f"{path}: expected a file, got a {kind}")
            assert in_time(lambda path=path: n_pixels(path)) == 0
            error = in_time(lambda path=path: image_size(path))
            assert isinstance(error, ImageError)
            if kind != "folder":  # a folder of masks is their union
                assert isinstance(in_time(lambda path=path: read_mask(path, (9, 9))), ImageError)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP", "GIF"])
def test_large_photographs_are_read_without_a_word_and_refused_beyond_the_limit(
    format, monkeypatch, tmp_path
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow refuses twice as many
    path = tmp_path / "a.png"
    options = {"compression": "tiff_lzw"} if format == "TIFF" else {}
    path.write_bytes(content_of(Image.fromarray(IMAGE), format, **options))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(path).shape == IMAGE.shape
    assert Image.MAX_IMAGE_PIXELS == 1000
    count = IMAGE.shape[0] * IMAGE.shape[1]
    monkeypatch.setenv("PATCHBANK_MAX_PIXELS", str(count))
    assert read_image(path).shape == IMAGE.shape
    monkeypatch.setenv("PATCHBANK_MAX_PIXELS", str(count - 1))
    with pytest.raises(ImageError, match=f"set the environment variable .*={count} to allow it"):
        read_image(path)


def test_photographs_of_200_megapixels_are_within_the_limit(monkeypatch):
    monkeypatch.delenv("PATCHBANK_MAX_PIXELS", raising=False)
    assert max_pixels() == DEFAULT_MAX_PIXELS > 200_000_000


@pytest.mark.parametrize("text", ["0", "-1", "1e9", "many", "nan", "9" * 5000, "\u0663"])
def test_a_limit_that_is_no_number_is_named(monkeypatch, text, tmp_path):
    monkeypatch.setenv("PATCHBANK_MAX_PIXELS", text)
    with pytest.raises(ParameterError, match="PATCHBANK_MAX_PIXELS: expected a number of pixels"):
        read_image(save(tmp_path / "a.png", IMAGE))


@pytest.mark.parametrize("where", ["before", "behind"])
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_png_with_long_texts_is_read(where, kind):
    content = content_of(Image.fromarray(IMAGE), "PNG")
    text = zlib.compress(b"x" * 3_000_000)
    body = b"key\0\0" + text if kind == b"zTXt" else b"key\0\1\0\0\0" + text
    at = 33 if where == "before" else len(content) - 12
    longer = content[:at] + chunk(kind, body) + content[at:]
    assert (read_image(longer) == IMAGE).all()
    assert n_pixels(longer) == IMAGE.shape[0] * IMAGE.shape[1]


def test_orientation_behind_the_pixels_of_a_png_is_followed():
    exif = Image.Exif()
    exif[0x0112] = 8
    content = content_of(Image.fromarray(IMAGE), "PNG")
    moved = content[:-12] + chunk(b"eXIf", exif.tobytes()[6:]) + content[-12:]
    assert (read_image(moved) == np.rot90(IMAGE)).all()


@pytest.mark.parametrize("bytes_per_pixel", [1, 3])
def test_a_file_that_shrinks_while_it_is_open_does_not_end_the_process(tmp_path, bytes_per_pixel):
    # Pillow would map the file; reading a map beyond the end of its file is a bus error.
    image = Image.fromarray(IMAGE if bytes_per_pixel == 3 else IMAGE[..., 0])
    path = tmp_path / "a.tif"
    path.write_bytes(content_of(image, "TIFF"))
    from patchbank.images.opening import opened

    with opened("a", path) as found:
        os.truncate(path, 300)
        with pytest.raises(OSError, match="truncated|read"):
            found.load()
    assert "mmap" not in sys.modules or getattr(found, "map", None) is None
