"""An embedding with a mask: masked patches are neither learned nor scored."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from patchbank.core.scores import image_score
from patchbank.errors import DataError, ShapeError
from patchbank.methods import PatchCoreSettings, PatchEmbedding, TrainingImage
from patchbank.methods.memory_bank import method_with_bank
from patchbank.methods.patch_store import PatchStore
from tests.fitting import fit_on_features

SHAPE = (3, 4, 5)  # channels, height, width
PLAIN = {"patch_stride": 1, "selection": "all", "image_score": "max"}


def embed(settings, maps, *, masked=True):
    """The map itself; patches whose last channel is negative are masked."""
    features = np.ascontiguousarray(maps[0].transpose(1, 2, 0))
    return PatchEmbedding(features, features[..., -1] >= 0) if masked else features


def method(**options):
    return method_with_bank(
        "toy",
        PatchCoreSettings,
        PatchCoreSettings,
        {},
        partial(embed, **options),
        lambda settings, channels: sum(channels),
    )


def image(seed, masked_cells=()):
    """(c, h, w): positive numbers, and nonsense far from them in the masked cells."""
    features = np.random.default_rng(seed).integers(1, 9, SHAPE).astype(np.float32)
    for row, column in masked_cells:
        features[:, row, column] = (1000 + seed, -500, -1)
    return features


def fitted(images, toy=None, **settings):
    examples = [TrainingImage([maps], number) for number, maps in enumerate(images)]
    chosen = PatchCoreSettings(**{**PLAIN, **settings})
    return fit_on_features(toy or method(), chosen, examples, len(examples))


def rows_of(maps):
    """(n, d): the patches that count."""
    features = maps.transpose(1, 2, 0).reshape(-1, SHAPE[0])
    return features[features[:, -1] >= 0]


def test_masked_patches_are_not_learned():
    images = [image(0, [(0, 0), (2, 3)]), image(1), image(2, [(3, 4)])]
    model = fitted(images).model
    np.testing.assert_array_equal(model.bank, np.concatenate([rows_of(i) for i in images]))
    origins = [
        (number, row, column, 0)
        for number, maps in enumerate(images)
        for row, column in np.ndindex(4, 5)
        if maps[-1, row, column] >= 0
    ]
    assert [tuple(origin) for origin in model.origins.tolist()] == origins


@pytest.mark.parametrize("metric", ["euclidean", "squared"])
def test_masked_patches_are_not_scored(metric):
    learned = [image(0), image(1)]
    model = fitted(learned, metric=metric).model
    cells = [(1, 2), (3, 0)]
    shown = image(7, cells)

    scored = model.score([shown])

    bank = np.concatenate([rows_of(maps) for maps in learned]).astype(np.float64)
    expected = np.zeros((4, 5))
    for row, column in np.ndindex(4, 5):
        if (row, column) not in cells:
            distances = np.linalg.norm(bank - shown[:, row, column], axis=1)
            expected[row, column] = distances.min() ** (2 if metric == "squared" else 1)
    np.testing.assert_allclose(scored.patch_scores, expected, rtol=1e-5, atol=1e-5)
    assert [scored.patch_scores[cell] for cell in cells] == [0, 0]
    assert scored.image_score == pytest.approx(expected.max(), rel=1e-5)


@pytest.mark.parametrize("kind", ["max", "reweighted", "hcw", "smooth_max", "top_fraction"])
def test_nonsense_in_masked_patches_changes_no_score(kind):
    model = fitted([image(0), image(1)], image_score=kind, top_fraction=0.1).model
    cells = [(1, 2), (3, 0)]
    shown, other = image(7, cells), image(7, cells)
    for row, column in cells:
        other[:, row, column] = (0, 2, -3)
    one, two = model.score([shown]), model.score([other])
    assert one.image_score == two.image_score > 0
    np.testing.assert_array_equal(one.patch_scores, two.patch_scores)


@pytest.mark.parametrize("selection", ["all", "greedy"])
@pytest.mark.parametrize("n_neighbours", [1, 2])
def test_a_photograph_with_a_mask_is_left_out_like_any_other(selection, n_neighbours):
    images = [image(number, [(number, 1), (0, 0)]) for number in range(4)]
    settings = {"selection": selection, "n_neighbours": n_neighbours}
    learned = fitted(images, **settings)
    for number, maps in enumerate(images):
        own = learned.model.origins[:, 0] == number
        bank = learned.model.bank[~own].astype(np.float64)
        scores = learned.left_out[number].patch_scores
        for row, column in np.ndindex(4, 5):
            distances = np.sort(np.linalg.norm(bank - maps[:, row, column], axis=1))
            expected = distances[:n_neighbours].mean() if maps[-1, row, column] >= 0 else 0.0
            assert scores[row, column] == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert learned.left_out[number].image_score == scores.max()


@pytest.mark.parametrize("kind", ["max", "reweighted", "hcw", "smooth_max", "top_fraction"])
def test_a_mask_that_excludes_nothing_changes_no_bit(kind):
    images = [image(number) for number in range(3)]
    settings = {"image_score": kind, "selection": "greedy", "bank_rows": 30}
    masked, plain = (fitted(images, method(masked=m), **settings) for m in (True, False))
    np.testing.assert_array_equal(masked.model.bank, plain.model.bank)
    for one, two in zip(masked.left_out, plain.left_out, strict=True):
        np.testing.assert_array_equal(one.patch_scores, two.patch_scores)
        assert one.image_score == pytest.approx(two.image_score, rel=1e-6)
    shown = image(9)
    ours, theirs = masked.model.score([shown]), plain.model.score([shown])
    np.testing.assert_array_equal(ours.patch_scores, theirs.patch_scores)


def test_an_image_that_is_masked_all_over_scores_as_a_normal_one():
    everywhere = list(np.ndindex(4, 5))
    learned = fitted([image(0), image(1), image(2, everywhere)])
    assert learned.left_out[2].image_score == 0.0
    assert not learned.left_out[2].patch_scores.any()
    scored = learned.model.score([image(3, everywhere)])
    assert scored.image_score == 0.0
    assert scored.patch_scores.shape == (4, 5)
    assert set(learned.model.origins[:, 0]) == {0, 1}
    first = fitted([image(2, everywhere), image(0), image(1)])
    assert set(first.model.origins[:, 0]) == {1, 2}
    with pytest.raises(DataError, match="at least one patch that counts"):
        fitted([image(0, everywhere), image(1, everywhere)])


def test_a_copy_loses_what_is_masked_and_what_lies_outside():
    features = np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    mask = np.array([[True, False, True], [True, True, False]])
    inside = np.array([[False, True, True], [True, True, True]])
    store = PatchStore(2, stride=1, note=print)
    store.append(PatchEmbedding(features, mask), TrainingImage([], 0))
    store.append(PatchEmbedding(features + 10, mask), TrainingImage([], 0, inside))
    assert store.features[:, 0].tolist() == [0, 2, 3, 4, 12, 13, 14]
    assert store.origins(np.array([1, 4, 6])).tolist() == [[0, 0, 2, 0], [0, 0, 2, 1], [0, 1, 1, 1]]
    restored = store.embedding(0)
    assert restored.features[..., 0].tolist() == [[0, 0, 2], [3, 4, 0]]
    assert (restored.mask == mask).all()
    assert restored.rows[:, 0].tolist() == [0, 2, 3, 4]


@pytest.mark.parametrize("mask", [np.ones((4, 3), bool), np.ones((3, 4), np.float32)])
def test_a_mask_of_another_shape_or_type_is_refused(mask):
    with pytest.raises(ShapeError, match=r"mask: expected booleans of shape \(3, 4\)"):
        PatchEmbedding(np.zeros((3, 4, 2)), mask)


@hypothesis_settings(deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0.05, 1.0))
def test_image_scores_of_a_masked_grid_are_those_of_the_patches_that_count(seed, share):
    rng = np.random.default_rng(seed)
    grid = rng.uniform(0, 9, (4, 6)).astype(np.float32)
    mask = rng.random(grid.shape) < 0.6
    mask[tuple(rng.integers(0, grid.shape))] = True
    values = sorted(grid[mask].tolist(), reverse=True)
    assert image_score.grid_score(grid, "max", share, mask) == np.float32(values[0])
    top = values[: max(1, round(share * len(values)))]
    assert image_score.grid_score(grid, "top_fraction", share, mask) == pytest.approx(np.mean(top))
    means = []
    for row, column in zip(*np.nonzero(mask), strict=True):
        window = (slice(max(row - 1, 0), row + 2), slice(max(column - 1, 0), column + 2))
        means.append(grid[window][mask[window]].mean(dtype=np.float64))
    assert image_score.grid_score(grid, "smooth_max", share, mask) == pytest.approx(
        max(means), rel=1e-5
    )


def test_an_embedding_without_a_mask_is_not_copied():
    embedding = PatchEmbedding.of(np.arange(12.0).reshape(2, 3, 2))
    assert embedding.mask is None
    assert embedding.rows.base is not None  # a view: nothing is copied
    assert embedding.on_grid(np.arange(6.0)).tolist() == [[0, 1, 2], [3, 4, 5]]
