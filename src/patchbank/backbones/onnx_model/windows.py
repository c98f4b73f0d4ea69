"""Shapes of convolutions and poolings, whose windows move over the axes of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass

from patchbank.backbones.onnx_model.value import Call, Shape, SizeError


@dataclass(frozen=True, slots=True)
class _Windows:
    """The windows along each axis of an image."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    pads: list[int]
    """Before each axis, then after each."""
    auto: str

    @classmethod
    def of(cls, call: Call, kernel: list[int]) -> _Windows:
        n = len(kernel)
        found = cls(
            kernel,
            call.node.attributes.get("strides") or [1] * n,
            call.node.attributes.get("dilations") or [1] * n,
            call.node.attributes.get("pads") or [0] * 2 * n,
            str(call.node.attributes.get("auto_pad", "NOTSET")),
        )
        sides = (*found.kernel, *found.strides, *found.dilations)
        lengths = {len(found.strides), len(found.dilations), len(found.pads) // 2}
        if min(sides, default=0) < 1 or lengths != {n} or min(found.pads, default=0) < 0:
            raise SizeError("windows without a side, a step or a whole padding")
        return found

    def reach(self, axis: int) -> int:
        """Cells from the first to the last of a window."""
        return self.dilations[axis] * (self.kernel[axis] - 1) + 1

    def padding(self, axis: int) -> int:
        """Cells added on both sides of an axis together."""
        return self.pads[axis] + self.pads[axis + len(self.kernel)]

    def count(self, axis: int, side: int, *, up: bool = False) -> int:
        """Windows along an axis of `side` cells."""
        stride = self.strides[axis]
        if self.auto.startswith("SAME"):
            return -(-side // stride)
        padding = 0 if self.auto == "VALID" else self.padding(axis)
        free = side + padding - self.reach(axis)
        if free < 0:
            raise SizeError(f"a window of {self.reach(axis)} on {side} cells")
        n = free // stride + 1
        if up and free % stride:
            begins_inside = n * stride < side + (0 if self.auto == "VALID" else self.pads[axis])
            n += begins_inside
        return n


def pooling(call: Call) -> Shape:
    """The shape of a pooling."""
    shape = call.input(0).shape
    windows = _Windows.of(call, list(call.node.attributes.get("kernel_shape") or []))
    if len(windows.kernel) != len(shape) - 2:
        raise SizeError(f"windows of {windows.kernel} on {shape}")
    up = bool(call.integer("ceil_mode", 0))
    sides = [windows.count(axis, side, up=up) for axis, side in enumerate(shape[2:])]
    return (*shape[:2], *sides)


def weights_of(call: Call) -> Shape:
    """The shape of the weights of a convolution."""
    return call.input(3 if call.node.operator == "QLinearConv" else 1).shape


def convolution(call: Call) -> Shape:
    """The shape of a convolution, transposed or not."""
    shape, weights = call.input(0).shape, weights_of(call)
    groups = call.integer("group", 1)
    if len(weights) != len(shape) or len(shape) < 3 or groups < 1:
        raise SizeError(f"weights {weights} on {shape}")
    windows = _Windows.of(call, list(weights[2:]))
    if call.node.operator == "ConvTranspose":
        return (shape[0], weights[1] * groups, *_enlarged(call, windows, shape[2:]))
    if shape[1] != weights[1] * groups:
        raise SizeError(f"weights {weights} on {shape}")
    sides = [windows.count(axis, side) for axis, side in enumerate(shape[2:])]
    return (shape[0], weights[0], *sides)


def _enlarged(call: Call, windows: _Windows, sides: Shape) -> list[int]:
    stated = call.node.attributes.get("output_shape")
    if stated:
        return list(stated[-len(sides) :])
    extra = call.node.attributes.get("output_padding") or [0] * len(sides)
    found = []
    for axis, side in enumerate(sides):
        stride = windows.strides[axis]
        if windows.auto.startswith("SAME"):
            found.append(side * stride)
            continue
        padding = 0 if windows.auto == "VALID" else windows.padding(axis)
        found.append(stride * (side - 1) + extra[axis] + windows.reach(axis) - padding)
    if min(found) < 1:
        raise SizeError(f"{math.prod(sides)} cells enlarged to {found}")
    return found
