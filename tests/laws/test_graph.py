"""Laws of the graph of patches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbank.core import patch_graph
from patchbank.core.patch_graph import max_relative, nearest_nodes
from patchbank.errors import ParameterError
from patchbank.methods.graphcore import GraphCoreSettings, embed
from tests.oracles import graph as oracle


def nodes_of(seed, n, d, levels):
    return np.random.default_rng(seed).integers(0, levels, (n, d)).astype(np.float32)


@given(st.integers(0, 999), st.integers(1, 14), st.integers(1, 4), st.integers(1, 16))
def test_it_equals_the_loops_of_the_definition(seed, n, d, k):
    nodes = nodes_of(seed, n, d, levels=4)  # few levels: ties and zero vectors happen
    np.testing.assert_allclose(max_relative(nodes, k), oracle.max_relative(nodes, k), atol=1e-6)


@given(st.integers(0, 999), st.integers(2, 30), st.integers(1, 30))
def test_each_node_is_its_own_neighbour_and_none_comes_twice(seed, n, k):
    neighbours = nearest_nodes(nodes_of(seed, n, 3, levels=3), k)
    assert neighbours.shape == (n, min(n, k))
    for node, row in enumerate(neighbours):
        assert node in row
        assert len(set(row.tolist())) == len(row)


@given(st.integers(0, 999), st.integers(2, 20), st.integers(1, 9))
def test_nothing_hangs_on_the_order_of_nodes_but_ties(seed, n, k):
    rng = np.random.default_rng(seed)
    nodes = rng.normal(size=(n, 5)).astype(np.float32)  # no ties
    order = rng.permutation(n)
    np.testing.assert_array_equal(max_relative(nodes[order], k), max_relative(nodes, k)[order])


@given(st.integers(0, 999), st.floats(0.001, 1000.0))
def test_neighbours_are_found_by_direction_alone(seed, scale):
    nodes = np.random.default_rng(seed).normal(size=(17, 6)).astype(np.float32)
    louder = nodes * np.float32(scale)
    np.testing.assert_array_equal(nearest_nodes(nodes, 5), nearest_nodes(louder, 5))


@given(st.integers(0, 999), st.integers(1, 60))
def test_distances_in_blocks_give_the_same_graph(seed, n_distances):
    nodes = nodes_of(seed, 19, 3, levels=4)
    whole = nearest_nodes(nodes, 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patch_graph, "BLOCK_DISTANCES", n_distances)
        np.testing.assert_array_equal(nearest_nodes(nodes, 5), whole)


def test_rounding_does_not_choose_neighbours(rng):
    nodes = rng.normal(size=(60, 32)).astype(np.float32)
    nodes[30:] = nodes[:30]  # every node has a twin: exact ties
    noise = rng.normal(size=nodes.shape) * 1e-12
    moved = nodes.astype(np.float64) + noise
    np.testing.assert_array_equal(nearest_nodes(nodes, 7), nearest_nodes(moved, 7))


def test_features_that_turn_take_their_graph_with_them(rng):
    """Neighbours are found wherever they lie, so the graph knows no direction."""
    maps = [rng.normal(size=(5, 6, 9)).astype(np.float32)]
    settings = GraphCoreSettings(patch_size=1, patch_stride=1, graph_neighbours=4)
    turned = [np.ascontiguousarray(np.rot90(m, axes=(1, 2))) for m in maps]
    np.testing.assert_array_equal(embed(settings, turned), np.rot90(embed(settings, maps)))


def test_the_graph_is_left_out_where_it_weighs_nothing(rng):
    maps = [rng.normal(size=(5, 6, 9)).astype(np.float32)]
    for change in ({"graph_neighbours": 0}, {"graph_weight": 0}):
        assert embed(GraphCoreSettings(patch_stride=1, **change), maps).shape == (6, 9, 5)
    assert embed(GraphCoreSettings(patch_stride=1), maps).shape == (6, 9, 10)


def test_a_graph_without_neighbours_is_refused():
    with pytest.raises(ParameterError, match="k: expected 1 or more"):
        max_relative(np.zeros((3, 2), np.float32), 0)
