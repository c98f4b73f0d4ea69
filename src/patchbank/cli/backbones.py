"""The commands below `patchbank backbones`: list, show, export."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Optional

import typer

from patchbank.cli import output
from patchbank.cli.options import JsonPath, check_target, names, normalisation, size
from patchbank.errors import DataError, ParameterError

app = typer.Typer(
    help="Backbones: list those that come with the package, show others, export them to ONNX.",
    rich_markup_mode=None,
)

Mean = Annotated[
    Optional[str], typer.Option(help="Mean of red,green,blue in [0, 1], for files of yours.")
]
Std = Annotated[Optional[str], typer.Option(help="Deviation of red,green,blue, likewise.")]


@app.callback(invoke_without_command=True)
def listing(context: typer.Context, to_json: JsonPath = None) -> None:
    """List the backbones that come with the package: layers, strides, channels, licence, hash."""
    from patchbank.backbones import embedded_names

    if context.invoked_subcommand is None:
        _tell(list(embedded_names()), None, None, to_json)
    elif to_json is not None:
        raise ParameterError(f"--json: expected it after {context.invoked_subcommand}")


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
    """Show layers, strides, channels and input of any backbone; no weights are fetched."""
    _tell(backbones, mean, std, to_json)


@app.command()
def export(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A timm model with its tag, or a ViG.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.onnx", help="Where it goes.")],
    layers: Annotated[
        Optional[str], typer.Option(help="Layers that become outputs, by commas.")
    ] = None,
    weights: Annotated[
        Optional[str], typer.Option(metavar="FILE", help="Weights, for machines without a network.")
    ] = None,
    mean: Mean = None,
    std: Std = None,
    image_size: Annotated[
        Optional[str],
        typer.Option(metavar="HxW", help="The one size that the file accepts; any, if not given."),
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
    check_target(out)
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
    print(f"{out}: {', '.join(extractor.layers)} of {name}, {len(content) / 1e6:.1f} MB")


def _tell(backbones: list[str], mean: str | None, std: str | None, to_json: str | None) -> None:
    from patchbank.backbones import describe_backbone

    given = normalisation(mean, std)
    infos = [describe_backbone(name, normalisation=given) for name in backbones]
    if to_json is None:
        output.show_backbones(infos)
    else:
        output.write_json([asdict(info) for info in infos], to_json)
