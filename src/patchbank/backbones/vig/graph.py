"""The graph of a ViG block: nearest neighbours, and the max-relative aggregation over them.

A graph of nearest neighbours is not continuous: if two nodes are at the same distance, a rounding
error decides between them; the choice changes the features of the node by a few per cent, and three
or four blocks later those of all nodes.  Distances are therefore computed in float64, where the
order of summation and the number of threads change them by at most 1e-15, and rounded to 1.5e-11:
distances that are equal after rounding are ties, which the lowest index wins.
"""

from __future__ import annotations

import torch
from torch.nn import functional

STEPS = 2**36  # per unit of distance; distances plus relative positions lie within -4 and 4
MAX_NODES = 2**20  # a distance in steps and the index of a node share one int64


def nearest(
    nodes: torch.Tensor,
    candidates: torch.Tensor,
    n_neighbours: int,
    dilation: int,
    relative_pos: torch.Tensor | None = None,
) -> torch.Tensor:
    """Find the nearest candidates of every node; a node can be its own neighbour.

    Distances are squared Euclidean, between features normalised to length 1.  Of the n_neighbours *
    dilation nearest candidates, every dilation-th is kept, nearest first.  On a map with fewer
    nodes than that, a node has fewer neighbours, with the same dilation.

    Args:
        nodes: (b, n, c) features.
        candidates: (b, m, c) features.
        n_neighbours: per node.
        dilation: every `dilation`-th of the sorted candidates is kept.
        relative_pos: (1, n, m), added to the squared distances.

    Returns:
        (b, n, k) indices of candidates, k at most n_neighbours.

    Cost: n * m * c multiplications in float64, and 24 bytes for each of n * m pairs.

    >>> line = torch.tensor([[[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]])
    >>> nearest(line, line, 2, 1).tolist()
    [[[0, 1], [1, 0], [2, 1]]]
    """
    n_candidates = candidates.shape[1]
    nodes, candidates = (
        functional.normalize(features.double(), dim=-1) for features in (nodes, candidates)
    )
    distances = -2 * nodes @ candidates.transpose(1, 2)  # (b, n, m)
    # without |node|^2, which is the same for all candidates of a node
    distances = distances + candidates.square().sum(dim=-1)[:, None]
    if relative_pos is not None:
        distances = distances + relative_pos
    indices = torch.arange(n_candidates, device=distances.device)
    keys = (distances * STEPS).round().long() * MAX_NODES + indices
    count = torch.sym_min(n_neighbours * dilation, n_candidates)
    return keys.topk(count, dim=-1, largest=False).indices[..., ::dilation]


def max_relative(
    nodes: torch.Tensor, candidates: torch.Tensor, neighbours: torch.Tensor
) -> torch.Tensor:
    """Per channel, the largest difference between a neighbour of a node and the node.

    This is equation 3 of GraphCore, the max-relative convolution of Li et al., DeepGCNs (2019).

    Args:
        nodes: (b, n, c) features.
        candidates: (b, m, c) features.
        neighbours: (b, n, k) indices of candidates.

    Returns:
        (b, n, c), max over the neighbours of candidate - node.

    >>> line = torch.tensor([[[1.0], [4.0], [6.0]]])
    >>> max_relative(line, line, torch.tensor([[[0, 1], [1, 0], [2, 1]]]))[0, :, 0].tolist()
    [3.0, 0.0, 0.0]
    """
    b, m, c = candidates.shape
    first = torch.arange(b, device=neighbours.device)[:, None, None] * m
    gathered = candidates.reshape(b * m, c)[neighbours + first]  # (b, n, k, c)
    # subtracting after the maximum gives the same bits, because rounding is monotone
    return gathered.amax(dim=2) - nodes
