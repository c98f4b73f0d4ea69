"""The page of a benchmark: tables and plots in one self-contained file."""

from __future__ import annotations

import math
from collections.abc import Sequence

from patchbank.benchmark import plots
from patchbank.benchmark.plan import in_order, shots_text
from patchbank.benchmark.summary import ACCURACY, COSTS, Cell, Summary, Table
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
        sentence=_sentence(summary, shown, fullest),
        rates=_rates(summary, shown, fullest),
        best=lambda table: _best(table)[1].mean,
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


def _sentence(summary: Summary, metrics: Sequence[str], shots: int | None) -> str:
    """Which method is best at what, in one sentence."""
    found = [
        f"highest {_name(metric)}: {label}"
        for metric in metrics
        if (label := _best(summary.table(metric, shots))[0])
    ]
    fastest = _fastest(summary, shots)
    if fastest is not None:
        found.append(f"fastest: {fastest[0]}")
    if not found:
        done = summary.done
        return f"{done} of {summary.total} runs are done, which is too few for a comparison."
    text = "; ".join(found)
    return f"{text[0].upper()}{text[1:]} ({shots_text(shots)})."


def _rates(summary: Summary, metrics: Sequence[str], shots: int | None) -> list[tuple[str, str]]:
    """The figures of the best methods, with what they are."""
    bests = [(metric, *_best(summary.table(metric, shots))) for metric in metrics]
    rates = [
        (cell_text(cell), f"mean {_name(metric)} of {label}")
        for metric, label, cell in bests
        if label
    ]
    fastest = _fastest(summary, shots)
    if fastest is not None:
        rates.append((f"{cost_text(fastest[1])} ms", f"an image, with {fastest[0]}"))
    return rates


def _best(table: Table) -> tuple[str, Cell]:
    """The methods of the highest mean over all categories; without a name if none is complete."""
    complete = [(label, mean) for label, _, mean in table.lines if mean.is_complete]
    _, best = max(complete, key=lambda one: one[1].mean, default=("", Cell((math.nan,), 0)))
    return " and ".join(label for label, mean in complete if mean.mean == best.mean), best


def _fastest(summary: Summary, shots: int | None) -> tuple[str, float] | None:
    """The methods of the shortest time of an image, with that time."""
    column = list(COSTS).index("ms_per_image")
    times = [(label, figures[column]) for label, figures in summary.cost(shots).lines]
    shortest = min((time for _, time in times if time is not None), default=None)
    if shortest is None:
        return None
    return " and ".join(label for label, time in times if time == shortest), shortest


def _name(metric: str) -> str:
    """The name of a metric within a sentence.

    >>> _name("image_auroc"), _name("aupro")
    ('image AUROC', 'AUPRO')
    """
    name = ACCURACY[metric]
    return name if name.isupper() else name[0].lower() + name[1:]


def _has_values(summary: Summary, metric: str) -> bool:
    tables = [table for table in summary.accuracy if table.metric == metric]
    return any(cell.values for table in tables for _, cells, _ in table.lines for cell in cells)
