"""The one-at-a-time selection that the block selection is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def one_at_a_time(features: NDArray[np.floating[Any]], n_keep: int, start: int) -> NDArray[np.intp]:
    """The loop of Gonzalez (1985), one matrix-vector product a centre.  (n, d) -> (n_keep,).

    It computes in the type of `features`: in float64 it is exact but for ties within rounding.
    """
    norms = np.einsum("nd,nd->n", features, features)
    min_distances = np.full(len(features), np.inf, dtype=features.dtype)
    rows, row = np.empty(n_keep, dtype=np.intp), start
    for i in range(n_keep):
        rows[i] = row
        distance = norms + norms[row] - 2 * (features @ features[row])
        np.minimum(min_distances, distance, out=min_distances)
        min_distances[row] = -1.0
        row = int(min_distances.argmax())
    return rows
