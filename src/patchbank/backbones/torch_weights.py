"""Opening a network of torch with given weights (extra ``torch``), for any family of networks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import timm
import torch

from patchbank.backbones.extractor import BackboneInfo
from patchbank.backbones.source import OpenOptions
from patchbank.backbones.torch_extractor import (
    State,
    TorchExtractor,
    TruncatedNetwork,
    in_one_line,
)
from patchbank.errors import BackboneError
from patchbank.runtime.devices import HOST, Device

Tensors: TypeAlias = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class NetworkFamily:
    """The parts in which families of networks differ."""

    kind: str
    """Key of the family's source in `patchbank.backbones.SOURCES`."""
    create: Callable[[str], Any]
    """(name) -> the network without classifier; its weights are replaced afterwards."""
    adapt: Callable[[Any, Tensors], Tensors]
    """(network, state dict of a published file) -> the state dict of the network."""
    truncate: Callable[[Any, list[int]], TruncatedNetwork]
    """(network, indices of layers, ascending) -> the network truncated after the last of them."""
    describe: Callable[[str], BackboneInfo]
    """(name) -> the network's layers and preprocessing, without its weights."""

    def extractor(
        self,
        info: BackboneInfo,
        network: torch.nn.Module,
        layers: tuple[str, ...] | None = None,
        device: Device = HOST,
    ) -> TorchExtractor:
        """Make an extractor of a network, which is truncated after the deepest chosen layer."""
        return TorchExtractor(self.kind, info, partial(self.truncate, network), layers, device)

    def open(
        self, info: BackboneInfo, network: torch.nn.Module, options: OpenOptions
    ) -> TorchExtractor:
        """Make an extractor of a network that has its weights; their digest goes into `info`."""
        info = replace(info, sha256=weights_digest(network))
        return self.extractor(info, network, options.layers, options.device)

    def open_file(
        self, info: BackboneInfo, weights: str, source: str, options: OpenOptions
    ) -> TorchExtractor:
        """Create the network with the weights of a file.

        Args:
            info: of the network, as described without weights.
            weights: path of the file.
            source: the origin of the weights, for the record.
            options: layers and device.

        Raises:
            BackboneError: no such file, no weights in it, or not all of them.
        """
        network = self.create(info.name)
        load_weights(network, info.name, weights, partial(self.adapt, network))
        return self.open(replace(info, source=source, license="not stated"), network, options)

    def restore(
        self, info: BackboneInfo, layers: tuple[str, ...], state: State, device: Device
    ) -> TorchExtractor:
        """Create the network with the weights that `TorchExtractor.state` returned.

        Raises:
            RuntimeError, ValueError: there is no such network, or it has other weights.
        """
        network = self.create(info.name)
        # Keys of a file are sorted by name, so the order of the layers is the network's own.
        known = self.describe(info.name).available_layers
        if known.keys() != info.available_layers.keys():
            raise ValueError(f"it has the layers {', '.join(known)}")
        ordered = {name: info.available_layers[name] for name in known}
        info = replace(info, available_layers=ordered)
        extractor = self.extractor(info, network, layers, device)
        extractor.restore(state)
        return extractor


def load_weights(
    network: torch.nn.Module, name: str, path: str, adapt: Callable[[Tensors], Tensors]
) -> None:
    """Load weights from a safetensors file or a state dict; nothing else is unpickled.

    Args:
        network: receives the weights.
        name: of the network, for error messages.
        path: of the file; of a training checkpoint the entry ``state_dict`` is used.
        adapt: converts names of the file to names of the network.

    Raises:
        BackboneError: no such file, no weights in it, or some are missing.
    """
    if not Path(path).is_file():
        raise BackboneError(f"weights: expected a file of weights, got nothing named {path}")
    try:
        state = timm.models.load_state_dict(path, weights_only=True)
        missing = network.load_state_dict(adapt(state), strict=False).missing_keys
    except Exception as error:  # torch, safetensors and timm raise different exception types
        pickled = "weights_only" in str(error)
        reason = (
            "it holds more than weights; save its state_dict()" if pickled else in_one_line(error)
        )
        raise BackboneError(
            f"weights: expected a safetensors file or state dict for {name}, got {path}: {reason}"
        ) from None
    if missing:
        raise BackboneError(
            f"weights: expected all weights of {name}, got {path} without "
            f"{', '.join(missing[:3])} ({len(missing)} are missing)"
        )


def weights_digest(network: torch.nn.Module) -> str:
    """The sha256 of names and values of all weights, independent of the file format."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
