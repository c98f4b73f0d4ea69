"""Every method learns and scores the cells of a region of interest alone."""

import numpy as np
import pytest

from patchbank.methods import METHODS, TrainingImage
from patchbank.runtime.devices import HOST
from tests.contract.needs_torch import marks_to_fit
from tests.contract.test_methods import GOOD, GRID, fake_features, fitted_on, same
from tests.photographs import part

CELLS = np.zeros(GRID, dtype=bool)
CELLS[4:15, 6:20] = True
CELLS[8:11, 10:13] = False  # ignored
NEAR = np.zeros(GRID, dtype=bool)
"""Cells that a patch of the region sees: the next ones, and those of the coarser layer."""
for row, column in np.argwhere(CELLS):
    NEAR[max(row - 4, 0) : row + 5, max(column - 4, 0) : column + 5] = True

BUILT_IN = ("patchcore", "graphcore", "padim", "spade", "simplenet")


@pytest.fixture(params=[pytest.param(name, marks=marks_to_fit(name)) for name in BUILT_IN])
def method(request):
    return METHODS[request.param]


def settings_of(method, stride=1, **changes):
    wanted = {"patch_stride": stride, "bank_limit": 400, "steps": 100, "hidden_dims": 64}
    wanted |= {"batch_patches": 64, **changes}
    wanted["scales"] = (1.0,)  # the map of PatchCore has no other, its image score has
    known = method.settings.from_mapping({}).to_mapping()
    return method.settings.from_mapping({n: v for n, v in wanted.items() if n in known})


@pytest.fixture
def settings(method):
    return settings_of(method)


def changed(maps, cells, seed=0):
    """The maps with other features where no cell is in `cells`."""
    rng = np.random.default_rng(seed)
    found = []
    for layer in maps:
        down, across = (np.arange(n) * g // n for n, g in zip(layer.shape[1:], GRID, strict=True))
        kept = cells[down[:, None], across]
        noise = rng.uniform(0, 9, layer.shape).astype(np.float32)
        found.append(np.where(kept, layer, noise))
    return found


def learned(method, settings, features=GOOD, cells=CELLS):
    examples = [TrainingImage(maps, i, None, cells) for i, maps in enumerate(features)]
    return fitted_on(method, settings, examples)


def test_every_built_in_method_takes_a_region(method):
    assert method.takes_interest


def test_patches_outside_get_0_and_those_inside_a_score(method, settings):
    fit = learned(method, settings)
    for scored in (*fit.left_out, fit.model.score(fake_features(part(50, defect=9)), CELLS)):
        assert scored.patch_scores.shape == GRID
        assert scored.patch_scores.dtype == np.float32
        assert (scored.patch_scores[~CELLS] == 0).all()
        assert (scored.patch_scores[CELLS] > 0).mean() > 0.9


def test_what_is_outside_is_not_learned_and_not_scored(method, settings):
    image = fake_features(part(50, defect=9))
    there = learned(method, settings)
    elsewhere = learned(method, settings, [changed(m, NEAR, i) for i, m in enumerate(GOOD)])
    assert all(same(a, b) for a, b in zip(there.left_out, elsewhere.left_out, strict=True))
    expected = there.model.score(image, CELLS)
    assert same(expected, elsewhere.model.score(image, CELLS))
    assert same(expected, there.model.score(changed(image, NEAR, 99), CELLS))
    assert expected.image_score > 0


def test_the_image_score_is_that_of_the_patches_inside(method, settings):
    scored = learned(method, settings).model.score(fake_features(part(50, defect=9)), CELLS)
    inside = np.sort(scored.patch_scores[CELLS])
    count = max(1, round(settings.top_fraction * len(inside)))
    assert scored.image_score == pytest.approx(inside[-count:].mean(), rel=1e-6)


def test_a_defect_inside_is_found_there_and_one_outside_is_not(method, settings):
    model = learned(method, settings).model
    good = fake_features(part(50))

    def stained(row, column):
        maps = [m.copy() for m in good]
        for layer, scale in zip(maps, (1, 2), strict=True):
            layer[:, row // scale, column // scale] += 3
        return maps

    inside = model.score(stained(6, 8), CELLS)
    row, column = np.unravel_index(inside.patch_scores.argmax(), GRID)
    assert abs(row - 6) <= 2
    assert abs(column - 8) <= 2
    assert inside.image_score > 1.5 * model.score(good, CELLS).image_score
    if method.name != "spade":  # which compares all of a coarser cell that the region touches
        assert same(model.score(stained(17, 25), CELLS), model.score(good, CELLS))


def test_all_cells_are_the_same_as_none_named(method, settings):
    everything = np.ones(GRID, dtype=bool)
    one, two = learned(method, settings, cells=None), learned(method, settings, cells=everything)
    image = fake_features(part(50, defect=9))
    expected = one.model.score(image)
    for found in (two.model.score(image, everything), two.model.score(image)):
        np.testing.assert_allclose(found.patch_scores, expected.patch_scores, rtol=1e-4, atol=1e-5)
        assert found.image_score == pytest.approx(expected.image_score, rel=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_model_that_was_saved_scores_the_same_cells(method, stride):
    settings = settings_of(method, stride)
    model = learned(method, settings).model
    image = fake_features(part(50, defect=9))
    expected = model.score(image, CELLS)
    restored = method.restore(settings, model.tensors(), HOST).score(image, CELLS)
    assert same(expected, restored)
    own = CELLS[:: expected.stride, :: expected.stride]
    assert (expected.patch_scores[~own] == 0).all()
    assert expected.patch_scores[own].max() > 0


@pytest.mark.parametrize("kind", ["max", "smooth_max", "top_fraction"])
def test_every_image_score_is_that_of_the_region(method, kind):
    settings = settings_of(method, image_score=kind)
    model = learned(method, settings).model
    image = fake_features(part(50, defect=9))
    spoilt = changed(image, NEAR, 99)
    assert same(model.score(image, CELLS), model.score(spoilt, CELLS))
    assert model.score(image, CELLS).image_score > 0


def test_a_single_cell_is_enough(method, settings):
    cells = np.zeros(GRID, dtype=bool)
    cells[6, 8] = True
    fit = learned(method, settings, cells=cells)
    scored = fit.model.score(fake_features(part(50, defect=9)), cells)
    assert np.flatnonzero(scored.patch_scores).tolist() in ([6 * 26 + 8], [])
    assert scored.image_score == pytest.approx(float(scored.patch_scores[6, 8]), rel=1e-6)
    assert len(fit.left_out) == len(GOOD)


def test_a_copy_is_learned_where_it_shows_the_region(method, settings):
    turned = CELLS[::-1, ::-1]
    inside = np.ones(GRID, dtype=bool)
    inside[:, :3] = False

    def examples(outside_seed):
        for number, maps in enumerate(GOOD):
            yield TrainingImage(maps, number, None, CELLS)
            copy = [np.ascontiguousarray(m[:, ::-1, ::-1]) for m in maps]
            if outside_seed:
                copy = changed(copy, NEAR[::-1, ::-1], outside_seed + number)
            yield TrainingImage(copy, number, inside, turned)

    one, two = (fitted_on(method, settings, list(examples(seed))) for seed in (0, 7))
    image = fake_features(part(50, defect=9))
    assert same(one.model.score(image, CELLS), two.model.score(image, CELLS))
