"""Names of backbones, and how each is opened."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from patchbank.backbones.onnx import Normalisation, OnnxExtractor
from patchbank.errors import BackboneError

EMBEDDED = ("efficientnet_lite0", "efficientnet_lite2")


def embedded_names() -> tuple[str, ...]:
    """Names of the backbones that come with the package."""
    return EMBEDDED


def open_backbone(
    name: str | os.PathLike[str],
    layers: tuple[str, ...] | None = None,
    normalisation: Normalisation | None = None,
) -> OnnxExtractor:
    """Open a backbone by its name, or by the path of an ONNX file.

    Args:
        name: one of `embedded_names`, or a path that ends in ``.onnx``.
        layers: outputs to take, shallow to deep; None for the backbone's own choice.
        normalisation: (mean, std) of each colour as shares of the full range, for files that do
            not say it themselves.

    Raises:
        BackboneError: no such backbone, file or layer, or a file that cannot serve as one.
    """
    name = os.fspath(name)
    if name in EMBEDDED:
        asset = resources.files("patchbank.backbones") / "assets" / f"{name}.onnx"
        return OnnxExtractor(asset.read_bytes(), name, layers, normalisation)
    if not name.endswith(".onnx"):
        raise BackboneError(
            f"backbone: expected one of {', '.join(EMBEDDED)} or the path of an .onnx file, "
            f"got {name!r}"
        )
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        raise BackboneError(
            f"backbone: expected a readable ONNX file, got {name}: {error.strerror}"
        ) from error
    return OnnxExtractor(content, Path(name).stem, layers, normalisation)
