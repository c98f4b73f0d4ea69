"""Checks, before any work begins, that a detector can be exported."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from patchbank.backbones import OnnxExtractor, runtime_of
from patchbank.detector.member import Member
from patchbank.detector.packing import DetectorParts
from patchbank.errors import ParameterError
from patchbank.export.precision import ExportPrecision
from patchbank.methods.spade.model import SpadeModel

LARGEST_BYTES = 2**31 - 1
"""A file of ONNX is one message of protobuf, which has this limit."""
METHODS = ("patchcore", "graphcore", "padim", "simplenet", "spade")
"""Methods whose models have a graph; one of another package may embed patches otherwise."""
ROUNDED = (("openvino", "bfloat16"), ("openvino", "int8"))
"""Engines and precisions whose features depend on what the network is merged with."""


def check_exportable(parts: DetectorParts, precision: ExportPrecision) -> None:
    """Refuse a detector of which no graph of a precision can be made.

    Raises:
        ParameterError: with all reasons in one line.
    """
    if find_spec("onnx") is None:
        raise ParameterError(
            "export: expected the package onnx, got none; pip install 'patchbank[export]'"
        )
    reasons: list[str] = []
    for member in parts.members:
        reasons += _reasons(member)
    galleries = [m.model.gallery for m in parts.members if isinstance(m.model, SpadeModel)]
    n_bytes = sum(gallery.pooled.nbytes for gallery in galleries)
    planes = sum(plane.nbytes for gallery in galleries for plane in gallery.planes)
    n_bytes += planes // 2 if precision == "float16" else planes
    if n_bytes > LARGEST_BYTES:
        reasons.append(
            f"a gallery of {n_bytes / 2**30:.1f} GiB, where a file of ONNX has room for 2 (fit on "
            "fewer photographs, or with fewer layers or a smaller image_size)"
        )
    if reasons:
        raise ParameterError(
            "export: expected a detector of what a graph can compute, got one with "
            + "; with ".join(dict.fromkeys(reasons))
        )


def _reasons(member: Member) -> list[str]:
    """Reasons why a member cannot be exported, and the remedy of each."""
    settings: Any = member.settings
    found = []
    if not isinstance(member.extractor, OnnxExtractor):
        found.append(
            f"the backbone {member.extractor.info.name}, which runs in torch (save the detector "
            "with its backbone as ONNX, and export that file)"
        )
    elif runtime_of(member.extractor) in ROUNDED:
        found.append(
            f"features in {runtime_of(member.extractor)[1]} of OpenVINO, which rounds otherwise "
            "in a larger graph (fit with precision float32, or in int8 with engine onnxruntime)"
        )
    if member.method not in METHODS:
        found.append(f"the method {member.method}, which has no graph")
    if settings.tiles:
        found.append("tiles (fit without tiles)")
    if settings.position != "as_photographed":
        found.append(f"position {settings.position} (fit with position as_photographed)")
    if getattr(settings, "index", "exact") != "exact":
        found.append(f"index {settings.index} (fit with index exact)")
    return found
