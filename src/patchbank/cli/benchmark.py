"""`patchbank benchmark`: tables of methods by categories."""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from patchbank.cli import output
from patchbank.cli.option_records import with_options
from patchbank.cli.options import DeviceName, JsonPath, check_processors
from patchbank.cli.output import write_json
from patchbank.cli.statuses import Exit
from patchbank.cli.targets import check_distinct, check_folder, check_json
from patchbank.errors import DataError, ParameterError
from patchbank.runtime.printable import printable
from patchbank.settings.rules import Integer, Number

if TYPE_CHECKING:
    from rich.progress import Progress

    from patchbank.benchmark.plan import Run
    from patchbank.benchmark.results import Row
    from patchbank.benchmark.summary import Summary
    from patchbank.datasets import Category

DEFAULT_METHODS = ("patchcore:fast", "patchcore:balanced")


@dataclass(frozen=True)
class BenchmarkOptions:
    """Options of `patchbank benchmark`."""

    root: Annotated[
        Path, typer.Argument(metavar="ROOT", help="A data set, or a folder of its categories.")
    ]
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of results, tables and page.")
    ]
    methods: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar="[LABEL=]NAME[:PRESET][(SETTING=VALUE,...)]",
            help="Methods by commas, or several times, such as 'patchcore:fast(image_size=256)'. "
            f"[default: {', '.join(DEFAULT_METHODS)}]",
        ),
    ] = None
    categories: Annotated[
        Optional[list[str]],
        typer.Option(metavar="NAMES", help="Some of the categories, by commas; all if not given."),
    ] = None
    shots: Annotated[
        str, typer.Option(metavar="NUMBERS", help="Training images by commas, such as full,1,2,4.")
    ] = "full"
    seeds: Annotated[
        int, typer.Option(help="Draws of the training images of few shots."), Integer(1, 10_000)
    ] = 5
    full_seeds: Annotated[
        int, typer.Option(help="Runs on all training images."), Integer(1, 10_000)
    ] = 1
    workers: Annotated[
        int,
        typer.Option(
            help="Simultaneous runs, each on its share of the cores; 1 gives the best times."
        ),
        Integer(1, 10_000),
    ] = 1
    cluster: Annotated[
        Optional[str],
        typer.Option(
            metavar="ADDRESS",
            help="Execute the runs on a Ray cluster, --workers of them on each machine: auto, "
            "HOST:PORT, ray://HOST:PORT, or local.  All machines see ROOT and --out.",
        ),
    ] = None
    dataset: Annotated[
        Optional[str],
        typer.Option(metavar="NAME", help="Name of the data set, if it is not recognised."),
    ] = None
    device: DeviceName = "auto"
    cache_gb: Annotated[
        float,
        typer.Option(help="Disk for features that runs share, in --out; 0 for none."),
        Number(0, 1e6, unit="GB"),
    ] = 10.0
    memory_gb: Annotated[
        Optional[float],
        typer.Option(help="Memory limit of a run, which is given up beyond it."),
        Number(0, 1e6, open_low=True, unit="GB"),
    ] = None
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Go on where images are missing.")
    ] = False
    to_json: JsonPath = None


@with_options(BenchmarkOptions)
def benchmark(options: BenchmarkOptions) -> None:
    """Compare methods on all categories of a data set; the same command resumes after a stop."""
    check_json(options.to_json)
    check_folder("--out", options.out)
    check_distinct({"--json": options.to_json}, [options.root])
    from patchbank.benchmark.file_digests import STORE, FileDigests
    from patchbank.benchmark.method_spec import MethodSpec, split_outside
    from patchbank.benchmark.plan import make_plan, parse_shots
    from patchbank.benchmark.runner import Resources, run_benchmark
    from patchbank.datasets import find_categories

    shots = parse_shots(options.shots)
    written = [part for text in options.methods or DEFAULT_METHODS for part in split_outside(text)]
    specs = [MethodSpec.parse(text) for text in written]
    resources = Resources(
        device=_device(options),
        workers=options.workers,
        cache_gb=options.cache_gb,
        memory_gb=options.memory_gb,
        cluster=options.cluster,
    )
    chosen = _chosen(find_categories(options.root, options.dataset), options.categories)
    _check_whole(chosen, options.allow_incomplete)
    digests = FileDigests(options.out / STORE)
    plan = make_plan(
        chosen,
        specs,
        shots=shots,
        seeds=options.seeds,
        full_seeds=options.full_seeds,
        device=resources.device,
        digests=digests,
    )
    for line in plan.skipped:
        output.note(f"note: {line}")
    _remove_old_figures(options.to_json)
    runs = ConsoleRuns()
    try:
        with runs.shown():
            summary, failures = run_benchmark(plan, options.out, resources, runs, digests)
    except KeyboardInterrupt:
        output.note(f"stopped with {runs.progress_text()}; the same command goes on from there")
        raise
    _show(summary, options.out, options.to_json, failures)
    if any(category.test.not_read for category in chosen):
        raise typer.Exit(Exit.INCOMPLETE)


def _remove_old_figures(to_json: str | None) -> None:
    """Remove the JSON of an earlier benchmark, which would stay if this one is stopped."""
    target = Path(to_json) if to_json not in (None, "-") else None
    if target is not None and target.is_file() and not target.is_symlink():
        with suppress(OSError):
            target.unlink()


class ConsoleRuns:
    """Progress on standard error: a bar on a terminal, one line per run elsewhere."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._total = self._before = self._over = self._missing = 0
        self._bar: Progress | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Context in which runs are shown."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        text, left = (
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[left]}"),
        )
        bar = Progress(
            *(text, BarColumn(), MofNCompleteColumn(), left),
            console=Console(stderr=True),
            transient=True,
            refresh_per_second=1,  # a slow refresh leaves the cores to the runs
            disable=not sys.stderr.isatty(),
            redirect_stdout=False,
        )
        with bar:
            self._bar = bar if sys.stderr.isatty() else None
            yield
        self._bar = None

    def progress_text(self) -> str:
        """Progress in words."""
        return f"{self._before + self._over} of {self._total} runs done"

    def begins(self, total: int, missing: int) -> None:
        """Show the number of runs planned and missing."""
        self._began = time.perf_counter()
        self._total, self._missing, self._before = total, missing, total - missing
        if self._before:
            output.note(f"{self._before} of {total} runs are done already")
        if self._bar is not None:
            self._bar.add_task("runs", total=total, completed=self._before, left="")

    def finished(self, run: Run, row: Row) -> None:
        """Show the result of a run."""
        self._over += 1
        figures = f"image AUROC {row['image_auroc']:.4f}, fit {row['fit_seconds']:.1f} s"
        self._report(f"{run}: {figures}, {row['ms_per_image']:.0f} ms an image")

    def failed(self, run: Run, reason: str) -> None:
        """Note a failed run; reasons are printed at the end."""
        self._over += 1
        self._report(f"{run}: failed")

    def _report(self, line: str) -> None:
        spent = time.perf_counter() - self._began
        left = _time_text(spent / self._over * (self._missing - self._over))
        if self._bar is not None:
            self._bar.update(
                self._bar.task_ids[0], advance=1, description=printable(line), left=left
            )
        else:
            output.note(f"[{self._before + self._over}/{self._total}] {line}; {left}")


def _time_text(seconds: float) -> str:
    """Expected remaining time.

    >>> _time_text(20), _time_text(600), _time_text(20_000)
    ('less than a minute left', 'about 10 min left', 'about 5.6 h left')
    """
    if seconds < 60:
        return "less than a minute left"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min left"
    return f"about {seconds / 3600:.1f} h left"


def _chosen(found: Sequence[Category], names: Sequence[str] | None) -> list[Category]:
    """The categories asked for, in the order of the data set."""
    if names is None:
        return list(found)
    asked = [part.strip() for text in names for part in text.split(",")]
    known = [category.name for category in found]
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ParameterError(
                f"categories: expected some of {', '.join(known)}, got {name!r}{hint}"
            )
    return [category for category in found if category.name in asked]


def _device(options: BenchmarkOptions) -> str:
    """Name of the device of all runs.

    Raises:
        ParameterError: there is none of this name, or not on a cluster.
    """
    from patchbank.runtime.torch_device import open_device

    if options.cluster is None:
        return open_device(options.device).name
    check_processors(options.device, "runs")
    return "cpu"


def _check_whole(categories: Sequence[Category], allow_incomplete: bool) -> None:
    short = [category.shortfall for category in categories if category.shortfall]
    if short and not allow_incomplete:
        more = f" (and {len(short) - 1} more)" if len(short) > 1 else ""
        raise DataError(
            f"{short[0]}{more}; figures of a part cannot be compared with published ones: "
            "get all of it, or give --allow-incomplete"
        )
    for line in short:
        output.note(f"note: {line}")
    for category in categories:
        for line in category.test.lines:
            output.note(f"note: {category.name}: {line}")


def _show(summary: Summary, out: Path, to_json: str | None, failures: dict[str, str]) -> None:
    from patchbank.benchmark.tables import COLUMNS, cell_text, records

    if to_json != "-":
        for table in (t for t in summary.accuracy if t.metric == "image_auroc"):
            output.say(table.title)
            for label, _, mean in table.lines:
                output.say(f"  {label:<40} {cell_text(mean)}")
    output.note(f"tables and page: {out}/tables.md, tables.csv, index.html")
    if to_json is not None:
        content: dict[str, Any] = {
            "schema_version": output.SCHEMA_VERSION,
            "runs": summary.total,
            "done": summary.done,
            "failed": failures,
            "skipped": list(summary.plan.skipped),
            "figures": [dict(zip(COLUMNS, record, strict=True)) for record in records(summary)],
        }
        write_json(content, to_json)
    for name, reason in failures.items():
        output.error(f"{name}: {reason}")
    if failures:
        raise typer.Exit(Exit.INCOMPLETE)
