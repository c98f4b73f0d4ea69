"""Each setting of PaDiM changes something, and wrong ones are named."""

from dataclasses import fields

import pytest

from patchbank import ParameterError
from patchbank.methods import METHODS, PadimSettings
from patchbank.methods.padim import PRESETS
from tests.contract import settings_of_all
from tests.contract.settings_of_all import told
from tests.unit.test_backbones import write_onnx

BASE = {
    "backbone": "efficientnet_lite0",
    "image_size": 96,
    "patch_stride": 1,
    "top_fraction": 0.1,
    "dims": 40,
}
# setting -> settings that it needs beside it, a value that differs from the default
CHANGES = {
    **settings_of_all.CHANGES,
    "scales": ({}, (1.0, 0.5)),
    "resize": ({}, "area"),
    "rotations": ({}, 2),
    "flips": ({}, "horizontal"),
    "translations": ({}, 1),
    "zooms": ({}, (1.2,)),
    "max_upscale": ({"image_size": 320, "resize": "area"}, 4.0),
    "seed": ({}, 1),
    "patch_size": ({}, 1),
    "patch_stride": ({}, 2),
    "alignment": ({}, "nearest"),
    "dims": ({}, None),
    "rank": ({}, 2),
    "ridge": ({}, 0.1),
}

# Five images resolve no rate below 1/6; the remark is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


def outcome(**settings):
    """Everything that a fit and an inspection tell."""
    return told(METHODS["padim"], PadimSettings(**{**BASE, **settings}))


@pytest.mark.parametrize("name", CHANGES)
def test_each_setting_changes_something(name):
    beside, value = CHANGES[name]
    assert outcome(**beside) != outcome(**{**beside, name: value})


def test_normalisation_changes_something(tmp_path):
    path = write_onnx(tmp_path / "small.onnx")
    half = {"backbone": path, "dims": None, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    assert outcome(**half) != outcome(**{**half, "mean": (0.1, 0.5, 0.9)})


def test_every_setting_is_covered_here():
    assert {f.name for f in fields(PadimSettings)} == {*CHANGES, "mean", "std", "weights"}


def test_image_scores_differ():
    scores = [outcome(image_score=score)[0] for score in ("max", "smooth_max", "top_fraction")]
    assert len(set(scores)) == 3


def test_by_default_nothing_is_left_to_the_seed():
    assert outcome(dims=None, seed=0) == outcome(dims=None, seed=1)


def test_as_many_directions_as_the_photographs_span_are_all():
    assert outcome(rank=4) == outcome(rank=None) == outcome(rank=99)


def test_all_channels_may_be_asked_for_but_not_more():
    assert outcome(dims=152)[0] == pytest.approx(outcome(dims=None)[0], rel=1e-4)
    with pytest.raises(ParameterError, match=r"dims: expected at most 152 \(the channels"):
        outcome(dims=153)


def test_presets_are_settings():
    assert PadimSettings.from_mapping(PRESETS["balanced"]) == PadimSettings()
    changed = METHODS["padim"].changed_preset("paper", {"image_size": (96, 128), "crop": None})
    assert PadimSettings.from_mapping(changed).resize == "area"
    assert PadimSettings.from_mapping(PRESETS["paper"]).dims == 550
    assert PadimSettings(image_size=(96, 128)).resize == "area"  # these are squashed to it anyway


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dims": 0}, "dims: expected a whole number, 1 or more, got 0"),
        ({"rank": 1.5}, "rank: expected a whole number, 1 or more, got 1.5"),
        ({"ridge": 0}, "ridge: expected 1e-6 to 1e6, got 0"),
        ({"ridge": float("nan")}, "ridge: expected 1e-6 to 1e6, got nan"),
        ({"ridge": "0.1"}, "ridge: expected a number, got '0.1'"),
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
        PadimSettings(**wrong)
