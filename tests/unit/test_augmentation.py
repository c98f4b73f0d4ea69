"""Augmented copies on small photographs, pixel by pixel."""

import numpy as np
import pytest

from patchbank.images.augment import Augmentation, copies, views_of_one

HEIGHT, WIDTH = 10, 20
IMAGE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def test_a_photograph_is_its_own_copy():
    assert Augmentation().is_original
    np.testing.assert_array_equal(Augmentation().of(IMAGE), IMAGE)
    for other in (
        Augmentation(90.0),
        Augmentation(signs=(1, -1)),
        Augmentation(zoom=1.1),
        Augmentation(shift=(0.0, 0.1)),
    ):
        assert not other.is_original


def test_signs_mirror_rows_and_columns():
    np.testing.assert_array_equal(Augmentation(signs=(-1, 1)).of(IMAGE), IMAGE[::-1])
    np.testing.assert_array_equal(Augmentation(signs=(1, -1)).of(IMAGE), IMAGE[:, ::-1])


def test_a_mirrored_copy_is_turned_after_it_was_mirrored():
    expected = np.rot90(IMAGE[:, ::-1])
    np.testing.assert_array_equal(Augmentation(90.0, (1, -1)).of(IMAGE), expected)
    assert (expected != np.rot90(IMAGE)[:, ::-1]).any()


def test_copies_share_no_memory_that_is_out_of_order():
    assert Augmentation(180.0).of(IMAGE).flags.c_contiguous


def test_a_shift_of_a_tenth_moves_rows_down_by_one_and_mirrors_the_border():
    moved = Augmentation(shift=(0.1, 0.0)).of(IMAGE)
    np.testing.assert_array_equal(moved[1:], IMAGE[:-1])
    np.testing.assert_array_equal(moved[0], IMAGE[0])


def test_a_shift_of_a_tenth_moves_columns_right_by_two():
    moved = Augmentation(shift=(0.0, 0.1)).of(IMAGE)
    np.testing.assert_array_equal(moved[:, 2:], IMAGE[:, :-2])
    np.testing.assert_array_equal(moved[:, :2], IMAGE[:, 1::-1])


def test_a_mirrored_copy_is_shifted_after_it_was_mirrored():
    moved = Augmentation(signs=(1, -1), shift=(0.0, 0.1)).of(IMAGE)
    np.testing.assert_array_equal(moved[:, 2:], IMAGE[:, :1:-1])


def test_a_closer_look_shows_the_middle():
    """Twice as near, rows 2.5 to 7.5 and columns 5 to 15 fill the copy."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[3:7, 6:14] = 200
    near = Augmentation(zoom=2.0).of(image)
    assert (near[2:8, 3:17] == 200).all()
    assert near[:3, 10, 0].tolist() == [50, 150, 200]  # rows 2.25, 2.75, 3.25 between the pixels
    assert near[5, :4, 0].tolist() == [0, 50, 150, 200]
    far = Augmentation(zoom=0.5).of(np.full((HEIGHT, WIDTH, 3), 200, np.uint8))
    assert far.min() == 200  # beyond the border it is mirrored


@pytest.mark.parametrize(
    ("copy", "rows", "columns"),
    [
        (Augmentation(shift=(0.1, 0.0)), slice(1, 5), slice(0, 10)),  # a pixel is half of a cell
        (Augmentation(shift=(-0.1, 0.0)), slice(0, 4), slice(0, 10)),
        (Augmentation(shift=(0.0, 0.1)), slice(0, 5), slice(1, 10)),
        (Augmentation(shift=(0.0, -0.15)), slice(0, 5), slice(0, 8)),
        (Augmentation(zoom=0.5), slice(2, 3), slice(3, 7)),  # rows 2.5 to 7.5, columns 5 to 15
        (Augmentation(zoom=2.0), slice(0, 5), slice(0, 10)),
        (Augmentation(180.0), slice(0, 5), slice(0, 10)),
    ],
)
def test_cells_that_reach_beyond_the_photograph_are_outside(copy, rows, columns):
    """5 x 10 cells of 2 x 2 pixels."""
    expected = np.zeros((5, 10), bool)
    expected[rows, columns] = True
    np.testing.assert_array_equal(copy.inside((HEIGHT, WIDTH), (5, 10)), expected)


def test_a_window_covers_a_part_of_the_copy():
    """Of rows 0 to 5 and columns 10 to 20, in cells of a pixel, a shift empties one and two."""
    copy = Augmentation(shift=(0.1, -0.1))
    inside = copy.inside((HEIGHT, WIDTH), (5, 10), (0.0, 0.5, 0.5, 1.0))
    expected = np.ones((5, 10), bool)
    expected[0], expected[:, 8:] = False, False
    np.testing.assert_array_equal(inside, expected)


def test_a_turned_photograph_shows_nothing_in_its_corners():
    inside = Augmentation(45.0).inside((40, 60), (8, 12))
    assert not inside[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert inside[3:5, 4:8].all()


def test_cells_inside_are_mirrored_when_the_angle_is():
    """Each corner of a cell counts, not three of them."""
    clockwise = Augmentation(-20.0).inside((40, 60), (8, 12))
    anticlockwise = Augmentation(20.0).inside((40, 60), (8, 12))
    np.testing.assert_array_equal(clockwise, anticlockwise[:, ::-1])
    np.testing.assert_array_equal(clockwise, anticlockwise[::-1])
    assert 0 < clockwise.sum() < 96


def test_a_copy_at_any_angle_is_turned_after_it_was_mirrored():
    for signs, mirrored in (((1, -1), IMAGE[:, ::-1]), ((-1, 1), IMAGE[::-1])):
        turned = Augmentation(30.0, signs).of(IMAGE).astype(int)
        assert np.abs(turned - Augmentation(30.0).of(mirrored)).max() <= 1
        assert np.abs(turned - Augmentation(-30.0).of(mirrored)).max() > 50


def test_every_combination_is_made_with_the_angle_changing_fastest():
    made = copies(rotations=2, flips="vertical", translations=1, zooms=(1.5,))
    assert made == tuple(
        Augmentation(angle, signs, zoom, shift)
        for shift in ((0.0, 0.0), (0.0, 0.04))
        for zoom in (1.0, 1.5)
        for signs in ((1, 1), (-1, 1))
        for angle in (0.0, 180.0)
    )


def test_flips_are_named_by_the_way_that_they_go():
    signs = {
        "none": [(1, 1)],
        "horizontal": [(1, 1), (1, -1)],
        "vertical": [(1, 1), (-1, 1)],
        "both": [(1, 1), (1, -1), (-1, 1)],
    }
    for flips, expected in signs.items():
        assert [copy.signs for copy in copies(flips=flips)] == expected


def test_translations_go_evenly_all_around():
    """Right, down, left, up: each by 4 %."""
    shifts = [copy.shift for copy in copies(translations=4)]
    expected = [(0, 0), (0, 0.04), (0.04, 0), (0, -0.04), (-0.04, 0)]
    np.testing.assert_allclose(shifts, expected, atol=1e-12)


def test_views_of_one_photograph_are_nine_near_mirrored_ones():
    views = views_of_one(copies())
    assert [view.signs for view in views] == [(1, -1)] * 9
    assert [view.zoom for view in views] == [1.1] * 9
    assert [view.angle_degrees for view in views] == [0.0] * 9
    steps = (-0.05, 0.0, 0.05)
    expected = [(down, right) for down in steps for right in steps]
    np.testing.assert_allclose([view.shift for view in views], expected, atol=1e-12)


def test_views_lie_half_way_between_the_orientations_that_were_learned():
    angles = [view.angle_degrees for view in views_of_one(copies(rotations=4))]
    assert angles == [45, 45, 45, 135, 135, 225, 225, 315, 315]


def test_a_view_that_was_learned_is_none():
    learned = (*copies(), Augmentation(0.0, (1, -1), 1.1, (0.0, 0.0)))
    assert len(views_of_one(learned)) == 8


def test_views_of_a_part_in_canonical_position_are_tilted_and_mirrored_about_its_axis():
    views = views_of_one(copies(flips="vertical"), are_turned=True)
    assert len(views) == 9
    assert [view.signs for view in views[:3]] == [(1, 1), (-1, 1), (1, 1)]
    assert [view.angle_degrees for view in views[:3]] == [7.5, -7.5, 7.5]
    assert {view.zoom for view in views} == {1.1}
    in_both = views_of_one(copies(rotations=2, flips="vertical"), are_turned=True)
    assert {round(view.angle_degrees / 180) for view in in_both} == {0, 1}
