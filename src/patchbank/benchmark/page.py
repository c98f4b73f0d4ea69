"""The page of a benchmark: tables and plots in one self-contained file."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from patchbank.benchmark import plots
from patchbank.benchmark.plan import in_order, shots_text
from patchbank.benchmark.summary import ACCURACY, COSTS, Summary
from patchbank.benchmark.tables import cell_text, cost_text

COLOURS = (
    "#2a7f9e", "#d0432f", "#3d8b40", "#8a5bb5", "#c98a1b", "#4a5a70", "#b3447e", "#1c9c8f"
)  # fmt: skip


def page(summary: Summary) -> str:
    """Render the page.  -> HTML."""
    environment = Environment(
        loader=PackageLoader("patchbank.benchmark", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(cell=cell_text, cost=cost_text, shots=shots_text)
    shown = [metric for metric in ("image_auroc", "aupro") if _has_values(summary, metric)]
    fullest = max(summary.plan.shots, key=in_order)
    return environment.get_template("page.html").render(
        summary=summary,
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
        width=plots.WIDTH,
        height=plots.HEIGHT,
    )


def _has_values(summary: Summary, metric: str) -> bool:
    tables = [table for table in summary.accuracy if table.metric == metric]
    return any(cell.values for table in tables for _, cells, _ in table.lines for cell in cells)
