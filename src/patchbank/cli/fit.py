"""`patchbank fit`: every setting of every method is an option."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer

from patchbank.cli import output
from patchbank.cli.options import DeviceName, EngineName, check_target, of_members, parsed
from patchbank.errors import BackboneError

if TYPE_CHECKING:
    from patchbank.detector.detector import Detector

MethodName = Literal["patchcore", "graphcore", "padim", "spade", "simplenet"]

NO_SETTINGS = ("good", "out", "preset", "method", "device", "engine", "precision", "save_backbone")
"""Parameters of `fit` that are no settings of the method."""


def fit(
    good: Annotated[
        Path, typer.Argument(metavar="GOOD", help="Folder of good photographs, or a data set.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the detector goes.")],
    method: Annotated[MethodName, typer.Option(help="The method.")] = "patchcore",
    preset: Annotated[
        Optional[str],
        typer.Option(
            metavar="NAME",
            help="PatchCore: fast, balanced, accurate, few-shot, official, hcw, anomalib; "
            "the others: balanced, paper.",
        ),
    ] = None,
    augment: Annotated[
        Optional[str],
        typer.Option(
            metavar="rotations=8,...",
            help="Learn copies too: rotations=N, flips=horizontal|vertical|both, translations=N, "
            "zooms=0.9:1.1, with commas between them.",
        ),
    ] = None,
    backbone: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar="NAME|FILE",
            help="One of `patchbank backbones`, an ONNX file, a timm model with its tag, or a ViG; "
            "several times for an ensemble.",
        ),
    ] = None,
    weights: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar="FILE",
            help="Weights of a timm model or ViG; one for each backbone, - for none.",
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
    max_upscale: Annotated[
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
        Optional[Literal["max", "reweighted", "hcw", "smooth_max", "top_fraction", "pooled"]],
        typer.Option(help="From patches to the score of an image."),
    ] = None,
    top_fraction: Annotated[
        Optional[float], typer.Option(help="Share of worst patches that are averaged.")
    ] = None,
    n_reweight_neighbours: Annotated[
        Optional[int], typer.Option(help="Neighbours in the re-weighting (equation 7).")
    ] = None,
    graph_neighbours: Annotated[
        Optional[int],
        typer.Option(help="GraphCore: similar patches that each is compared with; 0 for none."),
    ] = None,
    graph_weight: Annotated[
        Optional[float], typer.Option(help="GraphCore: weight of what the graph tells.")
    ] = None,
    dims: Annotated[
        Optional[int], typer.Option(help="PaDiM: channels kept, drawn by --seed; all if not given.")
    ] = None,
    rank: Annotated[
        Optional[int], typer.Option(help="PaDiM: directions of each covariance that are kept.")
    ] = None,
    ridge: Annotated[Optional[float], typer.Option(help="PaDiM: added to each variance.")] = None,
    n_images: Annotated[
        Optional[int], typer.Option(help="SPADE: most similar good photographs that are looked at.")
    ] = None,
    fusion: Annotated[
        Optional[Literal["mean", "concatenate"]],
        typer.Option(help="SPADE: mean of a map a layer, or layers side by side."),
    ] = None,
    pool_deepest_only: Annotated[
        Optional[bool], typer.Option(help="SPADE: the deepest layer finds photographs only.")
    ] = None,
    hidden_dims: Annotated[
        Optional[int], typer.Option(help="SimpleNet: width of the discriminator.")
    ] = None,
    noise_std: Annotated[
        Optional[float],
        typer.Option(help="SimpleNet: of the noise, relative to each channel's own spread."),
    ] = None,
    margin: Annotated[
        Optional[float],
        typer.Option(help="SimpleNet: by which good patches are told from odd ones."),
    ] = None,
    adaptor_learning_rate: Annotated[
        Optional[float], typer.Option(help="SimpleNet: of the adaptor.")
    ] = None,
    discriminator_learning_rate: Annotated[
        Optional[float], typer.Option(help="SimpleNet: of the discriminator.")
    ] = None,
    schedule: Annotated[
        Optional[Literal["fixed", "early_stopping"]],
        typer.Option(help="SimpleNet: all steps, or as many as held-out good photographs ask for."),
    ] = None,
    steps: Annotated[Optional[int], typer.Option(help="SimpleNet: steps of the training.")] = None,
    batch_patches: Annotated[
        Optional[int], typer.Option(help="SimpleNet: good patches a step.")
    ] = None,
    folds: Annotated[
        Optional[int], typer.Option(help="SimpleNet: parts of the photographs left out in turn.")
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
    engine: Annotated[
        EngineName, typer.Option(help="What runs ONNX backbones; openvino is an extra.")
    ] = "onnxruntime",
    precision: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(
            help="Of the backbone; bfloat16 is faster and rounds, needs openvino, and is compared "
            "with a second fit in float32."
        ),
    ] = "float32",
    save_backbone: Annotated[
        Literal["onnx", "torch"],
        typer.Option(help="Hold a timm backbone as ONNX (opens anywhere) or for torch (GPU)."),
    ] = "onnx",
) -> None:
    """Learn a detector from good photographs."""
    given = {n: v for n, v in locals().items() if n not in NO_SETTINGS and v is not None}
    check_target(out)
    from patchbank.backbones import Engine
    from patchbank.cli.progress import ConsoleProgress
    from patchbank.methods import METHODS
    from patchbank.runtime.torch_device import open_device
    from patchbank.training.fit import fit as fit_detector
    from patchbank.training.precision import score_change

    chosen = METHODS[method]
    members = [(chosen, chosen.settings_from(preset, parsed(one))) for one in of_members(given)]
    place = open_device(device)
    detector = fit_detector(
        members, good, ConsoleProgress(), place, engine=Engine(engine, precision)
    )
    _save(detector, out, save_backbone)
    output.fitted(detector, out)
    if precision != "float32":
        precise = fit_detector(members, good, ConsoleProgress(), place, engine=Engine(engine))
        output.note(f"{precision}: {score_change(detector, precise)}")


def _save(detector: Detector, out: Path, backbone: Literal["onnx", "torch"]) -> None:
    """Save, and lose no fit to a backbone that cannot be exported."""
    try:
        detector.save(out, backbone=backbone)
    except BackboneError as error:
        detector.save(out, backbone="torch")
        output.note(f"note: {error}; saved with its backbone for torch instead")
