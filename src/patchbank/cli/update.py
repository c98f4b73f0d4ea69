"""`patchbank update`: let a detector file learn further good photographs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

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
from patchbank.cli.lost_defects import check_guard, write_lost
from patchbank.cli.option_records import with_options
from patchbank.cli.options import DeviceName, Sha256
from patchbank.cli.statuses import Exit
from patchbank.errors import GuardError
from patchbank.settings.rules import Integer

if TYPE_CHECKING:
    from patchbank.detector.detector import Detector
    from patchbank.training.update.request import UpdateFacts


@dataclass(frozen=True, kw_only=True)
class UpdateOptions:
    """Options of `patchbank update`."""

    file: DetectorPath
    good: Annotated[
        Optional[list[Path]],
        typer.Argument(
            metavar="GOOD...",
            help="Folders of further good photographs, photographs, or a data set: all that came, "
            "flagged or not.",
        ),
    ] = None
    normal: Annotated[
        Optional[list[str]],
        typer.Option(
            "--normal",
            metavar="RESULT[:N,...]",
            help="A file of `predict --json` whose anomalous photographs are good; with numbers, "
            "these regions of its one anomalous photograph are, the worst one being 1. Repeatable.",
        ),
    ] = None
    reason: Reason = ""
    by: By = ""
    limit_rows: Annotated[
        Optional[int],
        typer.Option(
            "--limit-rows",
            help="Rows that the bank has at most, without those of --normal; if not given, one and "
            "a half times those of the fit.",
        ),
        Integer(2),
    ] = None
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Learn photographs of something else than was learned, too; and, with --reason, "
            "those that hide a defect.",
        ),
    ] = False
    must_find: Annotated[
        Optional[list[Path]],
        typer.Option(
            "--must-find",
            metavar="DEFECTS",
            help="A folder of photographs confirmed as defects, or one photograph. If one that is "
            "found before the update would be lost, nothing is changed, and the exit status is 4. "
            "Repeatable.",
        ),
    ] = None
    remember: Annotated[
        Optional[list[Path]],
        typer.Option(
            "--remember",
            metavar="DEFECTS",
            help="A folder of photographs confirmed as defects, or one photograph: the file keeps "
            "the patches that their scores are made of, and this and every later update has to "
            "find them. "
            "Repeatable.",
        ),
    ] = None
    guard_report: Annotated[
        Optional[Path],
        typer.Option(
            "--guard-report",
            metavar="DIR",
            help="Folder for a page with pictures of each defect that would be lost, next to what "
            "hides it.",
        ),
    ] = None
    out: ChangedFile = None
    device: DeviceName = "auto"
    sha256: Sha256 = None


@with_options(UpdateOptions)
def update(options: UpdateOptions) -> None:
    """Learn further good photographs, without those that the detector was fitted on."""
    check_changed_file(options.file, options.out)
    check_guard(options.guard_report)
    from patchbank.cli.progress import ConsoleProgress
    from patchbank.datasets import training_images
    from patchbank.detector.detector import detector_of, parts_of
    from patchbank.training.photographs import Remarks
    from patchbank.training.update.guard import defects_of
    from patchbank.training.update.request import UpdateFacts, UpdateRequest, read_results
    from patchbank.training.update.updating import updated

    request = UpdateRequest(
        tuple(part for argument in options.normal or [] for part in read_results(argument)),
        options.limit_rows,
        options.force,
        options.reason,
        options.by,
        defects_of(options.must_find),
    )
    good = options.good or []
    found = training_images(good[0] if len(good) == 1 else good) if good else None
    opened, sha256 = open_to_change(options.file, options.sha256, options.device)
    before = opened
    if options.remember:  # first, so that this update has to find them too
        before = opened.remembering(options.remember, reason=options.reason, by=options.by)
    remarks, facts = Remarks(), UpdateFacts()
    parts = parts_of(before)
    try:
        if found is not None or request.normal or not options.remember:
            parts, _ = updated(parts, found, request, ConsoleProgress(), remarks, facts)
    except GuardError:
        if facts.guard.missed:
            output.note(f"note: {facts.guard.missed_line}")
        write_lost(before, request, facts, options.guard_report)
        raise
    write_lost(before, request, facts, options.guard_report)
    after = detector_of(parts, None)
    for line in [] if found is None else found.lines:
        output.note(f"note: {line}")
    save_changed(after, options.file, options.out, sha256)
    _show(opened, after, facts, options.out or options.file)
    output.fit_remarks(remarks)
    if remarks.unread:
        raise typer.Exit(Exit.INCOMPLETE)


def _show(before: Detector, after: Detector, facts: UpdateFacts, out: Path) -> None:
    """Print what was learned, and what changed by it."""
    from patchbank.detector.fit_facts import FitFacts

    old, new = before.calibration, after.calibration
    output.say(
        f"{out}: {FitFacts.of(after).sample}, threshold {old.threshold:.4g} -> "
        f"{new.threshold:.4g}, pixel threshold {old.pixel_threshold:.4g} -> "
        f"{new.pixel_threshold:.4g}, {out.stat().st_size / 1e6:.1f} MB"
    )
    if facts.learned:
        output.say(f"  {facts.learned_line}")
    for line in facts.rows_lines:
        output.say(f"  {line}")
    if facts.passing:
        output.say(f"  {facts.passing_line}")
    if after.remembered:
        n = len(after.remembered)
        output.say(f"  {n:,} defect{'' if n == 1 else 's'} remembered")
    if facts.guard.line:
        output.say(f"  {facts.guard.line}")
    for line in [*facts.lines, *facts.guard.lines]:
        output.note(f"note: {line}")
