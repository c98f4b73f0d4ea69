"""Stores of parts of the photographs, joined; features elsewhere, and sums of their columns."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.core.spatial.tiles import Span, Tile
from patchbank.errors import DataError
from patchbank.methods import METHODS, TrainingImage
from patchbank.methods.base import PatchEmbedding
from patchbank.methods.memory_bank import columns
from patchbank.methods.patch_store import PatchStore
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from tests.unit.test_joined_learners import InAnArray, image, learner_of, same

GRIDS = ((2, 3), (4, 1), (1, 5))
D = 3


def photograph(rng, kind):
    """Images of a photograph and its copies: features and whether they are of a copy."""
    h, w = GRIDS[rng.integers(len(GRIDS))]
    images = []
    for number in range(int(rng.integers(1, 4))):
        mask = rng.random((h, w)) < {"all": 1.0, "some": 0.5, "none": 0.0}[kind]
        features = rng.standard_normal((h, w, D)).astype(np.float32)
        inside = None if number == 0 else rng.random((h, w)) < 0.7
        embedding = PatchEmbedding(features, None if rng.random() < 0.3 else mask)
        images.append((embedding, inside))
    return images


def add(store, photographs):
    for number, images in enumerate(photographs):
        for embedding, inside in images:
            store.append(embedding, TrainingImage([], number, inside))


def origins_by_hand(photographs):
    """(n, 4) origin of each patch that is stored, in order."""
    found = []
    for number, images in enumerate(photographs):
        for copy, (embedding, inside) in enumerate(images):
            is_kept = np.ones(embedding.grid, np.bool_) if inside is None else inside.copy()
            if embedding.mask is not None:
                is_kept &= embedding.mask
            found += [(number, *cell, copy) for cell in np.argwhere(is_kept).tolist()]
    return found


@settings(deadline=None, max_examples=120)
@given(
    kinds=st.lists(
        st.lists(st.sampled_from(["all", "some", "none"]), max_size=4), min_size=1, max_size=4
    ),
    seed=st.integers(0, 9999),
)
def test_joined_stores_know_the_origin_of_each_patch(kinds, seed):
    rng = np.random.default_rng(seed)
    parts = [[photograph(rng, kind) for kind in part] for part in kinds]
    every = [images for part in parts for images in part]
    one, stores = PatchStore(20, 1, print), []
    add(one, every)
    for part in parts:
        stores.append(PatchStore(20, 1, print))
        add(stores[-1], part)
    arrays = [store.features_in_memory for store in stores if len(store.features_in_memory)]
    features = InAnArray(np.concatenate([np.empty((0, D), np.float32), *arrays]))
    joined = PatchStore(0, 1, print)
    sent = pickle.loads(pickle.dumps([store.collected for store in stores]))
    joined.join(features, sent)

    truth = origins_by_hand(every)
    n = len(truth)
    assert sum(part.n_rows for part in sent) == len(joined.features) == n
    for store in (one, joined):
        assert store.origins(np.arange(n)).tolist() == [list(origin) for origin in truth]
        assert store.photograph_of_patches().tolist() == [origin[0] for origin in truth]
        assert store.n_photographs == len(every)
    for number in range(len(every)):
        rows = [row for row, origin in enumerate(truth) if (origin[0], origin[3]) == (number, 0)]
        own = joined.patches_of(number)
        assert list(range(own.start, own.stop)) == rows
        kept, expected = joined.patches(number), one.patches(number)
        assert kept.grid == expected.grid
        assert kept.cells.tolist() == expected.cells.tolist()
        np.testing.assert_array_equal(np.asarray(kept.rows), np.asarray(expected.rows))
    of_photographs = [origin for origin in truth if origin[3] == 0]
    assert features.n_fetched == len(of_photographs)  # each once, and none of a copy


def test_what_is_sent_of_whole_grids_does_not_grow_with_them():
    sizes = []
    for h in (5, 500):
        store = PatchStore(2, 1, print)
        for number in range(2):
            store.append(np.zeros((h, 7, 1), np.float32), TrainingImage([], number))
        sizes.append(len(pickle.dumps(store.collected)))
    assert sizes[1] < sizes[0] + 50


def test_photographs_in_tiles_keep_the_order_of_their_cells():
    def filled(store, first):
        for number in range(2):
            for left in (0, 2):
                own = Span(left, left + 2)
                tile = Tile((3, 4), Span(0, 3), own, Span(0, 3), own, left == 0)
                maps = np.full((3, 2, 1), first + 10 * number + left, np.float32)
                store.append(maps, TrainingImage([], number, tile=tile))
        return store

    stores = [filled(PatchStore(2, 1, print), first) for first in (0, 100)]
    joined = PatchStore(0, 1, print)
    features = InAnArray(np.concatenate([store.features_in_memory for store in stores]))
    joined.join(features, [store.collected for store in stores])
    cells = [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11]
    for number, first in enumerate((0, 10, 100, 110)):
        patches = joined.patches(number)
        assert patches.cells.tolist() == cells
        assert np.asarray(patches.rows)[:, 0].tolist() == [first] * 6 + [first + 2] * 6
    origins = joined.origins(np.arange(48))
    assert origins[36:, 0].tolist() == [3] * 12
    assert (origins[36:, 1] * 4 + origins[36:, 2]).tolist() == cells


@pytest.mark.parametrize("changes", [{"bank_rows": 25}, {"bank_rows": 25, "banks": "joint"}])
def test_parts_without_a_photograph_are_no_hindrance(changes):
    one = learner_of("patchcore", changes, range(4)).fit()
    numbers = ((), (0, 1), (), (2, 3), ())
    parts = [learner_of("patchcore", changes, part) for part in numbers]
    features = np.concatenate([parts[1].features, parts[3].features])
    method = METHODS["patchcore"]
    joined = method.learner(method.parameters(**changes), 0, NullProgress(), HOST)
    joined.join(InAnArray(features), [part.collected for part in parts])
    same(one, joined.fit())
    for n_photographs, said in ((0, "at least one photograph"), (1, "at least one patch")):
        empty = method.learner(method.parameters(**changes), 0, NullProgress(), HOST)
        collected = learner_of("patchcore", changes, ()).collected
        if n_photographs:
            hidden = method.learner(method.parameters(**changes), 1, NullProgress(), HOST)
            seen = image(1, 0)
            nothing = np.zeros((6, 9), np.bool_)
            hidden.add(TrainingImage(seen.maps, 0, of_interest=nothing))
            collected = hidden.collected
        empty.join(InAnArray(features[:0]), [collected])
        with pytest.raises(DataError, match=f"expected .*{said}.*, got"):
            empty.fit()


@settings(deadline=None, max_examples=100)
@given(
    n=st.integers(1, 40),
    d=st.integers(1, 9),
    begin=st.integers(0, 8),
    rows_per_copy=st.integers(1, 45),
    offset=st.sampled_from([0.0, 1e6]),
    seed=st.integers(0, 9999),
)
def test_columns_are_copied_and_summed_part_by_part(n, d, begin, rows_per_copy, offset, seed):
    rng = np.random.default_rng(seed)
    stored = (rng.standard_normal((n, d)) + offset).astype(np.float32)
    begin = min(begin, d - 1)
    end = int(rng.integers(begin + 1, d + 1))
    origin, sums, counts = stored[0, begin:end].astype(np.float64), [], []

    def on_rows(rows):
        counts.append(len(rows))
        sums.append(columns.sums_of(rows, origin))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "ROWS_PER_COPY", rows_per_copy)
        found = columns.copied_columns(stored, begin, end, print, on_rows)
    np.testing.assert_array_equal(found, stored[:, begin:end])
    assert counts == [min(rows_per_copy, n - at) for at in range(0, n, rows_per_copy)]
    exact = stored[:, begin:end].astype(np.float64)
    total, squares = sum(of_columns for of_columns, _ in sums), sum(own for _, own in sums)
    np.testing.assert_allclose(total / n + origin, exact.mean(axis=0), atol=1e-9 * (1 + offset))
    variance = squares / n - np.square(total / n).sum()
    assert variance == pytest.approx(exact.var(axis=0).sum(), rel=1e-9, abs=1e-12)
    divided = columns.columns(stored, [begin, end - begin, d - end])
    np.testing.assert_array_equal(np.hstack(divided), stored)
    assert all(part.flags.c_contiguous for part in divided)


@settings(deadline=None, max_examples=100)
@given(n=st.integers(1, 25), cuts=st.lists(st.slices(25), min_size=1, max_size=3), data=st.data())
def test_slices_of_rows_elsewhere_are_those_of_an_array(n, cuts, data):
    array = np.random.default_rng(n).standard_normal((n, 2)).astype(np.float32)
    features = InAnArray(array)
    rows, expected = features, array
    for cut in cuts:
        rows, expected = rows[cut], expected[cut]
        assert (len(rows), rows.shape) == (len(expected), expected.shape)
    assert features.n_fetched == 0
    np.testing.assert_array_equal(np.asarray(rows), expected)
    assert np.asarray(rows, dtype=np.float64).dtype == np.float64
    if len(expected):
        place = data.draw(st.integers(0, len(expected) - 1))
        np.testing.assert_array_equal(rows[place], expected[place])
