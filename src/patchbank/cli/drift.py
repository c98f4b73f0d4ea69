"""`patchbank drift`: whether good parts have changed, from the lines that `predict` has written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from patchbank.cli import output
from patchbank.cli.detector_options import DetectorPath
from patchbank.cli.option_records import with_options
from patchbank.cli.options import (
    BankRows,
    JsonPath,
    OtherPixelThreshold,
    OtherRate,
    OtherThreshold,
    Sha256,
)
from patchbank.cli.statuses import Exit
from patchbank.cli.targets import check_distinct, check_file, check_json, check_report
from patchbank.errors import DataError, ParameterError
from patchbank.settings.rules import SHARE, Integer

if TYPE_CHECKING:
    from patchbank.detector.detector import Detector
    from patchbank.detector.monitor import Change
    from patchbank.drift import Drift, LineReader

STANDARD_INPUT = Path("-")
SHOWN = 5
"""Damaged lines that are printed; the JSON has all."""


@dataclass(frozen=True, kw_only=True)
class DriftOptions:
    """Options of `patchbank drift`."""

    file: DetectorPath
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULTS...",
            help="Files of `predict --json`, in the order of the parts; - for standard input.",
        ),
    ]
    alarm_rate: Annotated[
        Optional[float],
        typer.Option(
            "--alarm-rate", help="Share of runs in which nothing changes that may have an alarm."
        ),
        SHARE,
    ] = 0.01
    photographs_per_part: Annotated[
        Optional[int],
        typer.Option("--photographs-per-part", help="So many lines in a row show one part."),
        Integer(1),
    ] = 1
    lot: Annotated[
        Optional[int],
        typer.Option("--lot", help="Parts of a lot; all are one lot if not given."),
        Integer(1),
    ] = None
    false_discovery_rate: Annotated[
        Optional[float],
        typer.Option(
            "--false-discovery-rate", help="Share of good ones allowed among the rejected of a lot."
        ),
        SHARE,
    ] = 0.1
    state: Annotated[
        Optional[Path],
        typer.Option(
            "--state",
            metavar="FILE",
            help="Go on from this file, if it is there, and write it: for lines of every day.",
        ),
    ] = None
    to_json: JsonPath = None
    report: Annotated[
        Optional[Path], typer.Option("--report", metavar="DIR", help="Write a page with plots.")
    ] = None
    bank_rows: BankRows = None
    false_alarm_rate: OtherRate = None
    threshold: OtherThreshold = None
    pixel_threshold: OtherPixelThreshold = None
    sha256: Sha256 = None

    def load(self) -> Detector:
        """Open the detector file as `predict` did, whose options may make another detector."""
        from patchbank.detector.loading import load

        return load(
            self.file,
            device="cpu",
            bank_rows=self.bank_rows,
            sha256=self.sha256,
            false_alarm_rate=self.false_alarm_rate,
            threshold=self.threshold,
            pixel_threshold=self.pixel_threshold,
        )

    def check_targets(self) -> None:
        """Check that all results have a place to go, and no input is read twice."""
        check_json(self.to_json)
        if self.state is not None:
            check_file("--state", self.state)
        if self.report is not None:
            check_report("--report", self.report)
        if self.results.count(STANDARD_INPUT) > 1:
            raise ParameterError("RESULTS: expected - once, got it several times")
        inputs = [self.file, *(path for path in self.results if path != STANDARD_INPUT)]
        check_distinct({"--json": self.to_json, "--state": self.state}, inputs)


@with_options(DriftOptions)
def drift(options: DriftOptions) -> None:
    """Say whether good parts have changed, from the JSON lines that `predict` wrote."""
    options.check_targets()
    from patchbank.drift import LineReader, follow, one_of_each, write_drift_report

    detector = options.load()
    monitor = detector.monitor(options.alarm_rate or 0.01, state=options.state)
    reader = LineReader(detector.sha256)
    parts = one_of_each(reader.parts(options.results), options.photographs_per_part or 1)
    found = follow(
        monitor,
        detector.calibration,
        parts,
        lot=options.lot,
        level=options.false_discovery_rate or 0.1,
        on_alarm=_alarm if STANDARD_INPUT in options.results else None,
    )
    _notes(reader)
    if not found.parts:
        raise DataError(
            "RESULTS: expected lines of predict --json by this detector, got none; "
            "its sha256 is " + detector.sha256
        )
    if options.to_json != "-":
        _show(found)
    if options.to_json is not None:
        record = {**found.to_json(), **_of_lines(reader)}
        output.write_json(output.stamped(record, output.stamp(detector)), options.to_json)
    if options.report is not None:
        output.note(f"report: {write_drift_report(found, detector, options.report)}")
    if options.state is not None:  # last: where another result fails, no line counts twice
        monitor.save(options.state)
    if found.alarm or reader.damaged or reader.other_detectors:
        raise typer.Exit(Exit.INCOMPLETE)


def _alarm(change: Change) -> None:
    """Print an alarm while more lines may come."""
    output.note(f"note: alarm at part {change.part:,}: {change.direction}")


def _show(found: Drift) -> None:
    """Print the result."""
    from patchbank.drift import words

    output.say(words.counts(found))
    for line in words.verdict(found):
        output.say(line)
    output.say(words.promise(found))
    for lot in found.lots:
        output.say(words.of_lot(found, lot))
    for line in found.remarks:
        output.note(f"note: {line}")


def _notes(reader: LineReader) -> None:
    """Print which lines were not used, and why."""
    for line in reader.damaged[:SHOWN]:
        output.error(line)
    if len(reader.damaged) > SHOWN:
        output.error(f"{len(reader.damaged) - SHOWN:,} more lines are damaged; --json has all")
    for detector, number in reader.other_detectors.items():
        output.note(f"note: {number:,} lines are of another detector, {detector}: not used")
    if reader.other_detectors:
        output.note(
            "note: where predict had --bank-rows, --false-alarm-rate or a threshold, give drift "
            "the same; where the file was changed by tune since, give drift the one of before"
        )
    if reader.unnamed:
        output.note(f"note: {reader.unnamed:,} lines name no detector: used as lines of this one")


def _of_lines(reader: LineReader) -> dict[str, Any]:
    """Keys of the JSON that say which lines were not used."""
    return {"other_detectors": dict(reader.other_detectors), "damaged": reader.damaged}
