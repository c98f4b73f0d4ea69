"""The pictures that are worth their bytes in a detector file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from patchbank.backbones import pack_backbone
from patchbank.detector.explanation.pictures import LearnedPhotographs
from patchbank.detector.member import Member
from patchbank.methods.explaining import Explaining
from patchbank.types import Indices

MOST_BYTES = 4_000_000
"""Bytes of all pictures together, at most."""
LARGEST_SHARE = 0.4
"""Bytes of all pictures by those of models and backbones, at most."""


def useful(
    photographs: LearnedPhotographs | None, members: Sequence[Member], n_photographs: int
) -> LearnedPhotographs | None:
    """The same with the pictures alone that fit into `MOST_BYTES` and `LARGEST_SHARE`.

    Those of the photographs that most of the models comes from stay.

    Args:
        photographs: pictures and poses; None where there are none.
        members: of the detector.
        n_photographs: that were learned.
    """
    if photographs is None or photographs.pictures is None:
        return photographs
    n_bytes = min(MOST_BYTES, LARGEST_SHARE * _bytes_of(members))
    kept = photographs.pictures.most_useful(_sources(members, n_photographs), n_bytes)
    if kept is None and photographs.poses is None:
        return None
    return replace(photographs, pictures=kept)


def _sources(members: Sequence[Member], n_photographs: int) -> Indices:
    """Share of each photograph in all models together, as `Explaining.sources`.  (n,)."""
    total = np.zeros(n_photographs, dtype=np.intp)
    for member in members:
        if isinstance(member.model, Explaining):
            total += member.model.sources(n_photographs)
    return total


def _bytes_of(members: Sequence[Member]) -> int:
    arrays = [
        array
        for member in members
        for part in (member.model.tensors(), pack_backbone(member.extractor)[1])
        for array in part.values()
    ]
    return sum(array.nbytes for array in arrays)
