"""The contract that every entry of METHODS keeps, checked on the features of a fake backbone."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import pytest

from patchbank.errors import DataError, PatchbankError, ShapeError
from patchbank.methods import METHODS, TrainingImage
from patchbank.runtime.devices import HOST
from tests.contract.needs_torch import marks_to_fit, needs_torch_to_fit
from tests.fitting import fit_on_features
from tests.photographs import part, parts


def fake_features(image):
    """Two layers at strides 4 and 8: local means and contrasts of the three colours."""
    maps = []
    for stride in (4, 8):
        h, w = image.shape[0] // stride, image.shape[1] // stride
        blocks = image[: h * stride, : w * stride].astype(np.float32) / 255
        blocks = blocks.reshape(h, stride, w, stride, 3)
        maps.append(np.concatenate([blocks.mean((1, 3)), blocks.std((1, 3))], axis=2))
    return [np.ascontiguousarray(m.transpose(2, 0, 1)) for m in maps]  # (6, h, w) each


def stained(seed, radius):
    """A part with a blue stain: no good part is of that colour, brighter or darker."""
    image = part(seed).copy()
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    image[np.hypot(y - image.shape[0] / 3, x - image.shape[1] / 4) < radius] = (0, 0, 255)
    return image


MARKED = [pytest.param(name, marks=marks_to_fit(name)) for name in METHODS]


@pytest.fixture(params=MARKED)
def method(request):
    return METHODS[request.param]


@pytest.fixture
def settings(method):
    """Those with which the method scores every cell of the first layer, and is quick."""
    wanted = {"patch_stride": 1, "bank_limit": 400, "steps": 400, "hidden_dims": 128}
    wanted |= {"batch_patches": 256}
    known = {field.name for field in fields(method.settings)}
    return method.settings.from_mapping({n: v for n, v in wanted.items() if n in known})


GOOD = [fake_features(image) for image in parts(6)]
GRID = (18, 26)


def fitted(method, settings, features=GOOD):
    return fitted_on(method, settings, [TrainingImage(maps, i) for i, maps in enumerate(features)])


def fitted_on(method, settings, examples, groups=None):
    return fit_on_features(method, settings, iter(examples), len(examples), groups=groups)


def same(a, b):
    return a.image_score == b.image_score and (a.patch_scores == b.patch_scores).all()


def test_scores_are_finite_and_of_the_promised_shape(method, settings):
    fit = fitted(method, settings)
    assert len(fit.left_out) == len(GOOD)
    for scored in (*fit.left_out, fit.model.score(fake_features(stained(50, 9)))):
        assert scored.patch_scores.shape == GRID
        assert scored.patch_scores.dtype == np.float32
        assert np.isfinite(scored.patch_scores).all()
        assert np.isfinite(scored.image_score)
        assert isinstance(scored.image_score, float)


def test_the_same_seed_gives_the_same_bits(method, settings):
    one, two = fitted(method, settings), fitted(method, settings)
    image = fake_features(part(50))
    assert same(one.model.score(image), two.model.score(image))
    assert all(same(a, b) for a, b in zip(one.left_out, two.left_out, strict=True))


def test_fitting_anew_forgets(method, settings):
    image = fake_features(part(50))
    before = fitted(method, settings).model.score(image)
    fitted(method, settings, [fake_features(stained(i, 9)) for i in range(4)])
    assert same(before, fitted(method, settings).model.score(image))


def test_scores_do_not_depend_on_what_was_scored_before(method, settings):
    model = fitted(method, settings).model
    images = [fake_features(stained(seed, seed % 2 * 8)) for seed in range(50, 54)]
    forward = [model.score(image) for image in images]
    backward = [model.score(image) for image in reversed(images)][::-1]
    assert all(same(a, b) for a, b in zip(forward, backward, strict=True))


def test_several_threads_score_as_one_does(method, settings):
    images = [fake_features(stained(seed, seed % 3 * 4)) for seed in range(50, 58)]
    tensors = fitted(method, settings).model.tensors()
    alone = method.restore(settings, tensors, HOST)
    expected = [alone.score(image) for image in images]
    shared = method.restore(settings, tensors, HOST)  # which has scored nothing yet
    with ThreadPoolExecutor(len(images)) as pool:
        found = list(pool.map(shared.score, images))
    assert all(same(a, b) for a, b in zip(expected, found, strict=True))


def test_a_larger_defect_never_scores_lower(method, settings):
    model = fitted(method, settings).model
    scores = [model.score(fake_features(stained(50, r))).image_score for r in (0, 2, 4, 6, 8)]
    assert scores == sorted(scores)
    assert scores[-1] > 1.5 * scores[0]


def test_the_worst_patch_lies_on_the_defect(method, settings):
    grid = fitted(method, settings).model.score(fake_features(stained(50, 8))).patch_scores
    row, column = np.unravel_index(grid.argmax(), grid.shape)
    assert abs(row - GRID[0] / 3) <= 3
    assert abs(column - GRID[1] / 4) <= 3


def test_features_are_left_as_they_were(method, settings):
    copies = [[m.copy() for m in maps] for maps in GOOD]
    fitted(method, settings).model.score(GOOD[0])
    for maps, before in zip(GOOD, copies, strict=True):
        assert all((a == b).all() for a, b in zip(maps, before, strict=True))


def test_a_good_image_left_out_scores_higher_than_when_it_was_learned(method, settings):
    fit = fitted(method, settings)
    learned = [fit.model.score(image).image_score for image in GOOD]
    # A network that torch trains does not store its photographs; a bank does.
    share = 0.9 if needs_torch_to_fit(method) else 1.0
    assert np.mean([s.image_score for s in fit.left_out]) > share * np.mean(learned)


def test_tensors_restore_the_model(method, settings):
    model = fitted(method, settings).model
    tensors = {name: tensor.copy() for name, tensor in model.tensors().items()}
    image = fake_features(stained(50, 5))
    assert same(model.score(image), method.restore(settings, tensors, HOST).score(image))


def test_images_of_several_shapes_are_learned_and_scored(method, settings):
    shapes = [(72, 104), (104, 72), (64, 64), (80, 120)]
    features = [fake_features(part(i, size=size)) for i, size in enumerate(shapes)]
    model = fitted(method, settings, features).model
    assert model.score(fake_features(part(9, size=(96, 64)))).patch_scores.shape == (24, 16)


def test_features_that_are_not_finite_never_pass_for_normal(method, settings):
    broken = [m.copy() for m in GOOD[0]]
    broken[1][0, 2, 3] = np.nan
    with pytest.raises(ShapeError, match="finite"):
        fitted(method, settings).model.score(broken)
    with pytest.raises(ShapeError, match="finite"):
        fitted(method, settings, [*GOOD, broken])


def test_features_of_another_backbone_are_refused(method, settings):
    model = fitted(method, settings).model
    with pytest.raises(ShapeError, match="expected"):
        model.score([m[:-1] for m in GOOD[0]])


def test_nothing_to_learn_from_is_an_error(method, settings):
    with pytest.raises(DataError, match="got none"):
        fitted(method, settings, [])


def test_one_photograph_alone_is_learned_but_nothing_can_be_left_out(method, settings):
    fit = fitted(method, settings, GOOD[:1])
    assert fit.left_out == ()
    image, broken = fake_features(part(50)), fake_features(stained(50, 9))
    assert fit.model.score(broken).image_score > fit.model.score(image).image_score


def with_copies(features, inside):
    """Each photograph and a copy of it, whose cells outside hold nonsense."""
    examples = []
    for number, maps in enumerate(features):
        copy = [np.ascontiguousarray(m[:, :, ::-1]) for m in maps]
        for m in copy:
            h, w = m.shape[1:]
            m[:, ~inside[:: GRID[0] // h, :: GRID[1] // w]] = 4.0
        examples += [TrainingImage(maps, number), TrainingImage(copy, number, inside)]
    return examples


def test_cells_outside_a_copy_are_not_learned(method, settings):
    """Nonsense that shows nothing of a photograph must not become what is normal."""
    inside = np.ones(GRID, dtype=bool)
    inside[:6] = False
    model = fitted_on(method, settings, with_copies(GOOD, inside)).model
    nonsense = [m.copy() for m in GOOD[0]]
    for m in nonsense:
        m[:, : m.shape[1] // 3] = 4.0
    scores = model.score(nonsense).patch_scores
    assert scores[1:4].min() > 2 * model.score(GOOD[0]).patch_scores.max()


def test_copies_leave_with_their_photograph(method, settings):
    """A photograph whose copy stays in would find itself there, and score nothing."""
    rng = np.random.default_rng(0)
    unlike = [
        [rng.normal(size=(6, h, w)).astype(np.float32) for h, w in ((6, 9), (3, 5))]
        for _ in range(3)
    ]
    examples = [
        TrainingImage([m + np.float32(shift) for m in maps], number, inside)
        for number, maps in enumerate(unlike)
        for shift, inside in ((0, None), (1e-3, np.ones((6, 9), dtype=bool)))
    ]
    alone, doubled = fitted(method, settings, unlike), fitted_on(method, settings, examples)
    assert len(doubled.left_out) == len(unlike)
    for one, two in zip(alone.left_out, doubled.left_out, strict=True):
        assert two.image_score > 0.5 * one.image_score


def test_photographs_of_a_group_leave_together(method, settings):
    """A photograph whose twin stays in would find itself there, and score nothing."""
    rng = np.random.default_rng(0)
    unlike = [
        [rng.normal(size=(6, h, w)).astype(np.float32) for h, w in ((6, 9), (3, 5))]
        for _ in range(3)
    ]
    alone = fitted(method, settings, unlike)
    twins = [
        TrainingImage([m + np.float32(1e-3 * twin) for m in maps], 3 * twin + number)
        for twin in range(2)
        for number, maps in enumerate(unlike)
    ]
    apart, together = (
        fitted_on(method, settings, twins, groups)
        for groups in (None, np.array([5, 9, 2, 5, 9, 2], dtype=np.int32))
    )
    assert len(together.left_out) == len(twins)
    for number, scored in enumerate(together.left_out):
        assert scored.image_score > 0.5 * alone.left_out[number % 3].image_score
    if not needs_torch_to_fit(method):  # consecutive photographs share a fold there
        assert all(
            a.image_score < b.image_score
            for a, b in zip(apart.left_out, together.left_out, strict=True)
        )
    image = [m + 1 for m in unlike[0]]
    assert same(apart.model.score(image), together.model.score(image))


def test_a_photograph_alone_is_a_group_of_its_own(method, settings):
    """Whatever the numbers are called, the scores are the same to the last bit."""
    plain = fitted(method, settings)
    examples = [TrainingImage(maps, i) for i, maps in enumerate(GOOD)]
    numbered = fitted_on(method, settings, examples, np.array([4, 40, 2, 7, 0, -1]))
    assert all(same(a, b) for a, b in zip(plain.left_out, numbered.left_out, strict=True))


def test_one_group_alone_leaves_nothing_to_compare_with(method, settings):
    examples = [TrainingImage(maps, i) for i, maps in enumerate(GOOD)]
    fit = fitted_on(method, settings, examples, np.full(len(GOOD), 3))
    assert fit.left_out == ()
    image = fake_features(stained(50, 5))
    assert same(fit.model.score(image), fitted(method, settings).model.score(image))


def test_groups_that_are_not_one_a_photograph_are_refused(method, settings):
    examples = [TrainingImage(maps, i) for i, maps in enumerate(GOOD)]
    with pytest.raises(ShapeError, match=r"groups: expected \(6,\) integers"):
        fitted_on(method, settings, examples, np.arange(5))


def test_unknown_settings_are_refused_with_a_hint(method):
    with pytest.raises(PatchbankError, match="did you mean 'image_size'"):
        method.settings.from_mapping({"imagesize": 300})
    with pytest.raises(PatchbankError, match="settings are"):
        method.settings.from_mapping({"qqq": 1})


def test_settings_survive_their_mapping(method):
    for preset in method.presets:
        settings = method.settings.from_mapping(method.changed_preset(preset, {}))
        assert method.settings.from_mapping(settings.to_mapping()) == settings
