"""Metrics by trying every threshold."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import ndimage


def auroc(scores, labels):
    """Share of (defect, good) pairs in the right order, ties counting half."""
    pairs = [(d > g) + 0.5 * (d == g) for d in scores[labels] for g in scores[~labels]]
    return float(np.mean(pairs))


def f1_max(scores, labels):
    """The best F1 and the lowest threshold that gives it."""
    best = (-1.0, 0.0)
    for t in np.unique(scores):
        flagged = scores >= t
        f1 = 2 * (flagged & labels).sum() / (flagged.sum() + labels.sum())
        best = max(best, (f1, -t))
    return best[0], -best[1]


def average_precision(scores, labels):
    """Sum of precision times the step in recall, threshold by threshold."""
    total, recall_before = 0.0, 0.0
    for t in np.unique(scores)[::-1]:
        flagged = scores >= t
        recall = (flagged & labels).sum() / labels.sum()
        total += (recall - recall_before) * (flagged & labels).sum() / flagged.sum()
        recall_before = recall
    return total


def aupro(maps, masks, limit):
    """One curve point a distinct score; trapezoids up to the limit."""
    regions = []
    for anomaly_map, mask in zip(maps, masks, strict=True):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [anomaly_map[labels == r] for r in range(1, count + 1)]
    good = np.concatenate([m[~k] for m, k in zip(maps, masks, strict=True)])
    points = [(0.0, 0.0)]
    for t in np.unique(np.concatenate([m.ravel() for m in maps]))[::-1]:
        points.append(((good >= t).mean(), np.mean([(r >= t).mean() for r in regions])))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 >= limit:
            break
        x_end = min(x1, limit)
        y_end = y1 if x1 <= limit else y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
        area += (x_end - x0) * (y0 + y_end) / 2
    return area / limit
