"""Run a benchmark: execute the missing runs, keep every result, rewrite the tables after each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from patchbank.benchmark.cache import UNFINISHED
from patchbank.benchmark.file_digests import FileDigests
from patchbank.benchmark.page import page
from patchbank.benchmark.plan import Plan, Run
from patchbank.benchmark.results import SCHEMA_VERSION, Results, Row, locked
from patchbank.benchmark.summary import Summary, summarise
from patchbank.benchmark.tables import as_csv, as_markdown
from patchbank.cluster.connection import connected
from patchbank.errors import DataError, ParameterError
from patchbank.runtime.atomic_file import replace_file
from patchbank.runtime.worker_pool import Failure, Pool

if TYPE_CHECKING:
    from patchbank.cluster.runs import ClusterPool

CACHE = "cache"
FAILURES = "failures.log"
GB = 10**9
WORKER = "patchbank.benchmark.worker"


class RunListener(Protocol):
    """Receives the progress of a benchmark."""

    def begins(self, total: int, missing: int) -> None:
        """Called first: number of runs planned, and of runs without a result."""
        ...

    def finished(self, run: Run, row: Row) -> None:
        """Called when a run has its result."""
        ...

    def failed(self, run: Run, reason: str) -> None:
        """Called when a run has failed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Resources that a benchmark may use."""

    device: str = "cpu"
    """Name of the device that computes."""
    workers: int = 1
    """Simultaneous processes; only with one are the times those of an undisturbed run."""
    cache_gb: float = 10.0
    """Disk for feature maps that several runs share; 0 for none."""
    memory_gb: float | None = None
    """Memory limit of a worker; None for no limit."""
    cluster: str | None = None
    """Address of a Ray cluster, on each of whose machines there are so many workers; None for this
    machine."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ParameterError(f"workers: expected 1 or more, got {self.workers}")
        if not 0 <= self.cache_gb < float("inf"):
            raise ParameterError(f"cache_gb: expected 0 or more, got {self.cache_gb}")
        if self.memory_gb is not None and not 0 < self.memory_gb < float("inf"):
            raise ParameterError(f"memory_gb: expected more than 0, got {self.memory_gb}")


def run_benchmark(
    plan: Plan,
    out: Path,
    resources: Resources,
    listener: RunListener,
    digests: FileDigests | None = None,
) -> tuple[Summary, dict[str, str]]:
    """Execute all runs that have no result in a folder yet.

    -> the summary, and the reason of each failed run by its name.

    Args:
        plan: the runs.
        out: folder of ``results.jsonl``, ``tables.md``, ``tables.csv`` and ``index.html``; created
            if missing.
        resources: what it may use.
        listener: receives the progress.
        digests: of the files of the plan, to be kept.

    Raises:
        DataError: another benchmark is writing there, or the results are of another program.
        ParameterError: the package ray is not installed, with a cluster.
        ClusterError: the cluster does not answer, or its processes die again and again.
    """
    _make_folder(out)
    with locked(out):
        results = Results(out)
        if digests is not None:
            digests.save()
        missing = list({run.key: run for run in plan.runs if run.key not in results.rows}.values())
        listener.begins(len({run.key for run in plan.runs}), len(missing))
        _clear_cache(out, missing)
        failures: dict[str, str] = {}
        _write_tables(plan, results, out)
        with _pool(resources) as pool:
            jobs = [_job(run, out, resources) for run in missing]
            for number, outcome in pool.outcomes(jobs):
                run = missing[number]
                if isinstance(outcome, Failure):
                    failures[str(run)] = _failure(run, outcome, out)
                    listener.failed(run, failures[str(run)])
                else:
                    row = _row(run, outcome)
                    results.append(row)
                    _write_tables(plan, results, out)
                    listener.finished(run, row)
                _forget(out, run, missing, results, failures)
        shutil.rmtree(out / CACHE, ignore_errors=True)
        return summarise(plan, results.rows), failures


@contextmanager
def _pool(resources: Resources) -> Iterator[Pool | ClusterPool]:
    """The processes that execute the runs."""
    if resources.cluster is None:
        with Pool(resources.workers, WORKER) as pool:
            yield pool
        return
    with connected(resources.cluster):
        from patchbank.cluster.runs import ClusterPool

        yield ClusterPool(resources.workers, WORKER)


def _job(run: Run, out: Path, resources: Resources) -> dict[str, Any]:
    """The job that is sent to a worker."""
    cache = {
        "folder": str(_cache_folder(out, run).absolute()),
        "limit_bytes": round(resources.cache_gb * GB),
    }
    limit = resources.memory_gb
    return {
        "category": run.category.name,
        "train": [os.path.abspath(path) for path in run.training],
        "test": [
            {
                "path": os.path.abspath(sample.path),
                "label": sample.label,
                "mask": None if sample.mask is None else os.path.abspath(sample.mask),
            }
            for sample in run.category.test.samples
        ],
        "method": run.spec.method,
        "settings": run.settings.to_mapping(),
        "device": resources.device,
        "cache": cache if resources.cache_gb else None,
        "memory_bytes": None if limit is None else round(limit * GB),
    }


def _row(run: Run, measured: Row) -> Row:
    """The row for the results file."""
    few = run.shots is not None
    return {
        "schema_version": SCHEMA_VERSION,
        "key": run.key,
        "dataset": run.category.dataset,
        "category": run.category.name,
        "label": run.spec.label,
        "method": run.spec.method,
        "preset": run.spec.preset,
        "shots": run.shots,
        "seed": run.seed,
        "training_images": [path.name for path in run.training] if few else len(run.training),
        **measured,
        "settings": run.settings.to_mapping(),
        "data_sha256": run.data,
        "finished_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _failure(run: Run, failure: Failure, out: Path) -> str:
    """The reason in one line; the output of the worker goes to a file."""
    if not failure.details:
        return failure.reason
    with (out / FAILURES).open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"{run}\n{failure.details}\n")
    return f"{failure.reason} ({out / FAILURES} has all of it)"


def _write_tables(plan: Plan, results: Results, out: Path) -> None:
    """Rewrite all tables and the page."""
    summary = summarise(plan, results.rows)
    writers: dict[str, Callable[[Summary], str]] = {
        "tables.md": as_markdown,
        "tables.csv": as_csv,
        "index.html": page,
    }
    for name, write in writers.items():
        replace_file(out / name, write(summary).encode("utf-8", "backslashreplace"))


def _cache_folder(out: Path, run: Run) -> Path:
    return out / CACHE / run.data[:16]


def _clear_cache(out: Path, missing: Iterable[Run]) -> None:
    """Remove features that no run needs any more, and unfinished files of a kill."""
    needed = {_cache_folder(out, run) for run in missing}
    for folder in (out / CACHE).glob("*"):
        if folder not in needed:
            shutil.rmtree(folder, ignore_errors=True)
    for unfinished in (out / CACHE).glob(f"*/*{UNFINISHED}"):
        unfinished.unlink(missing_ok=True)


def _forget(
    out: Path, run: Run, missing: Iterable[Run], results: Results, failures: dict[str, str]
) -> None:
    """Remove the features of a category whose runs are all done."""
    rest = [
        other
        for other in missing
        if other.data == run.data and other.key not in results.rows and str(other) not in failures
    ]
    if not rest:
        shutil.rmtree(_cache_folder(out, run), ignore_errors=True)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: expected to make this folder, got: {error.strerror}") from error
