"""Each setting of SPADE changes something, and wrong ones are named."""

from dataclasses import fields

import numpy as np
import pytest

from patchbank import ParameterError
from patchbank.methods import METHODS, SpadeSettings
from patchbank.methods.base import TrainingImage
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from tests.contract import settings_of_all
from tests.contract.settings_of_all import told
from tests.unit.test_backbones import write_onnx

BASE = {
    "backbone": "efficientnet_lite0",
    "image_size": 96,
    "top_fraction": 0.1,
    "n_images": 3,
}
ONE_LAYER = np.ones((3, 4, 6), np.float32)
EVERY = {"n_images": 50}  # copies may be unlike any photograph, and then are not looked at
# setting -> settings that it needs beside it, a value that differs from the default
CHANGES = {
    **settings_of_all.CHANGES,
    "scales": ({}, (1.0, 0.5)),
    "resize": ({}, "squash"),
    "rotations": (EVERY, 2),
    "flips": (EVERY, "horizontal"),
    "translations": (EVERY, 1),
    "zooms": (EVERY, (1.2,)),
    "max_upscale": ({"image_size": 320}, 4.0),
    "n_images": ({}, 1),
    "n_neighbours": ({}, 3),
    "fusion": ({}, "concatenate"),
    "pool_deepest_only": ({}, True),
}

# Five images resolve no rate below 1/6; the remark is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


def outcome(**settings):
    """Everything that a fit and an inspection tell."""
    return told(METHODS["spade"], SpadeSettings(**{**BASE, **settings}))


@pytest.mark.parametrize("name", CHANGES)
def test_each_setting_changes_something(name):
    beside, value = CHANGES[name]
    assert outcome(**beside) != outcome(**{**beside, name: value})


def test_normalisation_changes_something(tmp_path):
    path = write_onnx(tmp_path / "small.onnx")
    half = {"backbone": path, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    assert outcome(**half) != outcome(**{**half, "mean": (0.1, 0.5, 0.9)})


def test_every_setting_is_covered_here():
    """But the seed: nothing is random here; it is kept for what all methods share."""
    covered = {*CHANGES, "mean", "std", "weights", "seed"}
    assert {f.name for f in fields(SpadeSettings)} == covered


def test_nothing_is_left_to_the_seed():
    assert outcome(seed=0) == outcome(seed=1)


def test_image_scores_differ():
    kinds = ("pooled", "max", "smooth_max", "top_fraction")
    assert len({outcome(image_score=kind)[0] for kind in kinds}) == 4


def test_more_photographs_than_there_are_is_all_of_them():
    assert outcome(n_images=5) == outcome(n_images=500)
    assert outcome(n_neighbours=10**6)[0] > outcome()[0]


def test_a_layer_apart_needs_another():
    message = "pool_deepest_only: expected at least two layers"
    with pytest.raises(ParameterError, match=message):
        SpadeSettings(pool_deepest_only=True, layers=("blocks.2",))
    settings, examples = SpadeSettings(pool_deepest_only=True), [TrainingImage([ONE_LAYER], 0)]
    with pytest.raises(ParameterError, match=message):
        METHODS["spade"].fit(settings, examples, 1, NullProgress(), HOST)


def test_presets_are_settings():
    changed = METHODS["spade"].changed_preset
    assert SpadeSettings.from_mapping(changed("balanced", {})) == SpadeSettings()
    assert SpadeSettings.from_mapping(changed("paper", {})).fusion == "concatenate"
    sized = changed("paper", {"image_size": (96, 128), "crop": None})
    assert SpadeSettings.from_mapping(sized).resize == "area"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_images": 0}, "n_images: expected a whole number, 1 or more, got 0"),
        ({"n_neighbours": 1.5}, "n_neighbours: expected a whole number, 1 or more, got 1.5"),
        ({"fusion": "sum"}, "fusion: expected one of mean, concatenate, got 'sum'"),
        ({"pool_deepest_only": 1}, "pool_deepest_only: expected true or false, got 1"),
        (
            {"image_score": "hcw"},
            "image_score: expected one of pooled, max, smooth_max",
        ),
        ({"top_fraction": 2}, "top_fraction: expected more than 0 and at most 1, got 2"),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(ParameterError, match=message):
        SpadeSettings(**wrong)
