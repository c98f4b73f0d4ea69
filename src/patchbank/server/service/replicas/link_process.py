"""The process of a link: it has the connection to a Ray cluster, and ends where that is lost.

    python -m patchbank.server.service.replicas.link_process

It gets frames on standard input, and answers on standard output.  Where the cluster is gone, Ray
ends the process that is connected, so that is not the service.  When standard input closes, the
service is gone: it removes the replicas, and ends.
"""

from __future__ import annotations

import itertools
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import IO, Any

from patchbank.cluster.connection import connected
from patchbank.errors import PatchbankError
from patchbank.runtime.printable import one_line
from patchbank.server.intake import NotRecorded
from patchbank.server.service.computing import Task
from patchbank.server.service.replicas import frames

DEPLOYMENT = "replicas"
AT_ONCE = 2
"""Photographs that a replica has: one is on its way while it inspects the other."""
MOST_DEATHS = 5
"""Times in a row that replicas may die with the same photograph."""
PAUSE_S = 0.2
"""Time before a photograph is sent again, times the deaths so far."""
CHECK_S = 1.0
LONGEST_SILENCE_S = 15.0
"""Time that a cluster may take to answer a question for its state."""
LONGEST_WITHOUT_S = 300.0
"""Time that there may be no replica: Ray starts one anew that died, and busy nodes take long."""
LAST_S = 20.0
"""Time to remove the replicas at the end."""
GROWTH = {
    "min_replicas": 1,
    "target_ongoing_requests": 1,
    "metrics_interval_s": 1.0,
    "look_back_period_s": 4.0,
    "upscale_delay_s": 2.0,
    "downscale_delay_s": 30.0,
}


class Said:
    """Frames that go to the service; several threads write them."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out, self._writing = out, threading.Lock()

    def __call__(self, *blobs: bytes, **head: Any) -> None:
        """Write a frame."""
        with self._writing, suppress(OSError):  # the service is gone, as the input says too
            frames.write(self._out, head, blobs)

    def end(self, error: str, kind: str = "ClusterError") -> None:
        """Say why this process ends, and end."""
        self(ended=one_line(error), kind=kind)
        os._exit(1)


class Replicas:
    """The replicas of one service on the cluster that this process is connected to."""

    def __init__(self, terms: Mapping[str, Any], said: Said) -> None:
        """Start the first one, in the place of those that another process left."""
        import ray
        from ray import serve

        from patchbank.server.service.replicas.replica import CORES, Replica

        self._ray, self._serve, self._said = ray, serve, said
        self._name, self._is_closing = terms["name"], False
        self.cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        said(nodes=self._nodes(), cores=self.cores)
        serve.start(http_options={"location": "NoServer"})
        if self._name in serve.status().applications:
            serve.delete(self._name)
        deployment = serve.deployment(
            name=DEPLOYMENT,
            max_ongoing_requests=AT_ONCE,
            ray_actor_options={"num_cpus": CORES},
            autoscaling_config={**GROWTH, "max_replicas": self.cores},
            graceful_shutdown_wait_loop_s=PAUSE_S,
        )(Replica)
        application = deployment.bind(terms["device"], terms["engine"], terms["products_mb"])
        self._handle = serve.run(application, name=self._name, route_prefix=None)
        self._files: dict[str, Any] = {}
        self._in_use: dict[str, tuple[int, Any]] = {}
        self._digests: dict[str, frozenset[str]] = {}
        self._numbers = itertools.count()
        self._pool = ThreadPoolExecutor(2 * AT_ONCE * self.cores)

    def take(self, head: Mapping[str, Any], blobs: Sequence[bytes]) -> None:
        """Take a frame of the service: the file of a detector, what is in use, or a photograph."""
        from patchbank.server.service.replicas.replica import InUse

        if "file" in head:
            self._files[head["file"]] = self._ray.put(blobs[0])
        elif "digests" in head:
            number, digests = next(self._numbers), head["digests"]
            files = {digest: self._files[digest] for digest in digests.values()}
            reference = self._ray.put(InUse(number, digests, files))
            self._in_use[head["product"]] = number, reference
            self._digests[head["product"]] = frozenset(files)
            needed = frozenset().union(*self._digests.values())
            self._files = {key: one for key, one in self._files.items() if key in needed}
        else:
            task = Task(content=blobs[0], **head["task"])
            self._pool.submit(self._inspect, head["number"], task, *self._in_use[task.product])

    def watch(self) -> None:
        """Say how many replicas there are, and end this process where the cluster is gone."""
        last_seen, said = time.monotonic(), None
        while not self._is_closing:
            with self._in_time():
                state = self._nodes(), self._running()
            if state[1]:
                last_seen = time.monotonic()
            elif time.monotonic() - last_seen > LONGEST_WITHOUT_S:
                self._said.end("no replica runs; see the logs of Ray")
            if state != said:
                self._said(nodes=state[0], replicas=state[1])
                said = state
            time.sleep(CHECK_S)

    def close(self) -> None:
        """Remove all of it from the cluster."""
        self._is_closing = True
        timer = threading.Timer(LAST_S, os._exit, (1,))
        timer.daemon = True
        timer.start()
        with suppress(Exception):  # the cluster may be gone
            self._serve.delete(self._name)

    def _nodes(self) -> int:
        """Number of nodes.

        Raises:
            ConnectionError: the one that this process is connected to is none of them.
        """
        alive = [node["NodeID"] for node in self._ray.nodes() if node["Alive"]]
        if self._ray.get_runtime_context().get_node_id() not in alive:
            raise ConnectionError("the node of this process is gone")
        return len(alive)

    def _running(self) -> int:
        """Number of replicas that run."""
        found = self._serve.status().applications.get(self._name)
        states = {} if found is None else found.deployments[DEPLOYMENT].replica_states
        return int(states.get("RUNNING", 0))

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Context of questions to the cluster; this process ends where it does not answer."""
        late = threading.Timer(LONGEST_SILENCE_S, self._said.end, ("it does not answer",))
        late.daemon = True
        late.start()
        try:
            yield
        except Exception as error:
            if self._is_closing:
                return
            self._said.end(f"{type(error).__name__}: {error}")
        finally:
            late.cancel()

    def _inspect(self, number: int, task: Task, in_use: int, reference: Any) -> None:
        """Answer a photograph; it is sent again where a replica dies."""
        from ray.exceptions import RayError, RayTaskError

        for deaths in range(1, MOST_DEATHS + 1):
            try:
                sent = self._handle.inspect.remote(task, in_use, [reference])
                head, blobs = sent.result()
                self._said(*blobs, number=number, computed=head)
                return
            except Exception as found:
                error = found
            cause = error.cause if isinstance(error, RayTaskError) else None
            if isinstance(cause, NotRecorded):
                self._said(number=number, not_recorded=str(cause))
                return
            if cause is not None and not isinstance(cause, RayError):
                self._said(number=number, fault=str(error))
                return
            self._said(died=_node_of(error), product=task.product, image=task.name)
            time.sleep(PAUSE_S * deaths)
        self._said(number=number, lost=f"{type(error).__name__}: {one_line(str(error))}")


def _node_of(error: Exception) -> str:
    """Address of the node of a replica that died, as the error says it."""
    found = re.search(r"^\s*ip: (\S+)", str(error), re.MULTILINE)
    return "a node" if found is None else found[1]


def _frames(stream: IO[bytes], ready: threading.Event) -> queue.SimpleQueue[frames.Frame | None]:
    """Frames as they come, and None at the end, which ends this process if it is not ready."""
    found: queue.SimpleQueue[frames.Frame | None] = queue.SimpleQueue()

    def read() -> None:
        while (frame := frames.read(stream)) is not None:
            found.put(frame)
        if not ready.is_set():
            os._exit(1)
        found.put(None)

    threading.Thread(target=read, daemon=True).start()
    return found


def main() -> None:
    """Link the service to the cluster until it closes the input."""
    said = Said(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # libraries may print; the frames must stay alone on their stream
    first = frames.read(sys.stdin.buffer)
    if first is None:
        return
    terms, ready = first[0], threading.Event()
    given = _frames(sys.stdin.buffer, ready)
    try:
        with connected(terms["address"]):
            replicas = Replicas(terms, said)
            ready.set()
            said(ready=True)
            threading.Thread(target=replicas.watch, daemon=True).start()
            while (frame := given.get()) is not None:
                replicas.take(*frame)
            replicas.close()
    except PatchbankError as error:
        said.end(str(error), type(error).__name__)
    except Exception as error:
        said.end(f"{type(error).__name__}: {error}")
    os._exit(0)  # threads may still wait for replicas


if __name__ == "__main__":
    main()
