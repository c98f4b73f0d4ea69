"""Open a detector file."""

from __future__ import annotations

import os
import re

from typing_extensions import Unpack

from patchbank.backbones import Engine
from patchbank.choices import EngineName
from patchbank.detector.bundle import read_bundle
from patchbank.detector.changes import Thresholds, check_thresholds
from patchbank.detector.detector import Detector, detector_of
from patchbank.detector.latency import remembered_within_latency
from patchbank.detector.packing import unpack
from patchbank.errors import ParameterError
from patchbank.runtime.arguments import path_argument
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.torch_device import open_device


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    engine: EngineName | None = None,
    bank_rows: int | None = None,
    latency_budget_ms: float | None = None,
    sha256: str | None = None,
    **thresholds: Unpack[Thresholds],
) -> Detector:
    """Open a detector file: no code in it runs, no network is needed, and the scores are the same.

    Args:
        path: of the file.
        device: where it computes: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``,
            ``cuda:1``.
        engine: what runs ONNX backbones: ``onnxruntime`` or ``openvino``, with the same scores to
            1e-4; None takes onnxruntime, unless the detector was fitted in a precision that it
            lacks.
        bank_rows: use so many rows of the bank; see `Detector.with_bank_rows`.
        latency_budget_ms: use as many rows as let this machine inspect an image in that time; see
            `remembered_within_latency`.
        sha256: accept only the file with these 64 hexadecimal digits, as ``sha256sum FILE`` prints
            them; the digest inside a file does not protect against somebody who makes another.
        thresholds: ``false_alarm_rate`` (as `Detector.with_false_alarm_rate` takes it),
            ``threshold`` and ``pixel_threshold`` (as `Detector.with_threshold`), instead of those
            in the file; with a smaller bank they are those of that bank.

    Raises:
        DetectorFileError: the file is missing, truncated, altered, of another format or newer, its
            content contradicts itself, or it is not the one with this `sha256`.
        BackboneError: the backbone needs torch or OpenVINO, and there is none; or the engine lacks
            the precision that the detector was fitted in.
        ParameterError: there is no such device or engine, the bank cannot be truncated so,
            `sha256` is not a digest, or a rate or threshold is out of range.
    """
    if engine is not None:
        Engine(engine)  # an unknown engine is named before the file is read
    if bank_rows is not None and latency_budget_ms is not None:
        raise ParameterError("bank_rows: expected without latency_budget, got both")
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ParameterError(f"sha256: expected 64 hexadecimal digits, got {sha256!r}")
    file = path_argument("path", path)
    check_thresholds(thresholds)
    opened = open_device(device)
    bundle = read_bundle(file, sha256)
    detector = detector_of(unpack(bundle, str(path), opened, engine), bundle.sha256)
    LOGGER.info("opened %s", path)
    if bank_rows is not None or latency_budget_ms is not None:
        detector = _with_smaller_bank(detector, bank_rows, latency_budget_ms)
    rate, threshold = thresholds.get("false_alarm_rate"), thresholds.get("threshold")
    if rate is not None:
        detector = detector.with_false_alarm_rate(rate)
    return detector.with_threshold(threshold, thresholds.get("pixel_threshold"))


def _with_smaller_bank(
    detector: Detector, bank_rows: int | None, latency_budget_ms: float | None
) -> Detector:
    smaller = detector
    if bank_rows is not None:
        smaller = detector.with_bank_rows(bank_rows)
    elif latency_budget_ms is not None:
        smaller = remembered_within_latency(detector, latency_budget_ms)
    calibration = smaller.calibration
    if detector.calibration.is_set_by_hand and not calibration.is_set_by_hand:
        LOGGER.warning(
            "thresholds that were set by hand are those of the whole bank: the smaller one has "
            "%.4g, and %.4g for pixels, for a false-alarm rate of %.2g",
            calibration.threshold,
            calibration.pixel_threshold,
            calibration.false_alarm_rate,
        )
    return smaller
