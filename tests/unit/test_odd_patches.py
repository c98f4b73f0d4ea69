"""Which patches an explanation is about: worked out by hand on painted grids of patch scores."""

import numpy as np
import pytest

from patchbank.core.spatial.box import Box
from patchbank.core.spatial.regions import Region
from patchbank.detector.explanation.geometry import CellMap
from patchbank.detector.explanation.odd_patches import (
    MOST_PATCHES,
    SEPARATE_CELLS,
    patch_of_region,
    patches_of_score,
)
from patchbank.detector.member import MemberPrediction, ScoreStandardization
from patchbank.detector.preprocessing import ImageGeometry
from patchbank.methods.base import PatchScores
from patchbank.settings import MapSettings
from tests.painted import settings


def prediction(grid, *, stride=1, cells=None, decisive=None, spread=1.0, box=None):
    """A photograph of 10 pixels a cell, with these patch scores."""
    grid = np.asarray(grid, np.float32)
    h, w = grid.shape[0] * stride, grid.shape[1] * stride
    photograph = 10 * h, 10 * w
    geometry = ImageGeometry(
        photograph,
        box or Box(0, 0, *photograph),
        (8 * h, 8 * w),
        (h, w),
        MapSettings(),
        None,
        cells,
    )
    scale = ScoreStandardization(0.0, spread)
    scores = PatchScores(grid, float(grid.max()), stride, decisive)
    return MemberPrediction(scores, geometry, map_scale=scale)


def of_region(seen, *box):
    top, left, height, width = box
    region = Region(left=left, top=top, width=width, height=height, area=1, score=9.0)
    return patch_of_region(seen, CellMap.of(seen.geometry), 4, region)


GRID = np.array([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15]], np.float32)


def test_a_region_has_the_highest_patch_whose_centre_is_in_its_box():
    found = of_region(prediction(GRID), 0, 10, 20, 20)
    assert (found.row, found.column, found.score, found.distance) == (1, 2, 8.0, 8.0)
    assert found.region == 4


def test_centres_on_the_upper_left_border_belong_to_the_box_and_others_do_not():
    seen = prediction(GRID)
    assert of_region(seen, 5, 5, 1, 1).score == 1.0
    assert of_region(seen, 5, 5, 10, 10).score == 1.0
    assert of_region(seen, 5, 5, 11, 10).score == 6.0
    assert of_region(seen, 5, 5, 11, 11).score == 7.0


def test_a_region_between_centres_has_the_nearest_patch():
    assert of_region(prediction(GRID), 17, 38, 2, 2).score == 9.0
    assert of_region(prediction(GRID), 0, 0, 1, 1).score == 1.0


def test_the_distance_is_the_score_by_the_spread_of_the_map():
    found = of_region(prediction(GRID, spread=4.0), 0, 10, 20, 20)
    assert (found.score, found.distance) == (8.0, 2.0)


def test_patches_of_a_stride_lie_at_the_centres_of_their_cells():
    seen = prediction(GRID, stride=2)
    assert seen.geometry.feature_grid == (6, 10)
    assert of_region(seen, 4, 64, 2, 2).score == 4.0  # cell 6 of 10: pixels 60 to 70
    assert of_region(seen, 44, 4, 2, 2).score == 11.0


def test_patches_outside_of_the_region_of_interest_are_never_chosen():
    cells = np.ones((3, 5), bool)
    cells[:, 2:] = False
    seen = prediction(GRID, cells=cells)
    assert of_region(seen, 0, 0, 30, 50).score == 12.0
    assert of_region(seen, 0, 40, 10, 10).score == 2.0  # nearest of those that count
    [found] = patches_of_score(seen, settings(), None)
    assert found.score == 12.0


def test_a_box_in_the_photograph_moves_the_patches():
    seen = prediction(GRID, box=Box(10, 20, 15, 25))  # 5 pixels a cell
    assert of_region(seen, 10, 20, 5, 5).score == 1.0
    assert of_region(seen, 20, 40, 5, 5).score == 15.0


class Top:
    """Settings of a score that is the mean of a fraction of the patches."""

    image_score = "top_fraction"
    tiles = False

    def __init__(self, fraction):
        self.top_fraction = fraction


def spotted(*spots, shape=(20, 40)):
    """A grid of zeros with (row, column, score) in it."""
    grid = np.zeros(shape, np.float32)
    for row, column, score in spots:
        grid[row, column] = score
    return grid


def scores_of(seen, chosen):
    return [(one.row, one.column, one.score) for one in patches_of_score(seen, chosen, None)]


def test_separate_patches_among_the_highest_are_found_highest_first():
    spots = [(3, 4, 5.0), (3, 30, 9.0), (15, 20, 7.0), (15, 38, 1.0)]
    seen = prediction(spotted(*spots))
    highest = [(3, 30, 9.0), (15, 20, 7.0), (3, 4, 5.0)]
    assert scores_of(seen, Top(4 / 800)) == highest
    assert len(highest) == MOST_PATCHES
    assert scores_of(seen, Top(2 / 800)) == highest[:2]
    assert scores_of(seen, Top(1 / 8000)) == highest[:1]
    assert all(one.region is None for one in patches_of_score(seen, Top(4 / 800), None))


def test_neighbours_of_a_patch_are_not_explained_again():
    apart = SEPARATE_CELLS
    spots = [(9, 10, 9.0), (9, 10 + apart - 1, 8.0), (9, 10 + apart, 7.0), (10, 11, 6.0)]
    assert scores_of(prediction(spotted(*spots)), Top(4 / 800)) == [(9, 10, 9.0), (9, 18, 7.0)]


def test_with_a_stride_they_are_as_many_cells_apart():
    spots = [(9, 10, 9.0), (9, 10 + SEPARATE_CELLS // 2, 7.0)]
    seen = prediction(spotted(*spots), stride=2)
    assert scores_of(seen, Top(2 / 800)) == [(9, 10, 9.0), (9, 14, 7.0)]


@pytest.mark.parametrize("kind", ["max", "reweighted", "hcw", "smooth_max"])
def test_a_score_of_one_patch_has_one(kind):
    chosen = Top(0.5)
    chosen.image_score = kind
    seen = prediction(spotted((3, 4, 5.0), (3, 30, 9.0)))
    assert scores_of(seen, chosen) == [(3, 30, 9.0)]


def test_a_score_of_the_whole_photograph_has_none():
    chosen = Top(0.5)
    chosen.image_score = "pooled"
    assert patches_of_score(prediction(GRID), chosen, None) == []


def test_decisive_scores_choose_and_the_map_gives_the_distance():
    shown, decisive = spotted((3, 4, 5.0), (3, 30, 2.0)), spotted((3, 4, 1.0), (3, 30, 9.0))
    seen = prediction(shown, decisive=decisive, spread=2.0)
    found = patches_of_score(seen, Top(2 / 800), None)
    assert [(one.row, one.column, one.score, one.distance) for one in found] == [
        (3, 30, 9.0, 1.0),
        (3, 4, 1.0, 2.5),
    ]


def test_equal_scores_have_the_first_patches_and_end():
    seen = prediction(np.ones((4, 5)))
    assert scores_of(seen, Top(0.5)) == [(0, 0, 1.0)]
    wide = prediction(np.ones((4, 30)))
    assert scores_of(wide, Top(0.5)) == [(0, 0, 1.0), (0, 8, 1.0), (0, 16, 1.0)]
