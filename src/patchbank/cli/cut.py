"""`patchbank cut`: write a detector with a smaller bank to a file of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from patchbank.cli import output
from patchbank.cli.detector_options import DetectorOptions
from patchbank.cli.option_records import with_options
from patchbank.cli.targets import check_distinct, check_file
from patchbank.errors import ParameterError


@dataclass(frozen=True, kw_only=True)
class CutOptions(DetectorOptions):
    """Options of `patchbank cut`."""

    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="File for the smaller detector.")
    ]


@with_options(CutOptions)
def cut(options: CutOptions) -> None:
    """Write a detector with fewer rows of its bank: faster, less exact, with its own threshold."""
    if options.bank_rows is None and options.latency_budget is None:
        raise ParameterError("bank_rows: expected --bank-rows or --latency-budget, got neither")
    size = options.file.stat().st_size if options.file.is_file() else 0
    check_file("--out", options.out, n_bytes=size)
    check_distinct({"--out": options.out}, [options.file])
    from patchbank.detector.saving import save_again

    detector = options.load()
    save_again(detector, options.out)
    output.fitted(detector, options.out)
