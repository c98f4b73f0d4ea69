"""What can be exported, checked before any work begins."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from patchbank.backbones import OnnxExtractor
from patchbank.detector.member import Member
from patchbank.detector.packing import DetectorParts
from patchbank.errors import ParameterError

METHODS = ("patchcore", "graphcore", "padim", "simplenet")
"""Methods whose models have a graph; one of another package may embed patches otherwise."""


def check_exportable(parts: DetectorParts) -> None:
    """Refuse a detector of which no graph can be made.

    Raises:
        ParameterError: with all reasons in one line.
    """
    if find_spec("onnx") is None:
        raise ParameterError(
            "export: expected the package onnx, got none; pip install 'patchbank[export]'"
        )
    reasons = [] if parts.roi is None else ["a region of interest (fit without roi)"]
    for member in parts.members:
        reasons += _reasons(member)
    if reasons:
        raise ParameterError(
            "export: expected a detector of what a graph can compute, got one with "
            + "; with ".join(dict.fromkeys(reasons))
        )


def _reasons(member: Member) -> list[str]:
    """What of a member no graph can compute, and what to do instead."""
    settings: Any = member.settings
    found = []
    if not isinstance(member.extractor, OnnxExtractor):
        found.append(
            f"the backbone {member.extractor.info.name}, which runs in torch (save the detector "
            "with its backbone as ONNX, and export that file)"
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
