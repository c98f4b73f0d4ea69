"""Photographs of inspections as other programs find them: files, by names that are UTF-8."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.result_rows import row_of
from patchbank.errors import DataError
from patchbank.runtime.printable import printable


def path_of(outcome: Inspection | FailedInspection) -> str:
    """The path of the photograph.

    Raises:
        DataError: it is an array or the like, which no other program finds.
    """
    if isinstance(outcome, Inspection) and not isinstance(outcome.source.content, Path):
        raise DataError(
            f"{outcome.image}: expected a photograph that is a file, got another image; give paths "
            "to the detector"
        )
    return outcome.image


def printable_row(outcome: Inspection | FailedInspection, detector_sha256: str) -> dict[str, Any]:
    """`row_of` an outcome, with texts that can be shown."""
    row = row_of(outcome, detector_sha256)
    return {
        name: printable(value) if isinstance(value, str) else value for name, value in row.items()
    }


def utf8_name(image: str | os.PathLike[str]) -> str:
    """The name of a photograph, as it is.

    Raises:
        DataError: it has bytes that are not UTF-8, which databases refuse.
    """
    name = os.fspath(image)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{name}: expected a name of a photograph in UTF-8, got other bytes; rename it"
        ) from None
    return name
