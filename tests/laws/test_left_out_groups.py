"""Photographs of a group leave together: the same as if none of them had been there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core.gaussians import (
    Groups,
    left_out_distances,
    left_out_distances_of_groups,
    scatters,
)
from patchbank.errors import DataError, ParameterError, ShapeError
from patchbank.methods import METHODS, TrainingImage, numbered_groups
from patchbank.methods.padim import learner as padim_learner
from patchbank.methods.simplenet.settings import SimpleNetParameters
from tests.fitting import fit_on_features
from tests.kernels import MARKED_KERNELS, on_kernel
from tests.oracles import neighbours as oracle_of_neighbours
from tests.oracles import padim as oracle

GROUPS = st.lists(st.integers(0, 3), min_size=3, max_size=8).filter(lambda g: len(set(g)) > 1)
GRID = (4, 6)


def maps(rng):
    h, w = GRID
    shapes = (3, h, w), (2, h // 2, w // 2)
    return [rng.integers(-4, 5, shape).astype(np.float32) for shape in shapes]


def with_copies(rng, n):
    """Photographs of one grid, every third with a copy that is partly outside."""
    examples = []
    for number in range(n):
        examples.append(TrainingImage(maps(rng), number))
        if number % 3 == 2:
            examples.append(TrainingImage(maps(rng), number, rng.random(GRID) < 0.6))
    return examples


def fitted(name, examples, groups, **chosen):
    """A fit; the unit of several banks is that of all photographs, so PatchCore has one here."""
    method = METHODS[name]
    chosen = {"banks": "joint", **chosen} if name == "patchcore" else chosen
    given_groups = None if groups is None else np.array(groups)
    parameters = method.settings.from_mapping(chosen)
    return fit_on_features(method, parameters, examples, len(examples), groups=given_groups)


def without(examples, groups, number):
    """The examples of other groups, numbered anew."""
    kept = [e for e in examples if groups[e.photograph] != groups[number]]
    numbers = {old: new for new, old in enumerate(sorted({e.photograph for e in kept}))}
    return [TrainingImage(e.maps, numbers[e.photograph], e.inside) for e in kept]


def original(examples, number):
    return next(e for e in examples if e.photograph == number and not e.is_copy)


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("padim", {"patch_stride": 2}),
        ("padim", {"patch_stride": 1, "image_score": "max"}),
        ("spade", {"n_images": 2, "n_neighbours": 2}),
        ("patchcore", {"selection": "all", "patch_stride": 1}),
        ("patchcore", {"selection": "all", "patch_stride": 1, "n_neighbours": 2}),
        ("graphcore", {"selection": "all", "patch_stride": 1, "graph_neighbours": 3}),
    ],
)
@settings(deadline=None, max_examples=15)
@given(groups=GROUPS, seed=st.integers(0, 999))
def test_what_is_left_out_was_never_seen(name, chosen, groups, seed):
    examples = with_copies(np.random.default_rng(seed), len(groups))
    left_out = fitted(name, examples, groups, **chosen).left_out
    assert len(left_out) == len(groups)
    for number, found in enumerate(left_out):
        anew = fitted(name, without(examples, groups, number), None, **chosen).model
        expected = anew.score(original(examples, number).maps)
        np.testing.assert_allclose(found.patch_scores, expected.patch_scores, rtol=1e-4, atol=1e-4)
        assert found.image_score == pytest.approx(expected.image_score, rel=1e-4, abs=1e-4)
        assert found.stride == expected.stride


@pytest.mark.parametrize("kernel", MARKED_KERNELS)
@pytest.mark.parametrize(
    "chosen",
    [
        {"bank_rows": 30},
        {"bank_rows": 30, "n_neighbours": 2},
        {"bank_rows": 30, "projection": "sparse"},
        {"bank_rows": 40, "selection": "random"},
        pytest.param({"bank_rows": 60, "index": "hnsw"}, marks=pytest.mark.approximate),
    ],
)
def test_a_bank_is_searched_without_the_rows_of_the_group(chosen, kernel, monkeypatch, rng):
    """The bank itself is what all photographs gave; the distances of the selection are right."""
    on_kernel(monkeypatch, kernel)
    groups = np.array([1, 0, 1, 2, 0, 2, 1])
    examples = with_copies(rng, len(groups))
    fit = fitted("patchcore", examples, groups, patch_stride=1, **chosen)
    alone = fitted("patchcore", examples, None, patch_stride=1, **chosen)
    assert (fit.model.bank == alone.model.bank).all()
    ours, theirs = ([s.patch_scores.sum() for s in one.left_out] for one in (fit, alone))
    assert sum(ours) > sum(theirs)
    for number, found in enumerate(fit.left_out):
        is_other = groups[fit.model.origins[:, 0]] != groups[number]
        patches = fit.model.embed(original(examples, number).maps).reshape(24, -1)
        nearest = oracle_of_neighbours.nearest(
            fit.model.bank[is_other], patches, fit.model.settings.n_neighbours
        )
        np.testing.assert_allclose(
            found.patch_scores.ravel(), nearest.mean(axis=1), rtol=1e-5, atol=1e-5
        )


def test_smaller_banks_are_searched_without_the_group_too(rng):
    groups = np.array([0, 0, 1, 1, 2, 2, 2])
    examples = with_copies(rng, 7)
    fit = fitted("patchcore", examples, groups, patch_stride=1, bank_rows=150)
    assert list(fit.calibration_by_size) == [8, 16, 32, 64, 128]
    for n_rows, left_out in fit.calibration_by_size.items():
        smaller = fit.model.truncated(n_rows)
        for number, found in enumerate(left_out):
            is_other = groups[smaller.origins[:, 0]] != groups[number]
            patches = smaller.embed(original(examples, number).maps).reshape(24, -1)
            nearest = oracle_of_neighbours.nearest(smaller.bank[is_other], patches, 1)
            np.testing.assert_allclose(found.patch_scores.ravel(), nearest[:, 0], rtol=1e-5)


def test_sizes_at_which_a_group_has_all_rows_are_not_calibrated():
    """The first eight rows all come from photographs 0 and 1, each on its own far from the rest."""
    rng = np.random.default_rng(1)
    near = [rng.normal(0, 0.01, (2, *GRID)).astype(np.float32) for _ in range(4)]
    far = [rng.normal(0, 50, (2, *GRID)).astype(np.float32) for _ in range(2)]
    examples = [TrainingImage([m], number) for number, m in enumerate([*far, *near])]
    chosen = {"patch_stride": 1, "patch_size": 1, "bank_rows": 60, "start": "farthest"}
    alone = fitted("patchcore", examples, None, **chosen)
    grouped = fitted("patchcore", examples, [0, 0, 1, 1, 2, 2], **chosen)
    assert list(alone.calibration_by_size) == [8, 16, 32]
    assert list(grouped.calibration_by_size) == [16, 32]
    with pytest.raises(
        DataError, match="two groups of photographs.*all 8 rows come from one group"
    ):
        fitted("patchcore", examples, [0, 0, 1, 1, 2, 2], **{**chosen, "bank_rows": 8})
    more = {**chosen, "bank_rows": 50, "n_neighbours": 9}
    with pytest.raises(ParameterError, match="other groups than that of photograph number 0"):
        fitted("patchcore", examples, [0, 0, 1, 1, 2, 2], **more)


@pytest.mark.parametrize("block_numbers", [4000, 10**7])
def test_padim_leaves_groups_out_of_photographs_with_other_grids(block_numbers, monkeypatch, rng):
    monkeypatch.setattr(padim_learner, "BLOCK_BYTES", 8 * block_numbers)
    grids = [(4, 6), (4, 6), (6, 4), (2, 10), (5, 7), (4, 6)]
    groups = [0, 1, 0, 2, 1, 0]
    examples = [
        TrainingImage([rng.integers(-4, 5, (3, *grid)).astype(np.float32)], number)
        for number, grid in enumerate(grids)
    ]
    left_out = fitted(
        "padim", examples, groups, patch_size=1, patch_stride=1, image_score="max"
    ).left_out
    embeddings = [e.maps[0].transpose(1, 2, 0) for e in examples]
    insides = [np.ones(grid, bool) for grid in grids]
    for number, found in enumerate(left_out):
        expected = oracle.left_out_grid(
            embeddings, list(range(6)), insides, number, 0.01, groups=groups
        )
        np.testing.assert_allclose(found.patch_scores, expected, rtol=1e-5, atol=1e-5)


@settings(deadline=None)
@given(
    st.integers(0, 999),
    st.lists(st.integers(1, 4), min_size=2, max_size=4),
    st.integers(1, 7),
    st.sampled_from([0.01, 1.0]),
)
def test_several_points_of_a_group_are_scored_as_each_alone(seed, sizes, d, ridge):
    """Also where nearly all samples leave, and where groups have different sizes."""
    rng = np.random.default_rng(seed)
    n, widest = sum(sizes), max(sizes)
    samples = rng.integers(-3, 4, (2, n, d)).astype(np.float32)
    ends = np.cumsum(sizes)
    members = np.zeros((len(sizes), widest), dtype=int)
    present = np.zeros((2, *members.shape), dtype=bool)
    for group, (end, size) in enumerate(zip(ends, sizes, strict=True)):
        members[group, :size] = np.arange(end - size, end)
        present[:, group, :size] = True
    groups = Groups(samples[:, members], present)
    learned = scatters(samples, np.ones((2, n), bool))

    found = left_out_distances_of_groups(learned, groups, samples[:, members], ridge)

    one_by_one = left_out_distances(
        learned, groups, samples, np.tile(np.repeat(np.arange(len(sizes)), sizes), (2, 1)), ridge
    )
    for position, group, slot in np.argwhere(present):
        others = np.delete(samples[position], members[group, : sizes[group]], axis=0)
        point = samples[position, members[group, slot]]
        expected = oracle.mahalanobis(point, *oracle.gaussian(others, ridge))
        assert found[position, group, slot] == pytest.approx(expected, rel=1e-6, abs=1e-6)
        alone = one_by_one[position, members[group, slot]]
        assert found[position, group, slot] == pytest.approx(alone, rel=1e-6, abs=1e-6)


@given(GROUPS, st.integers(2, 9))
def test_folds_never_split_a_group(groups, n_folds):
    folds = pytest.importorskip("patchbank.methods.simplenet.folds", exc_type=ImportError)
    numbers = numbered_groups(np.array(groups), len(groups))
    found = folds.fold_of_photographs(numbers, n_folds)
    assert all(len(set(found[numbers == group])) == 1 for group in set(numbers.tolist()))
    assert 2 <= len(set(found)) <= n_folds
    assert set(found) == set(range(found.max() + 1))


def test_the_last_group_may_have_nearly_all_photographs():
    folds = pytest.importorskip("patchbank.methods.simplenet.folds", exc_type=ImportError)
    found = folds.fold_of_photographs(np.array([0, *[1] * 30]), SimpleNetParameters().folds)
    assert found.tolist() == [0, *[1] * 30]


@given(GROUPS)
def test_groups_are_numbered_by_their_first_photographs(groups):
    numbers = numbered_groups(np.array(groups), len(groups)).tolist()
    firsts = [numbers.index(number) for number in range(max(numbers) + 1)]
    assert firsts == sorted(firsts)
    together = [[a == b for b in groups] for a in groups]
    assert together == [[a == b for b in numbers] for a in numbers]


@pytest.mark.parametrize("groups", [np.array([0, 1]), np.array([[0, 1, 1]]), np.array([0.0, 1, 1])])
def test_groups_of_another_shape_or_type_are_refused(groups):
    with pytest.raises(ShapeError, match=r"groups: expected \(3,\) integers, one for each"):
        numbered_groups(groups, 3)
