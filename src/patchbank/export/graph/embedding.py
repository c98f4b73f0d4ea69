"""Patches from feature maps, as `core.spatial.patch_embedding` makes them, as nodes of a graph.

Maps are (n, c, h, w), patches (n, h, w, d).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from patchbank.choices import Interpolation
from patchbank.core.patch_graph import RESOLUTION
from patchbank.core.spatial.patch_embedding import mixers
from patchbank.export.graph import builder as b
from patchbank.export.graph import operators
from patchbank.export.graph.builder import Tensor, counting
from patchbank.export.graph.scores import number_of

OWN = -(2.0**40)
"""Key of a patch itself, which is its own nearest, whatever the rounding."""
BEYOND = 8.0
"""More than any squared distance on the unit sphere."""


def aligned(
    maps: Sequence[Tensor], patch_size: int, stride: int, alignment: Interpolation
) -> list[Tensor]:
    """Neighbourhood means of each map on the patch grid of the first.  -> (n, c, h, w) each."""
    cells = [_n_windows(maps[0].size(axis), patch_size, 1) for axis in (2, 3)]
    planes = []
    for layer in maps:
        rows, columns = (
            _every(
                operators.resized(
                    operators.window_mean(layer.size(axis), patch_size), n_cells, alignment
                ),
                stride,
            )
            for axis, n_cells in zip((2, 3), cells, strict=True)
        )
        planes.append(operators.applied(rows, columns, layer))
    return planes


def concatenated(
    maps: Sequence[Tensor], patch_size: int, stride: int, alignment: Interpolation
) -> Tensor:
    """Neighbourhood means of all maps side by side.  -> (n, h, w, d)."""
    planes = aligned(maps, patch_size, stride, alignment)
    return b.concatenated(planes, 1).transposed(0, 2, 3, 1)


def adaptively_pooled(
    maps: Sequence[Tensor],
    patch_size: int,
    stride: int,
    alignment: Interpolation,
    *,
    channels: Sequence[int],
    layer_dims: int,
    target_dims: int,
) -> Tensor:
    """Neighbourhoods pooled to `target_dims` numbers, as the official code does."""
    grid = [_n_windows(maps[0].size(axis), patch_size, stride) for axis in (2, 3)]
    total: Tensor | None = None
    for layer, mixer in zip(
        maps, mixers(tuple(channels), patch_size, layer_dims, target_dims), strict=True
    ):
        down, across = (
            operators.window_mean(layer.size(axis), patch_size, stride) * float(patch_size)
            for axis in (2, 3)
        )
        mixed = _mixed(mixer.common.dense(), operators.applied(down, across, layer))
        for offset, correction in mixer.corrections:
            down, across = (
                operators.window_element(layer.size(axis), patch_size, stride, place)
                for axis, place in zip((2, 3), divmod(offset, patch_size), strict=True)
            )
            mixed = mixed + _mixed(correction.dense(), operators.applied(down, across, layer))
        rows, columns = (
            operators.resized(operators.identity(mixed.size(axis)), n, alignment)
            for axis, n in zip((2, 3), grid, strict=True)
        )
        before, after = mixer.rows.start, target_dims - mixer.rows.stop
        own = operators.applied(rows, columns, mixed).padded([0, before, 0, 0, 0, after, 0, 0])
        total = own if total is None else total + own
    assert total is not None
    return total.transposed(0, 2, 3, 1)


def with_graph(
    patches: Tensor, n_neighbours: int, weight: float, counted: Tensor | None = None
) -> Tensor:
    """Patches with their max-relative graph features (`core.patch_graph`).  -> (n, h, w, 2 d).

    Args:
        patches: (n, h, w, d).
        n_neighbours: of each patch, itself among them.
        weight: of the graph features.
        counted: (h, w) bool, the patches that are neighbours; None where all are.
    """
    builder = patches.builder
    nodes = patches.reshaped(0, -1, patches.size(3))  # (n, p, d)
    count = nodes.size(1)
    wide = nodes.cast(np.float64)
    length = (wide * wide).sum(2, keep=True).apply("Sqrt")
    direction = wide / (length > 0.0).where(length, 1.0)
    norms = (direction * direction).sum(2)
    products = direction @ direction.transposed(0, 2, 1)
    squared = norms.with_axis(2) + norms.with_axis(1) - products * 2.0
    number = counting(count)
    most = count
    if counted is not None:
        squared, most = counted.reshaped(1, 1, -1).where(squared, BEYOND), number_of(counted)
    # Of equal keys ONNX takes the first ones; OpenVINO may take others, which are as near.  Keys of
    # integers, number included, would not fit OpenVINO's 32 bits.
    keys = (squared / RESOLUTION).apply("Round")
    keys = number.with_axis(1).equals(number.with_axis(0)).where(builder.constant(OWN), keys)
    _, neighbours = keys.largest(most.minimum(n_neighbours), smallest=True)  # (n, p, k)
    photograph = counting(nodes.size(0)) * count
    rows = neighbours + photograph.with_axis(1, 2)
    values = nodes.reshaped(-1, patches.size(3)).gathered(rows)  # (n, p, k, d)
    highest = values.reduced("ReduceMax", (2,))
    relative = (highest.maximum(nodes) - nodes) * np.float32(weight)
    shape = [patches.size(axis) for axis in range(4)]
    return b.concatenated([patches, relative.reshaped(*shape)], 3)


def _n_windows(n: Tensor, size: int, stride: int) -> Tensor:
    return (n + (2 * ((size - 1) // 2) - size)) / stride + 1


def _every(operator: Tensor, stride: int) -> Tensor:
    """Each `stride`-th row of an operator."""
    if stride == 1:
        return operator
    n_rows = (operator.size(0) + (stride - 1)) / stride
    return operator.gathered(counting(n_rows) * stride)


def _mixed(matrix: np.ndarray, planes: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, rows, h, w)."""
    flat = planes.reshaped(0, 0, -1)
    mixed = planes.builder.weights(matrix) @ flat
    return mixed.reshaped(0, -1, planes.size(2), planes.size(3))
