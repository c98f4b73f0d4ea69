"""Backbones of timm (extra ``torch``): any network with intermediate features, CNN or transformer.

The name says architecture *and* weights (``wide_resnet50_2.tv_in1k``): which weights an
architecture gets by default changes between versions of timm.  Mean and deviation come from the
same record as the weights.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import socket
import sys
import textwrap
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from huggingface_hub import constants, try_to_load_from_cache
from numpy.typing import NDArray

from patchbank.backbones.extractor import (
    BackboneInfo,
    Normalisation,
    Tap,
    check_layers,
)
from patchbank.core.arrays import HOST, Array, Device
from patchbank.devices import TorchDevice, full_float32
from patchbank.errors import BackboneError
from patchbank.types import Image

CNN_STRIDES = (8, 16)  # of the layers taken by default: layer2 and layer3 of a ResNet
WEIGHT_FILES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")
REACHABLE_S = 5.0
DEPTHS = (1 / 2, 3 / 4)  # of a transformer, all of whose layers have one stride

State = Mapping[str, NDArray[Any]]


class TimmExtractor:
    """A feature extractor that runs a timm network in torch, on the CPU or a GPU.

    Images go through one at a time on every device, so features cannot depend on a batch.
    On the CPU the maps come as numpy arrays, on a GPU they stay there.
    """

    def __init__(
        self,
        info: BackboneInfo,
        network: torch.nn.Module,
        layers: tuple[str, ...] | None = None,
        device: Device = HOST,
    ) -> None:
        self._info = info
        self._layers = check_layers(info, layers or info.default_layers)
        every = list(info.taps)
        ascending = sorted(every.index(layer) for layer in self._layers)
        self._order = [ascending.index(every.index(layer)) for layer in self._layers]
        self.network = Taps(network, ascending)
        self.network.eval().requires_grad_(False)
        self._on_host = device is HOST
        self._device = TorchDevice("cpu", tile_factor=1) if self._on_host else device
        self.network.to(self._device.name)
        self._scale, self._shift = (
            self._device.put(np.array(values, dtype=np.float32)[:, None, None])
            for values in info.scale_and_shift
        )

    @property
    def info(self) -> BackboneInfo:
        """Where the weights come from and how their input is prepared."""
        return self._info

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers taken, in the order of the maps returned."""
        return self._layers

    def __call__(self, image: Image) -> Sequence[Array]:
        """(H, W, 3) uint8 RGB -> one (c, h, w) float32 map a layer."""
        planes = self._device.put(np.ascontiguousarray(image)).permute(2, 0, 1)
        try:
            with torch.no_grad(), full_float32():
                maps = self.network((planes * self._scale + self._shift)[None])
        except torch.OutOfMemoryError:  # `Device.precise` says it
            raise
        except Exception as error:  # networks refuse sizes with errors of any type
            size = f"{image.shape[0]} x {image.shape[1]}"
            raise BackboneError(
                f"{self._info.name}: it cannot run on an input of {size}: {in_one_line(error)}"
            ) from None
        found = [maps[position][0] for position in self._order]
        return [m.numpy() for m in found] if self._on_host else found

    def state(self) -> dict[str, NDArray[Any]]:
        """The weights that the layers taken need, by name."""
        return {name: t.cpu().numpy() for name, t in self.network.network.state_dict().items()}


class Taps(torch.nn.Module):  # type: ignore[misc]  # torch need not be installed to check
    """A network cut after the deepest of the layers to take.  (b, 3, H, W) -> maps, by depth."""

    def __init__(self, network: torch.nn.Module, indices: list[int]) -> None:
        super().__init__()
        cut: Any = network
        self.indices: list[int] = cut.prune_intermediate_layers(
            indices, prune_norm=True, prune_head=True
        )
        self.network: Any = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(b, 3, H, W) -> (b, c, h, w) a layer; prefix tokens of transformers are left out."""
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


def open_timm(
    name: str,
    layers: tuple[str, ...] | None = None,
    *,
    weights: str | None = None,
    normalisation: Normalisation | None = None,
    device: Device = HOST,
) -> TimmExtractor:
    """Open a timm network with the weights of its tag, or with those of a file.

    Raises:
        BackboneError: no such network, tag, layer or file, or weights that cannot be had.
    """
    info = describe_timm(name, normalisation if weights else None)
    check_layers(info, layers or info.default_layers)
    if normalisation and not weights:
        raise BackboneError(
            f"{name}: expected mean and std beside weights of your own only, got them for weights "
            "that say it themselves; leave them away"
        )
    network = _with_weights_of_file(name, weights) if weights else _with_weights_of_tag(name)
    if weights:
        source = f"{Path(weights).name}, in place of the weights of its tag"
        info = replace(info, source=source, license="not stated")
    return TimmExtractor(replace(info, sha256=_digest(network)), network, layers, device)


def restore_timm(
    info: BackboneInfo, layers: tuple[str, ...], state: State, device: Device = HOST
) -> TimmExtractor:
    """Open a timm network with the weights that `TimmExtractor.state` gave.

    Raises:
        BackboneError: this version of timm has another network of that name, or none.
    """
    tensors = {name: torch.from_numpy(array.copy()) for name, array in state.items()}
    try:
        extractor = TimmExtractor(info, _create(info.name), layers, device)
        extractor.network.network.load_state_dict(tensors)
    except (RuntimeError, ValueError) as error:
        raise BackboneError(
            f"{info.name}: expected the network that the weights were saved from, got another one "
            f"from timm {timm.__version__} ({in_one_line(error)}); install the timm it was "
            "fitted with"
        ) from None
    return extractor


def describe_timm(name: str, normalisation: Normalisation | None = None) -> BackboneInfo:
    """Layers, strides, channels and preprocessing of a network, without its weights."""
    config = _config(name)
    with torch.device("meta"):
        network: Any = _create(name)
    if not hasattr(network, "forward_intermediates"):
        raise BackboneError(f"{name}: expected a network with intermediate features, got none")
    taps = {e["module"]: Tap(e["num_chs"], e["reduction"]) for e in _entries(network)}
    fixed = config.fixed_input_size and not _takes(network, "dynamic_img_size")
    mean, std = normalisation or (config.mean, config.std)
    return BackboneInfo(
        name=name,
        taps=taps,
        default_layers=_default_layers(taps),
        mean=mean,
        std=std,
        size_multiple=_size_multiple(network) if not fixed else 1,
        input_size=tuple(config.input_size[1:]) if fixed else None,
        license=config.license or "not stated",
        source=f"timm {timm.__version__}, {config.hf_hub_id or config.url or 'no address'}",
        sha256="",
    )


def _config(name: str) -> Any:
    """The record of a tag: where its weights are, and how its input is prepared."""
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
            "; a file of weights goes with the name of its network: --backbone NAME --weights FILE"
        )
    bare = name.rpartition("/")[2].lower()
    near = difflib.get_close_matches(bare, timm.list_models(pretrained=True), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _create(name: str, *, pretrained: bool = False) -> torch.nn.Module:
    """The network without classifier, for inputs of any size where it can."""
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
    """What a transformer cuts images into; convolutions take any size."""
    if not _takes(network, "dynamic_img_size"):
        return 1
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", 1)
    deepest = max(entry["reduction"] for entry in _entries(network))
    return int(max(deepest, *(patch if isinstance(patch, tuple) else (patch,))))


def _entries(network: Any) -> list[dict[str, Any]]:
    """What timm tells of each layer: module, num_chs, reduction."""
    told = network.feature_info
    entries: list[dict[str, Any]] = told if isinstance(told, list) else told.info
    return entries


def _default_layers(taps: Mapping[str, Tap]) -> tuple[str, ...]:
    deepest = {tap.stride: name for name, tap in taps.items()}
    if all(stride in deepest for stride in CNN_STRIDES):
        return tuple(deepest[stride] for stride in CNN_STRIDES)
    names = list(taps)
    return tuple(dict.fromkeys(names[max(0, round(len(names) * d) - 1)] for d in DEPTHS))


def _with_weights_of_tag(name: str) -> torch.nn.Module:
    config = _config(name)
    try:
        _require_network(config)
        network = _create(name, pretrained=True)
    except Exception as error:  # the hub, the network and the file system have types of their own
        places = []
        if config.hf_hub_id:
            places.append(f"model.safetensors of https://huggingface.co/{config.hf_hub_id}")
        if config.url:
            places.append(config.url)
        raise BackboneError(
            f"{name}: expected to fetch its weights, got: {in_one_line(error)}; on a machine with "
            f"a network download {' or '.join(places) or 'them from their authors'}, bring the "
            "file here and give it as weights (--weights FILE)"
        ) from None
    return network


def _require_network(config: Any) -> None:
    """Find out in seconds that weights cannot be fetched; the hub tries for a minute, aloud."""
    hub = config.hf_hub_id
    if not hub or isinstance(try_to_load_from_cache(hub, "model.safetensors"), str):
        return
    if constants.HF_HUB_OFFLINE or urllib.request.getproxies():
        return  # the hub says at once that it is offline; what a proxy reaches, only it knows
    address = urllib.parse.urlsplit(constants.ENDPOINT)
    port = address.port or (443 if address.scheme == "https" else 80)
    socket.create_connection((address.hostname or "", port), timeout=REACHABLE_S).close()


def _with_weights_of_file(name: str, path: str) -> torch.nn.Module:
    if not Path(path).is_file():
        raise BackboneError(f"weights: expected a file of weights, got nothing named {path}")
    network = _create(name)
    try:
        state = timm.models.load_state_dict(path, weights_only=True)
        adapt = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
        missing = network.load_state_dict(adapt(state, network) if adapt else state, strict=False)
    except Exception as error:  # of torch, safetensors and timm: many types for one fact
        pickled = "weights_only" in str(error)
        reason = (
            "it holds more than weights; save its state_dict()" if pickled else in_one_line(error)
        )
        raise BackboneError(
            f"weights: expected a safetensors file or state dict for {name}, got {path}: {reason}"
        ) from None
    if missing.missing_keys:
        some = ", ".join(missing.missing_keys[:3])
        raise BackboneError(
            f"weights: expected all weights of {name}, got {path} without {some} "
            f"({len(missing.missing_keys)} are missing)"
        )
    return network


def in_one_line(error: Exception) -> str:
    """The beginning of an error of others, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return textwrap.shorten(text, 160, placeholder=" ...")


def _digest(network: torch.nn.Module) -> str:
    """The sha256 of names and values of all weights, whatever file they came in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
