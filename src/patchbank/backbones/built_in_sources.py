"""The sources that come with the package: embedded backbones, ONNX files, ViG and timm.

Torch is imported when a network that runs in torch is opened, not before.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from patchbank.backbones.engine import Engine
from patchbank.backbones.extractor import BackboneInfo, FeatureExtractor
from patchbank.backbones.onnx_extractor import OnnxExtractor
from patchbank.backbones.onnx_model.external_data import embedded
from patchbank.backbones.onnx_model.wire import WireError
from patchbank.backbones.packing import Packed, unpack_info
from patchbank.backbones.source import BackboneSource, OpenOptions
from patchbank.backbones.vig.variants import VARIANTS, describe_vig
from patchbank.choices import EngineName, Normalisation, Precision
from patchbank.errors import BackboneError, DetectorFileError, ParameterError
from patchbank.runtime.devices import Device

EMBEDDED = (
    "efficientnet_lite0",
    "efficientnet_lite2",
    "efficientnet_lite0_int8",
    "efficientnet_lite2_int8",
)

_ENGINES: Mapping[str, EngineName] = {"bfloat16": "openvino"}
"""Engines of precisions that only one has."""


class _OnnxSource(BackboneSource):
    """The common part of the sources whose backbones are ONNX models."""

    kind = "onnx"
    takes_engine = True

    @abstractmethod
    def _read(self, name: str) -> tuple[bytes, str]:
        """The ONNX model, and the name of the backbone if its metadata has none."""

    @override
    def describe(self, name: str, normalisation: Normalisation | None) -> BackboneInfo:
        return self.open(name, OpenOptions(normalisation=normalisation)).info

    @override
    def open(self, name: str, options: OpenOptions) -> OnnxExtractor:
        content, short_name = self._read(name)
        return OnnxExtractor(
            content, short_name, options.layers, options.normalisation, options.engine
        )

    @override
    def pack(self, extractor: OnnxExtractor) -> Packed:
        engine = extractor.engine
        record: dict[str, Any] = {
            "normalisation": extractor.normalisation,
            "precision": engine.precision,
        }
        if engine.precision == "int8":  # each engine rounds in its own way
            record["engine"] = engine.name
        return record, {"onnx": np.frombuffer(extractor.content, dtype=np.uint8)}

    @override
    def restore(
        self,
        record: Mapping[str, Any],
        tensors: Mapping[str, NDArray[Any]],
        device: Device,
        engine: EngineName | None,
    ) -> OnnxExtractor:
        given = record.get("normalisation")
        normalisation = (tuple(given[0]), tuple(given[1])) if given else None
        precision = record.get("precision", "float32")  # missing in early files of format 2
        needed: EngineName = record.get("engine", _ENGINES.get(precision, "onnxruntime"))
        _check_same(engine, needed, precision)
        stored = tensors.get("onnx")
        if stored is None or stored.dtype != np.uint8 or stored.ndim != 1:
            raise DetectorFileError("backbone.onnx: expected the bytes of a network, got none")
        content, name = stored.tobytes(), record["info"]["name"]
        opened = Engine(engine or needed, precision)
        try:
            restored = OnnxExtractor(content, name, tuple(record["layers"]), normalisation, opened)
        except ParameterError as error:
            raise DetectorFileError(
                f"backbone.precision: expected that of its network, got {precision}; fit it anew"
            ) from error
        except BackboneError as error:
            if opened.name != "onnxruntime":  # it may lack what ONNX Runtime has
                raise
            raise DetectorFileError(str(error)) from error
        # Early files of networks in int8 record float32.
        _check_same(engine, needed, restored.engine.precision)
        return restored


class Embedded(_OnnxSource):
    """The backbones that come with the package."""

    names = EMBEDDED

    @override
    def accepts(self, name: str) -> bool:
        return name in EMBEDDED

    def _read(self, name: str) -> tuple[bytes, str]:
        asset = resources.files("patchbank.backbones") / "assets" / f"{name}.onnx"
        return asset.read_bytes(), name


class OnnxFile(_OnnxSource):
    """ONNX files, given by their path."""

    @override
    def accepts(self, name: str) -> bool:
        return name.endswith(".onnx")

    def _read(self, name: str) -> tuple[bytes, str]:
        path = Path(name)
        try:
            return embedded(path.read_bytes(), path), path.stem
        except OSError as error:
            raise BackboneError(
                f"backbone: expected a readable ONNX file, got {name}: {error.strerror}"
            ) from error
        except WireError as error:
            raise BackboneError(f"{name}: expected an ONNX model, got: {error}") from None


class TorchSource(BackboneSource):
    """The common part of the sources whose networks run in torch."""

    takes_weights = True

    @override
    def pack(self, extractor: Any) -> Packed:
        return {}, extractor.state()

    @override
    def restore(
        self,
        record: Mapping[str, Any],
        tensors: Mapping[str, NDArray[Any]],
        device: Device,
        engine: EngineName | None,
    ) -> FeatureExtractor:
        if not _has_torch():
            raise BackboneError(
                f"expected torch and timm for the backbone {record['info']['name']} of this file, "
                "got none; pip install 'patchbank[torch]', or save the detector with its backbone "
                "as onnx"
            )
        return self._restore(unpack_info(record["info"]), tuple(record["layers"]), tensors, device)

    @abstractmethod
    def _restore(
        self,
        info: BackboneInfo,
        layers: tuple[str, ...],
        tensors: Mapping[str, NDArray[Any]],
        device: Device,
    ) -> FeatureExtractor: ...


class Vig(TorchSource):
    """Vision GNNs; they are described without torch."""

    kind = "vig"

    @override
    def accepts(self, name: str) -> bool:
        return name in VARIANTS

    @override
    def describe(self, name: str, normalisation: Normalisation | None) -> BackboneInfo:
        return describe_vig(name, normalisation)

    @override
    def open(self, name: str, options: OpenOptions) -> FeatureExtractor:
        _require_torch(name)
        from patchbank.backbones.vig.loading import open_vig

        return open_vig(name, options)

    def _restore(
        self,
        info: BackboneInfo,
        layers: tuple[str, ...],
        tensors: Mapping[str, NDArray[Any]],
        device: Device,
    ) -> FeatureExtractor:
        from patchbank.backbones.vig.loading import restore_vig

        return restore_vig(info, layers, tensors, device)


class Timm(TorchSource):
    """Networks of timm; their names have a tag: ``architecture.tag``."""

    kind = "timm"

    @override
    def accepts(self, name: str) -> bool:
        return "." in name and ":" not in name

    @override
    def describe(self, name: str, normalisation: Normalisation | None) -> BackboneInfo:
        _require_torch(name)
        from patchbank.backbones.timm import describe_timm

        return describe_timm(name, normalisation)

    @override
    def open(self, name: str, options: OpenOptions) -> FeatureExtractor:
        _require_torch(name)
        from patchbank.backbones.timm import open_timm

        return open_timm(name, options)

    def _restore(
        self,
        info: BackboneInfo,
        layers: tuple[str, ...],
        tensors: Mapping[str, NDArray[Any]],
        device: Device,
    ) -> FeatureExtractor:
        from patchbank.backbones.timm import restore_timm

        return restore_timm(info, layers, tensors, device)


def _check_same(engine: EngineName | None, needed: EngineName, precision: Precision) -> None:
    """Check that features are computed by the engine of the fit, where engines differ."""
    if engine not in (None, needed) and precision != "float32":
        raise BackboneError(
            f"engine: expected {needed}, as features were computed in {precision}, got {engine}"
        )


def _has_torch() -> bool:
    return find_spec("timm") is not None and find_spec("torch") is not None


def _require_torch(name: str) -> None:
    if not _has_torch():
        raise BackboneError(
            f"backbone: expected one of {', '.join(EMBEDDED)} or the path of an .onnx file, "
            f"got {name!r}; timm models and ViGs need more: pip install 'patchbank[torch]'"
        )
