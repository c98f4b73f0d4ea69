"""A selection on a real Ray cluster of this machine."""

from __future__ import annotations

import os

import numpy as np
import pytest
import ray

from patchbank.cluster import compose_in_shards, select_in_shards
from patchbank.cluster.blocks import PartOfBlock, Shard, on_node
from patchbank.cluster.shards import RayShards
from patchbank.core import int8
from patchbank.core.coreset import (
    ExistingCentres,
    composable_coreset_of_shards,
    greedy_coreset,
)
from patchbank.errors import ClusterError, ParameterError, ShapeError
from patchbank.runtime.devices import HOST

ROWS, D, PICKS = 6 * 1024 + 300, 12, 700
ENDS = [2048, 3072]


pytestmark = pytest.mark.usefixtures("address")


@pytest.fixture(scope="module")
def features():
    values = np.random.default_rng(3).normal(2.0, 1.0, (ROWS, D)).astype(np.float32)
    values[5000:5100] = values[100:200]  # ties across shards
    return values


def groups_of(n):
    return np.arange(n) // 500


def same(one, other):
    """The same rows, and the same distances but for the rounding of matrix products."""
    assert other.centres.tolist() == one.centres.tolist()
    # The distance of a row to its own copy is the rounding error of its square.
    close = {"rtol": 1e-4, "atol": 1e-2}
    np.testing.assert_allclose(other.radii, one.radii, **close)
    if one.min_distance_to_other_groups is not None:
        found = other.min_distance_to_other_groups
        np.testing.assert_allclose(found, one.min_distance_to_other_groups, **close)
    assert list(other.min_distance_to_other_groups_at) == list(one.min_distance_to_other_groups_at)
    for size, distances in one.min_distance_to_other_groups_at.items():
        np.testing.assert_allclose(other.min_distance_to_other_groups_at[size], distances, **close)


def test_the_rows_are_those_of_one_machine(features):
    groups = groups_of(ROWS)
    one = greedy_coreset(features, PICKS, groups=groups, sizes=[128, 512])
    seen: list[int] = []
    other = select_in_shards(
        np.split(features, ENDS),
        PICKS,
        groups=np.split(groups, ENDS),
        sizes=[128, 512],
        on_progress=seen.append,
    )
    same(one, other)
    assert sum(seen) == PICKS


def test_features_may_be_where_they_were_made(features):
    made = ray.remote(lambda begin: features[begin : begin + 4096]).remote
    start = ExistingCentres(features[:40] + 0.5)
    one = greedy_coreset(features, PICKS, start=start, radius=2.0)
    same(one, select_in_shards([made(0), made(4096)], PICKS, start=start, radius=2.0))


def test_each_shard_is_held_where_its_features_are(features):
    def made(begin):
        return features[begin : begin + 1024]

    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]] * 3
    shards = []
    for number, node in enumerate(nodes):
        block = ray.remote(made).options(scheduling_strategy=on_node(node)).remote(number * 1024)
        shards.append(Shard(node, (PartOfBlock(block, 0, 1024),), 0, D))
    held = RayShards(shards, None, None, pytest.fail)
    try:
        assert held.apply(node_of) == nodes
    finally:
        held.close()


def node_of(rows):
    return ray.get_runtime_context().get_node_id()


def test_processes_that_die_are_replaced_and_the_result_is_the_same(features, killing):
    shards, groups = np.split(features, ENDS), np.split(groups_of(ROWS), ENDS)
    undisturbed = select_in_shards(shards, PICKS, groups=groups, sizes=[128])
    replaced: list[int] = []
    with killing("ShardActor", 2) as killed:
        other = select_in_shards(
            shards, PICKS, groups=groups, sizes=[128], on_replaced=replaced.append
        )
    assert len(killed) == 2
    assert replaced
    assert other.centres.tolist() == undisturbed.centres.tolist()
    np.testing.assert_array_equal(other.radii, undisturbed.radii)
    np.testing.assert_array_equal(
        other.min_distance_to_other_groups, undisturbed.min_distance_to_other_groups
    )
    np.testing.assert_array_equal(
        other.min_distance_to_other_groups_at[128], undisturbed.min_distance_to_other_groups_at[128]
    )


def test_composable_coresets_are_those_of_shards_in_this_process_whatever_dies(features, killing):
    from tests.laws.test_sharded_selection import sharded

    kernel = "int8" if int8.is_usable_for(features, HOST) else "gemm"
    groups = groups_of(ROWS)
    rows = sharded(kernel, features, [*ENDS, ROWS], groups)
    here = composable_coreset_of_shards(rows, PICKS, start=77)
    shards, of_shards, replaced = np.split(features, ENDS), np.split(groups, ENDS), []
    with killing("ShardActor", 2) as killed:
        found = compose_in_shards(
            shards, PICKS, start=77, groups=of_shards, on_replaced=replaced.append
        )
    assert len(killed) == 2
    assert replaced
    assert found.coreset.centres.tolist() == here.coreset.centres.tolist()
    assert found.least_radius == pytest.approx(here.least_radius, rel=1e-4)
    np.testing.assert_allclose(found.coreset.radii, here.coreset.radii, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(
        found.coreset.min_distance_to_other_groups,
        rows.distances_to_other_groups(PICKS),
        rtol=1e-4,
        atol=1e-2,
    )


def test_a_shard_that_dies_again_and_again_is_an_error_of_one_line(features, monkeypatch):
    from patchbank.core.coreset.gemm_rows import GemmRows
    from patchbank.core.coreset.int8_rows import Int8Rows

    def die(self):
        os._exit(1)

    for kind in (GemmRows, Int8Rows):  # sent to the actors with the class that holds them
        monkeypatch.setattr(kind, "width", die)
    with pytest.raises(ClusterError, match="^cluster: expected shard 0 to stay in memory") as said:
        select_in_shards([Dying(features[:1024])], 5)
    assert "\n" not in str(said.value)


class Dying(np.ndarray):
    """Features that no process can hold."""

    def __new__(cls, values):
        return values.view(cls)

    def __reduce__(self):
        return _exit, ()


def _exit():
    os._exit(1)


def test_what_cannot_be_selected_is_an_error_of_one_line(features):
    with pytest.raises(ShapeError, match="at least one shard"):
        select_in_shards([], 5)
    with pytest.raises(ShapeError, match="groups: expected those of 1 shards, got those of 2"):
        select_in_shards([features], 5, groups=[np.zeros(3), np.zeros(3)])
    with pytest.raises(ParameterError, match="begin at a multiple of 1024 rows"):
        select_in_shards([features[:1000], features[1000:]], 5)
    with pytest.raises(ParameterError, match="n_keep: expected 1 to 1024"):
        select_in_shards([features[:1024]], 2000)
