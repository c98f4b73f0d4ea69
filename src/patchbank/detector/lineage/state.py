"""State of a detector: all that it has learned, as a file holds it, without history and backbone.

The backbone is left out since no change touches it: a state has its digest.  So a state stays the
same where saving exports a backbone of torch to ONNX.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchbank.detector.bundle import LINEAGE, Bundle
from patchbank.detector.lineage.entry import canonical

OF_BACKBONE = re.compile(r"\d+\.backbone\.")
"""Beginning of the names of tensors that a backbone has in the file."""


@dataclass(frozen=True, slots=True)
class State:
    """Tensors and record of a detector, without those of its backbones and its history."""

    tensors: Mapping[str, NDArray[Any]]
    record: Mapping[str, Any]
    """The record of the file, without the key ``backbone`` of its members."""
    backbones: tuple[Mapping[str, Any], ...]
    """Identity of the backbone of each member; see `_identity`."""
    tensors_digest: str
    """SHA-256 of the tensors: their names, types, shapes and bytes."""

    @property
    def digest(self) -> str:
        """SHA-256 of the state."""
        return self._digest(self.backbones)

    def is_of(self, digest: str) -> bool:
        """Whether a digest is that of this state, with the backbone or with what it was made from.

        A backbone that was exported to ONNX since is known by the weights that it was made from.
        """
        return digest in (self.digest, self._digest([_before_export(b) for b in self.backbones]))

    def is_same(self, other: State) -> bool:
        """Whether two states are equal to the last bit."""
        return self.digest == other.digest

    def _digest(self, backbones: Sequence[Mapping[str, Any]]) -> str:
        content = {
            "record": self.record,
            "backbones": [{**each, "source_sha256": None} for each in backbones],
            "tensors": self.tensors_digest,
        }
        return hashlib.sha256(canonical(content).encode()).hexdigest()


def state_of(bundle: Bundle) -> State:
    """The state in the content of a file."""
    record = json.loads(canonical(bundle.record))  # tuples become lists, as in a file
    identities = []
    for member in record["members"]:
        identities.append(_identity(member.pop("backbone")))
    tensors = {
        name: tensor
        for name, tensor in bundle.tensors.items()
        if not name.startswith(LINEAGE) and not OF_BACKBONE.match(name)
    }
    return made_state(tensors, record, tuple(identities))


def made_state(
    tensors: Mapping[str, NDArray[Any]],
    record: Mapping[str, Any],
    backbones: tuple[Mapping[str, Any], ...],
) -> State:
    """A state of these parts, with the digest of its tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype.str} {tensors[name].shape}".encode())
        digest.update(tensor.data)
    return State(tensors, record, backbones, digest.hexdigest())


def with_backbones(state: State, bundle: Bundle) -> Bundle:
    """The content of a file with this state, and the backbones of another content."""
    members = [
        {**member, "backbone": other["backbone"]}
        for member, other in zip(state.record["members"], bundle.record["members"], strict=True)
    ]
    backbones = {name: t for name, t in bundle.tensors.items() if OF_BACKBONE.match(name)}
    record = json.loads(canonical({**state.record, "members": members}))
    return Bundle({**state.tensors, **backbones}, record)


def _identity(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a backbone's record that decides its features, wherever it is computed."""
    info = backbone["info"]
    return {
        "is_onnx": backbone["kind"] == "onnx",
        "layers": backbone["layers"],
        "normalisation": backbone.get("normalisation"),
        "precision": backbone.get("precision", "float32"),
        "sha256": info["sha256"],
        "source_sha256": info.get("source_sha256", ""),
    }


def _before_export(backbone: Mapping[str, Any]) -> Mapping[str, Any]:
    """The identity of the network that an ONNX backbone was exported from, if it was exported."""
    if not backbone["is_onnx"] or not backbone["source_sha256"]:
        return backbone
    return {**backbone, "is_onnx": False, "sha256": backbone["source_sha256"]}
