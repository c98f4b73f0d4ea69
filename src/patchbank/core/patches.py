"""From the feature maps of one image to its grid of patch embeddings.

Two ways are known, and both are linear:

* *concatenation* (hcw-00, anomalib; ours): each layer is averaged over p x p neighbourhoods,
  resized to the grid of the first layer, and the channels are put side by side;
* *adaptive pooling* (official code): each p x p neighbourhood is flattened and pooled to
  `layer_dims` numbers, the layers are put side by side and pooled again to `target_dims`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from patchbank.core import sampling
from patchbank.errors import ShapeError
from patchbank.types import FeatureMap


def concatenated(
    maps: Sequence[FeatureMap], patch_size: int = 3, stride: int = 1
) -> NDArray[np.float32]:
    """Embed patches as neighbourhood means of all layers.  [(c, h, w), ...] -> (h, w, d).

    Args:
        maps: one map a layer; the first one's grid is the patch grid.
        patch_size: side of the neighbourhood, 1 and up; zeros beyond the border count.
        stride: of that grid, one patch in so many is kept, in rows and in columns.  (The official
            code strides each layer on its own grid before it aligns them: deep ones get blurred.)

    Raises:
        ShapeError: a map has not three axes, or is smaller than a patch.

    >>> layer2, layer3 = np.ones((4, 6, 8), np.float32), np.ones((2, 3, 4), np.float32)
    >>> concatenated([layer2, layer3]).shape
    (6, 8, 6)
    """
    grid = _grid(maps, patch_size, 1)
    planes = [_averaged(m, patch_size, stride, grid) for m in maps]
    embedding = np.concatenate(planes)  # (d, h, w)
    return np.ascontiguousarray(embedding.transpose(1, 2, 0))  # (h, w, d)


def adaptively_pooled(
    maps: Sequence[FeatureMap],
    patch_size: int = 3,
    stride: int = 1,
    *,
    layer_dims: int = 1024,
    target_dims: int = 1024,
) -> NDArray[np.float32]:
    """Embed patches as the official code does, without unfolding.  [(c, h, w), ...] -> (h, w, d).

    Pooling over the flattened neighbourhood mixes channels by a fixed sparse matrix for each of
    the p x p offsets, and resizing acts on space alone, so the two commute: mix at the layer's own
    resolution, add the offsets up, resize the sum.

    Args:
        maps: one map a layer, in the order listed; the first one's grid is the patch grid.
        patch_size: side of the neighbourhood, 1 and up; zeros beyond the border count.
        stride: steps between patches, 1 and up.
        layer_dims: what each layer's neighbourhood is pooled to (``pretrain_embed_dimension``).
        target_dims: what all layers together are pooled to (``target_embed_dimension``).
    """
    h, w = _grid(maps, patch_size, stride)
    channels = tuple(len(m) for m in maps)
    mixers = _mixers(channels, patch_size, layer_dims, target_dims)
    total = np.zeros((target_dims, h, w), dtype=np.float32)
    for planes, layer in zip(maps, mixers, strict=True):
        c, rows, columns = planes.shape
        mixed: NDArray[np.float32] | None = None
        for offset, mixer in enumerate(layer):
            down = sampling.window_pick(rows, patch_size, stride, offset // patch_size)
            across = sampling.window_pick(columns, patch_size, stride, offset % patch_size)
            shifted = sampling.apply(down, across, planes)  # (c, grid of this layer)
            part = (mixer @ shifted.reshape(c, -1)).reshape(-1, *shifted.shape[1:])
            mixed = part if mixed is None else mixed + part
        if mixed is not None:
            total += _resized(mixed, (h, w))
    return np.ascontiguousarray(total.transpose(1, 2, 0))  # (h, w, target_dims)


def _grid(maps: Sequence[FeatureMap], patch_size: int, stride: int) -> tuple[int, int]:
    padding = (patch_size - 1) // 2
    sides = []
    for planes in maps:
        if planes.ndim != 3:
            raise ShapeError(f"feature map: expected (c, h, w), got {planes.shape}")
        sides.append([(n + 2 * padding - patch_size) // stride + 1 for n in planes.shape[1:]])
        if min(sides[-1]) < 1:
            raise ShapeError(
                f"feature map: expected at least one patch of {patch_size} x {patch_size}, "
                f"got a grid of {planes.shape[1]} x {planes.shape[2]}; use a larger image_size"
            )
    return sides[0][0], sides[0][1]


def _averaged(
    planes: FeatureMap, patch_size: int, stride: int, grid: tuple[int, int]
) -> NDArray[np.float32]:
    down, across = (
        (sampling.resize(window.shape[0], n) @ window)[::stride]
        for n, window in (
            (n, sampling.window_mean(side, patch_size))
            for n, side in zip(grid, planes.shape[1:], strict=True)
        )
    )
    return sampling.apply(down, across, planes)  # (c, h, w)


def _resized(planes: NDArray[np.float32], grid: tuple[int, int]) -> NDArray[np.float32]:
    if planes.shape[1:] == grid:
        return planes
    down, across = (
        sampling.resize(side, n) for side, n in zip(planes.shape[1:], grid, strict=True)
    )
    return sampling.apply(down, across, planes)


@lru_cache(maxsize=8)
def _mixers(
    channels: tuple[int, ...], patch_size: int, layer_dims: int, target_dims: int
) -> tuple[tuple[sparse.csr_array, ...], ...]:
    """For each layer, for each offset: the (target_dims, c) matrix of both poolings."""
    second = _adaptive_pooling(layer_dims * len(channels), target_dims)
    mixers = []
    for number, c in enumerate(channels):
        first = _adaptive_pooling(c * patch_size**2, layer_dims)
        columns = slice(number * layer_dims, (number + 1) * layer_dims)
        both = (second[:, columns] @ first).tocsc()  # (target_dims, c * p * p), channel first
        mixers.append(
            tuple(
                both[:, offset :: patch_size**2].tocsr().astype(np.float32)
                for offset in range(patch_size**2)
            )
        )
    return tuple(mixers)


def _adaptive_pooling(n_in: int, n_out: int) -> sparse.csr_array:
    """Adaptive average pooling: output i is the mean of floor(i n/o) .. ceil((i+1) n/o) - 1."""
    begin = np.arange(n_out) * n_in // n_out
    end = -(-(np.arange(n_out) + 1) * n_in // n_out)
    sizes = end - begin
    columns = np.concatenate([np.arange(b, e) for b, e in zip(begin, end, strict=True)])
    weights = np.repeat(1.0 / sizes, sizes)
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    return sparse.csr_array((weights, columns, bounds), shape=(n_out, n_in))
