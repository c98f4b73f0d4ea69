"""Affine maps: copies back to photographs, canonical images, boxes, and sampled pictures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core.spatial.box import Box
from patchbank.images.augment import Augmentation, copies
from patchbank.images.pixel_map import GROUND, PixelMap, copy_size, sampled, whole_pixels
from patchbank.images.placement import UNTURNED, Placement
from patchbank.images.resize import resized
from tests.long_parts import PIN, photograph
from tests.photographs import part

EXACT = copies(rotations=4, flips="both")
POINTS = np.array([(0.0, 0.0), (3.5, 8.25), (71.0, 103.0)])


def coordinates(height, width):
    """An image whose red is the row of each pixel, and whose green is its column."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 1] = np.mgrid[:height, :width]
    return image


def near(one, other):
    np.testing.assert_allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("augmentation", EXACT)
def test_pixels_of_an_exact_copy_are_found_again_in_the_photograph(augmentation):
    image = coordinates(7, 12)
    copy = augmentation.of(image)
    assert copy_size(augmentation, (7, 12)) == copy.shape[:2]
    back = PixelMap.of_copy(augmentation, (7, 12))
    rows, columns = np.mgrid[: copy.shape[0], : copy.shape[1]]
    centres = np.stack([rows, columns], axis=2) + 0.5
    there = np.floor(back.at(centres)).astype(int)
    np.testing.assert_array_equal(there, copy[..., :2])


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(angle_degrees=30.0),
        Augmentation(zoom=1.25),
        Augmentation(shift=(0.1, -0.2)),
        Augmentation(angle_degrees=90.0, zoom=0.8, signs=(1, -1), shift=(0.05, 0.0)),
    ],
)
def test_other_copies_keep_the_size_and_follow_the_map_of_the_augmentation(augmentation):
    size = 40, 64
    assert copy_size(augmentation, size) == size
    linear, offset = augmentation.to_photograph(size)
    back = PixelMap.of_copy(augmentation, size)
    near(back.at(POINTS), POINTS @ linear.T + offset)


def test_a_quarter_turn_that_is_interpolated_keeps_the_size():
    turned = Augmentation(angle_degrees=90.0, zoom=1.1)
    assert copy_size(turned, (40, 64)) == (40, 64) == turned.of(part(0, size=(40, 64))).shape[:2]
    assert copy_size(Augmentation(angle_degrees=270.0), (40, 64)) == (64, 40)
    assert copy_size(Augmentation(angle_degrees=180.0), (40, 64)) == (40, 64)


numbers = st.floats(-3, 3).filter(lambda x: abs(x) > 0.2)


@given(st.tuples(numbers, numbers), st.floats(-np.pi, np.pi), st.tuples(numbers, numbers))
@settings(max_examples=50, deadline=None)
def test_there_and_back_is_nowhere(factors, angle, offset):
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    there = PixelMap(turn, np.array(offset)).after(PixelMap.scaling(factors, offset))
    near(there.inverse().at(there.at(POINTS)), POINTS)
    near(there.after(there.inverse()).linear, np.eye(2))
    both = there.after(there)
    near(both.at(POINTS), there.at(there.at(POINTS)))


def test_a_placement_maps_the_middle_of_the_canonical_image_to_the_middle_of_the_part():
    image = photograph(PIN, 40.0, (110, 150))
    placement = Placement.of(image, (60, 160))
    to_photograph = PixelMap.of_placement(placement)
    near(to_photograph.at(np.array([30.0, 80.0])), placement.pose.centre)
    ahead = to_photograph.at(np.array([30.0, 90.0])) - to_photograph.at(np.array([30.0, 80.0]))
    near(ahead, 10 * np.array(placement.pose.axis))


def test_a_placement_is_made_again_of_axis_and_centre():
    image = photograph(PIN, 205.0, (120, 140))
    placement = Placement.of(image, (60, 160))
    again = Placement.at(placement.pose.axis, placement.pose.centre, (60, 160))
    assert (again.linear, again.offset) == (placement.linear, placement.offset)
    assert again.pose is None
    flat = Placement.at(UNTURNED, (36.0, 52.0), (72, 104))
    assert flat.linear == ((1.0, 0.0), (0.0, 1.0))
    assert flat.offset == (0.0, 0.0)


def test_the_box_of_a_turned_rectangle_has_all_its_corners():
    quarter = PixelMap(np.array([(0.0, -1.0), (1.0, 0.0)]), np.array([10.0, 0.0]))
    assert quarter.box(0, 0, 2, 4).tolist() == [6.0, 0.0, 10.0, 2.0]


@pytest.mark.parametrize(
    ("bounds", "box"),
    [
        ((1.2, 2.7, 3.1, 5.0), Box(1, 2, 3, 3)),
        ((1.0, 2.0, 3.0, 5.0), Box(1, 2, 2, 3)),
        ((0.9999999, 2.0, 3.0000001, 5.0), Box(1, 2, 2, 3)),
        ((-4.0, -9.0, 2.5, 1.0), Box(0, 0, 3, 1)),
        ((5.0, 8.0, 40.0, 40.0), Box(5, 8, 5, 12)),
        ((30.0, 50.0, 40.0, 60.0), Box(9, 19, 1, 1)),
        ((-9.0, -9.0, -4.0, -4.0), Box(0, 0, 1, 1)),
    ],
)
def test_boxes_have_whole_pixels_of_the_image_and_one_at_least(bounds, box):
    assert whole_pixels(np.array(bounds), (10, 20)) == box


def test_a_picture_of_the_same_pixels_is_the_image():
    image = part(3)
    here = PixelMap.scaling((1.0, 1.0), (10.0, 20.0))
    np.testing.assert_array_equal(sampled(image, here, (30, 50)), image[10:40, 20:70])


def test_what_lies_outside_of_the_image_is_grey():
    image = np.zeros((20, 30, 3), np.uint8)
    picture = sampled(image, PixelMap.scaling((1.0, 1.0), (-5.0, 24.0)), (12, 10))
    assert (picture[:5] == GROUND).all()
    assert (picture[:, 6:] == GROUND).all()
    assert (picture[5:, :6] == 0).all()
    far = sampled(image, PixelMap.scaling((1.0, 1.0), (500.0, -500.0)), (8, 9))
    assert (far == GROUND).all()


def test_a_smaller_picture_has_the_mean_of_the_pixels_that_it_covers():
    image = np.random.default_rng(1).integers(0, 256, (48, 72, 3), np.uint8)
    picture = sampled(image, PixelMap.scaling((4.0, 4.0)), (12, 18))
    mean = image.reshape(12, 4, 18, 4, 3).mean(axis=(1, 3))
    assert np.abs(picture - mean).max() <= 1
    assert picture.shape == (12, 18, 3)


def test_a_larger_picture_looks_like_the_image_enlarged():
    image = part(4)
    picture = sampled(image, PixelMap.scaling((0.5, 0.5)), (144, 208))
    enlarged = resized(image, (144, 208), "bicubic")
    inner = np.s_[4:-4, 4:-4]
    assert np.abs(picture[inner].astype(float) - enlarged[inner]).mean() < 1


def test_a_turned_picture_shows_the_turned_image():
    image = coordinates(40, 60)
    quarter = PixelMap(np.array([(0.0, 1.0), (-1.0, 0.0)]), np.array([0.0, 60.0]))
    np.testing.assert_array_equal(sampled(image, quarter, (60, 40)), np.rot90(image))


@given(st.floats(0.3, 5.0), st.floats(-30, 60), st.floats(-40, 80), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_a_picture_has_its_size_and_only_colours_of_the_image_or_grey(scale, down, right, side):
    image = np.full((24, 36, 3), 40, np.uint8)
    picture = sampled(image, PixelMap.scaling((scale, scale), (down, right)), (side, side + 3))
    assert picture.shape == (side, side + 3, 3)
    assert picture.dtype == np.uint8
    assert picture.min() >= 40
    assert picture.max() <= GROUND
