"""The detector file: tensors and one JSON record in the safetensors format, written atomically.

No pickle is read or written.  A digest over everything that matters stands in the header, so a
file that was truncated or altered is refused instead of giving other scores.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from patchbank.errors import DetectorFileError
from patchbank.runtime.atomic_file import replace_file

METADATA_KEY = "patchbank"  # one key only: with several, safetensors shuffles the header's bytes
FORMAT_VERSION = 2


@dataclass(frozen=True, slots=True)
class Bundle:
    """The content of a detector file."""

    tensors: Mapping[str, NDArray[Any]]
    record: Mapping[str, Any]
    """JSON: method, settings, backbone, versions, names of the good images."""


def write_bundle(path: Path, bundle: Bundle) -> None:
    """Write a detector file; whatever happens, `path` is the old file or the whole new one.

    Raises:
        DetectorFileError: the file cannot be written; an old one is untouched.
    """
    tensors = {name: np.ascontiguousarray(t) for name, t in bundle.tensors.items()}
    header = {
        "format_version": FORMAT_VERSION,
        "sha256": _digest(tensors, bundle.record),
        "record": bundle.record,
    }
    content = to_safetensors(tensors, {METADATA_KEY: _canonical(header)})
    try:
        replace_file(path, content)
    except OSError as error:
        raise DetectorFileError(
            f"{path}: expected to write {len(content):,} bytes, got: {error.strerror}; "
            "nothing was changed"
        ) from error


def read_bundle(path: Path) -> Bundle:
    """Read a detector file.

    Raises:
        DetectorFileError: the file is missing, truncated, altered, of another format or newer.
    """
    if not path.is_file():
        raise DetectorFileError(f"{path}: expected a detector file, got nothing of that name")
    try:
        with safe_open(path, framework="numpy") as file:
            header = _header(path, file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except SafetensorError as error:
        raise DetectorFileError(
            f"{path}: expected a whole detector file, got a damaged or foreign one ({error}); "
            "copy it again or fit anew"
        ) from None
    except OSError as error:
        raise DetectorFileError(
            f"{path}: expected a readable file, got: {error.strerror}"
        ) from None
    if header["sha256"] != _digest(tensors, header["record"]):
        raise DetectorFileError(
            f"{path}: expected the content that was saved, got an altered one (its sha256 "
            "differs); copy it again or fit anew"
        )
    return Bundle(tensors, header["record"])


def _header(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        header = json.loads(metadata.get(METADATA_KEY, "null"))
        version = int(header["format_version"]) if header is not None else None
        complete = header is None or {"sha256", "record"} <= header.keys()
    except (ValueError, TypeError, KeyError, AttributeError):
        version, complete = None, False
    if not complete:
        raise DetectorFileError(
            f"{path}: expected a whole detector file, got a damaged header; "
            "copy it again or fit anew"
        )
    if version is None:
        raise DetectorFileError(
            f"{path}: expected a file written by `patchbank fit`, got another kind of safetensors"
        )
    if version != FORMAT_VERSION:
        cure = "fit anew" if version < FORMAT_VERSION else "install a newer patchbank"
        raise DetectorFileError(f"{path}: expected format {FORMAT_VERSION}, got {version}; {cure}")
    found: dict[str, Any] = header
    return found


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True)


def _digest(tensors: Mapping[str, NDArray[Any]], record: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(_canonical(record).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()
