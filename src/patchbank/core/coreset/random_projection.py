"""Random projections to a space of fewer dimensions (PatchCore, Algorithm 1, line 2).

They are used for the selection only: the bank holds the features themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.choices import Projection
from patchbank.core.array_api import blocks, on_device_of, to_numpy
from patchbank.runtime.devices import HOST, Device
from patchbank.runtime.scratch import drop_pages, empty_like_storage
from patchbank.types import Array

PROJECTED_ROWS = 8192  # at a time


def projection_matrix(
    kind: Projection, d: int, n_dims: int, *, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw a matrix that keeps distances on average, up to a constant factor.  -> (d, n_dims).

    * ``gaussian``: normal entries (Johnson and Lindenstrauss, 1984);
    * ``uniform``: from -1/sqrt(d) to 1/sqrt(d), the initial weights of a linear layer (official
      code); it shortens all distances by the same factor on average, which changes no choice;
    * ``sparse``: zeros but for a share 1/sqrt(d) of entries of equal magnitude (Li et al., 2006;
      hcw-00, anomalib).
    """
    if kind == "uniform":
        matrix = rng.uniform(-1.0, 1.0, (d, n_dims)) / np.sqrt(d)
    elif kind == "sparse":
        share = 1.0 / np.sqrt(d)
        signs = rng.choice([-1.0, 0.0, 1.0], (d, n_dims), p=[share / 2, 1 - share, share / 2])
        matrix = signs / np.sqrt(share * n_dims)
    else:
        matrix = rng.standard_normal((d, n_dims)) / np.sqrt(n_dims)
    return np.asarray(matrix, dtype=np.float32)


def johnson_lindenstrauss_dims(n: int, distortion: float = 0.9) -> int:
    """Dimensions that keep all squared distances of n points within 1 +- `distortion`.

    >>> johnson_lindenstrauss_dims(163_840)  # a class of 209 images of 28 x 28 patches
    296
    """
    return int(4 * np.log(n) / (distortion**2 / 2 - distortion**3 / 3))


def project(
    features: Array, matrix: NDArray[np.float32], *, device: Device = HOST
) -> NDArray[np.float32]:
    """Multiply by a projection matrix, block by block.  (n, d), (d, n_dims) -> (n, n_dims)."""
    out: NDArray[np.float32] = empty_like_storage(
        features, (len(features), matrix.shape[1]), np.float32
    )
    matrix_there = on_device_of(matrix, device.put(features[:1]))
    for tile in blocks(len(features), PROJECTED_ROWS * device.tile_factor):
        out[tile] = to_numpy(device.put(features[tile]) @ matrix_there)
        drop_pages(features[tile])
        drop_pages(out[tile])
    return out
