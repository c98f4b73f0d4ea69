"""Graph of similar patches inside one image, and max-relative features on it.

Vision GNN (Han et al., NeurIPS 2022) connects each node with its k nearest in feature space and
computes, for each channel, by how much the neighbours exceed it (max-relative graph convolution, Li
et al., 2019; equation 3 of the GraphCore paper).  Neighbours are found by features alone, not by
position: rotating the image changes the graph only as far as it changes the features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import blocks
from patchbank.core.finite import require_finite
from patchbank.errors import ParameterError
from patchbank.types import Features

RESOLUTION = 2.0**-30  # of squared distances on the unit sphere; smaller differences are ties
BLOCK_DISTANCES = 2**24  # computed at a time: all of 4096 nodes


def max_relative(nodes: Features, k: int) -> Features:
    """Largest excess of the k nearest nodes over each node, per channel.  (n, d) -> (n, d), >= 0.

    m_i = max over j in N(i) of (f_j - f_i), where N(i) contains i itself, as in the published code.

    >>> max_relative(np.array([[1.0, 0.0], [2.0, 0.5], [0.0, 9.0]], np.float32), 2).tolist()
    [[1.0, 0.5], [0.0, 0.0], [2.0, 0.0]]
    """
    highest = nodes
    for neighbours in nearest_nodes(nodes, k).T:  # (n,)
        highest = np.maximum(highest, nodes[neighbours])
    return highest - nodes


def nearest_nodes(nodes: Features, k: int) -> NDArray[np.intp]:
    """The k nodes of the most similar direction, each node itself among them.  (n, d) -> (n, k).

    Numbers are ascending.  With fewer than k nodes, all of them are neighbours.  A graph is a
    discontinuous function of its features, so rounding must not decide: products are in double
    precision, squared distances within 2**-30 are ties, and ties go to the lowest number.

    Raises:
        ParameterError: `k` is less than 1.
        ShapeError: a number is not finite.
    """
    require_finite("nodes", nodes)
    if k < 1:
        raise ParameterError(f"k: expected 1 or more neighbours, got {k}")
    n = len(nodes)
    if k >= n:
        return np.broadcast_to(np.arange(n), (n, n))
    directions = nodes.astype(np.float64)
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    directions /= np.where(lengths > 0, lengths, 1.0)
    norms = np.square(directions).sum(axis=1)  # 1, or 0 for a node of zeros
    nearest = np.empty((n, k), dtype=np.intp)
    for some in blocks(n, max(1, BLOCK_DISTANCES // n)):
        squared = norms[some, None] + norms - 2.0 * (directions[some] @ directions.T)  # (m, n)
        keys = np.rint(squared / RESOLUTION).astype(np.int64) * n + np.arange(n)
        # Each node is its own nearest, whatever the rounding.
        keys[np.arange(len(keys)), np.arange(n)[some]] = -1
        nearest[some] = np.argpartition(keys, k - 1, axis=1)[:, :k]
    return np.sort(nearest, axis=1)
