"""The page of a benchmark: tables and plots in one self-contained file."""

from __future__ import annotations

from patchbank.benchmark import plots
from patchbank.benchmark.plan import in_order, shots_text
from patchbank.benchmark.summary import ACCURACY, COSTS, Summary
from patchbank.benchmark.tables import cell_text, cost_text
from patchbank.report import render

COLOURS = (
    "#2a7f9e", "#d0432f", "#3d8b40", "#8a5bb5", "#c98a1b", "#70829a", "#b3447e", "#1c9c8f"
)  # fmt: skip


def page(summary: Summary) -> str:
    """Render the page.  -> HTML."""
    shown = [metric for metric in ("image_auroc", "aupro") if _has_values(summary, metric)]
    fullest = max(summary.plan.shots, key=in_order)
    return render(
        "patchbank.benchmark",
        summary=summary,
        cell=cell_text,
        cost=cost_text,
        shots=shots_text,
        shots_of_plan=[shots_text(number) for number in summary.plan.shots],
        headings=[heading for heading, _ in COSTS.values()],
        tables=[table for table in summary.accuracy if _has_values(summary, table.metric)],
        fullest=fullest,
        by_latency=[
            (ACCURACY[metric], plots.accuracy_and_latency(summary, metric, fullest))
            for metric in shown
        ],
        by_shots=[
            (ACCURACY[metric], plots.accuracy_and_shots(summary, metric)) for metric in shown
        ],
        colours=COLOURS,
    )


def _has_values(summary: Summary, metric: str) -> bool:
    tables = [table for table in summary.accuracy if table.metric == metric]
    return any(cell.values for table in tables for _, cells, _ in table.lines for cell in cells)
