"""Resizing of photographs in integers, to the bit as Pillow does it for 8 bits a channel.

Pillow filters rows, then columns, as `images.resize` asks it to.  The weights of an output pixel
are fractions of 2**22, and what they give is rounded to an integer after each of the two passes
(`src/libImaging/Resample.c`).  float32 has 24 bits: so each weight is split into a high and a low
part, whose products with pixels and their sums are integers below 2**24, and exact.
"""

from __future__ import annotations

import math

import numpy as np

from patchbank.choices import Resampling
from patchbank.export.graph.builder import Tensor, concatenated, counting, filled

PRECISION_BITS = 22
"""Pillow's weights are multiples of 2**-22."""
LARGEST_SUM = 2**23
LOW_BITS = (6, 11)
"""Least and most bits of the low part of a weight."""
SUPPORT = {"bilinear": 1, "bicubic": 2, "lanczos": 3}
"""Half the width of a filter, in pixels of the smaller picture."""
BICUBIC_A = -0.5
DIGITS = (8, 7, 7)
"""Bits of a weight that one step of a long division gives."""
BLOCK = 32
"""Rows of the output that are computed together."""


def resized(pixels: Tensor, height: Tensor, width: Tensor, resampling: Resampling) -> Tensor:
    """Resize photographs of 8 bits a channel.  (n, H, W, c) -> (n, h, w, c) float32 of integers."""
    n, channels = pixels.size(0), pixels.size(3)
    columns = pixels.transposed(2, 0, 1, 3)  # (W, n, H, c)
    across = _filtered_rows(columns.reshaped(0, -1), width, resampling)
    rows = across.reshaped(width, -1, pixels.size(1), channels).transposed(2, 1, 0, 3)
    down = _filtered_rows(rows.reshaped(0, -1), height, resampling)
    return down.reshaped(height, n, width, channels).transposed(1, 0, 2, 3)


def _filtered_rows(rows: Tensor, n_out: Tensor, resampling: Resampling) -> Tensor:
    """One pass.  (n_in, k) -> (n_out, k), integers in float32.

    The output goes in blocks of rows, each of which needs few rows of the input.
    """
    n_in = rows.size(0)
    n_blocks = (n_out + (BLOCK - 1)) / BLOCK
    taps = _Taps(n_in, n_out, n_blocks * BLOCK, resampling)
    first = taps.nearest.gathered(counting(n_blocks) * BLOCK) - taps.half  # (n_blocks,)
    n_seen = (n_in * (BLOCK - 1)) / n_out + taps.half * 2 + 2  # rows that a block may need
    seen = (first.with_axis(1) + counting(n_seen).with_axis(0)).clipped(0, n_in - 1)
    blocks = rows.gathered(seen).cast(np.float32)  # (n_blocks, n_seen, k)
    own = counting(n_blocks * BLOCK) / BLOCK
    place = (taps.row - first.gathered(own).with_axis(1)).clipped(0, n_seen - 1)
    parts = _Parts(taps.weights(), taps.offset.size(0))
    matrices = [
        _banded(part, place, n_seen).reshaped(n_blocks, BLOCK, n_seen) for part in parts.of_weights
    ]
    products = concatenated(matrices, 1) @ blocks  # (n_blocks, 2 BLOCK, k)
    high, low = (
        products.sliced(1, at, at + BLOCK).reshaped(n_blocks * BLOCK, -1).sliced(0, 0, n_out)
        for at in (0, BLOCK)
    )
    return parts.joined(high, low)


class _Taps:
    """The rows of the input that make each row of the output, and their weights.

    The centre of output row i is (2 i + 1) n_in / (2 n_out): an integer and a rest.
    """

    def __init__(self, n_in: Tensor, n_out: Tensor, n_rows: Tensor, resampling: Resampling) -> None:
        self._n_in, self._n_out, self._resampling = n_in, n_out, resampling
        self._larger = n_in.maximum(n_out)
        support = SUPPORT[resampling]
        self.half = (self._larger * support + (n_out - 1)) / n_out
        self.offset = counting(self.half * 2 + 1) - self.half
        position, whole = (counting(n_rows) * 2 + 1) * n_in, n_out * 2
        self.nearest = position / whole
        self._rest = position - self.nearest * whole
        self.row = self.nearest.with_axis(1) + self.offset.with_axis(0)
        """(n_rows, taps)"""
        self._is_inside = (self.row >= 0) & (self.row < n_in)

    def weights(self) -> Tensor:
        """Weights as multiples of 2**-22, (n_rows, taps), integers in float64."""
        # Distances from the centre, in units of 1 / (2 n_out).
        distance = (self.offset * 2 + 1).with_axis(0) * self._n_out - self._rest.with_axis(1)
        if self._resampling == "bilinear":
            return self._quotients((self._larger * 2 - distance.apply("Abs")).maximum(0))
        width = (self._larger * 2).cast(np.float64)
        weight = filtered(distance.cast(np.float64) / width, self._resampling)
        weight = self._is_inside.where(weight, 0.0)
        total = weight.sum(1, keep=True)
        share = weight / (total > 0.0).where(total, 1.0) * float(2**PRECISION_BITS)
        return (share.apply("Abs") + 0.5).apply("Floor") * share.apply("Sign")

    def _quotients(self, numerators: Tensor) -> Tensor:
        """Numerators by their sum, by long division: OpenVINO has integers of 32 bits."""
        left = self._is_inside.where(numerators, 0)
        total = left.sum(1, keep=True).maximum(1)
        digits = []
        for bits in DIGITS:
            digit = (left * 2**bits) / total
            left = left * 2**bits - digit * total
            digits.append(digit)
        found = (left * 2 + total) / (total * 2)  # the rest is rounded
        for number, digit in enumerate(digits, start=1):
            found = found + digit * 2 ** sum(DIGITS[number:])
        return found.cast(np.float64)


class _Parts:
    """Weights that are split into two integers."""

    def __init__(self, weight: Tensor, n_taps: Tensor) -> None:
        builder = weight.builder
        room = (LARGEST_SUM / 255 / n_taps.cast(np.float32)).apply("Log") * (1 / math.log(2))
        bits = room.apply("Floor").clipped(*LOW_BITS)
        two = builder.constant(np.float32(2))
        self._low, self._high = two.apply("Pow", bits), two.apply("Pow", PRECISION_BITS - bits)
        low = self._low.cast(np.float64)
        high = (weight / low).apply("Floor")
        self.of_weights = [high.cast(np.float32), (weight - high * low).cast(np.float32)]

    def joined(self, high: Tensor, low: Tensor) -> Tensor:
        """Pixels, from the products with both parts of the weights: rounded, and clipped."""
        whole = (high / self._high).apply("Floor")
        rest = (high - whole * self._high) * self._low + low + float(2 ** (PRECISION_BITS - 1))
        carry = (rest * 2.0**-PRECISION_BITS).apply("Floor")
        return (whole + carry).clipped(0, 255)


def _banded(values: Tensor, columns: Tensor, n_columns: Tensor) -> Tensor:
    """A matrix of values, (n, taps), in the columns of each.  -> (n, n_columns)."""
    zeros = filled(values.builder, 0, (values.size(0), n_columns))
    return values.builder.node(
        "ScatterElements", [zeros, columns, values], np.float32, {"axis": 1, "reduction": "add"}
    )


def filtered(distance: Tensor, resampling: Resampling) -> Tensor:
    """The filter at some distances from its centre, float64."""
    x = distance.apply("Abs")
    if resampling == "bicubic":
        near = ((BICUBIC_A + 2) * x - (BICUBIC_A + 3)) * x * x + 1
        far = (((x - 5) * x + 8) * x - 4) * BICUBIC_A
        return (x < 1).where(near, (x < 2).where(far, 0.0))
    return (x < 3).where(_sinc(x) * _sinc(x / 3), 0.0)


def _sinc(x: Tensor) -> Tensor:
    angle = (x * math.pi).maximum(1e-12)
    return angle.apply("Sin") / angle
