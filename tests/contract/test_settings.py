"""Each setting of PatchCore changes something, and wrong ones are named."""

from dataclasses import fields

import numpy as np
import pytest

from patchbank import ParameterError, PatchCore
from patchbank.methods import METHODS, PatchCoreSettings
from tests.contract import settings_of_all
from tests.contract.settings_of_all import PHOTOGRAPHS, told
from tests.photographs import part
from tests.unit.test_backbones import write_onnx

BASE = {
    "backbone": "efficientnet_lite0",
    "image_size": 96,
    "bank_limit": 80,
    "top_fraction": 0.1,
    "patch_stride": 1,
}
# setting -> settings that it needs beside it, a value that differs from the default
CHANGES = {
    **settings_of_all.CHANGES,
    "scales": ({}, (1.0,)),
    "resize": ({}, "squash"),
    "max_upscale": ({"image_size": 320}, 4.0),
    "rotations": ({}, 3),
    "flips": ({}, "vertical"),
    "translations": ({}, 2),
    "zooms": ({}, (0.9,)),
    "seed": ({"selection": "random"}, 1),
    "patch_size": ({}, 5),
    "patch_stride": ({}, 2),
    "target_dims": ({}, 60),
    "layer_dims": ({"target_dims": 60}, 40),
    "selection": ({}, "random"),
    "bank_limit": ({}, 50),
    "coreset": ({}, 0.05),
    "bank_rows": ({}, 60),
    "covering_radius": ({}, 30.0),
    "alignment": ({}, "nearest"),
    "projection": ({"projection_dims": None}, "sparse"),
    "projection_dims": ({"projection": "gaussian"}, 8),
    "start": ({}, "random"),
    "n_starting_points": ({"start": "starting_points"}, 2),
    "n_neighbours": ({}, 3),
    "metric": ({}, "squared"),
    "index": ({"bank_limit": 500}, "ivf"),
    "n_reweight_neighbours": ({"image_score": "reweighted"}, 3),
}


def outcome(**settings):
    """Everything that a fit and an inspection tell."""
    return told(METHODS["patchcore"], PatchCoreSettings(**{**BASE, **settings}))


# A bank of five images resolves no rate below 1/6; the remark is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


@pytest.mark.parametrize("name", CHANGES)
def test_each_setting_changes_something(name):
    beside, value = CHANGES[name]
    assert outcome(**beside) != outcome(**{**beside, name: value})


def test_normalisation_changes_something(tmp_path):
    path = write_onnx(tmp_path / "small.onnx")
    half = {"backbone": path, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    assert outcome(**half) != outcome(**{**half, "mean": (0.1, 0.5, 0.9)})
    assert outcome(**half) != outcome(**{**half, "std": (0.3, 0.5, 0.5)})


def test_every_setting_is_covered_here():
    assert {f.name for f in fields(PatchCoreSettings)} == {*CHANGES, "mean", "std", "weights"}


@pytest.mark.parametrize("score", ["max", "reweighted", "hcw", "smooth_max", "top_fraction"])
def test_image_scores_differ(score):
    others = [s for s in ("max", "reweighted", "hcw", "smooth_max", "top_fraction") if s != score]
    assert all(outcome(image_score=score) != outcome(image_score=o) for o in others)


def test_a_bank_of_everything_is_no_coreset():
    every = PatchCore(**{**BASE, "selection": "all"}).fit(PHOTOGRAPHS)
    rows = len(every.members[0].model.bank)
    greedy = PatchCore(**{**BASE, "bank_rows": rows}).fit(PHOTOGRAPHS)
    ours, theirs = (d.predict(part(50, defect=7)) for d in (every, greedy))
    np.testing.assert_array_equal(ours.anomaly_map, theirs.anomaly_map)
    assert ours.score == theirs.score


@pytest.mark.parametrize("score", ["max", "reweighted", "hcw", "smooth_max", "top_fraction"])
def test_leaving_out_costs_nothing_and_changes_nothing(score, monkeypatch):
    """Distances that fall out of the selection equal those of a search without the image."""
    from patchbank.methods.memory_bank import BankModel

    recipe = PatchCore(**{**BASE, "image_score": score})
    known = recipe.fit(PHOTOGRAPHS).calibration
    original = BankModel.score_left_out
    monkeypatch.setattr(
        BankModel,
        "score_left_out",
        lambda self, embedding, image, nearest: original(self, embedding, image),
    )
    searched = recipe.fit(PHOTOGRAPHS).calibration
    np.testing.assert_allclose(known.image_scores, searched.image_scores, rtol=1e-5)
    np.testing.assert_allclose(known.map_peaks, searched.map_peaks, rtol=1e-5)


def test_by_default_nothing_is_left_to_the_seed():
    assert outcome(seed=0) == outcome(seed=1)


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
    assert PatchCore.preset("official", selection="greedy").start == "starting_points"
    with pytest.raises(
        ParameterError,
        match="preset: expected one of fast, balanced, accurate, few-shot, official, hcw, anomalib",
    ):
        PatchCore.preset("best")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"patch_size": 4}, "patch_size: expected an odd number, got 4"),
        ({"patch_size": 0}, "patch_size: expected a whole number, 1 or more, got 0"),
        ({"patch_stride": 1.5}, "patch_stride: expected a whole number"),
        ({"coreset": 0.0}, "coreset: expected more than 0 and at most 1, got 0.0"),
        ({"coreset": 1.5}, "coreset: expected more than 0 and at most 1"),
        ({"coreset": 0.1, "bank_rows": 5}, "one size of the bank, got coreset and bank_rows"),
        ({"selection": "all", "bank_rows": 5}, "'greedy' or 'random' with bank_rows, got 'all'"),
        ({"selection": "random", "covering_radius": 1.0}, "a start that is a row, got .random."),
        ({"covering_radius": -1.0}, "covering_radius: expected 0 or more"),
        ({"layer_dims": 5}, "layer_dims: expected target_dims beside it"),
        ({"image_score": "mean"}, "image_score: expected one of max, reweighted"),
        ({"top_fraction": 0}, "top_fraction: expected more than 0"),
        ({"n_reweight_neighbours": 1}, "n_reweight_neighbours: expected a whole number, 2 or more"),
        ({"n_neighbours": 0}, "n_neighbours: expected a whole number, 1 or more"),
        ({"metric": "cosine"}, "metric: expected one of euclidean, squared"),
        ({"index": "kd"}, "index: expected one of exact, hnsw, ivf"),
        ({"start": "end"}, "start: expected one of mean, random, first, farthest"),
        ({"selection": "some"}, "selection: expected one of greedy, random, all"),
        ({"resize": "crop"}, "resize: expected one of area, short_side, squash"),
        ({"resize": "squash", "image_size": (96, 128)}, "resize: expected 'area'"),
        ({"resampling": "box"}, "resampling: expected one of bilinear, bicubic, lanczos"),
        ({"crop": 5}, "crop: expected a side, or height and width"),
        ({"map_interpolation": "cubic"}, "map_interpolation: expected one of"),
        ({"map_border": "wrap"}, "map_border: expected one of reflect, mirror"),
        ({"normalise_score": 1}, "normalise_score: expected true or false"),
        ({"alignment": "area"}, "alignment: expected one of bilinear, nearest"),
        ({"projection": "pca"}, "projection: expected one of none, gaussian"),
        ({"projection_dims": 8}, "projection_dims: expected projection beside it"),
        ({"n_starting_points": 0}, "n_starting_points: expected a whole number"),
        ({"start": "starting_points", "covering_radius": 1.0}, "a start that is a row"),
        ({"selection": "all", "projection": "sparse"}, "projection: expected with selection"),
        ({"selection": "random", "start": "random"}, "start: expected with selection 'greedy'"),
        ({"coreset": "half"}, "coreset: expected a number, got 'half'"),
        ({"false_alarm_rate": "0.1"}, "false_alarm_rate: expected a number"),
        ({"image_size": 10}, "image_size: expected a side"),
        ({"scales": ()}, "scales: expected"),
        ({"scales": (2.0,)}, "scales: expected numbers from 0.1 to 1"),
        ({"max_upscale": 0.5}, "max_upscale: expected 1 to 100, got 0.5"),
        ({"smoothing": -1}, "smoothing: expected 0 to 100"),
        ({"false_alarm_rate": 0}, "false_alarm_rate: expected more than 0"),
        ({"rotations": 0}, "rotations: expected a whole number, 1 or more"),
        ({"flips": "diagonal"}, "flips: expected one of none, horizontal, vertical, both"),
        ({"translations": -1}, "translations: expected a whole number, 0 or more"),
        ({"zooms": (3.0,)}, "zooms: expected factors from 0.5 to 2 but 1"),
        ({"zooms": (1.0,)}, "zooms: expected factors from 0.5 to 2 but 1"),
        ({"seed": -1}, "seed: expected a whole number, 0 or more"),
        ({"layers": ()}, "layers: expected a list of names"),
        ({"mean": (1, 2, 3)}, "mean, std: expected both or none"),
        ({"mean": (1, 2), "std": (1, 2)}, "mean: expected 3 numbers"),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(ParameterError, match=message):
        PatchCore(**wrong)


def test_a_bank_larger_than_the_patches_is_named():
    with pytest.raises(ParameterError, match=r"bank_rows: expected at most \d+ \(the patches\)"):
        PatchCore(**{**BASE, "bank_rows": 10**6}).fit(PHOTOGRAPHS)
