"""`patchbank tune`: give a detector file another false-alarm rate, or thresholds by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
from patchbank.cli.option_records import with_options
from patchbank.cli.options import OtherPixelThreshold, OtherRate, OtherThreshold, Sha256
from patchbank.errors import ParameterError

if TYPE_CHECKING:
    from patchbank.core.scores.calibration import Calibration
    from patchbank.detector.detector import Detector


@dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """Options of `patchbank tune`."""

    file: DetectorPath
    false_alarm_rate: OtherRate = None
    threshold: OtherThreshold = None
    pixel_threshold: OtherPixelThreshold = None
    out: ChangedFile = None
    reason: Reason = ""
    by: By = ""
    sha256: Sha256 = None


@with_options(TuneOptions)
def tune(options: TuneOptions) -> None:
    """Change the threshold of a detector file: by another false-alarm rate, or by hand.

    The change is recorded where the file has a history, and with --reason or --by begins one.
    """
    if (options.false_alarm_rate, options.threshold, options.pixel_threshold) == (None,) * 3:
        raise ParameterError(
            "false_alarm_rate: expected --false-alarm-rate, --threshold or --pixel-threshold, "
            "got none of them"
        )
    check_changed_file(options.file, options.out)
    from patchbank.detector.changes import Thresholds, check_thresholds
    from patchbank.detector.lineage.entry import Edit

    thresholds = Thresholds(
        false_alarm_rate=options.false_alarm_rate,
        threshold=options.threshold,
        pixel_threshold=options.pixel_threshold,
    )
    check_thresholds(thresholds)
    edit = Edit("threshold", options.reason, options.by)
    before, sha256 = open_to_change(options.file, options.sha256)
    after = before
    if options.false_alarm_rate is not None:
        after = after.with_false_alarm_rate(options.false_alarm_rate)
    after = after.with_threshold(options.threshold, options.pixel_threshold)
    if before.lineage is not None or options.reason or options.by:
        after = after.recorded(before, edit)
    save_changed(after, options.file, options.out, sha256)
    _show(before, after, options.out or options.file)


def _show(before: Detector, after: Detector, out: Path) -> None:
    """Print what was changed, from the value before to the value after."""
    from patchbank.detector.fit_facts import FitFacts

    old, new = before.calibration, after.calibration
    output.say(
        f"{out}: threshold {_change(f'{old.threshold:.4g}', f'{new.threshold:.4g}')}, pixel "
        f"threshold {_change(f'{old.pixel_threshold:.4g}', f'{new.pixel_threshold:.4g}')}"
    )
    output.say(f"  false alarms {_change(_rate(old), _rate(new))}")
    if new.views_of_one:
        return
    facts = FitFacts.of(after)
    output.say(f"  {_change(FitFacts.of(before).bound, facts.bound)}")
    n_before, n_after = len(old.above_threshold), len(new.above_threshold)
    was = "" if n_before == n_after else f" (before: {n_before or 'none'})"
    output.say(f"  {facts.above_line}{was}")
    if old.rule != new.rule:
        output.note(
            "note: the file has its threshold by ranks alone; the new one follows from the rule of "
            "this version, ranks refined by a tail model"
        )
    if new.remark:
        output.note(f"note: {new.remark}")


def _rate(calibration: Calibration) -> str:
    """The expected rate in words."""
    from patchbank.runtime.percent import percent

    if calibration.views_of_one:
        return "not known"
    by_hand = "" if calibration.set_threshold is None else " expected (set by hand)"
    return f"{percent(calibration.expected_rate)}{by_hand}"


def _change(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"
