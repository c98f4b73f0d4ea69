"""From a mask to the patches that count, and from a polygon to its pixels, against the slow way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core.spatial.box import bounding_box
from patchbank.core.spatial.interest import cells_of_interest, inside_shares
from patchbank.images.augment import Augmentation
from patchbank.images.roi import InspectedPart, RegionOfInterest
from patchbank.images.roi.polygons import inside_polygon
from tests.oracles import interest as oracle

SIDES = st.integers(1, 11)
GRIDS = st.tuples(st.integers(1, 6), st.integers(1, 6))


@st.composite
def masks(draw):
    """(H, W): a few rectangles, so that whole patches, halves, holes and slivers occur."""
    mask = np.zeros((draw(SIDES), draw(SIDES)), dtype=bool)
    for value in draw(st.lists(st.booleans(), max_size=4)):
        top, left = (draw(st.integers(0, n - 1)) for n in mask.shape)
        height, width = (draw(st.integers(1, n)) for n in mask.shape)
        mask[top : top + height, left : left + width] = value
    return mask


@settings(max_examples=150, deadline=None)
@given(mask=masks(), grid=GRIDS, stride=st.integers(1, 3))
def test_shares_are_exact(mask, grid, stride):
    expected = oracle.shares(mask, grid, stride)
    np.testing.assert_array_equal(inside_shares(mask, grid, stride), expected.astype(float))


@settings(max_examples=150, deadline=None)
@given(mask=masks(), grid=GRIDS, stride=st.integers(1, 3))
def test_patches_that_count_are_those_that_lie_by_half_inside_and_those_that_are_needed(
    mask, grid, stride
):
    found = cells_of_interest(mask, grid, stride)
    assert found.shape == grid
    np.testing.assert_array_equal(found[::stride, ::stride], oracle.cells(mask, grid, stride))


@settings(max_examples=100, deadline=None)
@given(mask=masks(), grid=GRIDS, stride=st.integers(1, 3))
def test_no_pixel_of_the_region_is_farther_than_one_patch_from_one_that_counts(mask, grid, stride):
    found = cells_of_interest(mask, grid, stride)[::stride, ::stride]
    touched = np.argwhere(oracle.shares(mask, grid, stride) > 0)
    counted = np.argwhere(found)
    for cell in touched:
        assert (np.abs(counted - cell).max(axis=1) <= 1).any()
    assert found.any() == mask.any()


def test_a_region_without_holes_has_all_cells_and_an_empty_one_none():
    assert cells_of_interest(np.ones((5, 9), bool), (2, 3), 2).all()
    assert not cells_of_interest(np.zeros((5, 9), bool), (2, 3), 2).any()


def test_a_hole_smaller_than_a_patch_leaves_out_the_patches_that_it_touches():
    mask = np.ones((40, 50), bool)
    mask[18:22, 24:26] = False  # 2 x 1 cells of 10 pixels meet there by rows, one by columns
    found = cells_of_interest(mask, (4, 5))
    assert np.argwhere(~found).tolist() == [[1, 2], [2, 2]]


def test_a_round_region_keeps_the_patches_at_its_rim():
    y, x = np.mgrid[:80, :120]
    mask = np.hypot((y - 39.5) / 40, (x - 59.5) / 60) < 1
    found = cells_of_interest(mask, (8, 12))
    assert found.tolist() == (oracle.shares(mask, (8, 12), 1) >= 0.5).tolist()


POINT = st.tuples(st.integers(-3, 12), st.integers(-3, 12))


@settings(max_examples=200, deadline=None)
@given(
    points=st.lists(POINT, min_size=3, max_size=7),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_pixels_of_a_polygon_are_those_whose_centre_is_inside(points, size):
    # In doubled coordinates corners lie on centres of pixels too.
    found = inside_polygon(np.array(points) / 2.0, size)
    doubled = [(2 * x, 2 * y) for x, y in points]
    exact = [(oracle.Fraction(x, 4), oracle.Fraction(y, 4)) for x, y in doubled]
    np.testing.assert_array_equal(found, oracle.inside(exact, size))


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1)])
def test_the_region_follows_a_copy_that_is_turned_or_flipped(angle, signs):
    rng = np.random.default_rng(3)
    mask = np.kron(rng.random((6, 4)) < 0.5, np.ones((5, 5))).astype(bool)
    part = InspectedPart(mask.shape, bounding_box(np.ones_like(mask)), mask)
    copy = Augmentation(angle, signs)
    expected = copy.of(part.cells((6, 4), 1)[..., None])[..., 0]
    found = part.cells_of_copy(copy, expected.shape, 1)
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(mask=masks(), factor=st.integers(1, 4))
def test_a_region_of_photographs_that_are_larger_is_the_same_region(mask, factor):
    mask[0, 0] = True
    region = RegionOfInterest(mask)
    height, width = mask.shape
    part = region.on((factor * height, factor * width))
    box = bounding_box(mask)
    assert part.box == tuple(factor * side for side in box)
    enlarged = np.kron(box.of(mask), np.ones((factor, factor)))
    np.testing.assert_array_equal(part.mask, enlarged.astype(bool))
