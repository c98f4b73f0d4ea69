"""Open a ViG with weights from a file, or with those that a detector file holds."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from patchbank.backbones.extractor import BackboneInfo, Normalisation, check_layers
from patchbank.backbones.torch_extractor import (
    State,
    Tensors,
    TorchExtractor,
    in_one_line,
    load_weights,
    weights_digest,
)
from patchbank.backbones.vig.network import Grapher, TruncatedVig, Vig
from patchbank.backbones.vig.variants import VARIANTS, describe_vig
from patchbank.errors import BackboneError
from patchbank.runtime.devices import HOST, Device

CLASSIFIER = "prediction."


def open_vig(
    name: str,
    layers: tuple[str, ...] | None = None,
    *,
    weights: str | None = None,
    normalisation: Normalisation | None = None,
    device: Device = HOST,
) -> TorchExtractor:
    """Open a ViG with weights from a file, the published one or one of one's own.

    Raises:
        BackboneError: no file is given, it does not hold all weights, or no such layer.
    """
    info = describe_vig(name, normalisation)
    check_layers(info, layers or info.default_layers)
    if weights is None:
        raise BackboneError(
            f"{name}: expected a file of weights, which cannot be fetched by name; download it "
            f"from {info.source} and give it as weights (--weights FILE)"
        )
    network = _empty(name)
    load_weights(network, name, weights, partial(_adapted, network))
    info = replace(info, source=Path(weights).name, license="not stated")
    return run_vig(replace(info, sha256=weights_digest(network)), network, layers, device)


def restore_vig(
    info: BackboneInfo, layers: tuple[str, ...], state: State, device: Device = HOST
) -> TorchExtractor:
    """Open a ViG with the weights that `TorchExtractor.state` gave.

    Raises:
        BackboneError: they are those of another network.
    """
    extractor = run_vig(info, _empty(info.name), layers, device)
    try:
        extractor.restore(state)
    except RuntimeError as error:
        raise BackboneError(
            f"{info.name}: expected the weights that were saved from it, got others "
            f"({in_one_line(error)}); fit the detector again"
        ) from None
    return extractor


def run_vig(
    info: BackboneInfo,
    network: Vig,
    layers: tuple[str, ...] | None = None,
    device: Device = HOST,
) -> TorchExtractor:
    """Make an extractor of a ViG; it is cut after the layers taken."""
    return TorchExtractor(info, partial(TruncatedVig, network), layers, device)


def _empty(name: str) -> Vig:
    """A ViG whose weights are not set: no random number is drawn for what is read next."""
    with torch.device("meta"):
        network = Vig(VARIANTS[name])
    network.to_empty(device="cpu")
    return network


def _adapted(network: Vig, state: Tensors) -> Tensors:
    """The weights of a file without the classifier; positions that it leaves out are computed."""
    known = network.state_dict().keys()
    body = {name: t for name, t in state.items() if not name.startswith(CLASSIFIER)}
    unknown = [name for name in body if name not in known]
    if unknown:
        raise ValueError(f"it also has {', '.join(unknown[:3])} ({len(unknown)} do not belong)")
    for name, module in network.named_modules():
        if isinstance(module, Grapher) and module.grid is not None:
            body.setdefault(f"{name}.relative_pos", module.positions(*module.grid))
    return body
