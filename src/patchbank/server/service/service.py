"""All parts of a running service, and how a route gets at them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol

from starlette.requests import Request

from patchbank.runtime.atomic_file import replace_file
from patchbank.server.intake import NotRecorded
from patchbank.server.records.pictures import Pictures
from patchbank.server.records.store import Records
from patchbank.server.service.catalog import Catalog
from patchbank.server.service.changes import Changes
from patchbank.server.service.commits import Commits
from patchbank.server.service.guarding import Gate
from patchbank.server.service.inference import Inference
from patchbank.server.service.jobs import Jobs
from patchbank.server.service.metrics import Metrics
from patchbank.server.service.pictures import MadePictures
from patchbank.server.service.settings import ServiceSettings
from patchbank.server.service.setups.preparation import Preparation
from patchbank.server.service.trials import Trials
from patchbank.server.sources.camera import Camera

PROBE, PROBE_BYTES = "probe", 65_536
"""File that is written to see whether the disk has room for a picture."""
CHECKED_S = 1.0
"""Time for which the records are not asked again."""


class Part(Protocol):
    """An outbox or a source, as the status shows it."""

    def status(self) -> dict[str, Any]:
        """Facts for people."""
        ...


@dataclass(slots=True)
class Service:
    """All parts of a running service."""

    settings: ServiceSettings
    records: Records
    pictures: Pictures
    catalog: Catalog
    inference: Inference
    changes: Changes
    made: MadePictures
    metrics: Metrics
    gate: Gate
    commits: Commits
    preparation: Preparation
    trials: Trials = field(default_factory=Trials)
    cameras: dict[str, Camera] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    """Outboxes and sources by their names."""
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    is_stopping: bool = False
    _checked: tuple[float, dict[str, str]] = field(default_factory=lambda: (0.0, {}))
    _checking: threading.Lock = field(default_factory=threading.Lock)

    @property
    def jobs(self) -> Jobs:
        """All jobs."""
        return self.preparation.jobs

    def reasons(self) -> dict[str, str]:
        """Reasons why no verdict can be given now, by a word for each; none if it is ready."""
        found = {"stopping": "the service stops"} if self.is_stopping else {}
        if not self.catalog.products:
            found["products"] = "there is no product yet; upload a detector"
        trouble = self.inference.computing.trouble
        if trouble is not None:
            found["cluster"] = trouble
        with self._checking:
            if time.monotonic() > self._checked[0]:
                reasons = self._check()
                self._checked = time.monotonic() + CHECKED_S, reasons
            return found | self._checked[1]

    def _check(self) -> dict[str, str]:
        """Reason why records or disk take no write; none if they do."""
        probe = self.settings.data / PROBE
        try:
            self.records.check()
            replace_file(probe, bytes(PROBE_BYTES))
        except NotRecorded as error:
            return {"database": str(error)}
        except OSError as error:
            return {
                "disk": f"{probe}: expected to write {PROBE_BYTES:,} bytes, got: {error.strerror}"
            }
        return {}


def service_of(request: Request) -> Service:
    """The service that a request came to."""
    found: Service = request.app.state.service
    return found
