"""Tables of a campaign: outcomes by room, and every mutant that was not killed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .campaign import KILLED, OUTCOMES


def table(results: list[dict[str, Any]], rooms: list[str]) -> dict[str, dict[str, int]]:
    """Count mutants and outcomes, a room a row, and all."""
    rows = {}
    for room in [*rooms, "all"]:
        some = [line for line in results if room in (line["room"], "all")]
        counts = Counter(line["outcome"] for line in some)
        rows[room] = {"mutants": len(some), **{name: counts[name] for name in OUTCOMES}}
        rows[room]["explained"] = sum(1 for line in some if line.get("explanation"))
        rows[room]["not reached"] = sum(
            1 for line in some if line["tests_reaching"] == 0 and line["outcome"] == "survived"
        )
    return rows


def shares(row: Mapping[str, int]) -> tuple[float, float]:
    """Share of all mutants that are killed, and of those that are killed or explained.

    Mutants that need torch or were not judged count as not killed.
    """
    killed = sum(row[name] for name in KILLED)
    n = max(row["mutants"], 1)
    return killed / n, (killed + row["explained"]) / n


def markdown(record: Mapping[str, Any]) -> str:
    """Lay out the table, survivors with their reasons, and what was not judged."""
    baseline = record["baseline"]
    lines = [
        *("# Mutants", "", f"`{record['command']}`", ""),
        f"{record['rooms']['all']['mutants']} mutants, seed {record['settings']['seed']}, against "
        f"{baseline['tests']} tests that take {baseline['cpu_seconds']:.0f} s of CPU time; "
        f"{len(baseline['skipped_or_failed'])} more are skipped here.",
        "",
        "Score: killed or timed out, of all mutants. Mutants that need torch (reached only where it"
        " is installed) and mutants that were not judged count as not killed.",
        "",
        f"| room | mutants | {' | '.join(OUTCOMES)} | survived, reached by no test | score "
        "| score with explained survivors |",
        "|---|--:|" + "--:|" * (len(OUTCOMES) + 3),
    ]
    for room, row in record["rooms"].items():
        counts = " | ".join(str(row[name]) for name in ("mutants", *OUTCOMES, "not reached"))
        killed, explained = shares(row)
        lines.append(f"| {room} | {counts} | {killed:.1%} | {explained:.1%} |")
    for name in (name for name in OUTCOMES if name not in KILLED):
        some = [line for line in record["mutants"] if line["outcome"] == name]
        if some:
            lines += ["", f"## {name.capitalize()}", ""]
            lines += ["| line | change | tests run, of those that reach it | remark |"]
            lines += ["|---|---|--:|---|", *(_row(line) for line in some)]
    return "\n".join(lines) + "\n"


def _row(line: Mapping[str, Any]) -> str:
    change = line["change"].replace("|", "\\|").replace("`", "'")
    place = f"`{line['path'].removeprefix('patchbank/')}:{line['line']}` {line['where']}"
    n_run = f"{line.get('tests_run', 0)} of {line['tests_reaching']}"
    remark = line.get("explanation") or line.get("message", "")
    return f"| {place} | `{change}` | {n_run} | {remark} |"


def add_explanations(path: Path, results: list[dict[str, Any]]) -> None:
    """Copy the reasons of a file to the survivors, and add keys of new survivors to the file."""
    reasons: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    for line in results:
        if line["outcome"] == "survived":
            line["explanation"] = reasons.setdefault(line["key"], "")
    path.write_text(json.dumps(dict(sorted(reasons.items())), indent=1, ensure_ascii=False) + "\n")
