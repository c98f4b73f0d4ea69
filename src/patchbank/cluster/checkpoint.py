"""Blocks of features in files, so that another run need not compute them again.

A file has the features as numpy writes them, and what else is known of the photographs as Python
pickles it.  Of pickles only records of ours and arrays are made: where a file asks for anything
else, its block is computed anew.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from patchbank.images.source import ImageSource
from patchbank.runtime.atomic_file import replace_file
from patchbank.runtime.logs import LOGGER
from patchbank.types import Features

MAGIC = b"patchbank block 1\n"
DIGEST_BYTES = 32
ARRAYS = {
    ("builtins", "slice"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
}
"""Module and name of what numpy makes arrays of."""
PART = ("patchbank.images.roi.region", "InspectedPart")
"""The one class of facts that is neither a dataclass nor a named tuple."""


class _Facts(pickle.Unpickler):
    """Makes what is allowed, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        is_ours = module.startswith("patchbank.") and name.isidentifier()
        if is_ours or (module, name) in ARRAYS:
            found = super().find_class(module, name)
            if not is_ours or (module, name) == PART or _holds_facts(found):
                return found
        raise pickle.UnpicklingError(f"expected facts of photographs, got {module}.{name}")


def _holds_facts(found: Any) -> bool:
    """Whether it is a dataclass or a named tuple, and no function."""
    return isinstance(found, type) and (is_dataclass(found) or issubclass(found, tuple))


def state_of(source: ImageSource) -> str:
    """Facts by which a photograph differs from others: path, size, time of a file, or bytes."""
    content = source.content
    if isinstance(content, Path):
        try:
            found = content.stat()
        except OSError:  # reading names the reason
            return f"{content} {source.bit_depth}"
        return f"{content} {found.st_size} {found.st_mtime_ns} {source.bit_depth}"
    pixels = content if isinstance(content, bytes) else np.asarray(content).tobytes()
    shape = getattr(content, "shape", getattr(content, "size", None))
    return f"{source.name} {shape} {hashlib.sha256(pixels).hexdigest()} {source.bit_depth}"


def keep_block(file: Path, features: Features, facts: Any) -> None:
    """Write a block, whole or not at all; a disk that is full costs the checkpoint, not the fit."""
    body = io.BytesIO()
    np.save(body, features, allow_pickle=False)
    pickle.dump(facts, body, protocol=5)
    content = body.getvalue()
    try:
        replace_file(file, MAGIC + hashlib.sha256(content).digest() + content)
    except OSError as error:
        LOGGER.warning("checkpoint: %s cannot be written: %s", file, error)


def kept_block(file: Path) -> tuple[Features, Any] | None:
    """A block that `keep_block` wrote; None where there is none, or a damaged one."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    begin = len(MAGIC) + DIGEST_BYTES
    digest, rest = content[len(MAGIC) : begin], content[begin:]
    if not content.startswith(MAGIC) or hashlib.sha256(rest).digest() != digest:
        return None
    body = io.BytesIO(rest)
    try:
        features = np.load(body, allow_pickle=False)
        return features, _Facts(body).load()
    except Exception as error:  # a damaged pickle raises any type
        LOGGER.warning("checkpoint: %s is computed again: %s", file, error)
        return None
