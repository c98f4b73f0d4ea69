"""Options that the commands which run a detector share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patchbank.cli import output
from patchbank.cli.options import (
    BankRows,
    DeviceName,
    LatencyBudget,
    OtherEngine,
    OtherPixelThreshold,
    OtherRate,
    OtherThreshold,
    Sha256,
)

if TYPE_CHECKING:
    from patchbank.detector.detector import Detector

DetectorPath = Annotated[Path, typer.Argument(metavar="FILE", help="A file that `fit` wrote.")]


@dataclass(frozen=True, kw_only=True)
class DetectorOptions:
    """Options of the commands that run a detector."""

    file: DetectorPath
    device: DeviceName = "auto"
    engine: OtherEngine = None
    bank_rows: BankRows = None
    latency_budget: LatencyBudget = None
    false_alarm_rate: OtherRate = None
    threshold: OtherThreshold = None
    pixel_threshold: OtherPixelThreshold = None
    sha256: Sha256 = None

    def load(self) -> Detector:
        """Open the detector file as the options say."""
        from patchbank.detector.loading import load

        detector = load(
            self.file,
            device=self.device,
            bank_rows=self.bank_rows,
            latency_budget_ms=self.latency_budget,
            engine=self.engine,
            sha256=self.sha256,
            false_alarm_rate=self.false_alarm_rate,
            threshold=self.threshold,
            pixel_threshold=self.pixel_threshold,
        )
        if self.latency_budget is not None and detector.bank_size_calibration is not None:
            rows, budget_ms = detector.bank_sizes[-1], self.latency_budget
            output.note(f"note: {rows:,} rows of the bank are used, for {budget_ms:g} ms")
        return detector
