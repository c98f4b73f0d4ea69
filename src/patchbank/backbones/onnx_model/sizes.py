"""Sizes of the arrays of a network, and its number of multiplications, before it runs.

A few hundred bytes can ask for terabytes, or for days: a constant that is expanded and multiplied
when the model is opened, a padding of millions, a chain of outer products.  The shapes of all
arrays are therefore followed through the network for a size of the image, and compared with what
the image and the weights in the file can need.
"""

from __future__ import annotations

import math

import numpy as np

from patchbank.backbones.onnx_model.graph import Graph, Node, Tensor
from patchbank.backbones.onnx_model.operators import CONVOLUTIONS, POOLINGS, PRODUCTS
from patchbank.backbones.onnx_model.shapes import einsum_lengths, output_shapes
from patchbank.backbones.onnx_model.small_arrays import computed
from patchbank.backbones.onnx_model.value import Call, Shape, SizeError, Value
from patchbank.backbones.onnx_model.windows import weights_of
from patchbank.errors import BackboneError

VALUES_PER_PIXEL = 256
"""Elements of the largest array for each pixel of the image; wide networks have up to 64."""
ALL_VALUES_PER_PIXEL = 50_000
"""Elements of all arrays together; the largest networks have some ten thousand."""
VALUES_OF_LAYER, BYTES_PER_LAYER = 2000, 2**19
"""Elements for each pixel that a few layers may have, and the bytes of their weights."""
PIXELS_OF_PAIR = 128
"""Attention compares all patches with each other: its arrays grow with the square of the pixels,
and have one element for about so many pairs of pixels."""
FREE = 2**22
"""Elements of any array that are never too many."""
FREE_PRODUCTS = 10**9
"""Multiplications that are never too many: less than a second."""


def check_sizes(graph: Graph, n_bytes: int, size: tuple[int, int], name: str) -> list[Shape]:
    """Follow the shapes of all arrays through a network.

    Args:
        graph: of a model whose operators are checked.
        n_bytes: size of the model.
        size: (H, W) of the image.
        name: of the model, for messages.

    Returns:
        The shapes of the outputs.

    Raises:
        BackboneError: an array or the work is out of all proportion, or is not known before.
    """
    values: dict[str, Value | None] = {"": None}
    values |= {tensor.name: Value.of_tensor(tensor) for tensor in graph.constants.values()}
    values |= {key: Value((1, 3, *size)) for key in graph.inputs}
    limits = _Limits(n_bytes, size[0] * size[1])
    for node in graph.nodes:
        try:
            call = Call(node, [values[key] for key in node.inputs], graph.opset)
            found = _outputs(call)
            limits.add(call, found)
        except SizeError as error:
            raise _refusal(name, node, size, str(error)) from None
        except (ArithmeticError, ValueError, TypeError, LookupError, AttributeError) as error:
            reason = f"{type(error).__name__} {error}"
            raise _refusal(name, node, size, reason) from None
        values |= {key: value for key, value in zip(node.outputs, found, strict=False) if key}
    return [_shape(values.get(key)) for key in graph.outputs]


def _shape(value: Value | None) -> Shape:
    return () if value is None else value.shape


def _refusal(name: str, node: Node, size: tuple[int, int], reason: str) -> BackboneError:
    output = node.outputs[0] if node.outputs else ""
    return BackboneError(
        f"{name}: expected a network whose arrays are of known and reasonable size for an image of "
        f"{size[0]} x {size[1]}, got {node.operator} ({output[:40]}): {reason[:200]}; export it "
        "with fixed sizes and without post-processing"
    )


def _outputs(call: Call) -> list[Value]:
    shapes = output_shapes(call)
    known = [value for value in call.inputs if value is not None]
    is_constant = all(value.is_constant for value in known) or call.node.operator == "Shape"
    if call.node.operator == "Constant":
        return [_constant(call.node, shapes[0])]
    first = Value(shapes[0], computed(call, shapes[0]), is_constant)
    return [first, *(Value(shape, None, is_constant) for shape in shapes[1:])]


def _constant(node: Node, shape: Shape) -> Value:
    (value,) = node.attributes.values()
    if isinstance(value, Tensor):
        return Value.of_tensor(value)
    return Value(shape, np.asarray(value), is_constant=True)


class _Limits:
    """The limits of what a network may need, and the sums so far."""

    def __init__(self, n_bytes: int, pixels: int) -> None:
        pairs = pixels**2 // PIXELS_OF_PAIR
        self._largest = VALUES_PER_PIXEL * pixels + pairs + FREE
        # A network with few weights has few layers.
        layers = 1 + n_bytes // BYTES_PER_LAYER
        per_pixel = min(ALL_VALUES_PER_PIXEL, VALUES_OF_LAYER * layers)
        self._all = per_pixel * pixels + min(layers, 64) * pairs + FREE
        # Weights are transposed, scaled and converted, a few times at most.
        self._constants = 4 * n_bytes + FREE
        # Each weight is used once for each cell of a map, and maps have at most a cell per pixel.
        self._products = n_bytes * pixels // 2 + 1024 * pairs + FREE_PRODUCTS
        self._sums: dict[str, int] = {}

    def add(self, call: Call, outputs: list[Value]) -> None:
        """Count what an operator computes.

        Raises:
            SizeError: that is more than a network of this size can need.
        """
        n = sum(value.size for value in outputs)
        is_constant = outputs[0].is_constant
        if not is_constant:
            self._add("elements of one array", max(value.size for value in outputs), self._largest)
            self._sums.pop("elements of one array")
        limit = self._constants if is_constant else self._all
        self._add("elements of constants" if is_constant else "elements", n, limit)
        self._add("multiplications", _products(call, outputs[0].shape), self._products)

    def _add(self, what: str, n: int, limit: int) -> None:
        total = self._sums[what] = self._sums.get(what, 0) + n
        if total > limit:
            raise SizeError(f"{_figure(total)} {what}, where {_figure(limit)} are enough")


def _figure(n: int) -> str:
    return f"{n:,}" if n < 10**15 else f"over {10**15:,}"


def _products(call: Call, shape: Shape) -> int:
    """Multiplications of an operator, for all that have more than one for each element."""
    operator = call.node.operator
    n = math.prod(shape)
    if operator in CONVOLUTIONS:
        weights = weights_of(call)
        cells = call.input(0).shape if operator == "ConvTranspose" else shape
        return math.prod(cells) * math.prod(weights[1:])
    if operator in POOLINGS:
        kernel: list[int] = call.node.attributes.get("kernel_shape") or [1]
        return n * math.prod(kernel)
    if operator in PRODUCTS:
        one = call.input(0).shape
        is_turned = operator == "Gemm" and call.integer("transA", 0)
        return n * (one[0] if is_turned else one[-1])
    if operator == "Einsum":
        return math.prod(einsum_lengths(call)[0].values())
    return 0
