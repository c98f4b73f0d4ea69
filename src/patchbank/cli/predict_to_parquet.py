"""Run `patchbank predict --parquet`: a row for each photograph, on this machine or a cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from patchbank.bulk import predict_to_parquet
from patchbank.bulk.predict_files import is_table
from patchbank.cli import output
from patchbank.cli.path_lists import Given, StandardInput, batches
from patchbank.cli.pictures import list_photographs
from patchbank.cli.predict_options import PredictOptions
from patchbank.cli.progress import ConsoleProgress
from patchbank.cli.statuses import Exit, status_of
from patchbank.errors import DataError, ParameterError


def inspect_to_parquet(options: PredictOptions, given: Sequence[Given | StandardInput]) -> Exit:
    """Inspect, print errors and the totals, and return the exit status."""
    table = _table(given)
    if table is None and options.column is not None:
        raise ParameterError("--column: expected a Parquet table together with it, got none")
    photographs: Path | list[str]
    photographs, not_read = (table, 0) if table is not None else _listed(given)
    count = predict_to_parquet(
        options.load(),
        photographs,
        options.parquet or Path(),
        column=options.column or "path",
        cluster=options.cluster,
        progress=ConsoleProgress(),
        on_error=output.error,
    )
    if count.kept:
        output.note(f"note: {count.kept:,} results were there already")
    unread = count.unread + not_read
    output.totals(count.good, count.anomalous, unread)
    return status_of(
        anomalous=count.anomalous, unread=unread, fail_on_anomaly=options.fail_on_anomaly
    )


def _table(given: Sequence[Given | StandardInput]) -> Path | None:
    """The table that was given; None without one."""
    tables = [one.path for one in given if isinstance(one, Given) and is_table(one.path)]
    if not tables:
        return None
    if len(given) > 1:
        raise ParameterError(f"PATH: expected {tables[0]} alone, as it is a table, got others too")
    return tables[0]


def _listed(given: Sequence[Given | StandardInput]) -> tuple[list[str], int]:
    """Names of all photographs, and the number of files whose kind is not read."""
    names, not_read = [], 0
    for batch in batches(given):
        listed = list_photographs(batch)
        for line in listed.lines:
            output.note(line)
        names += [os.fspath(image) for image, _ in listed.images]
        not_read += listed.not_read
    if not names:
        raise DataError("PATH: expected photographs, got an empty list")
    return names, not_read
