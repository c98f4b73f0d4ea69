"""The process of a link as the service sees it: what it was sent, and what is under way in it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from patchbank.errors import ClusterError, ParameterError, PatchbankError
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.printable import one_line
from patchbank.server.intake import NotRecorded
from patchbank.server.service.computing import Computed, Task
from patchbank.server.service.replicas import frames

COMMAND = (sys.executable, "-m", "patchbank.server.service.replicas.link_process")
VARIABLES = {
    "PYTHONSAFEPATH": "1",  # no import from the current folder
    "RAY_SERVE_LOG_TO_STDERR": "0",
}
NICENESS = {"RAY_worker_niceness": "0"}
"""Variable for local replicas, unless it is set: they are the service itself."""


class Link:
    """A process that is connected to a cluster, or will be, or was."""

    def __init__(self, terms: Mapping[str, Any], content: Callable[[str, str], bytes]) -> None:
        """Start the process; `wait` says when it is ready.

        Args:
            terms: first frame for it.
            content: gives the bytes of the file of a product and digest.
        """
        self._content = content
        self.nodes = self.cores = self.replicas = 0
        self.reason = ""
        """Why it has ended, or did not begin."""
        self.ended = threading.Event()
        self._kind = "ClusterError"
        self._ready = threading.Event()
        self._numbers = itertools.count()
        self._asked: dict[int, Future[frames.Frame]] = {}
        self._asking, self._writing = threading.Lock(), threading.Lock()
        self._in_use: dict[str, Mapping[str, str]] = {}
        """Digests that the process has, by the product that a photograph is sent for."""
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**NICENESS, **os.environ, **VARIABLES},
            start_new_session=True,  # Ctrl-C reaches only the service, which closes it
        )
        assert self._process.stdin is not None
        self._stdin = self._process.stdin
        with suppress(OSError):  # it has ended already
            frames.write(self._stdin, terms)
        self._reader = threading.Thread(target=self._read, name="patchbank-link", daemon=True)
        self._reader.start()

    @property
    def is_ready(self) -> bool:
        """Whether it takes photographs."""
        return self._ready.is_set() and not self.ended.is_set()

    def wait(self) -> None:
        """Wait until it takes photographs.

        Raises:
            ParameterError: the package ray is not installed.
            ClusterError: no cluster answers, or it ended for another reason.
        """
        self._ready.wait()  # set at the end, too
        if self.ended.is_set():
            raise (ParameterError if self._kind == "ParameterError" else ClusterError)(self.reason)

    def compute(self, task: Task, in_use: Mapping[str, str]) -> Computed:
        """Have a photograph inspected by a replica.

        Args:
            task: the photograph.
            in_use: digests of the detectors that it needs, by their products.

        Raises:
            NotRecorded: it was not inspected, and that is no fault of the photograph.
            ClusterError: likewise; the cluster is gone, or replicas died again and again.
        """
        answer: Future[frames.Frame] = Future()
        number = next(self._numbers)
        with self._asking:
            if self.ended.is_set():
                raise ClusterError(self.reason)
            self._asked[number] = answer
        facts = {key: one for key, one in asdict(task).items() if key != "content"}
        try:
            with self._writing, suppress(OSError):  # `_read` answers where it has ended
                self._use(task.product, in_use)
                frames.write(self._stdin, {"number": number, "task": facts}, [task.content])
        except PatchbankError as error:
            self._asked.pop(number, None)
            raise NotRecorded(str(error)) from None
        head, blobs = answer.result()
        if "computed" in head:
            return frames.unpacked((head["computed"], blobs), task.content)
        if "not_recorded" in head:
            self._forget(task.product)  # a file that was mended is sent again
            raise NotRecorded(head["not_recorded"])
        if "lost" in head:
            raise ClusterError(
                "cluster: expected a replica that inspects a photograph, got none that stayed "
                f"({head['lost']}); send it again"
            )
        if "fault" in head:
            raise RuntimeError(head["fault"])
        raise ClusterError(self.reason)

    def close(self, timeout_s: float) -> None:
        """Have the replicas removed, and end the process."""
        with self._writing, suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def _use(self, product: str, in_use: Mapping[str, str]) -> None:
        """Send the detectors for photographs of a product, as far as they are not there.

        Raises:
            DetectorFileError: a file is not there any more.
        """
        if self._in_use.get(product) == in_use:
            return
        there = {digest for each in self._in_use.values() for digest in each.values()}
        for name, digest in in_use.items():
            if digest not in there:
                frames.write(self._stdin, {"file": digest}, [self._content(name, digest)])
                there.add(digest)
        frames.write(self._stdin, {"product": product, "digests": in_use})
        self._in_use[product] = in_use

    def _forget(self, product: str) -> None:
        with self._writing:
            self._in_use.pop(product, None)

    def _read(self) -> None:
        """Take what it says until its end."""
        assert self._process.stdout is not None
        while (frame := frames.read(self._process.stdout)) is not None:
            head = frame[0]
            if "number" in head:
                with self._asking:
                    answer = self._asked.pop(head["number"], None)
                if answer is not None:
                    answer.set_result(frame)
            elif "died" in head:
                LOGGER.warning(
                    "cluster: a replica on %s died; %s of %s is inspected again",
                    *(head["died"], head["image"], head["product"]),
                )
            elif "ended" in head:
                self.reason, self._kind = head["ended"], head["kind"]
            elif "ready" in head:
                self._ready.set()
            else:
                for name, value in head.items():  # of the cluster
                    setattr(self, name, value)
        self._process.stdout.close()
        self._end()

    def _end(self) -> None:
        status = self._process.wait()
        said = one_line(self.reason) or f"its process has ended with status {status}"
        if not said.startswith("cluster: "):
            said = f"cluster: expected a Ray cluster that answers, got none ({said})"
        self.reason, self.replicas = said, 0
        with self._asking:
            self.ended.set()
            asked, self._asked = self._asked, {}
        self._ready.set()
        for answer in asked.values():
            answer.set_result(({}, []))
