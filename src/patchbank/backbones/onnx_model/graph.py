"""The graph of an ONNX model: nodes, weights, inputs and outputs, read from its bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones.onnx_model.wire import FIXED32, FIXED64, Message, WireError

GRAPH_FIELD = 7  # of the model
INITIALIZER_FIELD = 5  # of the graph
FLOAT32 = 1  # element type
EXTERNAL = 1  # data_location of a tensor
DTYPES: Mapping[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    3: np.dtype("i1"),
    4: np.dtype("<u2"),
    5: np.dtype("<i2"),
    6: np.dtype("<i4"),
    7: np.dtype("<i8"),
    9: np.dtype("?"),
    10: np.dtype("<f2"),
    11: np.dtype("<f8"),
    12: np.dtype("<u4"),
    13: np.dtype("<u8"),
}
"""Element types that numpy has."""
BITS: Mapping[int, np.dtype[Any]] = {
    10: np.dtype("<u2"),
    16: np.dtype("<u2"),
    17: np.dtype("u1"),
    18: np.dtype("u1"),
    19: np.dtype("u1"),
    20: np.dtype("u1"),
}
"""Element types that are stored as their bits: float16, bfloat16, and four of 8 bits."""
IS_NAN: Mapping[int, Callable[[NDArray[Any]], NDArray[np.bool_]]] = {
    1: np.isnan,
    10: np.isnan,
    11: np.isnan,
    16: lambda bits: bits & 0x7FFF > 0x7F80,
    17: lambda bits: bits & 0x7F > 0x7E,
    18: lambda bits: bits == 0x80,
    19: lambda bits: bits & 0x7F > 0x7C,
    20: lambda bits: bits == 0x80,
}
"""Which elements are not numbers, for the types that have such."""
ROUNDING = frozenset({"DynamicQuantizeLinear", "QuantizeLinear"})
"""Operators that round activations to 8 bits."""
SMALL = 4096
"""Elements of the largest constant whose values are read: sizes and axes, not weights."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A constant of the model."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    """The type of its elements; None for one that numpy lacks."""
    is_external: bool
    """Whether its values are in another file."""
    values: NDArray[Any] | None
    """The elements; not read of a large one."""
    has_nan: bool
    """Whether an element is not a number."""


@dataclass(frozen=True, slots=True)
class Node:
    """An operator with its inputs, outputs and attributes."""

    operator: str
    domain: str
    inputs: tuple[str, ...]
    """Names; an empty one for an optional input that is left out."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    has_graph: bool
    """Whether an attribute is a graph, as loops and branches have."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The computation in an ONNX model."""

    opset: int
    nodes: tuple[Node, ...]
    constants: Mapping[str, Tensor]
    inputs: Mapping[str, tuple[int | None, ...] | None]
    """Shapes, with None for an axis of any length, or for all; constants are not among them."""
    input_types: tuple[int, ...]
    """Element type of each input; FLOAT32 is one."""
    outputs: tuple[str, ...]
    metadata: Mapping[str, str]
    extras: tuple[str, ...]
    """Parts of the model that a feature network has no use for: functions, training, ..."""

    @property
    def all_constants(self) -> list[Tensor]:
        """The constants of the graph, and those in attributes of nodes."""
        inner = [v for node in self.nodes for v in node.attributes.values()]
        return [*self.constants.values(), *(v for v in inner if isinstance(v, Tensor))]

    @property
    def has_nan(self) -> bool:
        """Whether a weight, or a number in an attribute, is not a number."""
        given = [v for node in self.nodes for v in node.attributes.values()]
        lists = (v if isinstance(v, list) else [v] for v in given)
        return any(tensor.has_nan for tensor in self.all_constants) or any(
            isinstance(v, float) and math.isnan(v) for values in lists for v in values
        )

    @property
    def is_quantised(self) -> bool:
        """Whether activations are rounded to 8 bits."""
        return any(node.operator in ROUNDING for node in self.nodes)


def read_graph(content: bytes) -> Graph:
    """Read the graph of an ONNX model.

    Raises:
        WireError: the bytes are not those of a model.
    """
    model = Message(memoryview(content))
    if GRAPH_FIELD not in model:
        raise WireError("no graph")
    graph = model.message(GRAPH_FIELD)
    tensors = [read_tensor(message) for message in graph.contents(INITIALIZER_FIELD)]
    constants = {tensor.name: tensor for tensor in tensors}
    if len(constants) < len(tensors):
        raise WireError("two constants of one name")
    inputs = {m.text(1): m.message(2).message(1) for m in graph.messages(11)}
    inputs = {name: tensor for name, tensor in inputs.items() if name not in constants}
    opsets = {m.text(1): m.integer(2) for m in model.messages(8)}
    unusual = {"functions": (model, 25), "training": (model, 20), "sparse weights": (graph, 15)}
    return Graph(
        opset=opsets.get("", opsets.get("ai.onnx", 1)),
        nodes=tuple(_node(message) for message in graph.messages(1)),
        constants=constants,
        inputs={name: _sides(tensor) for name, tensor in inputs.items()},
        input_types=tuple(tensor.integer(1) for tensor in inputs.values()),
        outputs=tuple(message.text(1) for message in graph.messages(12)),
        metadata={message.text(1): message.text(2) for message in model.messages(14)},
        extras=tuple(name for name, (where, number) in unusual.items() if number in where),
    )


def read_tensor(content: memoryview) -> Tensor:
    """Read a TensorProto; values only of a small one.

    Raises:
        WireError: the bytes are not those of a tensor.
    """
    message = Message(content)
    shape = tuple(message.integers(1).tolist())
    if any(side < 0 for side in shape):
        raise WireError("a constant with a negative side")
    kind = message.integer(2)
    dtype = DTYPES.get(kind)
    is_external = message.integer(14) == EXTERNAL or 13 in message
    values, has_nan = None, False
    is_small = dtype is not None and math.prod(shape) <= SMALL
    if not is_external and (is_small or kind in IS_NAN):
        elements = _elements(message, kind)
        if len(elements) != math.prod(shape):
            raise WireError("a constant whose values do not fill its shape")
        values = elements.reshape(shape) if is_small else None
        has_nan = kind in IS_NAN and bool(IS_NAN[kind](elements).any())
    return Tensor(message.text(8), shape, dtype, is_external, values, has_nan)


def _elements(message: Message, kind: int) -> NDArray[Any]:
    """The elements of a TensorProto, or their bits where numpy lacks the type.  -> (n,)."""
    dtype = DTYPES.get(kind) or BITS[kind]
    if 9 in message:
        raw = message.content(9)
        if len(raw) % dtype.itemsize:
            raise WireError("a constant whose values do not fill its shape")
        return np.frombuffer(raw, dtype)
    if kind == 1:
        return message.reals(4, FIXED32)
    if kind == 11:
        return message.reals(10, FIXED64)
    stored = message.integers({7: 7, 12: 11, 13: 11}.get(kind, 5))
    return stored.astype(BITS.get(kind, dtype)).view(dtype)


def _node(message: Message) -> Node:
    attributes = message.messages(5)
    values = {attribute.text(1): _attribute(attribute) for attribute in attributes}
    if len(values) < len(attributes):
        raise WireError("two attributes of one name")
    domain = message.text(7)
    return Node(
        operator=message.text(4),
        domain="" if domain == "ai.onnx" else domain,
        inputs=tuple(message.texts(1)),
        outputs=tuple(message.texts(2)),
        attributes=values,
        has_graph=any(6 in attribute or 11 in attribute for attribute in attributes),
    )


def _attribute(message: Message) -> Any:
    kind = message.integer(20)
    match kind:
        case 1:
            return message.real(2)
        case 2:
            return message.integer(3)
        case 3:
            return message.text(4)
        case 4:
            return read_tensor(message.content(5))
        case 6:
            return message.reals(7).tolist()
        case 7:
            return message.integers(8).tolist()
        case 8:
            return message.texts(9)
    return None


def _sides(tensor: Message) -> tuple[int | None, ...] | None:
    if 2 not in tensor:
        return None
    sides = [side.integer(1, -1) for side in tensor.message(2).messages(1)]
    return tuple(None if side < 0 else side for side in sides)  # some exporters write -1 for any
