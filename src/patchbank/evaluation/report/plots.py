"""Coordinates of the ROC curves of the report."""

from __future__ import annotations

import numpy as np

from patchbank.evaluation.metrics import RankingCounts, roc
from patchbank.report.plots import HEIGHT, WIDTH


def roc_points(counts: RankingCounts, *, share: float = 1.0) -> str:
    """The ROC curve up to a false-positive rate of `share`, as the points of an SVG polyline."""
    x, y = roc(counts)
    inside = x <= share
    edge = np.interp(share, x, y)
    xs, ys = np.append(x[inside], share) / share, np.append(y[inside], edge)
    return " ".join(f"{a * WIDTH:.1f},{(1 - b) * HEIGHT:.1f}" for a, b in zip(xs, ys, strict=True))
