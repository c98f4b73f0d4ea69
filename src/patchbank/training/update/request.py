"""The request of an update: what is said to be normal, limits, who and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from patchbank.core.spatial.box import Box
from patchbank.core.spatial.regions import Region
from patchbank.detector.inspection import Inspection, Normal
from patchbank.detector.lineage.entry import Edit
from patchbank.detector.result_lines import unreadable_lines, used_lines
from patchbank.errors import DataError, ParameterError
from patchbank.images.folders import few
from patchbank.images.source import ImageSource, image_source
from patchbank.training.update.findings import GuardFindings
from patchbank.types import Mask

SHOWN = 10
"""Photographs that a line names at most."""
AROUND = 0.25
"""Margin around a region that is normal, by its longer side."""


@dataclass(frozen=True, slots=True)
class NormalPart:
    """A photograph, or some regions of it, that a person said to be normal."""

    source: ImageSource
    size: tuple[int, int]
    """(width, height) of the photograph that was inspected."""
    boxes: tuple[Box, ...] = ()
    """Regions that are normal, while others are not; none where all of the photograph is."""
    others: tuple[Box, ...] = ()
    """The other regions."""
    threshold: float | None = None
    """Threshold that the photograph was inspected with; None where that is not known."""

    def area(self, size: tuple[int, int]) -> Mask:
        """The pixels that are normal, (H, W): regions and what surrounds them, but no other region.

        The network sees something of a region around it, too.

        Args:
            size: (H, W) of the photograph.
        """
        if not self.boxes:
            return np.ones(size, dtype=np.bool_)
        area = np.zeros(size, dtype=np.bool_)
        for box in self.boxes:
            margin = round(AROUND * max(box.height, box.width))
            top, left = max(box.top - margin, 0), max(box.left - margin, 0)
            area[top : box.top + box.height + margin, left : box.left + box.width + margin] = True
        for box in self.others:
            box.of(area)[...] = False
        return area


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """Terms of an update, all but the good photographs."""

    normal: tuple[NormalPart, ...] = ()
    limit_rows: int | None = None
    """Rows that a bank has at most; None for one and a half times those of the fit."""
    force: bool = False
    """Whether photographs are learned that are unlike the learned ones, or hide defects."""
    reason: str = ""
    by: str = ""
    must_find: tuple[ImageSource, ...] = ()
    """Photographs confirmed as defects; see `update.guard`."""

    def __post_init__(self) -> None:
        if self.limit_rows is not None and not (
            type(self.limit_rows) is int and self.limit_rows >= 2
        ):
            raise ParameterError(
                f"limit_rows: expected an integer, 2 or more, got {self.limit_rows!r}"
            )
        Edit("update", self.reason, self.by)  # checks the words before the work


@dataclass(slots=True)
class UpdateFacts:
    """Facts of an update, for its caller to show; `updated` fills them in."""

    learned: list[str] = field(default_factory=list)
    """Names of the photographs that were learned."""
    known: list[str] = field(default_factory=list)
    """Names of photographs that were learned before, or given twice, and were not added again."""
    flagged: int = 0
    """Number of the photographs that were above the threshold before."""
    passing: list[str] = field(default_factory=list)
    """Photographs said to be normal that pass now."""
    failing: list[str] = field(default_factory=list)
    """Photographs said to be normal that do not pass even so."""
    rows: list[tuple[int, int]] = field(default_factory=list)
    """Rows of the bank of each member that has one, before and after."""
    is_trimmed: bool = False
    """Whether a bank reached its limit, so that rows were dropped."""
    sources: list[ImageSource] = field(default_factory=list)
    """Photographs that were learned, those said to be normal last."""
    guard: GuardFindings = field(default_factory=GuardFindings)
    """Findings of the guard; none where no defects were given or remembered."""

    @property
    def learned_line(self) -> str:
        """Sentence about the photographs that were learned."""
        if len(self.learned) == 1:
            return f"1 photograph learned; it was {'' if self.flagged else 'not '}flagged before"
        verb = "was" if self.flagged == 1 else "were"
        return (
            f"{len(self.learned):,} photographs learned; {self.flagged or 'none'} of them {verb} "
            "flagged before"
        )

    @property
    def rows_lines(self) -> list[str]:
        """A sentence about the rows of each bank."""
        limit = ", at its limit" if self.is_trimmed else ""
        return [f"bank rows {old:,} -> {new:,}{limit}" for old, new in self.rows]

    @property
    def passing_line(self) -> str:
        """Sentence about the photographs said to be normal that pass."""
        verb = "passes" if len(self.passing) == 1 else "pass"
        return f"{few(self.passing, 'photograph', SHOWN)} {verb} now"

    @property
    def lines(self) -> list[str]:
        """Sentences about what may surprise."""
        found = []
        if self.known:
            found.append(
                "learned already, or given twice, and not added again: "
                f"{few(self.known, 'photograph', SHOWN)}"
            )
        if self.failing:
            found.append(
                "said to be normal, and still flagged: "
                f"{few(self.failing, 'photograph', SHOWN)}; fit anew with them among the good"
            )
        if self.is_trimmed:
            found.append(
                "the bank has reached its limit, and keeps the rows of a greedy selection; smaller "
                "banks are not calibrated any more (a higher limit: limit_rows, --limit-rows)"
            )
        return found


def normal_parts(given: Inspection | Iterable[Normal]) -> tuple[NormalPart, ...]:
    """The parts that inspections stand for.

    Raises:
        ParameterError: it is no inspection, or a region of another one.
    """
    several = (given,) if isinstance(given, Inspection) else given
    return tuple(_of_inspection(each) for each in several)


def _of_inspection(given: Normal) -> NormalPart:
    inspection, regions = given if isinstance(given, tuple) else (given, ())
    if not isinstance(inspection, Inspection):
        raise ParameterError(
            "normal: expected inspections, or pairs of an inspection and its regions, got "
            f"{type(inspection).__name__}"
        )
    chosen = (regions,) if isinstance(regions, Region) else tuple(regions)
    if any(region not in inspection.regions for region in chosen):
        raise ParameterError(
            f"normal: expected regions of the inspection of {inspection.image}, got another one"
        )
    others = [region for region in inspection.regions if region not in chosen]
    at = inspection.threshold
    if not chosen or not others:
        return NormalPart(inspection.source, inspection.size, threshold=at)
    boxes, rest = (
        tuple(Box(r.top, r.left, r.height, r.width) for r in regions)
        for regions in (chosen, others)
    )
    return NormalPart(inspection.source, inspection.size, boxes, rest, at)


def read_results(argument: str) -> tuple[NormalPart, ...]:
    """Read which photographs are normal from lines of `patchbank predict --json`.

    Args:
        argument: path of a file, each of whose anomalous photographs is normal; or ``FILE:1,3``:
            regions 1 and 3 of its one anomalous photograph, the worst one first.

    Raises:
        DataError: the file cannot be read, or has other lines, or no anomalous photograph, or not
            this region.
    """
    path, numbers = Path(argument), list[int]()
    head, _, tail = argument.rpartition(":")
    if head and not path.exists() and all(part.isdecimal() for part in tail.split(",")):
        path, numbers = Path(head), [int(part) for part in tail.split(",")]
    flagged = [line for line in _lines(path) if line["anomalous"] or line["regions"]]
    if not flagged:
        raise DataError(f"{path}: expected an anomalous photograph, got none; nothing to correct")
    if not numbers:
        return tuple(_of_line(line, line["regions"], ()) for line in flagged)
    if len(flagged) > 1:
        raise DataError(
            f"{path}: expected one anomalous photograph with a number of a region, got "
            f"{len(flagged)}; give a file with the line of that photograph"
        )
    regions = flagged[0]["regions"]
    for number in numbers:
        if not 1 <= number <= len(regions):
            raise DataError(
                f"{path}: expected a region from 1 to {len(regions)} of {flagged[0]['image']}, "
                f"got {number}"
            )
    return (_of_line(flagged[0], regions, [regions[number - 1] for number in numbers]),)


def _lines(path: Path) -> list[dict[str, Any]]:
    damaged: list[str] = []
    try:
        with path.open("rb") as file:
            found = list(used_lines(file, str(path), _whole, damaged))
    except OSError as error:
        raise unreadable_lines(path, error) from None
    if damaged:
        raise DataError(damaged[0])
    return [record for record in found if record.get("error") is None]


def _whole(record: dict[str, Any]) -> dict[str, Any]:
    """The record, which has what a correction needs unless the photograph could not be inspected.

    Raises:
        ValueError: it has not.
    """
    if "schema_version" not in record:
        raise ValueError("another line")
    if record.get("error") is None and not _is_whole(record):
        raise ValueError("a line without size or regions")
    return record


def _is_whole(record: dict[str, Any]) -> bool:
    size, regions = record.get("size"), record.get("regions")
    return (
        isinstance(record.get("anomalous"), bool)
        and isinstance(size, list)
        and len(size) == 2
        and all(type(n) is int and n > 0 for n in size)
        and isinstance(regions, list)
        and all(_is_region(region) for region in regions)
    )


def _is_region(region: Any) -> bool:
    names = ("left", "top", "width", "height")
    return isinstance(region, dict) and all(
        type(region.get(name)) is int and region[name] >= 0 for name in names
    )


def _of_line(
    line: dict[str, Any], regions: Sequence[dict[str, Any]], chosen: Sequence[dict[str, Any]]
) -> NormalPart:
    source, size = image_source(line["image"]), (line["size"][0], line["size"][1])
    others = [one for one in regions if one not in chosen]
    at = line.get("threshold")
    at = float(at) if isinstance(at, (int, float)) else None
    if not chosen or not others:
        return NormalPart(source, size, threshold=at)
    names = ("top", "left", "height", "width")
    boxes, rest = (
        tuple(Box(*(one[name] for name in names)) for one in of) for of in (chosen, others)
    )
    return NormalPart(source, size, boxes, rest, at)
