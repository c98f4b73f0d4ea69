"""Writes an ONNX graph node by node, in expressions: `a + b` adds a node, and gives its output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike, NDArray
from onnx import helper, numpy_helper

from patchbank.core.rounding import ERROR

OPSET = 17
"""Version of the operators; that of the embedded backbones, and old enough for all runtimes."""
IR_VERSION = 8
LARGEST_HALF = float(np.finfo(np.float16).max)
LEAST_HALVED = 8192
"""Numbers of the smallest array that is stored in float16.  Smaller ones are a fiftieth of a file,
and those of a network's first layers change the map thirty times as much as all larger ones."""
Operand: TypeAlias = "Tensor | float | int | np.generic | NDArray[Any]"


class GraphBuilder:
    """Nodes and constants of a graph that grows."""

    def __init__(self, *, is_half: bool = False) -> None:
        """Begin an empty graph.

        Args:
            is_half: store weights in float16; the graph computes in float32 with them.
        """
        self.is_half = is_half
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._widening: dict[str, onnx.NodeProto] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._count = 0
        self._scopes: list[str] = []

    @property
    def every_node(self) -> list[onnx.NodeProto]:
        """All nodes, in an order in which they can be computed.

        What makes float32 of weights is ahead of what may first ask for them in a loop.
        """
        return [*self._widening.values(), *self.nodes]

    def scope(self, name: str) -> _Scope:
        """A context in which the names of nodes begin with a word."""
        return _Scope(self._scopes, name)

    def name(self, what: str) -> str:
        """A name that no node has yet."""
        self._count += 1
        return "/".join([*self._scopes, f"{what}_{self._count}"])

    def constant(self, value: ArrayLike, dtype: DTypeLike | None = None) -> Tensor:
        """A constant; equal ones are kept once."""
        array = np.ascontiguousarray(np.asarray(value, dtype=dtype)).reshape(np.shape(value))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self.name("constant")
            self.initializers.append(numpy_helper.from_array(array, name))
            self._constants[key] = name
        return Tensor(self, self._constants[key], array.dtype)

    def as_stored(self, weights: NDArray[Any]) -> NDArray[Any]:
        """Weights, float32, as the graph has them: rounded where it stores them in float16.

        A small array, and one with numbers that float16 does not have, stays as it is.
        """
        is_kept = not self.is_half or weights.size < LEAST_HALVED
        if is_kept or np.abs(weights).max() > LARGEST_HALF:
            return weights
        return weights.astype(np.float16).astype(np.float32)

    def weights(self, values: NDArray[Any]) -> Tensor:
        """A constant of float32 that may be stored in float16; equal ones are kept once."""
        if self.as_stored(values) is values:
            return self.constant(values, np.float32)
        half = self.constant(values, np.float16)
        if half.name not in self._widening:
            self._widening[half.name] = helper.make_node(
                "Cast", [half.name], [self.name("weights")], to=onnx.TensorProto.FLOAT
            )
        return Tensor(self, self._widening[half.name].output[0], np.float32)

    def node(
        self,
        kind: str,
        inputs: Sequence[Tensor],
        dtype: DTypeLike,
        attributes: Mapping[str, Any] | None = None,
    ) -> Tensor:
        """Add an operator with one output."""
        return self.nodes_outputs(kind, inputs, (dtype,), attributes)[0]

    def nodes_outputs(
        self,
        kind: str,
        inputs: Sequence[Tensor],
        dtypes: Sequence[DTypeLike],
        attributes: Mapping[str, Any] | None = None,
    ) -> list[Tensor]:
        """Add an operator with several outputs."""
        names = [self.name(kind) for _ in dtypes]
        given = [tensor.name for tensor in inputs]
        self.nodes.append(helper.make_node(kind, given, names, name=names[0], **(attributes or {})))
        return [Tensor(self, name, dtype) for name, dtype in zip(names, dtypes, strict=True)]

    def loop(
        self, count: Tensor, state: Tensor, step: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """State after so many steps.

        Args:
            count: of the steps.
            state: before the first one.
            step: makes the next state, of the same shape, from the number of the step and the
                state before; it may use tensors from outside.
        """
        number = Tensor(self, self.name("number"), np.int64)
        going = Tensor(self, self.name("going"), np.bool_)
        before = Tensor(self, self.name("state"), state.dtype)
        outside, self.nodes = self.nodes, []
        outputs = [going.apply("Identity"), step(number, before)]
        body = helper.make_graph(
            self.nodes,
            self.name("step"),
            [number.info([]), going.info([]), before.info(None)],
            [outputs[0].info([]), outputs[1].info(None)],
        )
        self.nodes = outside
        always = self.constant(True, np.bool_)
        return self.node("Loop", [count, always, state], state.dtype, {"body": body})

    def named(self, tensor: Tensor, name: str) -> Tensor:
        """The same values under the name of an output."""
        self.nodes.append(helper.make_node("Identity", [tensor.name], [name], name=f"to_{name}"))
        return Tensor(self, name, tensor.dtype)


class _Scope:
    def __init__(self, scopes: list[str], name: str) -> None:
        self._scopes, self._name = scopes, name

    def __enter__(self) -> None:
        self._scopes.append(self._name)

    def __exit__(self, *_: object) -> None:
        self._scopes.pop()


class Tensor:
    """The output of a node.  Arithmetic with numbers takes them as of its own type."""

    __slots__ = ("builder", "dtype", "name")

    def __init__(self, builder: GraphBuilder, name: str, dtype: DTypeLike) -> None:
        self.builder, self.name, self.dtype = builder, name, np.dtype(dtype)

    def info(self, shape: Sequence[int] | None) -> onnx.ValueInfoProto:
        """Name, type, and the shape if that is known."""
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        return helper.make_tensor_value_info(self.name, kind, shape)

    def like(self, other: Operand) -> Tensor:
        """Another operand; a number or an array as a constant of this type."""
        if isinstance(other, Tensor):
            if other.dtype != self.dtype:
                raise TypeError(f"expected {self.dtype}, got {other.dtype} of {other.name}")
            return other
        return self.builder.constant(other, self.dtype)

    def apply(
        self,
        kind: str,
        *others: Operand,
        dtype: DTypeLike | None = None,
        **attributes: Any,
    ) -> Tensor:
        """An operator whose first input this is."""
        inputs = [self, *map(self.like, others)]
        return self.builder.node(kind, inputs, self.dtype if dtype is None else dtype, attributes)

    def __add__(self, other: Operand) -> Tensor:
        return self.apply("Add", other)

    def __radd__(self, other: Operand) -> Tensor:
        return self.like(other).apply("Add", self)

    def __sub__(self, other: Operand) -> Tensor:
        return self.apply("Sub", other)

    def __rsub__(self, other: Operand) -> Tensor:
        return self.like(other).apply("Sub", self)

    def __mul__(self, other: Operand) -> Tensor:
        return self.apply("Mul", other)

    def __rmul__(self, other: Operand) -> Tensor:
        return self.like(other).apply("Mul", self)

    def __truediv__(self, other: Operand) -> Tensor:
        """Divide; integers are divided towards zero."""
        return self.apply("Div", other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return self.like(other).apply("Div", self)

    def __matmul__(self, other: Tensor) -> Tensor:
        return self.apply("MatMul", other)

    def __neg__(self) -> Tensor:
        return self.apply("Neg")

    def __gt__(self, other: Operand) -> Tensor:
        return self.apply("Greater", other, dtype=np.bool_)

    def __ge__(self, other: Operand) -> Tensor:
        return self.apply("GreaterOrEqual", other, dtype=np.bool_)

    def __lt__(self, other: Operand) -> Tensor:
        return self.apply("Less", other, dtype=np.bool_)

    def __le__(self, other: Operand) -> Tensor:
        return self.apply("LessOrEqual", other, dtype=np.bool_)

    def __and__(self, other: Tensor) -> Tensor:
        return self.apply("And", other)

    def __or__(self, other: Tensor) -> Tensor:
        return self.apply("Or", other)

    def __invert__(self) -> Tensor:
        return self.apply("Not")

    def equals(self, other: Operand) -> Tensor:
        """Whether numbers are equal."""
        return self.apply("Equal", other, dtype=np.bool_)

    def minimum(self, other: Operand) -> Tensor:
        """The smaller of two numbers."""
        return self.apply("Min", other)

    def maximum(self, other: Operand) -> Tensor:
        """The larger of two numbers."""
        return self.apply("Max", other)

    def clipped(self, low: Operand, high: Operand) -> Tensor:
        """Numbers no less than `low` and no more than `high`."""
        return self.maximum(low).minimum(high)

    def cast(self, dtype: DTypeLike) -> Tensor:
        """The numbers in another type."""
        if np.dtype(dtype) == self.dtype:
            return self
        to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.apply("Cast", dtype=dtype, to=to)

    def where(self, yes: Tensor, no: Operand) -> Tensor:
        """`yes` where this is true, else `no`."""
        return self.builder.node("Where", [self, yes, yes.like(no)], yes.dtype)

    def transposed(self, *axes: int) -> Tensor:
        """The axes in another order."""
        return self.apply("Transpose", perm=list(axes))

    def reshaped(self, *shape: int | Tensor) -> Tensor:
        """Another shape of the same numbers; 0 is the own length, -1 what is left."""
        return self.builder.node("Reshape", [self, shape_of_parts(self.builder, shape)], self.dtype)

    def with_axis(self, *axes: int) -> Tensor:
        """New axes of length 1."""
        return self.builder.node("Unsqueeze", [self, self._axes(axes)], self.dtype)

    def without_axis(self, *axes: int) -> Tensor:
        """Remove axes of length 1."""
        return self.builder.node("Squeeze", [self, self._axes(axes)], self.dtype)

    def sum(self, axis: int, *, keep: bool = False) -> Tensor:
        """Sum along an axis."""
        return self.builder.node(
            "ReduceSum", [self, self._axes((axis,))], self.dtype, {"keepdims": int(keep)}
        )

    def reduced(self, kind: str, axes: Sequence[int], *, keep: bool = False) -> Tensor:
        """ReduceMean, ReduceMax or ReduceMin along axes."""
        return self.apply(kind, axes=list(axes), keepdims=int(keep))

    def gathered(self, index: Tensor, axis: int = 0) -> Tensor:
        """Parts of an axis by their numbers."""
        return self.builder.node("Gather", [self, index], self.dtype, {"axis": axis})

    def sliced(self, axis: int, begin: int | Tensor, end: int | Tensor) -> Tensor:
        """[begin, end) of an axis."""
        bounds = [shape_of_parts(self.builder, (side,)) for side in (begin, end)]
        return self.builder.node("Slice", [self, *bounds, self._axes((axis,))], self.dtype)

    def padded(self, pads: Sequence[int | Tensor], number: float = 0) -> Tensor:
        """A number, so often, before the begin of each axis, and after the end of each."""
        widths = shape_of_parts(self.builder, pads)
        return self.builder.node("Pad", [self, widths, self.like(number)], self.dtype)

    def size(self, axis: int) -> Tensor:
        """Length of an axis: an integer."""
        shape = self.apply("Shape", dtype=np.int64)
        return shape.gathered(self.builder.constant(axis, np.int64))

    def arg(self, kind: str, axis: int) -> Tensor:
        """ArgMin or ArgMax along an axis: the first of several."""
        return self.apply(kind, dtype=np.int64, axis=axis, keepdims=0)

    def largest(self, count: Tensor, *, smallest: bool = False) -> tuple[Tensor, Tensor]:
        """The largest numbers of the last axis, in order, and where they are."""
        values, index = self.builder.nodes_outputs(
            "TopK",
            [self, shape_of_parts(self.builder, (count,))],
            (self.dtype, np.int64),
            {"axis": -1, "largest": int(not smallest), "sorted": 1},
        )
        return values, index

    def _axes(self, axes: Sequence[int]) -> Tensor:
        return self.builder.constant(list(axes), np.int64)


def shape_of_parts(builder: GraphBuilder, parts: Sequence[int | Tensor]) -> Tensor:
    """A shape, (n,), of numbers and of integers that are computed."""
    numbers = [part for part in parts if isinstance(part, int)]
    if len(numbers) == len(parts):
        return builder.constant(numbers, np.int64)
    pieces = [
        part.reshaped(1) if isinstance(part, Tensor) else builder.constant([part], np.int64)
        for part in parts
    ]
    return concatenated(pieces, 0)


def concatenated(tensors: Sequence[Tensor], axis: int) -> Tensor:
    """Tensors side by side along an axis."""
    first = tensors[0]
    if len(tensors) == 1:
        return first
    return first.builder.node("Concat", tensors, first.dtype, {"axis": axis})


def stacked(tensors: Sequence[Tensor], axis: int) -> Tensor:
    """Tensors of equal shape along a new axis."""
    return concatenated([tensor.with_axis(axis) for tensor in tensors], axis)


def counting(count: Tensor) -> Tensor:
    """0, 1, ..., count - 1."""
    builder = count.builder
    zero, one = (builder.constant(n, np.int64) for n in (0, 1))
    return builder.node("Range", [zero, count, one], np.int64)


def rounded(value: Tensor) -> Tensor:
    """Round to the nearest integer, to the even one of two: as `round` of Python."""
    return value.apply("Round")


def settled(value: Tensor) -> Tensor:
    """A value before it is rounded; see `core.rounding.settled`."""
    half = rounded(value * 2.0) * 0.5
    return ((value - half).apply("Abs") <= value.apply("Abs") * ERROR).where(half, value)


def filled(builder: GraphBuilder, number: float, shape: Sequence[int | Tensor]) -> Tensor:
    """A number in each place of a shape, float32."""
    value = builder.constant(np.float32(number))
    return builder.node("Expand", [value, shape_of_parts(builder, shape)], np.float32)
