"""Values that a setting chooses from, by the name of their type.

Declarations of settings and the code that implements the choices both take them from here.  This
imports nothing, so that the settings can be read without what computes.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Border: TypeAlias = Literal["reflect", "mirror"]
ChannelAxis: TypeAlias = Literal["first", "last"]
ColourOrder: TypeAlias = Literal["rgb", "bgr"]
EngineName: TypeAlias = Literal["onnxruntime", "openvino"]
Flips: TypeAlias = Literal["none", "horizontal", "vertical", "both"]
ImageScore: TypeAlias = Literal["max", "reweighted", "hcw", "smooth_max", "top_fraction"]
IndexKind: TypeAlias = Literal["exact", "hnsw", "ivf"]
Interpolation: TypeAlias = Literal["bilinear", "nearest"]
Metric: TypeAlias = Literal["euclidean", "squared"]
Normalisation: TypeAlias = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Mean and standard deviation of red, green and blue."""
Position: TypeAlias = Literal["as_photographed", "canonical", "auto"]
Precision: TypeAlias = Literal["float32", "bfloat16", "int8"]
Projection: TypeAlias = Literal["gaussian", "uniform", "sparse"]
Resampling: TypeAlias = Literal["bilinear", "bicubic", "lanczos"]
Resize: TypeAlias = Literal["area", "short_side", "squash"]
SavedBackbone: TypeAlias = Literal["onnx", "torch"]

AUTO_PRESET = "auto"
"""Preset of the command line that stands for `PatchCore.auto`: it has no settings of its own."""
