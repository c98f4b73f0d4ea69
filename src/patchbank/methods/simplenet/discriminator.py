"""What is left of the trained networks to predict with: three arrays, and no torch.

Adaptor and batch normalisation are affine, and so is the discriminator's first layer: between the
features and the rectifier there is one matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.core.array_api import namespace
from patchbank.errors import ShapeError
from patchbank.runtime.devices import Device
from patchbank.types import Array

SLOPE = 0.2  # of the leaky rectifier below 0


@dataclass(frozen=True, slots=True)
class Affine:
    """A map of x to weight x + bias."""

    weight: NDArray[np.float64]
    """(outputs, inputs)."""
    bias: NDArray[np.float64]
    """(outputs,)."""

    def after(self, first: Affine) -> Affine:
        """Both in one: `first`, then this.

        >>> double, half = (Affine(np.eye(1) * factor, np.ones(1)) for factor in (2.0, 0.5))
        >>> both = double.after(half)
        >>> both.weight.item(), both.bias.item()
        (1.0, 3.0)
        """
        return Affine(self.weight @ first.weight, self.weight @ first.bias + self.bias)

    @classmethod
    def scaling(cls, factors: NDArray[np.float64], shifts: NDArray[np.float64]) -> Affine:
        """The map of x to factors * x + shifts, all (n,)."""
        return cls(np.diag(factors), shifts)


class Discriminator:
    """D of a patch, high for good ones: one matrix, a leaky rectifier, one row."""

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
        self._placed = [device.put(array) for array in (self.weight, self.bias, self.tail)]

    def __call__(self, features: Array) -> Array:
        """(n, d) -> (n,), where the device is.

        Raises:
            ShapeError: features of another number of dimensions.
        """
        d = self.weight.shape[1]
        if features.shape[1] != d:
            raise ShapeError(f"features: expected (n, {d}), got {tuple(features.shape)}")
        weight, bias, tail = self._placed
        hidden = self._device.put(features) @ weight.T + bias  # (n, hidden)
        return namespace(hidden).where(hidden > 0, hidden, SLOPE * hidden) @ tail
