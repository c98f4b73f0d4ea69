"""Backbones in the ONNX format: the embedded ones, and any ONNX file that outputs feature maps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from patchbank.backbones.engine import ONNX_RUNTIME, Engine
from patchbank.backbones.extractor import BackboneInfo, Layer, check_layers
from patchbank.backbones.onnx_model.check import checked_graph
from patchbank.backbones.onnx_runtime import read_signature
from patchbank.backbones.packing import unpack_layers
from patchbank.choices import Normalisation
from patchbank.errors import BackboneError, PatchbankError, ShapeError
from patchbank.types import FeatureMap, Image

METADATA_KEY = "patchbank"
PROBE_SIZE = (192, 256)  # not square, so that height and width cannot be confused
DEFAULT_MULTIPLE = 32


class OnnxExtractor:
    """A feature extractor that holds the bytes of an ONNX model.

    Images are processed one at a time in every thread: on a CPU that is as fast as batches, and
    the features of an image cannot depend on other images.

    Args:
        content: the ONNX model.
        name: of the backbone, where the model's metadata has none.
        layers: outputs to compute; None for the default layers of the metadata, or all outputs.
        normalisation: mean and standard deviation, for models whose metadata does not state them.
        engine: the program that runs the model.

    Raises:
        BackboneError: not an ONNX model, not a backbone, or no such layer.
    """

    kind = "onnx"

    def __init__(
        self,
        content: bytes,
        name: str,
        layers: tuple[str, ...] | None = None,
        normalisation: Normalisation | None = None,
        engine: Engine = ONNX_RUNTIME,
    ) -> None:
        checked_graph(content, name)
        self.content = content
        self.normalisation = normalisation
        self.engine = engine
        self._network = engine.open(content, name)
        self._info = self._describe(read_signature(content, name), name, normalisation)
        self._layers = check_layers(self._info, layers or self._info.default_layers)
        self._scale, self._shift = (v[:, None, None] for v in self._info.scale_and_shift)

    @property
    def info(self) -> BackboneInfo:
        """Origin of the weights, and how their input is prepared."""
        return self._info

    @property
    def layers(self) -> tuple[str, ...]:
        """The chosen layers, in the order of the returned maps."""
        return self._layers

    def __call__(self, image: Image) -> Sequence[FeatureMap]:
        """(H, W, 3) uint8 RGB -> one (c, h, w) float32 map per layer."""
        planes = image.transpose(2, 0, 1) * self._scale  # (3, H, W)
        planes += self._shift
        return self._run(planes, self._layers)

    def _run(self, planes: NDArray[np.float32], layers: tuple[str, ...]) -> list[FeatureMap]:
        try:
            maps = self._network(planes[None], layers)
        except Exception as error:  # engines raise bare RuntimeError and their own types
            size = f"{planes.shape[1]} x {planes.shape[2]}"
            raise BackboneError(f"backbone: it cannot run on an input of {size}: {error}") from None
        return [_single(layer, m) for layer, m in zip(layers, maps, strict=True)]

    def _describe(
        self,
        session: onnxruntime.InferenceSession,
        name: str,
        normalisation: Normalisation | None,
    ) -> BackboneInfo:
        try:
            size = _fixed_size(_image_input(session, name))
            outputs = tuple(output.name for output in session.get_outputs())
            record = _metadata(session, name)
            return self._info_from(record, name, normalisation, size, outputs)
        except PatchbankError:
            raise
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise BackboneError(f"{name}: expected sound metadata, got: {error!r}") from None

    def _info_from(
        self,
        record: Mapping[str, Any],
        name: str,
        normalisation: Normalisation | None,
        size: tuple[int, int] | None,
        outputs: tuple[str, ...],
    ) -> BackboneInfo:
        layers = unpack_layers(record["taps"]) if "taps" in record else None
        is_stated = "mean" in record and "std" in record
        if is_stated == (normalisation is not None):
            raise BackboneError(
                f"{name}: expected its normalisation from the file or by option, got "
                + (
                    "both; leave mean and std out"
                    if is_stated
                    else "neither; give the mean and std that its weights were trained with"
                )
            )
        mean, std = normalisation or (record["mean"], record["std"])
        multiple = 1 if size else int(record.get("size_multiple", DEFAULT_MULTIPLE))
        if multiple < 1:
            raise ValueError(f"size_multiple {multiple}")
        return BackboneInfo(
            name=record.get("name", name),
            available_layers=layers or self._probe(outputs, size or PROBE_SIZE),
            default_layers=tuple(record.get("default_layers", outputs)),
            mean=_triple("mean", mean),
            std=_triple("std", std, positive=True),
            size_multiple=multiple,
            input_size=size,
            license=record.get("license", "not stated"),
            source=record.get("source", "ONNX file"),
            sha256=hashlib.sha256(self.content).hexdigest(),
            source_sha256=str(record.get("source_sha256", "")),
        )

    def _probe(self, outputs: tuple[str, ...], size: tuple[int, int]) -> dict[str, Layer]:
        """Run the network once to measure channels and stride of every output."""
        maps = self._run(np.zeros((3, *size), dtype=np.float32), outputs)
        return {
            name: Layer(channels=len(m), stride=max(1, round(size[0] / m.shape[1])))
            for name, m in zip(outputs, maps, strict=True)
        }


def _image_input(session: onnxruntime.InferenceSession, name: str) -> onnxruntime.NodeArg:
    inputs = session.get_inputs()
    shape = list(inputs[0].shape)
    colours = len(shape) == 4 and (shape[1] == 3 or not isinstance(shape[1], int))
    if len(inputs) != 1 or not colours or inputs[0].type != "tensor(float)":
        found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
        raise BackboneError(f"{name}: expected one float input (b, 3, H, W), got {found}")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise BackboneError(f"{name}: expected a batch of 1 or of any size, got {shape[0]}")
    return inputs[0]


def _fixed_size(image: onnxruntime.NodeArg) -> tuple[int, int] | None:
    height, width = image.shape[2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _metadata(session: onnxruntime.InferenceSession, name: str) -> Mapping[str, Any]:
    try:
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY, "{}")
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BackboneError(f"{name}: expected JSON in its metadata, got: {error}") from None
    if not isinstance(record, dict):
        raise BackboneError(f"{name}: expected a JSON object in its metadata, got {text!r}")
    return record


def _triple(
    name: str, values: Sequence[float], *, positive: bool = False
) -> tuple[float, float, float]:
    numbers = tuple(float(v) for v in values)
    if len(numbers) != 3 or not np.isfinite(numbers).all() or (positive and min(numbers) <= 0):
        rule = "three positive numbers" if positive else "three numbers"
        raise BackboneError(f"{name}: expected {rule} (red, green, blue), got {tuple(values)}")
    return numbers


def _single(layer: str, batch: NDArray[Any]) -> FeatureMap:
    if batch.ndim != 4 or batch.shape[0] != 1 or batch.dtype != np.float32:
        raise ShapeError(
            f"layer {layer}: expected a feature map (1, c, h, w) of float32, "
            f"got {batch.shape} of {batch.dtype}"
        )
    maps: FeatureMap = batch[0]
    return maps
