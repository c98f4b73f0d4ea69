"""Where large arrays live.  The functions of core work on numpy arrays and on torch tensors alike.

What is large (features, banks, products) is computed where it lies, through the array's own
namespace (Array API); what is small (picks, distances, scores) always comes back as numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from patchbank.runtime.devices import Device
from patchbank.types import Array


def blocks(n: int, size: int) -> Iterator[slice]:
    """Cut n rows into blocks of `size`; the last may be shorter."""
    for begin in range(0, n, size):
        yield slice(begin, min(begin + size, n))


def to_device_if_fits(array: Array, device: Device) -> Array:
    """Bring a whole array to the device where it fits; else leave it, to be brought in blocks."""
    return device.put(array) if device.fits(array.nbytes) else array


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


def on_device_of(constant: NDArray[Any], array: Array) -> Array:
    """The numpy array `constant`, where `array` lies."""
    if isinstance(array, np.ndarray):
        return constant
    xp = array_api_compat.array_namespace(array)
    # A copy: torch does not share memory that must not be written to.
    return xp.asarray(constant.copy(), device=device_of(array))


def empty_on_device_of(shape: tuple[int, ...], array: Array) -> Array:
    """Room for float32 numbers where `array` lies."""
    xp = namespace(array)
    return xp.empty(shape, dtype=xp.float32, device=device_of(array))


def ones_on_device_of(shape: tuple[int, ...], array: Array) -> Array:
    """Float32 ones where `array` lies."""
    xp = namespace(array)
    return xp.ones(shape, dtype=xp.float32, device=device_of(array))
