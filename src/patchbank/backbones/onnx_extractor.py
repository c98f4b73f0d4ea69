"""Backbones in the ONNX format: the embedded ones, and any ONNX file that outputs feature maps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones.engine import ONNX_RUNTIME, Engine
from patchbank.backbones.extractor import BackboneInfo, Layer, check_layers
from patchbank.backbones.onnx_model.check import checked_graph
from patchbank.backbones.onnx_model.graph import FLOAT32, Graph
from patchbank.backbones.onnx_model.sizes import check_sizes
from patchbank.backbones.onnx_model.value import Shape
from patchbank.backbones.packing import unpack_layers
from patchbank.choices import Normalisation
from patchbank.errors import BackboneError, ParameterError, PatchbankError, ShapeError
from patchbank.types import FeatureMap, Image

METADATA_KEY = "patchbank"
PROBE_SIZE = (192, 256)  # not square, so that height and width cannot be confused
DEFAULT_MULTIPLE = 32
MAX_MULTIPLE = 1024


class OnnxExtractor:
    """A feature extractor that holds the bytes of an ONNX model.

    Images are processed one at a time in every thread: on a CPU that is as fast as batches, and
    the features of an image cannot depend on other images.

    Args:
        content: the ONNX model.
        name: of the backbone, where the model's metadata has none.
        layers: outputs to compute; None for the default layers of the metadata, or all outputs.
        normalisation: mean and standard deviation, for models whose metadata does not state them.
        engine: the program that runs the model.  Of a model that rounds activations to 8 bits the
            precision is int8, also where float32 is given.

    Raises:
        BackboneError: not an ONNX model, not a backbone, or no such layer.
        ParameterError: the engine has int8 for a model that is not quantised, or bfloat16 for one
            that is.
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
        self._graph = checked_graph(content, name)
        self._checked_sizes: set[tuple[int, int]] = set()
        self.content = content
        self.normalisation = normalisation
        self.engine = _in_own_precision(engine, self._graph, name)
        self._info = self._describe(name, normalisation)
        self._network = self.engine.open(content, name)
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

    @property
    def input_name(self) -> str:
        """Name of the network's only input."""
        return next(iter(self._graph.inputs))

    def __call__(self, image: Image) -> Sequence[FeatureMap]:
        """(H, W, 3) uint8 RGB -> one (c, h, w) float32 map per layer."""
        size = image.shape[0], image.shape[1]
        if size not in self._checked_sizes:
            self._shapes(size, self._info.name)
        return self._run(self.planes(image), self._layers)

    def planes(self, image: Image) -> NDArray[np.float32]:
        """(H, W, 3) uint8 RGB -> (3, H, W) float32, each colour normalised: the network's input."""
        planes: NDArray[np.float32] = image.transpose(2, 0, 1) * self._scale
        planes += self._shift
        return planes

    def _run(self, planes: NDArray[np.float32], layers: tuple[str, ...]) -> list[FeatureMap]:
        try:
            maps = self._network(planes[None], layers)
        except Exception as error:  # engines raise bare RuntimeError and their own types
            size = f"{planes.shape[1]} x {planes.shape[2]}"
            raise BackboneError(f"backbone: it cannot run on an input of {size}: {error}") from None
        return [_single(layer, m) for layer, m in zip(layers, maps, strict=True)]

    def _describe(self, name: str, normalisation: Normalisation | None) -> BackboneInfo:
        size = _image_size(self._graph, name)
        record = _metadata(self._graph, name)
        try:
            return self._info_from(record, name, normalisation, size)
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
    ) -> BackboneInfo:
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
        if not 1 <= multiple <= MAX_MULTIPLE:
            raise ValueError(f"size_multiple {multiple}")
        probe = size or _rounded_up(PROBE_SIZE, multiple)
        shapes = self._shapes(probe, name)
        layers = _feature_maps(shapes, probe, name)
        default_layers = tuple(record.get("default_layers", layers))
        if "taps" in record:
            layers = _agreeing(unpack_layers(record["taps"]), shapes, probe, name)
        return BackboneInfo(
            name=record.get("name", name),
            available_layers=layers,
            default_layers=default_layers,
            mean=_triple("mean", mean),
            std=_triple("std", std, positive=True),
            size_multiple=multiple,
            input_size=size,
            license=record.get("license", "not stated"),
            source=record.get("source", "ONNX file"),
            sha256=hashlib.sha256(self.content).hexdigest(),
            source_sha256=str(record.get("source_sha256", "")),
        )

    def _shapes(self, size: tuple[int, int], name: str) -> dict[str, Shape]:
        """The shape of each output, for an image of a size that is checked by this."""
        shapes = check_sizes(self._graph, len(self.content), size, name)
        self._checked_sizes.add(size)
        return dict(zip(self._graph.outputs, shapes, strict=True))


def _in_own_precision(engine: Engine, graph: Graph, name: str) -> Engine:
    """The engine with the precision that the features of a network have in it."""
    if graph.is_quantised:
        if engine.precision == "bfloat16":
            raise ParameterError(
                f"precision: expected none with {name}, which is in int8 already, got bfloat16; "
                "leave it out"
            )
        return Engine(engine.name, "int8")
    if engine.precision == "int8":
        raise ParameterError(
            f"precision: expected float32 for {name}, which is not quantised, got int8; fit a "
            "detector in int8, which quantises it (PatchCore(...).fit(..., precision='int8'), "
            "fit --precision int8)"
        )
    return engine


def _feature_maps(
    shapes: Mapping[str, Shape], size: tuple[int, int], name: str
) -> dict[str, Layer]:
    """Channels and stride of the outputs that are feature maps."""
    found = {
        output: Layer(channels=shape[1], stride=max(1, round(size[0] / shape[2])))
        for output, shape in shapes.items()
        if len(shape) == 4 and shape[0] == 1 and min(shape) >= 1
    }
    if not found:
        raise BackboneError(
            f"{name}: expected an output that is a feature map (1, c, h, w), got "
            + ", ".join(f"{output} {shape}" for output, shape in shapes.items())
        )
    return found


def _agreeing(
    stated: dict[str, Layer], shapes: Mapping[str, Shape], size: tuple[int, int], name: str
) -> dict[str, Layer]:
    """The layers that the metadata state, each of which must be an output about like that.

    Convolutions without padding lose cells at the border, so the stride that a shape suggests can
    be larger than the true one.
    """
    for layer, one in stated.items():
        shape = shapes.get(layer, ())
        cells = size[0] / one.stride
        is_map = len(shape) == 4 and shape[:2] == (1, one.channels)
        if not (is_map and (2 / 3 < shape[2] / cells < 3 / 2 or abs(shape[2] - cells) <= 1)):
            raise BackboneError(
                f"{name}: expected the layer {layer!r} as its metadata state it, with "
                f"{one.channels} channels and stride {one.stride}, got the shape {shape} for an "
                f"image of {size[0]} x {size[1]}"
            )
    return stated


def _rounded_up(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    height, width = (-(-side // multiple) * multiple for side in size)
    return height, width


def _image_size(graph: Graph, name: str) -> tuple[int, int] | None:
    """(H, W) of the image, where the model accepts one size only.

    Raises:
        BackboneError: the input is not one image.
    """
    shapes = [(None,) * 4 if shape is None else shape for shape in graph.inputs.values()]
    is_image = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1] in (3, None)
    if not is_image or graph.input_types != (FLOAT32,):
        found = ", ".join(
            f"{key} {list(shape)}" for key, shape in zip(graph.inputs, shapes, strict=True)
        )
        raise BackboneError(f"{name}: expected one float input (b, 3, H, W), got {found}")
    batch, _, height, width = shapes[0]
    if batch not in (None, 1):
        raise BackboneError(f"{name}: expected a batch of 1 or of any size, got {batch}")
    return None if height is None or width is None else (height, width)


def _metadata(graph: Graph, name: str) -> Mapping[str, Any]:
    text = graph.metadata.get(METADATA_KEY, "{}")
    try:
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
