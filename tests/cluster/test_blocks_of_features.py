"""Shards of blocks of features: every row once, in order, on few machines.  No cluster is needed:
arrays stand for references, and what Ray would run elsewhere runs here."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.cluster import blocks
from patchbank.cluster.blocks import Block, rows_of, shards_of, with_columns
from patchbank.cluster.features import KeptSelections
from patchbank.core.coreset import Coreset

pytestmark = pytest.mark.ray

ROWS = 10
"""In place of `ROWS_PER_COPY`."""
D = 4


def here(patch, cuts):
    """Run here what Ray runs on a cluster; `cuts` gets the rows of each block that was cut."""

    def cut(block, begin, end):
        cuts.append(end - begin)
        return blocks._cut(block, begin, end)

    patch.setattr(blocks, "ROWS_PER_COPY", ROWS)
    patch.setattr(blocks, "CUT", SimpleNamespace(remote=cut))
    patch.setattr(blocks, "TAKEN", SimpleNamespace(remote=blocks._taken))
    patch.setattr(blocks, "ray", SimpleNamespace(get=lambda reference: reference))


def made(lengths, nodes):
    """Blocks of so many rows, and the features of all."""
    features = np.arange(sum(lengths) * D, dtype=np.float32).reshape(-1, D)
    ends = np.cumsum(lengths).tolist()
    parts = zip([0, *ends], ends, nodes, strict=False)
    return [Block(features[begin:end], end - begin, node) for begin, end, node in parts], features


BLOCKS = st.lists(st.tuples(st.integers(0, 34), st.sampled_from("ABC")), min_size=1, max_size=12)


@settings(deadline=None, max_examples=150)
@given(drawn=BLOCKS.filter(lambda drawn: sum(n for n, _ in drawn)), first=st.integers(0, D - 1))
def test_shards_have_every_row_once_and_begin_where_sums_do(drawn, first):
    made_of, features = made(*zip(*drawn, strict=True))
    cuts = []
    with pytest.MonkeyPatch.context() as patch:
        here(patch, cuts)
        shards = shards_of(made_of, D)
        gathered = [shard.gathered() for shard in shards]
        some = [shard.gathered() for shard in with_columns(shards, first, D - first)]
    np.testing.assert_array_equal(np.concatenate(gathered), features)
    np.testing.assert_array_equal(np.concatenate(some), features[:, first:])
    assert [len(rows) for rows in gathered] == [shard.n_rows for shard in shards]
    assert all(shard.n_rows > 0 for shard in shards)
    assert all(shard.n_rows % ROWS == 0 for shard in shards[:-1])
    runs = 1 + sum(a.node != b.node for a, b in pairwise(made_of))
    assert len(shards) <= runs
    assert {shard.node for shard in shards} <= {node for _, node in drawn}
    if len({node for _, node in drawn}) == 1:
        assert (len(shards), cuts) == (1, [])  # nothing moves


@settings(deadline=None, max_examples=150)
@given(drawn=BLOCKS.filter(lambda drawn: sum(n for n, _ in drawn)), data=st.data())
def test_some_rows_come_from_whichever_block_has_them(drawn, data):
    made_of, features = made(*zip(*drawn, strict=True))
    rows = np.array(data.draw(st.lists(st.integers(0, len(features) - 1), max_size=20)), np.intp)
    first = data.draw(st.integers(0, D - 1))
    with pytest.MonkeyPatch.context() as patch:
        here(patch, [])
        found = rows_of(made_of, rows, first, D - first)
    np.testing.assert_array_equal(found, features[rows, first:])


def test_ends_move_to_the_nearest_tile_and_small_machines_have_no_shard(monkeypatch):
    cuts = []
    here(monkeypatch, cuts)

    def shape(lengths, nodes):
        cuts.clear()
        shards = shards_of(made(lengths, nodes)[0], D)
        return [(shard.node, shard.n_rows) for shard in shards], sum(cuts)

    assert shape([20, 30], "AB") == ([("A", 20), ("B", 30)], 0)
    assert shape([24, 26], "AB") == ([("A", 20), ("B", 30)], 4)
    assert shape([26, 24], "AB") == ([("A", 30), ("B", 20)], 4)
    assert shape([3, 40], "AB") == ([("B", 43)], 3)
    assert shape([40, 3], "AB") == ([("A", 40), ("B", 3)], 0)
    assert shape([36, 2], "AB") == ([("A", 38)], 2)
    assert shape([40, 3, 40], "ABC") == ([("A", 40), ("C", 43)], 3)
    assert shape([12, 13, 30], "AAB") == ([("A", 20), ("B", 35)], 5)
    asked = blocks.on_node("5e" * 28)
    assert (asked.node_id, asked.soft) == ("5e" * 28, True)


def test_selections_whose_facts_read_alike_are_kept_apart(tmp_path):
    kept = KeptSelections(tmp_path, ["a"])
    one, other = (Coreset(np.arange(n)) for n in (3, 4))
    assert len(kept.once((1000, 55), lambda: one).centres) == 3
    assert len(kept.once((10005, 5), lambda: other).centres) == 4
    assert len(kept.once((1000, 55), lambda: other).centres) == 3
