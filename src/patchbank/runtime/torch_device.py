"""Choice of the device: the CPU with numpy, or a GPU with torch.

Products are computed in full float32 on every device.
"""

from __future__ import annotations

import ctypes
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np

from patchbank.errors import ParameterError
from patchbank.runtime.devices import HOST, Device
from patchbank.runtime.printable import one_line
from patchbank.types import Array

MEMORY_SHARE = 0.6  # of a GPU's free memory for arrays that stay there; the rest is for products
GPU_TILE_FACTOR = 32


class TorchDevice:
    """A device of torch: ``cuda:0`` for users; tests also use ``cpu``."""

    def __init__(self, name: str, *, tile_factor: int, limit_bytes: int | None = None) -> None:
        import torch

        self._torch = torch
        self._device = torch.device(name)
        self._limit = limit_bytes
        self._lock = threading.RLock()
        self.tile_factor = tile_factor

    @property
    def name(self) -> str:
        """The name in torch: ``cuda:0``, ..."""
        return str(self._device)

    def put(self, array: Array) -> Array:
        """Copy an array to the device as a tensor, unless it is there already."""
        if isinstance(array, np.ndarray):
            # torch cannot share read-only memory, nor negative strides
            array = self._torch.from_numpy(np.require(array, requirements=("C", "W")))
        return array.to(self._device)

    @contextmanager
    def full_precision(self) -> Iterator[None]:
        """Context for one thread at a time, in which products are computed in full float32.

        Several threads would not be faster, and would need the memory several times.

        Raises:
            MemoryError: the device has too little memory.
        """
        with self._lock, full_float32():
            try:
                yield
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                reason = one_line(str(error)).partition(". ")[0]
                raise MemoryError(f"device {self.name}: {reason}") from None

    def fits(self, n_bytes: int) -> bool:
        """Whether `n_bytes` may stay on the device and leave enough memory for products."""
        if self._limit is not None:
            return n_bytes <= self._limit
        if self._device.type != "cuda":
            return True
        free, _ = self._torch.cuda.mem_get_info(self._device)
        reusable = self._torch.cuda.memory_reserved(self._device)
        reusable -= self._torch.cuda.memory_allocated(self._device)
        return bool(n_bytes <= MEMORY_SHARE * (free + reusable))


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device has too little memory; its libraries say so in errors of their own."""
    import torch

    says_so = "_ALLOC_FAILED" in str(error) or "out of memory" in str(error)
    return isinstance(error, torch.OutOfMemoryError) or says_so


def open_device(name: str) -> Device:
    """Open ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        ParameterError: no such name, or no such GPU.
    """
    if name == "cpu" or (name == "auto" and not _has_gpu()):
        return HOST
    if name != "auto" and not re.fullmatch(r"cuda(:\d+)?", name):
        raise ParameterError(f"device: expected auto, cpu, cuda or cuda:NUMBER, got {name!r}")
    if find_spec("torch") is None:
        raise ParameterError(
            f"device: expected torch for {name!r}, got none; pip install 'patchbank[torch]'"
        )
    return _cuda("cuda:0" if name in ("auto", "cuda") else name)


class _Precision:
    """The precision of float32 products in torch, a setting of the whole process.

    The first thread that enters sets full precision; the last one that leaves restores the
    setting of the host program.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._before: list[str] = []

    def enter(self) -> None:
        with self._lock:
            if self._n_inside == 0:
                self._before = [backend.fp32_precision for backend in self._backends()]
                for backend in self._backends():
                    backend.fp32_precision = "ieee"
            self._n_inside += 1

    def leave(self) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                for backend, before in zip(self._backends(), self._before, strict=True):
                    backend.fp32_precision = before

    @staticmethod
    def _backends() -> list[Any]:
        from torch import backends

        return [
            backends.cuda.matmul,
            backends.cudnn.conv,
            backends.mkldnn.matmul,
            backends.mkldnn.conv,
        ]


_precision = _Precision()


@contextmanager
def full_float32() -> Iterator[None]:
    """Context in which torch computes float32 products without TF32 and bfloat16.

    The setting of the host program is restored at the end.
    """
    _precision.enter()
    try:
        yield
    finally:
        _precision.leave()


def _cuda(name: str) -> TorchDevice:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(name.removeprefix("cuda:"))
    if number >= count:
        has = f"one of cuda:0 to cuda:{count - 1}" if count else "cpu, as torch finds no GPU here"
        raise ParameterError(f"device: expected {has}, got {name!r}")
    return TorchDevice(name, tile_factor=GPU_TILE_FACTOR)


def _has_gpu() -> bool:
    """Whether torch finds a GPU; the driver is asked first, as importing torch takes seconds."""
    if find_spec("torch") is None or not _driver_finds_gpu():
        return False
    import torch

    return bool(torch.cuda.is_available())


def _driver_finds_gpu() -> bool:
    count: Any = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
            return False
    except OSError:
        return False
    return bool(count.value > 0)
