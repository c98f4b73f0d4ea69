"""Metrics of images, pixels and regions, all exact: nothing is sampled or binned."""

from patchbank.evaluation.metrics.curves import (
    RankingCounts,
    auroc,
    average_precision,
    count_images,
    f1_max,
    roc,
)
from patchbank.evaluation.metrics.pixels import MapWithMask, PixelCounter, PixelMetrics

__all__ = [
    "MapWithMask",
    "PixelCounter",
    "PixelMetrics",
    "RankingCounts",
    "auroc",
    "average_precision",
    "count_images",
    "f1_max",
    "roc",
]
