"""The graph of an ONNX model: nodes, weights, inputs and outputs, read from its bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
"""Element types that numpy has; bfloat16 (16) and smaller ones are not read."""
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
    inputs: Mapping[str, tuple[int | None, ...]]
    """Shapes, with None for an axis of any length; constants are not among them."""
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
    shape = tuple(message.integers(1))
    if any(side < 0 for side in shape):
        raise WireError("a constant with a negative side")
    dtype = DTYPES.get(message.integer(2))
    is_external = message.integer(14) == EXTERNAL or 13 in message
    values, has_nan = None, False
    if dtype is not None and not is_external:
        size = math.prod(shape)
        if size <= SMALL:
            values = _values(message, dtype, shape)
        if dtype.kind == "f" and len(raw := message.content(9)) == size * dtype.itemsize:
            has_nan = bool(np.isnan(np.frombuffer(raw, dtype)).any())
    return Tensor(message.text(8), shape, dtype, is_external, values, has_nan)


def _values(message: Message, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    size = math.prod(shape)
    if 9 in message:
        raw = message.content(9)
        if len(raw) != size * dtype.itemsize:
            raise WireError("a constant whose values do not fill its shape")
        return np.frombuffer(raw, dtype).reshape(shape)
    stored: list[Any] = [
        *message.reals(4, FIXED32),
        *message.integers(5),
        *message.integers(7),
        *message.reals(10, FIXED64),
        *message.integers(11),
    ]
    if len(stored) != size:
        raise WireError("a constant whose values do not fill its shape")
    if dtype == np.float16:  # stored as the bits of each value
        return np.array(stored, np.int64).astype(np.uint16).view(dtype).reshape(shape)
    return np.array(stored).astype(dtype).reshape(shape)


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
            return message.reals(7)
        case 7:
            return message.integers(8)
        case 8:
            return message.texts(9)
    return None


def _sides(tensor: Message) -> tuple[int | None, ...]:
    sides = tensor.message(2).messages(1)
    return tuple(side.integer(1) if 1 in side else None for side in sides)
