"""The ways in which distances are computed on a CPU: all must find the same."""

import pytest

from patchbank.core.int8 import search as int8

KERNELS = [
    0,
    *(level for level in (1, 2) if int8._level() and int8._library().screen_supports(level)),
]
"""0 for products of numpy, 1 and 2 for the native kernel where this processor runs it."""

MARKED_KERNELS = [pytest.param(k, marks=pytest.mark.kernel if k else ()) for k in KERNELS]
"""The same as parameters; the native ones are marked."""


def on_kernel(patch: pytest.MonkeyPatch, kernel: int) -> None:
    """Compute with one of them."""
    patch.setattr(int8, "_level", lambda: kernel)
