"""The commands.  Heavy imports wait until a command runs, so that help is instant."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from patchbank.cli import backbones, output
from patchbank.cli.benchmark import benchmark
from patchbank.cli.fit import FitCommand, fit
from patchbank.cli.options import (
    BankRows,
    DeviceName,
    JsonPath,
    LatencyBudget,
    OtherEngine,
)
from patchbank.cli.output import write_json
from patchbank.cli.records import with_options
from patchbank.errors import DataError, PatchbankError

if TYPE_CHECKING:
    from patchbank.detector.detector import Detector

app = typer.Typer(
    name="patchbank",
    help="Find defects in photographs of parts, having learned from good photographs alone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command(cls=FitCommand, context_settings={"max_content_width": 100})(fit)
app.command()(benchmark)
app.add_typer(backbones.app, name="backbones")

DetectorPath = Annotated[Path, typer.Argument(metavar="FILE", help="A file that `fit` wrote.")]


class Exit(IntEnum):
    """Exit statuses."""

    DONE = 0
    UNREAD = 1
    """Done, but some images could not be read."""
    WRONG = 2
    """Wrong use, data or file."""
    ANOMALY = 3
    """An anomaly was found, and --fail-on-anomaly given."""


def main() -> None:
    """Run the command line; an error of use, data or machine is one line and status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text
    try:
        with output.plugin_warnings_as_notes():
            app()
    except PatchbankError as error:
        output.error(str(error))
        sys.exit(Exit.WRONG)
    except OSError as error:
        output.error(f"expected a disk and files that can be read and written, got: {error}")
        sys.exit(Exit.WRONG)
    except MemoryError as error:
        output.error(
            f"expected enough memory, got: {error or 'none left'}; use a smaller image_size"
        )
        sys.exit(Exit.WRONG)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from patchbank import __version__
        from patchbank.core import int8

        print(f"patchbank {__version__} (native kernel: {int8.status()})")
        raise typer.Exit(Exit.DONE)


@dataclass(frozen=True, kw_only=True)
class DetectorOptions:
    """Options of the commands that run a detector."""

    file: DetectorPath
    device: DeviceName = "auto"
    engine: OtherEngine = None
    bank_rows: BankRows = None
    latency_budget: LatencyBudget = None

    def load(self) -> Detector:
        """Open the detector file as the options say."""
        from patchbank.detector.loading import load

        detector = load(
            self.file,
            device=self.device,
            bank_rows=self.bank_rows,
            latency_budget_ms=self.latency_budget,
            engine=self.engine,
        )
        if self.latency_budget is not None and detector.bank_size_calibration is not None:
            rows, budget_ms = detector.bank_sizes[-1], self.latency_budget
            output.note(f"note: {rows:,} rows of the bank are used, for {budget_ms:g} ms")
        return detector


@dataclass(frozen=True, kw_only=True)
class PredictOptions(DetectorOptions):
    """Options of `patchbank predict`."""

    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Images or folders.")]
    out: Annotated[
        Optional[Path], typer.Option("--out", metavar="DIR", help="Write overlay pictures.")
    ] = None
    to_json: JsonPath = None
    fail_on_anomaly: Annotated[
        bool, typer.Option("--fail-on-anomaly", help="Exit with status 3 if one is found.")
    ] = False


@app.command()
@with_options(PredictOptions)
def predict(options: PredictOptions) -> None:
    """Inspect photographs: a score, a verdict and the anomalous regions of each."""
    from patchbank.cli.predict import inspect_paths

    count = inspect_paths(options.load(), options.paths, options.out, options.to_json)
    if options.fail_on_anomaly and count.anomalous:
        raise typer.Exit(Exit.ANOMALY)
    if count.unread:
        raise typer.Exit(Exit.UNREAD)


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(DetectorOptions):
    """Options of `patchbank evaluate`."""

    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="MVTec layout, or folders named by defect.")
    ]
    to_json: JsonPath = None
    report: Annotated[
        Optional[Path], typer.Option(metavar="DIR", help="Write a page with pictures.")
    ] = None


@app.command()
@with_options(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> None:
    """Measure a detector on labelled photographs."""
    from patchbank.cli.progress import ConsoleProgress
    from patchbank.datasets import find_dataset
    from patchbank.evaluation.evaluate import evaluate as evaluate_detector

    dataset = find_dataset(options.dataset)
    detector = options.load()
    for line in dataset.lines:
        output.note(f"note: {line}")
    evaluation = evaluate_detector(detector, dataset, progress=ConsoleProgress())
    _report(evaluation, detector, options.report, options.to_json)


@app.command()
def info(file: DetectorPath, to_json: JsonPath = None) -> None:
    """Show the content of a detector file."""
    from patchbank.detector.loading import load

    facts = output.detector_summary(load(file, device="cpu"))
    if to_json is None:
        output.show_summary(facts)
    else:
        write_json({"schema_version": output.SCHEMA_VERSION, **facts}, to_json)


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where detector and report go.")
    ] = Path("patchbank-demo"),
    preset: Annotated[
        Literal["fast", "balanced", "accurate"], typer.Option(help="Speed against accuracy.")
    ] = "balanced",
    draw_defects: Annotated[
        bool,
        typer.Option("--draw-defects", help="Draw the defective cells too: a harder test."),
    ] = False,
    device: DeviceName = "auto",
    to_json: JsonPath = None,
) -> None:
    """Fit and test on real photographs of solar cells (PyPI package elpv-dataset)."""
    from patchbank.cli.progress import ConsoleProgress
    from patchbank.datasets.elpv import solar_cells
    from patchbank.evaluation.evaluate import evaluate as evaluate_detector
    from patchbank.methods import METHODS
    from patchbank.runtime.torch_device import open_device
    from patchbank.training.fit import fit as fit_detector

    good, dataset = solar_cells(draw_defects=draw_defects)
    _make_folder(out)
    method = METHODS["patchcore"]
    members = [(method, method.settings_from(preset, {}))]
    detector = fit_detector(members, good, ConsoleProgress(), open_device(device))
    detector.save(out / "solar-cells.patchbank")
    output.fitted(detector, out / "solar-cells.patchbank")
    evaluation = evaluate_detector(detector, dataset, progress=ConsoleProgress())
    _report(evaluation, detector, out, to_json)


def _report(evaluation: Any, detector: Any, report: Path | None, to_json: str | None) -> None:
    from patchbank.evaluation.report import write_report

    if to_json != "-":
        output.show_evaluation(evaluation)
    if to_json is not None:  # before the report, which fails if a photograph is not there any more
        write_json(evaluation.to_json(), to_json)
    if report is not None:
        output.note(f"report: {write_report(evaluation, detector, report)}")
    for unread in evaluation.unread:
        output.error(unread.error)
    if evaluation.unread or evaluation.not_read:
        raise typer.Exit(Exit.UNREAD)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: expected to make this folder, got: {error.strerror}") from error
