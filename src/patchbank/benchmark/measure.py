"""Measurements of a worker: accuracy, times and sizes of one detector."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from patchbank.backbones import FeatureExtractor, OnnxExtractor
from patchbank.benchmark.cache import CachedExtractor, FeatureCache
from patchbank.datasets import Dataset, Sample
from patchbank.detector.detector import Detector
from patchbank.errors import DataError
from patchbank.evaluation.evaluate import evaluate
from patchbank.methods import METHODS
from patchbank.runtime.process import machine, peak_memory
from patchbank.runtime.progress import NullProgress
from patchbank.runtime.torch_device import open_device
from patchbank.training.fit import fit

METRICS = (
    "image_auroc",
    "image_ap",
    "image_f1_max",
    "pixel_auroc",
    "pixel_ap",
    "aupro",
    "detection_rate",
    "false_alarm_rate",
    "n_good",
    "n_defect",
)
TIMED = 20  # test images timed at most, evenly spread
WARM_UP = 3  # images inspected before timing starts


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Fit and measure the detector of one job.  -> its figures as JSON values.

    Raises:
        DataError: an image cannot be read; figures from fewer images would not be comparable.
        ParameterError, BackboneError: settings that these images or this machine rule out.
    """
    device = open_device(job["device"])
    wrapped: list[CachedExtractor] = []

    def wrap(extractor: FeatureExtractor) -> FeatureExtractor:
        if job["cache"] is None:
            return extractor
        cache = FeatureCache(Path(job["cache"]["folder"]), job["cache"]["limit_bytes"])
        wrapped.append(CachedExtractor(extractor, cache, device))
        return wrapped[-1]

    method = METHODS[job["method"]]
    settings = method.settings.from_mapping(job["settings"])
    train = [Path(path) for path in job["train"]]
    began = time.perf_counter()
    detector = fit([(method, settings)], train, NullProgress(), device, wrap=wrap)
    seconds = time.perf_counter() - began + sum(extractor.saved_s for extractor in wrapped)
    accuracy = _accuracy(detector, _dataset(job))
    plain = _without_cache(detector)
    return {
        **accuracy,
        "fit_seconds": seconds,
        "ms_per_image": _ms_per_image(plain, [Path(sample["path"]) for sample in job["test"]]),
        "model_bytes": sum(
            tensor.nbytes for member in plain.members for tensor in member.model.tensors().values()
        ),
        "file_bytes": _file_bytes(plain),
        "peak_memory_bytes": peak_memory(),
        "device": device.name,
        "machine": machine(job["cores"]),
        "versions": dict(plain.versions),
    }


def _dataset(job: dict[str, Any]) -> Dataset:
    samples = [
        Sample(Path(s["path"]), s["label"], None if s["mask"] is None else Path(s["mask"]))
        for s in job["test"]
    ]
    return Dataset(job["category"], tuple(samples))


def _accuracy(detector: Detector, dataset: Dataset) -> dict[str, Any]:
    evaluation = evaluate(detector, dataset, per_defect=False, find_learned=False)
    if evaluation.unread:
        count, first = len(evaluation.unread), evaluation.unread[0].error
        raise DataError(
            f"{dataset.name}: expected images that can all be read, got {count} that "
            f"cannot be: {first}"
        )
    return {name: getattr(evaluation, name) for name in METRICS}


def _without_cache(detector: Detector) -> Detector:
    members = [
        replace(member, extractor=member.extractor.plain)
        if isinstance(member.extractor, CachedExtractor)
        else member
        for member in detector.members
    ]
    return replace(detector, members=tuple(members))


def _ms_per_image(detector: Detector, paths: Sequence[Path]) -> float:
    """Median time from a file to its map, one image after the other."""
    some = [paths[i * len(paths) // TIMED] for i in range(TIMED)] if len(paths) > TIMED else paths
    times = []
    for number, path in enumerate([*some[:WARM_UP], *some]):
        began = time.perf_counter()
        _ = detector.predict(path).anomaly_map
        if number >= WARM_UP:
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def _file_bytes(detector: Detector) -> int | None:
    """Size of the detector file; None if a network would have to be exported for it."""
    if not all(isinstance(member.extractor, OnnxExtractor) for member in detector.members):
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detector.patchbank"
        detector.save(path)
        return path.stat().st_size
