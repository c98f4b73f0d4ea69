"""Nearest good patches are those of a brute-force search over all that a model keeps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.methods import METHODS, TrainingImage
from patchbank.methods.explaining import Explaining, centre
from patchbank.methods.spade.gallery import ImageFeatures
from tests.fitting import fit_on_features

SHAPES = ((3, 6, 4), (2, 3, 2))  # (c, h, w) of two layers: small integers, so that ties happen


def maps_of(seed, shapes=SHAPES, high=3):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, high, shape).astype(np.float32) for shape in shapes]


def fitted(name, n_photographs, seed, **changes):
    method = METHODS[name]
    plain = {"scales": (1.0,)} if name == "spade" else {"scales": (1.0,), "patch_size": 1}
    chosen = method.settings.from_mapping({**plain, **changes})
    images = [TrainingImage(maps_of(seed + n), n) for n in range(n_photographs)]
    return fit_on_features(method, chosen, images, n_photographs).model


def brute_force(rows, query, k):
    """Numbers of the k nearest rows, the lower first on ties, and their distances."""
    distances = np.linalg.norm(rows.astype(np.float64) - query, axis=1)
    nearest = np.lexsort((np.arange(len(rows)), distances))[:k]
    return nearest.tolist(), distances[nearest]


QUERIES = np.array([(0, 0), (2, 1), (5, 3)])


@given(seed=st.integers(0, 10**6), k=st.integers(1, 5), joint=st.booleans(), wide=st.booleans())
@settings(max_examples=25, deadline=None)
def test_bank_rows_are_those_of_a_brute_force_search(seed, k, joint, wide):
    changes = {"patch_stride": 1, "bank_rows": 20}
    if wide:
        changes["patch_size"] = 3
    model = fitted("patchcore", 3, seed, banks="joint" if joint else "per_map", **changes)
    maps = maps_of(seed + 1000)
    found = model.compare(maps, QUERIES, k)
    features = np.asarray(model.embed(maps))
    banks = [(model, 1.0)] if joint else [(one.model, one.spread) for one in model.banks]
    ends = np.cumsum([one.bank.shape[1] for one, _ in banks])
    for (row, column), comparisons in zip(QUERIES.tolist(), found, strict=True):
        assert len(comparisons) == len(banks)
        for (bank, unit), end, comparison in zip(banks, ends, comparisons, strict=True):
            query = features[row, column, end - bank.bank.shape[1] : end]
            _, distances = brute_force(bank.bank, query, k)
            found_rows = [each.row for each in comparison.nearest]
            assert len(set(found_rows)) == k
            again = np.linalg.norm(bank.bank[found_rows].astype(np.float64) - query, axis=1)
            np.testing.assert_allclose(again, distances, rtol=1e-6)
            got = [each.distance for each in comparison.nearest]
            np.testing.assert_allclose(got, distances / unit, rtol=1e-5, atol=1e-6)
            assert comparison.distance == got[0]
            assert comparison.usual == pytest.approx(bank.radii[-1] / unit)
            for each in comparison.nearest:
                photograph, down, across, copy = bank.origins[each.row].tolist()
                assert (each.photograph, each.copy) == (photograph, copy)
                assert each.cell == centre(down, across, 1)


@given(seed=st.integers(0, 10**6), k=st.integers(1, 4), n_images=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_pixels_of_spade_are_those_of_a_brute_force_search_in_the_similar_photographs(
    seed, k, n_images
):
    model = fitted("spade", 3, seed, n_images=n_images)
    maps = maps_of(seed + 1000)
    features = ImageFeatures.of(model.settings, maps)
    similar, _ = model.gallery.similar(features.pooled, n_images)
    found = model.compare(maps, QUERIES, k)
    for (row, column), comparisons in zip(QUERIES.tolist(), found, strict=True):
        for plane, comparison in enumerate(comparisons):
            grid = features.planes[plane]
            h, w = grid.shape[:2]
            query = grid[row * h // 6, column * w // 4]
            rows, distances = brute_force(model.gallery.pixels(plane, similar), query, k)
            np.testing.assert_allclose([e.distance for e in comparison.nearest], distances)
            for each, number in zip(comparison.nearest, rows, strict=True):
                image, pixel = divmod(number, h * w)
                assert each.photograph == model.gallery.photographs[similar[image]]
                down, across = divmod(pixel, w)
                assert each.cell == pytest.approx(((down + 0.5) * 6 / h, (across + 0.5) * 4 / w))


@pytest.mark.parametrize("name", ["patchcore", "graphcore", "padim", "spade"])
def test_a_patch_is_explained_by_the_distance_that_its_score_is_made_of(name):
    changes = {"patch_stride": 1} if name != "spade" else {"n_neighbours": 1, "n_images": 3}
    if name == "padim":
        changes["dims"] = 4
    if name == "patchcore":
        changes["banks"] = "joint"
    model = fitted(name, 4, 7, **changes)
    assert isinstance(model, Explaining)
    maps = maps_of(99)
    scores = model.score(maps).patch_scores
    found = model.compare(maps, QUERIES, 2)
    for (row, column), comparisons in zip(QUERIES.tolist(), found, strict=True):
        if name != "spade":  # which enlarges the coarser plane smoothly
            [comparison] = comparisons
            assert comparison.distance == pytest.approx(float(scores[row, column]), rel=1e-4)
    sources = model.sources(4)
    assert sources.shape == (4,)
    named = {each.photograph for parts in found for part in parts for each in part.nearest}
    assert all(sources[photograph] > 0 for photograph in named)


def test_the_decisive_scores_of_several_banks_are_the_mean_of_their_distances():
    model = fitted("patchcore", 3, 5, patch_stride=1)
    maps = maps_of(55)
    scored = model.score(maps)
    [comparisons] = model.compare(maps, np.array([(4, 2)]), 1)
    mean = np.mean([each.distance for each in comparisons])  # all weights are 1 at one scale
    assert scored.decisive[4, 2] == pytest.approx(mean, rel=1e-5)
