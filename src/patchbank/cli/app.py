"""The commands.  Heavy imports wait until a command runs, so that help is instant."""

from __future__ import annotations

import io
import sys
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from patchbank.cli import backbones, output
from patchbank.cli.options import JsonPath, check_target, of_members, parsed
from patchbank.cli.output import write_json
from patchbank.errors import BackboneError, DataError, PatchbankError

if TYPE_CHECKING:
    from patchbank.pipeline.detector import Detector

app = typer.Typer(
    name="patchbank",
    help="Find defects in photographs of parts, having learned from good photographs alone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(backbones.app, name="backbones")

DetectorPath = Annotated[Path, typer.Argument(metavar="FILE", help="A file that `fit` wrote.")]
Preset = Literal["fast", "balanced", "accurate", "official", "hcw", "anomalib"]
DeviceName = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:NUMBER.")
]


NO_SETTINGS = ("good", "out", "preset", "method", "device", "save_backbone")
"""Parameters of `fit` that are no settings of the method."""


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
    """Run the command line; what is wrong with use, data or machine is one line and status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text
    try:
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

        print(f"patchbank {__version__}")
        raise typer.Exit(Exit.DONE)


@app.command()
def fit(
    good: Annotated[
        Path, typer.Argument(metavar="GOOD", help="Folder of good photographs, or a data set.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the detector goes.")],
    preset: Annotated[
        Preset, typer.Option(help="Sizes of ours, or what another implementation does.")
    ] = "balanced",
    method: Annotated[Literal["patchcore"], typer.Option(help="The method.")] = "patchcore",
    backbone: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar="NAME|FILE",
            help="One of `patchbank backbones`, an ONNX file, or a timm model with its tag; "
            "several times for an ensemble.",
        ),
    ] = None,
    weights: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar="FILE", help="Weights of a timm model; one for each backbone, - for none."
        ),
    ] = None,
    layers: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar="NAMES",
            help="Layers by commas; the first gives the grid of patches. Likewise.",
        ),
    ] = None,
    mean: Annotated[
        Optional[list[str]],
        typer.Option(metavar="R,G,B", help="Mean of each colour in [0, 1], for files of yours."),
    ] = None,
    std: Annotated[
        Optional[list[str]], typer.Option(metavar="R,G,B", help="Deviation, likewise.")
    ] = None,
    image_size: Annotated[
        Optional[str], typer.Option(metavar="SIDE|HxW", help="What the network sees, in pixels.")
    ] = None,
    scales: Annotated[
        Optional[str],
        typer.Option(help="Sizes relative to that, by commas; the first gives the grid."),
    ] = None,
    resize: Annotated[
        Optional[Literal["area", "short_side", "squash"]],
        typer.Option(help="What one side means: root of the area, the shorter, or both."),
    ] = None,
    resampling: Annotated[
        Optional[Literal["bilinear", "bicubic", "lanczos"]],
        typer.Option(help="Filter that resizes photographs."),
    ] = None,
    crop: Annotated[
        Optional[str],
        typer.Option(metavar="SIDE|HxW", help="Look at the middle of the resized photograph."),
    ] = None,
    largest_enlargement: Annotated[
        Optional[float], typer.Option(help="Small photographs grow at most so many times.")
    ] = None,
    coreset: Annotated[
        Optional[float], typer.Option(metavar="SHARE", help="Share of patches the bank keeps.")
    ] = None,
    bank_rows: Annotated[Optional[int], typer.Option(help="Rows that the bank keeps.")] = None,
    bank_limit: Annotated[
        Optional[int], typer.Option(help="The most rows where no size is asked for.")
    ] = None,
    covering_radius: Annotated[
        Optional[float], typer.Option(help="Keep rows until all patches are this near to one.")
    ] = None,
    selection: Annotated[
        Optional[Literal["greedy", "random", "all"]], typer.Option(help="Which patches are kept.")
    ] = None,
    start: Annotated[
        Optional[Literal["mean", "random", "first", "farthest", "starting_points"]],
        typer.Option(help="First pick of the selection."),
    ] = None,
    n_starting_points: Annotated[
        Optional[int], typer.Option(help="Rows drawn for --start starting_points.")
    ] = None,
    projection: Annotated[
        Optional[Literal["none", "gaussian", "uniform", "sparse"]],
        typer.Option(help="Select on a random projection."),
    ] = None,
    projection_dims: Annotated[
        Optional[int], typer.Option(help="Its dimensions; as many as keep distances, if not given.")
    ] = None,
    patch_size: Annotated[
        Optional[int], typer.Option(help="Neighbourhood of a patch, odd.")
    ] = None,
    patch_stride: Annotated[Optional[int], typer.Option(help="Steps between patches.")] = None,
    alignment: Annotated[
        Optional[Literal["bilinear", "nearest"]],
        typer.Option(help="How deep layers come to the grid of the first."),
    ] = None,
    target_dims: Annotated[
        Optional[int], typer.Option(help="Pool patches as the official code does.")
    ] = None,
    layer_dims: Annotated[
        Optional[int], typer.Option(help="Numbers a layer before that pooling.")
    ] = None,
    n_neighbours: Annotated[
        Optional[int], typer.Option(help="Neighbours averaged for a patch.")
    ] = None,
    metric: Annotated[
        Optional[Literal["euclidean", "squared"]], typer.Option(help="Distance of patches.")
    ] = None,
    index: Annotated[
        Optional[Literal["exact", "hnsw", "ivf"]], typer.Option(help="How neighbours are found.")
    ] = None,
    image_score: Annotated[
        Optional[Literal["max", "reweighted", "hcw", "smooth_max", "top_share"]],
        typer.Option(help="From patches to the score of an image."),
    ] = None,
    top_share: Annotated[
        Optional[float], typer.Option(help="Share of worst patches that are averaged.")
    ] = None,
    support: Annotated[
        Optional[int], typer.Option(help="Neighbours in the re-weighting (equation 7).")
    ] = None,
    smoothing: Annotated[
        Optional[float], typer.Option(help="Sigma of the map at 224 pixels, scaled.")
    ] = None,
    map_interpolation: Annotated[
        Optional[Literal["bilinear", "nearest"]], typer.Option(help="How maps are enlarged.")
    ] = None,
    map_border: Annotated[
        Optional[Literal["reflect", "mirror"]], typer.Option(help="How maps go on at the border.")
    ] = None,
    normalise_score: Annotated[
        Optional[bool],
        typer.Option(help="Tell scores in [0, 1] with the threshold at 0.5 too."),
    ] = None,
    false_alarm_rate: Annotated[
        Optional[float], typer.Option(help="Share of good parts that may be flagged.")
    ] = None,
    seed: Annotated[Optional[int], typer.Option(help="Of everything random.")] = None,
    device: DeviceName = "auto",
    save_backbone: Annotated[
        Literal["onnx", "torch"],
        typer.Option(help="Hold a timm backbone as ONNX (opens anywhere) or for torch (GPU)."),
    ] = "onnx",
) -> None:
    """Learn a detector from good photographs."""
    given = {n: v for n, v in locals().items() if n not in NO_SETTINGS and v is not None}
    check_target(out)
    from patchbank.cli.progress import Bars
    from patchbank.devices import open_device
    from patchbank.methods import METHODS
    from patchbank.pipeline.fit import fit as fit_detector

    chosen = METHODS[method]
    members = [
        (chosen, chosen.settings.from_mapping(chosen.changed_preset(preset, parsed(one))))
        for one in of_members(given)
    ]
    detector = fit_detector(members, good, Bars(), open_device(device))
    _save(detector, out, save_backbone)
    output.fitted(detector, out)


@app.command()
def predict(
    file: DetectorPath,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Images or folders.")],
    out: Annotated[
        Optional[Path], typer.Option("--out", metavar="DIR", help="Write overlay pictures.")
    ] = None,
    to_json: JsonPath = None,
    fail_on_anomaly: Annotated[
        bool, typer.Option("--fail-on-anomaly", help="Exit with status 3 if one is found.")
    ] = False,
    device: DeviceName = "auto",
) -> None:
    """Inspect photographs: which are odd, where, and how sure that is."""
    from patchbank.cli.inspecting import inspect_paths
    from patchbank.pipeline.detector import load

    count = inspect_paths(load(file, device=device), paths, out, to_json)
    if fail_on_anomaly and count.anomalous:
        raise typer.Exit(Exit.ANOMALY)
    if count.unread:
        raise typer.Exit(Exit.UNREAD)


@app.command()
def evaluate(
    file: DetectorPath,
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="MVTec layout, or folders named by defect.")
    ],
    to_json: JsonPath = None,
    report: Annotated[
        Optional[Path], typer.Option(metavar="DIR", help="Write a page with pictures.")
    ] = None,
    device: DeviceName = "auto",
) -> None:
    """Measure a detector on labelled photographs."""
    from patchbank.cli.progress import Bars
    from patchbank.data import find_dataset
    from patchbank.pipeline.detector import load
    from patchbank.pipeline.evaluate import evaluate as evaluate_detector

    detector = load(file, device=device)
    evaluation = evaluate_detector(detector, find_dataset(dataset), progress=Bars())
    _report(evaluation, detector, report, to_json)


@app.command()
def info(file: DetectorPath, to_json: JsonPath = None) -> None:
    """Show what a detector file holds."""
    from patchbank.pipeline.detector import load

    facts = output.detector_facts(load(file, device="cpu"))
    if to_json is None:
        output.show_facts(facts)
    else:
        write_json(facts, to_json)


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
    from patchbank.cli.progress import Bars
    from patchbank.devices import open_device
    from patchbank.methods import METHODS
    from patchbank.pipeline.demo import solar_cells
    from patchbank.pipeline.evaluate import evaluate as evaluate_detector
    from patchbank.pipeline.fit import fit as fit_detector

    good, dataset = solar_cells(draw_defects=draw_defects)
    _make_folder(out)
    method = METHODS["patchcore"]
    settings = method.settings.from_mapping(method.changed_preset(preset, {}))
    detector = fit_detector([(method, settings)], good, Bars(), open_device(device))
    detector.save(out / "solar-cells.patchbank")
    output.fitted(detector, out / "solar-cells.patchbank")
    evaluation = evaluate_detector(detector, dataset, progress=Bars())
    _report(evaluation, detector, out, to_json)


def _report(evaluation: Any, detector: Any, report: Path | None, to_json: str | None) -> None:
    from patchbank.pipeline.report import write_report

    if to_json != "-":
        output.show_evaluation(evaluation)
    if report is not None:
        output.note(f"report: {write_report(evaluation, detector, report)}")
    if to_json is not None:
        write_json(evaluation.to_json(), to_json)
    if evaluation.unread:
        for unread in evaluation.unread:
            output.error(unread.error)
        raise typer.Exit(Exit.UNREAD)


def _save(detector: Detector, out: Path, backbone: Literal["onnx", "torch"]) -> None:
    """Save, and lose no fit to a backbone that cannot be exported."""
    try:
        detector.save(out, backbone=backbone)
    except BackboneError as error:
        detector.save(out, backbone="torch")
        output.note(f"note: {error}; saved with its backbone for torch instead")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: expected to make this folder, got: {error.strerror}") from error
