"""A bank for each feature map: naive banks as oracle, the map, files, and what has one bank."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from patchbank import DetectorFileError, ParameterError, PatchCore, load
from patchbank.detector.bundle import Bundle, bundle_of, to_bytes
from patchbank.detector.detector import detector_from_bytes
from patchbank.detector.settings_file import pack_settings, unpack_settings
from patchbank.methods import METHODS, PatchCoreSettings, PatchEmbedding, TrainingImage
from patchbank.methods.memory_bank import BankModel, MapBanks
from tests.fitting import fit_on_features
from tests.photographs import part, parts

SHAPES = ((2, 4, 6), (3, 2, 3), (2, 2, 3), (3, 1, 2))  # two layers at scale 1, the same at a half
PLAIN = {"patch_stride": 1, "patch_size": 1, "alignment": "nearest", "image_score": "max"}
SMALL = {"image_size": 96, "bank_rows": 60, "false_alarm_rate": 0.2}
# Few images resolve no rate this low; the remark is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


def maps(seed):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 9, shape).astype(np.float32) for shape in SHAPES]


def fitted(images, groups=None, **changes):
    examples = [TrainingImage(each, number) for number, each in enumerate(images)]
    chosen = PatchCoreSettings(**{**PLAIN, **changes})
    return fit_on_features(METHODS["patchcore"], chosen, examples, len(examples), groups=groups)


def patches(features):
    """(n, d) of the three maps with a bank, each on the grid of the first, by nearest cell."""
    h, w = SHAPES[0][1:]
    found = []
    for number in (0, 1, 3):
        grid = features[number]
        rows = (np.arange(h) * grid.shape[1] + grid.shape[1] // 2) // h
        columns = (np.arange(w) * grid.shape[2] + grid.shape[2] // 2) // w
        found.append(grid[:, rows][:, :, columns].reshape(len(grid), -1).T.astype(np.float64))
    return found


def naive(rows_of_banks, good, shown):
    """Scores (4, 6) of all banks and of those of the first scale, by all pairs."""
    weights, ratios = np.array([1, 1, 0.5**0.5]), []
    for bank, learned, query in zip(rows_of_banks, good, shown, strict=True):
        spread = np.sqrt(np.square(learned - learned.mean(axis=0)).sum(axis=1).mean())
        distances = np.linalg.norm(query[:, None] - bank[None], axis=2).min(axis=1)
        ratios.append(distances / spread)
    ratios = np.stack(ratios, axis=1)
    whole, first = ratios @ weights / weights.sum(), ratios[:, :2].mean(axis=1)
    return whole.reshape(4, 6), first.reshape(4, 6)


def everything(images):
    return [np.concatenate(each) for each in zip(*map(patches, images), strict=True)]


@hypothesis_settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["all", "greedy"]))
def test_scores_are_mean_ratios_of_distance_and_spread(seed, selection):
    images, shown = [maps(seed + number) for number in range(3)], maps(seed + 99)
    size = {} if selection == "all" else {"bank_rows": 20}
    model = fitted(images, selection=selection, **size).model
    good = everything(images)
    banks = good if selection == "all" else [each.model.bank for each in model.banks]

    whole, first = naive(banks, good, patches(shown))

    scored = model.score(shown)
    np.testing.assert_allclose(scored.patch_scores, first, rtol=1e-5, atol=1e-6)
    assert scored.image_score == pytest.approx(whole.max(), rel=1e-5)


@hypothesis_settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([None, [0, 0, 1, 2]]))
def test_a_photograph_is_left_out_of_every_bank_with_its_group(seed, groups):
    images = [maps(seed + number) for number in range(4)]
    numbers = np.arange(4) if groups is None else np.array(groups)
    fit = fitted(images, None if groups is None else numbers, bank_rows=40)
    good = everything(images)
    for number, scored in enumerate(fit.left_out):
        banks = [
            each.model.bank[numbers[each.model.origins[:, 0]] != numbers[number]]
            for each in fit.model.banks
        ]
        whole, first = naive(banks, good, patches(images[number]))
        np.testing.assert_allclose(scored.patch_scores, first, rtol=1e-5, atol=1e-6)
        assert scored.image_score == pytest.approx(whole.max(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("changes", [{"n_neighbours": 2}, {"projection": "gaussian"}])
def test_distances_to_the_rows_of_others_are_searched_where_the_selection_has_none(changes):
    images = [maps(number) for number in range(4)]
    fit = fitted(images, bank_rows=40, **changes)
    scored = fit.model.score_left_out(PatchEmbedding.of(fit.model.embed(images[2])), np.array([2]))
    np.testing.assert_allclose(fit.left_out[2].patch_scores, scored.patch_scores, rtol=1e-6)
    assert (scored.patch_scores > fit.model.score(images[2]).patch_scores - 1e-6).all()


def test_the_map_does_not_show_the_smaller_scale():
    images = [maps(number) for number in range(3)]
    model, shown = fitted(images, selection="all").model, maps(7)
    coarser = [*shown[:3], shown[3] + 1000]
    np.testing.assert_array_equal(
        model.score(coarser).patch_scores, model.score(shown).patch_scores
    )
    assert model.score(coarser).image_score > 10 * model.score(shown).image_score
    shallow = [*shown[:2], shown[2] + 1000, shown[3]]  # the map without a bank
    assert model.score(shallow).image_score == model.score(shown).image_score


def test_equal_patches_have_no_spread_and_count_by_their_distance():
    image = [np.ones(shape, dtype=np.float32) for shape in SHAPES]
    model = fitted([image, image], selection="all").model
    assert [each.spread for each in model.banks] == [1, 1, 1]
    assert model.score(image).image_score == 0
    other = [each + 3 for each in image]
    assert model.score(other).patch_scores[0, 0] == pytest.approx((18**0.5 + 27**0.5) / 2)


@pytest.fixture(scope="module")
def detector():
    return PatchCore(**SMALL).fit(parts(6, size=(80, 112)))


def test_a_file_has_the_same_scores(detector, tmp_path):
    detector.save(tmp_path / "a.patchbank")
    again, shown = load(tmp_path / "a.patchbank"), part(30, size=(80, 112), defect=8)
    ours, theirs = detector.predict(shown), again.predict(shown)
    assert (ours.score, ours.threshold) == (theirs.score, theirs.threshold)
    np.testing.assert_array_equal(ours.anomaly_map, theirs.anomaly_map)
    assert isinstance(again.members[0].model, MapBanks)
    assert detector.predict(shown).is_anomalous


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"bank1": None}, "bank1: expected float32"),
        ({"bank2_spread": np.zeros(1)}, "bank2_spread: expected values from 1e-09"),
        ({"bank0": np.zeros((60, 7), dtype=np.float32)}, "bank0: expected the shape"),
        ({"bank1_origins": np.zeros((59, 4), dtype=np.int32)}, "bank1_origins: expected the shape"),
    ],
)
def test_contradictory_banks_of_a_file_are_refused(detector, tmp_path, changes, match):
    detector.save(tmp_path / "a.patchbank")
    bundle = bundle_of((tmp_path / "a.patchbank").read_bytes(), "a")
    tensors = {**bundle.tensors, **{f"0.model.{name}": value for name, value in changes.items()}}
    kept = {name: value for name, value in tensors.items() if value is not None}
    with pytest.raises(DetectorFileError, match=match):
        detector_from_bytes(to_bytes(Bundle(kept, bundle.record)), device="cpu")


@pytest.mark.parametrize(
    "changes",
    [
        {"target_dims": 30},
        {"covering_radius": 20.0},
        {"metric": "squared"},
        {"image_score": "reweighted"},
        {"tiles": True},
    ],
)
def test_what_needs_one_bank_has_one_and_refuses_several(changes):
    size = {} if "covering_radius" in changes else {"bank_rows": 60}
    size |= {} if "tiles" in changes else {"image_size": 96}
    fit = PatchCore(false_alarm_rate=0.3, **size, **changes).fit(parts(4))
    assert fit.members[0].settings.banks == "joint"
    assert type(fit.members[0].model) is BankModel
    with pytest.raises(ParameterError, match="banks: expected 'joint' with .*; leave banks out"):
        PatchCore(banks="per_map", **size, **changes)


def test_an_implied_bank_ends_with_what_implied_it():
    squared = PatchCoreSettings(metric="squared")
    assert squared.with_changes(metric="euclidean").banks == "per_map"
    with pytest.raises(ParameterError, match="banks: expected 'joint' with metric squared"):
        squared.with_changes(banks="per_map")


def test_presets_of_other_programs_have_one_bank_and_other_words_are_refused():
    assert METHODS["patchcore"].settings_from("official", {}).banks == "joint"
    with pytest.raises(ParameterError, match="banks: expected"):
        PatchCoreSettings(banks="two")


def test_older_files_have_one_bank():
    record = pack_settings(PatchCoreSettings())
    del record["banks"]
    assert unpack_settings(record, PatchCoreSettings)["banks"] == "joint"
    assert "banks" not in unpack_settings({}, METHODS["graphcore"].settings)
