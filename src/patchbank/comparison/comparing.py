"""Inspect photographs by two detectors, and compare what they say."""

from __future__ import annotations

import heapq
import os
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from patchbank.comparison.comparison import Comparison, Metrics, Pair, Side, Unread, Verdict
from patchbank.comparison.facts import descent, differences, side_of
from patchbank.comparison.photographs import Photographs, photographs_of
from patchbank.comparison.ranks import rank_correlation
from patchbank.datasets import Dataset, Sample
from patchbank.detector.detector import Detector
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.errors import DataError, ImageError
from patchbank.evaluation.evaluate import pixel_metrics
from patchbank.evaluation.mask_sizes import check_masks
from patchbank.evaluation.metrics import auroc, average_precision, count_images
from patchbank.images.digest import pixel_digest
from patchbank.images.source import ImageInput
from patchbank.runtime.arguments import DETECTOR, of_kind
from patchbank.runtime.progress import Progress, listener

MOST_DRAWN = 24
"""Photographs with another verdict whose inspections are kept, to be drawn."""
Both: TypeAlias = tuple[Inspection, Inspection]


@dataclass(frozen=True, slots=True)
class Compared:
    """A detector that is compared."""

    detector: Detector
    name: str
    file: Path | None = None
    """File that it was opened from."""


def compare(
    a: Detector,
    b: Detector,
    data: Dataset | str | os.PathLike[str] | Iterable[ImageInput],
    *,
    progress: Progress | None = None,
) -> Comparison:
    """Inspect the same photographs by two detectors, and compare what they say.

    Each photograph is inspected by both, one after the other, before the next one; which of them is
    first alternates.  So whatever else the machine does meets both, and their times are comparable.

    Args:
        a: the detector in use, say.
        b: the one that may replace it.
        data: a data set with labels, or its folder or table, as `evaluate` takes it; a folder of
            photographs without labels; or a list or an iterator of images.
        progress: shows the steps.

    Raises:
        ParameterError: `a` or `b` is no detector.
        DataError: there is no photograph, or none that both can inspect.
    """
    for name, one in (("a", a), ("b", b)):
        of_kind(name, one, Detector, DETECTOR)
    sides = Compared(a, "A"), Compared(b, "B")
    return compared(*sides, photographs_of(data), listener(progress))


def compared(a: Compared, b: Compared, data: Photographs, progress: Progress) -> Comparison:
    """`compare` of detectors with names, on photographs that were listed.

    Raises:
        DataError: there is no photograph that both can inspect.
    """
    remarks = [*data.remarks]
    has_masks = False
    if data.dataset is not None:
        check = check_masks(data.dataset)
        remarks += filter(None, (check.problem, check.note))
        has_masks = check.problem is None and data.dataset.has_masks
    n_noted = len(remarks)
    for line in remarks:
        progress.note(line)
    run = _Run((a.detector, b.detector), keeps_all=has_masks)
    with progress.task("inspecting", data.n) as advance:
        for image, sample in data.items:
            run.inspect(image, sample)
            advance(1)
    if not run.pairs:
        reason = f"; the first error: {run.unread[0].error}" if run.unread else ""
        raise DataError(
            f"{data.name}: expected photographs that can be inspected, got none{reason}"
        )
    metrics = _metrics(run, data.dataset if has_masks else None, progress, remarks)
    sides = [
        replace(side_of(one.detector, one.name, one.file), time_ms=_middle(times), metrics=measured)
        for one, times, measured in zip((a, b), run.times_ms, metrics, strict=True)
    ]
    remarks += _learned_remarks(sides, run.pairs)
    for line in remarks[n_noted:]:
        progress.note(line)
    return made(
        data.name,
        sides,
        run.pairs,
        unread=tuple(run.unread),
        not_read=data.not_read,
        damaged=data.damaged,
        settings=differences(a.detector, b.detector),
        descent=descent(a.detector, b.detector),
        remarks=tuple(remarks),
        inspections=run.drawn(),
        masks=run.masks(),
    )


def made(data: str, sides: Sequence[Side], pairs: Sequence[Pair], **others: Any) -> Comparison:
    """A comparison of these pairs, with the rank correlation of their scores."""
    scores = np.array([(pair.a.score, pair.b.score) for pair in pairs], np.float64)
    correlation = rank_correlation(scores[:, 0], scores[:, 1])
    a, b = sides
    return Comparison(
        data=data, a=a, b=b, pairs=tuple(pairs), rank_correlation=correlation, **others
    )


@dataclass(slots=True)
class _Run:
    """Inspections of both detectors, as far as they are needed."""

    detectors: tuple[Detector, Detector]
    keeps_all: bool
    """Whether all inspections are kept, for the metrics of pixels: patch scores, but no maps."""
    pairs: list[Pair] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    times_ms: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    kept: list[tuple[Sample, Both]] = field(default_factory=list)
    """All inspections, where they are kept, in the order of `pairs`."""
    _clearest: list[tuple[float, int, Both, Path | None]] = field(default_factory=list)
    """Heap of changed verdicts by how far the shares of the thresholds differ, with the masks."""
    _digests: list[set[bytes] | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        for detector in self.detectors:
            known = detector.photograph_digests
            self._digests.append(None if known is None else {row.tobytes() for row in known})

    def inspect(self, image: ImageInput, sample: Sample | None) -> None:
        """Inspect one photograph by both; which is the first alternates."""
        n_before = len(self.pairs) + len(self.unread)
        outcomes: list[Inspection | FailedInspection | None] = [None, None]
        times = [0.0, 0.0]
        for which in (0, 1) if n_before % 2 == 0 else (1, 0):
            began = time.perf_counter()
            # Of an iterator, photographs are inspected one by one, in this thread.
            outcomes[which] = next(self.detectors[which].inspect(iter([image])))
            times[which] = (time.perf_counter() - began) * 1e3
        first, second = outcomes
        if not isinstance(first, Inspection) or not isinstance(second, Inspection):
            self.unread.append(_unread(first, second))
            return
        learned = self._is_learned(first)
        verdicts = [
            Verdict(
                score=one.score,
                threshold=one.threshold,
                is_anomalous=one.is_anomalous,
                time_ms=took_ms,
                is_learned=is_learned,
            )
            for one, took_ms, is_learned in zip((first, second), times, learned, strict=True)
        ]
        for all_times, took_ms in zip(self.times_ms, times, strict=True):
            all_times.append(took_ms)
        pair = Pair(first.image, None if sample is None else sample.label, *verdicts)
        self.pairs.append(pair)
        both = first.without_pixels(), second.without_pixels()
        if self.keeps_all and sample is not None:
            self.kept.append((sample, both))
        if pair.is_changed:
            shares = (pair.a.share, pair.b.share)
            distance = 0.0 if None in shares else abs(shares[0] - shares[1])  # type: ignore[operator]
            mask = None if sample is None else sample.mask
            heapq.heappush(self._clearest, (distance, -len(self.pairs), both, mask))
            if len(self._clearest) > MOST_DRAWN:
                heapq.heappop(self._clearest)

    def drawn(self) -> dict[int, Both]:
        """Inspections of the clearest changes, by the index of the pair, ascending."""
        found = {-number - 1: both for _, number, both, _ in self._clearest}
        return dict(sorted(found.items()))

    def masks(self) -> dict[int, Path]:
        """Files with the masks of the true defects of these, as far as they have any."""
        return {-number - 1: mask for _, number, _, mask in self._clearest if mask is not None}

    def _is_learned(self, inspection: Inspection) -> list[bool | None]:
        """Whether each detector has learned the pixels of a photograph; None if not known."""
        if all(digests is None for digests in self._digests):
            return [None, None]
        try:
            digest = pixel_digest(inspection.pixels)
        except ImageError:
            return [None, None]
        return [None if known is None else digest in known for known in self._digests]


def _unread(
    first: Inspection | FailedInspection | None, second: Inspection | FailedInspection | None
) -> Unread:
    errors = [one.error if isinstance(one, FailedInspection) else None for one in (first, second)]
    named = first or second
    return Unread(named.image if named is not None else "", *errors)


def _middle(times_ms: Sequence[float]) -> float | None:
    """Median time; the first photograph, which warms up, counts only where there are few."""
    usual = times_ms[1:] if len(times_ms) > 2 else times_ms
    return statistics.median(usual) if usual else None


def _metrics(
    run: _Run, dataset: Dataset | None, progress: Progress, remarks: list[str]
) -> list[Metrics | None]:
    """Metrics of both on the photographs that both inspected; remarks on pixels are added.

    Args:
        run: all inspections.
        dataset: labelled photographs whose masks can be used; None if none can.
        progress: shows the steps.
        remarks: to which lines are added.
    """
    labels = [pair.is_defect for pair in run.pairs]
    if None in labels or len(set(labels)) < 2:
        return [None, None]
    is_defect = np.array(labels, dtype=np.bool_)
    found: list[Metrics | None] = []
    for which in (0, 1):
        verdicts = [(pair.a, pair.b)[which] for pair in run.pairs]
        counts = count_images(np.array([one.score for one in verdicts]), is_defect)
        pixels = None
        if dataset is not None:
            inspected = [(sample, both[which]) for sample, both in run.kept]
            pixels, problem = pixel_metrics(inspected, dataset, progress)
            remarks += [] if problem is None or problem in remarks else [problem]
        found.append(
            Metrics(
                image_auroc=auroc(counts),
                image_ap=average_precision(counts),
                pixel_auroc=pixels.auroc if pixels else None,
                aupro=pixels.aupro if pixels else None,
            )
        )
    return found


def _learned_remarks(sides: Sequence[Side], pairs: Sequence[Pair]) -> Iterator[str]:
    """A line for each detector that has learned some of the photographs."""
    for side, which in zip(sides, ("a", "b"), strict=True):
        n = sum(getattr(pair, which).is_learned is True for pair in pairs)
        if n:
            verb = "was" if n == 1 else "were"
            yield (
                f"{n:,} of {len(pairs):,} photographs {verb} learned by {side.name}: its scores of "
                "these are lower than those of new parts"
            )
