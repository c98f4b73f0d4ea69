"""An array of a network before it is computed: its shape, and its elements where they are few."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones.onnx_model.graph import Node, Tensor

Shape = tuple[int, ...]


class SizeError(ValueError):
    """The size of an array does not follow from that of the image, or is out of proportion."""


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output of an operator."""

    shape: Shape
    elements: NDArray[Any] | None = None
    """The elements, of an array that is small and does not depend on pixels."""
    is_constant: bool = False
    """Whether it depends on constants alone, so that a runtime may compute it when it opens."""

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @classmethod
    def of_tensor(cls, tensor: Tensor) -> Value:
        """A constant of the model."""
        return cls(tensor.shape, tensor.values, is_constant=True)


@dataclass(frozen=True, slots=True)
class Call:
    """An operator with what is known of its inputs."""

    node: Node
    inputs: Sequence[Value | None]
    opset: int

    def input(self, number: int) -> Value:
        """An input that is needed."""
        value = self.optional(number)
        if value is None:
            raise SizeError(f"it has no input number {number}")
        return value

    def optional(self, number: int) -> Value | None:
        """An input that may be left out."""
        return self.inputs[number] if number < len(self.inputs) else None

    def elements(self, number: int) -> NDArray[Any]:
        """The elements of an input on which a size depends."""
        elements = self.input(number).elements
        if elements is None:
            raise SizeError("the size of its output depends on pixels")
        return elements

    def integers(self, name: str, number: int) -> list[int] | None:
        """Integers from an attribute or, in newer versions, from an input; None if left out."""
        given = self.node.attributes.get(name)
        if given is not None:
            return given if isinstance(given, list) else [int(given)]
        if self.optional(number) is None:
            return None
        return [int(v) for v in np.ravel(self.elements(number)).tolist()]

    def integer(self, name: str, default: int) -> int:
        """An integer from an attribute."""
        value = self.node.attributes.get(name, default)
        if not isinstance(value, int):
            raise SizeError(f"its attribute {name} is not an integer")
        return value

    def axis(self, default: int, rank: int, name: str = "axis") -> int:
        """An axis from an attribute, counted from the front."""
        return front(self.integer(name, default), rank)


def front(axis: int, rank: int) -> int:
    """The number of an axis counted from the front."""
    if not -rank <= axis < rank:
        raise SizeError(f"there is no axis {axis} of {rank}")
    return axis % rank


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape that arrays are broadcast to.

    >>> broadcast([(4, 1, 3), (5, 1)])
    (4, 5, 3)
    """
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    found = []
    for sides in zip(*padded, strict=True):
        others = {side for side in sides if side != 1}
        if len(others) > 1:
            raise SizeError(f"shapes {' and '.join(map(str, shapes))} do not go together")
        found.append(others.pop() if others else 1)
    return tuple(found)
