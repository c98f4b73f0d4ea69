"""The process on a node that inspects one photograph after the other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray

from patchbank.choices import EngineName
from patchbank.errors import DetectorFileError
from patchbank.runtime.threads import use_cores
from patchbank.server.service.computing import Task, computed
from patchbank.server.service.memory import OpenDetectors
from patchbank.server.service.product_finding import Choosing
from patchbank.server.service.replicas.frames import Frame, packed
from patchbank.server.service.turns import Turns

CORES = 1
"""Cores of a replica."""
MOST_IN_USE = 64
"""Objects of detectors in use that a replica remembers."""


@dataclass(frozen=True, slots=True)
class InUse:
    """The detectors that photographs of a product need at one time."""

    number: int
    digests: Mapping[str, str]
    """Digests by the products."""
    files: Mapping[str, Any]
    """References to the bytes of the files, by the digests."""


class Replica:
    """Holds the detectors that were used last."""

    def __init__(self, device: str, engine: EngineName | None, products_mb: float) -> None:
        use_cores(CORES)  # before a detector is open, whose networks ask for the number of cores
        self._choosing = Choosing(OpenDetectors(products_mb, device, engine, self._content))
        self._known: OrderedDict[int, InUse] = OrderedDict()
        self._alone = Turns(1)

    def inspect(self, task: Task, number: int, in_use: list[Any]) -> Frame:
        """Inspect a photograph.

        Args:
            task: the photograph.
            number: of the detectors in use.
            in_use: reference to an `InUse`, in a list so that it is not fetched each time.

        Raises:
            NotRecorded: it was not inspected, and that is no fault of the photograph.
        """
        with self._alone:
            if number not in self._known:
                self._known[number] = ray.get(in_use[0])
            self._known.move_to_end(number)  # the last one is that of `_content`
            while len(self._known) > MOST_IN_USE:
                self._known.popitem(last=False)
            digests = self._known[number].digests
            return packed(computed(self._choosing.chosen(task.product, digests), task))

    def _content(self, product: str, sha256: str) -> bytes:
        """The bytes of a detector file among those in use."""
        reference = self._known[next(reversed(self._known))].files.get(sha256)
        if reference is None:
            raise DetectorFileError(
                f"{product}: expected the detector {sha256[:12]} on the cluster, got none; send "
                "the photograph again"
            )
        content: bytes = ray.get(reference)
        return content
