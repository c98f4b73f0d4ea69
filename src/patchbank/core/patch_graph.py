"""A graph of similar patches inside one image, and what each patch is among its neighbours.

Vision GNN (Han et al., NeurIPS 2022) joins each node with its k nearest in feature space and takes,
channel by channel, how far the neighbours exceed it (max-relative graph convolution, Li et al.,
2019; equation 3 of the GraphCore paper).  Neighbours are found by features alone, wherever they
lie, so turning the image changes neither the graph nor what comes of it, but for what turning does
to the features themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.errors import ParameterError
from patchbank.types import Features

RESOLUTION = 2.0**-30  # of squared distances on the unit sphere; nearer ones are ties


def max_relative(nodes: Features, k: int) -> Features:
    """How far the k nearest nodes exceed each node, channel by channel.  (n, d) -> (n, d), >= 0.

    m_i = max over j in N(i) of (f_j - f_i), where N(i) holds i itself, as in the published code.

    >>> max_relative(np.array([[1.0, 0.0], [2.0, 0.5], [0.0, 9.0]], np.float32), 2).tolist()
    [[1.0, 0.5], [0.0, 0.0], [2.0, 0.0]]
    """
    highest = nodes
    for neighbours in nearest_nodes(nodes, k).T:  # (n,)
        highest = np.maximum(highest, nodes[neighbours])
    return highest - nodes


def nearest_nodes(nodes: Features, k: int) -> NDArray[np.intp]:
    """The k nodes of the most similar direction, each itself among them.  (n, d) -> (n, k).

    They come in ascending numbers.  Where fewer than k nodes are there, all of them are neighbours.
    A graph is discontinuous, so its choices must not hang on rounding: products are made in double
    precision, distances nearer than 2**-30 are ties, and ties go to the lowest number.

    Raises:
        ParameterError: `k` is less than 1.
    """
    if k < 1:
        raise ParameterError(f"k: expected 1 or more neighbours, got {k}")
    n = len(nodes)
    if k >= n:
        return np.broadcast_to(np.arange(n), (n, n))
    directions = nodes.astype(np.float64)
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    norms = np.square(directions).sum(axis=1)  # 1, or 0 where nothing was seen
    squared = norms[:, None] + norms - 2.0 * (directions @ directions.T)  # (n, n)
    keys = np.rint(squared / RESOLUTION).astype(np.int64) * n + np.arange(n)
    keys[np.diag_indices(n)] = -1  # itself, whatever rounding says
    nearest = np.argpartition(keys, k - 1, axis=1)[:, :k]
    return np.sort(nearest, axis=1)
