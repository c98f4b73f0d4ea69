"""Opening a ViG with the weights of a file, or with those of a detector file."""

from __future__ import annotations

from pathlib import Path

import torch

from patchbank.backbones.extractor import BackboneInfo, check_layers
from patchbank.backbones.source import OpenOptions
from patchbank.backbones.torch_extractor import State, TorchExtractor, in_one_line
from patchbank.backbones.torch_weights import NetworkFamily, Tensors
from patchbank.backbones.vig.network import Grapher, TruncatedVig, Vig
from patchbank.backbones.vig.variants import VARIANTS, describe_vig
from patchbank.errors import BackboneError
from patchbank.runtime.devices import HOST, Device

CLASSIFIER = "prediction."


def open_vig(name: str, options: OpenOptions) -> TorchExtractor:
    """Open a ViG with weights from a file: the published ones, or your own.

    Raises:
        BackboneError: no file is given, it does not hold all weights, or no such layer.
    """
    info = describe_vig(name, options.normalisation)
    check_layers(info, options.layers or info.default_layers)
    if options.weights is None:
        raise BackboneError(
            f"{name}: expected a file of weights, which cannot be downloaded by name; download it "
            f"from {info.source} and give it as weights (--weights FILE)"
        )
    return FAMILY.open_file(info, options.weights, Path(options.weights).name, options)


def restore_vig(
    info: BackboneInfo, layers: tuple[str, ...], state: State, device: Device = HOST
) -> TorchExtractor:
    """Open a ViG with the weights that `TorchExtractor.state` returned.

    Raises:
        BackboneError: they belong to another network.
    """
    try:
        return FAMILY.restore(info, layers, state, device)
    except RuntimeError as error:
        raise BackboneError(
            f"{info.name}: expected the weights that were saved from it, got others "
            f"({in_one_line(error)}); fit the detector again"
        ) from None


def _empty(name: str) -> Vig:
    """A ViG with uninitialised weights: random ones would be replaced at once."""
    with torch.device("meta"):
        network = Vig(VARIANTS[name])
    network.to_empty(device="cpu")
    return network


def _adapted(network: Vig, state: Tensors) -> Tensors:
    """The weights of a file without its classifier; positions missing in it are computed."""
    known = network.state_dict().keys()
    body = {name: t for name, t in state.items() if not name.startswith(CLASSIFIER)}
    unknown = [name for name in body if name not in known]
    if unknown:
        raise ValueError(f"it also has {', '.join(unknown[:3])} ({len(unknown)} do not belong)")
    for name, module in network.named_modules():
        if isinstance(module, Grapher) and module.grid is not None:
            body.setdefault(f"{name}.relative_pos", module.positions(*module.grid))
    return body


FAMILY = NetworkFamily("vig", _empty, _adapted, TruncatedVig, describe_vig)
