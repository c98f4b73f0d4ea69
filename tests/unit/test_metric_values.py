"""Metrics of a few images and pixels, worked out by hand."""

import numpy as np
import pytest

from patchbank.errors import ShapeError
from patchbank.evaluation.metrics.curves import auroc, average_precision, count_images, f1_max, roc
from patchbank.evaluation.metrics.pixels import PixelCounter

# score: 5 4 3 2 1 0; defects: 1 0 2 1 0 0; good: 0 1 1 1 2 1
SCORES = np.array([3, 5, 4, 3, 1, 3, 2, 1, 0, 2], np.float32)
DEFECT = np.array([1, 1, 0, 1, 0, 0, 1, 0, 0, 0], bool)


def counts():
    return count_images(SCORES, DEFECT)


def test_images_are_counted_at_each_score_of_a_defect_from_the_top():
    made = counts()
    assert made.scores.tolist() == [5, 3, 2]
    assert made.defects_at.tolist() == [1, 2, 1]
    assert made.good_above.tolist() == [0, 1, 2]
    assert made.good_at.tolist() == [0, 1, 1]
    assert (made.n_good, made.n_defect) == (6, 4)
    assert made.found.tolist() == [1, 3, 4]
    assert made.false_alarms.tolist() == [0, 2, 3]


def test_auroc_counts_pairs_and_halves_of_ties():
    """5 lies above six good ones, each 3 above four and a half, 2 above three and a half."""
    assert auroc(counts()) == 18.5 / 24


def test_average_precision_steps_down_the_scores():
    assert average_precision(counts()) == pytest.approx((1 * 1 + 2 * 3 / 5 + 1 * 4 / 7) / 4)


def test_f1_max_is_at_its_lowest_threshold():
    """2 / 5 at 5, 6 / 9 at 3, 8 / 11 at 2."""
    assert f1_max(counts()) == (pytest.approx(8 / 11), 2.0)


def test_of_thresholds_with_equal_f1_the_lowest_is_returned():
    """At 4 one of two is found, at 1 both with two false alarms: 2 / 3 each."""
    made = count_images(np.array([4.0, 1.0, 3.0, 2.0]), np.array([True, True, False, False]))
    assert f1_max(made) == (pytest.approx(2 / 3), 1.0)


def test_a_roc_curve_has_a_corner_before_and_after_each_score():
    x, y = roc(counts())
    assert x.tolist() == [0, 0, 0, 1 / 6, 2 / 6, 2 / 6, 3 / 6, 1]
    assert y.tolist() == [0, 0, 0.25, 0.25, 0.75, 0.75, 1, 1]


@pytest.mark.parametrize(("higher", "figure"), [(True, 1.0), (False, 0.0)])
def test_defects_above_all_good_ones_are_perfect_and_below_them_the_contrary(higher, figure):
    scores = np.array([1.0, 2.0, 3.0, 4.0])
    made = count_images(scores if higher else -scores, np.array([False, False, True, True]))
    assert auroc(made) == figure
    assert (f1_max(made)[0] == 1.0) is higher
    assert (average_precision(made) == 1.0) is higher


@pytest.mark.parametrize("labels", [[True, True], [False, False]])
def test_one_class_alone_cannot_be_ranked(labels):
    with pytest.raises(ShapeError, match="labels: expected good and defect ones, got one class"):
        count_images(np.array([1.0, 2.0]), np.array(labels))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_cannot_be_ranked(wrong):
    with pytest.raises(ShapeError, match="scores: expected finite numbers, got NaN or inf"):
        count_images(np.array([1.0, wrong]), np.array([True, False]))


# Two regions in the first image, of 2 and 4 pixels; the second is good.
FIRST = np.array([[9, 7, 0, 1], [0, 0, 5, 5], [1, 2, 5, 3]], np.float32)
MASK = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], bool)
SECOND = np.array([[0, 1, 7, 0], [5, 0, 0, 0], [0, 0, 0, 0]], np.float32)
IMAGES = ((FIRST, MASK), (SECOND, np.zeros((3, 4), bool)))


def regions_apart():
    """The mask again, with a column of good pixels between its two regions."""
    first = np.array([[9, 7, 0, 0, 1], [0, 0, 0, 5, 5], [1, 2, 0, 5, 3]], np.float32)
    mask = np.array([[1, 1, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1]], bool)
    return first, mask


def test_pixels_of_all_images_are_ranked_together():
    """Defects at 9, 7, 5 5 5, 3; of 18 good ones are 7, 5, 2, 1 1 1 and twelve 0."""
    made = PixelCounter(lambda: iter(IMAGES)).metrics()
    below = 18 + 17.5 + 3 * 16.5 + 16
    assert made.auroc == pytest.approx(below / (6 * 18))
    precision = (1 + 2 / 3 + 3 * 5 / 7 + 6 / 8) / 6
    assert made.average_precision == pytest.approx(precision)
    assert made.f1_max == pytest.approx(2 * 6 / (6 + 2 + 6))


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_each_region_counts_alike_in_aupro_whatever_its_size(limit):
    """Overlap at 9: a quarter; 7: a half; 5: 0.875; 3: all, of two regions of 2 and 4 pixels."""
    first, mask = regions_apart()
    made = PixelCounter(lambda: iter(((first, mask), IMAGES[1])))
    n_good = 9 + 12
    x = np.array([0, 0, 1, 2, 2, n_good]) / n_good
    y = np.array([0, 0.25, 0.5, 0.875, 1, 1])
    grid = np.linspace(0, limit, 200_001)
    expected = np.trapezoid(np.interp(grid, x, y), grid) / limit
    assert made.metrics(limit).aupro == pytest.approx(expected, abs=1e-5)


def test_aupro_is_cut_at_three_tenths_unless_asked_otherwise():
    made = PixelCounter(lambda: iter((regions_apart(), IMAGES[1])))
    assert made.metrics() == made.metrics(0.3)
    assert made.metrics().aupro != made.metrics(0.25).aupro


def test_regions_that_touch_at_a_corner_are_one_region():
    """Overlap at 9: a sixth; 7: a third; 5: five sixths; 3: all; up to 1 of 18 good pixels."""
    made = PixelCounter(lambda: iter(IMAGES)).metrics(limit=1 / 18)
    assert made.aupro == pytest.approx((1 / 6 + 2 / 6) / 2)


def test_an_empty_data_set_has_no_defect_pixel():
    with pytest.raises(ShapeError) as caught:
        PixelCounter(lambda: iter(())).metrics()
    assert str(caught.value) == "masks: expected at least one defect pixel, got none"


def test_a_mask_that_differs_from_its_map_is_reported_with_both_shapes():
    with pytest.raises(ShapeError) as caught:
        PixelCounter(lambda: iter(((FIRST, MASK.T),))).metrics()
    assert str(caught.value) == "mask: expected (3, 4) as its map, got (4, 3)"


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_map_is_finite_in_good_pixels_too(wrong):
    broken = FIRST.copy()
    broken[0, 2] = wrong
    with pytest.raises(ShapeError, match="map: expected finite numbers, got NaN or inf"):
        PixelCounter(lambda: iter(((broken, MASK),))).metrics()


def test_maps_are_made_anew_for_each_pass_and_never_changed():
    passes = []

    def images():
        passes.append(None)
        return iter(IMAGES)

    before = FIRST.copy(), SECOND.copy()
    PixelCounter(images).metrics()
    assert len(passes) == 2
    PixelCounter(images, scores_at_once=2).metrics()  # four scores of defects: two rounds
    assert len(passes) == 2 + 4
    np.testing.assert_array_equal(before[0], FIRST)
    np.testing.assert_array_equal(before[1], SECOND)
