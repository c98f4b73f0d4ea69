"""Laws of augmented copies: where pixels go, and which cells show the photograph."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from patchbank.images.augment import Augmentation, copies, views_of_one
from tests.photographs import part

IMAGE = part(3, size=(72, 104))
SQUARE = part(4, size=(80, 80))


def warped_by_scipy(image, copy):
    """Oracle: each channel through scipy's affine transform, mirrored beyond the border."""
    height, width = image.shape[:2]
    angle = np.deg2rad(copy.angle_degrees)
    turn_back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = np.diag(copy.signs) @ turn_back / copy.zoom
    centre = np.array([height - 1, width - 1]) / 2
    offset = centre - matrix @ (centre + np.array(copy.shift) * (height, width))
    planes = [
        ndimage.affine_transform(image[..., c] * 1.0, matrix, offset, order=1, mode="reflect")
        for c in range(3)
    ]
    return np.stack(planes, axis=2)


@pytest.mark.parametrize(
    "copy",
    [
        Augmentation(30.0),
        Augmentation(-75.0, (1, -1)),
        Augmentation(zoom=1.2, shift=(0.05, -0.1)),
        Augmentation(200.0, (-1, 1), 0.8, (0.0, 0.04)),
    ],
)
def test_copies_equal_an_affine_transform_mirrored_at_the_border(copy):
    difference = np.abs(copy.of(IMAGE).astype(float) - warped_by_scipy(IMAGE, copy))
    assert difference.max() <= 1.6  # both round, once each


@pytest.mark.parametrize("angle", [0.0, 90.0, 180.0, 270.0])
@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1)])
def test_right_angles_move_pixels_and_change_none(angle, signs):
    copy = Augmentation(angle, signs)
    exact = copy.of(SQUARE)
    assert np.abs(exact.astype(int) - copy._warped(SQUARE)).max() <= 1
    np.testing.assert_array_equal(np.sort(copy.of(IMAGE).ravel()), np.sort(IMAGE.ravel()))


def test_a_quarter_turn_is_anticlockwise_and_swaps_the_sides():
    turned = Augmentation(90.0).of(IMAGE)
    assert turned.shape == (104, 72, 3)
    np.testing.assert_array_equal(turned[0], IMAGE[:, -1])  # the right side comes on top


@given(st.floats(0, 360), st.sampled_from([(1, 1), (1, -1)]), st.floats(0.7, 1.4))
def test_cells_inside_show_the_photograph_alone(angle, signs, zoom):
    """Oracle: every half pixel of a cell, its border included, is looked up in the photograph."""
    copy = Augmentation(angle, signs, zoom, (0.03, -0.02))
    height, width = 60, 100
    inside = copy.inside((height, width), (6, 10))
    linear, offset = copy.to_photograph((height, width))
    for row, column in np.ndindex(6, 10):
        steps = np.linspace(0, 10, 21)
        y, x = np.meshgrid(10 * row + steps, 10 * column + steps, indexing="ij")
        there = np.stack([y, x], axis=-1) @ linear.T + offset
        seen = (there >= -1e-4) & (there <= np.array([height, width]) + 1e-4)
        assert inside[row, column] == seen.all()


def test_a_window_of_the_copy_has_its_own_cells():
    copy = Augmentation(45.0)
    whole = copy.inside((80, 120), (8, 12))
    middle = copy.inside((80, 120), (4, 6), (0.25, 0.25, 0.75, 0.75))
    np.testing.assert_array_equal(whole[2:6, 3:9], middle)


def test_nothing_black_comes_into_a_copy():
    bright = np.full((60, 90, 3), 200, np.uint8)
    for copy in copies(rotations=7, translations=3, zooms=(0.5, 1.5)):
        assert copy.of(bright).min() == 200


@given(
    st.integers(1, 9),
    st.sampled_from(["none", "horizontal", "vertical", "both"]),
    st.integers(0, 3),
    st.sampled_from([(), (0.9,), (0.9, 1.1)]),
)
def test_the_photograph_comes_first_and_once(rotations, flips, translations, zooms):
    made = copies(rotations, flips, translations, zooms)
    mirrored = {"none": 1, "horizontal": 2, "vertical": 2, "both": 3}[flips]
    assert len(made) == rotations * mirrored * (1 + translations) * (1 + len(zooms))
    assert [copy.is_original for copy in made] == [True] + [False] * (len(made) - 1)
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("rotations", [1, 2, 4, 24])
def test_views_of_one_photograph_were_not_learned(rotations):
    learned = copies(rotations=rotations, flips="horizontal", zooms=(1.1,))
    views = views_of_one(learned)
    assert len(views) >= 8
    assert not set(views) & set(learned)
    for view in views:
        nearest = min(abs(view.angle_degrees - copy.angle_degrees) for copy in learned)
        assert nearest == (180 / rotations if rotations > 1 else 0)


def test_views_of_one_photograph_that_was_not_turned_stay_inside_it():
    assert all(view.inside((60, 90), (9, 13)).all() for view in views_of_one(copies()))
