"""Deletes what is beyond the limits of a service."""

from __future__ import annotations

import threading

from patchbank.runtime.logs import LOGGER
from patchbank.server.service.service import Service

TIDY_S = 3600.0


class Tidying:
    """Deletes old pictures, set-ups and trials beyond the limits, at the start and now and then."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="patchbank-tidies", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._stop.set()

    def _run(self) -> None:
        settings, wait_s = self._service.settings, 0.0
        while not self._stop.wait(wait_s):
            wait_s = TIDY_S
            self._service.preparation.tidy()
            self._service.trials.tidy()
            try:
                gone = self._service.pictures.tidy(
                    int(settings.pictures_gb * 1e9), settings.pictures_days
                )
            except Exception as error:
                LOGGER.error("pictures: %s: %s", type(error).__name__, error)
                continue
            if gone.pictures:
                LOGGER.info("pictures: deleted %d, %.1f MB", gone.pictures, gone.bytes / 1e6)
