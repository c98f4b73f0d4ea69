"""Commands that change a detector file: what they share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from patchbank.cli.targets import check_distinct, check_file
from patchbank.images.formats import SUFFIXES

if TYPE_CHECKING:
    from patchbank.detector.detector import Detector

Reason = Annotated[
    str,
    typer.Option(
        "--reason",
        metavar="TEXT",
        show_default=False,
        help="Why: kept in the history of the file.",
    ),
]
By = Annotated[
    str,
    typer.Option(
        "--by", metavar="NAME", show_default=False, help="Who: kept in the history of the file."
    ),
]
ChangedFile = Annotated[
    Optional[Path],
    typer.Option(
        "--out",
        metavar="FILE",
        help="File for the result; if not given, FILE is replaced.",
    ),
]


def check_changed_file(file: Path, out: Path | None) -> None:
    """Check that the result has a place to go.

    Raises:
        DataError: it cannot be written, or is the file that is read.
    """
    if not file.is_file() or file.suffix.lower() in SUFFIXES:
        return  # opening it names the reason
    check_file("FILE" if out is None else "--out", out or file, n_bytes=file.stat().st_size)
    if out is not None:
        check_distinct({"--out": out}, [file])


def open_to_change(
    file: Path, sha256: str | None = None, device: str = "cpu"
) -> tuple[Detector, str]:
    """Open a detector file, and say which file it was, for `save_changed`.

    Args:
        file: path of it.
        sha256: accept only the file with this digest; see `load`.
        device: where the detector computes.

    Returns:
        The detector, and the SHA-256 of the bytes of its file.
    """
    from patchbank.detector.bundle import file_digest
    from patchbank.detector.loading import load

    if sha256 is None and file.is_file():
        sha256 = file_digest(file)
    detector = load(file, device=device, sha256=sha256)
    return detector, (sha256 or "").lower()


def save_changed(detector: Detector, file: Path, out: Path | None, sha256: str) -> None:
    """Save a detector that was opened and changed.

    Args:
        detector: the changed one.
        file: that it was opened from.
        out: file for the result; None replaces `file`, unless somebody changed it meanwhile.
        sha256: of `file` when it was opened.

    Raises:
        DetectorFileError: `file` was changed meanwhile, or the file cannot be written.
    """
    from patchbank.detector.saving import save_again

    if out is None:
        save_again(detector, file, replaces=sha256)
    else:
        save_again(detector, out)
