"""The ONNX model of a detector: the graph with names, types and metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from patchbank.backbones import runtime_of
from patchbank.detector.inspector import Inspector, parts_of_inspector
from patchbank.detector.member import Member
from patchbank.detector.packing import DetectorParts
from patchbank.detector.settings_file import pack_settings
from patchbank.errors import BackboneError, ParameterError
from patchbank.export.exportable import LARGEST_BYTES
from patchbank.export.graph.builder import IR_VERSION, OPSET, GraphBuilder, Tensor
from patchbank.export.graph.inspection import Seen, inspected, looked_at, named, seen_pixels
from patchbank.export.precision import ExportPrecision
from patchbank.export.running import METADATA_KEY, SCHEMA_VERSION, Entry
from patchbank.runtime.machine import versions
from patchbank.runtime.printable import one_line

PHOTOGRAPHS = "photographs"
OUTPUTS: Mapping[str, tuple[int, tuple[str, ...], str]] = {
    "score": (TensorProto.FLOAT, ("n",), "Image score; higher is more anomalous."),
    "p_value": (
        TensorProto.FLOAT,
        ("n",),
        "Probability that a good photograph scores this high or higher.",
    ),
    "is_anomalous": (
        TensorProto.BOOL,
        ("n",),
        "The verdict: whether the score is above the threshold.",
    ),
    "anomaly_map": (
        TensorProto.FLOAT,
        ("n", "height", "width"),
        "Score of each pixel of the photograph.",
    ),
    "regions": (
        TensorProto.BOOL,
        ("n", "height", "width"),
        "Pixels whose value in the map is above the pixel threshold.",
    ),
}


def onnx_model(detector: Inspector, entry: Entry, precision: ExportPrecision) -> onnx.ModelProto:
    """The graph of a detector that `check_exportable` accepts.

    Raises:
        ParameterError: it is too large, or has no such entry.
        BackboneError: a backbone cannot be part of another graph.
    """
    parts = parts_of_inspector(detector)
    builder = GraphBuilder(is_half=precision == "float16")
    inputs_of, inputs = (
        _pixels(builder, parts) if entry == "pixels" else _photographs(builder, parts)
    )
    outputs = named(inspected(builder, parts, inputs_of))
    for name, tensor in outputs.items():
        builder.named(tensor, name)
    _check_size(builder)
    graph = helper.make_graph(
        builder.every_node,
        "patchbank",
        [
            helper.make_tensor_value_info(name, TensorProto.UINT8, shape)
            for name, shape in inputs.items()
        ],
        [
            helper.make_tensor_value_info(name, kind, list(shape))
            for name, (kind, shape, _) in OUTPUTS.items()
        ],
        builder.initializers,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="patchbank",
        producer_version=versions()["patchbank"],
    )
    model.doc_string = "A Patchbank detector, from photographs to verdicts."
    record = json.dumps(
        {**metadata(detector, entry, precision), "inputs": list(inputs)}, sort_keys=True
    )
    helper.set_model_props(model, {METADATA_KEY: record})
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise BackboneError(
            f"export: expected backbones that make a valid graph, got: {one_line(str(error))[:200]}"
        ) from None
    return model


def _check_size(builder: GraphBuilder) -> None:
    """Check that the graph is small enough for protobuf, which cannot even copy a larger message.

    Raises:
        ParameterError: it is not.
    """
    n_bytes = sum(node.ByteSize() for node in builder.every_node) + sum(
        math.prod(one.dims) * helper.tensor_dtype_to_np_dtype(one.data_type).itemsize
        for one in builder.initializers
    )
    if n_bytes > LARGEST_BYTES:
        raise ParameterError(
            f"export: expected a graph of at most 2 GiB, got {n_bytes / 2**30:.1f} GiB; use a "
            "smaller bank (patchbank cut), or fit SPADE on fewer photographs"
        )


def metadata(detector: Inspector, entry: Entry, precision: ExportPrecision) -> dict[str, Any]:
    """The record in the metadata of the file."""
    parts = parts_of_inspector(detector)
    calibration = parts.calibration
    return {
        "schema_version": SCHEMA_VERSION,
        "version": versions()["patchbank"],
        "detector_sha256": detector.sha256,
        "entry": entry,
        "precision": precision,
        "threshold": calibration.threshold,
        "pixel_threshold": calibration.pixel_threshold,
        "false_alarm_rate": calibration.expected_rate,
        "outputs": {name: text for name, (_, _, text) in OUTPUTS.items()},
        "members": [
            {
                "method": member.method,
                "backbone": member.extractor.info.name,
                "backbone_license": member.extractor.info.license,
                "backbone_sha256": member.extractor.info.sha256,
                "layers": list(member.extractor.layers),
                "precision": runtime_of(member.extractor)[1],
                "settings": pack_settings(member.settings),
            }
            for member in parts.members
        ],
    }


def _photographs(builder: GraphBuilder, parts: DetectorParts) -> tuple[Any, dict[str, list[Any]]]:
    """One input for photographs of any size."""
    pixels = Tensor(builder, PHOTOGRAPHS, np.uint8)
    return partial(looked_at, pixels, parts.roi), {PHOTOGRAPHS: ["n", "height", "width", 3]}


def _pixels(builder: GraphBuilder, parts: DetectorParts) -> tuple[Any, dict[str, list[Any]]]:
    """An input for each scale of the network."""
    if len(parts.members) > 1:
        raise ParameterError(
            f"entry: expected photograph for an ensemble, whose {len(parts.members)} members see "
            "pixels of their own, got pixels"
        )
    if parts.roi is not None:
        raise ParameterError(
            "entry: expected photograph for a detector with a region of interest, which is one of "
            "photographs, got pixels"
        )
    names = pixel_inputs(parts.members[0])
    inputs = {
        name: ["n", "height", "width", 3]
        if number == 0
        else ["n", f"height_{number + 1}", f"width_{number + 1}", 3]
        for number, name in enumerate(names)
    }
    tensors = [Tensor(builder, name, np.uint8) for name in names]

    def inputs_of(member: Member) -> Seen:
        return seen_pixels(tensors)

    return inputs_of, inputs


def pixel_inputs(member: Member) -> tuple[str, ...]:
    """Names of the inputs of the entry ``pixels``: one for each scale."""
    return tuple(
        "pixels" if number == 0 else f"pixels_{number + 1}"
        for number in range(len(member.settings.scales))
    )
