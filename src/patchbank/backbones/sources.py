"""The table of backbone sources: which one opens a name, and which one a file belongs to.

`SOURCES` has one entry per kind of backbone.  Entries of other packages come from the entry
points ``patchbank.backbones``; they are imported when one of their backbones is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from patchbank.backbones.built_in_sources import (
    EMBEDDED,
    Embedded,
    OnnxFile,
    Timm,
    TorchSource,
    Vig,
)
from patchbank.backbones.engine import ONNX_RUNTIME, Engine
from patchbank.backbones.extractor import BackboneInfo, FeatureExtractor
from patchbank.backbones.onnx_extractor import OnnxExtractor
from patchbank.backbones.packing import Packed, pack_info
from patchbank.backbones.source import BackboneSource, OpenOptions
from patchbank.backbones.vig.variants import VARIANTS
from patchbank.choices import EngineName, Normalisation
from patchbank.errors import BackboneError, DetectorFileError, ParameterError
from patchbank.runtime.devices import HOST, Device
from patchbank.runtime.plugins import PluginTable


def _check_source(name: str, entry: object) -> BackboneSource:
    if not isinstance(entry, BackboneSource):
        raise TypeError(f"expected an instance of BackboneSource, got {type(entry).__name__}")
    if entry.kind != name:
        raise TypeError(
            f"expected the kind {name!r} as its entry point is named, got {entry.kind!r}"
        )
    foreign = [n for n in entry.names if n.partition(":")[0] != name]
    if foreign:
        raise TypeError(f"expected backbones named {name}:..., got {', '.join(foreign)}")
    return entry


BUILT_IN: Mapping[str, BackboneSource] = {
    "embedded": Embedded(),
    "onnx": OnnxFile(),
    "vig": Vig(),
    "timm": Timm(),
}
SOURCES: PluginTable[BackboneSource] = PluginTable(
    group="patchbank.backbones",
    title="backbone source",
    built_in=BUILT_IN,
    reserved=(*EMBEDDED, *VARIANTS),
    check=_check_source,
    error=BackboneError,
)
"""The sources by their key, those of other packages included."""


def embedded_names() -> tuple[str, ...]:
    """Names of the backbones that come with the package."""
    return EMBEDDED


def listed_names() -> tuple[str, ...]:
    """Names of the embedded backbones, then those that other packages list."""
    return tuple(name for source in SOURCES.values() for name in source.names)


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
        name: one of `listed_names`, a path that ends in ``.onnx``, a timm model with its tag, or
            a ViG.
        layers: layers to compute, shallow to deep; None for the backbone's default layers.
        normalisation: mean and standard deviation of each colour as fractions of the full range,
            for files that do not state them.
        weights: file of weights for a timm model or a ViG; None downloads those of a timm tag.
        device: where networks run in torch; ONNX models run on the CPU.
        engine: the program that runs ONNX files and embedded backbones.

    Raises:
        BackboneError: no such backbone, file or layer, or a file that is not a backbone.
        ParameterError: the network has another precision than the engine.
    """
    name = os.fspath(name)
    source = _source_of(name)
    if weights is not None and not source.takes_weights:
        raise BackboneError(
            f"weights: expected with a timm model or a ViG, got them with {name}, which has its own"
        )
    _check_engine(source, name, engine.name)
    if engine.precision != "float32" and not source.takes_engine:
        raise ParameterError(
            f"precision: expected float32 for {name}, which is not ONNX, got {engine.precision}"
        )
    return source.open(name, OpenOptions(layers, normalisation, weights, device, engine))


def describe_backbone(
    name: str | os.PathLike[str], *, normalisation: Normalisation | None = None
) -> BackboneInfo:
    """Layers and preprocessing of a backbone; no weights are downloaded.

    Raises:
        BackboneError: no such backbone.
    """
    name = os.fspath(name)
    return _source_of(name).describe(name, normalisation)


def is_exportable(extractor: FeatureExtractor) -> bool:
    """Whether `export_backbone` applies: the network runs in torch."""
    return getattr(extractor, "kind", None) in (Vig.kind, Timm.kind)


def export_backbone(
    extractor: FeatureExtractor, input_size: tuple[int, int] | None = None
) -> bytes:
    """Export a network of torch as a self-describing ONNX file, and check it against torch.

    Args:
        extractor: to export; its layers become the outputs.
        input_size: (H, W) if the file shall accept one size only; None for any size.

    Raises:
        BackboneError: it is an ONNX file already, or cannot become one.
    """
    if isinstance(extractor, OnnxExtractor):
        raise BackboneError(
            f"expected a timm model or a ViG to export, got {extractor.info.name}, "
            "which is ONNX already"
        )
    if not is_exportable(extractor):
        raise BackboneError(
            f"expected a timm model or a ViG to export, got {type(extractor).__name__}"
        )
    from patchbank.backbones.torch_to_onnx import to_onnx

    torch_extractor: Any = extractor
    return to_onnx(torch_extractor, input_size=input_size)


def runtime_of(extractor: FeatureExtractor) -> tuple[str, str]:
    """The program that computes the features, and its precision.

    >>> runtime_of(open_backbone("efficientnet_lite0"))
    ('onnxruntime', 'float32')
    """
    if isinstance(extractor, OnnxExtractor):
        return extractor.engine.name, extractor.engine.precision
    kind = getattr(extractor, "kind", "torch")
    return "torch" if kind in (Vig.kind, Timm.kind) else kind, "float32"


def pack_backbone(extractor: FeatureExtractor) -> Packed:
    """The JSON record and the tensors of a backbone, for a detector file.

    Raises:
        BackboneError: no source stores such an extractor.
    """
    kind = getattr(extractor, "kind", None)
    if kind is None or kind not in SOURCES:
        raise BackboneError(
            "expected a backbone of ONNX, timm, ViG or an installed package, which a file can "
            f"hold, got {extractor.info.name}"
        )
    record, tensors = SOURCES[kind].pack(extractor)
    common = {"info": pack_info(extractor.info), "layers": extractor.layers, "kind": kind}
    return {**common, **record}, tensors


def unpack_backbone(
    record: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    device: Device = HOST,
    engine: EngineName | None = None,
) -> FeatureExtractor:
    """Build a backbone from the record and tensors of `pack_backbone`; nothing is downloaded.

    Args:
        record: from `pack_backbone`, after a round trip through JSON.
        tensors: from `pack_backbone`.
        device: where networks run in torch.
        engine: the program that runs ONNX models; None for the one that the record's precision
            needs.

    Raises:
        BackboneError: torch or OpenVINO is missing, or the engine lacks the precision that the
            backbone was used with.
        DetectorFileError: the backbone is of a package that is not installed, or is damaged.
    """
    kind = record["kind"]
    if kind not in SOURCES:
        raise DetectorFileError(
            f"backbone: expected an installed package that provides the backbones of {kind!r}, got "
            "none; install the package that the detector was fitted with, or a newer patchbank"
        )
    source = SOURCES[kind]
    if engine is not None:
        _check_engine(source, record["info"]["name"], engine)
    return source.restore(record, tensors, device, engine)


def _source_of(name: str) -> BackboneSource:
    for source in BUILT_IN.values():
        if source.accepts(name):
            return source
    plugin = name.partition(":")[0]
    if plugin not in SOURCES.declared_names():
        return BUILT_IN["timm"]  # its messages suggest similar names
    source = SOURCES[plugin]
    if not source.accepts(name):
        raise BackboneError(f"backbone: expected one of {', '.join(source.names)}, got {name!r}")
    return source


def _check_engine(source: BackboneSource, name: str, engine: EngineName) -> None:
    if engine == "onnxruntime" or source.takes_engine:
        return
    if isinstance(source, TorchSource):
        raise BackboneError(
            f"engine: expected none for {name}, which runs in torch, got {engine}; make an ONNX "
            f"file of it (patchbank backbones export {name}) and use that as backbone"
        )
    raise BackboneError(f"engine: expected none for {name}, which is not ONNX, got {engine}")
