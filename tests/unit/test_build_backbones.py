"""The embedded files are what their script builds, and compute what the weights say."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from patchbank.backbones import open_backbone

pytestmark = [pytest.mark.torch, pytest.mark.weights]
SCRIPT = Path(__file__).parents[2] / "tools" / "build_backbones.py"


def script():
    spec = importlib.util.spec_from_file_location("build_backbones", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up there
    spec.loader.exec_module(module)
    return module


def reference(state, image, stages):
    """The network as it was trained, batch normalisation and all, in torch."""
    functional = torch.nn.functional

    def convolution(x, name, norm, stride=1, clip=True):
        weight = state[f"{name}.weight"]
        kernel = weight.shape[-1]
        total = max(kernel - stride, 0)
        low, high = total // 2, total - total // 2
        x = functional.pad(x, (low, high, low, high))
        groups = len(weight) if weight.shape[1] == 1 else 1
        x = functional.conv2d(x, weight, stride=stride, groups=groups)
        parts = (state[f"{norm}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        x = functional.batch_norm(x, *parts, eps=1e-3)
        return functional.relu6(x) if clip else x

    x, index, ends = convolution(image, "_conv_stem", "_bn0", stride=2), 0, []
    for stage in stages:
        for position in range(stage.blocks):
            name, inner = f"_blocks.{index}", x
            if f"{name}._expand_conv.weight" in state:
                inner = convolution(inner, f"{name}._expand_conv", f"{name}._bn0")
            stride = stage.stride if position == 0 else 1
            inner = convolution(inner, f"{name}._depthwise_conv", f"{name}._bn1", stride)
            inner = convolution(inner, f"{name}._project_conv", f"{name}._bn2", clip=False)
            x = inner + x if position else inner
            index += 1
        ends.append(x)
    return ends[1:]


def test_a_rebuilt_backbone_equals_the_embedded_one_and_the_weights():
    build = script()
    source = build.SOURCES["efficientnet_lite0"]
    state = build.read_weights(source)
    embedded = open_backbone("efficientnet_lite0", tuple(build.TAPS))
    assert build.build("efficientnet_lite0", state).SerializeToString() == embedded.content

    planes = np.random.default_rng(0).uniform(-1, 1, (3, 96, 160)).astype(np.float32)
    with torch.no_grad():
        expected = reference(state, torch.from_numpy(planes)[None], source.stages)
    for ours, theirs in zip(embedded._run(planes, embedded.layers), expected, strict=True):
        np.testing.assert_allclose(ours, theirs[0].numpy(), atol=1e-4 * float(theirs.abs().max()))
