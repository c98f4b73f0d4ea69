"""Networks that turn an image into feature maps: embedded, ONNX, timm, ViG, installed ones.

`open_backbone` finds the source of a name in `SOURCES` and returns a `FeatureExtractor`.
"""

from patchbank.backbones.engine import ONNX_RUNTIME, Engine
from patchbank.backbones.extractor import (
    BackboneInfo,
    FeatureExtractor,
    Layer,
    check_layers,
    most_threads_of,
)
from patchbank.backbones.onnx_extractor import OnnxExtractor
from patchbank.backbones.packing import Packed, pack_info, unpack_info
from patchbank.backbones.source import BackboneSource, OpenOptions
from patchbank.backbones.sources import (
    SOURCES,
    describe_backbone,
    embedded_names,
    export_backbone,
    is_exportable,
    listed_names,
    open_backbone,
    pack_backbone,
    runtime_of,
    unpack_backbone,
)
from patchbank.choices import EngineName, Normalisation, Precision

__all__ = [
    "ONNX_RUNTIME",
    "SOURCES",
    "BackboneInfo",
    "BackboneSource",
    "Engine",
    "EngineName",
    "FeatureExtractor",
    "Layer",
    "Normalisation",
    "OnnxExtractor",
    "OpenOptions",
    "Packed",
    "Precision",
    "check_layers",
    "describe_backbone",
    "embedded_names",
    "export_backbone",
    "is_exportable",
    "listed_names",
    "most_threads_of",
    "open_backbone",
    "pack_backbone",
    "pack_info",
    "runtime_of",
    "unpack_backbone",
    "unpack_info",
]
