"""`patchbank export` and `patchbank verify`: one graph from photographs to verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer

from patchbank.cli import output
from patchbank.cli.detector_options import DetectorPath
from patchbank.cli.option_records import with_options
from patchbank.cli.options import JsonPath, Sha256
from patchbank.cli.statuses import Exit
from patchbank.cli.targets import (
    check_distinct,
    check_file,
    check_json,
    check_outside,
    check_report,
)

if TYPE_CHECKING:
    from patchbank.export import Verification
    from patchbank.images.source import ImageSource

SHOWN = 5
"""Photographs beyond the tolerance that are printed; the JSON and the page have all."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of `patchbank export`."""

    file: DetectorPath
    photographs: Annotated[
        Optional[list[Path]],
        typer.Argument(
            metavar="PATH...",
            help="Photographs or folders to verify the graph with, besides learned and drawn ones.",
        ),
    ] = None
    out: Annotated[
        Path,
        typer.Option("--out", metavar="PATH", help="File to write: .onnx, or .xml for openvino."),
    ]
    format: Annotated[
        Literal["onnx", "openvino"],
        typer.Option("--format", help="A file of ONNX, or the two files of OpenVINO."),
    ] = "onnx"
    entry: Annotated[
        Literal["photograph", "pixels"],
        typer.Option(
            "--entry",
            help="What the graph takes: photographs as they come, or pixels as the network sees "
            "them.",
        ),
    ] = "photograph"
    precision: Annotated[
        Optional[Literal["float32", "float16", "int8"]],
        typer.Option(
            "--precision",
            help="Precision of the weights; if not given, that of the fit. float16 halves the "
            "file and changes scores by less than a thousandth; int8 needs `fit --precision int8`.",
        ),
    ] = None
    sha256: Sha256 = None


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Options of `patchbank verify`."""

    file: DetectorPath
    exported: Annotated[
        Path, typer.Argument(metavar="EXPORTED", help="A file that `export` wrote.")
    ]
    photographs: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Photographs or folders to compare both on."),
    ]
    runtime: Annotated[
        Optional[Literal["onnxruntime", "openvino"]],
        typer.Option(
            "--runtime",
            help="What runs the graph; if not given, onnxruntime, or openvino for .xml.",
        ),
    ] = None
    to_json: JsonPath = None
    report: Annotated[
        Optional[Path],
        typer.Option("--report", metavar="DIR", help="Write a page with all photographs."),
    ] = None
    sha256: Sha256 = None


@with_options(ExportOptions)
def export(options: ExportOptions) -> None:
    """Write a detector as one graph, from photographs to verdicts, that runs without Patchbank.

    The graph is verified first; one that gives anything else is not written.
    """
    check_file("--out", options.out)
    check_distinct({"--out": str(options.out)}, [options.file])
    from patchbank.cli.progress import ConsoleProgress
    from patchbank.detector.loading import load
    from patchbank.export import export_detector

    detector = load(options.file, sha256=options.sha256)
    done = export_detector(
        detector,
        options.out,
        format=options.format,
        entry=options.entry,
        precision=options.precision,
        photographs=_sources(options.photographs or []),
        progress=ConsoleProgress(),
    )
    n_bytes = sum(file.stat().st_size for file in done.files)
    names = " and ".join(str(file) for file in done.files)
    output.say(f"{names}: {n_bytes / 1e6:.1f} MB")
    _show(done.verification)
    _end(done.verification)


@with_options(VerifyOptions)
def verify(options: VerifyOptions) -> None:
    """Compare an exported graph with its detector: scores, maps, ranks and verdicts.

    The status is 2 if the graph gives anything else.
    """
    check_json(options.to_json)
    if options.report is not None:
        check_report("--report", options.report)
        folders = [path for path in options.photographs if path.is_dir()]
        check_outside("--report", options.report, folders)
    check_distinct({"--json": options.to_json}, [options.file, options.exported])
    from patchbank.cli.progress import ConsoleProgress
    from patchbank.detector.loading import load
    from patchbank.export import open_exported, write_verification
    from patchbank.export.verifying import verified

    runtime = options.runtime or (
        "openvino" if options.exported.suffix == ".xml" else "onnxruntime"
    )
    detector = load(options.file, sha256=options.sha256)
    graph, sources = open_exported(options.exported, runtime), _sources(options.photographs)
    found = verified(detector, graph, sources, ConsoleProgress())
    if options.to_json != "-":
        _show(found)
    if options.to_json is not None:
        output.write_json(output.stamped(found.to_json(), output.stamp(detector)), options.to_json)
    if options.report is not None:
        output.note(f"report: {write_verification(found, options.report)}")
    _end(found)


def _sources(paths: list[Path]) -> list[ImageSource]:
    """The photographs of some files and folders; what folders have besides is said."""
    from patchbank.cli.path_lists import Given
    from patchbank.cli.pictures import list_photographs
    from patchbank.images.source import image_source

    listed = list_photographs([Given(path, is_listed=True) for path in paths])
    for line in listed.lines:
        output.note(line)
    return [image_source(file) for file, _ in listed.images]


def _end(found: Verification) -> None:
    """Name photographs that could not be compared, and exit with a status that says so."""
    for line in found.errors:
        output.error(line)
    if not found.is_passed:
        raise typer.Exit(Exit.WRONG)
    if found.errors:
        raise typer.Exit(Exit.INCOMPLETE)


def _show(found: Verification) -> None:
    """Print how the graph compares."""
    from patchbank.export import words

    output.say(words.sentence(found))
    for line in words.facts(found):
        output.say(f"  {line}")
    for pair in found.beyond[:SHOWN]:
        output.say(f"  {words.pair(pair)}")
    if len(found.beyond) > SHOWN:
        output.say(f"  and {len(found.beyond) - SHOWN:,} more; --json has all")
