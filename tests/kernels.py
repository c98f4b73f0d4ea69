"""The ways in which distances are computed on a CPU: all must find the same rows."""

import ctypes
import subprocess
import tempfile
from pathlib import Path
from platform import machine
from shutil import which

import pytest

from patchbank.core.int8 import binding

NATIVE = {level: name for name, level in binding.CHOICES.items() if level}
AVX_VNNI = binding.CHOICES["avx-vnni"]
SOURCE = Path(binding.__file__).with_name("kernel.c")


def _emulated_library():
    """Compile the kernel with AVX2 in place of VNNI; None where that cannot run."""
    compiler = which("cc")
    if compiler is None or machine() not in ("x86_64", "AMD64"):
        return None
    with tempfile.TemporaryDirectory(prefix="patchbank-kernel-") as folder:
        target = Path(folder) / "emulated.so"
        command = [compiler, "-O3", "-DEMULATE_VNNI", "-shared", "-fPIC", SOURCE]
        command += ["-o", target, "-lm"]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
        library = binding.open_library(target)  # it stays loaded without its file
    return library if library.int8_supports(AVX_VNNI) else None


def _libraries():
    """(library, level) by kernel; None and 0 are the matrix products."""
    found = {"gemm": (None, 0)}
    found |= {NATIVE[level]: (binding.library(), level) for level in binding.supported()[0]}
    # Also beside a native one: it has codes of 8 bits in vectors of 256, which no other may run.
    if emulated := _emulated_library():
        found["emulated"] = (emulated, AVX_VNNI)
    return found


LIBRARIES = _libraries()
RAN: set[str] = set()
"""Kernels that tests of this session have computed with."""
KERNELS = list(LIBRARIES)
"""``gemm`` for the matrix products of numpy, and the native kernel at each level that runs here."""
INT8_KERNELS = KERNELS[1:]
MARKED_KERNELS = ["gemm", *(pytest.param(k, marks=pytest.mark.kernel) for k in INT8_KERNELS)]
"""The same, with the requirement of each."""


def on_kernel(patch: pytest.MonkeyPatch, kernel: str) -> None:
    """Compute with one of them."""
    RAN.add(kernel)
    library, level = LIBRARIES[kernel]
    patch.setattr(binding, "level", lambda: level)
    if library is not None:
        assert isinstance(library, ctypes.CDLL)
        patch.setattr(binding, "library", lambda: library)
