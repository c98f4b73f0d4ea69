"""`predict_to_parquet`: photographs of folders and tables, with results in Parquet files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from patchbank.bulk.arrow import pyarrow
from patchbank.bulk.inputs import (
    COLUMN,
    Block,
    PhotographList,
    Photographs,
    PhotographTable,
    blocks,
    rows_per_part,
)
from patchbank.bulk.results import PartFolder, PartSummary
from patchbank.bulk.work import BlockWork
from patchbank.cluster.connection import connected
from patchbank.detector.detector import Detector
from patchbank.detector.result_rows import ANOMALOUS, GOOD, UNREAD
from patchbank.errors import DataError
from patchbank.images.folders import find_images
from patchbank.images.urls import file_systems
from patchbank.runtime.arguments import DETECTOR, of_kind, path_argument
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.progress import Progress, listener

TABLE_ENDING = ".parquet"


@dataclass(slots=True)
class BulkCount:
    """Photographs of a run by their outcome, those of earlier runs into the folder too."""

    good: int = 0
    anomalous: int = 0
    unread: int = 0
    kept: int = field(default=0, kw_only=True)
    """Photographs whose results were there already."""

    @property
    def total(self) -> int:
        """All photographs."""
        return self.good + self.anomalous + self.unread

    def add(self, verdicts: Mapping[str, int], *, is_kept: bool) -> None:
        """Count the rows of a part."""
        self.good += verdicts.get(GOOD, 0)
        self.anomalous += verdicts.get(ANOMALOUS, 0)
        self.unread += verdicts.get(UNREAD, 0)
        self.kept += sum(verdicts.values()) if is_kept else 0


def predict_to_parquet(
    detector: Detector,
    photographs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    column: str = COLUMN,
    cluster: str | None = None,
    progress: Progress | None = None,
    on_error: Callable[[str], None] | None = None,
) -> BulkCount:
    """Inspect photographs, and write one row for each, in their order, into Parquet files.

    The folder reads as one table: column ``row`` is the number of a photograph, from 0, and the
    others are those of ``patchbank predict --csv``.  A photograph that cannot be read is a row with
    an error and without a score.  A run that was stopped goes on where it was when it is called
    again with the same arguments.  Memory does not grow with the number of rows of a table.

    Args:
        detector: inspects.
        photographs: a Parquet table with a column of paths and URLs (as the package fsspec takes
            them), whose paths are relative to its folder; or a folder; or paths and URLs of
            photographs.
        out: folder for the results; new, empty, or of a run with the same arguments.
        column: of a table.
        cluster: address of a Ray cluster, whose machines must see the same paths; "auto" for that
            of this machine, "local" for new processes on it.  None inspects in this process.
        progress: shows the photographs.
        on_error: called with one line for each photograph that cannot be read.

    Raises:
        DataError: there is no such table, column or folder; or `out` has results of another run, or
            other files.
        ParameterError: pyarrow or fsspec is not installed, or ray, with a cluster.
        ClusterError: the cluster does not answer, or its processes die again and again.
    """
    of_kind("detector", detector, Detector, DETECTOR)
    target, heard = path_argument("out", out), listener(progress)
    pyarrow(), file_systems()
    found = _photographs(photographs, column)
    run = {
        "detector_sha256": detector.sha256,
        "photographs_sha256": found.sha256,
        "photographs": found.n_rows,
    }
    folder, count = PartFolder(target), BulkCount()
    size = rows_per_part(found.n_rows)

    def add(summary: PartSummary, *, is_kept: bool = False) -> None:
        count.add(summary.verdicts, is_kept=is_kept)
        if on_error is not None:
            for line in summary.errors:
                on_error(line)
        advance(sum(summary.verdicts.values()))

    def missing() -> Iterator[Block]:
        for block in blocks(found, size):
            summary = folder.summary_of(block)
            if summary is None:
                yield block
            else:
                add(summary, is_kept=True)

    with ExitStack() as stack:
        stack.enter_context(folder.held(run))
        if cluster is not None:
            stack.enter_context(connected(cluster))
        advance = stack.enter_context(heard.task("inspecting", found.n_rows))
        n_parts = -(-found.n_rows // size)
        work = BlockWork(detector)
        results = _here(work, missing()) if cluster is None else _there(work, missing(), n_parts)
        for block, content in results:
            add(folder.write(block, content))
    return count


def _here(work: BlockWork, wanted: Iterator[Block]) -> Iterator[tuple[Block, bytes]]:
    return ((block, work(block)) for block in wanted)


def _there(work: BlockWork, wanted: Iterator[Block], n_parts: int) -> Iterator[tuple[Block, bytes]]:
    from patchbank.cluster.workers import Workers

    def died(machine: str, block: Block | None) -> None:
        what = "no rows" if block is None else block
        LOGGER.warning("cluster: a worker on %s died; %s are inspected again", machine, what)

    return Workers(work, died).results(wanted, n_parts)


def _photographs(
    given: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], column: str
) -> Photographs:
    """The photographs of a table, a folder or a list.

    Raises:
        DataError: there are none.
    """
    if isinstance(given, (str, os.PathLike)):
        path = Path(given)
        if is_table(path):
            return PhotographTable(path, column)
        return PhotographList([str(image) for image in find_images(path).images])
    names = [os.fspath(name) for name in given]
    if not names:
        raise DataError("photographs: expected at least one, got none")
    return PhotographList(names)


def is_table(path: Path) -> bool:
    """Whether a path is that of a Parquet table."""
    return path.suffix.lower() == TABLE_ENDING and not path.is_dir()
