"""The tensors that a model is stored as: a table of types, axes and ranges, and its check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.errors import ShapeError

LARGEST_FEATURE = 1e9
"""Far beyond any network's; the squared distances of larger ones would be rounded coarsely."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """The type, the axes and the range of one tensor; its values are always finite."""

    dtype: str
    axes: tuple[str, ...]
    """A letter or word for each axis, the same for the same length in all tensors of a model, or
    the length itself.  An axis of a name that ends in ``?`` may also be empty."""
    low: float = -LARGEST_FEATURE
    """The smallest value that is allowed."""
    high: float = LARGEST_FEATURE
    """The largest value that is allowed."""
    below: str | None = None
    """An axis whose length all values are below."""
    equals: str | None = None
    """An axis whose length all values are equal to."""
    repeated: str | None = None
    """An axis whose length is the number of such tensors: the ``I`` in name and axes stands for
    0, 1, ..."""
    optional: bool = False
    """Whether a file may lack it."""

    @property
    def shape(self) -> str:
        """The axes, as a message writes them."""
        return f"({', '.join(self.axes)}{',' if len(self.axes) == 1 else ''})"


def check_tensors(
    tensors: Mapping[str, NDArray[Any]],
    specs: Mapping[str, TensorSpec],
    lengths: Mapping[str, int],
) -> None:
    """Check the tensors of a model against its table and against each other.

    Args:
        tensors: by name.
        specs: by name; one whose name is needed for the length of an axis stands before others.
        lengths: of axes that follow from settings and backbone.

    Raises:
        ShapeError: a tensor is missing, or has another type, shape or range.
    """
    known = dict(lengths)
    for name, spec in _expanded(specs, known):
        if name not in tensors:
            if spec.optional:
                continue
            raise ShapeError(f"{name}: expected {spec.dtype} {spec.shape}, got nothing")
        tensor = tensors[name]
        if tensor.dtype != np.dtype(spec.dtype):
            raise ShapeError(f"{name}: expected {spec.dtype}, got {tensor.dtype}")
        _bind(name, spec, tensor.shape, known)
        _check_values(name, spec, tensor, known)


def _expanded(
    specs: Mapping[str, TensorSpec], known: Mapping[str, int]
) -> Iterator[tuple[str, TensorSpec]]:
    for name, spec in specs.items():
        if spec.repeated is None:
            yield name, spec
            continue
        for number in range(known[spec.repeated]):
            axes = tuple(axis.replace("I", str(number)) for axis in spec.axes)
            yield name.replace("I", str(number)), TensorSpec(spec.dtype, axes, spec.low, spec.high)


def _bind(name: str, spec: TensorSpec, shape: tuple[int, ...], known: dict[str, int]) -> None:
    """Check a shape, and keep the lengths of axes that are not known yet."""
    fits = len(shape) == len(spec.axes)
    for axis, n in zip(spec.axes, shape, strict=False):
        letter = axis.removesuffix("?")
        if n == 0 and axis != letter:
            continue
        if letter.isdecimal():
            fits &= n == int(letter)
        else:
            fits &= n >= 1 and known.setdefault(letter, n) == n
    if not fits:
        stated = ", ".join(f"{a} = {known[a]}" for a in spec.axes if a in known)
        where = f" with {stated}" if stated else ""
        raise ShapeError(f"{name}: expected the shape {spec.shape}{where}, got {shape}")


def _check_values(
    name: str, spec: TensorSpec, tensor: NDArray[Any], known: Mapping[str, int]
) -> None:
    if not tensor.size:
        return
    low, high = float(tensor.min()), float(tensor.max())
    most = spec.high
    if spec.below is not None:
        most = known[spec.below] - 1
    if spec.equals is not None:
        most = known[spec.equals]
        low = min(low, high) if low == most else -np.inf
    if not (spec.low <= low and high <= most):  # not so either where a value is NaN
        raise ShapeError(
            f"{name}: expected values from {spec.low:g} to {most:g}, got {low:g} to {high:g}"
        )
