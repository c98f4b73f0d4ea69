"""Every method explains patches, or says what it can: on features, without photographs."""

from dataclasses import fields

import numpy as np
import pytest

from patchbank.methods import METHODS, TrainingImage
from patchbank.methods.explaining import Comparison, Explaining, ExplainingPhotographs
from patchbank.runtime.devices import HOST
from tests.contract.needs_torch import marks_to_fit
from tests.contract.test_methods import GRID, fake_features, fitted, fitted_on, stained
from tests.photographs import part, parts

MARKED = [pytest.param(name, marks=marks_to_fit(name)) for name in METHODS]
PATCHES = np.array([(0, 0), (5, 7), (17, 25)])
ODD = fake_features(stained(50, 9))


@pytest.fixture(params=MARKED)
def method(request):
    return METHODS[request.param]


@pytest.fixture
def settings(method):
    wanted = {"patch_stride": 1, "bank_limit": 300, "steps": 200, "hidden_dims": 64}
    wanted |= {"batch_patches": 256, "n_images": 3}
    known = {field.name for field in fields(method.settings)}
    return method.settings.from_mapping({n: v for n, v in wanted.items() if n in known})


def compared(model, maps=ODD, patches=PATCHES, n_nearest=3, of_interest=None):
    return model.compare(maps, patches, n_nearest, of_interest)


def test_each_patch_is_compared_with_each_part_of_the_model(method, settings):
    model = fitted(method, settings).model
    assert isinstance(model, Explaining)
    found = compared(model)
    assert len(found) == len(PATCHES)
    names = [[each.part for each in parts_of] for parts_of in found]
    assert len(set(names[0])) == len(names[0]) >= 1
    assert names == names[:1] * len(PATCHES)
    for comparisons in found:
        for each in comparisons:
            assert isinstance(each, Comparison)
            assert np.isfinite(each.distance)
            assert each.distance >= 0
            assert each.nearest or each.remark


def test_good_patches_lie_in_the_grid_of_a_learned_photograph_and_ascend(method, settings):
    model = fitted(method, settings).model
    sources = model.sources(6)
    assert sources.shape == (6,)
    assert (sources >= 0).all()
    for comparison in (each for parts_of in compared(model) for each in parts_of):
        distances = [cell.distance for cell in comparison.nearest]
        assert distances == sorted(distances, key=lambda d: (d is None, d or 0.0))
        if distances and distances[0] is not None:
            assert comparison.distance == distances[0]
        for cell in comparison.nearest:
            assert 0 <= cell.photograph < 6
            assert sources[cell.photograph] > 0
            assert cell.copy == 0
            row, column = cell.cell
            assert 0 < row < GRID[0]
            assert 0 < column < GRID[1]


def test_an_odd_patch_is_farther_than_a_good_one(method, settings):
    model = fitted(method, settings).model
    stain = np.array([(6, 6)])  # cells of 4 pixels: the stain is around (24, 26)
    odd = compared(model, patches=stain)[0]
    good = compared(model, fake_features(part(50)), stain)[0]
    assert np.mean([each.distance for each in odd]) > np.mean([each.distance for each in good])


def test_as_many_good_patches_are_given_as_were_asked_for(method, settings):
    model = fitted(method, settings).model
    for n_nearest in (1, 2, 3):
        for each in compared(model, n_nearest=n_nearest)[1]:
            assert len(each.nearest) in (0, n_nearest)
    many = compared(model, n_nearest=10**6)[1]
    assert all(len(each.nearest) <= 6 * GRID[0] * GRID[1] for each in many)


def test_comparisons_do_not_depend_on_the_other_patches_that_are_asked_for(method, settings):
    model = fitted(method, settings).model
    together = compared(model)
    for number, patch in enumerate(PATCHES):
        [alone] = compared(model, patches=patch[None])
        for one, other in zip(alone, together[number], strict=True):
            assert one.part == other.part
            assert one.distance == pytest.approx(other.distance, rel=1e-5, abs=1e-6)
            assert [c.row for c in one.nearest] == [c.row for c in other.nearest]


def test_cells_outside_of_the_region_of_interest_are_not_among_the_good_ones(method, settings):
    inside = np.zeros(GRID, bool)
    inside[4:14, 6:20] = True
    images = [
        TrainingImage(fake_features(image), number, of_interest=inside)
        for number, image in enumerate(parts(6))
    ]
    model = fitted_on(method, settings, images).model
    patches = np.array([(5, 7), (13, 19)])
    for comparisons in compared(model, patches=patches, of_interest=inside):
        for comparison in comparisons:
            for cell in comparison.nearest:
                row, column = (int(at) for at in cell.cell)
                side = 2 if comparison.part == "plane 2" else 1  # cells of a deeper layer
                top, left = row - row % side, column - column % side
                assert inside[top : top + side, left : left + side].any()


def test_a_model_that_was_stored_explains_the_same(method, settings):
    fit = fitted(method, settings)
    again = method.restore(settings, fit.model.tensors(), HOST)
    assert compared(again) == compared(fit.model)
    assert (again.sources(6) == fit.model.sources(6)).all()


def test_only_methods_that_compare_whole_photographs_name_similar_ones(method, settings):
    model = fitted(method, settings).model
    assert isinstance(model, ExplainingPhotographs) == (method.name == "spade")
    if method.name == "spade":
        photographs, distances = model.similar(fake_features(part(2)), 4)
        assert photographs[0] == 2
        assert distances[0] == pytest.approx(0, abs=1e-6)
        assert (np.diff(distances) >= 0).all()
        assert len(set(photographs.tolist())) == 4
