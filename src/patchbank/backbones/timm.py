"""Backbones of timm (extra ``torch``): any network with intermediate features, CNN or transformer.

A name consists of architecture *and* tag (``wide_resnet50_2.tv_in1k``), because the default
weights of an architecture change between versions of timm.  Mean and standard deviation come from
the same record as the weights.
"""

from __future__ import annotations

import difflib
import inspect
import socket
import sys
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import constants, try_to_load_from_cache

from patchbank.backbones.extractor import BackboneInfo, Layer, check_layers
from patchbank.backbones.source import OpenOptions
from patchbank.backbones.torch_extractor import (
    State,
    TorchExtractor,
    TruncatedNetwork,
    in_one_line,
)
from patchbank.backbones.torch_weights import NetworkFamily, Tensors
from patchbank.backbones.vig.variants import VARIANTS
from patchbank.choices import Normalisation
from patchbank.errors import BackboneError
from patchbank.runtime.devices import HOST, Device

CNN_STRIDES = (8, 16)  # of the default layers: layer2 and layer3 of a ResNet
WEIGHT_FILES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
CONNECT_TIMEOUT_S = 5.0
DEPTHS = (1 / 2, 3 / 4)  # of the default layers of a transformer, whose strides are all equal


class TruncatedTimm(TruncatedNetwork):
    """A timm network truncated after the deepest chosen layer."""

    def __init__(self, network: torch.nn.Module, indices: list[int]) -> None:
        super().__init__(network)
        self.indices: list[int] = self.network.prune_intermediate_layers(
            indices, prune_norm=True, prune_head=True
        )

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(b, 3, H, W) -> (b, c, h, w) per layer, without the prefix tokens of transformers."""
        return tuple(
            self.network.forward_intermediates(
                images,
                indices=self.indices,
                norm=False,
                stop_early=True,
                output_fmt="NCHW",
                intermediates_only=True,
            )
        )


def run_timm(
    info: BackboneInfo,
    network: torch.nn.Module,
    layers: tuple[str, ...] | None = None,
    device: Device = HOST,
) -> TorchExtractor:
    """Make an extractor of your own timm network; it is truncated after the deepest layer."""
    return FAMILY.extractor(info, network, layers, device)


def open_timm(name: str, options: OpenOptions) -> TorchExtractor:
    """Open a timm network with the weights of its tag, or with those of a file.

    Raises:
        BackboneError: no such network, tag, layer or file, or the weights are not available.
    """
    weights, normalisation = options.weights, options.normalisation
    info = describe_timm(name, normalisation if weights else None)
    check_layers(info, options.layers or info.default_layers)
    if weights:
        source = f"{Path(weights).name}, in place of the weights of its tag"
        return FAMILY.open_file(info, weights, source, options)
    if normalisation:
        raise BackboneError(
            f"{name}: expected mean and std together with your own weights only, got them for "
            "weights that state their own; leave them out"
        )
    return FAMILY.open(info, _with_weights_of_tag(name), options)


def restore_timm(
    info: BackboneInfo, layers: tuple[str, ...], state: State, device: Device = HOST
) -> TorchExtractor:
    """Open a timm network with the weights that `TorchExtractor.state` returned.

    Raises:
        BackboneError: this version of timm has another network of that name, or none.
    """
    try:
        return FAMILY.restore(info, layers, state, device)
    except (RuntimeError, ValueError) as error:
        raise BackboneError(
            f"{info.name}: expected the network that the weights were saved from, got another one "
            f"from timm {timm.__version__} ({in_one_line(error)}); install the timm it was "
            "fitted with"
        ) from None


def describe_timm(name: str, normalisation: Normalisation | None = None) -> BackboneInfo:
    """Layers, strides, channels and preprocessing of a network; its weights are not needed."""
    config = _config(name)
    with torch.device("meta"):
        network: Any = _create(name)
    if not hasattr(network, "forward_intermediates"):
        raise BackboneError(f"{name}: expected a network with intermediate features, got none")
    layers = {e["module"]: Layer(e["num_chs"], e["reduction"]) for e in _entries(network)}
    fixed = config.fixed_input_size and not _takes(network, "dynamic_img_size")
    mean, std = normalisation or (config.mean, config.std)
    return BackboneInfo(
        name=name,
        available_layers=layers,
        default_layers=_default_layers(layers),
        mean=mean,
        std=std,
        size_multiple=_size_multiple(network) if not fixed else 1,
        input_size=tuple(config.input_size[1:]) if fixed else None,
        license=config.license or "not stated",
        source=f"timm {timm.__version__}, {config.hf_hub_id or config.url or 'no address'}",
        sha256="",
    )


def _config(name: str) -> Any:
    """The record of a tag: origin of its weights, and preprocessing of its input."""
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        raise BackboneError(
            f"backbone: expected an embedded one (`patchbank backbones`), the path of an .onnx "
            f"file or the name of a timm model with its tag, got {name!r}{_hint(name)}"
        )
    configs = timm.models.get_arch_pretrained_cfgs(architecture)
    if name not in configs:
        known = ", ".join(sorted(configs)) or "none: timm has no weights for it"
        raise BackboneError(
            f"backbone: expected a name with a tag of timm ({known}), got {name!r}"
            f"{_hint(name) if Path(name).suffix in WEIGHT_FILES else ''}"
        )
    return configs[name]


def _hint(name: str) -> str:
    if Path(name).suffix in WEIGHT_FILES:
        return (
            "; give a file of weights with the name of its network: --backbone NAME --weights FILE"
        )
    bare = name.rpartition("/")[2].lower()
    near = difflib.get_close_matches(bare, [*timm.list_models(pretrained=True), *VARIANTS], n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _create(name: str, *, pretrained: bool = False) -> torch.nn.Module:
    """The network without classifier, for inputs of any size if the architecture allows it."""
    architecture = name.partition(".")[0]
    with torch.device("meta"):
        probe = timm.create_model(architecture, pretrained=False, num_classes=0)
    options = {"dynamic_img_size": True} if _takes(probe, "dynamic_img_size") else {}
    network: torch.nn.Module = timm.create_model(
        name, pretrained=pretrained, num_classes=0, **options
    )
    return network


def _takes(network: torch.nn.Module, option: str) -> bool:
    return option in inspect.signature(type(network).__init__).parameters


def _size_multiple(network: Any) -> int:
    """The patch size or deepest stride of a transformer; 1 for convolutions, which take any."""
    if not _takes(network, "dynamic_img_size"):
        return 1
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", 1)
    deepest = max(entry["reduction"] for entry in _entries(network))
    return int(max(deepest, *(patch if isinstance(patch, tuple) else (patch,))))


def _entries(network: Any) -> list[dict[str, Any]]:
    """The records of timm's layers: module, num_chs, reduction."""
    feature_info = network.feature_info
    entries: list[dict[str, Any]] = (
        feature_info if isinstance(feature_info, list) else feature_info.info
    )
    return entries


def _default_layers(layers: Mapping[str, Layer]) -> tuple[str, ...]:
    deepest = {layer.stride: name for name, layer in layers.items()}
    if all(stride in deepest for stride in CNN_STRIDES):
        return tuple(deepest[stride] for stride in CNN_STRIDES)
    names = list(layers)
    return tuple(dict.fromkeys(names[max(0, round(len(names) * d) - 1)] for d in DEPTHS))


def _with_weights_of_tag(name: str) -> torch.nn.Module:
    config = _config(name)
    try:
        _require_network(config)
        network = _create(name, pretrained=True)
    except Exception as error:  # hub, network and file system raise different exception types
        addresses = []
        if config.hf_hub_id:
            addresses.append(f"model.safetensors of https://huggingface.co/{config.hf_hub_id}")
        if config.url:
            addresses.append(config.url)
        raise BackboneError(
            f"{name}: expected to download its weights, got: {in_one_line(error)}; on a machine "
            f"with a network download {' or '.join(addresses) or 'them from their authors'}, copy "
            "the file to this machine and give it as weights (--weights FILE)"
        ) from None
    return network


def _require_network(config: Any) -> None:
    """Fail within seconds if the hub is unreachable; its own client retries for a minute."""
    hub = config.hf_hub_id
    if not hub or isinstance(try_to_load_from_cache(hub, "model.safetensors"), str):
        return
    if constants.HF_HUB_OFFLINE or urllib.request.getproxies():
        return  # offline mode fails fast by itself; behind a proxy we cannot probe
    address = urllib.parse.urlsplit(constants.ENDPOINT)
    port = address.port or (443 if address.scheme == "https" else 80)
    socket.create_connection((address.hostname or "", port), timeout=CONNECT_TIMEOUT_S).close()


def _adapted(network: torch.nn.Module, state: Tensors) -> Tensors:
    """Rename the weights of other publishers' files, where timm knows how."""
    adapt = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    renamed: Tensors = adapt(state, network) if adapt else state
    return renamed


FAMILY = NetworkFamily("timm", _create, _adapted, TruncatedTimm, describe_timm)
