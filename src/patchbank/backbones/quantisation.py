"""int8 networks: static quantisation by the tools of ONNX Runtime, with corrected biases.

Weights have 7 bits, each output channel a scale of its own; activations have 8.  With that no sum
of two products leaves 16 bits, so that processors without int8 dot products (AVX2) saturate
nowhere (Jacob et al., CVPR 2018, has the arithmetic).  Rounded weights shift the mean of what a
convolution gives, which its bias makes up for (Nagel et al., ICCV 2019, section 4.2).
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import MinMaxCalibrater, QuantType
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from patchbank.backbones.bias_correction import mean_shifts, shift_biases
from patchbank.backbones.onnx_extractor import METADATA_KEY, OnnxExtractor
from patchbank.backbones.onnx_runtime import options_on
from patchbank.backbones.quantisable import OLDEST_OPSET, cut_off_outputs, quantisable
from patchbank.errors import BackboneError
from patchbank.runtime.printable import one_line
from patchbank.runtime.progress import Progress
from patchbank.runtime.threads import usable_cores
from patchbank.types import FeatureMap, Image

SUFFIX = "_int8"
"""End of the name of a quantised backbone."""
LARGEST_ERROR = 0.3
"""Error of the feature maps, as a share of them, that is accepted."""
LARGEST_CHANGE = 0.001
"""The same of the network in float32 that is quantised: tools have converted and merged it."""
MOST_MEASURED = 3
"""Images that errors are measured on."""
MEASURED_PX = 256
"""Side of the part of an image that errors are measured on."""
WEIGHTED = ("Conv", "Gemm", "MatMul")
"""Operators whose products are computed in int8."""
BETWEEN = ("Add", "Clip", "Relu")
"""Operators that take what those give, and give what those take, in int8 too."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """A quantised backbone, and what it costs."""

    extractor: OnnxExtractor
    error: float
    """Largest error of a layer: the length of the differences by the length of the features."""
    n_layers: int
    """Convolutions and matrix products of the network."""
    in_float: tuple[str, ...]
    """Names of the outputs of the layers that stay in float32."""

    def __str__(self) -> str:
        kept = f"; {', '.join(self.in_float)} stay in float32" if self.in_float else ""
        return (
            f"{self.n_layers - len(self.in_float)} of {self.n_layers} layers in int8, features "
            f"{100 * self.error:.0f} % off{kept}"
        )


def quantised(extractor: OnnxExtractor, images: Sequence[Image], progress: Progress) -> Quantised:
    """Quantise a network to int8, as far as its features stay what they are.

    The ranges of the activations are those that occur in the images, and biases make up for the
    mean error of the rounded weights there.  If the features of the network with all layers in
    int8 are too far off, each layer is quantised alone; those that change the features most stay
    in float32, as many as it takes.

    Args:
        extractor: of the network, in float32.
        images: what the network sees of good photographs, (H, W, 3).
        progress: shows the layers.

    Raises:
        BackboneError: the network cannot be quantised.
    """
    with tempfile.TemporaryDirectory() as folder, _logs_left_alone():
        try:
            return _Quantisation(extractor, images, Path(folder)).run(progress)
        except (BackboneError, MemoryError):
            raise
        except Exception as error:  # the tools raise their own, of many kinds
            raise BackboneError(
                f"{extractor.info.name}: expected a network that can be quantised to int8, got: "
                f"{one_line(str(error))[:200]}"
            ) from error


@contextmanager
def _logs_left_alone() -> Iterator[None]:
    """Keep the tools from setting up the log of the whole program.

    They log by functions of `logging` that give the root logger a handler where it has none.
    """
    handler = logging.NullHandler()
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)


class _Reader:
    """Inputs in the form in which the tools take them."""

    def __init__(self, inputs: Iterator[Mapping[str, NDArray[np.float32]]]) -> None:
        self._inputs = inputs

    def get_next(self) -> Mapping[str, NDArray[np.float32]] | None:
        """The next input; None after the last one."""
        return next(self._inputs, None)


class _Calibrator(MinMaxCalibrater):  # type: ignore[misc]  # it has no types
    """Measures ranges on the cores that this process may use, and leaves them when it waits."""

    def create_inference_session(self) -> None:
        options = options_on(usable_cores())
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.infer_session = onnxruntime.InferenceSession(
            self.augmented_model_path, options, providers=self.execution_providers
        )


class _Quantisation:
    """One quantisation, with its files."""

    def __init__(self, extractor: OnnxExtractor, images: Sequence[Image], folder: Path) -> None:
        self._extractor, self._folder = extractor, folder
        self._numbers = count()
        self._model = quantisable(extractor.content, extractor.info.name, folder)
        self._layers = [node.name for node in self._model.graph.node if node.op_type in WEIGHTED]
        if not self._layers:
            raise BackboneError(
                f"{extractor.info.name}: expected a network with convolutions to quantise, got none"
            )
        self._ranges = self._measured_ranges(images)
        self._shifts: Mapping[str, NDArray[np.float64]] = {}
        rounded = onnx.load_from_string(self._with())
        self._shifts = mean_shifts(self._model, rounded, extractor, images)
        step = max(1, len(images) // MOST_MEASURED)
        self._parts = [self._part(image) for image in images[::step][:MOST_MEASURED]]
        self._exact = [extractor(part) for part in self._parts]
        changed = self._error(self._model.SerializeToString())
        if changed > LARGEST_CHANGE:
            raise BackboneError(
                f"{extractor.info.name}: expected a network that is the same in opset "
                f"{OLDEST_OPSET}, got one with features {100 * changed:.1f} % off; export it again"
            )

    def run(self, progress: Progress) -> Quantised:
        """Quantise all layers, or find those that stay in float32, and quantise the others."""
        names = self._layers
        content = self._with()
        error = self._error(content)
        if error <= LARGEST_ERROR:
            return Quantised(self._opened(self._named(content, ())), error, len(names), ())
        with progress.task("quantising layers", len(names)) as advance:
            errors = {}
            for name in names:
                errors[name] = self._error(self._with(only=[name, *self._after([name])]))
                advance(1)
        worst = sorted(names, key=lambda name: -errors[name])
        for n_kept in range(_n_to_keep([errors[name] for name in worst]), len(names)):
            kept = tuple(name for name in names if name in worst[:n_kept])
            content = self._with(but=[*kept, *self._after(kept)])
            error = self._error(content)
            if error <= LARGEST_ERROR:
                opened = self._opened(self._named(content, kept))
                return Quantised(opened, error, len(names), kept)
        raise BackboneError(
            f"{self._extractor.info.name}: expected a network with features that survive int8, got "
            f"more than {100 * LARGEST_ERROR:.0f} % of error with any layer; use float32"
        )

    def _measured_ranges(self, images: Sequence[Image]) -> Any:
        file = self._file()
        onnx.save(self._model, file)
        calibrator = _Calibrator(file, [*WEIGHTED, *BETWEEN], str(self._file()))
        calibrator.augment_graph()
        calibrator.create_inference_session()
        name = self._extractor.input_name
        inputs = ({name: self._extractor.planes(image)[None]} for image in images)
        calibrator.collect_data(_Reader(inputs))
        return calibrator.compute_data()

    def _with(self, *, only: Sequence[str] = (), but: Sequence[str] = ()) -> bytes:
        """The model with some nodes quantised, or all but some."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self._model)
        shifts = self._shifts
        rounded = [name for name in only or shifts if name in shifts and name not in but]
        shift_biases(copy, {name: shifts[name] for name in rounded})
        quantizer = QDQQuantizer(
            copy,
            per_channel=True,
            reduce_range=True,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=deepcopy(self._ranges),  # the tools narrow them in place
            nodes_to_quantize=list(only),
            nodes_to_exclude=[*but, *cut_off_outputs(copy)],
            op_types_to_quantize=[*WEIGHTED, *BETWEEN],
            extra_options={},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
        model = quantizer.model.model
        used = {node.domain or "" for node in model.graph.node}
        versions = [one for one in model.opset_import if one.domain in used]
        del model.opset_import[:]
        model.opset_import.extend(versions)
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def _after(self, names: Sequence[str]) -> Iterator[str]:
        """Activations that take what some nodes give, and are one layer with them.

        Rounding before an activation would spend the 8 bits on numbers that it cuts off.
        """
        for node in self._model.graph.node:
            if node.op_type in BETWEEN and node.input[0] in names and node.op_type != "Add":
                yield node.name

    def _error(self, content: bytes) -> float:
        """Largest error of a layer."""
        network = self._opened(content)
        errors = [
            [_share(a, b) for a, b in zip(network(part), exact, strict=True)]
            for part, exact in zip(self._parts, self._exact, strict=True)
        ]
        return float(np.mean(errors, axis=0).max())

    def _opened(self, content: bytes) -> OnnxExtractor:
        own = self._extractor
        return OnnxExtractor(content, own.info.name, own.layers, own.normalisation, own.engine)

    def _named(self, content: bytes, in_float: tuple[str, ...]) -> bytes:
        """The model with the metadata of the network that it was, under its own name."""
        model = onnx.load_from_string(content)
        given = onnx.load_from_string(self._extractor.content).metadata_props
        kept = {one.key: one.value for one in given}
        record = json.loads(kept.get(METADATA_KEY, "{}"))
        info = self._extractor.info
        record |= {
            "name": info.name + SUFFIX,
            "source": f"{info.source}, quantised to int8",
            "in_float32": list(in_float),
            "float32_sha256": info.sha256,
        }
        record.pop("source_sha256", None)  # its features are not those of these weights
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, {**kept, METADATA_KEY: json.dumps(record)})
        content = model.SerializeToString(deterministic=True)
        return content

    def _part(self, image: Image) -> Image:
        """The middle of an image, where the network accepts other sizes."""
        info = self._extractor.info
        if info.input_size is not None:
            return image
        most = max(1, MEASURED_PX // info.size_multiple) * info.size_multiple
        height, width = (min(side, most) for side in image.shape[:2])
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        return np.ascontiguousarray(image[top : top + height, left : left + width])

    def _file(self) -> Path:
        return self._folder / f"{next(self._numbers)}.onnx"


def _n_to_keep(errors: Sequence[float]) -> int:
    """Number of the first errors without which the others, as if independent, are small enough.

    >>> _n_to_keep([0.5, 0.2, 0.2, 0.2])
    2
    """
    for n in range(len(errors)):
        if float(np.sqrt(np.sum(np.square(errors[n:])))) <= LARGEST_ERROR:
            return n
    return len(errors)


def _share(feature_map: FeatureMap, exact: FeatureMap) -> float:
    whole = float(np.linalg.norm(exact))
    return float(np.linalg.norm(feature_map - exact)) / whole if whole else 0.0
