"""Jobs of worker processes on all machines of a cluster, several at a time on each."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from patchbank.runtime.logs import LOGGER
from patchbank.runtime.worker_pool import Failure, Pool

NumberedJob = tuple[int, Mapping[str, Any]]


@dataclass(eq=False)
class JobsOfMachine:
    """Runs jobs in processes of the machine where it is called first."""

    workers: int
    module: str

    def __call__(self, numbered: NumberedJob) -> dict[str, Any] | Failure:
        """The outcome of a job; several threads call this."""
        with _making:
            pool = self._pool
        return pool.outcome(numbered[1])

    @cached_property
    def _pool(self) -> Pool:
        os.environ.pop("OMP_NUM_THREADS", None)  # of Ray; a process has a share of the cores
        return Pool(self.workers, self.module)


_making = threading.Lock()  # Python 3.12 makes a cached property as often as threads ask at once


@dataclass(frozen=True, slots=True)
class ClusterPool:
    """A `runtime.worker_pool.Pool` with so many processes on each machine of the cluster.

    This process is connected to it.  Jobs of a machine that is lost run again on others.
    """

    workers: int
    """Simultaneous processes of a machine."""
    module: str
    """That a worker runs."""

    def outcomes(
        self, jobs: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, dict[str, Any] | Failure]]:
        """Run all jobs, and yield (number of the job, its row or failure) as they finish.

        Raises:
            ClusterError: there is no machine with a core, or processes die again and again.
        """
        from patchbank.cluster.reading import Nodes
        from patchbank.cluster.workers import WorkerKind, Workers

        nodes = Nodes.alive()
        LOGGER.info("%d runs on %d nodes with %d cores", len(jobs), len(nodes.names), nodes.n_cores)
        kinds = [WorkerKind(cores, at_a_time=self.workers, waiting=0) for cores in nodes.cores]
        work = JobsOfMachine(self.workers, self.module)
        workers: Workers[NumberedJob] = Workers(work, _say_died, kinds)
        for (number, _), outcome in workers.results(iter(enumerate(jobs)), len(jobs)):
            yield number, outcome


def _say_died(machine: str, numbered: NumberedJob | None) -> None:
    again = "" if numbered is None else f"; run {numbered[0] + 1} begins again"
    LOGGER.warning("cluster: a worker on %s died%s", machine, again)
