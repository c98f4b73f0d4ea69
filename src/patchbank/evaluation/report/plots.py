"""Coordinates of the plots of the report; the template of the page draws them as SVG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patchbank.evaluation.metrics import RankingCounts, roc

WIDTH, HEIGHT = 420, 280  # of the plotting area, in SVG units
BINS = 40


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram, in SVG units from the top left of the area."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """Histograms of the scores of good and of defect images, with the threshold."""

    good: tuple[Bar, ...]
    defect: tuple[Bar, ...]
    threshold_x: float
    ticks: tuple[tuple[float, str], ...]


def roc_points(counts: RankingCounts, *, share: float = 1.0) -> str:
    """The ROC curve up to a false-positive rate of `share`, as the points of an SVG polyline."""
    x, y = roc(counts)
    inside = x <= share
    edge = np.interp(share, x, y)
    xs, ys = np.append(x[inside], share) / share, np.append(y[inside], edge)
    return " ".join(f"{a * WIDTH:.1f},{(1 - b) * HEIGHT:.1f}" for a, b in zip(xs, ys, strict=True))


def histogram(
    good: NDArray[np.float64], defect: NDArray[np.float64], threshold: float
) -> Histogram:
    """Lay out the histogram of image scores; heights are shares of each class."""
    low = min(good.min(), defect.min(), threshold)
    high = max(good.max(), defect.max(), threshold)
    span = (high - low) or 1.0
    edges = np.linspace(low, low + span, BINS + 1)
    shares = [np.histogram(scores, edges)[0] / len(scores) for scores in (good, defect)]
    tallest = max(s.max() for s in shares)
    ticks = np.linspace(low, low + span, 5)
    return Histogram(
        good=_bars(shares[0] / tallest),
        defect=_bars(shares[1] / tallest),
        threshold_x=float((threshold - low) / span * WIDTH),
        ticks=tuple((float((t - low) / span * WIDTH), f"{t:.4g}") for t in ticks),
    )


def _bars(heights: NDArray[np.float64]) -> tuple[Bar, ...]:
    width = WIDTH / BINS
    return tuple(
        Bar(i * width, HEIGHT * (1 - h), width, HEIGHT * h) for i, h in enumerate(heights) if h > 0
    )
