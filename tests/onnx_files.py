"""Small ONNX models, written to files as a person would bring them."""

from __future__ import annotations

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_onnx(path, *, size=("height", "width"), channels=3, record=None, rank=4):
    """A network of one convolution (stride 4) and one pooling (stride 8)."""
    weight = np.random.default_rng(0).standard_normal((5, channels, 4, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["shallow"], strides=[4, 4], kernel_shape=[4, 4]),
        helper.make_node("AveragePool", ["shallow"], ["deep"], strides=[2, 2], kernel_shape=[2, 2]),
        helper.make_node("Flatten", ["deep"], ["flat"]),
    ]
    value = helper.make_tensor_value_info
    outputs = [value(n, TensorProto.FLOAT, None) for n in ("shallow", "deep")]
    if rank == 2:
        outputs.append(value("flat", TensorProto.FLOAT, None))
    graph = helper.make_graph(
        nodes[: 3 if rank == 2 else 2],
        "small",
        [value("x", TensorProto.FLOAT, ["batch", channels, *size])],
        outputs,
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if record is not None:
        helper.set_model_props(model, {"patchbank": json.dumps(record)})
    onnx.save(model, path)
    return str(path)
