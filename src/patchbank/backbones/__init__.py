"""Backbones: from a photograph to feature maps."""

from patchbank.backbones.extractor import BackboneInfo, FeatureExtractor, Layer, Normalisation
from patchbank.backbones.onnx_extractor import OnnxExtractor
from patchbank.backbones.onnx_runtime import ONNX_RUNTIME, Engine, EngineName, Precision
from patchbank.backbones.sources import (
    Packed,
    describe_backbone,
    embedded_names,
    export_backbone,
    open_backbone,
    pack_backbone,
    unpack_backbone,
)

__all__ = [
    "ONNX_RUNTIME",
    "BackboneInfo",
    "Engine",
    "EngineName",
    "FeatureExtractor",
    "Layer",
    "Normalisation",
    "OnnxExtractor",
    "Packed",
    "Precision",
    "describe_backbone",
    "embedded_names",
    "export_backbone",
    "open_backbone",
    "pack_backbone",
    "unpack_backbone",
]
