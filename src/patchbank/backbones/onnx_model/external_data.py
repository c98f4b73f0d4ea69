"""Weights in a second file, which exporters write for large networks: put into the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath

from patchbank.backbones.onnx_model.graph import (
    EXTERNAL,
    GRAPH_FIELD,
    INITIALIZER_FIELD,
    read_graph,
    read_tensor,
)
from patchbank.backbones.onnx_model.wire import BYTES, Field, Message, WireError, fields, written
from patchbank.errors import BackboneError

MAX_BYTES = 2**31 - 1  # of a message of protocol buffers
RAW_FIELD, EXTERNAL_FIELD, LOCATION_FIELD = 9, 13, 14  # of a tensor


def embedded(content: bytes, path: Path) -> bytes:
    """The model with all its weights in it; the same bytes where they are in it already.

    Args:
        content: of the ONNX file.
        path: of the ONNX file; weights are read from files in its folder only.

    Raises:
        BackboneError: the weights are not there, or are not where a model may have them.
        WireError: the bytes are not those of a model.
    """
    if not any(tensor.is_external for tensor in read_graph(content).all_constants):
        return content
    whole = written(
        (n, kind, memoryview(written(_graph(value, path))))
        if n == GRAPH_FIELD and not isinstance(value, int)
        else (n, kind, value)
        for n, kind, value in fields(memoryview(content))
    )
    if len(whole) > MAX_BYTES:
        raise BackboneError(
            f"{path}: expected a network of at most 2 GB with its weights, got {len(whole):,} bytes"
        )
    return whole


def _graph(graph: memoryview, path: Path) -> Iterator[Field]:
    for n, kind, value in fields(graph):
        if n == INITIALIZER_FIELD and not isinstance(value, int) and read_tensor(value).is_external:
            yield n, kind, memoryview(written(_tensor(value, path)))
        else:
            yield n, kind, value


def _tensor(tensor: memoryview, path: Path) -> Iterator[Field]:
    message = Message(tensor)
    if message.integer(LOCATION_FIELD) != EXTERNAL or RAW_FIELD in message:
        raise WireError("a constant with values here and in another file")
    entries = {entry.text(1): entry.text(2) for entry in message.messages(EXTERNAL_FIELD)}
    for n, kind, value in fields(tensor):
        if n not in (EXTERNAL_FIELD, LOCATION_FIELD):
            yield n, kind, value
    yield RAW_FIELD, BYTES, memoryview(_read(entries, path))


def _read(entries: dict[str, str], path: Path) -> bytes:
    location = entries.get("location", "")
    name = PurePath(location)
    if not name.parts or name.is_absolute() or ".." in name.parts or "\\" in location:
        raise BackboneError(
            f"{path}: expected its weights in a file of the same folder, got {location[:80]!r}; "
            "export it again with its weights in the file (torch.onnx.export(..., "
            "external_data=False))"
        )
    file = path.parent / name
    try:
        offset, length = int(entries.get("offset", "0")), int(entries.get("length", "-1"))
        if offset < 0 or length < -1:
            raise ValueError
        if not (file.is_file() and file.resolve().is_relative_to(path.parent.resolve())):
            raise FileNotFoundError
        n_there = max(0, file.stat().st_size - offset)
        wanted = n_there if length == -1 else min(length, n_there)
        with file.open("rb") as opened:
            if wanted:
                opened.seek(offset)
            content = opened.read(wanted)
    except ValueError:
        raise WireError("weights in another file without offset and length") from None
    except OSError:
        raise BackboneError(
            f"{path}: expected its weights in {file}, got no readable file of that name; copy it "
            "into the same folder"
        ) from None
    if length != -1 and len(content) != length:
        raise BackboneError(
            f"{path}: expected {length:,} bytes of weights in {file} from byte {offset:,} on, got "
            f"{len(content):,}; export the network again"
        )
    return content
