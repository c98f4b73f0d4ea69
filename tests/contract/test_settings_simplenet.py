"""Each setting of SimpleNet changes something, and wrong ones are named."""

from dataclasses import fields

import pytest

from patchbank import ParameterError
from patchbank.methods.simplenet import METHOD, PRESETS, SimpleNetSettings
from tests.contract import settings_of_all
from tests.contract.settings_of_all import told
from tests.unit.test_backbones import write_onnx

BASE = {
    "backbone": "efficientnet_lite0",
    "image_size": 96,
    "patch_stride": 1,
    "top_fraction": 0.1,
    "hidden_dims": 16,
    "steps": 3,
    "batch_patches": 32,
}
# setting -> settings that it needs beside it, a value that differs from the default
CHANGES = {
    **settings_of_all.CHANGES,
    "scales": ({}, (1.0,)),
    "resize": ({}, "squash"),
    "rotations": ({}, 2),
    "flips": ({}, "horizontal"),
    "translations": ({}, 1),
    "zooms": ({}, (1.2,)),
    "max_upscale": ({"image_size": 320}, 4.0),
    "seed": ({}, 1),
    "patch_size": ({}, 1),
    "patch_stride": ({}, 2),
    "alignment": ({}, "nearest"),
    "hidden_dims": ({}, 17),
    "noise_std": ({}, 1.0),
    "margin": ({}, 1.0),
    "adaptor_learning_rate": ({}, 1e-3),
    "discriminator_learning_rate": ({}, 1e-3),
    # at such a rate the networks see at once what does not serve the held-out photographs
    "schedule": ({"steps": 60, "discriminator_learning_rate": 0.9}, "early_stopping"),
    "steps": ({}, 4),
    "batch_patches": ({}, 33),
    "folds": ({}, 2),
}

# Five images resolve no rate below 1/6; the remark is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


@pytest.fixture
def outcome():
    """Everything that a fit and an inspection tell."""

    def of(**settings):
        return told(METHOD, SimpleNetSettings(**{**BASE, **settings}))

    return of


@pytest.mark.torch
@pytest.mark.parametrize("name", CHANGES)
def test_each_setting_changes_something(outcome, name):
    beside, value = CHANGES[name]
    assert outcome(**beside) != outcome(**{**beside, name: value})


@pytest.mark.torch
def test_normalisation_changes_something(outcome, tmp_path):
    path = write_onnx(tmp_path / "small.onnx")
    half = {"backbone": path, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    assert outcome(**half) != outcome(**{**half, "mean": (0.1, 0.5, 0.9)})
    assert outcome(**half) != outcome(**{**half, "std": (0.3, 0.5, 0.5)})


def test_every_setting_is_covered_here():
    assert {f.name for f in fields(SimpleNetSettings)} == {*CHANGES, "mean", "std", "weights"}


@pytest.mark.torch
def test_image_scores_differ(outcome):
    scores = [outcome(image_score=score)[0] for score in ("max", "smooth_max", "top_fraction")]
    assert len(set(scores)) == 3


def test_presets_are_settings():
    assert SimpleNetSettings.from_mapping(PRESETS["balanced"]) == SimpleNetSettings()
    changed = METHOD.changed_preset("paper", {"image_size": (96, 128), "crop": None})
    assert SimpleNetSettings.from_mapping(changed).resize == "area"
    paper = SimpleNetSettings.from_mapping(METHOD.changed_preset("paper", {}))
    assert (paper.image_size, paper.crop, paper.batch_patches) == (329, 288, 10368)
    assert METHOD.presets == tuple(PRESETS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hidden_dims": 0}, "hidden_dims: expected a whole number, 1 or more, got 0"),
        ({"steps": 0}, "steps: expected a whole number, 1 or more, got 0"),
        ({"batch_patches": 2.5}, "batch_patches: expected a whole number, 1 or more, got 2.5"),
        ({"folds": 1}, "folds: expected a whole number, 2 or more, got 1"),
        ({"noise_std": 0}, "noise_std: expected more than 0 and at most 100, got 0"),
        ({"noise_std": float("nan")}, "noise_std: expected more than 0 and at most 100, got nan"),
        ({"margin": -1}, "margin: expected more than 0 and at most 100, got -1"),
        ({"margin": "0.5"}, "margin: expected a number, got '0.5'"),
        ({"adaptor_learning_rate": 0}, "adaptor_learning_rate: expected more than 0 and at most 1"),
        ({"discriminator_learning_rate": 2}, "discriminator_learning_rate: expected more than 0"),
        ({"schedule": "best"}, "schedule: expected one of fixed, early_stopping, got 'best'"),
        (
            {"image_score": "reweighted"},
            "image_score: expected one of max, smooth_max",
        ),
        ({"patch_size": 4}, "patch_size: expected an odd number, got 4"),
        ({"top_fraction": 0}, "top_fraction: expected more than 0"),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(ParameterError, match=message):
        SimpleNetSettings(**wrong)
