"""The contract of methods that learn further photographs, on the features of a fake backbone."""

from dataclasses import fields

import numpy as np
import pytest

from patchbank.errors import ShapeError
from patchbank.methods import METHODS, TrainingImage
from patchbank.methods.continuation import Continuation
from patchbank.methods.remembering import Remembering
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from tests.contract.test_methods import GRID, fake_features, fitted, fitted_on, same, stained
from tests.photographs import part, parts

GOOD = [fake_features(image) for image in parts(9)]
OLD, NEW = GOOD[:6], GOOD[6:]
CONTINUED = [name for name in METHODS if METHODS[name].continued is not None]


@pytest.fixture(params=CONTINUED)
def method(request):
    return METHODS[request.param]


@pytest.fixture
def settings(method):
    known = {field.name for field in fields(method.settings)}
    wanted = {"patch_stride": 1, "bank_limit": 400}
    return method.settings.from_mapping({n: v for n, v in wanted.items() if n in known})


def asked(n_images, **changes):
    return Continuation(n_images, len(OLD), **changes)


def continued(method, model, features=NEW, groups=None, **changes):
    learner = method.continued(model, asked(len(features), **changes), NullProgress(), HOST)
    for number, maps in enumerate(features):
        learner.add(TrainingImage(maps, number))
    return learner.fit(groups)


def trials(method, model, maps, **changes):
    """(scores, model) after efforts 1, 2, 4, ..."""
    learner = method.normal(model, asked(1, **changes), HOST)
    learner.add(TrainingImage(maps, 0))
    assert same(learner.learned(0).scores, model.score(maps))
    assert learner.learned(0).model is model
    found, effort = [], 1
    while (trial := learner.learned(effort)) is not None:
        found.append((trial.scores, trial.model))
        effort *= 2
    return found


def test_only_simplenet_has_to_be_fitted_anew():
    assert [name for name in METHODS if METHODS[name].continued is None] == ["simplenet"]
    assert [name for name in METHODS if METHODS[name].normal is None] == ["simplenet"]


def test_new_photographs_score_lower_once_they_are_learned(method, settings):
    before = fitted(method, settings, OLD).model
    fit = continued(method, before)
    assert len(fit.left_out) == len(NEW)
    for maps, left_out in zip(NEW, fit.left_out, strict=True):
        assert left_out.patch_scores.shape == GRID
        assert fit.model.score(maps).image_score <= before.score(maps).image_score
        assert fit.model.score(maps).image_score < left_out.image_score


def test_a_photograph_is_left_out_as_if_it_had_not_been_added(method, settings):
    """With one new photograph, leaving it out leaves the model that was there before."""
    before = fitted(method, settings, OLD).model
    fit = continued(method, before, NEW[:1])
    expected = before.score(NEW[0])
    assert fit.left_out[0].image_score == pytest.approx(expected.image_score, rel=1e-4)
    np.testing.assert_allclose(
        fit.left_out[0].patch_scores, expected.patch_scores, rtol=1e-3, atol=1e-4
    )


def test_photographs_of_one_group_do_not_know_each_other(method, settings):
    before = fitted(method, settings, OLD).model
    twice = [fake_features(stained(40, 6))] * 2
    expected = before.score(twice[0]).image_score
    together = continued(method, before, twice, groups=np.array([0, 0]))
    alone = continued(method, before, twice)
    assert together.left_out[1].image_score == pytest.approx(expected, rel=1e-4)
    assert alone.left_out[1].image_score < 0.9 * expected


def test_the_model_that_was_there_is_left_as_it_was(method, settings):
    before = fitted(method, settings, OLD).model
    tensors = {name: tensor.copy() for name, tensor in before.tensors().items()}
    continued(method, before)
    trials(method, before, NEW[0])
    for name, tensor in before.tensors().items():
        assert (tensor == tensors[name]).all()


def test_what_was_continued_is_restored_from_its_tensors(method, settings):
    model = continued(method, fitted(method, settings, OLD).model).model
    restored = method.restore(settings, model.tensors(), HOST)
    image = fake_features(stained(50, 5))
    assert same(model.score(image), restored.score(image))
    again = continued(method, restored, [fake_features(part(30))], most_rows=500)
    assert np.isfinite(again.left_out[0].image_score)


def test_a_defect_is_still_one(method, settings):
    before = fitted(method, settings, OLD).model
    after = continued(method, before).model
    image = fake_features(stained(50, 8))
    assert after.score(image).image_score > 0.8 * before.score(image).image_score


def test_a_photograph_said_to_be_normal_scores_lower_with_more_effort(method, settings):
    before = fitted(method, settings, OLD).model
    flagged = fake_features(stained(50, 6))
    found = trials(method, before, flagged)
    scores = [before.score(flagged).image_score, *(one.image_score for one, _ in found)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 0.7 * scores[0]
    for said, model in found:
        assert model.score(flagged).image_score == pytest.approx(said.image_score, abs=1e-4)


def test_of_a_region_said_to_be_normal_nothing_else_is_learned(method, settings):
    """Two stains: one is normal, the other stays a defect."""
    image = stained(50, 6)
    image[50:62, 70:82] = (0, 0, 255) if method.name == "padim" else (0, 255, 0)
    before = fitted(method, settings, OLD).model
    maps = fake_features(image)
    cells = np.zeros(GRID, dtype=bool)
    cells[3:9, 3:11] = True
    said, _ = trials(method, before, maps, cells=cells)[-1]
    old = before.score(maps).patch_scores
    assert said.patch_scores[4:8, 5:9].max() < 0.75 * old[4:8, 5:9].max()
    assert said.patch_scores[13:15, 18:20].max() > 0.9 * old[13:15, 18:20].max()


def test_features_of_another_backbone_are_refused(method, settings):
    before = fitted(method, settings, OLD).model
    with pytest.raises((ShapeError, ValueError)):
        continued(method, before, [[m[:-1] for m in NEW[0]]])


def test_padim_learns_what_a_fit_on_all_photographs_learns():
    method = METHODS["padim"]
    settings = method.settings.from_mapping({"patch_stride": 1})
    inside = np.ones(GRID, dtype=bool)
    inside[:, :5] = False

    def examples(features):
        return [
            TrainingImage(m, number, mask)
            for number, maps in enumerate(features)
            for m, mask in ((maps, None), ([np.flip(one, 2).copy() for one in maps], inside))
        ]

    whole = fitted_on(method, settings, examples(GOOD))
    before = fitted_on(method, settings, examples(OLD)).model
    learner = method.continued(before, asked(6, n_copies=2), NullProgress(), HOST)
    for example in examples(NEW):
        learner.add(example)
    fit = learner.fit()
    np.testing.assert_array_equal(fit.model.counts, whole.model.counts)
    for image in (part(50), stained(50, 6)):
        one, two = (m.score(fake_features(image)) for m in (fit.model, whole.model))
        np.testing.assert_allclose(one.patch_scores, two.patch_scores, rtol=2e-3)
    for one, two in zip(fit.left_out, whole.left_out[6:], strict=True):
        np.testing.assert_allclose(one.patch_scores, two.patch_scores, rtol=2e-3, atol=1e-3)


def test_spade_learns_what_a_fit_on_all_photographs_learns():
    method = METHODS["spade"]
    settings = method.settings.from_mapping({})
    fit = continued(method, fitted(method, settings, OLD).model)
    whole = fitted(method, settings, GOOD)
    image = fake_features(stained(50, 6))
    assert same(fit.model.score(image), whole.model.score(image))
    assert all(same(a, b) for a, b in zip(fit.left_out, whole.left_out[6:], strict=True))


def test_patches_have_the_scores_of_their_features_alone(method, settings):
    model = fitted(method, settings, OLD).model
    if not isinstance(model, Remembering):
        assert method.name == "spade"
        return
    maps = fake_features(stained(50, 9))
    scores = model.score(maps)
    places = np.array([(0, 0), (3, 5), (GRID[0] - 1, GRID[1] - 1)])
    features = model.patch_features(maps, places)
    assert features.shape == (3, model.n_features)
    whole = scores.patch_scores if scores.decisive is None else scores.decisive
    expected = whole[places[:, 0], places[:, 1]]
    np.testing.assert_allclose(model.scores_of(features, places, GRID), expected, rtol=1e-4)
