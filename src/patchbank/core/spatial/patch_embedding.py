"""Patch embedding: from the feature maps of an image to a grid of patch features.

Two embeddings are in use, and both are linear:

* *concatenation* (hcw-00, anomalib; the default): each layer is averaged over p x p
  neighbourhoods and resized to the grid of the first layer, and the channels are concatenated;
* *adaptive pooling* (official code): each p x p neighbourhood is flattened and pooled to
  `layer_dims` numbers; the layers are concatenated and pooled again to `target_dims`.

Maps are numpy arrays or torch tensors; the embedding is on the same device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from patchbank.choices import Interpolation
from patchbank.core.array_api import device_of, namespace, on_device_of
from patchbank.core.spatial import resampling
from patchbank.core.spatial.resampling import Operator
from patchbank.errors import ShapeError
from patchbank.types import Array

if TYPE_CHECKING:
    from scipy import sparse


def concatenated(
    maps: Sequence[Array],
    patch_size: int = 3,
    stride: int = 1,
    *,
    alignment: Interpolation = "bilinear",
) -> Array:
    """Embed patches as neighbourhood means of all layers.  [(c, h, w), ...] -> (h, w, d).

    Args:
        maps: one map per layer; the grid of the first is the patch grid.
        patch_size: side of the neighbourhood, 1 or more; padding zeros count in the mean.
        stride: keep every `stride`-th row and column of the patch grid.  (The official code strides
            each layer on its own grid before alignment, which blurs deep layers.)
        alignment: how the other layers are resized to that grid.

    Raises:
        ShapeError: a map does not have three axes, or is smaller than a patch.

    >>> layer2, layer3 = np.ones((4, 6, 8), np.float32), np.ones((2, 3, 4), np.float32)
    >>> concatenated([layer2, layer3]).shape
    (6, 8, 6)
    """
    grid = _grid(maps, patch_size, 1)
    planes = []
    for layer in maps:
        size = layer.shape[1], layer.shape[2]
        rows, columns = layer_operators(size, patch_size, stride, grid, alignment)
        planes.append(resampling.apply(rows, columns, layer))  # (c, h, w)
    return _channels_last(namespace(maps[0]).concat(planes))


def adaptively_pooled(
    maps: Sequence[Array],
    patch_size: int = 3,
    stride: int = 1,
    *,
    layer_dims: int = 1024,
    target_dims: int = 1024,
    alignment: Interpolation = "bilinear",
) -> Array:
    """Embed patches as the official code does, without unfolding.  [(c, h, w), ...] -> (h, w, d).

    Pooling over the flattened neighbourhood mixes channels by a fixed sparse matrix for each of
    the p x p offsets, and resizing acts on space alone, so the two commute: mix at the layer's own
    resolution, sum over the offsets, resize the sum.  Most offsets have the same matrix, and share
    one window sum.

    Args:
        maps: one map per layer, in the order listed; the grid of the first is the patch grid.
        patch_size: side of the neighbourhood, 1 or more; padding zeros count.
        stride: cells from one patch to the next, 1 or more.
        layer_dims: numbers per layer and patch (``pretrain_embed_dimension``).
        target_dims: numbers per patch (``target_embed_dimension``).
        alignment: how the other layers are resized to the grid of the first.
    """
    h, w = _grid(maps, patch_size, stride)
    channels = tuple(m.shape[0] for m in maps)
    total = on_device_of(np.zeros((target_dims, h, w), dtype=np.float32), maps[0])
    for planes, mixer in zip(
        maps, mixers(channels, patch_size, layer_dims, target_dims), strict=True
    ):
        mixed = _mixed(planes, mixer, patch_size, stride)
        total[mixer.rows] += _resized(mixed, (h, w), alignment)
    return _channels_last(total)  # (h, w, target_dims)


def _channels_last(planes: Array) -> Array:
    """(d, h, w) -> (h, w, d), contiguous."""
    last = namespace(planes).permute_dims(planes, (1, 2, 0))
    return np.ascontiguousarray(last) if isinstance(last, np.ndarray) else last.contiguous()


def _grid(maps: Sequence[Array], patch_size: int, stride: int) -> tuple[int, int]:
    padding = (patch_size - 1) // 2
    sides = []
    for planes in maps:
        if planes.ndim != 3:
            raise ShapeError(f"feature map: expected (c, h, w), got {tuple(planes.shape)}")
        sides.append([(n + 2 * padding - patch_size) // stride + 1 for n in planes.shape[1:]])
        if min(sides[-1]) < 1:
            raise ShapeError(
                f"feature map: expected at least one patch of {patch_size} x {patch_size}, "
                f"got a grid of {planes.shape[1]} x {planes.shape[2]}; use a larger image_size"
            )
    return sides[0][0], sides[0][1]


def layer_operators(
    size: tuple[int, int],
    patch_size: int,
    stride: int,
    grid: tuple[int, int],
    alignment: Interpolation,
) -> tuple[Operator, Operator]:
    """Operators that average a layer over neighbourhoods, resize it to the patch grid, and stride.

    `concatenated` applies them to each layer: rows @ map @ columns.T.

    Args:
        size: (h, w) of the layer's feature map.
        patch_size: side of the neighbourhood, 1 or more; padding zeros count in the mean.
        stride: keep every `stride`-th row and column of the patch grid.
        grid: (h', w') of the patch grid before striding.
        alignment: how the layer is resized to the grid.

    Returns:
        (ceil(h' / stride), h) for the rows and (ceil(w' / stride), w) for the columns.

    >>> rows, columns = layer_operators((2, 3), 3, 1, (4, 6), "bilinear")
    >>> rows.shape, columns.shape
    ((4, 2), (6, 3))
    """
    rows, columns = (
        resampling.resize(window.shape[0], n, alignment).after(window, stride)
        for n, window in (
            (n, resampling.window_mean(side, patch_size))
            for n, side in zip(grid, size, strict=True)
        )
    )
    return rows, columns


def _resized(planes: Array, grid: tuple[int, int], alignment: Interpolation) -> Array:
    if tuple(planes.shape[1:]) == grid:
        return planes
    down, across = (
        resampling.resize(side, n, alignment)
        for side, n in zip(planes.shape[1:], grid, strict=True)
    )
    return resampling.apply(down, across, planes)


@dataclass(frozen=True, slots=True)
class Mixer:
    """Both poolings of one layer: a channel matrix for the window sum, and corrections to it."""

    rows: slice
    """The target dimensions that this layer contributes to."""
    common: ChannelMix
    """Matrix that is applied to the sum over all offsets."""
    corrections: tuple[tuple[int, ChannelMix], ...]
    """(offset, difference of its matrix from `common`) where there is a difference."""


def _mixed(planes: Array, mixer: Mixer, patch_size: int, stride: int) -> Array:
    """(c, h, w) -> (rows, h', w') on the layer's own grid."""
    h, w = planes.shape[1:]
    down, across = (
        resampling.window_mean(n, patch_size, stride).scaled(patch_size) for n in (h, w)
    )
    mixed = mixer.common(resampling.apply(down, across, planes))
    for offset, correction in mixer.corrections:
        down = resampling.window_element(h, patch_size, stride, offset // patch_size)
        across = resampling.window_element(w, patch_size, stride, offset % patch_size)
        mixed += correction(resampling.apply(down, across, planes))
    return mixed


class ChannelMix:
    """A sparse matrix over channels, (rows, c); dense for tensors, made once per device."""

    def __init__(self, matrix: sparse.csr_array) -> None:
        self._matrix = matrix
        self._dense: dict[str, Array] = {}

    def dense(self) -> NDArray[np.float32]:
        """The matrix, (rows, c)."""
        return np.asarray(self._matrix.toarray(), dtype=np.float32)

    def __call__(self, planes: Array) -> Array:
        """(c, h, w) -> (rows, h, w)."""
        c, h, w = planes.shape
        flat = planes.reshape(c, h * w)
        if isinstance(planes, np.ndarray):
            return (self._matrix @ flat).reshape(-1, h, w)
        device = str(device_of(planes))
        if device not in self._dense:
            self._dense[device] = on_device_of(self._matrix.toarray(), planes)
        return (self._dense[device] @ flat).reshape(-1, h, w)


@lru_cache(maxsize=8)
def mixers(
    channels: tuple[int, ...], patch_size: int, layer_dims: int, target_dims: int
) -> tuple[Mixer, ...]:
    """Both poolings of each layer, from its channels."""
    second = _adaptive_pooling(layer_dims * len(channels), target_dims)
    mixers = []
    for number, c in enumerate(channels):
        first = _adaptive_pooling(c * patch_size**2, layer_dims)
        columns = slice(number * layer_dims, (number + 1) * layer_dims)
        both = second[:, columns] @ first  # (target_dims, c * p * p), channel first
        touched = np.flatnonzero(np.diff(both.indptr))  # contiguous, since windows are in order
        rows = slice(int(touched[0]), int(touched[-1]) + 1)
        mixers.append(_mixer_of(both[rows].tocsc(), rows, patch_size**2))
    return tuple(mixers)


def _mixer_of(both: sparse.csc_array, rows: slice, n_offsets: int) -> Mixer:
    matrices = [both[:, offset::n_offsets].tocsr() for offset in range(n_offsets)]
    alike = [sum(_same(m, other) for other in matrices) for m in matrices]
    common = matrices[int(np.argmax(alike))]
    corrections = []
    for offset, matrix in enumerate(matrices):
        difference = (matrix - common).tocsr()
        # Differences this small are rounding errors of the two poolings.
        difference.data[np.abs(difference.data) < 1e-12] = 0.0
        difference.eliminate_zeros()
        if difference.nnz:
            corrections.append((offset, ChannelMix(difference.astype(np.float32))))
    return Mixer(rows, ChannelMix(common.astype(np.float32)), tuple(corrections))


def _same(one: sparse.csr_array, other: sparse.csr_array) -> bool:
    difference = one - other
    return difference.nnz == 0 or float(np.abs(difference.data).max()) < 1e-12


def _adaptive_pooling(n_in: int, n_out: int) -> sparse.csr_array:
    """Adaptive average pooling: output i is the mean of floor(i n/o) .. ceil((i+1) n/o) - 1."""
    begin = np.arange(n_out) * n_in // n_out
    end = -(-(np.arange(n_out) + 1) * n_in // n_out)
    sizes = end - begin
    columns = np.concatenate([np.arange(b, e) for b, e in zip(begin, end, strict=True)])
    weights = np.repeat(1.0 / sizes, sizes)
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    from scipy import sparse  # slow to import, and only this embedding needs it

    return sparse.csr_array((weights, columns, bounds), shape=(n_out, n_in))
