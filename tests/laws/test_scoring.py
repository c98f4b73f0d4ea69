"""Laws of image scores, maps, regions and calibration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from patchbank.core.scores import image_score
from patchbank.core.scores.calibration import Calibration, conformal_p_value, conformal_threshold
from patchbank.core.spatial import anomaly_map, regions
from patchbank.errors import ParameterError, ShapeError
from tests.oracles.patches import bilinear

GRIDS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 7), st.integers(1, 9)),
    elements=st.floats(0, 100, width=32),
)


@settings(deadline=None)
@given(GRIDS)
def test_smooth_max_is_the_largest_mean_of_the_neighbours_there_are(grid):
    h, w = grid.shape
    means = [
        grid[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean(dtype=np.float64)
        for y in range(h)
        for x in range(w)
    ]
    assert image_score.smooth_largest(grid) == pytest.approx(max(means), rel=1e-4, abs=1e-4)


@settings(deadline=None)
@given(GRIDS, st.floats(0.01, 1.0))
def test_top_share_is_the_mean_of_the_worst(grid, share):
    worst = sorted(grid.ravel().tolist())[::-1][: max(1, round(share * grid.size))]
    assert image_score.top_fraction_mean(grid, share) == pytest.approx(np.mean(worst), rel=1e-4)


@given(GRIDS)
def test_every_score_lies_between_the_mean_and_the_largest(grid):
    largest, mean = image_score.largest(grid), float(grid.mean())
    for score in (image_score.smooth_largest(grid), image_score.top_fraction_mean(grid, 0.1)):
        assert mean - 1e-2 <= score <= largest + 1e-2


@given(st.floats(0, 500), st.lists(st.floats(0, 500), min_size=1, max_size=12))
def test_reweighting_never_overflows_and_only_lowers(nearest, more):
    support = np.array([nearest, *more])
    score = image_score.reweighted(nearest, support)
    assert 0 <= score <= nearest
    if (support >= nearest).all():  # the bound of the paper: 1 - 1/b <= s / s* < 1
        assert score >= nearest * (1 - 1 / len(support)) - 1e-6


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 99),
    grid=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    size=st.tuples(st.integers(8, 30), st.integers(8, 30)),
    sigma=st.floats(0.5, 3),
)
def test_a_map_is_the_enlarged_grid_smoothed(seed, grid, size, sigma):
    scores = np.random.default_rng(seed).random(grid).astype(np.float32)
    expected = ndimage.gaussian_filter(bilinear(scores, *size), sigma)
    np.testing.assert_allclose(
        anomaly_map.anomaly_map(scores, size, sigma=sigma), expected, atol=1e-5
    )


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 99),
    grid=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    size=st.tuples(st.integers(8, 60), st.integers(8, 60)),
)
def test_a_map_never_exceeds_its_patches(seed, grid, size):
    scores = np.random.default_rng(seed).random(grid).astype(np.float32)
    made = anomaly_map.anomaly_map(scores, (24, 32), size)
    assert made.shape == size
    assert scores.min() - 1e-5 <= made.min() <= made.max() <= scores.max() + 1e-5


@given(n_cells=st.integers(3, 30), cell_px=st.integers(4, 16), stride=st.integers(1, 3))
def test_a_ramp_lies_where_its_patches_lie(n_cells, cell_px, stride):
    """Patches are centred on every stride-th cell: a ramp through them comes back as it was."""
    centres = (np.arange(0, n_cells, stride, dtype=np.float32) + 0.5) * cell_px
    grid = np.broadcast_to(centres, (3, len(centres)))
    size, cells = (24, n_cells * cell_px), (3 * stride, n_cells)
    made = anomaly_map.anomaly_map(grid, size, sigma=0, stride=stride, cells=cells)
    pixels = np.arange(size[1]) + 0.5
    expected = np.clip(pixels, centres[0], centres[-1])
    np.testing.assert_allclose(made[5], expected, rtol=1e-4)


def test_sigma_grows_with_the_input():
    assert anomaly_map.scaled_sigma(4.0, (224, 224)) == 4.0
    assert anomaly_map.scaled_sigma(4.0, (224, 896)) == 8.0


@settings(deadline=None)
@given(seed=st.integers(0, 999), size=st.tuples(st.integers(1, 12), st.integers(1, 15)))
def test_regions_are_those_found_one_by_one(seed, size):
    anomaly_map = np.random.default_rng(seed).integers(0, 5, size).astype(np.float32)
    found = regions.find_regions(anomaly_map, 2.5)
    above = anomaly_map > 2.5
    assert list(found) == regions_one_by_one(anomaly_map, above)


def regions_one_by_one(anomaly_map, above):
    """Each region from all pixels with its number; worst first, on ties from the top left."""
    labels, count = ndimage.label(above, np.ones((3, 3)))
    found = []
    for number in range(1, count + 1):
        rows, columns = np.nonzero(labels == number)
        found.append(
            regions.Region(
                left=columns.min(),
                top=rows.min(),
                width=columns.max() - columns.min() + 1,
                height=rows.max() - rows.min() + 1,
                area=len(rows),
                score=anomaly_map[rows, columns].max(),
            )
        )
    return sorted(found, key=lambda region: -region.score)


@given(
    scores=st.lists(st.integers(0, 20), min_size=2, max_size=40),
    new=st.integers(-1, 21),
    rate=st.floats(0.01, 0.99),
)
def test_an_image_is_above_the_threshold_exactly_when_its_p_value_allows(scores, new, rate):
    good = np.array(scores, dtype=np.float64)
    p_value = conformal_p_value(good, new)
    assert 1 / (len(good) + 1) <= p_value <= 1
    flagged = new > conformal_threshold(good, rate)
    if rate * (len(good) + 1) >= 1:
        assert flagged == (p_value <= rate * (1 + 1e-12))
    else:
        assert flagged == (new > good.max())


def test_the_rate_of_false_alarms_is_kept():
    rng = np.random.default_rng(7)
    flagged = []
    for _ in range(2000):
        scores = rng.exponential(size=100)
        flagged.append(scores[-1] > conformal_threshold(scores[:-1], 0.05))
    assert np.mean(flagged) == pytest.approx(0.05, abs=0.015)


def test_too_few_images_are_said_in_one_line():
    few = Calibration(np.arange(10.0), np.arange(10.0), 0.01)
    assert few.remark is not None
    assert "10 good images are too few" in few.remark
    assert "89 more images would show it" in few.remark
    assert "\n" not in few.remark
    assert few.threshold == 9.0
    enough = Calibration(np.arange(99.0), np.arange(99.0), 0.01)
    assert enough.remark is None


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_an_impossible_rate_is_named(rate):
    with pytest.raises(ParameterError, match="false_alarm_rate"):
        Calibration(np.arange(9.0), np.arange(9.0), rate)


@pytest.mark.parametrize("scores", [np.array([1.0]), np.array([1.0, np.nan]), np.zeros((2, 2))])
def test_scores_that_cannot_calibrate_are_named(scores):
    with pytest.raises(ShapeError, match="at least 2 finite scores"):
        Calibration(scores, np.arange(9.0), 0.1)
