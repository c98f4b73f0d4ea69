"""Operators on a few integers, from which networks compute the sizes of their arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones.onnx_model.graph import DTYPES, SMALL
from patchbank.backbones.onnx_model.value import Call, Shape

Elements = NDArray[Any]


def _quotient(one: Elements, other: Elements) -> Elements:
    if np.issubdtype(np.result_type(one, other), np.integer):
        if not np.all(other):
            raise ZeroDivisionError
        exact: Elements = np.trunc(one / other)
        return exact.astype(np.result_type(one, other))
    divided: Elements = one / other
    return divided


def _remainder(one: Elements, other: Elements) -> Elements:
    if not np.all(other):
        raise ZeroDivisionError
    return np.asarray(np.mod(one, other))


ELEMENTWISE: Mapping[str, Callable[..., Any]] = {
    "Identity": lambda x: x,
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _quotient,
    "Mod": _remainder,
    "Neg": np.negative,
    "Abs": np.abs,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.round,
    "Sqrt": np.sqrt,
    "Min": np.minimum,
    "Max": np.maximum,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Not": np.logical_not,
    "Where": np.where,
}
REDUCING: Mapping[str, Callable[..., Any]] = {
    "ReduceProd": np.prod,
    "ReduceSum": np.sum,
    "ReduceMax": np.max,
    "ReduceMin": np.min,
}
RESHAPING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")


def computed(call: Call, shape: Shape) -> Elements | None:
    """The elements of the first output, of a given shape; None where they are not known."""
    if np.prod(shape, dtype=object) > SMALL:
        return None
    values = [None if value is None else value.elements for value in call.inputs]
    try:
        with np.errstate(all="ignore"):
            found = _computed(call, values, shape)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError):
        return None
    return None if found is None or found.shape != shape else found


def _computed(call: Call, values: list[Elements | None], shape: Shape) -> Elements | None:
    operator, attributes = call.node.operator, call.node.attributes
    if operator == "Shape":
        begin, end = attributes.get("start", 0), attributes.get("end")
        return np.array(call.input(0).shape[begin:end], dtype=np.int64)
    if operator == "Size":
        return np.array(call.input(0).size, dtype=np.int64)
    if operator == "ConstantOfShape":
        fill = attributes.get("value")
        element = np.float32(0) if fill is None else fill.values.ravel()[0]
        return np.full(shape, element)
    first = values[0] if values else None
    if first is None or any(v is not None and v.elements is None for v in call.inputs):
        return None
    if operator in ELEMENTWISE:
        return np.asarray(ELEMENTWISE[operator](*values))
    if operator in REDUCING:
        axes = call.integers("axes", 1)
        keep = bool(attributes.get("keepdims", 1))
        axis = None if axes is None else tuple(axes)
        return np.asarray(REDUCING[operator](first, axis=axis, keepdims=keep))
    if operator in RESHAPING:
        return np.reshape(first, shape)
    return _moved(call, first, values, shape)


def _moved(call: Call, first: Elements, values: list[Any], shape: Shape) -> Elements | None:
    match call.node.operator:
        case "Cast":
            cast: Elements = first.astype(DTYPES[call.integer("to", 0)])
            return cast
        case "Transpose":
            return np.transpose(first, call.node.attributes.get("perm"))
        case "Concat":
            return np.concatenate(values, axis=call.axis(0, first.ndim))
        case "Gather":
            return np.asarray(np.take(first, values[1], axis=call.axis(0, first.ndim)))
        case "Expand":
            return np.broadcast_to(first, shape)
        case "Tile":
            return np.tile(first, values[1])
        case "Range":
            count = np.arange(shape[0])
            return np.asarray(first + count * values[2]).astype(first.dtype)
        case "Slice":
            return first[_slices(call, first.ndim)]
    return None


def _slices(call: Call, rank: int) -> tuple[slice, ...]:
    starts, ends, axes, steps = slice_parts(call, rank)
    found = [slice(None)] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        stop: int | None = end
        if step < 0 and end < -(2**31):
            stop = None
        found[axis] = slice(start, stop, step)
    return tuple(found)


def slice_parts(call: Call, rank: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """Starts, ends, axes from the front, and steps of the operator Slice."""
    starts, ends = call.integers("starts", 1) or [], call.integers("ends", 2) or []
    axes = call.integers("axes", 3)
    steps = call.integers("steps", 4)
    numbers = range(len(starts)) if axes is None else axes
    return (
        starts,
        ends,
        [axis % rank for axis in numbers],
        [1] * len(starts) if steps is None else steps,
    )
