"""`patchbank check`: what is wrong with photographs before anything is learned of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from patchbank.cli import output
from patchbank.cli.option_records import with_options
from patchbank.cli.options import DeviceName, JsonPath
from patchbank.cli.statuses import Exit
from patchbank.cli.targets import check_distinct, check_json, check_outside, check_report

if TYPE_CHECKING:
    from patchbank.check import Finding, PhotographCheck

Roi = Annotated[
    Optional[list[str]],
    typer.Option(
        "--roi",
        metavar="MASK|X,Y,W,H|POINTS",
        help="Look for defects in this part of each photograph only, in the forms of `fit --roi`.",
    ),
]
Ignore = Annotated[
    Optional[list[str]],
    typer.Option(
        "--ignore",
        metavar="MASK|X,Y,W,H|POINTS",
        help="Do not look for defects in this part, in the forms of `fit --roi`.",
    ),
]
NAMED = 4
"""Photographs or groups that one line names; the JSON and the page have all."""


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Options of `patchbank check`."""

    good: Annotated[
        list[Path],
        typer.Argument(
            metavar="GOOD...", help="Folders of good photographs, photographs, or a data set."
        ),
    ]
    test: Annotated[
        Optional[Path],
        typer.Option(
            "--test",
            metavar="DIR",
            help="Test photographs, copies of which among the good ones are named.",
        ),
    ] = None
    skip_scores: Annotated[
        bool,
        typer.Option("--skip-scores", help="Do not look for defects, which needs a quick fit."),
    ] = False
    roi: Roi = None
    ignore: Ignore = None
    to_json: JsonPath = None
    report: Annotated[
        Optional[Path], typer.Option("--report", metavar="DIR", help="Write a page with pictures.")
    ] = None
    device: DeviceName = "auto"

    def check_targets(self) -> None:
        """Check that all results have a place to go."""
        check_json(self.to_json)
        inputs = [*self.good, *filter(None, [self.test])]
        if self.report is not None:
            check_report("--report", self.report)
            check_outside("--report", self.report, [path for path in inputs if path.is_dir()])
        check_distinct({"--json": self.to_json}, inputs)


@with_options(CheckOptions)
def check(options: CheckOptions) -> None:
    """Find copies, odd files and probable defects among good photographs, before a fit."""
    options.check_targets()
    from patchbank.check import check_photographs
    from patchbank.cli.progress import ConsoleProgress

    found = check_photographs(
        options.good[0] if len(options.good) == 1 else options.good,
        test=options.test,
        scores=not options.skip_scores,
        roi=options.roi,
        ignore=options.ignore,
        device=options.device,
        progress=ConsoleProgress(),
    )
    if options.to_json != "-":
        show(found)
    if options.to_json is not None:
        output.write_json(found.to_json(), options.to_json)
    if options.report is not None:
        from patchbank.check.report import write_check_report

        output.note(f"report: {write_check_report(found, options.report)}")
    if found.findings:
        raise typer.Exit(Exit.INCOMPLETE)


def show(found: PhotographCheck) -> None:
    """Print a line for each finding, with the first names, and the notes."""
    count = "1 photograph" if found.n_good == 1 else f"{found.n_good} photographs"
    tested = f" and {found.n_test} to test on" if found.n_test else ""
    accused = len(found.accused)
    result = f"{accused} to decide about" if accused else "nothing found"
    output.say(f"{count} to learn from{tested}: {result}")
    for finding in found.findings:
        output.say(f"  {_line(finding)}")
        output.say(f"    {finding.advice}")
    for note in found.notes:
        output.note(f"note: {note}")


def _line(finding: Finding) -> str:
    """Number, title and the first names of a finding."""
    names = finding.names
    if finding.groups:
        shown = [" = ".join(_some(group)) for group in finding.groups[:NAMED]]
        groups = "1 group" if len(finding.groups) == 1 else f"{len(finding.groups)} groups"
        more = len(finding.groups) - NAMED
        rest = f"; and {more} more" if more > 0 else ""
        return f"{len(names)} {finding.title}, in {groups}: {'; '.join(shown)}{rest}"
    if finding.kind == "unreadable":  # the errors begin with the names
        return f"{len(names)} {finding.title}: {'; '.join(_some([*finding.details.values()]))}"
    shown = [f"{name} ({text})" if text else name for name, text in finding.details.items()]
    return f"{len(names)} {finding.title}: {', '.join(_some(shown))}"


def _some(names: tuple[str, ...] | list[str]) -> list[str]:
    """The first names, and how many more there are."""
    more = len(names) - NAMED
    return [*names[:NAMED], *([f"{more} more"] if more > 0 else [])]
