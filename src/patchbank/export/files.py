"""The bytes of exported files."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from patchbank.detector.inspector import Inspector
from patchbank.errors import BackboneError
from patchbank.export.model import onnx_model
from patchbank.export.precision import ExportPrecision
from patchbank.export.running import WEIGHTS_KEY, Entry, require_openvino
from patchbank.runtime.atomic_file import replacing
from patchbank.runtime.printable import one_line


def onnx_file(detector: Inspector, entry: Entry, precision: ExportPrecision) -> bytes:
    """The bytes of an ONNX file of a detector that `check_exportable` accepts.

    Raises:
        ParameterError: it is too large, or has no such entry.
    """
    content: bytes = onnx_model(detector, entry, precision).SerializeToString(deterministic=True)
    return content


def openvino_files(content: bytes, name: str) -> tuple[bytes, bytes]:
    """The two files of OpenVINO, graph and weights, for a file of ONNX.

    The graph names the digest of its weights, so that those of another graph are noticed.

    Raises:
        BackboneError: OpenVINO is not installed, or cannot convert it.
    """
    require_openvino("format")
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detector.xml"
        try:
            model = openvino.Core().read_model(content, b"")
            openvino.save_model(model, str(path), compress_to_fp16=False)
            digest = hashlib.sha256(path.with_suffix(".bin").read_bytes()).hexdigest()
            model.set_rt_info(digest, ["framework", WEIGHTS_KEY])
            openvino.save_model(model, str(path), compress_to_fp16=False)
        except Exception as error:  # openvino raises RuntimeError for everything
            reason = one_line(str(error))[-160:]
            raise BackboneError(
                f"{name}: expected a graph that OpenVINO can read, got: {reason}; "
                "use the format onnx"
            ) from None
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def write_files(files: Mapping[Path, bytes]) -> None:
    """Replace files, all of which are on the disk before the first one gets its name.

    Args:
        files: content of each, in the order in which they get their names.

    Raises:
        OSError: one cannot be written; before the first has its name, none was changed.
    """
    with ExitStack() as stack:
        for path, content in reversed(list(files.items())):
            file = stack.enter_context(replacing(path))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
