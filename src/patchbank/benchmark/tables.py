"""The tables of a benchmark as Markdown, and as CSV in long form."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from patchbank.benchmark.plan import FULL, shots_text
from patchbank.benchmark.summary import COSTS, Cell, Summary

NOTHING = "-"
MEAN = "mean"
COLUMNS = ("table", "shots", "metric", "method", "category", "seeds", "value", "half_width")


def cell_text(cell: Cell) -> str:
    """Text of a cell.

    >>> cell_text(Cell((0.97, 0.98, 0.99), 3)), cell_text(Cell((0.97,), 1)), cell_text(Cell((), 0))
    ('0.980 ± 0.025', '0.970', '-')
    >>> cell_text(Cell((0.97, 0.98), 3)), cell_text(Cell((0.98, 0.97), 2))
    ('0.975 (2 of 3)', '0.975 [0.970, 0.980]')
    """
    if not cell.values:
        return NOTHING
    if not cell.is_complete:
        return f"{cell.mean:.3f} ({len(cell.values)} of {cell.planned})"
    if cell.half_width is not None:
        return f"{cell.mean:.3f} ± {cell.half_width:.3f}"
    both = f" [{min(cell.values):.3f}, {max(cell.values):.3f}]" if len(cell.values) > 1 else ""
    return f"{cell.mean:.3f}{both}"


def cost_text(value: float | None) -> str:
    """Three significant digits, or an integer.

    >>> cost_text(0.01234), cost_text(12.34), cost_text(1234.5), cost_text(None)
    ('0.0123', '12.3', '1234', '-')
    """
    if value is None:
        return NOTHING
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def as_markdown(summary: Summary) -> str:
    """Tables with a row per method and a column per category; one table per metric and shots."""
    blocks = [
        "# Benchmark",
        f"{summary.done} of {summary.total} runs. Means over seeds ± half the width of their 95 % "
        "confidence interval (Student's t); two seeds are shown as [lower, higher]. The last "
        "column is the mean over the categories.",
    ]
    for table in summary.accuracy:
        lines = [
            (label, *map(cell_text, cells), cell_text(mean)) for label, cells, mean in table.lines
        ]
        blocks += [f"## {table.title}", _grid(("method", *table.columns, MEAN), lines)]
    for costs in summary.costs:
        lines = [(label, *map(cost_text, figures)) for label, figures in costs.lines]
        headings = tuple(heading for heading, _ in COSTS.values())
        blocks += [f"## Costs, {shots_text(costs.shots)}", _grid(("method", *headings), lines)]
    blocks.append(
        "Costs are medians over categories and seeds, reported as if no features were shared."
    )
    blocks += [*(f"- {skipped}" for skipped in summary.plan.skipped)]
    blocks += [f"Measured on {machine}." for machine in summary.machines]
    return "\n\n".join(blocks) + "\n"


def as_csv(summary: Summary) -> str:
    """One figure per line, with all digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(records(summary))
    return out.getvalue()


def records(summary: Summary) -> Iterator[tuple[str | int | float | None, ...]]:
    """The figures in long form, each with the COLUMNS; missing ones are left out."""
    for table in summary.accuracy:
        shots = _shots_word(table.shots)
        for label, cells, mean in table.lines:
            named = [*zip(table.columns, cells, strict=True), (MEAN, mean)]
            for column, cell in named:
                if cell.values:
                    figures = len(cell.values), cell.mean, cell.half_width
                    yield "accuracy", shots, table.metric, label, column, *figures
    for costs in summary.costs:
        for label, values in costs.lines:
            for (heading, _), value in zip(COSTS.values(), values, strict=True):
                if value is not None:
                    shots = _shots_word(costs.shots)
                    yield "cost", shots, heading, label, "median", None, value, None


def _shots_word(shots: int | None) -> str | int:
    return FULL if shots is None else shots


def _grid(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [headings, ["---", *["--:"] * (len(headings) - 1)], *lines]
    return "\n".join(f"| {' | '.join(_escaped(text) for text in row)} |" for row in rows)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
