"""Scalar quantization of rows to small integers, with the length of each row's error.

A row x is kept as x = origin + step * (code + error); one origin and step serve all rows.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from patchbank.core.int8 import binding
from patchbank.core.int8.binding import PANEL_WIDTH, PANELS_AT_ONCE, SPARE_ROWS, STEP, address
from patchbank.runtime.scratch import drop_pages, empty_like_storage, take_rows
from patchbank.runtime.threads import parallel_ranges
from patchbank.types import Features, Indices

SAMPLE_ROWS = 2048  # rows from which origin and step are chosen
UNPRUNED_SHARE = 0.001  # share of the rows, those of largest error, that are never pruned
MIN_RANGE = 1e-20  # range of the values below which the step would underflow
RANGE_SHARES = (
    1.0,
    0.7,
    0.5,
    0.35,
    0.25,
    0.15,
)  # of the largest value: candidates for the largest code


@dataclass(frozen=True, slots=True)
class Quantization:
    """Map from codes to rows: x is approximately origin + step * code."""

    origin: NDArray[np.float32]
    """(d,)"""
    step: float
    error_limit: float
    """Largest error, in steps, that the lower bound assumes of candidates; those with more are
    always checked."""
    level: int = field(default_factory=lambda: binding.level())
    """The instructions that compute with the codes, which limit these; see `binding.LEVELS`."""

    @classmethod
    def fit(cls, rows: Features) -> Quantization:
        """Choose the quantization with the tightest bound on a sample of rows (n, d).

        What loosens it is the error of the one row and the error limit of the other.  A step that
        clips a few large values can be better than one that covers the whole range.
        """
        sample = take_rows(rows, np.arange(0, len(rows), max(1, len(rows) // SAMPLE_ROWS)))
        origin = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = np.subtract(sample, origin, dtype=np.float64)
        largest = max(float(np.abs(centred).max()), MIN_RANGE)
        code = binding.library().int8_largest_code(binding.level())
        steps = [largest * share / code for share in RANGE_SHARES]
        errors = [cls(origin, step, np.inf).quantize(sample).errors for step in steps]
        last = int((1 - UNPRUNED_SHARE) * (len(sample) - 1))
        limits = [float(np.partition(e, last)[last]) for e in errors]
        means = [float(e.mean(dtype=np.float64)) for e in errors]
        slacks = [s * (m + limit) for s, m, limit in zip(steps, means, limits, strict=True)]
        best = int(np.argmin(slacks))
        return cls(origin, steps[best], limits[best])

    def quantize(self, values: Features) -> QuantizedRows:
        """Quantize rows (n, d).  The codes are stored as `values` are: in memory or in a file."""
        n, d = values.shape
        codes = empty_like_storage(values, (n + SPARE_ROWS, -(-d // STEP) * STEP), np.int8)
        codes[n:] = 0
        norms, sums = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
        rows = QuantizedRows(self, values, codes, norms, sums, np.empty(n, dtype=np.float32))

        def fill(begin: int, end: int) -> None:
            part = rows.struct(begin)
            binding.library().int8_quantize(ctypes.byref(part), address(self.origin), end - begin)
            rows.drop_pages(begin, end)

        parallel_ranges(fill, n, binding.PART_ROWS)
        return rows


@dataclass(frozen=True, slots=True)
class QuantizedRows:
    """Rows (n, d) float32, C-contiguous, and their codes."""

    quantization: Quantization
    values: Features
    codes: NDArray[np.int8]
    """(n + SPARE_ROWS, width): d rounded up to a multiple of STEP."""
    norms: NDArray[np.int32]
    """(n,) sum of the squared codes."""
    sums: NDArray[np.int32]
    """(n,) sum of the codes."""
    errors: NDArray[np.float32]
    """(n,) length of the error, in steps, rounded up."""

    def take(self, rows: Indices) -> QuantizedRows:
        """Copy some rows into memory."""
        codes = np.zeros((len(rows) + SPARE_ROWS, self.width), dtype=np.int8)
        codes[: len(rows)] = take_rows(self.codes, rows)
        per_row = (self.norms[rows], self.sums[rows], self.errors[rows])
        return QuantizedRows(self.quantization, take_rows(self.values, rows), codes, *per_row)

    @property
    def width(self) -> int:
        """Number of codes of a row."""
        return int(self.codes.shape[1])

    def __len__(self) -> int:
        return len(self.values)

    def drop_pages(self, begin: int, end: int) -> None:
        """Release the memory of rows that are stored in a file."""
        drop_pages(self.values[begin:end])
        drop_pages(self.codes[begin:end])

    def struct(self, begin: int = 0) -> binding.QuantizedRowsStruct:
        """The rows from `begin` on, for the kernel."""
        return binding.QuantizedRowsStruct(
            level=self.quantization.level,
            d=self.values.shape[1],
            width=self.width,
            step=self.quantization.step,
            error_limit=self.quantization.error_limit,
            values=address(self.values[begin:]),
            codes=address(self.codes[begin:]),
            norms=address(self.norms[begin:]),
            sums=address(self.sums[begin:]),
            errors=address(self.errors[begin:]),
        )


class PackedRows:
    """Quantized rows in the order in which the kernel reads candidates: panel by panel."""

    def __init__(self, rows: QuantizedRows) -> None:
        n, panels_of = len(rows), PANEL_WIDTH * PANELS_AT_ONCE
        padded = -(-n // panels_of) * panels_of
        self.values = rows.values
        self.quantization = rows.quantization
        self.panels = np.empty(padded * rows.width, dtype=np.uint8)
        self.offsets = np.empty(padded, dtype=np.int32)
        struct = rows.struct()
        binding.library().int8_pack(
            ctypes.byref(struct), n, padded, address(self.panels), address(self.offsets)
        )

    def __len__(self) -> int:
        return len(self.values)
