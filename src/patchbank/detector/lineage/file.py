"""The history in a detector file: optional, and checked when the file is opened."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.detector.bundle import LINEAGE, Bundle
from patchbank.detector.lineage.chain import Lineage
from patchbank.detector.lineage.delta import Delta
from patchbank.detector.lineage.entry import Entry, canonical
from patchbank.detector.lineage.entry_check import check_delta, check_entry
from patchbank.detector.lineage.state import state_of
from patchbank.detector.strict_json import parse_json
from patchbank.errors import DetectorFileError

TEXT, DIGEST = f"{LINEAGE}json", f"{LINEAGE}sha256"
ARRAY = re.compile(rf"{re.escape(LINEAGE)}(0|[1-9]\d*)\.(0|[1-9]\d*)")
"""Name of array 2 of delta 1: ``lineage.1.2``."""
CURE = "the history was altered: open a copy of the file from before"


def pack_lineage(lineage: Lineage) -> dict[str, NDArray[Any]]:
    """Tensors of the file."""
    content = {
        "entries": [entry.to_json() for entry in lineage.entries],
        "head": lineage.head,
        "deltas": [
            {
                "later": delta.later,
                "earlier": delta.earlier,
                "arrays": len(delta.arrays),
                **delta.steps,
            }
            for delta in lineage.deltas
        ],
    }
    tensors: dict[str, NDArray[Any]] = {
        TEXT: np.frombuffer(canonical(content).encode("ascii"), np.uint8)
    }
    for number, delta in enumerate(lineage.deltas):
        for index, array in enumerate(delta.arrays):
            tensors[f"{LINEAGE}{number}.{index}"] = array
    tensors[DIGEST] = _digest(tensors)
    return tensors


def unpack_lineage(bundle: Bundle, written: Callable[[], Bundle] | None = None) -> Lineage | None:
    """The history in the content of a file; None where it has none.

    Args:
        bundle: content of the file.
        written: gives the content that this version of the program writes of the same parts; None
            where the history alone is wanted.

    Raises:
        DetectorFileError: it was altered, or is not the history of what the file holds.
    """
    tensors = {n: t for n, t in bundle.tensors.items() if n.startswith(LINEAGE)}
    if not tensors:
        return None
    _check_digest(tensors)
    content = _content(tensors[TEXT])
    entries = _entries(content)
    present = state_of(bundle)
    if not present.is_of(entries[-1].state):
        raise DetectorFileError(
            f"lineage: expected the state that entry {len(entries) - 1} made, got another one; "
            f"{CURE}"
        )
    lineage = Lineage(entries, _deltas(content, tensors, entries))
    return lineage if written is None else lineage.read_as(present, state_of(written()))


def _digest(tensors: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """SHA-256 of the tensors of a history, as bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors.keys() - {DIGEST}):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(tensor.data)
    return np.frombuffer(digest.digest(), np.uint8)


def _check_digest(tensors: Mapping[str, NDArray[Any]]) -> None:
    text, stated = tensors.get(TEXT), tensors.get(DIGEST)
    is_whole = (
        text is not None
        and text.dtype == np.uint8
        and text.ndim == 1
        and stated is not None
        and np.array_equal(stated, _digest(tensors))
    )
    if not is_whole:
        raise DetectorFileError(
            "lineage: expected the history that was saved, got an altered one (its sha256 "
            "differs); copy the file again, or open a copy from before"
        )


def _content(text: NDArray[Any]) -> Mapping[str, Any]:
    try:
        content = parse_json(text.tobytes().decode("ascii"))
    except ValueError as error:
        raise DetectorFileError(f"lineage: expected JSON, got: {error}; {CURE}") from None
    if not isinstance(content, dict) or not all(
        isinstance(content.get(name), list) for name in ("entries", "deltas")
    ):
        raise DetectorFileError(f"lineage: expected entries and deltas, got neither; {CURE}")
    return content


def _entries(content: Mapping[str, Any]) -> tuple[Entry, ...]:
    """The entries, whose chain is checked."""
    found: list[Entry] = []
    previous = None
    for number, stored in enumerate(content["entries"]):
        check_entry(number, stored)
        if stored["previous"] != previous:
            raise DetectorFileError(
                f"lineage: expected entry {number - 1} as it was when entry {number} was added, "
                f"got another one; {CURE}"
            )
        previous = hashlib.sha256(canonical(stored).encode()).hexdigest()
        found.append(Entry.from_json(stored))
    if not found or content.get("head") != previous:
        raise DetectorFileError(
            f"lineage: expected the last entry to have the hash of the head, got {len(found)} "
            f"entries that end otherwise; {CURE}"
        )
    return tuple(found)


def _deltas(
    content: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], entries: tuple[Entry, ...]
) -> tuple[Delta, ...]:
    """The ways back, which must follow each other from the present state."""
    found: list[Delta] = []
    used = {TEXT, DIGEST}
    for number, stored in enumerate(content["deltas"]):
        check_delta(number, stored)
        names = [f"{LINEAGE}{number}.{index}" for index in range(stored["arrays"])]
        missing = [name for name in names if name not in tensors]
        if missing:
            raise DetectorFileError(f"{missing[0]}: expected a tensor, got nothing; {CURE}")
        used.update(names)
        steps = {name: stored[name] for name in ("record", "tensors", "removed")}
        arrays = tuple(tensors[name] for name in names)
        found.append(Delta(stored["later"], stored["earlier"], steps, arrays))
    further = sorted(tensors.keys() - used)
    if further:
        raise DetectorFileError(f"{further[0]}: expected no such tensor, got one; {CURE}")
    later = entries[-1].position
    for delta in reversed(found):
        is_made = entries[delta.earlier].restored is None if delta.earlier < later else False
        if delta.later != later or not is_made:
            raise DetectorFileError(
                f"lineage: expected a way back from entry {later} to an earlier one, got one from "
                f"{delta.later} to {delta.earlier}; {CURE}"
            )
        later = delta.earlier
    return tuple(found)
