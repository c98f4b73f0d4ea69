"""The estimator in scikit-learn's own machinery, on photographs that are not square."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone, is_outlier_detector
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

from patchbank import Ensemble, ImageError, PaDiM, ParameterError, PatchCore, ShapeError
from patchbank.integrations.scikit_learn import AnomalyDetector
from tests.photographs import part, save

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.CalibrationWarning")

SMALL = PatchCore(image_size=96, bank_limit=100, false_alarm_rate=0.2)
GOOD = [part(seed) for seed in range(9)]
BAD = [part(100 + seed, defect=9) for seed in range(6)]
MIXED, LABELS = GOOD + BAD, np.array([1] * 9 + [-1] * 6)
# Those that hand over tables of numbers say nothing of photographs.
CHECKS = [
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_set_params,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_estimator_tags_renamed,
    estimator_checks.check_valid_tag_types,
]


@pytest.fixture(scope="module")
def fitted():
    return AnomalyDetector(SMALL).fit(GOOD)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """-> the photographs as files."""
    folder = tmp_path_factory.mktemp("photographs")
    for number, image in enumerate(MIXED):
        save(folder / f"{number:02}.png", image)
    return [str(folder / f"{number:02}.png") for number in range(len(MIXED))]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_keeps_to_the_conventions_of_scikit_learn(check):
    check("AnomalyDetector", AnomalyDetector())


def test_scores_are_those_of_the_detector_with_the_sign_of_scikit_learn(fitted):
    seen = [fitted.detector_.predict(image) for image in MIXED]
    scores = np.array([one.score for one in seen])
    assert np.array_equal(fitted.score_samples(MIXED), -scores)
    assert np.array_equal(fitted.decision_function(MIXED), seen[0].threshold - scores)
    verdicts = [-1 if one.is_anomalous else 1 for one in seen]
    assert fitted.predict(MIXED).tolist() == verdicts
    assert verdicts[9:] == [-1] * 6
    assert is_outlier_detector(fitted)
    assert roc_auc_score(LABELS, fitted.score_samples(MIXED)) == 1


def test_a_photograph_is_anomalous_where_the_decision_function_is_negative(fitted):
    assert np.array_equal(fitted.predict(MIXED) == -1, fitted.decision_function(MIXED) < 0)


def test_labels_leave_out_the_anomalous_ones(fitted):
    again = AnomalyDetector(SMALL).fit(MIXED, LABELS)
    assert np.array_equal(again.score_samples(MIXED), fitted.score_samples(MIXED))
    assert again.detector_.calibration.threshold == fitted.detector_.calibration.threshold


def test_photographs_come_as_a_list_a_stack_an_array_of_paths_or_a_folder(fitted, paths, tmp_path):
    expected = fitted.score_samples(MIXED)
    assert np.array_equal(fitted.score_samples(np.stack(MIXED)), expected)
    assert np.array_equal(fitted.score_samples(paths), expected)
    assert np.array_equal(fitted.score_samples(np.array(paths)), expected)
    assert np.array_equal(fitted.score_samples(np.array(paths, dtype=object)), expected)
    for number, image in enumerate(GOOD):
        save(tmp_path / "good" / f"{number}.png", image)
    assert AnomalyDetector(SMALL).fit(tmp_path / "good").predict(BAD).tolist() == [-1] * 6


def test_fit_predict_is_fit_and_predict(fitted):
    assert AnomalyDetector(SMALL).fit_predict(GOOD).tolist() == fitted.predict(GOOD).tolist()
    found = AnomalyDetector(SMALL).fit_predict(iter(MIXED), LABELS)
    assert found.tolist() == fitted.predict(MIXED).tolist()
    assert found[9:].tolist() == [-1] * 6


def test_a_column_of_paths_is_read_as_the_paths(fitted, paths):
    column = np.array(paths).reshape(-1, 1)
    again = AnomalyDetector(SMALL).fit(column, LABELS)
    assert np.array_equal(again.score_samples(column), fitted.score_samples(paths))


@pytest.mark.parametrize(
    ("recipe", "found"), [(PatchCore, "the class PatchCore"), ("patchcore", "str"), (3, "int")]
)
def test_what_is_no_recipe_is_refused_by_fit(recipe, found):
    with pytest.raises(ParameterError) as raised:
        AnomalyDetector(recipe).fit(GOOD)
    assert str(raised.value) == f"recipe: expected a recipe, such as PatchCore(), got {found}"


def test_a_grid_may_have_numbers_of_numpy():
    grid = {"recipe__bank_limit": np.array([60, 100]), "recipe__image_size": [np.int32(96)]}
    search = GridSearchCV(AnomalyDetector(SMALL), grid, cv=StratifiedKFold(2), scoring="roc_auc")
    search.fit(MIXED, LABELS)
    assert search.best_params_["recipe__bank_limit"] in (60, 100)


def test_settings_of_the_recipe_are_parameters():
    estimator = AnomalyDetector(SMALL)
    assert estimator.get_params(deep=False) == {"recipe": SMALL}
    assert estimator.get_params()["recipe__bank_limit"] == 100
    changed = clone(estimator).set_params(recipe__image_size=128)
    assert changed.recipe == PatchCore(image_size=128, bank_limit=100, false_alarm_rate=0.2)
    assert estimator.recipe == SMALL
    assert AnomalyDetector().set_params(recipe__seed=3).recipe == PatchCore(seed=3)
    other = AnomalyDetector(SMALL).set_params(recipe=PaDiM(), recipe__seed=4)
    assert other.recipe == PaDiM(seed=4)


def test_a_recipe_without_settings_of_its_own_is_one_parameter():
    ensemble = Ensemble((SMALL, PaDiM(false_alarm_rate=0.2)))
    assert AnomalyDetector(ensemble).get_params() == {"recipe": ensemble}
    with pytest.raises(ValueError, match="recipe__seed: expected one of recipe, got"):
        AnomalyDetector(ensemble).set_params(recipe__seed=1)


def test_a_wrong_parameter_is_refused_and_changes_nothing():
    estimator = AnomalyDetector(SMALL)
    with pytest.raises(ValueError, match="recipe__imagesize: expected one of recipe"):
        estimator.set_params(recipe__imagesize=96)
    with pytest.raises(ParameterError, match="bank_limit"):
        estimator.set_params(recipe__bank_limit=-1)
    assert estimator.recipe == SMALL


def test_clone_has_the_recipe_and_not_the_detector(fitted):
    copy = clone(fitted)
    assert copy.recipe == SMALL
    with pytest.raises(NotFittedError):
        copy.predict(GOOD)
    with pytest.raises(NotFittedError):
        _ = copy.offset_


def test_a_pipeline_crops_and_inspects():
    crop = FunctionTransformer(lambda stack: stack[:, :, 8:-16])
    pipeline = Pipeline([("crop", crop), ("detector", AnomalyDetector(SMALL))])
    pipeline.fit(np.stack(GOOD))
    cropped = [np.ascontiguousarray(image[:, 8:-16]) for image in MIXED]
    direct = AnomalyDetector(SMALL).fit(cropped[:9])
    assert np.array_equal(pipeline.score_samples(np.stack(MIXED)), direct.score_samples(cropped))
    assert pipeline.predict(np.stack(BAD)).tolist() == [-1] * 6
    pipeline.set_params(detector__recipe__seed=5)
    assert pipeline.named_steps["detector"].recipe.seed == 5


@pytest.mark.parametrize("form", ["arrays", "paths"])
def test_cross_validation_learns_the_good_of_each_fold_and_scores_all(form, paths):
    photographs = np.stack(MIXED) if form == "arrays" else paths
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    scores = cross_val_score(
        AnomalyDetector(SMALL), photographs, LABELS, cv=folds, scoring="roc_auc"
    )
    assert scores.tolist() == [1.0, 1.0, 1.0]


def test_predictions_across_folds_are_those_of_detectors_that_did_not_see_them():
    folds = [(np.r_[0:6, 9:12], np.r_[6:9, 12:15]), (np.r_[6:9, 12:15], np.r_[0:6, 9:12])]
    found = cross_val_predict(
        AnomalyDetector(SMALL), np.stack(MIXED), LABELS, cv=folds, method="predict"
    )
    for train, test in folds:
        good = [MIXED[i] for i in train if LABELS[i] == 1]
        expected = AnomalyDetector(SMALL).fit(good).predict([MIXED[i] for i in test])
        assert np.array_equal(found[test], expected)


def test_a_grid_search_tries_settings_and_keeps_the_best():
    grid = {"recipe__image_size": [64, 96], "recipe__bank_limit": [50]}
    search = GridSearchCV(
        AnomalyDetector(SMALL), grid, cv=StratifiedKFold(3), scoring="roc_auc", error_score="raise"
    )
    search.fit(np.stack(MIXED), LABELS)
    assert search.best_score_ == 1
    assert search.best_estimator_.recipe.bank_limit == 50
    assert search.best_estimator_.recipe.false_alarm_rate == 0.2
    assert search.predict(np.stack(BAD)).tolist() == [-1] * 6


def test_a_fitted_one_is_pickled_and_copied(fitted):
    copy = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(copy.score_samples(MIXED), fitted.score_samples(MIXED))


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"y: expected 9 labels .* got 2 of \['-1', '1'\]"):
        AnomalyDetector(SMALL).fit(GOOD, [1, -1])
    with pytest.raises(ShapeError, match=r"got 9 of \['0', '1'\]"):
        AnomalyDetector(SMALL).fit(GOOD, [0, 1, 1, 1, 1, 1, 1, 1, 1])
    with pytest.raises(ShapeError, match="got them for a folder"):
        AnomalyDetector(SMALL).fit("bolts/train/good", [1])


def test_a_photograph_that_cannot_be_read_has_no_score(fitted, paths, tmp_path):
    (tmp_path / "cut.png").write_bytes(Path(paths[0]).read_bytes()[:200])
    with pytest.raises(ImageError, match="cut.png"):
        fitted.predict([paths[0], str(tmp_path / "cut.png")])
