"""Exports a detector as one graph, verifies it, and only then gives it its name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from patchbank.backbones import runtime_of
from patchbank.detector.inspector import Inspector, parts_of_inspector
from patchbank.errors import DataError, ParameterError
from patchbank.export.exportable import check_exportable
from patchbank.export.precision import ExportPrecision, chosen_precision
from patchbank.export.running import (
    ENTRIES,
    Entry,
    ExportedDetector,
    Runtime,
    require_openvino,
)
from patchbank.export.verification import Verification
from patchbank.export.verifying import photographs_at_hand, verified
from patchbank.images.several import several_images
from patchbank.images.source import ImageInput
from patchbank.runtime.arguments import path_argument
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.progress import Progress, listener
from patchbank.settings.rules import Choice

Format: TypeAlias = Literal["onnx", "openvino"]
FORMATS: tuple[Format, ...] = get_args(Format)
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml"}


@dataclass(frozen=True, slots=True)
class Exported:
    """The files that were written, and their comparison with the detector."""

    files: tuple[Path, ...]
    """The graph; for OpenVINO also its weights."""
    verification: Verification


def export_detector(
    detector: Inspector,
    path: str | os.PathLike[str],
    *,
    format: Format = "onnx",
    entry: Entry = "photograph",
    precision: ExportPrecision | None = None,
    photographs: ImageInput | Iterable[ImageInput] = (),
    progress: Progress | None = None,
) -> Exported:
    """Write a detector as one graph that runs without Patchbank.

    The graph is verified before it gets its name: on the photographs that are given, on the
    pictures of learned ones that the detector keeps, and on drawn ones of several sizes.

    Args:
        detector: to export.
        path: of the file, which ends in .onnx, or in .xml for OpenVINO.
        format: ``onnx``, or ``openvino`` for its own files.
        entry: ``photograph``: the graph takes photographs as they come, and resizes them as the
            detector does; ``pixels``: it takes what the network sees.
        precision: of the graph's weights; None: the one of the fit.  ``float16`` stores those of
            the network, and bank rows, in half the bytes, and computes in float32 with them:
            scores change by less than a thousandth.  ``int8`` is a matter of the fit.
        photographs: further ones to verify with; good ones and defects say most.
        progress: shows the steps.

    Raises:
        ParameterError: the detector has something that no graph can compute, or another precision;
            nothing was done.
        DataError: the graph does not give what the detector gives, or cannot be written; no file
            of that name was made or changed.
    """
    Choice(FORMATS).check("format", format)
    Choice(ENTRIES).check("entry", entry)
    target, heard = path_argument("path", path), listener(progress)
    if target.suffix != SUFFIXES[format]:
        raise ParameterError(
            f"out: expected a name that ends in {SUFFIXES[format]} for the format {format}, "
            f"got {target.name}"
        )
    if format == "openvino":
        require_openvino("format")
        _check_rounding(detector)
    parts = parts_of_inspector(detector)
    chosen = chosen_precision(parts, precision)
    check_exportable(parts, chosen)
    from patchbank.export.files import onnx_file, openvino_files, write_files  # they need onnx

    given = several_images(photographs).sources
    content = onnx_file(detector, entry, chosen)
    files = {target: content}
    if format == "openvino":
        graph, weights = openvino_files(content, target.name)
        files = {target.with_suffix(".bin"): weights, target: graph}
    runtime: Runtime = "openvino" if format == "openvino" else "onnxruntime"
    opened = ExportedDetector.of_bytes(tuple(files.values()), target.name, runtime)
    sources = [*given, *photographs_at_hand(detector)]
    found = verified(detector, opened, sources, heard)
    if not found.is_passed:
        raise DataError(
            f"{target}: expected what the detector gives, got {found.failure}; it was not written"
        )
    try:
        write_files(files)
    except OSError as error:
        raise DataError(
            f"{target}: expected a file that can be written, got: {error.strerror or error}"
        ) from None
    LOGGER.info("exported %s", target)
    return Exported(tuple(reversed(files)), found)


def _check_rounding(detector: Inspector) -> None:
    """Refuse a network in int8 for OpenVINO.

    Raises:
        ParameterError: a member has one.
    """
    for member in parts_of_inspector(detector).members:
        name, precision = runtime_of(member.extractor)
        if (name, precision) == ("onnxruntime", "int8"):
            raise ParameterError(
                "format: expected onnx for a network in int8, got openvino, which rounds otherwise "
                "than ONNX Runtime; fit with precision float32 for OpenVINO"
            )
