"""Several members, each with its own backbone and bank."""

from dataclasses import replace

import numpy as np
import pytest

from patchbank import Ensemble, ParameterError, PatchCore, load
from patchbank.detector.member import ScoreStandardization
from patchbank.detector.overlay import draw_overlay
from tests.photographs import part, parts

SHARED = {"image_size": 128, "bank_rows": 200, "false_alarm_rate": 0.2}
FIRST = PatchCore(backbone="efficientnet_lite0", **SHARED)
SECOND = PatchCore(backbone="efficientnet_lite2", metric="squared", **SHARED)


@pytest.fixture(scope="module")
def detector():
    return Ensemble([FIRST, SECOND]).fit(parts(8))


@pytest.fixture(scope="module")
def alone():
    return [recipe.fit(parts(8)) for recipe in (FIRST, SECOND)]


def standardised(values, good):
    return (values - np.mean(good)) / np.std(good)


def test_scores_are_standardised_by_good_images_left_out_and_averaged(detector, alone):
    image = part(60, defect=9)
    by_hand = [
        standardised(single.predict(image).score, single.calibration.image_scores)
        for single in alone
    ]
    assert detector.predict(image).score == pytest.approx(np.mean(by_hand), rel=1e-6)
    left_out = [
        standardised(single.calibration.image_scores, single.calibration.image_scores)
        for single in alone
    ]
    np.testing.assert_allclose(detector.calibration.image_scores, np.mean(left_out, axis=0))


def test_maps_are_standardised_by_their_peaks_and_averaged(detector, alone):
    image = part(60, defect=9)
    by_hand = [
        standardised(single.predict(image).anomaly_map, single.calibration.map_peaks)
        for single in alone
    ]
    seen = detector.predict(image)
    np.testing.assert_allclose(seen.anomaly_map, np.mean(by_hand, axis=0), rtol=1e-4, atol=1e-4)
    assert seen.is_anomalous
    assert seen.regions[0].score == pytest.approx(seen.anomaly_map.max())


def test_no_member_drowns_the_other(detector):
    """Squared distances are hundreds of times larger, and count the same all the same."""
    scales = [member.image_scale for member in detector.members]
    assert scales[1].spread > 5 * scales[0].spread
    predictions = detector.predict(part(60, defect=9)).predictions
    one, other = (prediction.image_score for prediction in predictions)
    assert 0.2 < one / other < 5


def test_a_saved_ensemble_says_the_same(detector, tmp_path):
    detector.save(tmp_path / "a.patchbank")
    opened = load(tmp_path / "a.patchbank")
    image = part(61, defect=7)
    assert opened.predict(image).score == detector.predict(image).score
    assert opened.calibration.threshold == detector.calibration.threshold


def test_one_member_alone_keeps_its_raw_scores(alone):
    single = Ensemble([FIRST]).fit(parts(8))
    image = part(60, defect=9)
    assert single.predict(image).score == alone[0].predict(image).score
    assert single.members[0].image_scale == ScoreStandardization()


def test_overlays_colour_what_is_flagged_whatever_the_threshold(detector, tmp_path):
    """Standardised maps have negative values and thresholds."""
    low = replace(detector.calibration, map_peaks=detector.calibration.map_peaks - 4)
    image = part(60, defect=9)
    seen = replace(detector, calibration=low).predict(image)
    assert seen.pixel_threshold < 0
    scale = 4  # small photographs are enlarged
    changed = _changed(image, seen, scale)
    flagged = seen.anomaly_map > seen.pixel_threshold
    assert flagged.sum() > 100
    assert changed[flagged].mean() > 0.9
    good = part(61)
    assert _changed(good, detector.predict(good), scale).mean() < 0.05


def _changed(image, seen, scale):
    """(H, W): where the overlay has another colour than the photograph."""
    height = scale * image.shape[0]
    picture = np.asarray(draw_overlay(image, seen))[-height::scale, ::scale]
    return np.abs(picture.astype(int) - image).sum(axis=2) > 30


def test_what_was_not_inspected_is_never_the_worst():
    cropped = {**SHARED, "image_size": 160, "crop": 96, "scales": (1.0,)}
    recipes = [PatchCore(backbone=f"efficientnet_lite{n}", **cropped) for n in (0, 2)]
    detector = Ensemble(recipes).fit(parts(8))
    for radius in (0, 9):
        seen = detector.predict(part(60, defect=radius))
        drawn = seen.anomaly_map
        outside = np.ones_like(drawn, dtype=bool)
        seen.box.of(outside)[...] = False
        np.testing.assert_allclose(drawn[outside], seen.normal_map_value, rtol=1e-6)
        assert drawn[outside].max() < seen.box.of(drawn).min()
    assert len(set(detector.calibration.map_peaks.tolist())) == 8


def test_equal_scores_spread_by_one():
    assert ScoreStandardization.of(np.full(5, 3.0)) == ScoreStandardization(3.0, 1.0)


def test_members_that_disagree_on_the_whole_are_refused():
    with pytest.raises(ParameterError, match="at least one recipe"):
        Ensemble([])
    other = PatchCore(false_alarm_rate=0.1)
    with pytest.raises(ParameterError, match="false_alarm_rate: expected the same for all"):
        Ensemble([FIRST, other])
