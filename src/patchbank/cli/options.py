"""Options as they are written on the command line, and the values that they mean."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from patchbank.choices import EngineName
from patchbank.errors import ParameterError
from patchbank.settings.rules import SHARE, Integer, Number

JsonPath = Annotated[
    Optional[str], typer.Option("--json", metavar="FILE", help="Write JSON; - for standard output.")
]
DeviceName = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:NUMBER.")
]

BankRows = Annotated[
    Optional[int],
    typer.Option("--bank-rows", help="Use so many rows of the bank: faster, less exact."),
    Integer(1),
]
LatencyBudget = Annotated[
    Optional[float],
    typer.Option(
        "--latency-budget",
        metavar="MS",
        help="Use as many rows as let this machine score a resized photograph in so many ms.",
    ),
    Number(0, 3_600_000, open_low=True, unit="ms"),
]

OtherRate = Annotated[
    Optional[float],
    typer.Option(
        "--false-alarm-rate",
        metavar="R",
        help="Use the thresholds of this share of good photographs that may be called anomalous.",
    ),
    SHARE,
]
OtherThreshold = Annotated[
    Optional[float],
    typer.Option(
        "--threshold", metavar="T", help="Use this threshold of the score instead of a rate."
    ),
    Number(-1e30, 1e30, open_low=True, open_high=True),
]
OtherPixelThreshold = Annotated[
    Optional[float],
    typer.Option(
        "--pixel-threshold",
        metavar="T",
        help="Use this threshold of the anomaly map, above which a pixel is in a region.",
    ),
    Number(-1e30, 1e30, open_low=True, open_high=True),
]

OtherEngine = Annotated[
    Optional[EngineName],
    typer.Option(
        "--engine", help="What runs ONNX backbones; the one it was fitted for if not given."
    ),
]

Sha256 = Annotated[
    Optional[str],
    typer.Option(
        "--sha256", metavar="HEX", help="Refuse any other file: what `sha256sum FILE` printed."
    ),
]

OF_MEMBERS = ("backbone", "weights", "layers", "mean", "std")
"""Options that are given once for each member of an ensemble."""
NONE = "-"
"""Placeholder of a member of an ensemble for which such an option is not given."""


def normalisation(
    mean: str | None, std: str | None
) -> tuple[tuple[float, float, float], tuple[float, float, float]] | None:
    """Mean and deviation of each colour, or None where neither is given."""
    from patchbank.settings.rules import mean_rule, std_rule

    if (mean is None) != (std is None):
        raise ParameterError("mean, std: expected both or none of them, got one")
    if mean is None or std is None:
        return None
    return mean_rule().parse("mean", mean), std_rule().parse("std", std)


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    from patchbank.settings.rules import Names

    found: tuple[str, ...] = Names().parse("layers", text)
    return found


def size(name: str, text: str) -> int | tuple[int, int]:
    """A side (384), or height x width (256x512)."""
    from patchbank.settings.rules import Size

    found: int | tuple[int, int] = Size().parse(name, text)
    return found


def check_processors(device: str, what: str) -> None:
    """Check the device of a command on a cluster whose work is done by processors.

    Args:
        device: that was asked for.
        what: what they do the work of, in the plural.

    Raises:
        ParameterError: it is another one.
    """
    if device not in ("auto", "cpu"):
        raise ParameterError(
            f"--device: expected auto or cpu with --cluster, whose {what} use processors, got "
            f"{device!r}"
        )
