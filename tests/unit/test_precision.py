"""What a lower precision does to the scores of good images, by value."""

import numpy as np
import pytest

from patchbank.core.scores.calibration import Calibration
from patchbank.training.precision import ScoreChange, score_change
from tests.painted import detector


def calibrated(*scores):
    """A detector of these scores of good images; its threshold is the highest."""
    return detector(calibration=Calibration(np.array(scores), np.arange(len(scores)) * 1.0, 0.25))


def test_changes_are_shares_of_the_threshold_in_full_precision():
    """1, 0, 3 of 50; the threshold of the other is 53."""
    change = score_change(calibrated(11.0, 40.0, 53.0), calibrated(10.0, 40.0, 50.0))
    assert change.mean == pytest.approx(4 / 3 / 50)
    assert change.largest == pytest.approx(3 / 50)
    assert change.n_images == 3


def test_scores_that_fall_change_as_much_as_scores_that_rise():
    change = score_change(calibrated(8.0, 41.0, 50.0), calibrated(10.0, 40.0, 50.0))
    assert (change.mean, change.largest) == (pytest.approx(1 / 50), pytest.approx(2 / 50))


def test_thresholds_below_zero_have_shares_above_it():
    """Those of ensembles may be."""
    change = score_change(calibrated(-9.0, -5.0), calibrated(-8.0, -4.0))
    assert (change.mean, change.largest, change.n_images) == (0.25, 0.25, 2)


def test_a_change_is_one_line():
    assert str(ScoreChange(mean=0.01234, largest=0.05678, n_images=7)) == (
        "leave-one-out scores of 7 good images differ from float32 by 1.23 % of the threshold "
        "on average, 5.68 % at most"
    )
