"""Frames between the service and its link: JSON with bytes behind it, and nothing that is run."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import IO, Any

from patchbank.server.service.computing import Computed
from patchbank.server.service.keeping import Files

LENGTH = struct.Struct(">I")
Frame = tuple[dict[str, Any], list[bytes]]
"""JSON object, and bytes."""


def write(stream: IO[bytes], head: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Write a frame.

    Raises:
        OSError: nobody reads it.
    """
    text = json.dumps([head, [len(blob) for blob in blobs]]).encode()
    stream.write(LENGTH.pack(len(text)) + text)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def read(stream: IO[bytes]) -> Frame | None:
    """Read a frame; None at the end of the stream, also where that is within one.

    >>> import io
    >>> stream = io.BytesIO()
    >>> write(stream, {"a": 1}, [b"bytes", b""])
    >>> read(io.BytesIO(stream.getvalue())), read(io.BytesIO(stream.getvalue()[:-1]))
    (({'a': 1}, [b'bytes', b'']), None)
    """
    start = stream.read(LENGTH.size)
    if len(start) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(start)
    text = stream.read(length)
    if len(text) < length:
        return None
    head, sizes = json.loads(text)
    blobs = [stream.read(size) for size in sizes]
    return (head, blobs) if [len(blob) for blob in blobs] == sizes else None


def packed(found: Computed) -> Frame:
    """Frame of a `Computed`, without the photograph itself."""
    files = found.files
    head = {
        "product": found.product,
        "result": found.result,
        "is_border": found.is_border,
        "seconds": found.seconds,
        "suffix": None if files.photograph is None else files.photograph[1],
        "has_overlay": files.overlay is not None,
        "has_map": files.map is not None,
    }
    return head, [blob for blob in (files.overlay, files.map) if blob is not None]


def unpacked(frame: Frame, content: bytes) -> Computed:
    """`Computed` of a frame and the bytes of its photograph."""
    head, blobs = frame
    left = iter(blobs)
    return Computed(
        product=head["product"],
        result=head["result"],
        is_border=head["is_border"],
        seconds=head["seconds"],
        files=Files(
            None if head["suffix"] is None else (content, head["suffix"]),
            next(left) if head["has_overlay"] else None,
            next(left) if head["has_map"] else None,
        ),
    )
