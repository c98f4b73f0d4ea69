"""Networks in the form in which the tools of ONNX Runtime quantise them rightly.

The tools need operators of opset 13, take the input of an activation to be cut off wherever only
that activation takes it, and give new tensors names that a network may have already.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import helper, version_converter
from onnxruntime.quantization.quant_utils import (
    DEQUANT_OUTPUT_SUFFIX,
    QUANT_INPUT_SUFFIX,
    TENSOR_NAME_QUANT_SUFFIX,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from patchbank.backbones.bias_correction import BIAS_SUFFIX, MEAN_SUFFIX, SCALE_SUFFIX
from patchbank.errors import BackboneError
from patchbank.runtime.printable import one_line

OLDEST_OPSET = 13
"""The first one whose DequantizeLinear has a scale for each channel."""
RESIZE_OPSET = 11
"""The first one in which Resize has attributes that say how."""
INVENTED = (
    BIAS_SUFFIX,
    MEAN_SUFFIX,
    SCALE_SUFFIX,
    DEQUANT_OUTPUT_SUFFIX,
    QUANT_INPUT_SUFFIX,
    TENSOR_NAME_QUANT_SUFFIX,
    "_QuantizeLinear_Output",
    "_ReduceMax",
    "_ReduceMin",
    "_zero_point",
)
"""Ends of names that tensors get when a network is quantised, after the name of another one."""


def quantisable(content: bytes, name: str, folder: Path) -> onnx.ModelProto:
    """The model with a name for each node, and what can be merged into convolutions merged.

    Args:
        content: of the ONNX file.
        name: of the network, for messages.
        folder: for files of the tools.

    Raises:
        BackboneError: its opset is too old, and cannot be converted.
    """
    model = _in_new_opset(_without_unused(onnx.load_from_string(content)), name)
    given, merged = folder / "given.onnx", folder / "merged.onnx"
    # From a file: ONNX Runtime 1.30 loses the weights of a model in memory.
    given.write_bytes(model.SerializeToString(deterministic=True))
    quant_pre_process(given, merged, skip_symbolic_shape=True)
    model = onnx.load(merged)
    _rename_invented(model, name)
    for node in model.graph.node:
        node.name = node.output[0]
    return model


def cut_off_outputs(model: onnx.ModelProto) -> list[str]:
    """Names of the activations that take an output of the network.

    The tools would give that output the range of the activation, although it is used uncut.
    """
    outputs = {one.name for one in model.graph.output}
    cutting = [node for node in model.graph.node if node.op_type in ("Clip", "Relu")]
    return [node.name for node in cutting if node.input[0] in outputs]


def _without_unused(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave out what keeps tools from converting and merging: they take it for a part in use."""
    used = {node.domain for node in model.graph.node} | {""}
    versions = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(versions)
    constants = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)  # before, weights had to be inputs
    return model


def _in_new_opset(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    (opset,) = [one.version for one in model.opset_import if not one.domain]
    if opset >= OLDEST_OPSET:
        return model
    try:
        converted = version_converter.convert_version(model, OLDEST_OPSET)
    except Exception as error:  # onnx has no exception type of its own for it
        raise BackboneError(
            f"{name}: expected opset {OLDEST_OPSET} or newer to quantise to int8, got {opset}, "
            f"which cannot be converted ({one_line(str(error))[:100]}); export it again"
        ) from error
    if opset < RESIZE_OPSET:
        _keep_old_resizing(converted)
    del converted.metadata_props[:]
    converted.metadata_props.extend(model.metadata_props)
    return converted


def _keep_old_resizing(model: onnx.ModelProto) -> None:
    """State how operators from before opset 11 resize; the converter leaves the new defaults."""
    old = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    for node in model.graph.node:
        if node.op_type == "Resize":
            kept = [one for one in node.attribute if one.name not in old]
            del node.attribute[:]
            node.attribute.extend([*kept, *(helper.make_attribute(*one) for one in old.items())])


def _rename_invented(model: onnx.ModelProto, name: str) -> None:
    """Rename inner tensors whose names others could get."""
    graph = model.graph
    own = {one.name for one in [*graph.input, *graph.output]}
    inner = [*(one.name for one in graph.initializer), *(o for n in graph.node for o in n.output)]
    taken = own | set(inner)
    for one in sorted(own):
        taken_bases = [base for base in _bases(one) if base in taken]
        if taken_bases:
            raise BackboneError(
                f"{name}: expected names of inputs and outputs that are free when it is quantised "
                f"to int8, got {one} next to {taken_bases[0]}; rename it"
            )
    renamed: dict[str, str] = {}
    for one in inner:
        if one not in own and one.endswith(INVENTED):
            renamed[one] = one + "_"
            while renamed[one] in taken:
                renamed[one] += "_"
            taken.add(renamed[one])
    for named in [*graph.initializer, *graph.value_info]:
        named.name = renamed.get(named.name, named.name)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(one, one) for one in names]


def _bases(name: str) -> Iterator[str]:
    """The tensors for which the tools would invent a name: theirs get names in turn."""
    for end in filter(name.endswith, INVENTED):
        base = name.removesuffix(end)
        yield base
        yield from _bases(base)
