"""Blocks of features and selections in files, so that another run need not compute them again.

A file has the arrays as safetensors writes them, and what else is known as JSON, in which a record
is named by its class.  Nothing is unpickled: of classes only `facts.RECORDS` are made, and where a
file asks for anything else, or is damaged, its content is computed anew.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from patchbank.cluster.facts import FactsReader, FactsWriter
from patchbank.core.coreset import Coreset
from patchbank.images.source import ImageSource
from patchbank.runtime.atomic_file import replace_file
from patchbank.runtime.logs import LOGGER
from patchbank.types import Features

MAGIC = b"patchbank block 3\n"
DIGEST_BYTES = 32
FACTS = "facts"
"""Name of the bytes of the JSON among the arrays of a file."""


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
    """Write a block, whole or not at all; a disk that is full costs the checkpoint, not the fit.

    Raises:
        TypeError: the facts are of another class than `facts.RECORDS`.
    """
    _keep(file, (np.ascontiguousarray(features), facts))


def kept_block(file: Path) -> tuple[Features, Any] | None:
    """A block that `keep_block` wrote; None where there is none, or a damaged one."""
    match _kept(file):
        case (np.ndarray() as features, facts):
            return features, facts
    return None


def keep_selection(file: Path, coreset: Coreset) -> None:
    """Write a selection, as `keep_block` does."""
    at_sizes = [(int(n), one) for n, one in coreset.min_distance_to_other_groups_at.items()]
    numbers = (coreset.centres, coreset.radii, coreset.radius_before)
    _keep(file, (*numbers, coreset.min_distance_to_other_groups, at_sizes))


def kept_selection(file: Path) -> Coreset | None:
    """A selection that `keep_selection` wrote; None where there is none, or a damaged one."""
    match _kept(file):
        case (np.ndarray() as centres, radii, radius_before, to_others, list(at_sizes)):
            return Coreset(centres, radii, radius_before, to_others, dict(at_sizes))
    return None


def _keep(file: Path, facts: Any) -> None:
    writer = FactsWriter()
    text = json.dumps(writer.as_json(facts)).encode()
    writer.arrays[FACTS] = np.frombuffer(text, np.uint8)
    content = save(writer.arrays)
    try:
        replace_file(file, MAGIC + hashlib.sha256(content).digest() + content)
    except OSError as error:
        LOGGER.warning("checkpoint: %s cannot be written: %s", file, error)


def _kept(file: Path) -> Any:
    try:
        content = file.read_bytes()
    except OSError:
        return None
    begin = len(MAGIC) + DIGEST_BYTES
    digest, rest = content[len(MAGIC) : begin], content[begin:]
    if not content.startswith(MAGIC) or hashlib.sha256(rest).digest() != digest:
        return None
    try:
        arrays = load(rest)
        written = json.loads(arrays.pop(FACTS).tobytes())
        return FactsReader(arrays).read(written)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, SafetensorError) as error:
        LOGGER.warning("checkpoint: %s is computed again: %s", file, error)
        return None
