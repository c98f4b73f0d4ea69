"""The commands.  Heavy imports wait until a command runs, so that help is instant."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from patchbank.cli import backbones, output, records
from patchbank.cli.benchmark import benchmark
from patchbank.cli.card import card
from patchbank.cli.check import check
from patchbank.cli.compare import compare
from patchbank.cli.cut import cut
from patchbank.cli.detector_options import DetectorOptions, DetectorPath
from patchbank.cli.drift import drift
from patchbank.cli.export import export, verify
from patchbank.cli.fit import FitCommand, fit
from patchbank.cli.guard import expanded, guarded, open_standard_streams, refuse_empty
from patchbank.cli.history import history
from patchbank.cli.option_records import with_options
from patchbank.cli.options import DeviceName, JsonPath, Sha256
from patchbank.cli.output import write_json
from patchbank.cli.predict_options import PredictOptions
from patchbank.cli.send import send
from patchbank.cli.serve import ServeCommand, serve
from patchbank.cli.statuses import EPILOG, Exit, status_of
from patchbank.cli.targets import (
    check_distinct,
    check_json,
    check_report,
    make_folder,
)
from patchbank.cli.tune import tune
from patchbank.cli.undo import undo
from patchbank.cli.update import update
from patchbank.runtime.invocation import invoked

if TYPE_CHECKING:
    from patchbank.detector.detector import Detector
    from patchbank.products.routing import Router

app = typer.Typer(
    name="patchbank",
    help="Find defects in photographs of parts, having learned from good photographs alone.",
    epilog=EPILOG,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command(cls=FitCommand, context_settings={"max_content_width": 100})(fit)
app.command(epilog=EPILOG)(check)
app.command(epilog=EPILOG)(benchmark)
app.command(epilog=EPILOG)(card)
app.command(epilog=EPILOG)(compare)
app.command(epilog=EPILOG)(cut)
app.command(epilog=EPILOG)(drift)
app.command(epilog=EPILOG)(export)
app.command(epilog=EPILOG)(history)
app.command(cls=ServeCommand, epilog=EPILOG)(serve)
app.command(epilog=EPILOG)(send)
app.command(epilog=EPILOG)(tune)
app.command(epilog=EPILOG)(undo)
app.command(epilog=EPILOG)(update)
app.command(epilog=EPILOG)(verify)
app.add_typer(backbones.app, name="backbones")
app.add_typer(records.app, name="records")


def main() -> None:
    """Run the command line and exit with a status of `statuses.Exit`."""
    open_standard_streams()
    sys.exit(int(guarded(lambda: run(expanded(sys.argv[1:])))))


def run(arguments: list[str]) -> int:
    """Run one command; its errors are raised."""
    refuse_empty(arguments)
    is_service = arguments[:1] == ["serve"]  # its addresses may have passwords, its pages many ways
    with (
        invoked([] if is_service else arguments),
        program().make_context("patchbank", arguments) as context,
    ):
        program().invoke(context)
    return Exit.DONE


@cache
def program() -> Any:
    """All commands, made once."""
    return typer.main.get_command(app)


@app.callback(invoke_without_command=True)
def _without_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from patchbank import __version__
        from patchbank.core import int8

        print(f"patchbank {__version__} (native kernel: {int8.status()})")
        raise typer.Exit(Exit.DONE)
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(Exit.WRONG)


@app.command(epilog=EPILOG)
@with_options(PredictOptions)
def predict(options: PredictOptions) -> None:
    """Inspect photographs: a score, a verdict and the anomalous regions of each."""
    from patchbank.cli.path_lists import Given, with_lists

    given = with_lists(options.paths or [], options.paths_from, null=options.null)
    options.check_targets([one.path for one in given if isinstance(one, Given)])
    if options.parquet is not None:
        from patchbank.cli.predict_to_parquet import inspect_to_parquet

        raise typer.Exit(inspect_to_parquet(options, given))
    from patchbank.cli.predict import Outputs, inspect_paths

    inspector: Detector | Router
    pictures = None
    if options.auto:
        from patchbank.products.routing import Router

        inspector = Router.open(options.file, device=options.device, engine=options.engine)
        stamp = output.stamp_of_program()
    else:
        inspector = options.load()
        stamp = output.stamp(inspector) if options.names_detector else {}
        if options.photographs is not None:
            from patchbank.cli.explaining import photographs_at_hand

            pictures = photographs_at_hand(inspector, options.photographs)
    outputs = Outputs(
        overlays=options.out,
        to_json=options.to_json,
        csv=options.csv,
        sort_into=options.sort_into,
        explain=options.explain,
        label_studio=options.label_studio,
        url_prefix=options.url_prefix,
        fiftyone=options.fiftyone,
        pictures=pictures,
        only_anomalous=options.only_anomalous,
        stamp=stamp,
    )
    count = inspect_paths(inspector, given, outputs)
    raise typer.Exit(
        status_of(
            anomalous=count.anomalous,
            unread=count.unread + count.unsorted + count.unknown,
            fail_on_anomaly=options.fail_on_anomaly,
        )
    )


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


@app.command(epilog=EPILOG)
@with_options(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> None:
    """Measure a detector on labelled photographs."""
    check_json(options.to_json)
    if options.report is not None:
        check_report("--report", options.report)
    check_distinct({"--json": options.to_json}, [options.file, options.dataset])
    from patchbank.cli.progress import ConsoleProgress
    from patchbank.datasets import find_dataset
    from patchbank.evaluation.evaluate import evaluate as evaluate_detector

    detector = options.load()
    dataset = find_dataset(options.dataset)
    for line in dataset.lines:
        output.note(f"note: {line}")
    evaluation = evaluate_detector(detector, dataset, progress=ConsoleProgress())
    _report(evaluation, detector, options.report, options.to_json)


@app.command()
def info(file: DetectorPath, to_json: JsonPath = None, sha256: Sha256 = None) -> None:
    """Show the content of a detector file."""
    from patchbank.detector.bundle import file_digest
    from patchbank.detector.loading import load

    check_json(to_json)
    check_distinct({"--json": to_json}, [file])

    detector = load(file, device="cpu", sha256=sha256)
    facts = output.detector_summary(detector)
    facts |= {"file_sha256": file_digest(file), "content_sha256": detector.sha256}
    if to_json is None:
        output.show_facts(facts)
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
    from patchbank.training.fit import PhotographChoice
    from patchbank.training.fit import fit as fit_detector

    check_json(to_json)
    check_report("--out", out)
    good, dataset = solar_cells(draw_defects=draw_defects)
    make_folder("--out", out)
    method = METHODS["patchcore"]
    members = [(method, method.settings_from(preset, {}))]
    choice = PhotographChoice(keep_crops=True)
    detector = fit_detector(members, good, ConsoleProgress(), open_device(device), choice=choice)
    detector.save(out / "solar-cells.patchbank")
    output.fitted(detector, out / "solar-cells.patchbank")
    evaluation = evaluate_detector(detector, dataset, progress=ConsoleProgress())
    _report(evaluation, detector, out, to_json)


def _report(evaluation: Any, detector: Any, report: Path | None, to_json: str | None) -> None:
    from patchbank.evaluation.report import write_report

    if to_json != "-":
        output.show_evaluation(evaluation)
    if to_json is not None:  # before the report, which fails if a photograph is not there any more
        write_json(output.stamped(evaluation.to_json(), output.stamp(detector)), to_json)
    if report is not None:
        output.note(f"report: {write_report(evaluation, detector, report)}")
    for unread in evaluation.unread:
        output.error(unread.error)
    if evaluation.unread or evaluation.not_read:
        raise typer.Exit(Exit.INCOMPLETE)
