"""Where large arrays live.  The functions of core work on numpy arrays and on torch tensors alike.

What is large (features, banks, products) is computed where it lies, through the array's own
namespace (Array API); what is small (picks, distances, scores) always comes back as numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeAlias

import array_api_compat
import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any
"""A numpy array, or a torch tensor on any device."""


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

    def holds(self, n_bytes: int) -> bool:
        """Whether so much may stay there; what may not is brought in blocks, again and again."""
        ...

    def precise(self) -> AbstractContextManager[None]:
        """While it is open, products are made in full float32; some devices serve one at a time."""
        ...


class Host:
    """The CPU with numpy: arrays stay as they are."""

    name = "cpu"
    tile_factor = 1

    def put(self, array: Array) -> Array:
        """Return the array itself."""
        return array

    def holds(self, n_bytes: int) -> bool:
        """Everything that is in memory is there."""
        return True

    def precise(self) -> AbstractContextManager[None]:
        """They are always made so."""
        return nullcontext()


HOST = Host()


def blocks(n: int, size: int) -> Iterator[slice]:
    """Cut n rows into blocks of `size`; the last may be shorter."""
    for begin in range(0, n, size):
        yield slice(begin, min(begin + size, n))


def settle(array: Array, device: Device) -> Array:
    """Bring a whole array to the device where it fits; else leave it, to be brought in blocks."""
    return device.put(array) if device.holds(array.nbytes) else array


def namespace(array: Array) -> Any:
    """The module whose functions work on `array`: numpy's, or the like for a torch tensor."""
    return np if isinstance(array, np.ndarray) else array_api_compat.array_namespace(array)


def to_numpy(array: Array) -> NDArray[Any]:
    """A numpy array of the same numbers; a copy only where it has to leave a device."""
    if isinstance(array, np.ndarray):
        return array
    return np.asarray(array_api_compat.to_device(array, "cpu"))


def device_of(array: Array) -> Any:
    """Where an array lies."""
    return array_api_compat.device(array)


def beside(constant: NDArray[Any], array: Array) -> Array:
    """The numpy array `constant`, where `array` lies."""
    if isinstance(array, np.ndarray):
        return constant
    xp = array_api_compat.array_namespace(array)
    # A copy: torch does not share memory that must not be written to.
    return xp.asarray(constant.copy(), device=device_of(array))


def empty_beside(shape: tuple[int, ...], array: Array) -> Array:
    """Room for float32 numbers where `array` lies."""
    xp = namespace(array)
    return xp.empty(shape, dtype=xp.float32, device=device_of(array))


def ones_beside(shape: tuple[int, ...], array: Array) -> Array:
    """Float32 ones where `array` lies."""
    xp = namespace(array)
    return xp.ones(shape, dtype=xp.float32, device=device_of(array))
