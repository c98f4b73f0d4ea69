"""A region of interest in photographs that come in tiles: learned and scored as if seen whole."""

import numpy as np
import pytest

from patchbank import PatchCore, load
from patchbank.core.spatial.anomaly_map import anomaly_map
from patchbank.detector.preprocessing import extract
from patchbank.detector.tiling import Tiling
from patchbank.images.roi import shapes_of
from patchbank.methods import METHODS
from patchbank.runtime.devices import HOST
from patchbank.training.fit import PhotographChoice, fit
from patchbank.training.interest import Interest
from tests.photographs import part
from tests.progress import Recorder

pytestmark = [
    pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning"),
]

SIZE = (104, 1700)
ROI = "24,16,1640,80"
IGNORED = ["400,0,1000,104", "1500,40,24,24"]  # the middle one of three tiles, and a small part
RECIPE = {"backbone": "efficientnet_lite0", "tiles": True, "bank_limit": 120}


def photographs(n, first=0):
    return [part(seed, size=SIZE) for seed in range(first, first + n)]


@pytest.fixture(scope="module")
def detector():
    return PatchCore(**RECIPE, false_alarm_rate=0.2).fit(photographs(5), roi=ROI, ignore=IGNORED)


def test_scores_and_map_are_those_of_the_region_of_the_photograph_seen_whole(detector):
    image, member = photographs(1, 60)[0], detector.members[0]
    inspected = detector.roi.on(SIZE)
    assert tuple(inspected.box) == (16, 24, 80, 1640)
    seen = detector.predict(image).predictions[0]
    cells = seen.geometry.cells
    whole = member.settings.with_changes(tiles=False, image_size=(80, 1648))
    wide = np.pad(image[16:96, 24:1664], ((0, 0), (0, 8), (0, 0)), mode="symmetric")
    maps = extract(member.extractor, whole, wide)[0]
    expected = member.model.score(maps).patch_scores[:, :205]
    assert cells.shape == expected.shape == seen.scores.patch_scores.shape
    assert 0.3 < cells.mean() < 0.5
    assert (seen.scores.patch_scores[~cells] == 0).all()
    np.testing.assert_allclose(
        seen.scores.patch_scores[cells], expected[cells], rtol=1e-4, atol=1e-3
    )
    assert seen.image_score == pytest.approx(expected[cells].max(), rel=1e-4)
    drawn = seen.anomaly_map()
    assert (drawn[~detector.roi.mask] == 0).all()
    middle = slice(16 + 24, 16 + 56), slice(24 + 96, 24 + 224)  # 3 sigma from its border and more
    without = anomaly_map(expected, (80, 1640), sigma=8)[24:56, 96:224]
    np.testing.assert_allclose(drawn[middle], without, rtol=0.02)


def test_the_network_sees_no_tile_without_a_pixel_of_the_region(detector):
    member = detector.members[0]
    tiling = Tiling.of(member.extractor, member.settings, SIZE, detector.roi.on(SIZE))
    assert [tuple(columns) for _, columns in tiling.tiles] == [(0, 544), (1088, 1648)]
    assert [tiling.tile(number).is_first for number in (0, 1)] == [True, False]


def test_a_first_tile_that_is_left_out_is_not_missed():
    ignored = ["0,0,800,104", "800,0,900,24"]  # the box of the region begins in the first tile
    framed = PatchCore(**RECIPE).fit(photographs(3), roi="0,0,1700,104", ignore=ignored[:1])
    assert tuple(framed.roi.on(SIZE).box) == (0, 800, 104, 900)
    cornered = PatchCore(**RECIPE).fit(
        photographs(3), roi=["0,90,8,14", "900,0,800,104"], ignore=["0,0,800,104"]
    )
    assert set(cornered.members[0].model.origins[:, 0].tolist()) == {0, 1, 2}


def test_only_patches_of_the_region_are_learned(detector):
    cells = detector.predict(photographs(1)[0]).predictions[0].geometry.cells
    origins = detector.members[0].model.origins
    assert cells[origins[:, 1], origins[:, 2]].all()
    assert set(origins[:, 0].tolist()) == set(range(5))


def test_what_is_not_of_interest_changes_nothing(detector):
    """But for what the network sees around a patch: that much is left as it is."""
    image, spoilt = part(60, size=SIZE), part(60, size=SIZE)
    spoilt[:16] = spoilt[96:] = 0
    spoilt[:, 700:1000] = 255
    one, other = detector.predict(image), detector.predict(spoilt)
    assert one.score == other.score
    np.testing.assert_array_equal(one.anomaly_map, other.anomaly_map)


@pytest.mark.parametrize("image_score", ["max", "smooth_max", "top_fraction"])
def test_image_scores_are_those_of_the_region(image_score):
    recipe = PatchCore(**RECIPE, image_score=image_score, patch_stride=2)
    fitted = recipe.fit(photographs(4), roi=ROI, ignore=IGNORED)
    image, spoilt = part(60, size=SIZE), part(60, size=SIZE)
    spoilt[:, 700:1000] = 255
    assert fitted.predict(image).score == fitted.predict(spoilt).score > 0
    bad = part(60, size=SIZE)
    bad[50:58, 200:208] = 10
    assert fitted.predict(bad).score > fitted.predict(image).score


def test_copies_are_learned_where_they_show_the_region(tmp_path):
    recipe = PatchCore(**RECIPE, rotations=2, flips="horizontal")
    size = (72, 104)
    fitted = recipe.fit([part(seed) for seed in range(4)], roi="8,8,88,56", ignore="16,8,32,56")
    origins = fitted.members[0].model.origins
    left = np.array([origins[origins[:, 3] == copy, 2].mean() for copy in range(4)])
    assert (left > 5).tolist() == [True, False, False, True]  # 11 columns; turned and mirrored
    fitted.save(tmp_path / "a.patchbank")
    opened, image = load(tmp_path / "a.patchbank"), part(50, defect=6, size=size)
    assert opened.predict(image).score == fitted.predict(image).score
    one = PatchCore(**RECIPE).fit([part(0)], roi="8,8,88,56", ignore="16,8,32,56")
    assert one.calibration.views_of_one


def test_progress_counts_the_tiles_of_the_region():
    recorder, method = Recorder(), METHODS["patchcore"]
    settings = method.settings_from(None, RECIPE)
    interest = Interest(shapes_of("roi", ROI), shapes_of("ignore", IGNORED))
    choice = PhotographChoice(groups="none", interest=interest)
    fit([(method, settings)], photographs(3), recorder, HOST, choice=choice)
    assert recorder.steps["reading tiles of good images"] == [6, 6]
