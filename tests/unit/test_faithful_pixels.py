"""The picture that a file shows: animations, inks, profiles, palettes, damaged metadata."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from patchbank.errors import ImageError
from patchbank.images.source import read_image
from tests.photographs import part

IMAGE = part(0, size=(40, 56))
GREY = IMAGE[..., 0]


def content_of(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def animation():
    """Two frames; the second differs in a corner only, and so is stored as that corner."""
    second = IMAGE.copy()
    second[:8, :8] = 255
    return Image.fromarray(IMAGE), Image.fromarray(second)


@pytest.mark.parametrize(
    ("format", "options"), [("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})]
)
def test_the_first_frame_of_several_is_read(format, options):
    first, second = animation()
    content = content_of(first, format, save_all=True, append_images=[second], **options)
    assert (read_image(content) == IMAGE).all()


def test_the_first_frame_of_a_gif_is_read_on_its_whole_canvas():
    """A frame of 4 x 5 pixels at row 10, column 20 of a canvas of 24 x 32, by hand."""
    palette = bytes([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    header = b"GIF89a" + struct.pack("<HHBBB", 32, 24, 0b10000001, 0, 0) + palette
    control = b"\x21\xf9\x04" + bytes([0b00000001, 0, 0, 0, 0])  # colour 0 is transparent
    frame = b"\x2c" + struct.pack("<HHHHB", 20, 10, 5, 4, 0)
    # LZW with codes of 3 bits, cleared before every second pixel, so that they stay that long.
    codes = [code for _ in range(10) for code in (4, 1, 1)] + [5]
    bits = sum(code << (3 * i) for i, code in enumerate(codes))
    data = bits.to_bytes(-(-3 * len(codes) // 8), "little")
    content = header + control + frame + b"\x02" + bytes([len(data)]) + data + b"\0\x3b"
    expected = np.zeros((24, 32, 3), np.uint8)
    expected[10:14, 20:25] = (255, 0, 0)
    assert (read_image(content) == expected).all()


@pytest.mark.parametrize("quality", [100])
def test_the_inks_of_a_jpeg_are_those_that_adobe_writes_inverted(quality):
    inks = np.dstack([IMAGE, GREY // 3])  # cyan, magenta, yellow, black
    picture = Image.frombytes("CMYK", (56, 40), inks.tobytes())
    content = content_of(picture, "JPEG", quality=quality)
    assert b"Adobe" in content[:40]
    white = 255 - inks[..., :3].astype(float)
    expected = white * (255 - inks[..., 3:].astype(float)) / 255
    assert np.abs(read_image(content) - expected).max() < 6


def test_colour_profiles_are_ignored():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    plain = content_of(Image.fromarray(IMAGE), "PNG")
    with_profile = content_of(Image.fromarray(IMAGE), "PNG", icc_profile=lab)
    assert len(with_profile) > len(plain)
    assert (read_image(with_profile) == read_image(plain)).all()
    assert (read_image(with_profile) == IMAGE).all()


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette_is_black(format):
    picture = Image.fromarray((np.arange(40 * 56).reshape(40, 56) % 4).astype(np.uint8))
    picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 90, 90, 90])
    content = content_of(picture, format, transparency=1)
    read = read_image(content)
    expected = np.array([(200, 0, 0), (0, 0, 0), (0, 0, 200), (90, 90, 90)], np.uint8)
    assert (read == expected[np.arange(40 * 56).reshape(40, 56) % 4]).all()


def test_several_opacities_of_a_palette_are_composited():
    picture = Image.fromarray((np.arange(40 * 56).reshape(40, 56) % 2).astype(np.uint8))
    picture.putpalette([200, 100, 50, 255, 255, 255])
    content = content_of(picture, "PNG", transparency=bytes([128, 255]))
    read = read_image(content)
    assert (read[0, 0] == [100, 50, 25]).all()
    assert (read[0, 1] == 255).all()


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"Exif\0\0",
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHLL", 0x112, 2, 2, 0x31),
        b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHLL", 0x112, 5, 1, 0xFFFFFF),
        b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHLL", 0x112, 3, 1, 99),
    ],
)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_data_are_ignored(exif, format):
    options = {"lossless": True} if format == "WEBP" else {}
    plain = read_image(content_of(Image.fromarray(IMAGE), format, **options))
    content = content_of(Image.fromarray(IMAGE), format, exif=exif, **options)
    assert (read_image(content) == plain).all()


def test_a_photograph_that_is_cut_off_is_refused():
    content = content_of(Image.fromarray(IMAGE), "JPEG")
    with pytest.raises(ImageError, match="[Tt]runcated"):
        read_image(content[: len(content) // 2])
