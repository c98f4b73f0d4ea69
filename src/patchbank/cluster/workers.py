"""Processes of a cluster that do the same work on one block after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

from patchbank.errors import ClusterError, PatchbankError
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.threads import use_cores

Block = TypeVar("Block")

MOST_DEATHS = 5
"""Times in a row that workers may die with the same block, or before their first one."""
CORES = 1
"""Cores of a worker."""
WAIT_S = 60.0
"""Time without a result after which the log says so, where a worker has no machine."""


class WorkerActor:
    """Holds what the work needs, once a process."""

    def __init__(self, cores: int) -> None:
        use_cores(cores)  # before the work is there, whose networks ask for the number of cores

    def begin(self, work: Any) -> tuple[str, str]:
        """Hold the work; -> address of the machine, and its identity."""
        self._work = work
        return str(ray.util.get_node_ip_address()), ray.get_runtime_context().get_node_id()

    def do(self, block: Any) -> Any:
        """Work on a block."""
        return self._work(block)


@dataclass(frozen=True, slots=True)
class WorkerKind:
    """Workers that do one block after the other, or several at a time."""

    cores: int = CORES
    """Cores that are reserved for it, all of one machine."""
    at_a_time: int = 1
    """Blocks that it works on at a time."""
    waiting: int = 1
    """Blocks that are on their way meanwhile."""


@dataclass(eq=False)
class _Worker:
    actor: Any
    kind: WorkerKind
    machine: str = "a machine of the cluster"
    node: str | None = None
    """Identity of the machine; None until the worker has opened the work."""
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

    A worker that dies is replaced as soon as there is a machine for it, and its blocks are worked
    on again.  What the work raises is raised here.
    """

    work: Callable[[Block], Any]
    """Sent to each machine once, and to each worker from there."""
    on_died: Callable[[str, Block | None], None]
    """Called with a machine and a block, for each worker that died with it."""
    kinds: Sequence[WorkerKind] = ()
    """One for each worker; if not given, there is one for each core."""
    _again: deque[Block] = field(default_factory=deque)
    _deaths: dict[int, int] = field(default_factory=dict)
    _tasks: dict[Any, _Task[Block]] = field(default_factory=dict)
    _is_over: bool = False
    """Whether all blocks were handed out."""

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
        n_cores = int(ray.cluster_resources().get("CPU", 1))
        kinds = self.kinds or [WorkerKind()] * max(1, n_cores // CORES)
        self._workers = [self._started(kind) for kind in kinds[: max(1, at_most)]]
        try:
            while self._is_unfinished:
                found, _ = ray.wait(list(self._tasks), num_returns=1, timeout=WAIT_S)
                if not found:
                    self._say_waiting()
                    continue
                (done,) = found
                task = self._tasks.pop(done)
                try:
                    result = ray.get(done)
                except (RayActorError, OutOfMemoryError) as error:
                    self._replace(task, error)
                    self._hand_out_again(blocks)
                    continue
                except RayTaskError as error:
                    raise _cause(error) from None
                if task.block is None:
                    task.worker.machine, task.worker.node = result
                    self._deaths.pop(0, None)
                else:
                    task.worker.n_blocks -= 1
                    self._deaths.pop(id(task.block), None)
                    yield task.block, result
                self._hand_out(task.worker, blocks)
        finally:
            for worker in self._workers:
                ray.kill(worker.actor)

    @property
    def _is_unfinished(self) -> bool:
        """Whether a block is left: a worker that waits for a machine need not be waited for."""
        under_way = any(task.block is not None for task in self._tasks.values())
        return under_way or bool(self._again) or not self._is_over

    def _say_waiting(self) -> None:
        n = sum(task.block is None for task in self._tasks.values())
        if n:
            LOGGER.warning("cluster: %d workers wait for a machine with free cores", n)

    def _started(self, kind: WorkerKind) -> _Worker:
        new = ray.remote(WorkerActor).options(
            num_cpus=kind.cores, max_concurrency=kind.at_a_time, scheduling_strategy="SPREAD"
        )
        worker = _Worker(new.remote(kind.cores), kind)
        self._tasks[worker.actor.begin.remote(self._reference)] = _Task(worker, None)
        return worker

    def _hand_out_again(self, blocks: Iterator[Block]) -> None:
        """Give the blocks of a dead worker to others, of which some may have nothing left.

        Those of a lost machine die with it, but say so only when they are given something.
        """
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        for worker in self._workers:
            if worker.node in alive:
                self._hand_out(worker, blocks)

    def _hand_out(self, worker: _Worker, blocks: Iterator[Block]) -> None:
        """Give a worker as many blocks as it may have."""
        kind = worker.kind
        while worker.is_alive and worker.n_blocks < kind.at_a_time + kind.waiting:
            block = self._again.popleft() if self._again else next(blocks, None)
            if block is None:
                self._is_over = True
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
            self._workers.append(self._started(task.worker.kind))


def _cause(error: RayTaskError) -> BaseException:
    """The error that the work raised, if it is one of ours."""
    return error.cause if isinstance(error.cause, PatchbankError) else error
