"""Binding of the native kernel (kernel.c): structures, signatures, and whether it can be used here.

The library knows nothing of Python: ctypes loads it, passes addresses of numpy arrays, and releases
the interpreter lock during a call.  This module is not called kernel.py, because Python would
import kernel.so in its place.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.errors import VariableError
from patchbank.runtime.devices import HOST, Device
from patchbank.types import Array

LIBRARY = Path(__file__).parent / "kernel.so"

# As in kernel.c.
INTERFACE = 5
STEP = 8
PANEL_WIDTH = 32
PANELS_AT_ONCE = 4
NEVER_CHECK = 1 << 29

PART_ROWS = 2048  # rows that a thread works on before it asks for more
MAX_DIMS = 4096  # the sums of more dimensions could overflow 32 bits
SPARE_ROWS = 16  # that a tile may read beyond the last row
LEVELS = {5: "AVX-512 VNNI", 4: "AVX-VNNI", 3: "AVX2", 2: "NEON dot product", 1: "NEON"}
"""Names of the instructions, as in kernel.c; best first."""

VARIABLE = "PATCHBANK_KERNEL"
"""Environment variable that names the instructions to use, for tests and comparisons."""
CHOICES = {"avx512-vnni": 5, "avx-vnni": 4, "avx2": 3, "neon-dot": 2, "neon": 1, "none": 0}
"""Values of the variable; ``none`` for matrix products."""

POINTER, INT, INT64, DOUBLE = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_double


def is_usable_for(array: Array, device: Device) -> bool:
    """Whether the kernel can compute with the rows of `array` (n, d) on `device`.

    The one place that decides between the kernel and matrix products.
    """
    if device is not HOST or not isinstance(array, np.ndarray):
        return False
    return level() > 0 and array.shape[1] <= MAX_DIMS


def level() -> int:
    """The instructions that the kernel uses on this machine: a key of LEVELS, or 0 for none.

    Raises:
        VariableError: as `status`.
    """
    return _level_and_status()[0]


def status() -> str:
    """The instructions that the kernel uses on this machine, or the reason why it is not used.

    Raises:
        VariableError: the environment variable asks for instructions that are not there.

    >>> from patchbank.core.int8 import binding
    >>> binding.status() in binding.LEVELS.values() or binding.status().startswith("not used: ")
    True
    """
    return _level_and_status()[1]


@lru_cache(maxsize=1)
def _level_and_status() -> tuple[int, str]:
    chosen = os.environ.get(VARIABLE, "").strip()
    if chosen == "none":
        return 0, f"not used: {VARIABLE} is none"
    found, reason = supported()
    if not chosen:
        return (found[0], LEVELS[found[0]]) if found else (0, f"not used: {reason}")
    if CHOICES.get(chosen) not in found:
        here = ", ".join(name for name, level in CHOICES.items() if level in found or not level)
        why = f"; the native kernel cannot be used: {reason}" if reason else ""
        raise VariableError(
            f"{VARIABLE}: expected one of {here} (what this machine can run), got {chosen!r}{why}"
        )
    return CHOICES[chosen], LEVELS[CHOICES[chosen]]


def supported() -> tuple[list[int], str]:
    """The levels that this machine can run, best first; the reason where there is none."""
    if not LIBRARY.exists():
        return [], "it was not compiled (no C compiler at installation, or neither x86 nor ARM)"
    try:
        library = ctypes.CDLL(str(LIBRARY))
    except OSError:
        return [], "it was compiled for another system"
    if getattr(library, "int8_interface", lambda: 0)() != INTERFACE:
        return [], "it was compiled from another version of patchbank"
    found = [level for level in LEVELS if library.int8_supports(level)]
    return found, "" if found else "this processor has neither VNNI nor AVX2 instructions"


class QuantizedRowsStruct(ctypes.Structure):
    """`quantized_rows` in kernel.c."""

    _fields_ = [
        ("level", INT64),
        ("d", INT64),
        ("width", INT64),
        ("step", DOUBLE),
        ("error_limit", DOUBLE),
        ("values", POINTER),
        ("codes", POINTER),
        ("norms", POINTER),
        ("sums", POINTER),
        ("errors", POINTER),
    ]


class NearestTask(ctypes.Structure):
    """`nearest_task` in kernel.c."""

    _fields_ = [
        ("queries", QuantizedRowsStruct),
        ("n_candidates", INT64),
        ("candidate_values", POINTER),
        ("panels", POINTER),
        ("offsets", POINTER),
        ("exclude", POINTER),
        ("k", INT64),
        ("min_distances", POINTER),
        ("nearest", POINTER),
        ("query_groups", POINTER),
        ("candidate_groups", POINTER),
        ("min_distances_other", POINTER),
    ]


class CentreTask(ctypes.Structure):
    """`centre_task` in kernel.c."""

    _fields_ = [
        ("rows", QuantizedRowsStruct),
        ("n", INT64),
        ("panels", POINTER),
        ("thresholds", POINTER),
        ("min_distances", POINTER),
    ]


SIGNATURES: Mapping[str, Sequence[tuple[str, Any]]] = {
    "int8_quantize": [("rows", POINTER), ("origin", POINTER), ("n", INT64)],
    "int8_pack": [
        ("rows", POINTER),
        ("n", INT64),
        ("n_padded", INT64),
        ("panels", POINTER),
        ("offsets", POINTER),
    ],
    "int8_update_nearest": [
        ("task", POINTER),
        ("begin", INT64),
        ("end", INT64),
        ("thresholds", POINTER),
    ],
    "int8_select_centres": [
        ("task", POINTER),
        ("n_max", INT64),
        ("outside", DOUBLE),
        ("stop", DOUBLE),
        ("centres", POINTER),
        ("distances_before", POINTER),
    ],
    "int8_squared_distances": [
        ("level", INT),
        ("rows", POINTER),
        ("n", INT64),
        ("d", INT64),
        ("point", POINTER),
        ("squared", POINTER),
    ],
}


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The library of this installation; only where `level()` is not 0."""
    return open_library(LIBRARY)


def open_library(path: Path) -> ctypes.CDLL:
    """Load a library that was compiled from kernel.c, and declare its signatures."""
    opened = ctypes.CDLL(str(path))
    for name, parameters in SIGNATURES.items():
        function = getattr(opened, name)
        function.argtypes = [kind for _, kind in parameters]
        function.restype = None
    opened.int8_select_centres.restype = INT64
    return opened


def address(array: NDArray[Any] | None) -> int | None:
    """The address of the first number of a contiguous array; the caller keeps the array alive."""
    return None if array is None else array.ctypes.data
