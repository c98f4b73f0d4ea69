"""`patchbank undo`: give a detector file the state back that it had before a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Optional

import typer

from patchbank.cli import output
from patchbank.cli.changed_files import (
    By,
    ChangedFile,
    Reason,
    check_changed_file,
    open_to_change,
    save_changed,
)
from patchbank.cli.detector_options import DetectorPath
from patchbank.cli.history import when
from patchbank.cli.option_records import with_options
from patchbank.cli.options import Sha256
from patchbank.settings.rules import Integer


@dataclass(frozen=True, kw_only=True)
class UndoOptions:
    """Options of `patchbank undo`."""

    file: DetectorPath
    to: Annotated[
        Optional[int],
        typer.Option(
            "--to",
            metavar="ENTRY",
            help="Number of an entry, as `history` lists them; if not given, the last change "
            "is undone.",
        ),
        Integer(0),
    ] = None
    reason: Reason = ""
    by: By = ""
    out: ChangedFile = None
    sha256: Sha256 = None


@with_options(UndoOptions)
def undo(options: UndoOptions) -> None:
    """Restore an earlier state of a detector file: the same scores to the last bit.

    The undo is an entry of the history too.  What was undone cannot be restored from this file.
    """
    check_changed_file(options.file, options.out)
    before, sha256 = open_to_change(options.file, options.sha256)
    after = before.undone(options.to, reason=options.reason, by=options.by)
    save_changed(after, options.file, options.out, sha256)
    lineage = after.lineage
    if lineage is None:
        return
    aim, old, new = lineage.entries[lineage.position], before.calibration, after.calibration
    output.say(
        f"{options.out or options.file}: restored the state of entry {aim.number} ({aim.kind}, "
        f"{when(aim.time)}), threshold {old.threshold:.4g} -> {new.threshold:.4g}, pixel "
        f"threshold {old.pixel_threshold:.4g} -> {new.pixel_threshold:.4g}"
    )
