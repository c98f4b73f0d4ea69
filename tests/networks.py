"""Small timm networks with random weights, written to files as a person would bring them."""

from __future__ import annotations

from functools import lru_cache

import pytest

FAMILIES = {  # family -> name with tag
    "ResNet": "test_resnet.r160_in1k",
    "EfficientNet": "test_efficientnet.r160_in1k",
    "ConvNeXt": "test_convnext.r160_in1k",
    "MobileNet": "mobilenetv3_small_050.lamb_in1k",
    "ViT": "test_vit.r160_in1k",
}


def require_torch():
    """Skip where the extra ``torch`` is not installed."""
    for module in ("torch", "timm", "onnxscript"):
        pytest.importorskip(module, reason="pip install 'patchbank[torch]'")


@lru_cache
def state_of(architecture):
    """Random weights of a network with its classifier, always the same."""
    import timm
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(architecture, pretrained=False)
    for name, buffer in network.named_buffers():  # running statistics as training leaves them
        if name.endswith("running_var"):
            buffer.mul_(0).add_(0.5)
    return network.state_dict()


def weights_file(folder, name):
    """Path of a safetensors file with random weights for the network `name`."""
    from safetensors.torch import save_file

    architecture = name.partition(".")[0]
    path = folder / f"{architecture}.safetensors"
    save_file(state_of(architecture), path)
    return str(path)
