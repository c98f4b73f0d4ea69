"""The patches of a photograph that an explanation is about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones import FeatureExtractor
from patchbank.core.spatial.regions import Region
from patchbank.detector.explanation.geometry import CellMap
from patchbank.detector.member import MemberPrediction
from patchbank.detector.tiling import n_averaged
from patchbank.settings import Settings
from patchbank.types import PatchGrid

MOST_PATCHES = 3
"""Patches of a photograph without a region that are explained at most."""
SEPARATE_CELLS = 8
"""Cells of the feature grid between two of them, at least."""
WORST_PATCH = ("max", "reweighted", "hcw", "smooth_max")
"""Image scores that one patch, or its surroundings, decide."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A patch of the inspected photograph."""

    row: int
    column: int
    """Column in the patch grid, as the row."""
    score: float
    distance: float
    """Score in the anomaly map, by the spread of that, as usual distances are known."""
    region: int | None = None
    """Number of the region whose oddest patch it is."""


def patch_of_region(
    prediction: MemberPrediction, cells: CellMap, number: int, region: Region
) -> Chosen:
    """The patch with the highest score whose centre is in the box of a region.

    A region between the centres has the patch that is nearest to its middle.
    """
    grid, of_score = prediction.scores.patch_scores, counted(prediction)
    centres = _centres(prediction, cells)
    low = np.array([region.top, region.left])
    high = low + np.array([region.height, region.width])
    inside = ((centres >= low) & (centres < high)).all(axis=2) & of_score
    if inside.any():
        at = int(np.where(inside, grid, -np.inf).argmax())
    else:
        away = np.square(centres - (low + high) / 2).sum(axis=2)
        at = int(np.where(of_score, away, np.inf).argmin())
    return _chosen(prediction, grid, at, number)


def patches_of_score(
    prediction: MemberPrediction, settings: Settings, extractor: FeatureExtractor
) -> list[Chosen]:
    """Separate patches with the highest scores among those that the image score is made of.

    They are none where it is made of whole photographs, as the pooled score of SPADE.

    Args:
        prediction: of a member for the photograph.
        settings: of that member.
        extractor: its backbone.
    """
    kind = getattr(settings, "image_score", "max")
    if kind == "pooled":
        return []
    scores = prediction.scores
    grid = scores.patch_scores if scores.decisive is None else scores.decisive
    left = np.where(counted(prediction), grid, -np.inf)
    n_decisive = n_averaged(extractor, settings, int(np.isfinite(left).sum()))
    lowest = np.partition(left.ravel(), left.size - n_decisive)[left.size - n_decisive]
    most = 1 if kind in WORST_PATCH else MOST_PATCHES
    separate = -(-SEPARATE_CELLS // scores.stride)
    found: list[Chosen] = []
    while len(found) < most and left.max() >= lowest and np.isfinite(left.max()):
        at = int(left.argmax())
        found.append(_chosen(prediction, grid, at))
        row, column = divmod(at, grid.shape[1])
        rows = slice(max(row - separate + 1, 0), row + separate)
        left[rows, max(column - separate + 1, 0) : column + separate] = -np.inf
    return found


def _chosen(
    prediction: MemberPrediction, grid: PatchGrid, at: int, region: int | None = None
) -> Chosen:
    row, column = divmod(at, grid.shape[1])
    shown = float(prediction.scores.patch_scores[row, column])
    distance = shown / prediction.map_scale.spread
    return Chosen(row, column, float(grid[row, column]), distance, region)


def _centres(prediction: MemberPrediction, cells: CellMap) -> NDArray[np.float64]:
    """Centres of all patches in pixels of the photograph, (h, w, 2)."""
    (h, w), stride = prediction.scores.patch_scores.shape, prediction.scores.stride
    rows, columns = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    return cells.to_photograph.at(np.stack([rows, columns], axis=2) * stride + 0.5)


def counted(prediction: MemberPrediction) -> NDArray[np.bool_]:
    """(h, w) of the patch grid: True for the patches that count."""
    geometry, scores = prediction.geometry, prediction.scores
    if geometry.cells is None:
        return np.ones(scores.patch_scores.shape, dtype=np.bool_)
    return geometry.cells[:: scores.stride, :: scores.stride]
