"""The computing of an inspection: the result of a photograph, and the files of it that are kept.

`computed` does that, wherever it runs: `Here` in this process, or `replicas` on a cluster.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

from patchbank import __version__
from patchbank.core.scores.calibration import Calibration
from patchbank.detector.inspection import FailedInspection, Inspection
from patchbank.detector.inspector import Inspector
from patchbank.errors import ImageError
from patchbank.images.source import ImageSource, image_source
from patchbank.runtime.threads import usable_cores
from patchbank.server.service.keeping import Files, files_of
from patchbank.server.service.product_finding import Chosen, ProductFinding
from patchbank.server.service.turns import Turns

BORDER_RATES = 2
"""Rates of flagged good parts within which a part that passes is a border case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A photograph that is to be inspected."""

    product: str
    name: str
    content: bytes
    digest: str
    """SHA-256 of the content."""
    max_pixels: int
    keep_good: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """Result of a photograph, as it is recorded, and its files."""

    product: str
    """The one that was found, for `AUTO`."""
    result: dict[str, Any]
    """The object of `patchbank predict --json`."""
    is_border: bool
    files: Files
    seconds: float
    """Time that it took, without waiting."""


class Computing(Protocol):
    """Inspects photographs, here or elsewhere."""

    @property
    def cores(self) -> int:
        """Photographs that are computed at once."""
        ...

    @property
    def trouble(self) -> str | None:
        """Reason why nothing can be computed now; None if it can."""
        ...

    def compute(self, task: Task) -> Computed:
        """Inspect a photograph with the detector that is in use; waits for a core.

        Raises:
            UnknownProduct: there is no such product.
            NotRecorded: it was not inspected, and that is no fault of the photograph.
            ClusterError: likewise; a cluster does not answer.
        """
        ...


class Here:
    """Inspects photographs in this process, as many at once as there are cores."""

    trouble: str | None = None

    def __init__(self, finding: ProductFinding) -> None:
        self._finding, self.cores = finding, usable_cores()
        self._turns = Turns(self.cores)

    def compute(self, task: Task) -> Computed:
        """Inspect a photograph; see `Computing`."""
        chosen = self._finding.chosen(task.product)
        with self._turns:
            return computed(chosen, task)


def computed(chosen: Chosen, task: Task) -> Computed:
    """Inspect a photograph in this thread.

    Raises:
        NotRecorded: it was not inspected, and that is no fault of the photograph.
    """
    begin = time.perf_counter()
    outcome = inspected(chosen.inspector, task)
    files = files_of(task.content, task.digest, outcome, task.keep_good)
    product = chosen.product_of(outcome)
    detector = chosen.detector(product)
    return Computed(
        product=product,
        result=line_of(outcome, chosen.sha256(product)),
        is_border=isinstance(outcome, Inspection)
        and detector is not None
        and not outcome.is_anomalous
        and is_border(detector.calibration, outcome.p_value),
        files=files,
        seconds=time.perf_counter() - begin,
    )


def is_border(calibration: Calibration, p_value: float) -> bool:
    """Whether few good photographs have a p-value as low, for one that passed.

    These are `BORDER_RATES` times as many as the threshold flags.  With a detector of a single
    photograph nobody knows how many they are, and there is no border.
    """
    rate = calibration.rate_of(calibration.threshold)
    return not calibration.views_of_one and p_value <= BORDER_RATES * rate


def inspected(inspector: Inspector, task: Task) -> Inspection | FailedInspection:
    """The outcome for a photograph, as `Inspector.inspect` gives it for a file of that name."""
    source = source_within(task.name, task.content, task.max_pixels)
    if isinstance(source, FailedInspection):
        return source
    # An iterator is inspected in this thread; a list would get threads of its own.
    return next(iter(inspector.inspect(iter([source]))))


def source_within(name: str, content: bytes, max_pixels: int) -> ImageSource | FailedInspection:
    """The source of a photograph; what is said of it where its header states too many pixels."""
    source = image_source(content, name)
    height, width = source.header.height, source.header.width
    if height * width <= max_pixels:
        return source
    message = (
        f"{name}: expected at most {max_pixels / 1e6:g} million pixels, got {width} x {height}; "
        "send a smaller one, or start the service with a higher --max-pixels"
    )
    return FailedInspection(name, message, ImageError)


def line_of(outcome: Inspection | FailedInspection, sha256: str) -> dict[str, Any]:
    """The object of `patchbank predict --json`, with the version and the digest of the detector."""
    result = outcome.to_json()
    stamp = {"version": str(__version__), "detector_sha256": sha256}
    return {"schema_version": result["schema_version"], **stamp, **result}
