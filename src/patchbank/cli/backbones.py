"""The command `patchbank backbones` and those below it: show, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from patchbank.cli import output
from patchbank.cli.options import JsonPath, names, normalisation, size
from patchbank.cli.targets import check_file, check_json
from patchbank.errors import DataError, ParameterError, PatchbankError

if TYPE_CHECKING:
    from patchbank.backbones import BackboneInfo

app = typer.Typer(
    help="Backbones: list those that are installed, show any other, export it to ONNX.",
    rich_markup_mode=None,
)

Mean = Annotated[
    Optional[str],
    typer.Option(
        metavar="R,G,B",
        help="Mean of each colour in [0, 1], for a file that does not state it; with --std.",
    ),
]
Std = Annotated[
    Optional[str],
    typer.Option(
        metavar="R,G,B",
        help="Standard deviation of each colour in [0, 1]; with --mean.",
    ),
]


@app.callback(invoke_without_command=True)
def listing(context: typer.Context, to_json: JsonPath = None) -> None:
    """List the installed backbones with their layers, strides, channels, licence and digest."""
    from patchbank.backbones import describe_backbone, listed_names

    if context.invoked_subcommand is not None:
        if to_json is not None:
            raise ParameterError(f"--json: expected it after {context.invoked_subcommand}")
        return
    check_json(to_json)
    infos = []
    for name in listed_names():
        try:
            infos.append(describe_backbone(name))
        except PatchbankError as error:  # a backbone of an installed package
            output.note(f"warning: {name} cannot be described: {error}")
    _print(infos, to_json)


@app.command()
def show(
    backbones: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME|FILE...", help="timm models with their tag, ViGs, or ONNX files."
        ),
    ],
    mean: Mean = None,
    std: Std = None,
    to_json: JsonPath = None,
) -> None:
    """Show layers, strides, channels and input of any backbone; no weights are downloaded."""
    from patchbank.backbones import describe_backbone

    check_json(to_json)
    given = normalisation(mean, std)
    _print([describe_backbone(name, normalisation=given) for name in backbones], to_json)


@app.command()
def export(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A timm model with its tag, or a ViG.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE.onnx", help="The ONNX file to write.")
    ],
    layers: Annotated[
        Optional[str],
        typer.Option(
            metavar="NAMES",
            help="Layers that become outputs, separated by commas; the default ones if not given.",
        ),
    ] = None,
    weights: Annotated[
        Optional[str],
        typer.Option(
            metavar="FILE", help="File of weights; those of a timm tag are downloaded without it."
        ),
    ] = None,
    mean: Mean = None,
    std: Std = None,
    image_size: Annotated[
        Optional[str],
        typer.Option(metavar="HxW", help="The only input size of the file; any size if not given."),
    ] = None,
) -> None:
    """Export a timm model or a ViG as an ONNX backbone that runs without torch, and check it."""
    from patchbank.backbones import export_backbone, open_backbone
    from patchbank.runtime.atomic_file import replace_file

    fixed = size("image_size", image_size) if image_size is not None else None
    if isinstance(fixed, int):
        fixed = (fixed, fixed)
    if out.suffix != ".onnx":
        raise ParameterError(f"--out: expected a name that ends in .onnx, got {out}")
    check_file("--out", out)
    extractor = open_backbone(
        name,
        names(layers) if layers is not None else None,
        normalisation=normalisation(mean, std),
        weights=weights,
    )
    content = export_backbone(extractor, fixed)
    try:
        replace_file(out, content)
    except OSError as error:
        raise DataError(f"{out}: expected to write a backbone, got: {error.strerror}") from error
    output.say(f"{out}: {', '.join(extractor.layers)} of {name}, {len(content) / 1e6:.1f} MB")


def _print(infos: list[BackboneInfo], to_json: str | None) -> None:
    if to_json is None:
        output.show_backbones(infos)
    else:
        output.write_json([_to_json(info) for info in infos], to_json)


def _to_json(info: BackboneInfo) -> dict[str, Any]:
    """The keys of `docs/json.md`, "Backbones"."""
    return {
        "schema_version": output.SCHEMA_VERSION,
        "name": info.name,
        "layers": {
            name: {"channels": layer.channels, "stride": layer.stride}
            for name, layer in info.available_layers.items()
        },
        "default_layers": list(info.default_layers),
        "mean": list(info.mean),
        "std": list(info.std),
        "size_multiple": info.size_multiple,
        "input_size": list(info.input_size) if info.input_size else None,
        "license": info.license,
        "source": info.source,
        "sha256": info.sha256,
        "source_sha256": info.source_sha256,
    }
