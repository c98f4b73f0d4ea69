"""Names of backbones, how each is opened, and how a detector file holds it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones.extractor import BackboneInfo, FeatureExtractor, Layer, Normalisation
from patchbank.backbones.onnx_extractor import OnnxExtractor
from patchbank.backbones.onnx_runtime import ONNX_RUNTIME, Engine, EngineName
from patchbank.backbones.vig.variants import VARIANTS, describe_vig
from patchbank.errors import BackboneError
from patchbank.runtime.devices import HOST, Device

EMBEDDED = ("efficientnet_lite0", "efficientnet_lite2")

Packed = tuple[dict[str, Any], dict[str, NDArray[Any]]]
"""A JSON record and tensors by name."""


def embedded_names() -> tuple[str, ...]:
    """Names of the backbones that come with the package."""
    return EMBEDDED


def open_backbone(
    name: str | os.PathLike[str],
    layers: tuple[str, ...] | None = None,
    *,
    normalisation: Normalisation | None = None,
    weights: str | None = None,
    device: Device = HOST,
    engine: Engine = ONNX_RUNTIME,
) -> FeatureExtractor:
    """Open a backbone by its name, or by the path of an ONNX file.

    Args:
        name: one of `embedded_names`, a path that ends in ``.onnx``, a timm model with its tag, or
            a ViG.
        layers: outputs to take, shallow to deep; None for the backbone's own choice.
        normalisation: (mean, std) of each colour as shares of the full range, for files that do
            not say it themselves.
        weights: file of weights for a timm model or a ViG; None fetches those of a timm tag.
        device: where networks run in torch; ONNX files run on the CPU.
        engine: what runs ONNX files and the embedded backbones; networks in torch have no choice.

    Raises:
        BackboneError: no such backbone, file or layer, or a file that cannot serve as one.
    """
    name = os.fspath(name)
    is_file = name.endswith(".onnx")
    if weights is not None and (is_file or name in EMBEDDED):
        raise BackboneError(
            f"weights: expected with a timm model or a ViG, got them with {name}, which has its own"
        )
    if is_file:
        return OnnxExtractor(_content(name), Path(name).stem, layers, normalisation, engine)
    if name in EMBEDDED:
        asset = resources.files("patchbank.backbones") / "assets" / f"{name}.onnx"
        return OnnxExtractor(asset.read_bytes(), name, layers, normalisation, engine)
    _require_torch(name)
    _refuse_engine(name, engine.name)
    if name in VARIANTS:
        from patchbank.backbones.vig.loading import open_vig

        return open_vig(name, layers, weights=weights, normalisation=normalisation, device=device)
    from patchbank.backbones.timm import open_timm

    return open_timm(name, layers, weights=weights, normalisation=normalisation, device=device)


def describe_backbone(
    name: str | os.PathLike[str], *, normalisation: Normalisation | None = None
) -> BackboneInfo:
    """Tell layers and preprocessing of a backbone; no weights are fetched."""
    name = os.fspath(name)
    if name in EMBEDDED or name.endswith(".onnx"):
        return open_backbone(name, normalisation=normalisation).info
    if name in VARIANTS:
        return describe_vig(name, normalisation)
    _require_torch(name)
    from patchbank.backbones.timm import describe_timm

    return describe_timm(name, normalisation)


def export_backbone(
    extractor: FeatureExtractor, input_size: tuple[int, int] | None = None
) -> bytes:
    """The extractor as an ONNX file that says everything itself, checked against torch.

    Args:
        extractor: to export; its layers become the outputs.
        input_size: (H, W) that the file shall accept; None for any.

    Raises:
        BackboneError: it is an ONNX file already, or cannot become one.
    """
    if isinstance(extractor, OnnxExtractor):
        raise BackboneError(
            f"expected a timm model or a ViG to export, got {extractor.info.name}, "
            "which is ONNX already"
        )
    from patchbank.backbones.torch_extractor import TorchExtractor
    from patchbank.backbones.torch_to_onnx import to_onnx

    if not isinstance(extractor, TorchExtractor):
        raise BackboneError(
            f"expected a timm model or a ViG to export, got {type(extractor).__name__}"
        )
    return to_onnx(extractor, input_size=input_size)


def pack_backbone(extractor: FeatureExtractor) -> Packed:
    """Take a backbone apart into what a detector file holds.

    Raises:
        BackboneError: it is of a kind that no file holds.
    """
    record: dict[str, Any] = {"info": _record(extractor.info), "layers": extractor.layers}
    if isinstance(extractor, OnnxExtractor):
        record |= {
            "kind": "onnx",
            "normalisation": extractor.normalisation,
            "precision": extractor.engine.precision,
        }
        return record, {"onnx": np.frombuffer(extractor.content, dtype=np.uint8)}
    state = getattr(extractor, "state", None)
    if state is None:
        raise BackboneError(
            "expected a backbone of ONNX, timm or ViG, which a file can hold, "
            f"got {extractor.info.name}"
        )
    return record | {"kind": "vig" if extractor.info.name in VARIANTS else "timm"}, state()


def unpack_backbone(
    record: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    device: Device = HOST,
    engine: EngineName | None = None,
) -> FeatureExtractor:
    """Build the backbone that `pack_backbone` took apart; nothing is fetched.

    Args:
        record: of `pack_backbone`, as JSON gives it back.
        tensors: likewise.
        device: where networks run in torch.
        engine: what runs ONNX networks; None for the one that the record's precision needs.

    Raises:
        BackboneError: it needs torch or OpenVINO, and there is none; or the engine lacks the
            precision that the backbone was used with.
    """
    info, layers = record["info"], tuple(record["layers"])
    if record["kind"] == "onnx":
        given = record["normalisation"]
        normalisation = (tuple(given[0]), tuple(given[1])) if given else None
        precision = record.get("precision", "float32")  # not in files of 0.1.0
        needed: EngineName = "onnxruntime" if precision == "float32" else "openvino"
        if engine == "onnxruntime" and needed != engine:
            raise BackboneError(
                f"engine: expected {needed}, as features were taken in {precision}, got {engine}"
            )
        return OnnxExtractor(
            tensors["onnx"].tobytes(),
            info["name"],
            layers,
            normalisation,
            Engine(engine or needed, precision),
        )
    if engine is not None:
        _refuse_engine(info["name"], engine)
    if not _has_torch():
        raise BackboneError(
            f"expected torch and timm for the backbone {info['name']} of this file, got none; "
            "pip install 'patchbank[torch]', or save the detector with its backbone as onnx"
        )
    if record["kind"] == "vig":
        from patchbank.backbones.vig.loading import restore_vig

        return restore_vig(_info(info), layers, tensors, device)
    from patchbank.backbones.timm import restore_timm

    return restore_timm(_info(info), layers, tensors, device)


def _record(info: BackboneInfo) -> dict[str, Any]:
    """A BackboneInfo as JSON can hold it."""
    record = asdict(info)
    record["taps"] = record.pop("available_layers")  # its key in files since format 2
    return record


def _info(record: Mapping[str, Any]) -> BackboneInfo:
    """Build the BackboneInfo that `_record` and JSON made of one."""
    size = record["input_size"]
    tuples = {name: tuple(record[name]) for name in ("default_layers", "mean", "std")}
    layers = {name: Layer(**layer) for name, layer in record["taps"].items()}
    rest = {name: value for name, value in record.items() if name != "taps"}
    input_size = tuple(size) if size else None
    return BackboneInfo(**{**rest, **tuples, "available_layers": layers, "input_size": input_size})


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BackboneError(
            f"backbone: expected a readable ONNX file, got {path}: {error.strerror}"
        ) from error


def _has_torch() -> bool:
    return find_spec("timm") is not None and find_spec("torch") is not None


def _require_torch(name: str) -> None:
    if not _has_torch():
        raise BackboneError(
            f"backbone: expected one of {', '.join(EMBEDDED)} or the path of an .onnx file, "
            f"got {name!r}; timm models and ViGs need more: pip install 'patchbank[torch]'"
        )


def _refuse_engine(name: str, engine: EngineName) -> None:
    if engine != "onnxruntime":
        raise BackboneError(
            f"engine: expected none for {name}, which runs in torch, got {engine}; make an ONNX "
            f"file of it (patchbank backbones export {name}) and take that as backbone"
        )
