"""Photographs in tiles: of any size, scored as one, and refused where they make no sense."""

import numpy as np
import pytest

from patchbank import ParameterError, PatchCore, load
from patchbank.backbones import open_backbone
from patchbank.core.scores.image_score import grid_score
from patchbank.core.spatial.anomaly_map import anomaly_map
from patchbank.detector.latency import latency_ms
from patchbank.detector.preprocessing import extract
from patchbank.detector.tiling import Tiling, n_averaged, photograph_scores
from patchbank.methods import METHODS, PatchCoreSettings, PatchScores, TrainingImage
from patchbank.methods.growing_array import GrowingArray
from patchbank.runtime.devices import HOST
from patchbank.runtime.memory import room_for_features
from patchbank.runtime.progress import NullProgress
from patchbank.training.fit import PhotographChoice, fit
from tests.onnx_files import write_onnx
from tests.photographs import part, parts
from tests.progress import Recorder

pytestmark = [
    pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning"),
]

SIZES = [(72, 104), (136, 96), (40, 33), (96, 900), (72, 110)]  # the fourth is two tiles
RECIPE = {"backbone": "efficientnet_lite0", "tiles": True, "bank_limit": 150}


@pytest.fixture(scope="module")
def detector():
    """Learned from photographs of five sizes."""
    photographs = [part(seed, size=size) for seed, size in enumerate(SIZES)]
    return PatchCore(**RECIPE, false_alarm_rate=0.2).fit(photographs)


@pytest.mark.parametrize("size", SIZES)
def test_photographs_of_any_size_have_a_map_of_their_pixels_with_the_defect_in_it(detector, size):
    good, bad = part(60, size=size), part(60, size=size)
    row, column = size[0] // 2, size[1] // 3
    bad[row : row + 6, column : column + 6] = 10
    seen, seen_good = detector.predict(bad), detector.predict(good)
    assert seen.anomaly_map.shape == size
    assert seen.predictions[0].scores.patch_scores.shape == tuple(-(-n // 8) for n in size)
    assert seen.score > seen_good.score
    changed = seen.anomaly_map - seen_good.anomaly_map
    peak = np.unravel_index(changed.argmax(), size)
    assert abs(peak[0] - row) <= 16
    assert abs(peak[1] - column) <= 16


def test_patches_and_map_are_those_of_the_photograph_seen_whole(detector):
    """The map is smoothed by sigma 8: as that of a photograph of 448 x 448 pixels."""
    image = part(61, size=(96, 1024))
    seen = detector.predict(image).predictions[0]
    member = detector.members[0]
    assert len(Tiling.of(member.extractor, member.settings, (96, 1024)).tiles) == 2
    whole = member.settings.with_changes(tiles=False, image_size=(96, 1024))
    scores = member.model.score(extract(member.extractor, whole, image)[0])
    np.testing.assert_allclose(seen.scores.patch_scores, scores.patch_scores, rtol=1e-4, atol=1e-3)
    assert seen.image_score == pytest.approx(scores.patch_scores.max(), rel=1e-4)
    drawn = anomaly_map(scores.patch_scores, (96, 1024), sigma=8)
    np.testing.assert_allclose(seen.anomaly_map(), drawn, rtol=1e-4, atol=1e-3)


def test_a_saved_detector_of_tiles_gives_the_same_scores_and_says_that_it_has_tiles(
    detector, tmp_path
):
    detector.save(tmp_path / "parts.patchbank")
    opened = load(tmp_path / "parts.patchbank")
    assert opened.members[0].settings.tiles
    image = part(62, defect=6, size=(120, 840))
    one, other = detector.predict(image), opened.predict(image)
    assert one.score == other.score
    assert (one.anomaly_map == other.anomaly_map).all()
    assert one.regions == other.regions


def test_an_origin_is_a_place_in_the_whole_photograph(detector):
    """Rows of the bank that come from the wide photograph lie in both of its tiles."""
    origins = detector.members[0].model.origins
    columns = origins[origins[:, 0] == 3, 2]
    assert columns.max() < -(-900 // 8)
    assert columns.min() < 448 // 8 < columns.max()
    for number, (height, width) in enumerate(SIZES):
        own = origins[origins[:, 0] == number]
        assert (own[:, 1] < -(-height // 8)).all()
        assert (own[:, 2] < -(-width // 8)).all()


def test_with_tiles_other_defaults_hold_unless_they_are_given():
    chosen = PatchCore(tiles=True)
    assert (chosen.scales, chosen.patch_size, chosen.patch_stride) == ((1.0,), 1, 1)
    assert chosen.image_score == "max"
    assert PatchCore(tiles=True, scales=(1.0, 0.5), patch_size=3).scales == (1.0, 0.5)
    assert PatchCore(tiles=False) == PatchCore()
    fast = METHODS["patchcore"].settings_from("fast", {"tiles": True, "patch_stride": 2})
    assert (fast.backbone, fast.image_size, fast.bank_limit) == ("efficientnet_lite0", 512, 4000)
    assert (fast.scales, fast.patch_stride) == ((1.0,), 2)
    assert METHODS["patchcore"].settings_from("few-shot", {"tiles": True}).rotations == 24


def test_layers_are_the_first_of_the_backbone_unless_they_are_given(detector):
    assert detector.members[0].extractor.layers == ("blocks.2",)
    both = PatchCore(**RECIPE, layers=("blocks.2", "blocks.4")).fit(parts(3))
    assert both.members[0].extractor.layers == ("blocks.2", "blocks.4")


@pytest.mark.parametrize("scales", [(0.5,), (1.0, 0.5), (0.5, 0.25)])
def test_scales_are_relative_to_the_photograph(scales):
    fitted = PatchCore(**RECIPE, scales=scales).fit(parts(4))
    seen = fitted.predict(part(50, defect=8))
    pitch = 8 / scales[0]
    grid = seen.predictions[0].scores.patch_scores.shape
    assert grid == tuple(int(-(-n // pitch)) for n in (72, 104))
    assert seen.anomaly_map.shape == (72, 104)
    assert np.isfinite(seen.anomaly_map).all()


def test_the_score_of_the_highest_patches_does_not_depend_on_the_size_of_the_photograph():
    """1 % of the 28 x 28 patches in 448 x 448 pixels are 8."""
    extractor = open_backbone("efficientnet_lite0", ("blocks.2",))
    chosen = PatchCore(tiles=True, image_score="top_fraction", patch_stride=2)
    for size in ((40, 50), (400, 500)):
        grid = np.zeros(size, dtype=np.float32)
        grid[2, 3:13] = np.arange(10, 0, -1)
        geometry = Tiling.of(extractor, chosen, (16 * size[0], 16 * size[1])).geometry
        scores = photograph_scores(extractor, chosen, PatchScores(grid, 0.0, 2), geometry)
        assert scores.image_score == pytest.approx(np.mean([10, 9, 8, 7, 6, 5, 4, 3]))


def test_copies_and_single_photographs_come_in_tiles_too():
    one = PatchCore(**{**RECIPE, "bank_limit": 40}).fit([part(0, size=(72, 110))])
    assert one.calibration.views_of_one
    turned = PatchCore(**RECIPE, rotations=4, flips="horizontal").fit(parts(3))
    copies = turned.members[0].model.origins[:, 3]
    assert set(copies.tolist()) == set(range(8))


def test_groups_are_left_out_together():
    """Of two photographs that are the same, one does not vouch for the other."""
    doubled = [*parts(4), part(3)]
    together = PatchCore(**RECIPE).fit(doubled, groups=[0, 1, 2, 3, 3])
    alone = PatchCore(**RECIPE).fit(doubled, groups="none")
    assert together.calibration.image_scores[4] > alone.calibration.image_scores[4]
    assert together.calibration.image_scores[3] == together.calibration.image_scores[4]


@pytest.mark.parametrize("method", ["padim", "spade", "graphcore", "simplenet"])
def test_other_methods_refuse_tiles_in_one_line(method):
    chosen = METHODS[method]
    settings = chosen.settings_from(None, {"tiles": True})
    with pytest.raises(ParameterError, match=f"^tiles: expected a method .* got {method}; .*$"):
        fit([(chosen, settings)], parts(2), NullProgress(), HOST)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_size": 320}, "image_size: expected none with tiles, .* got 320; .*scales 0.5"),
        ({"resize": "squash"}, "resize: expected none with tiles, .* got squash"),
        ({"image_score": "reweighted"}, "image_score: expected one of max, .* got 'reweighted'"),
    ],
)
def test_settings_that_tiles_leave_without_meaning_are_refused(given, message):
    with pytest.raises(ParameterError, match=f"^{message}"):
        PatchCore(tiles=True, **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scales": (0.37,)}, r"tiles: expected scales .* 256 pixels at most, got \d+ .* 0.25"),
        ({"crop": (80, 80)}, "crop: expected at most 72 x 104 .* got 80 x 80"),
    ],
)
def test_what_photographs_cannot_meet_is_refused(given, message):
    with pytest.raises(ParameterError, match=f"^{message}"):
        PatchCore(**RECIPE, **given).fit(parts(2))


def test_a_backbone_of_one_size_is_refused(tmp_path):
    path = write_onnx(tmp_path / "fixed.onnx", size=(64, 96))
    half = (0.5, 0.5, 0.5)
    with pytest.raises(ParameterError, match="tiles: .* any size, got .*, which takes 64x96 only"):
        PatchCore(backbone=path, mean=half, std=half, tiles=True).fit(parts(2))


def test_a_crop_is_one_of_the_photograph():
    fitted = PatchCore(**RECIPE, crop=(41, 64)).fit(parts(4))
    seen = fitted.predict(part(50))
    assert tuple(seen.box) == (15, 20, 41, 64)
    inside = np.zeros((72, 104), dtype=bool)
    inside[15:56, 20:84] = True
    assert (seen.anomaly_map[~inside] == 0).all()
    assert (seen.anomaly_map[inside] > 0).all()


def test_progress_shows_every_tile():
    recorder, method = Recorder(), METHODS["patchcore"]
    settings = method.settings_from(None, RECIPE)
    photographs = [part(seed, size=size) for seed, size in enumerate(SIZES)]
    choice = PhotographChoice(groups="none")
    fit([(method, settings)], photographs, recorder, HOST, choice=choice)
    assert recorder.steps["reading tiles of good images"] == [6, 6]


def test_the_latency_is_that_of_a_learned_size(detector):
    """(72, 110) has the middle number of pixels."""
    shown = []

    class Seen:
        """A member that keeps the sizes of its images."""

        settings = PatchCoreSettings(tiles=True)

        def predict(self, image, part):
            shown.append(image.shape)

    class Fitted:
        """A detector with this member."""

        members, likeness, roi = (Seen(),), detector.likeness, None

    latency_ms(Fitted())
    assert set(shown) == {(72, 110, 3)}


def test_room_is_made_for_whole_images_at_their_first_part():
    rooms = []

    def allocate(shape):
        rooms.append(shape)
        return np.empty(shape, dtype=np.float32)

    rows = GrowingArray(2, allocate)
    for number in range(8):
        rows.append(np.full((5, 3), number, np.float32), share=0.25)
    assert rooms == [(49, 3)]  # 2 images of 20 rows, a fifth more, and one
    assert rows.array[:, 0].tolist() == [float(n) for n in range(8) for _ in range(5)]
    rows.append(np.full((20, 3), 9, np.float32))
    assert len(rooms) == 2
    assert rows.array[::5, 1].tolist() == [*map(float, range(8)), 9.0, 9.0, 9.0, 9.0]


def test_more_features_than_are_kept_in_memory_go_to_a_file_and_a_line_says_so():
    notes = []
    small = room_for_features((10, 10), notes.append, most_bytes=400)
    assert not isinstance(small, np.memmap)
    assert notes == []
    large = room_for_features((11, 10), notes.append, most_bytes=400)
    assert isinstance(large, np.memmap)
    assert "not kept in memory: the bank is the same" in notes[0]


def test_a_tile_that_is_learned_twice_counts_once_for_each_copy():
    """The store joins tiles of one image, and tells copies apart."""
    parameters = METHODS["patchcore"].parameters(
        patch_size=1, patch_stride=1, n_neighbours=1, banks="joint"
    )
    learner = METHODS["patchcore"].learner(parameters, 3, NullProgress(), HOST)
    extractor = open_backbone("efficientnet_lite0", ("blocks.2",))
    chosen = PatchCore(tiles=True, backbone="efficientnet_lite0")
    image = part(0, size=(64, 128))
    tiling = Tiling.of(extractor, chosen, (64, 128), tile_px=64)
    assert len(tiling.tiles) == 2
    inside = np.zeros((8, 16), dtype=bool)
    inside[:, 12:] = True
    for photograph in (0, 1):
        for copy in (None, inside):
            for number in (0, 1):
                features = tiling.features(image, number)
                tile = tiling.tile(number)
                learner.add(TrainingImage(features, photograph, copy, tile=tile))
    model = learner.fit().model
    assert len(model.bank) == 2 * (8 * 16 + 8 * 4)
    copies = model.origins[model.origins[:, 3] == 1]
    assert set(copies[:, 2].tolist()) == {12, 13, 14, 15}
    assert len(copies) == 64


@pytest.mark.parametrize("crop", [50, (40, 70), 600])
def test_a_file_with_a_crop_of_the_photograph_opens(tmp_path, crop):
    """With tiles a crop is of the photograph, whatever its size: not of a resized one."""
    size = (620, 640) if crop == 600 else (80, 96)
    recipe = PatchCore(
        tiles=True, crop=crop, patch_stride=8, backbone="efficientnet_lite0", false_alarm_rate=0.3
    )
    detector = recipe.fit([part(seed, size=size) for seed in range(3)])
    detector.save(tmp_path / "a.patchbank")
    opened = load(tmp_path / "a.patchbank")
    assert opened.predict(part(9, size=size)).score == detector.predict(part(9, size=size)).score
    (failed,) = opened.inspect([np.zeros((30, 30, 3), np.uint8)])
    assert failed.error.startswith("array: crop: expected at most 30 x 30")


def test_a_fraction_between_two_numbers_of_patches_is_said_as_it_is_averaged():
    """0.07 x 150 is ten and a half but for rounding, and the even number counts."""
    settings = PatchCoreSettings(image_score="top_fraction", top_fraction=0.07)
    scores = np.arange(150, dtype=np.float32)[None]
    averaged = grid_score(scores, "top_fraction", 0.07)
    assert n_averaged(None, settings, scores.size) == 10
    assert averaged == pytest.approx(scores[0, -10:].mean())
