"""Inference of SimpleNet in numpy, or on a device: three arrays, no torch module.

Adaptor, batch normalisation and the discriminator's first layer are affine: at inference, one
matrix leads from the features to the rectifier.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import namespace
from patchbank.errors import ShapeError
from patchbank.runtime.devices import Device
from patchbank.types import Array

SLOPE = 0.2  # slope of the leaky rectifier below 0


@dataclass(frozen=True, slots=True)
class Affine:
    """Affine map: x -> weight x + bias."""

    weight: NDArray[np.float64]
    """(outputs, inputs)."""
    bias: NDArray[np.float64]
    """(outputs,)."""

    def after(self, first: Affine) -> Affine:
        """Compose two maps: `first`, then this one.

        >>> double, half = (Affine(np.eye(1) * factor, np.ones(1)) for factor in (2.0, 0.5))
        >>> both = double.after(half)
        >>> both.weight.item(), both.bias.item()
        (1.0, 3.0)
        """
        return Affine(self.weight @ first.weight, self.weight @ first.bias + self.bias)

    @classmethod
    def scaling(cls, factors: NDArray[np.float64], shifts: NDArray[np.float64]) -> Affine:
        """Elementwise map: x -> factors * x + shifts, all (n,)."""
        return cls(np.diag(factors), shifts)


class Discriminator:
    """The output D for patches, high for good ones: a matrix, a leaky rectifier, a dot product."""

    def __init__(
        self,
        weight: NDArray[np.floating],
        bias: NDArray[np.floating],
        tail: NDArray[np.floating],
        device: Device,
    ) -> None:
        self.weight = weight.astype(np.float32)
        """(hidden, d)."""
        self.bias = bias.astype(np.float32)
        """(hidden,)."""
        self.tail = tail.astype(np.float32)
        """(hidden,)."""
        self._device = device
        self._on_device = [device.put(array) for array in (self.weight, self.bias, self.tail)]

    def __call__(self, features: Array) -> Array:
        """Compute D on the device.  (n, d) -> (n,).

        Raises:
            ShapeError: the features have another number of dimensions.
        """
        d = self.weight.shape[1]
        if features.shape[1] != d:
            raise ShapeError(f"features: expected (n, {d}), got {tuple(features.shape)}")
        weight, bias, tail = self._on_device
        hidden = self._device.put(features) @ weight.T + bias  # (n, hidden)
        return namespace(hidden).where(hidden > 0, hidden, SLOPE * hidden) @ tail
