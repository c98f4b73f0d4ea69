"""`patchbank compare`: what two detectors say of the same photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from patchbank.cli import output
from patchbank.cli.option_records import with_options
from patchbank.cli.options import DeviceName, JsonPath, OtherEngine
from patchbank.cli.statuses import Exit
from patchbank.cli.targets import check_distinct, check_json, check_outside, check_report
from patchbank.errors import DataError, ParameterError

if TYPE_CHECKING:
    from patchbank.comparison import Comparison
    from patchbank.comparison.comparison import Pair

SHOWN = 10
"""Changed verdicts of one kind that are printed; the JSON and the page have more."""


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """Options of `patchbank compare`."""

    a: Annotated[
        Path,
        typer.Argument(metavar="A", help="A file that `fit` wrote, or that of `predict --json`."),
    ]
    b: Annotated[Path, typer.Argument(metavar="B", help="The other one, of the same kind.")]
    data: Annotated[
        Optional[list[Path]],
        typer.Argument(
            metavar="DATA...",
            help="Photographs that both detectors inspect: a data set with labels, folders or "
            "photographs without, or a file of `predict --json` that names them. Not given if A "
            "and B are files of `predict --json`.",
        ),
    ] = None
    to_json: JsonPath = None
    report: Annotated[
        Optional[Path],
        typer.Option("--report", metavar="DIR", help="Write a page with plot and pictures."),
    ] = None
    fail_on_change: Annotated[
        bool, typer.Option("--fail-on-change", help="Exit with status 3 if a verdict differs.")
    ] = False
    device: DeviceName = "auto"
    engine: OtherEngine = None

    def check_targets(self) -> None:
        """Check that all results have a place to go, and no input is overwritten."""
        check_json(self.to_json)
        inputs = [self.a, self.b, *(self.data or [])]
        if self.report is not None:
            check_report("--report", self.report)
            check_outside("--report", self.report, [path for path in inputs if path.is_dir()])
        check_distinct({"--json": self.to_json}, inputs)


@with_options(CompareOptions)
def compare(options: CompareOptions) -> None:
    """Compare what two detectors say of the same photographs: before an update goes live, say."""
    options.check_targets()
    found = _compared(options)
    if options.to_json != "-":
        _show(found)
    if options.to_json is not None:
        from patchbank import __version__

        stamp = {"version": str(__version__)}
        output.write_json(output.stamped(found.to_json(), stamp), options.to_json)
    if options.report is not None:
        from patchbank.comparison import write_comparison

        output.note(f"report: {write_comparison(found, options.report)}")
    _errors(found)
    if options.fail_on_change and found.changed:
        raise typer.Exit(Exit.ANOMALY)
    if not found.is_complete:
        raise typer.Exit(Exit.INCOMPLETE)


def _compared(options: CompareOptions) -> Comparison:
    """The comparison: of lines if there is no DATA, else of detectors that inspect it."""
    from patchbank.comparison import compare_results
    from patchbank.comparison.lines import is_results
    from patchbank.detector.result_lines import CURE
    from patchbank.images.formats import DETECTOR, UNKNOWN

    are_lines = [is_results(path) for path in (options.a, options.b)]
    if not options.data:
        if all(are_lines):
            found = compare_results(options.a, options.b)
            output.notes(found.remarks)
            return found
        other = options.b if are_lines[0] else options.a
        kind = _kind(other)
        if any(are_lines) or kind not in (UNKNOWN, DETECTOR):
            raise DataError(f"{other}: expected lines of predict --json, got {kind}; {CURE}")
        raise ParameterError(
            "DATA: expected photographs that both detectors inspect, got none; without them A and "
            "B are two files of predict --json"
        )
    if any(are_lines):
        raise ParameterError(
            "A, B: expected two detector files together with DATA, got lines of predict --json; "
            "compare two files of lines without DATA"
        )
    from patchbank.cli.progress import ConsoleProgress
    from patchbank.comparison import compared
    from patchbank.comparison.comparing import Compared
    from patchbank.comparison.photographs import photographs_in
    from patchbank.detector.loading import load

    a, b = (
        Compared(load(file, device=options.device, engine=options.engine), str(file), file)
        for file in (options.a, options.b)
    )
    return compared(a, b, photographs_in(options.data), ConsoleProgress())


def _kind(path: Path) -> str:
    """A word for a path that is no file with lines of results."""
    if not path.is_file():
        return "a folder" if path.is_dir() else "no such file"
    from patchbank.detector.result_lines import kind_of_results
    from patchbank.images.formats import HEAD_BYTES

    with path.open("rb") as file:
        return kind_of_results(file.read(HEAD_BYTES))


def _show(found: Comparison) -> None:
    """Print the result."""
    from patchbank.comparison import words

    output.say(words.headline(found))
    for line in words.by_label(found):
        output.say(f"  {line}")
    _show_changes("good -> anomalous", found.newly_flagged)
    _show_changes("anomalous -> good", found.newly_passed)
    output.say("")
    output.say(f"A {found.a.name}")
    output.say(f"B {found.b.name}")
    output.say("")
    _show_table([("", "A", "B"), *words.table(found)])
    output.say(words.correlation(found))
    kinds = words.kinds(found)
    if kinds:
        output.say("")
        _show_table([("defect", "photographs", "found by A", "found by B"), *kinds])
    settings = words.settings(found)
    if settings:
        output.say("")
        _show_table([("settings that differ", "A", "B"), *settings])
    descent = words.descent(found)
    if descent:
        output.say("")
    for line in descent:
        output.say(line)


def _show_changes(title: str, pairs: Sequence[Pair]) -> None:
    """Print changed verdicts, the first ones by name."""
    from patchbank.comparison import words

    if not pairs:
        return
    output.say(f"{title}, scores as shares of the thresholds:")
    for pair in pairs[:SHOWN]:
        output.say(f"  {words.change(pair)}")
    if len(pairs) > SHOWN:
        output.say(f"  and {len(pairs) - SHOWN:,} more; --json has all")


def _show_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        output.say("  ".join(cells).rstrip())


def _errors(found: Comparison) -> None:
    """Print what is in no figure."""
    from patchbank.images.folders import not_read_line

    for one in found.unread:
        output.error(one.error)
    for line in found.damaged[:SHOWN]:
        output.error(line)
    if len(found.damaged) > SHOWN:
        output.error(f"{len(found.damaged) - SHOWN:,} more lines are damaged; --json has all")
    if found.not_read:
        output.error(not_read_line([Path(name) for name in found.not_read]))
