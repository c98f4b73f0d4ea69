"""Thresholds, p-values and what is said of them; and those of banks that are cut."""

import numpy as np
import pytest

from patchbank.core.scores.bank_size_calibration import BankSizeCalibration
from patchbank.core.scores.calibration import (
    Calibration,
    check_false_alarm_rate,
    conformal_p_value,
    conformal_threshold,
)
from patchbank.errors import ParameterError, ShapeError
from patchbank.runtime.percent import percent_at_most

SCORES = np.array([7.0, 1.0, 4.0, 9.0, 2.0, 8.0, 3.0, 6.0, 5.0])  # nine: ranks of a tenth
PEAKS = SCORES * 10


@pytest.mark.parametrize(
    ("rate", "threshold"),
    [(0.01, 9), (0.0999, 9), (0.1, 9), (0.1999, 9), (0.2, 8), (0.3, 7), (0.55, 5), (0.99, 1)],
)
def test_the_threshold_is_the_score_of_the_rank_that_the_rate_allows(rate, threshold):
    """Of ten ranks, a rate of 0.2 allows two: the scores above 8 are 9 and the new one's."""
    assert conformal_threshold(SCORES, rate) == threshold
    calibration = Calibration(SCORES, PEAKS, rate)
    assert calibration.threshold == threshold
    assert calibration.pixel_threshold == 10 * threshold


def test_a_rate_that_a_float_just_misses_is_kept():
    """0.07 of 100 ranks are 7.000000000000001, 0.29 are 28.999999999999996."""
    scores = np.arange(99.0)
    assert conformal_threshold(scores, 0.07) == 92
    assert conformal_threshold(scores, 0.29) == 70


@pytest.mark.parametrize(
    ("score", "p_value"),
    [(0, 1.0), (1, 1.0), (1.5, 0.9), (5, 0.6), (8.9, 0.2), (9, 0.2), (10, 0.1)],
)
def test_a_p_value_is_the_share_of_ranks_at_or_above(score, p_value):
    assert conformal_p_value(SCORES, score) == pytest.approx(p_value)
    assert Calibration(SCORES, PEAKS, 0.1).p_value(score) == pytest.approx(p_value)


def test_neither_the_order_of_good_scores_nor_a_threshold_changes_them():
    before = SCORES.copy()
    assert conformal_threshold(SCORES[::-1], 0.3) == conformal_threshold(SCORES, 0.3)
    np.testing.assert_array_equal(before, SCORES)


def test_views_of_one_photograph_have_their_highest_score_for_a_threshold():
    views = Calibration(SCORES, PEAKS, 0.5, views_of_one=True)
    assert (views.threshold, views.pixel_threshold) == (9.0, 90.0)
    assert views.smallest_rate == 1.0
    assert views.remark == (
        "one good image does not show what other good images score: the threshold is the highest "
        "of 9 other views of itself, and the rate of false alarms is not known; 1 images would "
        "resolve 50 %"
    )


def test_nothing_is_guaranteed_of_a_threshold_that_was_set_by_hand():
    calibration = Calibration(SCORES, PEAKS, 0.2, rule="tail")
    assert calibration.guaranteed_rate < 1
    assert calibration.with_threshold(5.0).guaranteed_rate == 1.0
    pixels_only = calibration.with_threshold(pixel_threshold=5.0)
    assert pixels_only.guaranteed_rate == calibration.guaranteed_rate


def test_the_smallest_rate_is_one_rank():
    assert Calibration(SCORES, PEAKS, 0.5).smallest_rate == 0.1


def test_a_rate_below_one_rank_is_remarked():
    assert Calibration(SCORES, PEAKS, 0.1).remark is None
    assert Calibration(SCORES, PEAKS, 0.03).remark == (
        "9 good images are too few to be sure of 3 % false alarms: expect 10 %; 24 more images "
        "would show it; until then the threshold is their highest score"
    )
    tail = Calibration(SCORES, PEAKS, 0.03, rule="tail")
    most = percent_at_most(tail.guaranteed_rate)
    assert tail.remark == (
        "9 good images are too few to be sure of 3 % false alarms: that is expected, but up to "
        f"{most} on average is possible; 24 more images would show it; until then the threshold "
        "is extrapolated from the spread of their scores"
    )


def test_a_normalised_score_moves_by_the_range_of_good_scores():
    """The threshold is 8 and the range 8: a score of 10 lies a quarter above the middle."""
    calibration = Calibration(SCORES, PEAKS, 0.2)
    scores = (-10, 4, 6, 8, 10, 12, 99)
    assert [calibration.normalised(s) for s in scores] == [0, 0, 0.25, 0.5, 0.75, 1, 1]


def test_good_scores_that_are_all_alike_have_a_range_of_one():
    alike = Calibration(np.full(4, 3.0), np.full(4, 3.0), 0.3)
    assert [alike.normalised(s) for s in (2.5, 2.75, 3, 3.25, 4)] == [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize("name", ["image_scores", "map_peaks"])
@pytest.mark.parametrize("wrong", [np.array([1.0]), np.array([1.0, np.inf]), np.ones((2, 3))])
def test_scores_that_cannot_calibrate_are_named_by_their_kind(name, wrong):
    given = {"image_scores": SCORES, "map_peaks": PEAKS, name: wrong}
    with pytest.raises(ShapeError, match=f"^{name}: expected at least 2 finite scores, got "):
        Calibration(**given, false_alarm_rate=0.1)


@pytest.mark.parametrize("rate", [0, 1, -0.5, 1.5])
def test_a_rate_lies_between_none_and_all(rate):
    with pytest.raises(ParameterError) as caught:
        check_false_alarm_rate(rate)
    assert str(caught.value) == (
        f"false_alarm_rate: expected more than 0 and less than 1, got {rate}"
    )
    check_false_alarm_rate(1e-9)
    check_false_alarm_rate(0.999)


BY_SIZE = BankSizeCalibration(
    bank_rows=np.array([10, 40, 100]),
    image_scores=np.array([[7.0, 9.0, 8.0], [5.0, 6.0, 4.0], [1.0, 3.0, 2.0]]),
    map_peaks=np.array([[70.0, 90.0, 80.0], [50.0, 60.0, 40.0], [10.0, 30.0, 20.0]]),
)
WHOLE = Calibration(BY_SIZE.image_scores[2], BY_SIZE.map_peaks[2], 0.4)


@pytest.mark.parametrize(
    ("n_rows", "step"), [(10, 0), (11, 0), (39, 0), (40, 1), (41, 1), (99, 1), (100, 2)]
)
def test_a_bank_between_two_sizes_has_the_scores_of_the_smaller(n_rows, step):
    calibration = BY_SIZE.at(n_rows, WHOLE)
    assert calibration.image_scores.tolist() == BY_SIZE.image_scores[step].tolist()
    assert calibration.map_peaks.tolist() == BY_SIZE.map_peaks[step].tolist()
    assert calibration.false_alarm_rate == 0.4


@pytest.mark.parametrize("n_rows", [0, 9, 101])
def test_a_bank_of_another_size_has_no_scores(n_rows):
    with pytest.raises(ParameterError) as caught:
        BY_SIZE.at(n_rows, WHOLE)
    assert str(caught.value) == (
        f"bank_rows: expected 10 to 100 (sizes that were calibrated), got {n_rows}"
    )


def test_scores_truncated_between_two_sizes_end_with_the_new_size():
    cut = BY_SIZE.truncated(70, BY_SIZE.at(70, WHOLE))
    assert cut.bank_rows.tolist() == [10, 40, 70]
    assert cut.image_scores.tolist() == [[7, 9, 8], [5, 6, 4], [5, 6, 4]]
    assert cut.map_peaks.tolist() == [[70, 90, 80], [50, 60, 40], [50, 60, 40]]


def test_scores_truncated_at_a_calibrated_size_list_it_once():
    cut = BY_SIZE.truncated(40, BY_SIZE.at(40, WHOLE))
    assert cut.bank_rows.tolist() == [10, 40]
    assert cut.image_scores.tolist() == [[7, 9, 8], [5, 6, 4]]
    smallest = BY_SIZE.truncated(10, BY_SIZE.at(10, WHOLE))
    assert smallest.bank_rows.tolist() == [10]
    assert smallest.map_peaks.tolist() == [[70, 90, 80]]


@pytest.mark.parametrize(
    ("rows", "image_scores", "map_peaks"),
    [
        ([1, 2], np.ones((2, 3)), np.ones((2, 4))),
        ([1, 2], np.ones((3, 2)), np.ones((3, 2))),
        ([1, 2], np.ones(2), np.ones(2)),
    ],
)
def test_scores_by_size_need_one_score_per_size_and_photograph(rows, image_scores, map_peaks):
    with pytest.raises(ShapeError, match=r"bank sizes: expected two arrays \(2, n\), got "):
        BankSizeCalibration(np.array(rows), image_scores, map_peaks)


@pytest.mark.parametrize("rows", [[], [2, 1], [1, 2, 2]])
def test_bank_sizes_ascend(rows):
    scores = np.ones((len(rows), 3))
    with pytest.raises(ShapeError) as caught:
        BankSizeCalibration(np.array(rows, np.int64), scores, scores)
    assert str(caught.value) == f"bank sizes: expected ascending sizes, got {rows}"


@pytest.mark.parametrize("rate", [5e-324, 1e-9, 1 - 1e-16])
def test_every_rate_between_nought_and_one_has_a_threshold(rate):
    calibration = Calibration(np.array([3.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0]), rate)
    assert calibration.threshold == (1.0 if rate > 0.5 else 3.0)
    assert (calibration.remark is None) == (rate > 0.5)
