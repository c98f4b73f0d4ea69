"""Traits of a photograph: size, kind of its file, light, focus and traces of compression."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from patchbank.images.file_facts import estimated_quality
from patchbank.images.source import image_source
from patchbank.images.traits import Traits
from tests.photographs import part, save

SIZE = (240, 328)


def traits_of(given, **options):
    image, source = image_source(given).read_once(**options)
    return Traits.of(source, image)


def jpeg(image, quality, **options):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality, **options)
    return stream.getvalue()


def decoded_jpeg(image, quality):
    return np.asarray(Image.open(io.BytesIO(jpeg(image, quality))))


def blurred(image, radius):
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def photograph(seed=0):
    """A part with edges, texture and noise, as cameras see it."""
    return blurred(part(seed, size=SIZE), 0.6)


@pytest.mark.parametrize(
    ("suffix", "name"),
    [("png", "PNG"), ("bmp", "BMP"), ("tif", "TIFF"), ("jpg", "JPEG"), ("webp", "WEBP")],
)
def test_the_format_is_that_of_the_contents_and_not_of_the_ending(tmp_path, suffix, name):
    path = save(tmp_path / f"a.{suffix}", part(0))
    renamed = path.rename(tmp_path / "a.bin")
    assert traits_of(renamed).format == name


def test_height_stands_before_width_and_follows_the_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(part(0)).save(tmp_path / "a.jpg", exif=exif)
    turned, upright = traits_of(tmp_path / "a.jpg"), traits_of(part(0))
    assert (turned.height, turned.width) == (104, 72)
    assert (upright.height, upright.width) == (72, 104)


@pytest.mark.parametrize("quality", [1, 10, 30, 49, 50, 51, 75, 90, 95, 99, 100])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
def test_the_quality_of_a_jpeg_is_the_one_it_was_saved_with(quality, options):
    assert traits_of(jpeg(part(0), quality, **options)).jpeg_quality == quality


def test_the_quality_of_grey_jpegs_and_of_pillow_images_is_known_too():
    grey = jpeg(part(0)[..., 0], 82)
    assert traits_of(grey).jpeg_quality == 82
    as_pillow = traits_of(Image.open(io.BytesIO(grey)))
    assert (as_pillow.format, as_pillow.jpeg_quality) == ("JPEG", 82)


def test_a_jpeg_of_a_telephone_with_a_second_picture_is_a_jpeg(tmp_path):
    first, second = (Image.fromarray(part(seed)) for seed in (0, 1))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second], quality=88)
    traits = traits_of(tmp_path / "a.jpg")
    assert (traits.format, traits.jpeg_quality) == ("JPEG", 88)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_other_formats_have_no_quality(tmp_path, suffix):
    assert traits_of(save(tmp_path / f"a.{suffix}", part(0))).jpeg_quality is None


def test_a_table_of_no_quality_gets_that_of_the_nearest_one():
    table = np.full(64, 255)
    table[0] = 254  # the finest step of quality 1 is 255 as well
    assert estimated_quality(table) == 1
    assert estimated_quality(np.ones(64)) == 100
    assert estimated_quality(np.full(64, 65535)) == 1  # tables of 16 bits are allowed


def test_arrays_have_no_format_but_mode_and_bits():
    rgba = np.dstack([part(0), np.full((72, 104), 255, np.uint8)])
    found = [
        traits_of(array)
        for array in (part(0), part(0)[..., 0], part(0)[..., :1], rgba, part(0).astype(np.uint16))
    ]
    assert [traits.format for traits in found] == [None] * 5
    assert [traits.mode for traits in found] == ["RGB", "L", "L", "RGBA", "RGB"]
    assert [traits.bit_depth for traits in found] == [8, 8, 8, 8, 16]


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("largest", "bits"), [(255, 8), (1023, 10), (4095, 12), (65535, 16)])
def test_bits_in_use_are_those_that_the_largest_value_needs(tmp_path, suffix, largest, bits):
    values = np.linspace(0, largest, 24 * 40).reshape(24, 40).astype(np.uint16)
    for given in (save(tmp_path / f"a.{suffix}", values), values):
        traits = traits_of(given)
        assert (traits.mode, traits.bit_depth, traits.bits_in_use) == ("I;16", 16, bits)


@pytest.mark.parametrize(
    ("mode", "bits"), [("1", 1), ("L", 8), ("P", 8), ("RGBA", 8), ("LA", 8), ("RGB", 8)]
)
def test_the_mode_is_that_of_the_pixels_of_the_file(tmp_path, mode, bits):
    Image.fromarray(part(0)).convert(mode).save(tmp_path / "a.png")
    traits = traits_of(tmp_path / "a.png")
    assert (traits.mode, traits.bit_depth) == (mode, bits)


def test_grey_is_a_property_of_the_pixels_and_not_of_the_mode(tmp_path):
    grey = np.repeat(part(0)[..., :1], 3, axis=2)
    assert traits_of(save(tmp_path / "a.png", grey)).is_grey
    assert traits_of(grey).mode == "RGB"
    assert not traits_of(part(0)).is_grey
    tinted = grey.copy()
    tinted[..., 2] = np.minimum(grey[..., 2], 254) + 1
    assert not traits_of(tinted).is_grey


def test_brightness_is_the_mean_luma():
    image = np.zeros((10, 20, 3), np.uint8)
    image[:, :10] = (200, 100, 50)  # luma 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2
    assert traits_of(image).brightness == pytest.approx(62.1, abs=1e-3)
    assert traits_of(np.full((600, 700), 37, np.uint8)).brightness == pytest.approx(37)


def test_brightness_of_large_photographs_is_close_to_that_of_all_pixels():
    image = part(3, size=(1100, 1300))
    exact = (image @ np.array([0.299, 0.587, 0.114])).mean()
    assert traits_of(image).brightness == pytest.approx(exact, abs=1.5)


def test_black_and_saturated_pixels_are_counted():
    image = np.full((16, 40, 3), 128, np.uint8)
    image[:, :10] = 2
    image[:, 10:12] = (0, 0, 254)
    image[:, 12:14] = 255
    image[:, 14:20] = 253
    traits = traits_of(image)
    assert traits.share_black == pytest.approx(10 / 40)
    assert traits.share_saturated == pytest.approx(4 / 40)


def test_sharpness_falls_with_every_step_of_blur():
    image = photograph()
    found = [traits_of(image).sharpness]
    found += [traits_of(blurred(image, radius)).sharpness for radius in (1, 2, 3, 6)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 1.3 * found[1]
    assert 0.24 < found[-1] < 0.35


def test_sharpness_of_a_ramp_is_a_quarter_and_of_single_steps_one():
    ramp = np.tile(np.arange(0, 240, dtype=np.uint8), (32, 1))
    step = np.zeros((32, 240), np.uint8)
    step[:, 120:] = 200
    # A step lies between 1 pair of pixels at distance 1 and 4 pairs at distance 4.
    assert traits_of(ramp).sharpness == pytest.approx(0.25, abs=0.005)
    assert traits_of(step).sharpness == pytest.approx((1 / 4) ** 0.25, abs=0.01)
    assert traits_of(np.full((32, 240), 90, np.uint8)).sharpness == 0


def test_sharpness_does_not_depend_on_contrast_or_resolution():
    image = part(0, size=(512, 512 + 64))
    sharp = traits_of(image).sharpness
    assert traits_of(image // 2).sharpness == pytest.approx(sharp, rel=0.02)
    twice = np.asarray(Image.fromarray(image).resize((2 * 576, 2 * 512), Image.Resampling.BICUBIC))
    assert traits_of(twice).sharpness == pytest.approx(sharp, rel=0.1)


@pytest.mark.parametrize(("quality", "more"), [(30, 0.6), (50, 0.4), (75, 0.15), (90, 0.04)])
@pytest.mark.parametrize(("top", "left"), [(0, 0), (3, 5)])
def test_decoded_jpegs_have_traces_wherever_their_blocks_begin(quality, more, top, left):
    for seed in range(5):
        image = photograph(seed)
        pixels = decoded_jpeg(image, quality)[top:, left:]
        assert traits_of(pixels).blockiness > traits_of(image).blockiness + more


def test_pixels_that_were_never_compressed_have_no_traces():
    for seed in range(5):
        image = photograph(seed)
        for pixels in (image, blurred(image, 2), image // 3):
            assert 0 <= traits_of(pixels).blockiness < 0.03


@pytest.mark.parametrize("times", [1.5, 2, 3, 4])
@pytest.mark.parametrize("method", [Image.Resampling.BILINEAR, Image.Resampling.NEAREST])
def test_enlarged_photographs_have_no_traces_of_jpeg(times, method):
    """Their pixels repeat in patterns, too: of other lengths."""
    height, width = (round(side * times) for side in SIZE)
    enlarged = np.asarray(Image.fromarray(photograph()).resize((width, height), method))
    assert traits_of(enlarged).blockiness < 0.06


def test_traces_are_zero_where_nothing_differs():
    assert traits_of(np.full((40, 64), 90, np.uint8)).blockiness == 0
    assert traits_of(np.tile(np.uint8([[0], [90]]), (4, 9))).blockiness == 0


def test_smallest_photographs_and_long_ones_have_traits():
    for size in ((8, 8), (8, 3000), (3000, 9)):
        traits = traits_of(part(0, size=size))
        assert (traits.height, traits.width) == size
        assert np.isfinite([traits.brightness, traits.sharpness, traits.blockiness]).all()


def test_the_file_is_read_once(tmp_path):
    path = save(tmp_path / "a.jpg", part(0))
    image, source = image_source(path).read_once()
    path.unlink()
    assert Traits.of(source, image).format == "JPEG"


def test_a_source_that_was_not_read_is_read_for_its_facts(tmp_path):
    source = image_source(save(tmp_path / "a.bmp", part(0)))
    assert Traits.of(source, source.read()).format == "BMP"
