"""Maps on grids of a few patches, and the regions in them, number by number."""

import numpy as np
import pytest
from scipy import ndimage

from patchbank.core.spatial.anomaly_map import anomaly_map, scaled_sigma
from patchbank.core.spatial.regions import Region, find_regions


def row(*values):
    return np.array([values], np.float32)


def test_a_grid_of_the_size_of_the_input_is_its_map():
    grid = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    np.testing.assert_array_equal(anomaly_map(grid, (5, 7), sigma=0), grid)


def test_between_two_patches_the_map_is_a_line():
    """Four pixels over two patches: their centres lie at -0.25, 0.25, 0.75, 1.25."""
    np.testing.assert_array_equal(anomaly_map(row(0, 4), (1, 4), sigma=0), row(0, 1, 3, 4))
    column = anomaly_map(row(0, 4).T, (4, 1), sigma=0)
    np.testing.assert_array_equal(column, row(0, 1, 3, 4).T)


def test_height_is_enlarged_by_the_height():
    made = anomaly_map(np.array([[0, 4], [8, 12]], np.float32), (2, 4), sigma=0)
    np.testing.assert_array_equal(made, [[0, 1, 3, 4], [8, 9, 11, 12]])


def test_nearest_patches_are_repeated():
    made = anomaly_map(row(5, 7, 9), (2, 6), sigma=0, interpolation="nearest")
    np.testing.assert_array_equal(made, [[5, 5, 7, 7, 9, 9]] * 2)


def test_the_photograph_is_reached_by_way_of_the_input():
    """0 4 -> 0 1 3 4 in the input, and of that every second one and a half."""
    made = anomaly_map(row(0, 4), (1, 4), (1, 2), sigma=0)
    np.testing.assert_array_equal(made, row(0.5, 3.5))
    nearest = anomaly_map(row(0, 4), (1, 2), (1, 4), sigma=0, interpolation="nearest")
    np.testing.assert_array_equal(nearest, row(0, 1, 3, 4))  # from the input on by lines


def test_patches_of_a_stride_stand_on_their_cells():
    """On cells 0 and 2 of four, two pixels a cell: their centres are at 0.5 and 4.5."""
    made = anomaly_map(row(0, 8), (1, 8), sigma=0, stride=2, cells=(1, 4))
    np.testing.assert_allclose(made, row(0, 1, 3, 5, 7, 8, 8, 8), atol=1e-5)


def test_without_cells_a_stride_takes_each_patch_for_a_cell():
    made = anomaly_map(row(0, 8), (1, 4), sigma=0, stride=2)
    np.testing.assert_allclose(made, row(0, 1, 3, 5), atol=1e-5)


@pytest.mark.parametrize(("border", "mode"), [("reflect", "reflect"), ("mirror", "mirror")])
def test_smoothing_goes_on_beyond_the_border_as_scipy_does(border, mode):
    grid = np.random.default_rng(0).random((9, 14)).astype(np.float32)
    made = anomaly_map(grid, (9, 14), sigma=1.5, border=border)
    expected = ndimage.gaussian_filter(grid.astype(np.float64), 1.5, mode=mode)
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_a_spot_is_smoothed_in_the_pixels_of_the_input():
    """Three times as many pixels in the photograph do not smooth it less."""
    grid = np.zeros((11, 15), np.float32)
    grid[5, 7] = 1
    at_input = anomaly_map(grid, (11, 15), sigma=1.0)
    larger = anomaly_map(grid, (11, 15), (33, 45), sigma=1.0)
    np.testing.assert_allclose(larger[1::3, 1::3], at_input, atol=1e-6)
    assert at_input[5, 7] == pytest.approx(0.3989**2, abs=1e-3)  # 1 / (2 pi)


def test_a_map_is_in_single_precision():
    assert anomaly_map(row(0, 4), (8, 9), (10, 11)).dtype == np.float32


@pytest.mark.parametrize(
    ("size", "expected"), [((224, 224), 4.0), ((112, 112), 2.0), ((56, 896), 4.0), ((28, 63), 0.75)]
)
def test_sigma_is_scaled_by_the_root_of_the_area(size, expected):
    assert scaled_sigma(4.0, size) == pytest.approx(expected)
    assert scaled_sigma(2.0, size) == pytest.approx(expected / 2)


def test_a_region_has_its_place_its_size_and_its_worst_value():
    """An L of four pixels and a line of three; 5 is not above 5."""
    values = np.array(
        [
            [0, 6, 0, 0, 0, 0],
            [0, 7, 0, 0, 5, 0],
            [0, 6, 9, 0, 0, 0],
            [0, 0, 0, 0, 0, 0],
            [0, 0, 0, 12, 8, 8],
        ],
        np.float32,
    )
    assert find_regions(values, 5.0) == (
        Region(left=3, top=4, width=3, height=1, area=3, score=12.0),
        Region(left=1, top=0, width=2, height=3, area=4, score=9.0),
    )


def test_corners_that_touch_are_one_region():
    assert find_regions(np.eye(3, dtype=np.float32) * 7, 1.0) == (Region(0, 0, 3, 3, 3, 7.0),)
    separate = np.array([[7, 0, 8]], np.float32)
    assert [region.left for region in find_regions(separate, 1.0)] == [2, 0]


def test_regions_of_one_score_come_from_the_top_left():
    values = np.zeros((5, 7), np.float32)
    values[0, 5] = values[2, 0] = values[4, 3] = 3
    assert [(r.top, r.left) for r in find_regions(values, 1.0)] == [(0, 5), (2, 0), (4, 3)]


def test_nothing_above_the_threshold_is_no_region():
    assert find_regions(np.full((3, 4), 2.0, np.float32), 2.0) == ()


def test_below_zero_there_are_regions_too():
    values = np.full((3, 4), -5.0, np.float32)
    values[1, 2] = -1
    assert find_regions(values, -2.0) == (Region(2, 1, 1, 1, 1, -1.0),)


def test_numbers_of_a_region_are_plain_ones():
    """They are written as JSON."""
    (region,) = find_regions(np.full((3, 4), 2.0, np.float32), 1.0)
    numbers = [getattr(region, n) for n in ("left", "top", "width", "height", "area")]
    assert [type(number) for number in numbers] == [int] * 5
    assert type(region.score) is float
