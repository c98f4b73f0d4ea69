"""Options as they are written on the command line, and the values that they mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import typer

from patchbank.errors import DataError, ParameterError

JsonPath = Annotated[
    Optional[str], typer.Option("--json", metavar="FILE", help="Write JSON; - for standard output.")
]
DeviceName = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:NUMBER.")
]

BankRows = Annotated[
    Optional[int],
    typer.Option("--bank-rows", help="Use so many rows of the bank: faster, less exact."),
]
LatencyBudget = Annotated[
    Optional[float],
    typer.Option(
        "--latency-budget",
        metavar="MS",
        help="Use as many rows as let this machine score a resized photograph in so many ms.",
    ),
]

EngineName = Literal["onnxruntime", "openvino"]
OtherEngine = Annotated[
    Optional[EngineName],
    typer.Option(
        "--engine", help="What runs ONNX backbones; the one it was fitted for if not given."
    ),
]

OF_MEMBERS = ("backbone", "weights", "layers", "mean", "std")
"""Options that are given once for each member of an ensemble."""
NONE = "-"
"""What stands for a member that takes none."""


def of_members(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Deal options that may come several times out to the members of an ensemble.

    >>> of_members({"backbone": ["a", "b"], "seed": 1})
    [{'seed': 1, 'backbone': 'a'}, {'seed': 1, 'backbone': 'b'}]
    >>> of_members({"backbone": ["a", "b"], "weights": ["a.pth", "-"]})
    [{'backbone': 'a', 'weights': 'a.pth'}, {'backbone': 'b'}]
    """
    shared = {name: value for name, value in given.items() if name not in OF_MEMBERS}
    several = {name: list(given[name]) for name in OF_MEMBERS if given.get(name)}
    count = len(several.get("backbone", [None]))
    for name, values in several.items():
        if len(values) != count:
            raise ParameterError(
                f"{name}: expected one for each backbone ({count}; - for none), got {len(values)}"
            )
    return [
        {**shared, **{n: values[number] for n, values in several.items() if values[number] != NONE}}
        for number in range(count)
    ]


def parsed(given: dict[str, Any]) -> dict[str, Any]:
    """Turn the few options that are written as lists into values."""
    readers: dict[str, Callable[[str], Any]] = {
        "mean": lambda text: numbers_of_colours("mean", text),
        "std": lambda text: numbers_of_colours("std", text),
        "scales": _scales,
        "layers": names,
        "image_size": lambda text: size("image_size", text),
        "crop": lambda text: size("crop", text),
    }
    values = {
        name: readers[name](value) if name in readers else value for name, value in given.items()
    }
    copies = augmentation(values.pop("augment", ""))
    return {**values, **copies}


def augmentation(text: str) -> dict[str, Any]:
    """What ``rotations=8,flips=horizontal,translations=4,zooms=0.9:1.1`` says, as settings.

    >>> augmentation("rotations=8,zooms=0.9:1.1")
    {'rotations': 8, 'zooms': (0.9, 1.1)}
    """
    readers: dict[str, Callable[[str], Any]] = {
        "rotations": int,
        "flips": str,
        "translations": int,
        "zooms": lambda factors: tuple(float(factor) for factor in factors.split(":")),
    }
    found = {}
    for part in text.split(",") if text else []:
        name, _, value = (piece.strip() for piece in part.partition("="))
        try:
            found[name] = readers[name](value)
        except (KeyError, ValueError):
            raise ParameterError(
                "augment: expected rotations=N, flips=horizontal|vertical|both, translations=N or "
                f"zooms=0.9:1.1, with commas between them, got {part!r}"
            ) from None
    return found


def check_target(out: Path) -> None:
    """Find out before the work, not after, that the result has nowhere to go."""
    if out.is_dir() or not out.parent.is_dir():
        raise DataError(f"{out}: expected a file in a folder that exists, got none such")


def normalisation(
    mean: str | None, std: str | None
) -> tuple[tuple[float, float, float], tuple[float, float, float]] | None:
    """Mean and deviation of each colour, or None where neither is given."""
    if (mean is None) != (std is None):
        raise ParameterError("mean, std: expected both or none of them, got one")
    if mean is None or std is None:
        return None
    return numbers_of_colours("mean", mean), numbers_of_colours("std", std)


def names(text: str) -> tuple[str, ...]:
    """Names with commas."""
    return tuple(part.strip() for part in text.split(","))


def numbers_of_colours(name: str, text: str) -> tuple[float, float, float]:
    """Three numbers with commas."""
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise ParameterError(f"{name}: expected three numbers with commas, got {text!r}") from None
    return red, green, blue


def size(name: str, text: str) -> int | tuple[int, int]:
    """A side (384), or height x width (256x512)."""
    try:
        sides = [int(part) for part in text.lower().split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise ParameterError(
            f"{name}: expected a side (384) or height x width (256x512), got {text!r}"
        )
    return (sides[0], sides[1]) if len(sides) == 2 else sides[0]


def _scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ParameterError(f"scales: expected numbers with commas, got {text!r}") from None
