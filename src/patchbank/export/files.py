"""The bytes of exported files."""

from __future__ import annotations

import tempfile
from pathlib import Path

from patchbank.detector.inspector import Inspector
from patchbank.errors import BackboneError, ParameterError
from patchbank.export.model import Entry, onnx_model
from patchbank.export.running import require_openvino
from patchbank.runtime.printable import one_line

LARGEST_BYTES = 2**31 - 1
"""A file of ONNX is one message of protobuf, which has this limit."""


def onnx_file(detector: Inspector, entry: Entry) -> bytes:
    """The bytes of an ONNX file.

    Raises:
        ParameterError: no graph can be made of the detector, or it is too large.
    """
    model = onnx_model(detector, entry)
    if model.ByteSize() > LARGEST_BYTES:
        raise ParameterError(
            f"export: expected a graph of at most 2 GiB, got {model.ByteSize() / 2**30:.1f} GiB; "
            "use a smaller bank (patchbank cut)"
        )
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def openvino_files(content: bytes, name: str) -> tuple[bytes, bytes]:
    """The graph and the weights of a file of ONNX, as files of OpenVINO.

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
        except Exception as error:  # openvino raises RuntimeError for everything
            reason = one_line(str(error))[-160:]
            raise BackboneError(
                f"{name}: expected a graph that OpenVINO can read, got: {reason}; "
                "use the format onnx"
            ) from None
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()
