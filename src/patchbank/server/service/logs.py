"""The log of a service: one line for each event on standard error, as text or as JSON."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any

from patchbank.runtime.logs import LOGGER
from patchbank.runtime.printable import json_text, one_line, printable

FOREIGN = logging.getLogger("uvicorn.error")


class _Lines(logging.Handler):
    """Writes a line for each event; secrets are never handed to it: no headers, no queries."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__(logging.INFO)
        self._as_json = as_json

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        time = datetime.fromtimestamp(record.created, timezone.utc)
        moment = time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = record.getMessage()
        if record.exc_info:  # where it happened, on the same line
            message += ": " + one_line(logging.Formatter().formatException(record.exc_info))
        level = record.levelname.lower()
        if self._as_json:
            content: dict[str, Any] = {"time": moment, "level": level, "message": message}
            content.update(getattr(record, "request", {}))
            line = json_text(content)
        else:
            line = f"{moment} {level}: {printable(message)}"
        with suppress(OSError, ValueError):  # closed or full: the service goes on
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


@contextmanager
def logged(*, as_json: bool) -> Iterator[None]:
    """Write what is logged, and nothing else, until the context ends."""
    handler = _Lines(as_json=as_json)
    before, level = list(LOGGER.handlers), LOGGER.level
    foreign = list(FOREIGN.handlers), FOREIGN.level, FOREIGN.propagate

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        LOGGER.warning("%s", one_line(str(message)))

    with warnings.catch_warnings():
        warnings.showwarning = show
        LOGGER.handlers, FOREIGN.handlers = [handler], [handler]
        LOGGER.setLevel(logging.INFO)
        FOREIGN.setLevel(logging.WARNING)
        FOREIGN.propagate = False
        try:
            yield
        finally:
            LOGGER.handlers = before
            LOGGER.setLevel(level)
            FOREIGN.handlers, FOREIGN.level, FOREIGN.propagate = foreign
