"""Bias correction of quantised networks (Nagel et al., ICCV 2019, section 4.2).

The weights of a convolution are rounded once, so their errors are the same for every photograph,
and since activations are seldom negative they add up to a shift of each output channel.  The mean
of that shift over some images is subtracted from the bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization.quant_utils import TENSOR_NAME_QUANT_SUFFIX

from patchbank.backbones.onnx_extractor import OnnxExtractor
from patchbank.backbones.onnx_runtime import OnnxRuntime
from patchbank.runtime.threads import usable_cores
from patchbank.types import Image

SCALE_SUFFIX = "_scale"
"""End of the name of the scales of quantised weights, as the tools of ONNX Runtime name them."""
MEAN_SUFFIX, BIAS_SUFFIX = ".mean", ".shifted_bias"
"""Ends of the names of tensors that are added here."""

Shifts = Mapping[str, NDArray[np.float64]]
"""Mean shifts (output channels,) of convolutions, by the names of their nodes."""


def mean_shifts(
    model: onnx.ModelProto,
    rounded: onnx.ModelProto,
    extractor: OnnxExtractor,
    images: Sequence[Image],
) -> Shifts:
    """Mean shift of each convolution's output by the rounding of its weights.

    Args:
        model: the network in float32; its nodes have names.
        rounded: the same with all layers quantised.
        extractor: of the network; prepares the images.
        images: what the network sees of photographs, (H, W, 3).
    """
    means = _mean_inputs(model, extractor, images)
    exact, other = _constants(model), _constants(rounded)
    shifts = {}
    for node in _convolutions(model):
        weight = node.input[1]
        codes = other.get(weight + TENSOR_NAME_QUANT_SUFFIX)
        if weight not in exact or codes is None:
            continue  # computed by the network itself
        scales = np.asarray(other[weight + SCALE_SUFFIX], np.float64)
        scales = scales.reshape(-1, *[1] * (codes.ndim - 1))
        errors = (codes * scales - exact[weight]).sum(axis=tuple(range(2, codes.ndim)))
        mean = means[node.input[0]]
        n_groups = next((one.i for one in node.attribute if one.name == "group"), 1)
        by_group = errors.reshape(n_groups, -1, errors.shape[1])
        shifts[node.name] = (by_group @ mean.reshape(n_groups, -1, 1)).ravel()
    return shifts


def shift_biases(model: onnx.ModelProto, shifts: Shifts) -> None:
    """Subtract the shifts of some convolutions from their biases.

    A missing bias is zero; one that the network computes itself stays as it is.
    """
    constants = {"": np.zeros(1, np.float32), **_constants(model)}
    for node in _convolutions(model):
        bias = constants.get(node.input[2] if len(node.input) > 2 else "")
        if node.name not in shifts or bias is None:
            continue
        name = f"{node.name}{BIAS_SUFFIX}"
        corrected = (bias - shifts[node.name]).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(corrected, name))
        del node.input[2:]
        node.input.append(name)


def _mean_inputs(
    model: onnx.ModelProto, extractor: OnnxExtractor, images: Sequence[Image]
) -> dict[str, NDArray[np.float64]]:
    """Mean of each channel of what each convolution takes: (input channels,)."""
    names = sorted({node.input[0] for node in _convolutions(model)})
    if not names:
        return {}
    averaged = onnx.ModelProto()
    averaged.CopyFrom(model)
    del averaged.graph.output[:]
    outputs = tuple(f"{name}{MEAN_SUFFIX}" for name in names)
    for name, output in zip(names, outputs, strict=True):
        averaged.graph.node.append(helper.make_node("GlobalAveragePool", [name], [output]))
        averaged.graph.output.append(
            helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)
        )
    run = OnnxRuntime(averaged.SerializeToString(), extractor.info.name, usable_cores())
    found = [run(extractor.planes(image)[None], outputs) for image in images]
    # A network may split an image into several: (b, c, 1, 1).
    return {
        name: np.mean([_channels(one) for one in ones], axis=0)
        for name, ones in zip(names, zip(*found, strict=True), strict=True)
    }


def _channels(averages: NDArray[np.float32]) -> NDArray[np.float64]:
    """(b, c, 1, ...) -> means over the batch, (c,)."""
    means: NDArray[np.float64] = averages.reshape(averages.shape[:2]).mean(axis=0, dtype=np.float64)
    return means


def _convolutions(model: onnx.ModelProto) -> list[Any]:
    return [node for node in model.graph.node if node.op_type == "Conv"]


def _constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    return {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
