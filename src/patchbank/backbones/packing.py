"""Keys of a backbone in files, written out: renaming something in the code never changes a file.

Detector files and exported ONNX files share the record of `pack_info`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from numpy.typing import NDArray

from patchbank.backbones.extractor import BackboneInfo, Layer

Packed: TypeAlias = tuple[dict[str, Any], dict[str, NDArray[Any]]]
"""A JSON record, and tensors by name."""


def pack_info(info: BackboneInfo) -> dict[str, Any]:
    """BackboneInfo -> JSON record."""
    return {
        "name": info.name,
        "default_layers": info.default_layers,
        "mean": info.mean,
        "std": info.std,
        "size_multiple": info.size_multiple,
        "input_size": info.input_size,
        "license": info.license,
        "source": info.source,
        "sha256": info.sha256,
        "source_sha256": info.source_sha256,
        "taps": pack_layers(info.available_layers),
    }


def unpack_info(record: Mapping[str, Any]) -> BackboneInfo:
    """JSON record -> BackboneInfo; the inverse of `pack_info`."""
    size = record["input_size"]
    return BackboneInfo(
        name=record["name"],
        available_layers=unpack_layers(record["taps"]),
        default_layers=tuple(record["default_layers"]),
        mean=tuple(record["mean"]),
        std=tuple(record["std"]),
        size_multiple=record["size_multiple"],
        input_size=tuple(size) if size else None,
        license=record["license"],
        source=record["source"],
        sha256=record["sha256"],
        source_sha256=record.get("source_sha256", ""),
    )


def pack_layers(layers: Mapping[str, Layer]) -> dict[str, dict[str, int]]:
    """Layers by name -> the record under ``taps``.

    >>> pack_layers({"blocks.2": Layer(channels=40, stride=8)})
    {'blocks.2': {'channels': 40, 'stride': 8}}
    """
    return {
        name: {"channels": layer.channels, "stride": layer.stride} for name, layer in layers.items()
    }


def unpack_layers(record: Mapping[str, Mapping[str, int]]) -> dict[str, Layer]:
    """The record under ``taps`` -> layers by name; the inverse of `pack_layers`."""
    return {
        name: Layer(channels=layer["channels"], stride=layer["stride"])
        for name, layer in record.items()
    }
