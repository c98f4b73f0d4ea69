"""Exact distances by way of whole numbers: the native kernel, and the arrays that it works on.

Rows become codes of eight bits a dimension, and the length of what is lost is kept for each row.
The distance of two rows is at least that of their codes less both errors (triangle inequality), so
most pairs are passed over by products of whole numbers, which are several times as fast as those of
float32; where a pair could matter, the distance is computed from the rows in double precision.
`kernel.c` says how.  Where it was not compiled, or the processor has no such products,
`is_available` is false, and the callers use the matrix products of their BLAS.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.runtime.scratch import drop_pages, empty_like_storage, take_rows
from patchbank.runtime.threads import parallel_ranges, usable_cores
from patchbank.types import Features, Indices

INTERFACE = 2  # this and the next two as in kernel.c
PANEL = 32
SIDE_BY_SIDE = 4
MOST_DIMS = 4096  # more could overflow the sums
SAMPLE_ROWS = 2048  # from which the step is chosen
SURE_SHARE = 0.001  # of the rows, those of largest error, always pass the screen
PART_ROWS = 2048  # that one thread takes at a time
NEVER = 1 << 29  # threshold that nothing reaches
RESERVE = 16  # rows that may be read beyond the last
SMALLEST = 1e-20  # of the largest number: steps below could not be told from zero
LARGEST_CODES = (
    1.0,
    0.7,
    0.5,
    0.35,
    0.25,
    0.15,
)  # shares of the largest number that 127 stands for


def is_available(n_dims: int) -> bool:
    """Whether rows of so many numbers can be screened here."""
    return _level() > 0 and n_dims <= MOST_DIMS


@dataclass(frozen=True, slots=True)
class Quantization:
    """How rows become codes: x is about origin + step * code."""

    origin: NDArray[np.float32]
    """(d,)"""
    step: float
    error_limit: float
    """In steps; as columns, rows of larger error always pass the screen."""

    @classmethod
    def of(cls, rows: Features) -> Quantization:
        """The scale that loses least on a sample of rows (n, d)."""
        sample = take_rows(rows, np.arange(0, len(rows), max(1, len(rows) // SAMPLE_ROWS)))
        origin = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
        largest = max(float(np.abs(sample - origin).max()), SMALLEST)
        steps = [largest * share / 127 for share in LARGEST_CODES]
        errors = [QuantizedRows.of(sample, cls(origin, step, np.inf)).errors for step in steps]
        lost = [s * float(np.square(e).mean()) ** 0.5 for s, e in zip(steps, errors, strict=True)]
        best = int(np.argmin(lost))
        limit = int((1 - SURE_SHARE) * (len(sample) - 1))
        return cls(origin, steps[best], float(np.sort(errors[best])[limit]))


@dataclass(frozen=True, slots=True)
class QuantizedRows:
    """Rows (n, d) float32 and their codes."""

    quantization: Quantization
    values: Features
    codes: NDArray[np.int8]
    """(n + RESERVE, width): the dimensions filled up to a multiple of 4."""
    sums: NDArray[np.int32]
    """(n,) of the codes."""
    norms: NDArray[np.int32]
    """(n,) of the squares of the codes."""
    errors: NDArray[np.float32]
    """(n,) length of what the codes lose, in steps; a little more, for rounding."""

    @classmethod
    def of(cls, values: Features, quantization: Quantization) -> QuantizedRows:
        """Code rows; the codes lie where they do, in memory or in a file."""
        n, d = values.shape
        codes = empty_like_storage(values, (n + RESERVE, -(-d // 4) * 4), np.int8)
        codes[n:] = 0
        sums, norms = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
        coded = cls(quantization, values, codes, sums, norms, np.empty(n, dtype=np.float32))
        parallel_ranges(coded._fill, n, PART_ROWS)
        return coded

    def some(self, rows: Indices) -> QuantizedRows:
        """A copy of some rows, in memory."""
        codes = np.zeros((len(rows) + RESERVE, self.width), dtype=np.int8)
        codes[: len(rows)] = take_rows(self.codes, rows)
        columns = (self.sums[rows], self.norms[rows], self.errors[rows])
        return QuantizedRows(self.quantization, take_rows(self.values, rows), codes, *columns)

    @property
    def width(self) -> int:
        """Codes of a row."""
        return int(self.codes.shape[1])

    def __len__(self) -> int:
        return len(self.values)

    def drop_pages(self, begin: int, end: int) -> None:
        """Give back the memory of rows that lie in a file."""
        drop_pages(self.values[begin:end])
        drop_pages(self.codes[begin:end])

    def _fill(self, begin: int, end: int) -> None:
        _library().screen_quantise(
            _at(self.values[begin:end]),
            end - begin,
            self.values.shape[1],
            self.width,
            _at(self.quantization.origin),
            self.quantization.step,
            _at(self.codes[begin:]),
            _at(self.sums[begin:]),
            _at(self.norms[begin:]),
            _at(self.errors[begin:]),
        )
        self.drop_pages(begin, end)


class PackedRows:
    """Rows that others are compared with: their codes lie side by side in panels."""

    def __init__(self, coded: QuantizedRows) -> None:
        n, width = len(coded), coded.width
        padded = -(-n // (PANEL * SIDE_BY_SIDE)) * PANEL * SIDE_BY_SIDE
        self.values = coded.values
        self.quantization = coded.quantization
        self.width = width
        self.panels = np.empty(padded * width, dtype=np.uint8)
        self.offsets = np.empty(padded, dtype=np.int32)
        _library().screen_pack(
            _at(coded.codes),
            _at(coded.norms),
            _at(coded.errors),
            n,
            width,
            coded.quantization.error_limit,
            padded,
            _at(self.panels),
            _at(self.offsets),
        )


@dataclass(frozen=True, slots=True)
class Groups:
    """The nearest column of another group, beside the nearest of all."""

    of_rows: NDArray[np.int32]
    of_columns: NDArray[np.int32]
    others: NDArray[np.float64]
    """(n,) squared distances, lowered where a nearer column of another group is found."""


def lower(
    rows: QuantizedRows,
    columns: PackedRows,
    best: NDArray[np.float64],
    *,
    best_columns: Indices | None = None,
    skipped: NDArray[np.bool_] | None = None,
    groups: Groups | None = None,
) -> None:
    """Lower squared distances to those of nearer columns.

    Args:
        rows: (n, d).
        columns: (m, d), coded on the same scale.
        best: (n, k) squared distances known so far, ascending; below 0 for rows that no column can
            be near to.  Changed in place.
        best_columns: (n, k) their columns, changed with them; of equal distances the lower column
            stays.
        skipped: (m,) True for columns to leave out.
        groups: tells those of another group apart; with k = 1.
    """
    task = _Search(
        rows=_coded(rows),
        n_columns=len(columns.values),
        column_values=_at(columns.values),
        panels=_at(columns.panels),
        offsets=_at(columns.offsets),
        skipped=_at(skipped),
        k=1 if best.ndim == 1 else best.shape[1],
        best=_at(best),
        best_columns=_at(best_columns),
        row_groups=_at(groups.of_rows if groups else None),
        column_groups=_at(groups.of_columns if groups else None),
        others=_at(groups.others if groups else None),
    )

    def part(begin: int, end: int) -> None:
        thresholds = np.empty(end - begin + RESERVE, dtype=np.int32)
        _library().screen_nearest(_level(), ctypes.byref(task), begin, end, _at(thresholds))
        rows.drop_pages(begin, end)

    size = min(PART_ROWS, max(RESERVE, -(-len(rows) // (2 * usable_cores()))))
    parallel_ranges(part, len(rows), size)


def pick(
    candidates: QuantizedRows,
    gaps: NDArray[np.float64],
    n_picks: int,
    *,
    outside: float,
    stop: float,
) -> tuple[Indices, NDArray[np.float64]]:
    """Pick the candidate of largest gap, again and again (greedy k-centre among candidates).

    Args:
        candidates: (m, d), in the order in which equal ones are picked.
        gaps: (m,) squared distance of each to the nearest pick so far.  Changed in place; that of
            a picked one becomes -1.
        n_picks: the most picks.
        outside: what no gap of other rows exceeds: no pick is made below it.
        stop: no pick is made unless its gap is larger than this.

    Returns:
        Places of the picks among the candidates, and the gap of each before it was picked.
    """
    columns = PackedRows(candidates)
    thresholds = np.empty(len(columns.offsets), dtype=np.int32)
    thresholds[len(candidates) :] = NEVER
    places = np.empty(n_picks, dtype=np.int64)
    gaps_before = np.empty(n_picks, dtype=np.float64)
    block = _Block(
        rows=_coded(candidates),
        count=len(candidates),
        panels=_at(columns.panels),
        thresholds=_at(thresholds),
        gaps=_at(gaps),
    )
    count = _library().screen_pick(
        _level(), ctypes.byref(block), n_picks, outside, stop, _at(places), _at(gaps_before)
    )
    return places[:count].astype(np.intp), gaps_before[:count]


def distances_to(rows: Features, point: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared distance of every row (n, d) to one point (d,), in double precision."""
    squared = np.empty(len(rows), dtype=np.float64)

    def part(begin: int, end: int) -> None:
        some = rows[begin:end]
        _library().screen_distances(
            _level(), _at(some), *some.shape, _at(point), _at(squared[begin:])
        )
        drop_pages(some)

    parallel_ranges(part, len(rows), PART_ROWS)
    return squared


def _at(array: NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data


_KINDS: dict[str, Any] = {
    "p": ctypes.c_void_p,
    "w": ctypes.c_int64,
    "r": ctypes.c_double,
    "i": ctypes.c_int,
}


class _Coded(ctypes.Structure):
    """As `coded` in kernel.c."""

    _fields_ = [
        *((name, _KINDS["w"]) for name in ("d", "width")),
        *((name, _KINDS["r"]) for name in ("step", "error_limit")),
        *((name, _KINDS["p"]) for name in ("values", "codes", "norms", "sums", "errors")),
    ]


class _Search(ctypes.Structure):
    """As `search` in kernel.c."""

    _fields_ = [
        ("rows", _Coded),
        ("n_columns", _KINDS["w"]),
        *((name, _KINDS["p"]) for name in ("column_values", "panels", "offsets", "skipped")),
        ("k", _KINDS["w"]),
        *((name, _KINDS["p"]) for name in ("best", "best_columns", "row_groups")),
        *((name, _KINDS["p"]) for name in ("column_groups", "others")),
    ]


class _Block(ctypes.Structure):
    """As `block` in kernel.c."""

    _fields_ = [
        ("rows", _Coded),
        ("count", _KINDS["w"]),
        *((name, _KINDS["p"]) for name in ("panels", "thresholds", "gaps")),
    ]


def _coded(rows: QuantizedRows) -> _Coded:
    return _Coded(
        d=rows.values.shape[1],
        width=rows.width,
        step=rows.quantization.step,
        error_limit=rows.quantization.error_limit,
        values=_at(rows.values),
        codes=_at(rows.codes),
        norms=_at(rows.norms),
        sums=_at(rows.sums),
        errors=_at(rows.errors),
    )


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(_path()))
    for name, arguments in (
        ("quantise", "pwwwprpppp"),
        ("pack", "pppwwrwpp"),
        ("nearest", "ipwwp"),
        ("pick", "ipwrrpp"),
        ("distances", "ipwwpp"),
    ):
        getattr(library, f"screen_{name}").argtypes = [_KINDS[kind] for kind in arguments]
    library.screen_pick.restype = ctypes.c_int64
    return library


def _path() -> Path:
    return Path(__file__).parent / "kernel.so"


@lru_cache(maxsize=1)
def _level() -> int:
    """Of the instructions: 0 for none, 1 for vectors of 256 bits, 2 for 512."""
    if not _path().exists():
        return 0
    try:
        library = ctypes.CDLL(str(_path()))
    except OSError:  # compiled for another system
        return 0
    if getattr(library, "screen_interface", lambda: 0)() != INTERFACE:  # or from another version
        return 0
    return next((level for level in (2, 1) if _library().screen_supports(level)), 0)
