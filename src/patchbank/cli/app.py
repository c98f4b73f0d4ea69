"""The commands.  Heavy imports wait until a command runs, so that help is instant."""

from __future__ import annotations

import io
import json
import sys
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import typer

from patchbank.cli import output
from patchbank.errors import DataError, ParameterError, PatchbankError

app = typer.Typer(
    name="patchbank",
    help="Find defects in photographs of parts, having learned from good photographs alone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

DetectorPath = Annotated[Path, typer.Argument(metavar="FILE", help="A file that `fit` wrote.")]
JsonPath = Annotated[
    Optional[str], typer.Option("--json", metavar="FILE", help="Write JSON; - for standard output.")
]
Preset = Literal["fast", "balanced", "accurate"]


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
    preset: Annotated[Preset, typer.Option(help="Speed against accuracy.")] = "balanced",
    method: Annotated[Literal["patchcore"], typer.Option(help="The method.")] = "patchcore",
    backbone: Annotated[
        Optional[str], typer.Option(help="One of `patchbank backbones`, or an ONNX file.")
    ] = None,
    layers: Annotated[
        Optional[str], typer.Option(help="Layers of the backbone, by commas, shallow to deep.")
    ] = None,
    mean: Annotated[
        Optional[str], typer.Option(help="Mean of red,green,blue in [0, 1], for ONNX files.")
    ] = None,
    std: Annotated[
        Optional[str], typer.Option(help="Deviation of red,green,blue, for ONNX files.")
    ] = None,
    image_size: Annotated[
        Optional[str], typer.Option(metavar="SIDE|HxW", help="What the network sees, in pixels.")
    ] = None,
    scales: Annotated[
        Optional[str], typer.Option(help="Sizes relative to that, by commas: 1,0.5.")
    ] = None,
    aspect: Annotated[
        Optional[Literal["keep", "squash"]], typer.Option(help="Keep the shape of photographs?")
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
        Optional[Literal["mean", "random"]], typer.Option(help="First pick of the selection.")
    ] = None,
    projection_dims: Annotated[
        Optional[int], typer.Option(help="Select on a random projection to so many numbers.")
    ] = None,
    patch_size: Annotated[
        Optional[int], typer.Option(help="Neighbourhood of a patch, odd.")
    ] = None,
    patch_stride: Annotated[Optional[int], typer.Option(help="Steps between patches.")] = None,
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
        Optional[Literal["max", "reweighted", "smooth_max", "top_share"]],
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
    false_alarm_rate: Annotated[
        Optional[float], typer.Option(help="Share of good parts that may be flagged.")
    ] = None,
    seed: Annotated[Optional[int], typer.Option(help="Of everything random.")] = None,
) -> None:
    """Learn a detector from good photographs."""
    given = {
        name: value
        for name, value in locals().items()
        if name not in ("good", "out", "preset", "method") and value is not None
    }
    _check_target(out)
    from patchbank.cli.progress import Bars
    from patchbank.methods import METHODS
    from patchbank.pipeline.fit import fit as fit_detector

    chosen = METHODS[method]
    settings = chosen.settings.from_mapping({**chosen.presets[preset], **_parsed(given)})
    detector = fit_detector(chosen, settings, good, Bars())
    detector.save(out)
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
) -> None:
    """Inspect photographs: which are odd, where, and how sure that is."""
    from patchbank.cli.inspecting import inspect_paths
    from patchbank.pipeline.detector import load

    count = inspect_paths(load(file), paths, out, to_json)
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
) -> None:
    """Measure a detector on labelled photographs."""
    from patchbank.cli.progress import Bars
    from patchbank.data import find_dataset
    from patchbank.pipeline.detector import load
    from patchbank.pipeline.evaluate import evaluate as evaluate_detector

    detector = load(file)
    evaluation = evaluate_detector(detector, find_dataset(dataset), progress=Bars())
    _report(evaluation, detector, report, to_json)


@app.command()
def info(file: DetectorPath, to_json: JsonPath = None) -> None:
    """Show what a detector file holds."""
    from patchbank.pipeline.detector import load

    facts = output.detector_facts(load(file))
    if to_json is None:
        output.show_facts(facts)
    else:
        write_json(facts, to_json)


@app.command()
def backbones(
    files: Annotated[
        Optional[list[Path]], typer.Argument(metavar="[ONNX...]", help="ONNX files to list too.")
    ] = None,
    mean: Annotated[
        Optional[str], typer.Option(help="Mean of red,green,blue, for files that do not say.")
    ] = None,
    std: Annotated[
        Optional[str], typer.Option(help="Deviation of red,green,blue, likewise.")
    ] = None,
    to_json: JsonPath = None,
) -> None:
    """List backbones: layers, strides, channels, input range, licence, hash."""
    from patchbank.backbones import embedded_names, open_backbone

    if (mean is None) != (std is None):
        raise ParameterError("mean, std: expected both or none of them, got one")
    normalisation = None if mean is None or std is None else (_numbers(mean), _numbers(std))
    infos = [open_backbone(name).info for name in embedded_names()]
    infos += [open_backbone(str(path), None, normalisation).info for path in files or []]
    if to_json is None:
        output.show_backbones(infos)
    else:
        from dataclasses import asdict

        write_json([asdict(one) for one in infos], to_json)


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where detector and report go.")
    ] = Path("patchbank-demo"),
    preset: Annotated[Preset, typer.Option(help="Speed against accuracy.")] = "balanced",
    draw_defects: Annotated[
        bool,
        typer.Option("--draw-defects", help="Draw the defective cells too: a harder test."),
    ] = False,
    to_json: JsonPath = None,
) -> None:
    """Fit and test on real photographs of solar cells (PyPI package elpv-dataset)."""
    from patchbank.cli.progress import Bars
    from patchbank.methods import METHODS
    from patchbank.pipeline.demo import solar_cells
    from patchbank.pipeline.evaluate import evaluate as evaluate_detector
    from patchbank.pipeline.fit import fit as fit_detector

    good, dataset = solar_cells(draw_defects=draw_defects)
    _make_folder(out)
    method = METHODS["patchcore"]
    settings = method.settings.from_mapping(method.presets[preset])
    detector = fit_detector(method, settings, good, Bars())
    detector.save(out / "solar-cells.patchbank")
    output.fitted(detector, out / "solar-cells.patchbank")
    evaluation = evaluate_detector(detector, dataset, progress=Bars())
    _report(evaluation, detector, out, to_json)


def write_json(content: Any, target: str) -> None:
    """Write one JSON document to a file, or to standard output for ``-``."""
    text = json.dumps(content, indent=2) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{target}: expected to write JSON, got: {error.strerror}") from error


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


def _parsed(given: dict[str, Any]) -> dict[str, Any]:
    """Turn the few options that are written as lists into values."""
    for name in ("mean", "std"):
        if name in given:
            given[name] = _numbers(given[name])
    if "scales" in given:
        given["scales"] = _scales(given["scales"])
    if "layers" in given:
        given["layers"] = tuple(part.strip() for part in given["layers"].split(","))
    if "image_size" in given:
        given["image_size"] = _image_size(given["image_size"])
    return given


def _numbers(text: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise ParameterError(f"expected three numbers with commas, got {text!r}") from None
    return red, green, blue


def _scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ParameterError(f"scales: expected numbers with commas, got {text!r}") from None


def _image_size(text: str) -> int | tuple[int, int]:
    try:
        sides = [int(part) for part in text.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise ParameterError(
            f"image_size: expected a side (384) or height x width (256x512), got {text!r}"
        )
    return (sides[0], sides[1]) if len(sides) == 2 else sides[0]


def _check_target(out: Path) -> None:
    """Find out before the work, not after, that the result has nowhere to go."""
    if out.is_dir() or not out.parent.is_dir():
        raise DataError(f"{out}: expected a file in a folder that exists, got none such")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: expected to make this folder, got: {error.strerror}") from error
