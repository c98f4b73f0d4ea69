"""Write the page of a drift: the evidence, the scores, and photographs from before and since."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchbank.detector.detector import Detector
from patchbank.drift import words
from patchbank.drift.follow import Drift
from patchbank.images.source import image_source
from patchbank.report import Gallery, Picture, draw_photograph, render, write_page
from patchbank.report.plots import LinePlot, line_plot

SHOWN = 4
"""Photographs in each gallery."""
WINDOWS = 60
"""Points of the running mean of scores that do not overlap."""


@dataclass(frozen=True, slots=True)
class Plots:
    """The plots of the page; a curve that has no part is absent."""

    evidence: LinePlot
    scores: LinePlot | None
    window: int
    """Number of parts in a running mean."""


def write_drift_report(drift: Drift, detector: Detector, folder: Path) -> Path:
    """Write one self-contained page into a folder, which is made if it is not there.

    -> the path of the page.  A photograph that is not there any more has the reason in its place.

    Raises:
        DataError: the page cannot be written.
    """
    page = render(
        "patchbank.drift",
        drift=drift,
        detector=detector,
        words=words,
        plots=_plots(drift, detector.calibration.threshold),
        galleries=_galleries(drift, detector.calibration.threshold),
    )
    return write_page(folder, page)


def _plots(drift: Drift, threshold: float) -> Plots:
    numbers = np.arange(drift.first, drift.first + len(drift.parts))
    evidence = line_plot(
        {"good": (numbers, drift.evidence), "bad": (numbers, drift.flagged_evidence)},
        [(drift.alarm_line, "alarm")],
    )
    passed, scores = _passed(drift, threshold)
    window = max(1, len(scores) // WINDOWS)
    if not len(scores):
        return Plots(evidence, None, window)
    means = np.convolve(scores, np.full(window, 1 / window), mode="valid")
    at = numbers[passed][window - 1 :]
    since = drift.change.change.since if drift.change is not None else np.inf
    curves = {
        name: (at[chosen], means[chosen])
        for name, chosen in (("good", at < since), ("bad", at >= since))
        if chosen.any()
    }
    return Plots(evidence, line_plot(curves, [(threshold, "threshold")]), window)


def _passed(drift: Drift, threshold: float) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether each part passed, and the scores of those that did."""
    scores = np.array([np.nan if p.score is None else p.score for p in drift.parts], np.float64)
    passed = scores <= threshold
    return passed, scores[passed]


def _galleries(drift: Drift, threshold: float) -> list[Gallery]:
    """Typical photographs that passed, from before the change and since."""
    if drift.change is None:
        return []
    since = drift.change.change.since
    passed, _ = _passed(drift, threshold)
    numbers = np.arange(drift.first, drift.first + len(drift.parts))
    periods = {
        "Before the change": np.flatnonzero(passed & (numbers < since)),
        "Since the change": np.flatnonzero(passed & (numbers >= since)),
    }
    return [
        Gallery(
            title,
            f"{len(indices):,} parts that passed; those nearest to their median score.",
            tuple(_typical(drift, indices)),
        )
        for title, indices in periods.items()
        if len(indices)
    ]


def _typical(drift: Drift, indices: NDArray[np.intp]) -> list[Picture]:
    scores = np.array([drift.parts[index].score for index in indices], np.float64)
    nearest = np.argsort(np.abs(scores - np.median(scores)), kind="stable")[:SHOWN]
    shown = []
    for index in indices[np.sort(nearest)]:
        part = drift.parts[index]
        caption = f"part {drift.first + index:,}, {part.image}, score {part.score:.4g}"
        shown.append(draw_photograph(caption, image_source(Path(part.image))))
    return shown
