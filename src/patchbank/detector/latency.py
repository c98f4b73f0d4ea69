"""Truncate the bank until an image is inspected within a latency budget on this machine."""

from __future__ import annotations

import platform
import statistics
import time

import numpy as np

from patchbank.backbones import runtime_of
from patchbank.core import int8
from patchbank.detector.detector import Detector
from patchbank.errors import ParameterError
from patchbank.runtime.machine import processor, versions
from patchbank.runtime.remembered import remembered
from patchbank.runtime.threads import usable_cores
from patchbank.types import Image

WARM_UP, REPEATS = 2, 5  # images; the median of the repeats counts
TRIES = 6
MARGIN = 0.95  # share of the budget that is aimed at, because measured times vary


def remembered_within_latency(detector: Detector, budget_ms: float) -> Detector:
    """`within_latency`, but measured once: the same detector on the same machine keeps its rows.

    Times vary from run to run, and the verdicts on photographs near the threshold would vary with
    the rows.  Another detector, budget, version of a program, engine, device or number of cores is
    measured anew; `runtime.remembered` says where the numbers lie.

    Raises:
        ParameterError: as `within_latency`.
    """
    if detector.bank_size_calibration is None:
        return within_latency(detector, budget_ms)
    facts = {
        "detector": detector.sha256,
        "budget_ms": budget_ms,
        "machine": [platform.node(), processor(), usable_cores(), int8.status()],
        "devices": [member.device.name for member in detector.members],
        "engines": [runtime_of(member.extractor) for member in detector.members],
        "versions": versions(),
    }
    rows = remembered("latency", facts, lambda: within_latency(detector, budget_ms).bank_sizes[-1])
    return detector.with_bank_rows(rows)


def within_latency(detector: Detector, budget_ms: float) -> Detector:
    """Truncate the bank so that one image takes at most `budget_ms` here.

    The latency is that of a single image, from the network's input to the image score, without
    decoding, resizing, map and regions; it is measured on noise.  It is assumed to grow linearly
    with the rows, and the line is fitted anew after each measurement.  A detector that meets the
    budget is returned as it is.

    Raises:
        ParameterError: the budget cannot be met, or the bank cannot be truncated.
    """
    if not 0 < budget_ms < float("inf"):
        raise ParameterError(f"latency_budget: expected milliseconds above 0, got {budget_ms}")
    took_ms = latency_ms(detector)
    if took_ms <= budget_ms:
        return detector
    sizes = detector.bank_sizes
    smallest = detector.with_bank_rows(sizes[0])
    least_ms = latency_ms(smallest)
    if least_ms > budget_ms:
        raise ParameterError(
            f"latency_budget: expected at least {least_ms:.1f} ms, what this machine takes with "
            f"the smallest bank of this detector ({sizes[0]:,} rows), got {budget_ms:g}; fit it "
            "with a smaller image_size or a lighter backbone"
        )
    below, above = (sizes[0], least_ms), (sizes[-1], took_ms)
    best = smallest
    for _ in range(TRIES):
        share = (MARGIN * budget_ms - below[1]) / max(above[1] - below[1], 1e-9)
        rows = int(below[0] + max(share, 0.0) * (above[0] - below[0]))
        if rows <= below[0]:
            break
        tried = detector.with_bank_rows(rows)
        tried_ms = latency_ms(tried)
        if tried_ms <= budget_ms:
            best, below = tried, (rows, tried_ms)
            if tried_ms >= 0.9 * budget_ms:
                break
        else:
            above = (rows, tried_ms)
    return best


def latency_ms(detector: Detector) -> float:
    """Median time of a single image in milliseconds."""
    image = _noise(detector)
    part = None if detector.roi is None else detector.roi.on((image.shape[0], image.shape[1]))
    times_ms = []
    for _ in range(WARM_UP + REPEATS):
        began = time.perf_counter()
        for member in detector.members:
            member.predict(image, part)
        times_ms.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times_ms[WARM_UP:])


def _noise(detector: Detector) -> Image:
    height, width = _usual_size(detector)
    noise: Image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return noise


def _usual_size(detector: Detector) -> tuple[int, int]:
    """(H, W) of an image: as the network sees it, or where it matters, of a usual photograph."""
    if detector.roi is not None:
        return detector.roi.size
    every = [member.settings for member in detector.members]
    of_photographs = any(one.tiles or one.position == "canonical" for one in every)
    if of_photographs and detector.likeness is not None:
        sizes = detector.likeness.sizes
        by_pixels = sizes[np.argsort(sizes.prod(axis=1, dtype=np.int64))]
        height, width = by_pixels[len(by_pixels) // 2].tolist()
        return height, width
    size = every[0].image_size
    return size if isinstance(size, tuple) else (size, size)
