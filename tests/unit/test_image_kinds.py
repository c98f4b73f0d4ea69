"""Photographs and masks of every kind, by value."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from patchbank.core.rounding import settled
from patchbank.errors import ImageError, ShapeError
from patchbank.images.masks import read_mask, shows_anything
from patchbank.images.resize import input_size, resized, to_multiple
from patchbank.images.source import n_pixels, read_image
from tests.oracles import resizing as oracle
from tests.photographs import part, save

SIZE = (12, 20)


def ramp():
    """(12, 20) uint8: every pixel differs."""
    return np.arange(240, dtype=np.uint8).reshape(SIZE)


def test_an_array_is_returned_as_it_is():
    image = part(0)
    assert read_image(image) is image


def test_a_path_may_be_text(tmp_path):
    path = save(tmp_path / "a.png", part(0))
    np.testing.assert_array_equal(read_image(str(path)), part(0))


def test_half_transparent_pixels_are_half_as_bright(tmp_path):
    rgba = np.zeros((*SIZE, 4), np.uint8)
    rgba[..., :3], rgba[..., 3] = (200, 100, 50), 255
    rgba[:4, :5, 3] = 128
    read = read_image(save(tmp_path / "a.png", rgba))
    assert np.abs(read[0, 0].astype(int) - [100, 50, 25]).max() <= 1
    assert read[0, 5].tolist() == read[4, 0].tolist() == [200, 100, 50]


def test_grey_with_transparency_becomes_black_there(tmp_path):
    alpha = np.full(SIZE, 255, np.uint8)
    alpha[2:5, 3:9] = 0
    Image.fromarray(np.dstack([ramp(), alpha]), "LA").save(tmp_path / "a.png")
    expected = np.where(alpha == 0, 0, ramp())
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.dstack([expected] * 3))


def test_a_colour_of_a_palette_may_be_transparent(tmp_path):
    palette = Image.fromarray(np.repeat([[0, 1, 2]], 10, 0).repeat(4, 1).astype(np.uint8), "P")
    palette.putpalette([250, 0, 0, 0, 240, 0, 0, 0, 230])
    palette.save(tmp_path / "a.png", transparency=1)
    read = read_image(tmp_path / "a.png")
    assert read[5, ::4].tolist() == [[250, 0, 0], [0, 0, 0], [0, 0, 230]]


def test_ink_is_turned_into_light(tmp_path):
    """CMYK without black: cyan takes all of the red."""
    inks = np.zeros((*SIZE, 4), np.uint8)
    inks[:, :10, 0] = 255
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.tif")
    read = read_image(tmp_path / "a.tif")
    assert read[0, 0].tolist() == [0, 255, 255]
    assert read[0, 15].tolist() == [255, 255, 255]


def test_black_and_white_is_0_and_255(tmp_path):
    Image.fromarray(ramp() > 100).save(tmp_path / "a.png")
    expected = np.where(ramp() > 100, 255, 0)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., 1], expected)


def test_the_first_of_several_frames_is_read(tmp_path):
    frames = [Image.fromarray(part(seed)) for seed in range(3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), part(0))


@pytest.mark.parametrize(
    ("orientation", "shown"),
    [
        (1, lambda image: image),
        (2, lambda image: image[:, ::-1]),
        (3, lambda image: image[::-1, ::-1]),
        (4, lambda image: image[::-1]),
        (5, lambda image: image.transpose(1, 0, 2)),
        (6, lambda image: np.rot90(image, -1)),
        (7, lambda image: image[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda image: np.rot90(image)),
    ],
)
def test_every_orientation_is_shown_as_the_camera_was_held(tmp_path, orientation, shown):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(part(0)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), shown(part(0)))


@pytest.mark.parametrize("size", [(8, 8), (8, 300), (300, 8)])
def test_eight_pixels_a_side_are_enough(tmp_path, size):
    path = save(tmp_path / "a.png", np.zeros((*size, 3), np.uint8))
    assert read_image(path).shape == (*size, 3)
    assert read_image(np.zeros((*size, 3), np.uint8)).shape == (*size, 3)


@pytest.mark.parametrize("size", [(7, 30), (30, 7)])
def test_seven_pixels_a_side_are_too_few(tmp_path, size):
    height, width = size
    path = save(tmp_path / "a.png", np.zeros((*size, 3), np.uint8))
    with pytest.raises(ImageError) as caught:
        read_image(path)
    expected = f"{path}: expected at least 8 x 8 pixels, got {width} x {height}"
    assert str(caught.value) == expected
    with pytest.raises(ShapeError, match=rf"8 x 8 pixels, got \({height}, {width}, 3\)"):
        read_image(np.zeros((*size, 3), np.uint8))


def test_a_folder_is_no_photograph(tmp_path):
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path)
    assert str(caught.value) == f"{tmp_path}: expected a file, got a folder"


def test_pixels_are_counted_before_a_photograph_is_read(tmp_path):
    path = save(tmp_path / "a.png", part(0, size=(30, 50)))
    assert n_pixels(path) == n_pixels(str(path)) == 1500
    assert n_pixels(part(0, size=(30, 50))) == 1500
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])  # the head is there
    assert n_pixels(path) == 1500


def test_what_cannot_be_counted_is_nothing(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    assert n_pixels(tmp_path / "a.png") == n_pixels(tmp_path / "none.png") == 0


def masks(folder):
    """Two masks that overlap in one pixel.  -> their union."""
    one, other = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    one[2:5, 3:9], other[4:8, 8:12] = 255, 1
    save(folder / "0.png", one)
    save(folder / "1.png", other)
    return (one > 0) | (other > 0)


def test_a_folder_of_masks_is_their_union(tmp_path):
    union = masks(tmp_path / "masks")
    save(tmp_path / "masks" / ".hidden.png", np.full(SIZE, 255, np.uint8))
    (tmp_path / "masks" / "more").mkdir()
    read = read_mask(tmp_path / "masks", SIZE)
    assert read.dtype == np.bool_
    assert read.sum() == 18 + 16 - 1
    np.testing.assert_array_equal(read, union)


def test_every_mask_of_a_folder_has_the_size_of_the_photograph(tmp_path):
    masks(tmp_path / "masks")
    save(tmp_path / "masks" / "2.png", np.zeros((20, 12), np.uint8))
    with pytest.raises(ImageError) as caught:
        read_mask(tmp_path / "masks", SIZE)
    assert str(caught.value) == (
        f"{tmp_path / 'masks' / '2.png'}: expected a mask of 12 x 20 pixels (height x width, as "
        "its photograph) or of this aspect ratio, got 20 x 12"
    )


def test_a_folder_without_masks_is_named(tmp_path):
    with pytest.raises(ImageError) as caught:
        read_mask(tmp_path, SIZE)
    assert str(caught.value) == f"{tmp_path}: expected at least one mask in the folder, got none"


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_mask_in_colour_is_set_where_any_colour_is(tmp_path, channel):
    mask = np.zeros((*SIZE, 3), np.uint8)
    mask[2:5, 3:9, channel] = 1
    read = read_mask(save(tmp_path / "m.png", mask), SIZE)
    np.testing.assert_array_equal(read, mask.any(axis=2))
    assert read.sum() == 18


def test_a_mask_with_a_palette_is_set_where_its_colour_is_not_black(tmp_path):
    """The numbers of the colours say nothing: here 0 is white and 1 is black."""
    numbers = np.ones(SIZE, np.uint8)
    numbers[2:5, 3:9] = 0
    mask = Image.fromarray(numbers, "P")
    mask.putpalette([255, 255, 255, 0, 0, 0])
    mask.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", SIZE), numbers == 0)


@pytest.mark.parametrize("kind", [np.bool_, np.uint16, np.int32, np.float32])
def test_masks_of_other_numbers_are_set_where_they_are_not_zero(tmp_path, kind):
    mask = np.zeros(SIZE, kind)
    mask[2:5, 3:9] = 0.25 if kind == np.float32 else 1
    np.testing.assert_array_equal(read_mask(save(tmp_path / "m.tif", mask), SIZE), mask != 0)


def test_a_mask_shows_something_if_one_pixel_is_not_black(tmp_path):
    mask = np.zeros(SIZE, np.uint8)
    assert not shows_anything(save(tmp_path / "none.png", mask))
    mask[11, 19] = 1
    assert shows_anything(save(tmp_path / "one.png", mask))
    (tmp_path / "broken.png").write_bytes(b"")
    with pytest.raises(ImageError, match="broken.png: .* got an empty file"):
        shows_anything(tmp_path / "broken.png")


@pytest.mark.parametrize(
    ("side", "multiple", "expected"),
    [(7.9, 16, 16), (0, 8, 8), (23, 16, 16), (25, 16, 32), (40, 16, 32), (56, 16, 64), (99, 1, 99)],
)
def test_a_side_goes_to_the_nearest_multiple_and_halves_to_the_even_one(side, multiple, expected):
    assert to_multiple(side, multiple) == expected


@settings(max_examples=500, deadline=None)
@given(
    size=st.tuples(st.integers(40, 2000), st.integers(40, 2000)),
    image_size=st.sampled_from([320, 448, 512, 640]),
    resize=st.sampled_from(["area", "short_side"]),
)
@example(size=(96, 338), image_size=640, resize="area")
@example(size=(1184, 103), image_size=640, resize="area")
@example(size=(352, 354), image_size=512, resize="area")
def test_an_input_size_is_the_same_in_numbers_of_32_bits(size, image_size, resize):
    """As runtimes compute it that have no others."""
    rows, columns = map(np.float32, size)
    own = min(rows, columns) if resize == "short_side" else np.sqrt(rows * columns)
    side = min(np.float32(image_size), max(own * np.float32(1.25), np.float32(224)))
    sides = [length * side / own for length in (rows, columns)]
    if resize == "short_side":
        sides = [np.floor(settled(float(one))) for one in sides]
    expected = tuple(to_multiple(float(one), 16) for one in sides)
    assert input_size(size, image_size, resize, 16, 1.25) == expected


@pytest.mark.parametrize(
    ("resize", "max_upscale", "expected"),
    [
        ("area", 1.25, (250, 1000)),  # 200 x 800 has an area of 400 x 400: at most 500
        ("area", 1.0, (200, 800)),
        ("area", 2.0, (350, 1400)),  # 700 was asked for, which is less than 800
        ("short_side", 1.25, (250, 1000)),
        ("short_side", 1.0, (224, 896)),  # never fewer than 224
        ("short_side", 9.0, (700, 2800)),
        ("squash", 1.25, (500, 500)),
    ],
)
def test_photographs_are_enlarged_within_bounds(resize, max_upscale, expected):
    assert input_size((200, 800), 700, resize, 1, max_upscale) == expected


def test_the_long_side_of_a_short_side_is_cut_off_to_whole_pixels():
    """300 x 505 at 250 is 420.8 pixels wide; rounded to the nearest multiple of 1 only then."""
    assert input_size((300, 505), 250, "short_side", 1, 1.25) == (250, 420)
    assert input_size((505, 300), 250, "short_side", 1, 1.25) == (420, 250)


def test_height_and_width_that_are_given_are_bound_by_multiples_only():
    assert input_size((20, 30), (500, 900), "area", 32, 1.25) == (512, 896)


@pytest.mark.parametrize("name", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(40, 60), (17, 98), (90, 31), (200, 150), (72, 40), (40, 104)])
def test_resizing_is_that_of_pillow(size, name):
    expected = oracle.resized(part(0), size, name)
    np.testing.assert_array_equal(resized(part(0), size, name), expected)


@pytest.mark.parametrize("name", ["bilinear", "bicubic", "lanczos"])
def test_the_width_is_resized_first_also_where_the_other_order_costs_less(name):
    """Pillow 13 would filter the columns first here, older versions the rows."""
    image = np.random.default_rng(0).integers(0, 256, (995, 663, 3), dtype=np.uint8)[:, :, :1]
    image = image.repeat(3, axis=2)
    expected = oracle.resized(image[..., :1], (208, 498), name)
    made = resized(image, (208, 498), name)
    np.testing.assert_array_equal(made, expected.repeat(3, axis=2))


def test_resizing_to_the_same_size_changes_nothing():
    image = part(0)
    assert resized(image, image.shape[:2]) is image
    assert resized(image, image.shape[1::-1]).shape == (104, 72, 3)
