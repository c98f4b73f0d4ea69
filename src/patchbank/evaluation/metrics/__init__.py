"""Metrics, defined once: of images, of pixels, of regions.  All exact, none sampled or binned."""

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
