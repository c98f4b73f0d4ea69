"""Parts are brought to one canonical image in one resampling, and maps come back from it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.images.augment import Augmentation
from patchbank.images.placement import Placement
from tests.long_parts import BRACKET, PIN, photograph, turned

SIZE = (60, 170)
"""(height, width) of canonical images."""
WHOLE = (0, 0, *SIZE)
BLOT = (20, 0, 3)


def canonical(image, size=SIZE):
    return Placement.of(image, SIZE).canonical(image, WHOLE, size, "bilinear")


@pytest.mark.parametrize("outline", [PIN, BRACKET])
def test_canonical_images_of_one_part_are_alike_wherever_it_lies(outline):
    images = [
        canonical(photograph(outline, angle, (115, 150 + angle / 20), noise=0.0)).astype(float)
        for angle in (0, 17, 90, 133, 200, 271, 340)
    ]
    mean = np.mean(images, axis=0)
    assert mean.min() < 100
    for image in images:
        assert np.abs(image - mean).mean() < 1.5  # of 255


def test_a_pin_lies_level_with_its_head_to_the_left():
    image = canonical(photograph(PIN, 70.0, noise=0.0))[..., 0]
    is_pin = image < 145
    assert is_pin.sum(axis=0)[18:24].min() >= 16  # the head, after a margin of 15
    assert 6 <= is_pin.sum(axis=0)[60:140].max() <= 9
    middle = np.argwhere(is_pin).min(axis=0) + np.argwhere(is_pin).max(axis=0)
    assert middle / 2 == pytest.approx((29.5, 84.5), abs=2)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 360), st.floats(100, 140), st.floats(120, 200), st.floats(-45, 45))
def test_a_value_of_the_map_comes_back_to_where_it_was_seen(angle, down, right, along):
    """The brightest place of a map, on a blot of the part, lies on that blot in the photograph."""
    image = photograph(PIN, angle, (down, right), blots=[(along, 0, 3)], noise=0.0)
    placement = Placement.of(image, SIZE)
    seen = placement.canonical(image, WHOLE, SIZE, "bilinear")[..., 0].astype(np.float32)
    seen[:27], seen[33:] = 0, 0  # the part alone, without the ground
    seen[:, :30], seen[:, 140:] = 0, 0
    centre = np.argwhere(seen > 140).mean(axis=0)
    map_ = np.zeros(SIZE, np.float32)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    map_ += np.exp(-(np.hypot(rows - centre[0], columns - centre[1]) ** 2) / 18).astype(np.float32)
    back = placement.turned_back(map_, image.shape[:2])
    assert back.shape == image.shape[:2]
    ((x, y),) = turned([(along, 0)], angle, (down, right))
    found = np.array(np.unravel_index(back.argmax(), back.shape)) + 0.5
    assert np.hypot(*(found - (y, x))) < 2
    assert back.max() <= map_.max() + 1e-6


def test_a_map_is_zero_where_the_canonical_image_shows_nothing():
    image = photograph(PIN, 0.0, (120, 160))
    back = Placement.of(image, SIZE).turned_back(np.ones(SIZE, np.float32), image.shape[:2])
    assert back.sum() == pytest.approx(60 * 170, rel=0.02)
    assert back[120, 160] == 1
    assert back[:80].max() == 0
    assert back[:, :60].max() == 0


def test_the_mirror_image_is_the_canonical_image_upside_down():
    image = photograph(BRACKET, 33.0, noise=0.0)
    placement = Placement.of(image, SIZE)
    mirrored = placement.copied(Augmentation(signs=(-1, 1)))
    upright = placement.canonical(image, WHOLE, SIZE, "bilinear").astype(int)
    flipped = mirrored.canonical(image, WHOLE, SIZE, "bilinear").astype(int)
    np.testing.assert_allclose(flipped, upright[::-1], atol=2)
    assert np.abs(flipped - upright).max() > 50


def test_the_ground_goes_on_beyond_the_border_with_its_fall_of_light_and_without_an_edge():
    image = photograph(PIN, 90.0, (75, 45), fall=30.0, noise=0.0, size=(200, 330))
    shown = canonical(image)[..., 0].astype(float)
    ground = shown[[0, 1, -2, -1]]
    assert np.abs(np.diff(ground, axis=1)).max() <= 3
    assert 165 < ground.min() <= ground.max() < 205  # the light at the left end is 170
    assert np.abs(np.diff(shown[:, :6].mean(axis=1))).max() < 3


def test_a_part_that_reaches_the_border_does_not_go_on_beyond_it():
    image = photograph(PIN, 0.0, (120, 72), noise=0.0)  # its head touches the left border
    placement = Placement.of(image, SIZE)
    shown = placement.canonical(image, WHOLE, SIZE, "bilinear")[..., 0]
    beyond = shown[:, : int(-placement.offset[1]) - 2]
    assert beyond.shape[1] > 5
    assert beyond.min() > 190


def test_a_smaller_input_is_the_mean_of_the_pixels_that_it_stands_for():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (300, 400, 3), dtype=np.uint8)
    placement = Placement((120, 200), ((1.0, 0.0), (0.0, 1.0)), (50.0, 80.0), None)
    small = placement.canonical(image, (0, 0, 120, 200), (40, 50), "bilinear")
    expected = image[50:170, 80:280].reshape(40, 3, 50, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - expected).mean() < 12  # of a standard deviation of 21
    assert small.std() < 1.4 * expected.std()


def test_without_a_part_the_middle_is_shown_as_it_is():
    image = np.full((100, 200, 3), 90, np.uint8)
    image[50, 100] = 91
    placement = Placement.of(image, SIZE)
    assert placement.pose is None
    shown = placement.canonical(image, WHOLE, SIZE, "bilinear")
    np.testing.assert_array_equal(shown, image[20:80, 15:185])
