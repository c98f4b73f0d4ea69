"""Comparisons of some patches of a photograph, from its feature maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from patchbank.detector.explanation.odd_patches import Chosen
from patchbank.detector.member import Member, MemberPrediction
from patchbank.detector.preprocessing import prepare
from patchbank.detector.tiling import Tiling
from patchbank.methods.base import FeatureMaps
from patchbank.methods.explaining import Comparison, Explaining, ExplainingPhotographs
from patchbank.methods.remembering import Remembering
from patchbank.runtime.forks import computing
from patchbank.types import Image, Indices

PatchComparisons: TypeAlias = tuple[Comparison, ...]
Read: TypeAlias = Callable[[], Image]
UNKNOWN = "this method cannot say what it compared"


def compared(
    member: Member,
    prediction: MemberPrediction,
    read: Read,
    patches: Sequence[Chosen],
    n_nearest: int,
) -> list[PatchComparisons]:
    """Comparisons of some patches by one member, in order.

    Args:
        member: of the detector.
        prediction: of that member for the photograph.
        read: reads the photograph, where its feature maps were not kept.
        patches: of the photograph.
        n_nearest: good patches that are looked for.
    """
    model = member.model
    if not patches:
        return []
    if not isinstance(model, Explaining):
        return [(Comparison("method", one.score, remark=UNKNOWN),) for one in patches]
    asked = np.array([(one.row, one.column) for one in patches])
    with computing.short(), member.device.full_precision():
        if not member.settings.tiles:
            maps, cells = _maps(member, prediction, read), prediction.geometry.cells
            return model.compare(maps, asked, n_nearest, cells)
        found: dict[int, PatchComparisons] = {}
        for numbers, there, maps in _tiles(member, prediction, read(), asked):
            of_tile = model.compare(maps, there, n_nearest)
            found |= dict(zip(numbers.tolist(), of_tile, strict=True))
    return [found[number] for number in range(len(patches))]


def patch_features(
    member: Member, prediction: MemberPrediction, read: Read, patches: Indices
) -> NDArray[np.float32]:
    """Features of some patches of a photograph, (n, d), in order.

    Args:
        member: of the detector, whose model is `Remembering`.
        prediction: of that member for the photograph.
        read: reads the photograph, where its feature maps were not kept.
        patches: (n, 2) row and column of each in the patch grid.
    """
    model = member.model
    assert isinstance(model, Remembering)
    with computing.short(), member.device.full_precision():
        if not member.settings.tiles:
            maps, cells = _maps(member, prediction, read), prediction.geometry.cells
            return model.patch_features(maps, patches, cells)
        found: dict[int, NDArray[np.float32]] = {}
        for numbers, there, maps in _tiles(member, prediction, read(), patches):
            rows = model.patch_features(maps, there)
            found |= dict(zip(numbers.tolist(), rows, strict=True))
    return np.stack([found[number] for number in range(len(patches))])


def similar_photographs(
    member: Member, prediction: MemberPrediction, read: Read, n_nearest: int
) -> list[tuple[int, float]]:
    """The photographs that are most similar as a whole, where a method searches for these."""
    if not isinstance(member.model, ExplainingPhotographs):
        return []
    with computing.short(), member.device.full_precision():
        maps = _maps(member, prediction, read)
        found = member.model.similar(maps, n_nearest, prediction.geometry.cells)
    return list(zip(*(each.tolist() for each in found), strict=True))


def _maps(member: Member, prediction: MemberPrediction, read: Read) -> FeatureMaps:
    """Feature maps of the photograph: those that were kept, or the same computed again."""
    if prediction.maps is not None:
        return prediction.maps
    prepared = prepare(member.extractor, member.settings, read(), prediction.geometry.part)
    return prepared.features(member.extractor)[0]


def _tiles(
    member: Member, prediction: MemberPrediction, image: Image, patches: Indices
) -> Iterator[tuple[Indices, Indices, FeatureMaps]]:
    """Each tile that has some of the patches: their numbers, where they lie in it, and its maps."""
    stride = prediction.scores.stride
    size, part = (image.shape[0], image.shape[1]), prediction.geometry.part
    tiling = Tiling.of(member.extractor, member.settings, size, part)
    for number in range(len(tiling.tiles)):
        tile = tiling.tile(number)
        own, there = tile.own_patches(stride), tile.in_maps(stride)
        low, high = (np.array([getattr(side, end) for side in own]) for end in ("start", "stop"))
        inside = np.flatnonzero(((patches >= low) & (patches < high)).all(axis=1))
        if len(inside):
            moved = np.array([side.start for side in there]) - low
            yield inside, patches[inside] + moved, tiling.features(image, number)
