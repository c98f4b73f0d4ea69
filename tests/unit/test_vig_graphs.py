"""Graphs and positions of Vision GNNs against slow and obvious twins."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from patchbank.backbones.vig.graph import max_relative, nearest
from patchbank.backbones.vig.positions import relative_positions, resized


def slow_nearest(nodes, candidates, n_neighbours, dilation, extra):
    """All distances with python's own sort: by distance, then by number."""
    found = []
    for one, others, add in zip(nodes, candidates, extra, strict=True):
        rows = []
        for node, row in zip(one, add, strict=True):
            unit = node / np.linalg.norm(node)
            distances = [
                round(float(((unit - c / np.linalg.norm(c)) ** 2).sum() + a), 9)
                for c, a in zip(others, row, strict=True)
            ]
            order = sorted(range(len(others)), key=lambda j, d=distances: (d[j], j))
            rows.append(order[: n_neighbours * dilation : dilation])
        found.append(rows)
    return found


@pytest.mark.parametrize(("n_neighbours", "dilation"), [(3, 1), (2, 3), (4, 5)])
def test_neighbours_are_those_of_the_definition_ties_by_number(rng, n_neighbours, dilation):
    b, n, m, c = 2, 7, 11, 3  # 4 x 5 nodes are more than there are
    nodes = rng.integers(1, 3, (b, n, c)).astype(np.float32)  # so few values that many are equal
    candidates = rng.integers(1, 3, (b, m, c)).astype(np.float32)
    extra = rng.integers(0, 2, (1, n, m)).astype(np.float32)
    found = nearest(*map(torch.from_numpy, (nodes, candidates)), n_neighbours, dilation)
    assert found.tolist() == slow_nearest(
        nodes, candidates, n_neighbours, dilation, 0 * extra[[0, 0]]
    )
    found = nearest(
        *map(torch.from_numpy, (nodes, candidates)), n_neighbours, dilation, torch.from_numpy(extra)
    )
    assert found.tolist() == slow_nearest(nodes, candidates, n_neighbours, dilation, extra[[0, 0]])


def test_equal_directions_are_not_distinguished_by_their_rounding(rng):
    few = torch.from_numpy(rng.standard_normal((5, 192)))
    nodes = few[torch.from_numpy(rng.integers(0, 5, 60))][None]  # a flat background repeats itself
    longer = nodes * torch.from_numpy(rng.uniform(1, 2, (1, 60, 1)))
    assert nearest(nodes, nodes, 9, 2).tolist() == nearest(longer, longer, 9, 2).tolist()


def test_what_stands_out_is_that_of_the_definition(rng):
    b, n, m, c, k = 2, 5, 7, 3, 4
    nodes, candidates = (rng.standard_normal((b, count, c)).astype(np.float32) for count in (n, m))
    neighbours = rng.integers(0, m, (b, n, k))
    expected = [
        [
            np.max([candidates[image, j] - nodes[image, i] for j in neighbours[image, i]], axis=0)
            for i in range(n)
        ]
        for image in range(b)
    ]
    found = max_relative(*map(torch.from_numpy, (nodes, candidates, neighbours)))
    np.testing.assert_array_equal(found, np.array(expected))


@pytest.mark.parametrize(("grid", "reduction"), [((8, 12), 4), ((4, 6), 2), ((3, 5), 1)])
def test_positions_of_any_grid_follow_the_published_rule(grid, reduction):
    """Sines and cosines of column and row, then the matrix shrunk bicubically by torch."""
    channels = 24
    frequencies = 10000.0 ** -(np.arange(channels // 4) / (channels // 4))
    rows = [
        np.concatenate([f(side * frequencies) for side in (x, y) for f in (np.sin, np.cos)])
        for y in range(grid[0])
        for x in range(grid[1])
    ]
    whole = -2 / channels * np.array(rows) @ np.array(rows).T
    n = len(rows)
    expected = functional.interpolate(
        torch.from_numpy(whole)[None, None], size=(n, n // reduction**2), mode="bicubic"
    )
    found = relative_positions(channels, *grid, reduction)
    np.testing.assert_allclose(found, expected[0], rtol=0, atol=1e-6)


def test_position_embeddings_stay_as_they_are_on_their_own_grid(rng):
    given = torch.from_numpy(rng.standard_normal((1, 5, 14, 14)).astype(np.float32))
    assert torch.equal(resized(given, 14, 14), given)
    ramp = torch.arange(14.0)[None, None, :, None].expand(1, 1, 14, 14)
    down = resized(ramp, 7, 21)[0, 0]
    assert down.shape == (7, 21)
    np.testing.assert_allclose(down[1:-1, 3], 0.5 + 2 * np.arange(1, 6), atol=1e-5)  # rows are rows
