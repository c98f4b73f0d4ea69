"""The network of a backbone within a larger graph: its nodes, and its weights once."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.version_converter
from onnx import numpy_helper

from patchbank.backbones import OnnxExtractor
from patchbank.errors import BackboneError
from patchbank.export.graph.builder import OPSET, GraphBuilder, Tensor
from patchbank.runtime.printable import one_line


class Network:
    """The network of an extractor, which may be used for several inputs."""

    def __init__(
        self, builder: GraphBuilder, extractor: OnnxExtractor, prefix: str, *, is_exact: bool
    ) -> None:
        """Take over the weights.

        Args:
            builder: of the graph.
            extractor: whose network it is.
            prefix: of the names of its nodes and weights.
            is_exact: leave the weights as they are, though the graph stores others in float16.

        Raises:
            BackboneError: its operators are of a version that is not known to mean the same.
        """
        self._builder, self._extractor, self._prefix = builder, extractor, prefix
        self._graph = _checked(onnx.load_from_string(extractor.content), extractor.info.name).graph
        self._weights = {}
        for weight in self._graph.initializer:
            if not is_exact and builder.is_half and weight.data_type == onnx.TensorProto.FLOAT:
                values = numpy_helper.to_array(weight)
                self._weights[weight.name] = builder.weights(values).name
                continue
            self._weights[weight.name] = f"{prefix}/{weight.name}"
            copy = onnx.TensorProto()
            copy.CopyFrom(weight)
            copy.name = self._weights[weight.name]
            builder.initializers.append(copy)

    def features(self, pixels: Tensor, number: int) -> list[Tensor]:
        """Feature maps.  (n, h, w, 3) float32 from 0 to 255 -> (n, c, h', w') for each layer."""
        scale, shift = (v[:, None, None] for v in self._extractor.info.scale_and_shift)
        planes = pixels.transposed(0, 3, 1, 2) * scale + shift
        names = dict(self._weights)
        names |= {self._extractor.input_name: planes.name, "": ""}
        for node in self._graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = f"{self._prefix}/{number}/{node.name or node.output[0]}"
            for outputs in node.output:
                names.setdefault(outputs, f"{self._prefix}/{number}/{outputs}")
            copy.input[:] = [names[name] for name in node.input]
            copy.output[:] = [names[name] for name in node.output]
            self._builder.nodes.append(copy)
        return [Tensor(self._builder, names[layer], np.float32) for layer in self._extractor.layers]


def _checked(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The model with the operators of our version, if it can be part of another graph."""
    inner = [
        node.op_type
        for node in model.graph.node
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
    ]
    foreign = [one.domain for one in model.opset_import if one.domain not in ("", "ai.onnx")]
    if inner or foreign or model.functions:
        found = (inner or foreign or [one.name for one in model.functions])[0]
        raise BackboneError(
            f"{name}: expected a network of plain operators of ONNX, to be part of an exported "
            f"graph, got one with {found}"
        )
    if all(one.version == OPSET for one in model.opset_import):
        return model
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter is in C++ and raises its own
        raise BackboneError(
            f"{name}: expected operators of ONNX version {OPSET}, or that can be converted, got: "
            f"{one_line(str(error))[:200]}"
        ) from None
