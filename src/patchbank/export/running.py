"""Runs exported graphs, in ONNX Runtime or OpenVINO."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from patchbank.errors import BackboneError, DataError
from patchbank.export.precision import EXPORT_PRECISIONS, ExportPrecision
from patchbank.runtime.printable import one_line
from patchbank.runtime.threads import usable_cores
from patchbank.types import AnomalyMap, Image

Entry: TypeAlias = Literal["photograph", "pixels"]
ENTRIES: tuple[Entry, ...] = get_args(Entry)
Runtime: TypeAlias = Literal["onnxruntime", "openvino"]
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
METADATA_KEY = "patchbank"
WEIGHTS_KEY = "weights_sha256"
"""Entry of a graph of OpenVINO that names its weights."""
SCHEMA_VERSION = 1
"""Version of inputs, outputs and metadata; another one means something else."""
KEYS = ("detector_sha256", "entry", "inputs")
"""Entries of the metadata that are needed to run it."""
OUTPUTS = ("score", "p_value", "is_anomalous", "anomaly_map", "regions")
Run: TypeAlias = Callable[[Mapping[str, NDArray[np.uint8]]], list[NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outputs of a graph for one photograph."""

    score: float
    p_value: float
    is_anomalous: bool
    anomaly_map: AnomalyMap
    """(H, W) float32."""
    regions: NDArray[np.bool_]
    """(H, W): where the map is above its threshold."""


@dataclass(frozen=True, slots=True)
class ExportedDetector:
    """An exported graph that is open in a runtime."""

    name: str
    runtime: Runtime
    metadata: Mapping[str, Any]
    """The record in the metadata of the file; see docs/guides/export.md."""
    run: Run

    @classmethod
    def of_bytes(cls, content: Sequence[bytes], name: str, runtime: Runtime) -> ExportedDetector:
        """Open the bytes of a graph.

        Args:
            content: of the file; of OpenVINO's own two files the weights, then the graph.
            name: of the file, for messages.
            runtime: that runs it.

        Raises:
            DataError: it is no exported detector, or one of another version.
            BackboneError: the runtime cannot run it.
        """
        opened = _in_onnxruntime if runtime == "onnxruntime" else _in_openvino
        text, run = opened(content, name)
        return cls(name, runtime, _metadata(text, name), run)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return tuple(self.metadata["inputs"])

    @property
    def precision(self) -> ExportPrecision:
        """Precision of the graph; of graphs that do not say it float32."""
        precision: ExportPrecision = self.metadata.get("precision", "float32")
        return precision

    def __call__(self, *photographs: NDArray[np.uint8]) -> list[Verdict]:
        """Inspect n photographs of one size, (n, H, W, 3) uint8.

        With the entry ``pixels`` there is an array for each input.

        Raises:
            DataError: the graph cannot be run on them.
        """
        given = dict(zip(self.inputs, photographs, strict=True))
        try:
            scores, p_values, verdicts, maps, regions = self.run(given)
        except Exception as error:  # runtimes raise types of their own
            raise _unusable(self.name, error) from None
        return [
            Verdict(float(score), float(p), bool(verdict), one, inside)
            for score, p, verdict, one, inside in zip(
                scores, p_values, verdicts, maps, regions, strict=True
            )
        ]

    def inspect(self, photograph: Image) -> Verdict:
        """Inspect one photograph, (H, W, 3) uint8."""
        return self(photograph[None])[0]


def open_exported(
    path: str | os.PathLike[str], runtime: Runtime = "onnxruntime"
) -> ExportedDetector:
    """Open an exported file.

    Args:
        path: of a file that ends in .onnx, or in .xml next to its .bin.
        runtime: that runs it; OpenVINO's own files need ``openvino``.

    Raises:
        DataError: it cannot be read, is no exported detector, or one of another version.
        BackboneError: the runtime is not installed, or cannot run it.
    """
    file = Path(path)
    names = [file.with_suffix(".bin"), file] if file.suffix == ".xml" else [file]
    if file.suffix == ".xml" and runtime != "openvino":
        raise DataError(f"{file}: expected a file of ONNX for {runtime}, got one of OpenVINO")
    try:
        content = [name.read_bytes() for name in names]
    except OSError as error:
        raise DataError(
            f"{file}: expected an exported detector, got: {error.strerror or error}"
        ) from None
    return ExportedDetector.of_bytes(content, str(file), runtime)


def _in_onnxruntime(content: Sequence[bytes], name: str) -> tuple[str, Run]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = usable_cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            content[-1], options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime has no exception type of its own
        raise _unusable(name, error) from None
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY, "")

    def run(given: Mapping[str, NDArray[np.uint8]]) -> list[NDArray[Any]]:
        return [np.asarray(one) for one in session.run(list(OUTPUTS), dict(given))]

    return text, run


def _in_openvino(content: Sequence[bytes], name: str) -> tuple[str, Run]:
    require_openvino("runtime")
    import openvino

    if len(content) > 1:
        _check_weights(content[0], content[-1], name)
    core = openvino.Core()
    try:
        model = core.read_model(content[-1], content[0] if len(content) > 1 else b"")
        hints = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
        compiled = core.compile_model(model, "CPU", hints)
    except Exception as error:  # openvino raises RuntimeError for everything
        raise _unusable(name, error) from None
    key = ["framework", METADATA_KEY]
    text = str(model.get_rt_info(key).value) if model.has_rt_info(key) else ""

    def run(given: Mapping[str, NDArray[np.uint8]]) -> list[NDArray[Any]]:
        found = compiled(dict(given))
        return [np.array(found[output]) for output in OUTPUTS]

    return text, run


def _check_weights(weights: bytes, graph: bytes, name: str) -> None:
    """Check that the weights are those of the graph: a crash may come between two files."""
    expected = re.search(rb'<%s value="(\w+)"' % WEIGHTS_KEY.encode(), graph)
    if expected and hashlib.sha256(weights).hexdigest().encode() != expected[1]:
        raise DataError(
            f"{name}: expected the .bin file that was written with it, got that of another "
            "export; export it again"
        )


def require_openvino(option: str) -> None:
    """Check that OpenVINO is there, which an option asks for.

    Raises:
        BackboneError: it is not installed.
    """
    if find_spec("openvino") is None:
        raise BackboneError(
            f"{option}: expected OpenVINO to be installed, got none; "
            "pip install 'patchbank[openvino]'"
        )


def _unusable(name: str, error: Exception) -> DataError:
    reason = one_line(str(error))[-200:]
    return DataError(f"{name}: expected an exported detector that can be run, got: {reason}")


def _metadata(text: str, name: str) -> Mapping[str, Any]:
    try:
        record = json.loads(text)
    except ValueError:
        record = None
    if not isinstance(record, dict) or "schema_version" not in record:
        raise DataError(f"{name}: expected an exported detector, got a graph of something else")
    if record["schema_version"] != SCHEMA_VERSION:
        raise DataError(
            f"{name}: expected version {SCHEMA_VERSION} of the exported graph, got "
            f"{record['schema_version']}; export it again with this program"
        )
    missing = [key for key in KEYS if key not in record]
    if missing:
        raise DataError(
            f"{name}: expected an exported detector, got one whose metadata lack {missing[0]}"
        )
    if record.get("precision", "float32") not in EXPORT_PRECISIONS:
        raise DataError(
            f"{name}: expected a graph in {' or '.join(EXPORT_PRECISIONS)}, got one in "
            f"{record['precision']}; use the version of Patchbank that exported it"
        )
    return record
