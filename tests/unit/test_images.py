"""Photographs as they come."""

import numpy as np
import pytest
from PIL import Image

from patchbank.errors import ImageError
from patchbank.images.masks import read_mask
from patchbank.images.resize import input_size, resized
from patchbank.images.source import read_image
from tests.examples.unusual import grey_png
from tests.photographs import part, save


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp", "jpg"])
def test_every_format_is_read(tmp_path, suffix):
    image = part(0)
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(image).save(tmp_path / f"a.{suffix}", **options)
    read = read_image(tmp_path / f"a.{suffix}")
    assert read.shape == image.shape
    assert read.dtype == np.uint8
    error = np.abs(read.astype(int) - image).mean()
    assert error < (4 if suffix == "jpg" else 1e-9)


def test_grey_becomes_three_equal_colours(tmp_path):
    grey = part(0)[..., 0]
    read = read_image(save(tmp_path / "a.png", grey))
    assert (read == grey[..., None]).all()


def test_a_palette_is_resolved(tmp_path):
    Image.fromarray(part(0)).quantize(16).save(tmp_path / "a.png")
    expected = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert (read_image(tmp_path / "a.png") == expected).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_keep_their_upper_eight(tmp_path, suffix):
    deep = (np.arange(40 * 24).reshape(40, 24) * 68).astype(np.uint16)
    read = read_image(save(tmp_path / f"a.{suffix}", deep))
    assert (read == (deep >> 8)[..., None]).all()


def test_transparent_pixels_are_black(tmp_path):
    rgba = np.dstack([part(0), np.full((72, 104), 255, np.uint8)])
    rgba[:10, :20, 3] = 0
    read = read_image(save(tmp_path / "a.png", rgba))
    assert (read[:10, :20] == 0).all()
    assert (read[10:] == part(0)[10:]).all()


@pytest.mark.parametrize(("bits", "key"), [(1, 0), (1, 1), (2, 0), (2, 2), (4, 1), (4, 5), (4, 15)])
def test_a_transparent_grey_of_few_bits_is_black(bits, key):
    values = np.arange(20 * 24).reshape(20, 24) % 2**bits
    read = read_image(grey_png(values, bits, key))
    greys = values * 255 // (2**bits - 1)
    assert (read == np.where(values == key, 0, greys)[..., None]).all()


def test_exif_orientation_is_obeyed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    Image.fromarray(part(0)).save(tmp_path / "a.png", exif=exif)
    assert (read_image(tmp_path / "a.png") == np.rot90(part(0), -1)).all()


def test_arrays_pass_through():
    assert (read_image(part(0)) == part(0)).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"not an image at all", "something else"),
        ("truncated", "truncated|image file"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, content, reason):
    path = tmp_path / "a.png"
    if content == "truncated":
        whole = save(tmp_path / "whole.png", part(0)).read_bytes()
        content = whole[: len(whole) // 2]
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "a.png")


def test_one_pixel_is_not_a_photograph(tmp_path):
    with pytest.raises(ImageError, match="at least 8 x 8 pixels, got 1 x 1"):
        read_image(save(tmp_path / "a.png", np.zeros((1, 1, 3), np.uint8)))


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path):
    Image.new("1", (30_000, 30_000)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="a decompression bomb"):
        read_image(tmp_path / "a.png")


def test_whole_numbers_of_32_bits_are_not_taken_for_sixteen(tmp_path):
    with pytest.raises(ImageError, match="32-bit or signed integer numbers"):
        read_image(save(tmp_path / "a.tif", np.full((20, 30), 200, np.int32)))


def test_deep_images_are_turned_too(tmp_path):
    deep = (np.arange(40 * 24).reshape(40, 24) * 68).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(deep).save(tmp_path / "a.png", exif=exif)
    assert (read_image(tmp_path / "a.png")[..., 0] == np.rot90(deep >> 8, -1)).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_masks_are_set_wherever_they_are_not_black(tmp_path, dtype):
    mask = np.zeros((30, 50), dtype)
    mask[3:7, 10:20] = 200
    assert (read_mask(save(tmp_path / "m.png", mask), (30, 50)) == (mask > 0)).all()


def test_floating_point_images_are_named(tmp_path):
    with pytest.raises(ImageError, match="8 or 16 bits"):
        read_image(save(tmp_path / "a.tif", np.full((20, 30), 0.5, np.float32)))


def test_masks_have_the_size_of_their_photograph(tmp_path):
    mask = np.zeros((30, 50), np.uint8)
    mask[3:7, 10:20] = 1
    path = save(tmp_path / "m.png", mask)
    assert (read_mask(path, (30, 50)) == (mask > 0)).all()
    with pytest.raises(ImageError, match="expected a mask of 50 x 30"):
        read_mask(path, (50, 30))


@pytest.mark.parametrize(
    ("size", "image_size", "resize", "expected"),
    [
        ((600, 1200), 320, "area", (224, 448)),
        ((1200, 600), 320, "area", (448, 224)),
        ((600, 1200), 320, "squash", (320, 320)),
        ((600, 1200), (96, 250), "area", (96, 256)),
        ((10, 4000), 320, "area", (16, 4992)),
        ((200, 300), 448, "area", (256, 368)),
        ((60, 90), 448, "area", (176, 272)),
        ((600, 1200), 256, "short_side", (256, 512)),
        ((1200, 600), 256, "short_side", (512, 256)),
    ],
)
def test_the_network_sees_a_size_it_accepts(size, image_size, resize, expected):
    assert input_size(size, image_size, resize, 16, 1.25) == expected


def test_resizing_is_height_by_width():
    assert resized(part(0), (40, 60)).shape == (40, 60, 3)
