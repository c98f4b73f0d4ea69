"""Threads of BLAS: one for each of our own, where several of these compute products at a time.

OpenBLAS, which wheels of numpy bring along, takes all cores for each product.  Where threads of
ours do the same, its threads wait for each other, and wait by spinning.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

PREFIXES, SUFFIXES = ("scipy_openblas", "openblas"), ("64_", "")
"""Beginnings and ends of the names of its functions, which wheels change."""
FOLDERS = ("numpy.libs", "numpy/.dylibs")
"""Folders in which wheels of numpy keep it."""


class _Threads(NamedTuple):
    """The functions of OpenBLAS that read and set the number of its threads."""

    read: Callable[[], int]
    set: Callable[[int], None]


class _Nested:
    """Contexts that are open, in any thread, and the threads there were before the first."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_open = 0
        self.before = 1


_NESTED = _Nested()


@contextmanager
def one_thread_of_blas() -> Iterator[None]:
    """Context in which OpenBLAS computes each product in the thread that asks for it.

    Other libraries (MKL, Accelerate) stay as they are.
    """
    threads = _threads()
    if threads is None:
        yield
        return
    with _NESTED.lock:
        if _NESTED.n_open == 0:
            _NESTED.before = threads.read()
            threads.set(1)
        _NESTED.n_open += 1
    try:
        yield
    finally:
        with _NESTED.lock:
            _NESTED.n_open -= 1
            if _NESTED.n_open == 0:
                threads.set(_NESTED.before)


@lru_cache(maxsize=1)
def _threads() -> _Threads | None:
    """The functions of the OpenBLAS that numpy uses; None where it uses another library."""
    packages = Path(np.__file__).parents[1]
    for folder in FOLDERS:
        for path in sorted((packages / folder).glob("*openblas*")):
            try:
                library = ctypes.CDLL(str(path))
            except OSError:
                continue
            for prefix in PREFIXES:
                for suffix in SUFFIXES:
                    read = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
                    change = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
                    if read is not None and change is not None:
                        change.restype = None
                        return _Threads(read, change)
    return None
