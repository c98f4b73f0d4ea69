"""Reader of the safetensors format, for files that may be damaged or made to do harm.

The whole file is read into memory, tensor by tensor: a file that shrinks while it is open gives an
error, where a file mapped into memory would kill the process.  Nothing is allocated before the
header is known to agree with the size of the file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.detector.strict_json import parse_json

MAX_HEADER_BYTES = 100_000_000
"""The limit of the reference implementation."""
MAX_AXES = 32
DTYPES: Mapping[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
"""Types that numpy has; safetensors has more, such as BF16 and F8."""


class ContainerError(Exception):
    """The bytes are not a whole file of the safetensors format."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """The header's line about one tensor."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


def read_container(
    file: BufferedIOBase, size: int
) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Read the texts and the tensors of a safetensors file.

    Args:
        file: at its beginning.
        size: of the file in bytes.

    Raises:
        ContainerError: the file is cut, altered or of another format.
        OSError: the file cannot be read.
    """
    n_header = int.from_bytes(_read(file, 8), "little")
    if n_header > min(MAX_HEADER_BYTES, size - 8):
        raise ContainerError("its header would be longer than the file")
    metadata, entries = _parse_header(_read(file, n_header))
    _check_offsets(entries, size - 8 - n_header)
    return metadata, {entry.name: _read_tensor(file, entry) for entry in entries}


def _read(file: BufferedIOBase, n_bytes: int) -> bytes:
    content = file.read(n_bytes)
    if len(content) < n_bytes:
        raise ContainerError("the file ends too early")
    return content


def _parse_header(content: bytes) -> tuple[dict[str, str], list[_Entry]]:
    try:
        header = parse_json(content.decode("utf-8"))
    except ValueError as error:
        raise ContainerError(f"its header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise ContainerError("its header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ContainerError("the metadata in its header are not texts")
    return metadata, [_entry(name, stated) for name, stated in header.items()]


def _entry(name: str, stated: Any) -> _Entry:
    short = name[:60]
    if not isinstance(stated, dict) or stated.keys() != {"dtype", "shape", "data_offsets"}:
        raise ContainerError(f"the header's entry for {short!r} is not that of a tensor")
    kind, shape, offsets = stated["dtype"], stated["shape"], stated["data_offsets"]
    if not isinstance(kind, str) or kind not in DTYPES:
        raise ContainerError(f"{short!r} has the type {str(kind)[:20]!r}, which cannot be read")
    if not (_are_sizes(shape) and len(shape) <= MAX_AXES):
        raise ContainerError(f"the shape of {short!r} is not that of a tensor")
    if not (_are_sizes(offsets) and len(offsets) == 2):
        raise ContainerError(f"the offsets of {short!r} are not two numbers")
    dtype, (begin, end) = DTYPES[kind], offsets
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise ContainerError(f"shape, type and offsets of {short!r} do not agree")
    return _Entry(name, dtype, tuple(shape), begin, end)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(v) is int and 0 <= v < 2**62 for v in value)


def _check_offsets(entries: list[_Entry], n_bytes: int) -> None:
    """Sort the tensors by their offset, and check that they fill the file one after the other."""
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    offset = 0
    for entry in entries:
        if entry.begin != offset:
            raise ContainerError(
                f"{entry.name[:60]!r} does not begin where the tensor before it ends"
            )
        offset = entry.end
    if offset != n_bytes:
        raise ContainerError(f"its tensors take {offset:,} bytes, the file has {n_bytes:,}")


def _read_tensor(file: BufferedIOBase, entry: _Entry) -> NDArray[Any]:
    content = np.empty(entry.end - entry.begin, np.uint8)
    if content.size and file.readinto(content.data) != content.size:
        raise ContainerError("the file ends too early")
    if entry.dtype == np.bool_ and (content > 1).any():
        raise ContainerError(f"{entry.name[:60]!r} has truth values that are neither 0 nor 1")
    try:
        return content.view(entry.dtype).reshape(entry.shape)
    except ValueError:
        raise ContainerError(f"the shape of {entry.name[:60]!r} is too large") from None
