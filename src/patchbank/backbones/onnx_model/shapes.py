"""Shapes of what operators compute, from the shapes of their inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from patchbank.backbones.onnx_model.operators import (
    BROADCAST,
    CONVOLUTIONS,
    GLOBAL_POOLINGS,
    POOLINGS,
    PRODUCTS,
    REDUCTIONS,
    SAME_SHAPE,
)
from patchbank.backbones.onnx_model.small_arrays import slice_parts
from patchbank.backbones.onnx_model.value import Call, Shape, SizeError, broadcast, front
from patchbank.backbones.onnx_model.windows import convolution, pooling


def output_shapes(call: Call) -> list[Shape]:
    """The shape of each output of an operator.

    Raises:
        SizeError: it does not follow from what is known, or the operator cannot have these inputs.
    """
    n_outputs = max(1, len(call.node.outputs))
    operator = call.node.operator
    if operator in SAME_SHAPE:
        return [call.input(0).shape] * n_outputs
    if operator in BROADCAST:
        return [broadcast([value.shape for value in call.inputs if value is not None])]
    if operator in REDUCTIONS:
        return [_reduced(call)]
    if operator in GLOBAL_POOLINGS:
        shape = call.input(0).shape
        return [(*shape[:2], *[1] * (len(shape) - 2))]
    if operator in POOLINGS:
        return [pooling(call)] * n_outputs
    if operator in CONVOLUTIONS:
        return [convolution(call)]
    if operator in PRODUCTS:
        return [_product(call)]
    if operator == "Split":
        return _split(call)
    if operator == "TopK":
        return [_top(call)] * n_outputs
    if operator == "DynamicQuantizeLinear":
        return [call.input(0).shape, (), ()]
    return [OTHER_SHAPES[operator](call)]


def _reduced(call: Call) -> Shape:
    shape = call.input(0).shape
    keep = call.integer("keepdims", 1)
    if call.node.operator.startswith("Arg"):
        axes: list[int] | None = [call.integer("axis", 0)]
    else:
        axes = call.integers("axes", 1)
    if not axes:
        if axes is not None and call.integer("noop_with_empty_axes", 0):
            return shape
        axes = list(range(len(shape)))
    gone = {front(axis, len(shape)) for axis in axes}
    sides = [1 if n in gone else side for n, side in enumerate(shape)]
    return tuple(side for n, side in enumerate(sides) if keep or n not in gone)


def _product(call: Call) -> Shape:
    second = 3 if call.node.operator == "QLinearMatMul" else 1
    one, other = call.input(0).shape, call.input(second).shape
    if call.node.operator == "Gemm":
        one = one[::-1] if call.integer("transA", 0) else one
        other = other[::-1] if call.integer("transB", 0) else other
    if not one or not other:
        raise SizeError("a product of single numbers")
    left = one if len(one) > 1 else (1, *one)
    right = other if len(other) > 1 else (*other, 1)
    if left[-1] != right[-2]:
        raise SizeError(f"a product of {one} and {other}")
    sides: Shape = (*broadcast([left[:-2], right[:-2]]), left[-2], right[-1])
    if len(one) == 1:
        sides = (*sides[:-2], sides[-1])
    return sides if len(other) > 1 else sides[:-1]


def _split(call: Call) -> list[Shape]:
    shape, n = call.input(0).shape, len(call.node.outputs)
    axis = call.axis(0, len(shape))
    parts = call.integers("split", 1)
    if parts is None:
        side = -(-shape[axis] // n)
        parts = [min(side, shape[axis] - number * side) for number in range(n)]
    if sum(parts) != shape[axis] or len(parts) != n or min(parts) < 0:
        raise SizeError(f"{shape[axis]} split into {parts}")
    return [(*shape[:axis], part, *shape[axis + 1 :]) for part in parts]


def _top(call: Call) -> Shape:
    shape = call.input(0).shape
    axis = call.axis(-1, len(shape))
    (k,) = call.integers("k", 1) or [0]
    if not 0 <= k <= shape[axis]:
        raise SizeError(f"the highest {k} of {shape[axis]}")
    return (*shape[:axis], k, *shape[axis + 1 :])


def _reshaped(call: Call) -> Shape:
    shape, size = call.input(0).shape, call.input(0).size
    asked = call.integers("shape", 1) or []
    if not call.integer("allowzero", 0):
        asked = [shape[n] if side == 0 else side for n, side in enumerate(asked)]
    if -1 in asked:
        rest = -math.prod(asked)
        asked[asked.index(-1)] = size // rest if rest > 0 else 0
    if min(asked, default=0) < 0 or math.prod(asked) != size:
        raise SizeError(f"{shape} in the shape {tuple(asked)}")
    return tuple(asked)


def _flat(call: Call) -> Shape:
    shape = call.input(0).shape
    axis = call.integer("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return math.prod(shape[:axis]), math.prod(shape[axis:])


def _squeezed(call: Call) -> Shape:
    shape, axes = call.input(0).shape, call.integers("axes", 1)
    if axes is None:
        return tuple(side for side in shape if side != 1)
    gone = {front(axis, len(shape)) for axis in axes}
    if any(shape[n] != 1 for n in gone):
        raise SizeError(f"{shape} without the axes {axes}")
    return tuple(side for n, side in enumerate(shape) if n not in gone)


def _unsqueezed(call: Call) -> Shape:
    shape, axes = call.input(0).shape, call.integers("axes", 1) or []
    rank = len(shape) + len(axes)
    new = {front(axis, rank) for axis in axes}
    sides = iter(shape)
    if len(new) != len(axes):
        raise SizeError("an axis twice")
    return tuple(1 if n in new else next(sides) for n in range(rank))


def _transposed(call: Call) -> Shape:
    shape = call.input(0).shape
    order = call.node.attributes.get("perm", list(range(len(shape)))[::-1])
    if sorted(order) != list(range(len(shape))):
        raise SizeError(f"axes {order} of {shape}")
    return tuple(shape[n] for n in order)


def _concatenated(call: Call) -> Shape:
    shapes = [value.shape for value in call.inputs if value is not None]
    axis = call.axis(0, len(call.input(0).shape))
    others = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(others) != 1 or any(len(shape) != len(shapes[0]) for shape in shapes):
        raise SizeError(f"shapes {shapes[:4]} in a row")
    along = sum(shape[axis] for shape in shapes)
    return (*shapes[0][:axis], along, *shapes[0][axis + 1 :])


def _sliced(call: Call) -> Shape:
    sides = list(call.input(0).shape)
    for start, end, axis, step in zip(*slice_parts(call, len(sides)), strict=True):
        if step == 0:
            raise SizeError("a step of 0")
        side = sides[axis]
        low, high = (0, side) if step > 0 else (-1, side - 1)
        first = min(max(start + side if start < 0 else start, low), high)
        last = min(max(end + side if end < 0 else end, low), high)
        sides[axis] = max(0, -(-(last - first) // step))
    return tuple(sides)


def _gathered(call: Call) -> Shape:
    shape, numbers = call.input(0).shape, call.input(1).shape
    axis = call.axis(0, len(shape))
    return (*shape[:axis], *numbers, *shape[axis + 1 :])


def _gathered_points(call: Call) -> Shape:
    shape, numbers = call.input(0).shape, call.input(1).shape
    return (*numbers[:-1], *shape[call.integer("batch_dims", 0) + numbers[-1] :])


def _sizes(call: Call, number: int) -> list[int]:
    sizes = [int(v) for v in call.elements(number).ravel().tolist()]
    if min(sizes, default=0) < 0:
        raise SizeError(f"a shape of {sizes}")
    return sizes


def _tiled(call: Call) -> Shape:
    repeats = _sizes(call, 1)
    return tuple(side * n for side, n in zip(call.input(0).shape, repeats, strict=True))


def _range(call: Call) -> Shape:
    start, limit, step = (call.elements(n).ravel()[0].item() for n in range(3))
    if step == 0:
        raise SizeError("a step of 0")
    return (max(0, math.ceil((limit - start) / step)),)


def _resized(call: Call) -> Shape:
    shape = call.input(0).shape
    attributes = call.node.attributes
    if attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise SizeError("it keeps the aspect ratio")
    axes = attributes.get("axes", list(range(len(shape))))
    scales_at = 1 if call.node.operator == "Upsample" or call.opset < 11 else 2
    sides = list(shape)
    if call.optional(3) is not None and scales_at == 2:
        for axis, side in zip(axes, _sizes(call, 3), strict=True):
            sides[axis] = side
        return tuple(sides)
    scales = attributes.get("scales") or call.elements(scales_at).ravel().tolist()
    for axis, scale in zip(axes, scales, strict=True):
        if not 0 < scale < 1e6:
            raise SizeError(f"a scale of {scale}")
        sides[axis] = int(np.float32(sides[axis]) * np.float32(scale))  # as runtimes do
    return tuple(sides)


def _padded(call: Call) -> Shape:
    shape = call.input(0).shape
    pads = call.integers("pads", 1) or []
    axes = call.integers("axes", 3) if call.optional(3) else list(range(len(shape)))
    sides = list(shape)
    for n, axis in enumerate(axes or []):
        sides[front(axis, len(shape))] += pads[n] + pads[n + len(pads) // 2]
    if min(sides, default=0) < 0:
        raise SizeError(f"{shape} with {pads} added")
    return tuple(sides)


def _with_blocks(call: Call) -> Shape:
    b, c, h, w = call.input(0).shape
    n = call.integer("blocksize", 0)
    if n < 1:
        raise SizeError(f"blocks of {n}")
    if call.node.operator == "DepthToSpace":
        return b, c // n**2, h * n, w * n
    return b, c * n**2, h // n, w // n


def _shape_of_shape(call: Call) -> Shape:
    attributes, rank = call.node.attributes, len(call.input(0).shape)
    return (len(range(rank)[attributes.get("start", 0) : attributes.get("end")]),)


def _constant(call: Call) -> Shape:
    for value in call.node.attributes.values():
        if isinstance(value, list):
            return (len(value),)
        if value is not None:
            return tuple(getattr(value, "shape", ()))
    raise SizeError("a constant without a dense value")


def _one_hot(call: Call) -> Shape:
    shape, (depth,) = call.input(0).shape, _sizes(call, 1)
    axis = call.axis(-1, len(shape) + 1)
    return (*shape[:axis], depth, *shape[axis:])


def _sampled(call: Call) -> Shape:
    return (*call.input(0).shape[:2], *call.input(1).shape[1:-1])


def _einsum(call: Call) -> Shape:
    lengths, output = einsum_lengths(call)
    return tuple(lengths[letter] for letter in output)


def einsum_lengths(call: Call) -> tuple[dict[str, int], str]:
    """The length of each letter of an Einsum, and the letters of its output."""
    equation = str(call.node.attributes.get("equation", "")).replace(" ", "")
    terms, arrow, output = equation.partition("->")
    if not arrow or "." in equation or not (terms.replace(",", "") + output).isalpha():
        raise SizeError(f"the equation {equation[:40]!r}")
    lengths: dict[str, int] = {}
    for number, term in enumerate(terms.split(",")):
        for letter, side in zip(term, call.input(number).shape, strict=True):
            if lengths.setdefault(letter, side) not in (side, 1) and side != 1:
                raise SizeError(f"two lengths of {letter}")
            lengths[letter] = max(lengths[letter], side)
    return lengths, output


OTHER_SHAPES: Mapping[str, Callable[[Call], Shape]] = {
    "Concat": _concatenated,
    "Constant": _constant,
    "ConstantOfShape": lambda call: tuple(_sizes(call, 0)),
    "DepthToSpace": _with_blocks,
    "Einsum": _einsum,
    "Expand": lambda call: broadcast([call.input(0).shape, tuple(_sizes(call, 1))]),
    "Flatten": _flat,
    "Gather": _gathered,
    "GatherElements": lambda call: call.input(1).shape,
    "GatherND": _gathered_points,
    "GridSample": _sampled,
    "OneHot": _one_hot,
    "Pad": _padded,
    "Range": _range,
    "Reshape": _reshaped,
    "Resize": _resized,
    "ScatterElements": lambda call: call.input(0).shape,
    "ScatterND": lambda call: call.input(0).shape,
    "Shape": _shape_of_shape,
    "Size": lambda call: (),
    "Slice": _sliced,
    "SpaceToDepth": _with_blocks,
    "Squeeze": _squeezed,
    "Tile": _tiled,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
    "Upsample": _resized,
}
