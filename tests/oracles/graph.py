"""Max-relative aggregation by loops, from equation 3 of the GraphCore paper."""

import numpy as np


def max_relative(nodes, k):
    """Neighbours are the k nodes of largest cosine, each itself first, the lowest of equals."""
    nodes = nodes.astype(np.float64)
    found = np.empty_like(nodes)
    for i, node in enumerate(nodes):
        others = [j for j in range(len(nodes)) if j != i]
        others.sort(key=lambda j: (round(distance(node, nodes[j]) * 2**30), j))
        neighbours = [i, *others[: k - 1]]
        found[i] = np.max([nodes[j] - node for j in neighbours], axis=0)
    return found


def distance(one, other):
    """Squared, of the directions."""
    directions = [v / max(np.linalg.norm(v), 1e-12) for v in (one, other)]
    return float(np.square(directions[0] - directions[1]).sum())
