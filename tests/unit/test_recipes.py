"""Recipes: the settings of a method under the name that a person imports."""

import inspect
from dataclasses import fields

import numpy as np
import pytest

from patchbank.errors import CalibrationWarning, ParameterError, PhotographWarning
from patchbank.methods import METHODS
from patchbank.training.recipes import (
    SPADE,
    Ensemble,
    GraphCore,
    PaDiM,
    PatchCore,
    Recipe,
    SimpleNet,
)
from tests.photographs import part, parts

RECIPES = {
    "patchcore": PatchCore,
    "graphcore": GraphCore,
    "padim": PaDiM,
    "spade": SPADE,
    "simplenet": SimpleNet,
}
TINY = {"backbone": "efficientnet_lite0", "image_size": 64}


def test_every_method_has_a_recipe_of_its_own_settings():
    assert set(RECIPES) == set(METHODS)
    for name, recipe in RECIPES.items():
        assert METHODS[recipe.METHOD] is METHODS[name]
        assert issubclass(recipe, METHODS[name].settings)
        assert issubclass(recipe, Recipe)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_the_defaults_of_its_settings(name):
    assert RECIPES[name]().to_mapping() == METHODS[name].settings().to_mapping()


@pytest.mark.parametrize("name", RECIPES)
def test_every_preset_of_every_method_is_a_recipe(name):
    for preset in METHODS[name].presets:
        recipe = RECIPES[name].preset(preset, seed=7)
        assert type(recipe) is RECIPES[name]
        assert recipe.seed == 7
        chosen = METHODS[name].changed_preset(preset, {"seed": 7})
        assert recipe.to_mapping() == METHODS[name].settings(**chosen).to_mapping()


@pytest.mark.parametrize("name", RECIPES)
def test_the_presets_of_a_method_differ(name):
    made = [RECIPES[name].preset(preset) for preset in METHODS[name].presets]
    assert len({str(recipe.to_mapping()) for recipe in made}) == len(made) > 1


@pytest.mark.parametrize("name", RECIPES)
def test_an_unknown_preset_is_answered_with_the_known_ones(name):
    with pytest.raises(ParameterError) as caught:
        RECIPES[name].preset("best")
    listed = ", ".join(METHODS[name].presets)
    assert str(caught.value) == f"preset: expected one of {listed}, got 'best'"


def test_a_change_that_is_no_setting_is_named_with_the_nearest_one():
    with pytest.raises(ParameterError, match="got 'sead'; did you mean 'seed'?"):
        PatchCore.preset("fast", sead=1)
    with pytest.raises(ParameterError, match="setting of SPADE, got 'coreset'"):
        SPADE.preset("balanced", coreset=0.1)


@pytest.mark.parametrize("name", RECIPES)
def test_a_keyword_that_is_no_setting_is_named_with_the_nearest_one(name):
    recipe = RECIPES[name]
    for make in (recipe, recipe().with_changes):
        with pytest.raises(ParameterError) as caught:
            make(image_sise=320)
        assert str(caught.value) == (
            f"expected a setting of {recipe.__name__}, got 'image_sise'; did you mean 'image_size'?"
        )
        with pytest.raises(ParameterError, match="it was renamed to 'max_upscale'"):
            make(largest_enlargement=2)


@pytest.mark.parametrize("name", RECIPES)
def test_the_signature_of_a_recipe_has_its_settings_with_their_defaults(name):
    parameters = inspect.signature(RECIPES[name]).parameters
    defaults = {known.name: known.default for known in fields(METHODS[name].settings)}
    assert {parameter.name: parameter.default for parameter in parameters.values()} == defaults
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


def test_members_share_the_settings_of_the_whole_detector():
    with pytest.raises(ParameterError) as caught:
        Ensemble((PatchCore(false_alarm_rate=0.2), PaDiM(false_alarm_rate=0.1)))
    assert str(caught.value) == (
        "false_alarm_rate: expected the same for all members, got [0.1, 0.2]"
    )
    with pytest.raises(ParameterError, match=r"normalise_score: expected .* got \[False, True\]"):
        Ensemble((PatchCore(), PatchCore(), PatchCore(normalise_score=True)))
    listed = Ensemble([PatchCore(), PaDiM()])
    assert isinstance(listed.recipes, tuple)
    assert hash(listed.recipes[0]) == hash(PatchCore())


def test_an_ensemble_of_nothing_is_refused():
    with pytest.raises(ParameterError) as caught:
        Ensemble(())
    assert str(caught.value) == "ensemble: expected at least one recipe, got none"


@pytest.mark.parametrize(
    "other", [parts(2)[0], PatchCore.auto(), Ensemble((PatchCore(),))], ids=["array", "auto", "own"]
)
def test_members_of_an_ensemble_are_recipes(other):
    with pytest.raises(ParameterError) as caught:
        Ensemble((PatchCore(), other))
    assert str(caught.value) == (
        "ensemble: expected recipes, which are fitted together, such as PatchCore(), "
        f"got {type(other).__name__}"
    )


def test_each_member_keeps_the_method_and_the_settings_of_its_recipe():
    recipes = PatchCore(bank_rows=20, **TINY), PaDiM(**TINY)
    with pytest.warns(CalibrationWarning, match="3 good images are too few"):
        detector = Ensemble(recipes).fit(parts(3))
    assert [member.method for member in detector.members] == ["patchcore", "padim"]
    for member, recipe in zip(detector.members, recipes, strict=True):
        assert member.settings.to_mapping() == recipe.to_mapping()


def test_images_that_suffice_warn_of_nothing():
    """Three resolve a rate of a quarter: warnings are errors here."""
    recipe = PatchCore(bank_rows=20, false_alarm_rate=0.25, **TINY)
    detector = recipe.fit(parts(3))
    assert detector.calibration.remark is None
    assert len(detector.fitted_on) == len(detector.calibration.image_scores) == 3


def test_a_photograph_that_is_clearly_unlike_the_others_is_warned_of():
    recipe = PatchCore(bank_rows=300, false_alarm_rate=0.1, **{**TINY, "image_size": 96})
    images = parts(12)
    images[7] = part(7, defect=14)
    with pytest.warns(PhotographWarning, match=r"^array 7 is unlike the others \(score ") as warned:
        recipe.fit(images)
    assert len(warned) == 1


def test_the_same_recipe_makes_the_same_detector_again():
    recipe = PatchCore(bank_rows=20, false_alarm_rate=0.25, **TINY)
    one, other = recipe.fit(parts(3)), recipe.fit(parts(3))
    np.testing.assert_array_equal(one.members[0].model.bank, other.members[0].model.bank)
    assert one.predict(part(9)).score == other.predict(part(9)).score


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"engine": "tensorrt"}, "engine"),
        ({"precision": "int4"}, "precision"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_a_machine_that_is_not_there_is_named_before_photographs_are_read(wrong, message):
    for recipe in (PatchCore(**TINY), Ensemble((PatchCore(**TINY),))):
        with pytest.raises(ParameterError, match=f"{message}: expected"):
            recipe.fit(["nowhere.png"], **wrong)
