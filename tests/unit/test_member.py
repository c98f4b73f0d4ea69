"""Scores and maps of one member and of several, and what an inspection says, by value."""

import json
from dataclasses import replace

import numpy as np
import pytest

from patchbank.core.scores.calibration import Calibration
from patchbank.core.spatial.box import Box
from patchbank.core.spatial.regions import Region
from patchbank.detector.inspection import FailedInspection
from patchbank.detector.member import (
    MemberPrediction,
    ScoreStandardization,
    combined_map,
    combined_score,
    highest_value,
    normal_value,
)
from patchbank.detector.preprocessing import ImageGeometry
from patchbank.errors import ImageError
from patchbank.methods.base import PatchScores
from patchbank.settings import MapSettings
from tests.painted import SIZE, detector, member, photograph, settings, write

UNSCALED = ScoreStandardization(), ScoreStandardization()
FIRST = ScoreStandardization(10.0, 2.0), ScoreStandardization(20.0, 4.0)  # of image scores, of maps
SECOND = ScoreStandardization(-1.0, 0.5), ScoreStandardization(100.0, 25.0)


def prediction(grid, score, scales=UNSCALED, box=None):
    """A prediction whose map has the patch scores as its pixels."""
    grid = np.array(grid, np.float32)
    box = box or Box(0, 0, *grid.shape)
    view = ImageGeometry(
        grid.shape, box, (box.height, box.width), (box.height, box.width), settings()
    )
    return MemberPrediction(PatchScores(box.of(grid), score), view, *scales)


def test_a_scale_is_mean_and_deviation_of_the_scores():
    """The deviation is divided by the number of all scores."""
    assert ScoreStandardization.of(np.array([1.0, 3.0, 5.0, 11.0])) == ScoreStandardization(
        5.0, 14**0.5
    )
    assert ScoreStandardization.of(np.array([-2.0, 2.0])) == ScoreStandardization(0.0, 2.0)


def test_a_scale_subtracts_its_centre_and_divides_by_its_spread():
    assert ScoreStandardization(10.0, 4.0).apply(18.0) == 2.0
    assert ScoreStandardization(10.0, 4.0).apply(6.0) == -1.0
    assert ScoreStandardization().apply(3.5) == 3.5


def test_a_map_that_is_scaled_stays_in_single_precision():
    scaled = ScoreStandardization(1.0, 2.0).apply(np.array([[3, 5]], np.float32))
    assert scaled.dtype == np.float32
    assert scaled.tolist() == [[1.0, 2.0]]


def test_a_finding_has_its_scores_on_the_scale_of_the_detector():
    one = prediction([[20, 28, 24], [16, 20, 20]], 14.0, FIRST)
    assert one.image_score == 2.0  # (14 - 10) / 2
    assert one.highest_value == 2.0  # (28 - 20) / 4
    assert one.normal_value == -5.0  # (0 - 20) / 4
    assert one.n_pixels == 6
    assert one.anomaly_map().tolist() == [[0, 2, 1], [-1, 0, 0]]
    assert one.anomaly_map().dtype == np.float32


def test_without_a_scale_a_finding_has_its_raw_scores():
    one = prediction([[20, 28, 24], [16, 20, 20]], 14.0)
    assert (one.image_score, one.highest_value, one.normal_value) == (14.0, 28.0, 0.0)
    assert one.anomaly_map().tolist() == [[20, 28, 24], [16, 20, 20]]


def test_members_are_averaged():
    predictions = [
        prediction([[20, 28, 24], [16, 20, 20]], 14.0, FIRST),  # 2; 0 2 1, -1 0 0
        prediction([[100, 100, 200], [100, 75, 100]], 1.0, SECOND),  # 4; 0 0 4, 0 -1 0
    ]
    assert combined_score(predictions) == 3.0
    assert combined_map(predictions).tolist() == [[0, 1, 2.5], [-0.5, -0.5, 0]]
    assert combined_map(predictions).dtype == np.float32
    assert highest_value(predictions) == 3.0  # (2 + 4) / 2, which no pixel need reach
    assert normal_value(predictions) == -4.5  # (-5 + -4) / 2


def test_one_member_alone_is_its_own_average():
    one = prediction([[1, 2, 3]], 7.0)
    assert combined_score([one]) == 7.0
    assert combined_map([one]).tolist() == [[1, 2, 3]]
    assert (highest_value([one]), normal_value([one])) == (3.0, 0.0)


def test_three_members_count_alike():
    predictions = [prediction([[value]], value) for value in (1.0, 2.0, 6.0)]
    assert combined_score(predictions) == 3.0
    assert combined_map(predictions).tolist() == [[3.0]]


def test_a_member_finds_with_its_own_scales_and_settings():
    one = member(image_scale=FIRST[0], map_scale=FIRST[1], image_size=(48, 64), crop=(32, 40))
    found = one.predict(photograph(14, (28, slice(10, 20), slice(20, 30)), size=(48, 64)))
    assert found.image_score == 2.0
    assert found.highest_value == 2.0
    assert found.geometry == ImageGeometry(
        (48, 64),
        Box(8, 12, 32, 40),
        (32, 40),
        (32, 40),
        MapSettings(smoothing=one.settings.smoothing),
    )
    assert found.anomaly_map()[15, 25] == 2.0
    assert found.anomaly_map()[0, 0] == found.normal_value == -5.0


SPOTS = (200, slice(4, 9), slice(3, 10)), (120, slice(20, 22), slice(30, 33))


def test_an_inspection_says_where_how_much_and_how_sure():
    seen = detector().predict(photograph(150, *SPOTS))
    assert seen.score == 150.0
    assert seen.threshold == 100.0
    assert seen.pixel_threshold == 90.0
    assert seen.p_value == 0.25
    assert seen.size == (40, 32)  # width x height
    assert seen.image == "array"
    assert seen.normalised_score is None
    assert seen.normal_map_value == 0.0
    assert seen.box == Box(0, 0, *SIZE)
    assert seen.regions == (Region(3, 4, 7, 5, 35, 200.0), Region(30, 20, 3, 2, 6, 120.0))
    expected = np.zeros(SIZE)
    expected[4:9, 3:10], expected[20:22, 30:33] = 200, 120
    np.testing.assert_array_equal(seen.anomaly_map, expected)


def test_an_inspection_is_one_line_of_json(tmp_path):
    path = write(tmp_path / "a.png", photograph(150, SPOTS[1], (110, 22, 31)))
    record = detector().predict(str(path)).to_json()
    assert json.loads(json.dumps(record)) == {
        "schema_version": 1,
        "image": str(path),
        "size": [40, 32],
        "score": 150.0,
        "p_value": 0.25,
        "threshold": 100.0,
        "anomalous": True,
        "regions": [
            {"left": 30, "top": 20, "width": 3, "height": 3, "area": 7, "score": 120.0},
        ],
        "unlike": [],
        "error": None,
        "error_type": None,
    }
    good = detector().predict(photograph(70)).to_json()
    assert (good["anomalous"], good["regions"], good["p_value"]) == (False, [], 0.75)


def test_json_of_what_was_read_and_of_what_was_not_has_the_same_keys():
    read = detector().predict(photograph(70)).to_json()
    assert set(FailedInspection("a.png", "no image").to_json()) == set(read)


def test_a_normalised_score_is_given_where_it_is_wanted():
    """The good scores are 60 to 100, so a score of 108 lies a fifth above the middle."""
    seen = detector(member(normalise_score=True)).predict(photograph(108))
    assert seen.normalised_score == pytest.approx(0.7)
    record = seen.to_json()
    assert record["normalised_score"] == seen.normalised_score
    assert list(record)[3:6] == ["score", "normalised_score", "p_value"]


@pytest.mark.parametrize(("score", "anomalous"), [(99, False), (100, False), (101, True)])
def test_anomalous_is_above_the_threshold(score, anomalous):
    assert detector().predict(photograph(score)).is_anomalous is anomalous


def test_a_score_that_is_no_number_is_never_called_good():
    seen = replace(detector().predict(photograph(20)), score=float("nan"))
    assert seen.is_anomalous


@pytest.mark.parametrize(("value", "n_regions"), [(89, 0), (90, 0), (91, 1)])
def test_a_region_is_above_the_pixel_threshold(value, n_regions):
    seen = detector().predict(photograph(20, (value, slice(3, 9), slice(5, 6))))
    assert len(seen.regions) == n_regions


def test_regions_of_several_members_are_those_of_their_average():
    """200 and 0 average to 100, which exceeds 90; 170 and 0 do not, though 170 does."""
    blind = member(map_scale=ScoreStandardization(0.0, 1e6))
    for members in ((member(), blind), (blind, member())):
        for value, scores in ((200, [100.0]), (170, [])):
            seen = detector(*members).predict(photograph(20, (value, slice(3), slice(4))))
            assert [region.score for region in seen.regions] == pytest.approx(scores, abs=1e-3)
            assert seen.anomaly_map[0, 0] == pytest.approx(value / 2, abs=1e-3)


def test_several_members_have_inspected_what_all_of_them_have():
    tall = member(image_size=(48, 64), crop=(48, 40))  # rows 0 to 48, columns 12 to 52
    wide = member(image_size=(48, 64), crop=(32, 64))  # rows 8 to 40, columns 0 to 64
    seen = detector(tall, wide).predict(photograph(20, size=(48, 64)))
    assert seen.box == Box(top=8, left=12, height=32, width=40)


def test_scores_of_several_members_are_compared_on_their_common_scale():
    calibration = Calibration(np.array([-1.0, 0.0, 1.0]), np.array([-3.0, 0.0, 3.0]), 0.25)
    pair = (
        member(image_scale=FIRST[0], map_scale=FIRST[1]),
        member(
            image_scale=ScoreStandardization(12.0, 1.0), map_scale=ScoreStandardization(24.0, 2.0)
        ),
    )
    seen = detector(*pair, calibration=calibration).predict(photograph(14))
    assert seen.score == 2.0  # both are 2
    assert seen.is_anomalous
    assert seen.normal_map_value == -8.5  # of -5 and -12


def test_a_photograph_that_is_gone_cannot_be_saved_as_an_overlay(tmp_path):
    path = write(tmp_path / "a.png", photograph(70))
    seen = detector().predict(path)
    path.unlink()
    with pytest.raises(ImageError, match="a.png"):
        seen.save(tmp_path / "overlay.png")
