"""Settings of PatchCore and its bank, beyond what holds for all settings."""

import numpy as np
import pytest

from patchbank import ParameterError, PatchCore
from tests.contract.settings_changes import BASE, PHOTOGRAPHS, outcome
from tests.photographs import part

SCORES = ("max", "reweighted", "hcw", "smooth_max", "top_fraction")

# Five images resolve no rate below 1/6; the remark is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


def recipe(**settings):
    return PatchCore(**{**BASE["patchcore"], **settings})


def test_image_scores_differ():
    assert len({outcome("patchcore", image_score=score) for score in SCORES}) == len(SCORES)


def test_a_bank_of_everything_is_no_coreset():
    every = recipe(selection="all").fit(PHOTOGRAPHS)
    greedy = recipe(bank_rows=len(every.members[0].model.bank)).fit(PHOTOGRAPHS)
    ours, theirs = (d.predict(part(50, defect=7)) for d in (every, greedy))
    np.testing.assert_array_equal(ours.anomaly_map, theirs.anomaly_map)
    assert ours.score == theirs.score


@pytest.mark.parametrize("score", SCORES)
def test_leaving_out_costs_nothing_and_changes_nothing(score, monkeypatch):
    """Distances that fall out of the selection equal those of a search without the image."""
    from patchbank.methods.memory_bank import BankModel

    chosen = recipe(image_score=score)
    known = chosen.fit(PHOTOGRAPHS).calibration
    original = BankModel.score_left_out
    monkeypatch.setattr(
        BankModel,
        "score_left_out",
        lambda self, embedding, image, nearest: original(self, embedding, image),
    )
    searched = chosen.fit(PHOTOGRAPHS).calibration
    np.testing.assert_allclose(known.image_scores, searched.image_scores, rtol=1e-5)
    np.testing.assert_allclose(known.map_peaks, searched.map_peaks, rtol=1e-5)


def test_by_default_nothing_is_left_to_the_seed():
    assert outcome("patchcore", seed=0) == outcome("patchcore", seed=1)


def test_presets_are_sizes_of_the_same_recipe():
    assert PatchCore.preset("balanced") == PatchCore()
    assert PatchCore.preset("fast", seed=3).seed == 3
    with_changes = PatchCore.preset("official", bank_rows=500)
    assert (with_changes.coreset, with_changes.start) == (None, "starting_points")
    assert PatchCore.preset("official", bank_limit=500).coreset is None
    assert PatchCore.preset("anomalib", image_size=(96, 128)).resize == "area"
    assert PatchCore.preset("official", projection="none").projection_dims is None
    everything = PatchCore.preset("official", selection="all")
    assert (everything.coreset, everything.start) == (None, "mean")
    drawn = PatchCore.preset("official", selection="random")
    assert (drawn.coreset, drawn.start, drawn.projection) == (0.1, "mean", "none")
    assert PatchCore.preset("official", selection="greedy").start == "starting_points"
    with pytest.raises(
        ParameterError,
        match="preset: expected one of fast, balanced, accurate, few-shot, official, hcw, anomalib",
    ):
        PatchCore.preset("best")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"patch_size": 4}, "patch_size: expected an odd integer from 1 to 99, got 4"),
        ({"coreset": 0.0}, "coreset: expected a number, more than 0 and at most 1, or None, got 0"),
        ({"coreset": 0.1, "bank_rows": 5}, "one size of the bank, got coreset and bank_rows"),
        (
            {"selection": "all", "bank_rows": 5},
            "'greedy', 'composable' or 'random' with bank_rows, got 'all'",
        ),
        (
            {"selection": "composable", "covering_radius": 2.0},
            "covering_radius: expected with selection 'greedy'",
        ),
        (
            {"selection": "composable", "projection": "sparse"},
            "projection: expected with selection 'greedy', got 'composable'",
        ),
        (
            {"selection": "random", "start": "first"},
            "start: expected with selection 'greedy' or 'composable', got 'random'",
        ),
        ({"selection": "random", "covering_radius": 1.0}, "a start that is a row, got .random."),
        ({"layer_dims": 5}, "layer_dims: expected target_dims together with it"),
        ({"image_score": "pooled"}, f"image_score: expected one of {', '.join(SCORES)}, got"),
        ({"resize": "squash", "image_size": (96, 128)}, "resize: expected 'area'"),
        ({"projection_dims": 8}, "projection_dims: expected projection together with it"),
        ({"start": "starting_points", "covering_radius": 1.0}, "a start that is a row"),
        ({"selection": "all", "projection": "sparse"}, "projection: expected with selection"),
        ({"selection": "random", "start": "random"}, "start: expected with selection 'greedy'"),
        ({"mean": (1, 2, 3)}, "mean, std: expected both or none"),
        ({"std": (1, 2, 3)}, "mean, std: expected both or none"),
    ],
)
def test_settings_that_contradict_each_other_are_named(wrong, message):
    with pytest.raises(ParameterError, match=message):
        PatchCore(**wrong)


def test_a_bank_larger_than_the_patches_is_named():
    with pytest.raises(ParameterError, match=r"bank_rows: expected at most \d+ \(the patches\)"):
        recipe(bank_rows=10**6).fit(PHOTOGRAPHS)
