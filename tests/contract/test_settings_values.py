"""Settings that all methods share: which values are accepted, and what they become."""

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from patchbank.errors import ParameterError
from patchbank.images.augment import Augmentation
from patchbank.methods import METHODS, PadimSettings, PatchCoreSettings, SimpleNetSettings
from patchbank.settings import MapSettings, PatchSettings, Settings, part_of, with_preset

BOUNDS = [
    ("scales", (0.1, 1), (0.0999,)),
    ("scales", (1.0,), (1.0001,)),
    ("max_upscale", 1, 0.999),
    ("max_upscale", 100, 100.1),
    ("smoothing", 0, -0.001),
    ("smoothing", 100, 100.1),
    ("false_alarm_rate", 1e-9, 0),
    ("false_alarm_rate", 0.999, 1.0),
    ("zooms", (0.5, 2), (0.4999,)),
    ("zooms", (2.0,), (2.0001,)),
    ("rotations", 1, 0),
    ("translations", 0, -1),
    ("seed", 0, -1),
    ("image_size", 32, 31),
    ("crop", 8192, 8193),
]


@pytest.mark.parametrize(("name", "inside", "outside"), BOUNDS)
def test_the_last_value_inside_is_accepted_and_the_next_refused(name, inside, outside):
    assert getattr(Settings(**{name: inside}), name) == inside
    with pytest.raises(ParameterError, match=f"^{name}: expected "):
        Settings(**{name: outside})


@pytest.mark.parametrize("name", ["rotations", "translations", "seed", "smoothing", "max_upscale"])
@pytest.mark.parametrize("wrong", [True, "1", None])
def test_neither_truth_nor_text_is_a_number(name, wrong):
    with pytest.raises(
        ParameterError, match=f"^{name}: expected .*(number|integer).* got {wrong!r}$"
    ):
        Settings(**{name: wrong})


@pytest.mark.parametrize("name", ["rotations", "translations", "seed"])
def test_a_number_that_is_counted_has_no_fraction(name):
    with pytest.raises(ParameterError, match=f"^{name}: expected an integer.* got 2.0$"):
        Settings(**{name: 2.0})


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("resize", ("area", "short_side", "squash")),
        ("resampling", ("bilinear", "bicubic", "lanczos")),
        ("flips", ("none", "horizontal", "vertical", "both")),
        ("map_interpolation", ("bilinear", "nearest")),
        ("map_border", ("reflect", "mirror")),
    ],
)
def test_a_word_that_is_no_choice_is_answered_with_the_choices(name, choices):
    for choice in choices:
        assert getattr(Settings(**{name: choice}), name) == choice
    with pytest.raises(ParameterError) as caught:
        Settings(**{name: "other"})
    assert str(caught.value) == f"{name}: expected one of {', '.join(choices)}, got 'other'"


def test_lists_of_json_become_tuples():
    made = Settings(
        layers=["a", "b"],
        mean=[0.5, 0.4, 0.3],
        std=[1, 2, 3],
        image_size=[64, 96],
        scales=[1.0],
        crop=[32, 64],
        zooms=[1.5, 2],
    )
    assert made.layers == ("a", "b")
    assert (made.mean, made.std) == ((0.5, 0.4, 0.3), (1, 2, 3))
    assert (made.image_size, made.crop, made.scales) == ((64, 96), (32, 64), (1.0,))
    assert made.zooms == (1.5, 2.0)
    assert type(made.zooms[1]) is float
    assert hash(made) == hash(made.with_changes())


def test_paths_become_text():
    made = Settings(backbone=Path("a") / "b.onnx", weights=Path("c.safetensors"))
    assert made.backbone == str(Path("a") / "b.onnx")
    assert made.weights == "c.safetensors"
    assert Settings().weights is None


def test_one_zoom_needs_no_brackets():
    assert Settings(zooms=1.5).zooms == (1.5,)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layers": "blocks.1"}, "layers: expected a list of names, or None, got 'blocks.1'"),
        ({"layers": [1]}, "layers: expected a list of names, or None, got [1]"),
        ({"layers": []}, "layers: expected a list of names, or None, got []"),
        (
            {"mean": (1, 2)},
            "mean: expected 3 numbers (red, green, blue) from -1000 to 1000, or None, got (1, 2)",
        ),
        (
            {"std": ("a", "b", "c")},
            "std: expected 3 numbers (red, green, blue) from 1e-06 to 1000, or None, "
            "got ('a', 'b', 'c')",
        ),
        ({"mean": (1, 2, 3)}, "mean, std: expected both or none of them, got one"),
        ({"std": (1, 2, 3)}, "mean, std: expected both or none of them, got one"),
        ({"scales": None}, "scales: expected numbers from 0.1 to 1, got None"),
        ({"zooms": ("1.1",)}, "zooms: expected factors from 0.5 to 2, not 1, got ('1.1',)"),
        ({"zooms": (1,)}, "zooms: expected factors from 0.5 to 2, not 1, got (1,)"),
        (
            {"image_size": (64, 96), "resize": "short_side"},
            "resize: expected 'area' where image_size gives height and width (nothing is left to "
            "decide), got 'short_side'",
        ),
        ({"normalise_score": "yes"}, "normalise_score: expected true or false, got 'yes'"),
        ({"max_upscale": 0.5}, "max_upscale: expected a number from 1 to 100, got 0.5"),
        ({"smoothing": 101}, "smoothing: expected a number from 0 to 100 pixels, got 101"),
    ],
)
def test_what_is_wrong_is_one_line(wrong, message):
    with pytest.raises(ParameterError) as caught:
        Settings(**wrong)
    assert str(caught.value) == message


def test_normalisation_is_mean_then_deviation():
    made = Settings(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert made.normalisation == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert Settings().normalisation is None


def test_copies_are_made_of_all_four_augmentations():
    made = Settings(rotations=2, flips="vertical", translations=1, zooms=(1.5,)).copies
    assert len(made) == 2 * 2 * 2 * 2
    assert made[0] == Augmentation()
    assert made[-1] == Augmentation(180.0, (-1, 1), 1.5, (0.0, 0.04))
    assert Settings().copies == (Augmentation(),)


@pytest.mark.parametrize("name", METHODS)
def test_settings_come_back_from_json_as_they_were(name):
    settings = METHODS[name].settings
    made = settings(image_size=(64, 96), crop=(32, 64), layers=("a",), zooms=(1.5,), seed=7)
    text = json.dumps(made.to_mapping())
    assert settings.from_mapping(json.loads(text)) == made
    assert settings.from_mapping({}) == settings()


def test_an_unknown_key_is_answered_with_the_nearest_setting_or_all():
    with pytest.raises(ParameterError) as caught:
        Settings.from_mapping({"smothing": 2.0})
    assert str(caught.value) == (
        "expected a setting of Settings, got 'smothing'; did you mean 'smoothing'?"
    )
    with pytest.raises(ParameterError) as caught:
        Settings.from_mapping({"xyz": 2.0})
    known = ", ".join(Settings().to_mapping())
    assert str(caught.value) == (f"expected a setting of Settings, got 'xyz'; settings are {known}")


def test_changes_leave_the_rest_and_the_original_as_they_are():
    before = Settings(smoothing=2.0, rotations=4)
    after = before.with_changes(rotations=5)
    assert (before.rotations, after.rotations, after.smoothing) == (4, 5, 2.0)
    assert before.with_changes(rotations=5).to_mapping() == after.to_mapping()
    with pytest.raises(ParameterError, match="got 'rotation'; did you mean 'rotations'?"):
        before.with_changes(rotation=5)
    with pytest.raises(ParameterError, match="rotations: expected an integer"):
        before.with_changes(rotations=0)
    with pytest.raises(FrozenInstanceError):
        before.rotations = 5


def test_what_a_changed_setting_implied_returns_to_its_default():
    pair = PadimSettings(image_size=(96, 128))
    assert pair.resize == "area"
    assert pair.with_changes(image_size=320) == PadimSettings(image_size=320)
    assert pair.with_changes(image_size=320, resize="short_side").resize == "short_side"
    assert pair.with_changes(image_size=(64, 96)) == PadimSettings(image_size=(64, 96))
    assert pair.with_changes(seed=3).resize == "area"
    side = PadimSettings(image_size=320, resize="area")
    assert side.with_changes(seed=3).resize == "area"
    assert side.with_changes(image_size=256).resize == "area"


def test_a_part_of_a_record_has_its_values_whatever_the_rule_of_the_group_says():
    record = PatchCoreSettings(image_score="reweighted", patch_size=5, top_fraction=0.5)
    part = part_of(record, PatchSettings)
    assert type(part) is PatchSettings
    assert part.to_mapping() == {
        "patch_size": 5,
        "patch_stride": 2,
        "alignment": "bilinear",
        "image_score": "reweighted",
        "top_fraction": 0.5,
    }
    assert part_of(record, MapSettings) == MapSettings()
    with pytest.raises(FrozenInstanceError):
        part.patch_size = 3


def test_no_size_of_the_bank_leaves_the_size_of_the_preset():
    method = METHODS["patchcore"]
    for name in ("bank_rows", "covering_radius"):
        assert method.settings_from("official", {name: None}).coreset == 0.1
    assert method.settings_from("official", {"coreset": None}).coreset is None
    assert method.settings_from("official", {"bank_rows": 5}).coreset is None


def test_changes_of_a_kind_of_settings_stay_of_that_kind():
    assert type(SimpleNetSettings().with_changes(seed=1)) is SimpleNetSettings


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"patch_size": 2}, "patch_size: expected an odd integer from 1 to 99, got 2"),
        ({"patch_size": 3.0}, "patch_size: expected an odd integer from 1 to 99, got 3.0"),
        ({"patch_stride": 0}, "patch_stride: expected an integer from 1 to 1000, got 0"),
        ({"alignment": "area"}, "alignment: expected one of bilinear, nearest, got 'area'"),
        (
            {"image_score": "reweighted"},
            "image_score: expected one of max, smooth_max, top_fraction, got 'reweighted'",
        ),
        ({"top_fraction": 0}, "top_fraction: expected a number, more than 0 and at most 1, got 0"),
        (
            {"top_fraction": 1.01},
            "top_fraction: expected a number, more than 0 and at most 1, got 1.01",
        ),
        ({"seed": -1}, "seed: expected an integer, 0 or more, got -1"),
    ],
)
def test_settings_of_patches_are_checked_beside_the_others(wrong, message):
    with pytest.raises(ParameterError) as caught:
        SimpleNetSettings(**wrong)
    assert str(caught.value) == message


def test_settings_of_patches_at_their_bounds_are_accepted():
    made = SimpleNetSettings(patch_size=1, patch_stride=1, top_fraction=1, image_score="max")
    assert (made.patch_size, made.patch_stride, made.top_fraction) == (1, 1, 1)


def test_a_preset_gives_way_to_changes_and_to_what_they_rule_out():
    preset = {"resize": "squash", "image_size": 256, "coreset": 0.1}

    def changed(**changes):
        return with_preset(METHODS["patchcore"].settings, preset, changes)

    assert changed(image_size=128) == {**preset, "image_size": 128}
    assert changed(image_size=[96, 128]) == {"image_size": [96, 128], "coreset": 0.1}
    assert changed(bank_rows=5) == {"resize": "squash", "image_size": 256, "bank_rows": 5}
    assert changed(coreset=0.2)["coreset"] == 0.2
    assert preset == {"resize": "squash", "image_size": 256, "coreset": 0.1}
