"""Devices: where the large products are computed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from patchbank.types import Array


class Device(Protocol):
    """Where the large products are computed."""

    @property
    def name(self) -> str:
        """``cpu``, ``cuda:0``, ..."""
        ...

    @property
    def tile_factor(self) -> int:
        """How many times larger blocks are than those that suit the cache of a CPU."""
        ...

    def put(self, array: Array) -> Array:
        """Bring an array there; one that is there already is not copied."""
        ...

    def fits(self, n_bytes: int) -> bool:
        """Whether so much may stay there; what may not is brought in blocks, again and again."""
        ...

    def full_precision(self) -> AbstractContextManager[None]:
        """While it is open, products are made in full float32; some devices serve one at a time."""
        ...


class Host:
    """The CPU with numpy: arrays stay as they are."""

    name = "cpu"
    tile_factor = 1

    def put(self, array: Array) -> Array:
        """Return the array itself."""
        return array

    def fits(self, n_bytes: int) -> bool:
        """Everything that is in memory is there."""
        return True

    def full_precision(self) -> AbstractContextManager[None]:
        """They are always made so."""
        return nullcontext()


HOST = Host()
