"""Networks with random weights, written to files as a person would bring them."""

from __future__ import annotations

import json
import zlib
from functools import lru_cache

import numpy as np

from tests.conftest import GOLDEN

FAMILIES = {  # family -> name with tag
    "ResNet": "test_resnet.r160_in1k",
    "EfficientNet": "test_efficientnet.r160_in1k",
    "ConvNeXt": "test_convnext.r160_in1k",
    "MobileNet": "mobilenetv3_small_050.lamb_in1k",
    "ViT": "test_vit.r160_in1k",
}


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


@lru_cache
def vig_keys():
    """Names of the published weights of six ViGs -> their shapes, the classifier included."""
    files = ("vig_state_dict_keys", "vig_state_dict_keys_other_variants")
    found = {}
    for file in files:
        found |= json.loads((GOLDEN / f"{file}.json").read_text())
    return {name: {key: shape for key, (shape, _) in keys.items()} for name, keys in found.items()}


@lru_cache
def vig_state(name):
    """Weights of a ViG by the formula of the golden case ``vig``, without positions."""
    import torch

    state = {}
    for key, shape in vig_keys()[name].items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
        elif not key.endswith("relative_pos"):
            drawn = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
            state[key] = torch.from_numpy(_weight(key, drawn).astype(np.float32))
    return state


def _weight(key, drawn):
    if key == "pos_embed":
        return 0.5 * drawn
    if drawn.ndim == 4:
        return drawn * np.sqrt(2 / np.prod(drawn.shape[1:]))
    if key.endswith("running_var"):
        return 1 + 0.1 * np.abs(drawn)
    if key.endswith("weight"):
        return 1 + 0.1 * drawn
    return 0.1 * drawn


def vig_weights_file(folder, name):
    """Path of a checkpoint as the authors save theirs, with weights for a ViG."""
    import torch

    path = folder / f"{name}.pth.tar"
    torch.save({"epoch": 1, "state_dict": vig_state(name)}, path)
    return str(path)
