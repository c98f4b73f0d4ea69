"""Backbones: from a photograph to feature maps."""

from patchbank.backbones.extractor import BackboneInfo, FeatureExtractor, Tap
from patchbank.backbones.onnx import OnnxExtractor
from patchbank.backbones.registry import embedded_names, open_backbone

__all__ = [
    "BackboneInfo",
    "FeatureExtractor",
    "OnnxExtractor",
    "Tap",
    "embedded_names",
    "open_backbone",
]
