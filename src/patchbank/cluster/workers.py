"""Processes of a cluster that do the same work on one block after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

from patchbank.errors import ClusterError, PatchbankError
from patchbank.runtime.threads import use_cores

Block = TypeVar("Block")

AT_ONCE = 2
"""Blocks that a worker has: one is on its way while it works on the other."""
MOST_DEATHS = 5
"""Times in a row that workers may die with the same block, or before their first one."""
CORES = 1
"""Cores of a worker."""


class WorkerActor:
    """Holds what the work needs, once a process."""

    def __init__(self) -> None:
        use_cores(CORES)  # before the work is there, whose networks ask for the number of cores

    def begin(self, work: Any) -> str:
        """Hold the work; -> address of the machine."""
        self._work = work
        return str(ray.util.get_node_ip_address())

    def do(self, block: Any) -> Any:
        """Work on a block."""
        return self._work(block)


@dataclass(eq=False)
class _Worker:
    actor: Any
    machine: str = "a machine of the cluster"
    n_blocks: int = 0
    is_alive: bool = True


@dataclass(eq=False)
class _Task(Generic[Block]):
    worker: _Worker
    block: Block | None
    """Block of the task; None while the worker opens the work."""


@dataclass(eq=False)
class Workers(Generic[Block]):
    """Workers on all cores of the cluster that this process is connected to.

    A worker that dies is replaced, and its blocks are worked on again.  What the work raises is
    raised here.
    """

    work: Callable[[Block], Any]
    """Sent to each machine once, and to each worker from there."""
    on_died: Callable[[str, Block | None], None]
    """Called with a machine and a block, for each worker that died with it."""
    _again: deque[Block] = field(default_factory=deque)
    _deaths: dict[int, int] = field(default_factory=dict)
    _tasks: dict[Any, _Task[Block]] = field(default_factory=dict)

    def results(self, blocks: Iterator[Block], at_most: int) -> Iterator[tuple[Block, Any]]:
        """Yield blocks with their results, in the order in which they are done.

        Args:
            blocks: handed out one after the other as workers have room, so that few are in memory.
            at_most: workers.

        Raises:
            ClusterError: workers die again and again.
            PatchbankError: the work cannot be done.
        """
        self._reference = ray.put(self.work)
        cores = int(ray.cluster_resources().get("CPU", 1))
        self._workers = [self._started() for _ in range(max(1, min(cores // CORES, at_most)))]
        try:
            while self._tasks:
                (done,), _ = ray.wait(list(self._tasks), num_returns=1)
                task = self._tasks.pop(done)
                try:
                    result = ray.get(done)
                except (RayActorError, OutOfMemoryError) as error:
                    self._replace(task, error)
                    continue
                except RayTaskError as error:
                    raise _cause(error) from None
                if task.block is None:
                    task.worker.machine = result
                else:
                    task.worker.n_blocks -= 1
                    self._deaths.pop(id(task.block), None)
                    yield task.block, result
                self._hand_out(task.worker, blocks)
        finally:
            for worker in self._workers:
                ray.kill(worker.actor)

    def _started(self) -> _Worker:
        new = ray.remote(WorkerActor).options(num_cpus=CORES, scheduling_strategy="SPREAD")
        worker = _Worker(new.remote())
        self._tasks[worker.actor.begin.remote(self._reference)] = _Task(worker, None)
        return worker

    def _hand_out(self, worker: _Worker, blocks: Iterator[Block]) -> None:
        """Give a worker that is ready as many blocks as it may have."""
        while worker.is_alive and worker.n_blocks < AT_ONCE:
            block = self._again.popleft() if self._again else next(blocks, None)
            if block is None:
                return
            self._tasks[worker.actor.do.remote(block)] = _Task(worker, block)
            worker.n_blocks += 1

    def _replace(self, task: _Task[Block], error: Exception) -> None:
        """Note a block of a worker that died, and start another worker in its stead."""
        key = 0 if task.block is None else id(task.block)
        deaths = self._deaths[key] = self._deaths.get(key, 0) + task.worker.is_alive
        if deaths == MOST_DEATHS:
            what = "before its first block" if task.block is None else f"with {task.block}"
            raise ClusterError(
                f"cluster: expected a worker to stay alive, but it died {deaths} times in a row "
                f"{what} ({str(error).splitlines()[0]}); see the logs of Ray on that machine"
            )
        self.on_died(task.worker.machine, task.block)
        if task.block is not None:
            self._again.append(task.block)
        if task.worker.is_alive:
            task.worker.is_alive = False
            self._workers.remove(task.worker)
            self._workers.append(self._started())


def _cause(error: RayTaskError) -> BaseException:
    """The error that the work raised, if it is one of ours."""
    return error.cause if isinstance(error.cause, PatchbankError) else error
