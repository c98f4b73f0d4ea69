"""Helpers for array functions that work on numpy arrays and on torch tensors alike (Array API).

Large arrays (features, banks, products) stay on their device and are computed through their own
namespace.  Small results (selected rows, distances, scores) are always numpy arrays.
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
    """Split n rows into slices of `size`; the last may be shorter."""
    for begin in range(0, n, size):
        yield slice(begin, min(begin + size, n))


def to_device_if_fits(array: Array, device: Device) -> Array:
    """Move an array to the device if it fits there; if not, callers move it block by block."""
    return device.put(array) if device.fits(array.nbytes) else array


def namespace(array: Array) -> Any:
    """The array namespace of `array`: numpy, or its equivalent for a torch tensor."""
    return np if isinstance(array, np.ndarray) else array_api_compat.array_namespace(array)


def to_numpy(array: Array) -> NDArray[Any]:
    """Convert to a numpy array; copies only what is on another device."""
    if isinstance(array, np.ndarray):
        return array
    if not array_api_compat.is_array_api_obj(array):  # rows that are fetched when they are read
        return np.asarray(array)
    return np.asarray(array_api_compat.to_device(array, "cpu"))


def device_of(array: Array) -> Any:
    """The device of an array."""
    return array_api_compat.device(array)


def on_device_of(constant: NDArray[Any], array: Array) -> Array:
    """Move the numpy array `constant` to the device of `array`."""
    if isinstance(array, np.ndarray):
        return constant
    xp = array_api_compat.array_namespace(array)
    # A copy: torch does not share memory that must not be written to.
    return xp.asarray(constant.copy(), device=device_of(array))


def empty_on_device_of(shape: tuple[int, ...], array: Array) -> Array:
    """Allocate a float32 array on the device of `array`."""
    xp = namespace(array)
    return xp.empty(shape, dtype=xp.float32, device=device_of(array))


def ones_on_device_of(shape: tuple[int, ...], array: Array) -> Array:
    """Allocate float32 ones on the device of `array`."""
    xp = namespace(array)
    return xp.ones(shape, dtype=xp.float32, device=device_of(array))
