"""The graph of a ViG block: who is whose neighbour, and what a node takes from its neighbours.

A graph of nearest neighbours is not continuous: where two nodes are equally far, the last bit of
a feature decides which one is taken, and the choice changes the features of the node by a few per
cent, three or four blocks further on those of all nodes.  So distances are made in float64, which
no order of summation and no number of threads changes by more than 1e-15, and are compared to
1.5e-11: what is nearer to each other counts as equally far, and the lowest number goes first.
"""

from __future__ import annotations

import torch
from torch.nn import functional

STEPS = 2**36  # to a distance of 1; distances plus relative positions lie within -4 and 4
NUMBERS = 2**20  # more than there are nodes: a distance in steps and a number fill an int64


def nearest(
    nodes: torch.Tensor,
    candidates: torch.Tensor,
    n_neighbours: int,
    dilation: int,
    relative_pos: torch.Tensor | None = None,
) -> torch.Tensor:
    """Find the neighbours of every node among the candidates, a node itself among them.

    Distances are squared, between features of length 1.  The n_neighbours * dilation nearest are
    sorted and every dilation-th is kept, the nearest first.  A map with fewer nodes sorts all it
    has, so that a node then has fewer neighbours, as far apart in rank as ever.

    Args:
        nodes: (b, n, c) features.
        candidates: (b, m, c) features.
        n_neighbours: for each node.
        dilation: of the sorted candidates every `dilation`-th is kept.
        relative_pos: (1, n, m) to add to the squared distances.

    Returns:
        (b, n, k) numbers of candidates, k at most n_neighbours.

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
    # |node|^2 is left out: it is the same for all candidates of a node
    distances = distances + candidates.square().sum(dim=-1)[:, None]
    if relative_pos is not None:
        distances = distances + relative_pos
    numbers = torch.arange(n_candidates, device=distances.device)
    keys = (distances * STEPS).round().long() * NUMBERS + numbers
    count = torch.sym_min(n_neighbours * dilation, n_candidates)
    return keys.topk(count, dim=-1, largest=False).indices[..., ::dilation]


def max_relative(
    nodes: torch.Tensor, candidates: torch.Tensor, neighbours: torch.Tensor
) -> torch.Tensor:
    """How far, channel by channel, the neighbours of a node stand out above it at most.

    Equation 3 of GraphCore; the max-relative convolution of Li et al., DeepGCNs (2019).

    Args:
        nodes: (b, n, c) features.
        candidates: (b, m, c) features.
        neighbours: (b, n, k) numbers of candidates.

    Returns:
        (b, n, c), max over the neighbours of candidate - node.

    >>> line = torch.tensor([[[1.0], [4.0], [6.0]]])
    >>> max_relative(line, line, torch.tensor([[[0, 1], [1, 0], [2, 1]]]))[0, :, 0].tolist()
    [3.0, 0.0, 0.0]
    """
    b, m, c = candidates.shape
    first = torch.arange(b, device=neighbours.device)[:, None, None] * m
    found = candidates.reshape(b * m, c)[neighbours + first]  # (b, n, k, c)
    # the largest difference is that of the largest candidate, bit by bit: rounding is monotone
    return found.amax(dim=2) - nodes
