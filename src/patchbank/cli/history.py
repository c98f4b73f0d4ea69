"""`patchbank history`: who changed a detector file, what, when and why."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchbank.cli import output
from patchbank.cli.detector_options import DetectorPath
from patchbank.cli.options import JsonPath, Sha256
from patchbank.cli.targets import check_distinct, check_json

if TYPE_CHECKING:
    from patchbank.detector.lineage.chain import Lineage
    from patchbank.detector.lineage.entry import Entry

MOST_SHOWN = 5
"""Names in a line."""


def history(file: DetectorPath, to_json: JsonPath = None, sha256: Sha256 = None) -> None:
    """Show who changed a detector file, what, when and why, and which states can be restored."""
    from patchbank.detector.lineage.reading import read_lineage

    check_json(to_json)
    check_distinct({"--json": to_json}, [file])
    lineage, content_sha256 = read_lineage(file, sha256)
    if to_json is not None:
        output.write_json(_as_json(file, lineage, content_sha256), to_json)
    elif lineage is None:
        output.say(f"{file}: no history: nothing was changed since the fit, or nothing recorded")
    else:
        _show(file, lineage)


def _as_json(file: Path, lineage: Lineage | None, content_sha256: str) -> dict[str, Any]:
    from patchbank import __version__

    content = lineage.to_json() if lineage else {"position": None, "head": None, "entries": []}
    return {
        "schema_version": output.SCHEMA_VERSION,
        "version": str(__version__),
        "detector_sha256": content_sha256,
        "file": str(file),
        **content,
    }


def _show(file: Path, lineage: Lineage) -> None:
    """Print the history as a table, with lines below an entry for what does not fit into one."""
    n = len(lineage.entries)
    output.say(
        f"{file}: {n} entr{'ies' if n != 1 else 'y'}, in the state of entry {lineage.position}"
    )
    output.say(f"{'entry':>5}  {'time':<23}  {'kind':<9}  {'photographs':>11}  threshold")
    for entry in lineage.entries:
        limits = f"{entry.after.threshold:.4g}"
        if entry.before is not None and entry.before.threshold != entry.after.threshold:
            limits = f"{entry.before.threshold:.4g} -> {limits}"
        added = f"{entry.n_added:,}" if entry.n_added else "-"
        output.say(
            f"{entry.number:>5}  {when(entry.time):<23}  {entry.kind:<9}  {added:>11}  {limits}"
        )
        for line in _details(entry):
            output.say(f"{'':>5}  {line}")
    possible = lineage.restorable
    output.say(f"can be restored: {_numbers(possible) if possible else 'no earlier state'}")
    output.say(f"head {lineage.head}")


def _details(entry: Entry) -> list[str]:
    """Lines about an entry: what was restored or learned, who did it and why."""
    found = []
    if entry.restored is not None:
        found.append(f"restored the state of entry {entry.restored}")
    if entry.added and entry.kind != "fit":
        found.append(f"learned {_first([one.name for one in entry.added], entry.n_added)}")
    if entry.by or entry.reason:
        found.append(": ".join(filter(None, [entry.by, entry.reason])))
    if entry.forced is not None:
        forced = entry.forced
        lost = f"; lost: {_first(forced.lost, forced.n_lost)}" if forced.n_lost else ""
        found.append(f"forced: {forced.reason}{lost}")
    return found


def when(time: str | None) -> str:
    """A time of an entry for people.

    >>> when("2026-11-26T13:08:37Z")
    '2026-11-26 13:08:37 UTC'
    """
    if time is None:
        return "time not known"
    return time.replace("T", " ").replace("Z", " UTC")


def _first(names: Sequence[str], n: int) -> str:
    """The first names, and how many more there are.

    >>> _first(["a.png", "b.png"], 12)
    'a.png, b.png and 10 more'
    """
    shown = list(names[:MOST_SHOWN])
    rest = f" and {n - len(shown):,} more" if n > len(shown) else ""
    return f"{', '.join(shown)}{rest}"


def _numbers(numbers: Sequence[int]) -> str:
    """Ascending numbers of entries in words, those that follow each other as a range.

    >>> _numbers([0, 1, 2, 5, 7, 8])
    'entries 0 to 2, 5, 7, 8'
    """
    parts: list[str] = []
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        parts += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run)
    return f"entr{'ies' if len(numbers) > 1 else 'y'} {', '.join(parts)}"
