"""Which part of a photograph the network sees, at which sizes, and where its map comes back."""

from dataclasses import replace

import numpy as np
import pytest

from patchbank.backbones.extractor import BackboneInfo, Layer
from patchbank.core.spatial.anomaly_map import anomaly_map
from patchbank.core.spatial.box import Box
from patchbank.detector.preprocessing import ImageGeometry, extract, prepare
from patchbank.errors import ParameterError
from patchbank.images.resize import resized
from patchbank.methods.base import PatchScores
from patchbank.settings import MapSettings, Settings
from tests.photographs import part

INFO = BackboneInfo(
    name="steps",
    available_layers={"a": Layer(3, 4), "b": Layer(5, 16), "c": Layer(7, 32)},
    default_layers=("a", "b"),
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    size_multiple=8,
    input_size=None,
    license="CC0",
    source="tests",
    sha256="",
)
SIZE = (100, 200)  # the root of its area is 141.4


class Network:
    """Each layer has maps of its stride that are filled with the number of the call."""

    def __init__(self, *layers, info=INFO):
        self.info, self.layers, self.calls = info, layers, 0

    def __call__(self, image):
        self.calls += 1
        taps = [self.info.available_layers[layer] for layer in self.layers]
        height, width = image.shape[:2]
        return [
            np.full((tap.channels, height // tap.stride, width // tap.stride), self.calls, "f4")
            for tap in taps
        ]


def sizes(network, **settings):
    """(height, width) of what the network sees, one a scale."""
    prepared = prepare(network, Settings(**settings), part(0, size=SIZE))
    return [image.shape[:2] for image in prepared.inputs]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [(("a",), (72, 144)), (("a", "b"), (64, 144)), (("a", "b", "c"), (64, 128))],
)
def test_a_side_of_the_area_becomes_whole_cells_of_the_deepest_layer_used(layers, expected):
    """70.7 x 141.4 in steps of 8, which the network demands, of 16, and of 32."""
    assert sizes(Network(*layers), image_size=100, scales=(1.0,)) == [expected]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"image_size": (100, 150)}, (96, 152)),
        ({"image_size": 100, "resize": "short_side"}, (96, 200)),
        ({"image_size": 100, "resize": "squash"}, (96, 96)),
    ],
)
def test_other_sizes_are_multiples_that_the_network_demands(settings, expected):
    assert sizes(Network("a", "b", "c"), scales=(1.0,), **settings) == [expected]


@pytest.mark.parametrize(("largest", "expected"), [(1.25, (160, 320)), (2.0, (200, 400))])
def test_small_photographs_are_enlarged_as_far_as_the_settings_allow(largest, expected):
    """To 224 at least, else to twice 141.4."""
    settings = {"image_size": 448, "scales": (1.0,), "max_upscale": largest}
    assert sizes(Network("a"), **settings) == [expected]


def test_a_short_side_that_makes_a_long_one_without_end_is_refused():
    """8 x 65,500 pixels: 224 x 1,834,000, which no memory holds."""
    thin = np.zeros((8, 65500, 3), np.uint8)
    message = (
        r"image_size: expected a short side that makes at most 16,777,216 pixels of a photograph, "
        r"got 224 x 1834000 \(height x width\) of one of 8 x 65500; use resize area"
    )
    with pytest.raises(ParameterError, match=message):
        prepare(Network("a"), Settings(image_size=448, resize="short_side"), thin)
    inputs = prepare(Network("a"), Settings(image_size=448, scales=(1.0,)), thin).inputs
    assert [image.shape for image in inputs] == [(8, 40536, 3)]


def test_other_scales_are_whole_cells_of_the_deepest_layer_used():
    """64 x 144 at 0.5 is 32 x 72, of which 72 becomes 64, as 4.5 cells are rounded to even."""
    assert sizes(Network("a", "b"), image_size=100, scales=(1.0, 0.5)) == [(64, 144), (32, 64)]
    assert sizes(Network("a", "b"), image_size=100, scales=(0.4,)) == [(32, 64)]  # of 25.6, 57.6
    assert sizes(Network("a"), image_size=100, scales=(0.5, 1.0)) == [(32, 72), (72, 144)]


def test_every_scale_is_made_from_the_photograph_itself():
    image = part(0, size=SIZE)
    settings = Settings(image_size=100, scales=(1.0, 0.5), resampling="lanczos")
    prepared = prepare(Network("a", "b"), settings, image)
    for shown in prepared.inputs:
        np.testing.assert_array_equal(shown, resized(image, shown.shape[:2], "lanczos"))
    assert (prepared.inputs[0] != resized(image, (64, 144), "bilinear")).any()


def test_a_crop_is_the_middle_of_a_photograph_resized_to_any_size():
    """71 x 141: rows 20 to 52 and columns 38 to 102, which are 28 to 73 and 54 to 145 of it."""
    image = part(0, size=SIZE)
    settings = Settings(image_size=100, crop=(32, 64), scales=(1.0, 0.5))
    prepared = prepare(Network("a", "b"), settings, image)
    whole = resized(image, (71, 141))
    np.testing.assert_array_equal(prepared.inputs[0], whole[20:52, 38:102])
    assert prepared.crop_box == Box(top=28, left=54, height=45, width=91)
    np.testing.assert_array_equal(
        prepared.inputs[1], resized(image[28:73, 54:145], (16, 32), "bilinear")
    )
    assert prepared.photograph == SIZE


@pytest.mark.parametrize(
    ("settings", "box"),
    [
        ({"image_size": 100, "crop": (40, 104)}, Box(23, 26, 56, 147)),
        ({"image_size": (64, 144), "crop": (48, 104)}, Box(12, 28, 76, 144)),
    ],
)
def test_each_side_of_a_crop_is_rounded_by_itself(settings, box):
    """Of 71 x 141, rows 16 to 56 are 22.5 to 78.9 and columns 18 to 122 are 25.5 to 173.0."""
    prepared = prepare(Network("a"), Settings(**settings), part(0, size=SIZE))
    assert prepared.crop_box == box


def test_without_a_crop_the_whole_photograph_is_inspected():
    prepared = prepare(Network("a"), Settings(image_size=100), part(0, size=SIZE))
    assert prepared.crop_box == Box(0, 0, *SIZE)


def test_a_crop_of_all_is_the_whole():
    settings = Settings(image_size=(64, 144), crop=(64, 144), scales=(1.0,))
    prepared = prepare(Network("a"), settings, part(0, size=SIZE))
    assert prepared.crop_box == Box(0, 0, *SIZE)
    assert prepared.inputs[0].shape == (64, 144, 3)


@pytest.mark.parametrize(
    ("crop", "message"),
    [
        ((72, 64), "crop: expected at most 71 x 141 (height x width of the resized photograph), "),
        ((32, 144), "crop: expected at most 71 x 141 (height x width of the resized photograph), "),
        ((33, 64), "crop: expected multiples of 8 (what steps takes), got 33 x 64"),
        ((32, 65), "crop: expected multiples of 8 (what steps takes), got 32 x 65"),
    ],
)
def test_a_crop_that_cannot_be_had_is_named(crop, message):
    with pytest.raises(ParameterError) as caught:
        sizes(Network("a"), image_size=100, crop=crop)
    assert str(caught.value).startswith(message)
    assert f"got {crop[0]} x {crop[1]}" in str(caught.value)


def test_a_network_of_one_size_names_it():
    network = Network("a", info=replace(INFO, input_size=(64, 96)))
    assert sizes(network, image_size=(64, 96), scales=(1.0,)) == [(64, 96)]
    with pytest.raises(ParameterError) as caught:
        sizes(network, image_size=(64, 96), scales=(1.0, 0.5))
    assert str(caught.value) == (
        "image_size: expected 64x96 and scales 1, the one size that steps accepts, "
        "got 64x96 and 32x48"
    )
    with pytest.raises(ParameterError, match="got 96x64$"):
        sizes(network, image_size=(96, 64), scales=(1.0,))


def test_features_come_scale_by_scale_and_layer_by_layer():
    settings = Settings(image_size=100, scales=(1.0, 0.5))
    maps, view = extract(Network("a", "b"), settings, part(0, size=SIZE))
    assert [m.shape for m in maps] == [(3, 16, 36), (5, 4, 9), (3, 8, 16), (5, 2, 4)]
    assert [m.max() for m in maps] == [1, 1, 2, 2]
    assert view == ImageGeometry(SIZE, Box(0, 0, *SIZE), (64, 144), (16, 36), MapSettings())


def test_a_window_is_the_box_as_shares_of_the_photograph():
    view = ImageGeometry((100, 200), Box(10, 40, 50, 80), (64, 96), (8, 12), Settings())
    assert view.crop_shares == pytest.approx((0.1, 0.2, 0.6, 0.6))
    lower = ImageGeometry((100, 200), Box(30, 0, 70, 150), (64, 96), (8, 12), Settings())
    assert lower.crop_shares == pytest.approx((0.3, 0.0, 1.0, 0.75))


def test_a_box_gives_a_part_that_writes_through():
    pixels = np.arange(4 * 6 * 3).reshape(4, 6, 3)
    inside = Box(top=1, left=2, height=2, width=3).of(pixels)
    np.testing.assert_array_equal(inside, pixels[1:3, 2:5])
    inside[...] = -1
    assert (pixels == -1).sum() == 2 * 3 * 3
    assert Box(1, 2, 2, 3).of(np.zeros((4, 6))).shape == (2, 3)


def view_of(size, box, seen, cells, **settings):
    return ImageGeometry(size, box, seen, cells, Settings(**{"smoothing": 0.0, **settings}))


def test_a_map_has_each_pixel_of_its_nearest_patch():
    """Patches stand on the cells 0, 2, ...; cells are two pixels: three rows, then five."""
    grid = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    view = view_of((8, 12), Box(0, 0, 8, 12), (8, 12), (4, 6), map_interpolation="nearest")
    made = view.anomaly_map(PatchScores(grid, 6.0, stride=2))
    np.testing.assert_array_equal(made, np.repeat(np.repeat(grid, (3, 5), 0), (3, 4, 5), 1))
    assert made.dtype == np.float32


def test_a_map_lies_in_its_box_and_is_zero_elsewhere():
    grid = np.array([[1, 2], [3, 4]], np.float32)
    view = view_of((9, 14), Box(2, 5, 4, 6), (4, 6), (2, 2), map_interpolation="nearest")
    made = view.anomaly_map(PatchScores(grid, 4.0))
    expected = np.zeros((9, 14), np.float32)
    expected[2:4, 5:8], expected[2:4, 8:11], expected[4:6, 5:8], expected[4:6, 8:11] = 1, 2, 3, 4
    np.testing.assert_array_equal(made, expected)


def test_a_map_is_smoothed_as_the_settings_say():
    """Sigma is given for 224 x 224: at 28 x 63 it is 4 * 42 / 224 = 0.75."""
    grid = np.random.default_rng(0).random((4, 9)).astype(np.float32)
    for border in ("reflect", "mirror"):
        view = view_of(
            (30, 70), Box(0, 0, 30, 70), (28, 63), (4, 9), smoothing=4.0, map_border=border
        )
        expected = anomaly_map(grid, (28, 63), (30, 70), sigma=0.75, border=border)
        np.testing.assert_array_equal(view.anomaly_map(PatchScores(grid, 1.0)), expected)
    mirrored = anomaly_map(grid, (28, 63), (30, 70), sigma=0.75, border="reflect")
    assert (mirrored != expected).any()
