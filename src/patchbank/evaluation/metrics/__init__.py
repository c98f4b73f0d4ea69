"""Metrics of images, pixels and regions, all exact: nothing is sampled or binned."""

from patchbank.evaluation.metrics.curves import (
    RankingCounts,
    auroc,
    average_precision,
    count_images,
    f1_max,
    roc,
)
from patchbank.evaluation.metrics.pixels import PixelCounter, PixelMetrics

__all__ = [
    "PixelCounter",
    "PixelMetrics",
    "RankingCounts",
    "auroc",
    "average_precision",
    "count_images",
    "f1_max",
    "roc",
]
