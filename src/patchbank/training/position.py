"""Decision of a fit: whether parts are turned to a canonical position, and how large they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from patchbank.errors import DataError, ImageError, ShapeError
from patchbank.images.folders import few
from patchbank.images.pose import Pose, find_pose
from patchbank.images.source import ImageSource, n_pixels
from patchbank.methods import Method, Settings
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.progress import Progress
from patchbank.runtime.threads import map_in_order
from patchbank.training.photographs import Remarks

Parts = Sequence[tuple[Method, Settings]]

AREA_RANGE = 0.3
"""Relative difference from the median area of the parts, beyond which one is another part."""
OUTLIERS = 20
"""One photograph in so many may be another one: a hair across the part, say."""
MARGIN, MARGIN_OF_ONE = 0.03, 0.03
"""Shares of the length that are inspected beyond each end of the largest part: ground that shows
its edge, and what the next part may be larger than the largest of n, which shrinks as 1 / n."""
LEAST_SKEWNESS = 0.05
"""Skewness from which one end is the heavier one, whatever noise does."""
NAMED = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """Poses of the part in the good photographs, from which the decision follows."""

    names: Sequence[str]
    poses: Sequence[Pose | None]

    @property
    def clear(self) -> list[Pose]:
        """Poses of the photographs of one long part on an even ground."""
        return [pose for pose in self.poses if pose is not None and pose.unclear is None]

    @property
    def objection(self) -> str | None:
        """Why a canonical position does not suit them; None where it does.

        One photograph has no spread of areas: whether it shows one long part that
        stands out clearly from an even ground is all there is to decide by.
        """
        allowed = len(self.poses) // OUTLIERS
        reasons = [
            "nothing differs from the ground" if pose is None else pose.unclear
            for pose in self.poses
        ]
        others = [name for name, why in zip(self.names, reasons, strict=True) if why is not None]
        if len(others) > allowed:
            reason = Counter(why for why in reasons if why is not None).most_common(1)[0][0]
            shown = few(others, "photograph", NAMED)
            return f"{len(others)} of {len(reasons)} ({shown}): {reason}"
        areas = np.array([pose.area for pose in self.clear])
        away = np.abs(areas / np.median(areas) - 1) > AREA_RANGE
        if away.sum() + len(others) > allowed:
            return f"the areas of the parts differ, from {areas.min():,.0f} to {areas.max():,.0f}"
        return None

    @property
    def part_size(self) -> tuple[int, int]:
        """(height, width) of what is inspected of each part, in pixels of the photograph."""
        poses = self.clear or [pose for pose in self.poses if pose is not None]
        length, width = max(p.length for p in poses), max(p.width for p in poses)
        margin = 2 * length * (MARGIN + MARGIN_OF_ONE / len(poses))
        return max(8, round(width + margin)), max(8, round(length + margin))

    @property
    def ends_are_alike(self) -> bool:
        """Whether either end of the part may count as the heavy one."""
        return min(pose.skewness for pose in self.poses if pose is not None) < LEAST_SKEWNESS


def with_position(
    parts: Parts,
    sources: Sequence[ImageSource],
    remarks: Remarks,
    progress: Progress,
    *,
    has_region: bool = False,
) -> list[tuple[Method, Settings]]:
    """Settings whose position is decided by the photographs, which are read once more for it.

    In canonical position a part has one orientation, or two where its ends are alike, and its
    mirror image: these are learned instead of `rotations`.

    Args:
        parts: method and settings of each member.
        sources: the good photographs.
        remarks: receives a line about the decision, and one about doubts.
        progress: shows the photographs that are read.
        has_region: whether a region of interest lies at one place of all photographs.

    Raises:
        DataError: a canonical position is asked for, and no photograph shows a part.
    """
    if all(settings.position == "as_photographed" for _, settings in parts):
        return list(parts)
    if has_region:
        why = "a region of interest lies at one place of all photographs"
        return [(method, _as_photographed(one, why, remarks)) for method, one in parts]
    evidence = _evidence(sources, progress)
    return [(method, _decided(settings, evidence, remarks)) for method, settings in parts]


def _decided(settings: Settings, evidence: Evidence, remarks: Remarks) -> Settings:
    if settings.position == "as_photographed":
        return settings
    objection = evidence.objection if evidence.poses else "none could be read"
    if objection is not None and (settings.position == "auto" or not evidence.poses):
        return _as_photographed(settings, objection, remarks)
    if all(pose is None for pose in evidence.poses):
        raise DataError(
            "position: expected photographs of a part on an even ground, got none in which "
            "anything differs from its border; use position as_photographed"
        )
    if objection is not None:
        remarks.lines.append(f"position canonical may not suit these photographs; {objection}")
    rotations = 2 if evidence.ends_are_alike else 1
    size = evidence.part_size if settings.part_size is None else settings.part_size
    height, width = (size, size) if isinstance(size, int) else size
    _note(
        f"position canonical: parts are turned, and {width} x {height} pixels around each are "
        f"inspected; learned {'in both directions' if rotations == 2 else 'in one direction'}, "
        "with the mirror image",
        remarks,
    )
    return settings.with_changes(
        position="canonical",
        part_size=size,
        rotations=rotations,
        flips="vertical" if settings.flips == "none" else settings.flips,
    )


def _as_photographed(settings: Settings, why: str, remarks: Remarks) -> Settings:
    if settings.position == "as_photographed":
        return settings
    _note(f"position auto: parts are inspected as photographed; {why}", remarks)
    return settings.with_changes(position="as_photographed", part_size=None)


def _note(line: str, remarks: Remarks) -> None:
    LOGGER.info(line)
    if line not in remarks.decisions:  # each member decides alike
        remarks.decisions.append(line)


def _evidence(sources: Sequence[ImageSource], progress: Progress) -> Evidence:
    """Poses of all photographs but those that cannot be read, which the fit reports later."""
    names, poses = [], []
    with progress.task("looking for parts", len(sources)) as advance:
        for source, found in map_in_order(_pose, sources, n_pixels):
            try:
                poses.append(found.result())
                names.append(source.name)
            except (ImageError, ShapeError):
                pass
            advance(1)
    return Evidence(names, poses)


def _pose(source: ImageSource) -> Pose | None:
    return find_pose(source.read())
