"""Linear operators along one axis: window means, resizing, Gaussian smoothing.

Every spatial step between a feature map and an anomaly map is linear and separable.  Each is
therefore a matrix that is applied to rows and to columns, and a chain of steps is the product of
their matrices.  The matrices are also the constants that a graph for another runtime needs.

Each row of such a matrix has few numbers that are not zero, next to each other.  A small matrix is
kept whole, as one product is fast; a large one in blocks of rows without the columns that are zero
in all of them, so that time and memory grow with the length of a side, and not with its square.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.choices import Border, Interpolation
from patchbank.core.array_api import namespace, on_device_of
from patchbank.types import Array

WHOLE_SIZE = 2**22  # numbers of a matrix that is kept whole: that of a side of 2048
BLOCK_ROWS = 512  # of a larger one

Matrix: TypeAlias = NDArray[np.float32]
RowsOf: TypeAlias = Callable[[int, int], tuple[int, Matrix]]
"""Makes rows [begin, end) of a matrix: the first column that is kept, and the kept columns."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a matrix, without columns that are zero in all of them."""

    rows: slice
    columns: slice
    matrix: Matrix
    """(rows, columns), read-only."""


@dataclass(frozen=True, slots=True)
class Operator:
    """A matrix (n_out, n_in) that is applied to one axis of an array."""

    shape: tuple[int, int]
    blocks: tuple[Block, ...]
    """One of all rows and columns, or blocks of BLOCK_ROWS rows."""

    @property
    def is_whole(self) -> bool:
        """Whether the matrix is kept whole."""
        return len(self.blocks) == 1 and self.blocks[0].matrix.shape == self.shape

    def matrix(self) -> Matrix:
        """The whole matrix, (n_out, n_in)."""
        return _widened(*self.part(0, self.shape[0]), self.shape[1])

    def part(self, begin: int, end: int) -> tuple[int, Matrix]:
        """Rows [begin, end): the first column that is kept, and the kept columns."""
        if self.is_whole:
            return 0, self.blocks[0].matrix[begin:end]
        touched = self.blocks[begin // BLOCK_ROWS : (end - 1) // BLOCK_ROWS + 1]
        first = min(block.columns.start for block in touched)
        last = max(block.columns.stop for block in touched)
        matrix = np.zeros((end - begin, last - first), dtype=np.float32)
        for block in touched:
            low, high = max(begin, block.rows.start), min(end, block.rows.stop)
            columns = slice(block.columns.start - first, block.columns.stop - first)
            rows = slice(low - block.rows.start, high - block.rows.start)
            matrix[low - begin : high - begin, columns] = block.matrix[rows]
        return first, matrix

    def after(self, other: Operator, stride: int = 1) -> Operator:
        """The operator that applies `other` and then this one, and keeps each `stride`-th row."""

        def rows(begin: int, end: int) -> tuple[int, Matrix]:
            middle, left = self.part(begin * stride, min(end * stride, self.shape[0]))
            first, right = other.part(middle, middle + left.shape[1])
            return first, (left @ right)[::stride]

        n_out = -(-self.shape[0] // stride)
        return _operator(n_out, other.shape[1], rows, whole=self.is_whole and other.is_whole)

    def scaled(self, factor: float) -> Operator:
        """The operator times a number."""
        blocks = (Block(b.rows, b.columns, _frozen(factor * b.matrix)) for b in self.blocks)
        return Operator(self.shape, tuple(blocks))


def apply(rows: Operator, columns: Operator, planes: Array) -> Array:
    """Apply one operator to the rows and one to the columns.  (..., h, w) -> (..., H, W)."""
    if rows.shape[0] <= rows.shape[1]:  # shrink first: less to multiply
        return _applied_across(columns, _applied_down(rows, planes))
    return _applied_down(rows, _applied_across(columns, planes))


def _applied_down(operator: Operator, planes: Array) -> Array:
    if isinstance(planes, np.ndarray) and len(operator.blocks) > 1:
        shape = (*planes.shape[:-2], operator.shape[0], planes.shape[-1])
        applied = np.empty(shape, dtype=np.result_type(planes, np.float32))
        for b in operator.blocks:
            np.matmul(b.matrix, planes[..., b.columns, :], out=applied[..., b.rows, :])
        return applied  # without the parts of it, which for a map take as much memory again
    parts = [
        on_device_of(b.matrix, planes)
        @ (planes if operator.is_whole else planes[..., b.columns, :])
        for b in operator.blocks
    ]
    return parts[0] if len(parts) == 1 else namespace(planes).concat(parts, axis=-2)


def _applied_across(operator: Operator, planes: Array) -> Array:
    parts = [
        (planes if operator.is_whole else planes[..., b.columns]) @ on_device_of(b.matrix.T, planes)
        for b in operator.blocks
    ]
    return parts[0] if len(parts) == 1 else namespace(planes).concat(parts, axis=-1)


@lru_cache(maxsize=64)
def window_mean(n: int, size: int, stride: int = 1) -> Operator:
    """Mean over windows of `size`, padded by (size - 1) // 2 zeros that count.

    -> (floor((n + 2 * padding - size) / stride) + 1, n), as in the official code.
    """
    padding = (size - 1) // 2

    def rows(begin: int, end: int) -> tuple[int, Matrix]:
        first = min(max(begin * stride - padding, 0), n - 1)
        last = min(max((end - 1) * stride - padding + size, first + 1), n)
        matrix = np.zeros((end - begin, last - first), dtype=np.float32)
        for i in range(begin, end):
            window = i * stride - padding - first
            matrix[i - begin, max(window, 0) : max(window + size, 0)] = 1.0 / size
        return first, matrix

    return _operator((n + 2 * padding - size) // stride + 1, n, rows)


@lru_cache(maxsize=64)
def window_element(n: int, size: int, stride: int, offset: int) -> Operator:
    """Element `offset` of each window of `window_mean`; zero where that element is padding.

    -> (floor((n + 2 * padding - size) / stride) + 1, n).
    """
    padding = (size - 1) // 2

    def rows(begin: int, end: int) -> tuple[int, Matrix]:
        source = np.arange(begin, end) * stride - padding + offset
        inside = (source >= 0) & (source < n)
        first = int(source[inside].min(initial=n - 1))
        last = int(source[inside].max(initial=first)) + 1
        matrix = np.zeros((end - begin, last - first), dtype=np.float32)
        matrix[np.flatnonzero(inside), source[inside] - first] = 1.0
        return first, matrix

    return _operator((n + 2 * padding - size) // stride + 1, n, rows)


@lru_cache(maxsize=64)
def resize(
    n_in: int,
    n_out: int,
    interpolation: Interpolation = "bilinear",
    *,
    stride: int = 1,
    n_cells: int | None = None,
) -> Operator:
    """Resize an axis without anti-aliasing.  -> (n_out, n_in).

    Args:
        n_in: samples before.
        n_out: samples after.
        interpolation: ``bilinear`` is torch's ``interpolate(..., align_corners=False)``.
        stride: the samples are every `stride`-th cell of a grid of `n_cells` cells.
        n_cells: cells of that grid, which covers the output; None where each cell is a sample.
    """

    def identity(begin: int, end: int) -> tuple[int, Matrix]:
        return begin, np.eye(end - begin, dtype=np.float32)

    samples = _operator(n_in, n_in, identity)
    return resized(samples, n_out, interpolation, stride=stride, n_cells=n_cells)


def resized(
    operator: Operator,
    n_out: int,
    interpolation: Interpolation = "bilinear",
    *,
    stride: int = 1,
    n_cells: int | None = None,
) -> Operator:
    """Resize the output of an operator as `resize` does.  (n, n_in) -> (n_out, n_in)."""
    n, n_in = operator.shape
    position = ((np.arange(n_out) + 0.5) * (n_cells or n) / n_out - 0.5) / stride
    nearest = np.clip(np.floor(position + 0.5).astype(np.intp), 0, n - 1)
    centre = np.clip(position, 0, n - 1)
    low = np.floor(centre).astype(np.intp)
    high = np.minimum(low + 1, n - 1)
    share = (centre - low).astype(np.float32)[:, None]

    def nearest_rows(begin: int, end: int) -> tuple[int, Matrix]:
        first, matrix = operator.part(nearest[begin], nearest[end - 1] + 1)
        return first, matrix[nearest[begin:end] - nearest[begin]]

    def rows_between(begin: int, end: int) -> tuple[int, Matrix]:
        first, matrix = operator.part(low[begin], high[end - 1] + 1)
        below, above = (matrix[at[begin:end] - low[begin]] for at in (low, high))
        return first, below * (1 - share[begin:end]) + above * share[begin:end]

    rows = nearest_rows if interpolation == "nearest" else rows_between
    return _operator(n_out, n_in, rows)


def smoothed(operator: Operator, sigma: float, border: Border = "reflect") -> Operator:
    """Smooth the output of an operator by a Gaussian, truncated at four standard deviations.

    The border ``reflect`` repeats the edge sample (official code), ``mirror`` does not (anomalib).
    """
    n, n_in = operator.shape
    radius = int(4 * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    beyond: Literal["symmetric", "reflect"] = "symmetric" if border == "reflect" else "reflect"
    source = np.pad(np.arange(n), radius, mode=beyond)  # numpy's names are not scipy's

    def gaussian(begin: int, end: int) -> tuple[int, Matrix]:
        used = source[begin : end + 2 * radius]
        first = int(used.min())
        matrix = np.zeros((end - begin, int(used.max()) + 1 - first))
        for offset, weight in enumerate(weights):
            columns = source[begin + offset : end + offset] - first
            matrix[np.arange(end - begin), columns] += weight
        return first, matrix.astype(np.float32)

    def rows(begin: int, end: int) -> tuple[int, Matrix]:
        middle, left = gaussian(begin, end)
        first, right = operator.part(middle, middle + left.shape[1])
        return first, left @ right

    return _operator(n, n_in, rows, whole=operator.is_whole and n * n <= WHOLE_SIZE)


def _operator(n_out: int, n_in: int, rows_of: RowsOf, *, whole: bool = True) -> Operator:
    """Make the matrix whole if it is small, else in blocks."""
    if whole and n_out * n_in <= WHOLE_SIZE:
        matrix = _frozen(_widened(*rows_of(0, n_out), n_in))
        return Operator((n_out, n_in), (Block(slice(0, n_out), slice(0, n_in), matrix),))
    blocks = []
    for begin in range(0, n_out, BLOCK_ROWS):
        end = min(begin + BLOCK_ROWS, n_out)
        first, matrix = _narrowed(*rows_of(begin, end))
        columns = slice(first, first + matrix.shape[1])
        blocks.append(Block(slice(begin, end), columns, _frozen(matrix)))
    return Operator((n_out, n_in), tuple(blocks))


def _narrowed(first: int, matrix: Matrix) -> tuple[int, Matrix]:
    """The matrix without the outer columns that are zero."""
    used = np.flatnonzero(matrix.any(axis=0))
    low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
    return first + low, matrix[:, low:high].copy()


def _widened(first: int, matrix: Matrix, n_in: int) -> Matrix:
    """The matrix with the columns that were left out."""
    if matrix.shape[1] == n_in:
        return matrix
    wide = np.zeros((len(matrix), n_in), dtype=np.float32)
    wide[:, first : first + matrix.shape[1]] = matrix
    return wide


def _frozen(matrix: Matrix) -> Matrix:
    matrix.setflags(write=False)  # cached and shared
    return matrix
