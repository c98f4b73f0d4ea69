"""Devices: the hardware that computes the large matrix products."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from patchbank.types import Array


class Device(Protocol):
    """The hardware that computes the large matrix products."""

    @property
    def name(self) -> str:
        """``cpu``, ``cuda:0``, ..."""
        ...

    @property
    def tile_factor(self) -> int:
        """Factor by which blocks are larger than those that suit the cache of a CPU."""
        ...

    def put(self, array: Array) -> Array:
        """Copy an array to the device, unless it is there already."""
        ...

    def fits(self, n_bytes: int) -> bool:
        """Whether `n_bytes` may stay on the device; larger arrays are copied there in blocks."""
        ...

    def full_precision(self) -> AbstractContextManager[None]:
        """Context in which products are computed in full float32; a GPU admits one thread."""
        ...


class Host:
    """The CPU with numpy: arrays are used where they are."""

    name = "cpu"
    tile_factor = 1

    def put(self, array: Array) -> Array:
        """Return the array itself."""
        return array

    def fits(self, n_bytes: int) -> bool:
        """Always true: what is in memory is on the device."""
        return True

    def full_precision(self) -> AbstractContextManager[None]:
        """A context without effect: numpy always computes in full float32."""
        return nullcontext()


HOST = Host()
