"""Tables of a benchmark: methods by categories, with the spread over seeds.

Rows and columns are in the order of the plan, not of completion.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

from patchbank.benchmark.method_spec import MethodSpec
from patchbank.benchmark.plan import Plan, shots_text
from patchbank.benchmark.results import Row
from patchbank.datasets import Category

ACCURACY = {
    "image_auroc": "Image AUROC",
    "pixel_auroc": "Pixel AUROC",
    "aupro": "AUPRO",
    "image_f1_max": "Image F1-max",
}
COSTS = {
    "fit_seconds": ("fit, s", 1.0),
    "ms_per_image": ("ms an image", 1.0),
    "model_bytes": ("model, MB", 1e-6),
    "file_bytes": ("file, MB", 1e-6),
    "peak_memory_bytes": ("peak memory, MB", 1e-6),
}
"""Heading, and factor to its unit."""
CONFIDENCE = 0.95
FEWEST_SEEDS = 3  # of an interval


@dataclass(frozen=True, slots=True)
class Cell:
    """Figures of all seeds of one method and category."""

    values: tuple[float, ...]
    """One value per seed that is done."""
    planned: int
    """Number of planned seeds; 0 if the figure does not exist."""

    @property
    def is_complete(self) -> bool:
        """Whether all seeds are done."""
        return 0 < self.planned == len(self.values)

    @property
    def mean(self) -> float:
        """Mean over the seeds that are done."""
        return math.fsum(self.values) / len(self.values)

    @property
    def half_width(self) -> float | None:
        """Half width of the confidence interval of the mean (Student's t).

        None below three seeds: that of two is six times their distance, and says nothing.
        """
        n = len(self.values)
        if n < FEWEST_SEEDS:
            return None
        t = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
        return t * statistics.stdev(self.values) / math.sqrt(n)


@dataclass(frozen=True, slots=True)
class Table:
    """One metric at one number of shots."""

    metric: str
    title: str
    shots: int | None
    columns: tuple[str, ...]
    """Categories; each row ends with the mean over them."""
    lines: tuple[tuple[str, tuple[Cell, ...], Cell], ...]
    """(label, one cell per category, mean) of each method."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Medians over categories and seeds at one number of shots."""

    shots: int | None
    lines: tuple[tuple[str, tuple[float | None, ...]], ...]
    """(label, one figure for each of COSTS) of each method; None if there is none yet."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Content of the tables and the page."""

    plan: Plan
    done: int
    """Number of runs with a result."""
    total: int
    accuracy: tuple[Table, ...]
    costs: tuple[Costs, ...]
    machines: tuple[str, ...]
    """Machines that the results were measured on."""

    def table(self, metric: str, shots: int | None) -> Table:
        """The table of a metric of ACCURACY."""
        return next(t for t in self.accuracy if t.metric == metric and t.shots == shots)

    def cost(self, shots: int | None) -> Costs:
        """The costs at a number of shots."""
        return next(c for c in self.costs if c.shots == shots)


def summarise(plan: Plan, rows: Mapping[str, Row]) -> Summary:
    """Gather the results of a plan; rows of other plans are skipped."""
    found = [(run, rows[run.key]) for run in plan.runs if run.key in rows]
    keys = {run.key for run in plan.runs}
    groups = _Groups(plan, rows)
    return Summary(
        plan=plan,
        done=len(keys & rows.keys()),
        total=len(keys),
        accuracy=tuple(
            _table(plan, groups, metric, shots) for shots in plan.shots for metric in ACCURACY
        ),
        costs=tuple(_costs(plan, groups, shots) for shots in plan.shots),
        machines=tuple(dict.fromkeys(_machine(row) for _, row in found)),
    )


class _Groups:
    """Rows by shots, method and category; None for a run without a result."""

    def __init__(self, plan: Plan, rows: Mapping[str, Row]) -> None:
        self._rows: dict[tuple[int | None, str, str], list[Row | None]] = {}
        self._column = plan.column
        for run in plan.runs:
            place = run.shots, run.spec.label, plan.column(run.category)
            self._rows.setdefault(place, []).append(rows.get(run.key))

    def at(self, shots: int | None, spec: MethodSpec, category: Category) -> list[Row | None]:
        """One value per seed; none if the plan skips the category."""
        return self._rows.get((shots, spec.label, self._column(category)), [])


def _table(plan: Plan, groups: _Groups, metric: str, shots: int | None) -> Table:
    categories = [c for c in plan.categories if groups.at(shots, plan.specs[0], c)]
    lines = []
    for spec in plan.specs:
        cells = tuple(_cell(groups.at(shots, spec, c), metric) for c in categories)
        lines.append((spec.label, cells, _mean_cell(cells)))
    columns = tuple(plan.column(category) for category in categories)
    title = f"{ACCURACY[metric]}, {shots_text(shots)}"
    return Table(metric, title, shots, columns, tuple(lines))


def _cell(rows: Sequence[Row | None], metric: str) -> Cell:
    done = [row[metric] for row in rows if row is not None]
    if None in done:  # no masks
        return Cell((), 0)
    return Cell(tuple(done), len(rows))


def _mean_cell(cells: Sequence[Cell]) -> Cell:
    """Mean over categories for each seed, so that its interval is that of the mean."""
    cells = [cell for cell in cells if cell.planned]
    if not cells or not all(cell.is_complete for cell in cells):
        return Cell((), cells[0].planned if cells else 0)
    seeds = zip(*(cell.values for cell in cells), strict=True)
    return Cell(tuple(math.fsum(values) / len(values) for values in seeds), cells[0].planned)


def _costs(plan: Plan, groups: _Groups, shots: int | None) -> Costs:
    lines = []
    for spec in plan.specs:
        rows = [row for c in plan.categories for row in groups.at(shots, spec, c) if row]
        figures = (_median([row[name] for row in rows], COSTS[name][1]) for name in COSTS)
        lines.append((spec.label, tuple(figures)))
    return Costs(shots, tuple(lines))


def _median(values: Sequence[float | None], factor: float) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) * factor if known else None


def _machine(row: Row) -> str:
    where, versions = row["machine"], row["versions"]
    programs = ", ".join(f"{name} {versions[name]}" for name in sorted(versions))
    return (
        f"{where['processor']}, {where['worker_cores']} of {where['cores']} cores a run, device "
        f"{row['device']}; {where['system']}, Python {where['python']}, {programs}"
    )
