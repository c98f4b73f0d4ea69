"""When, by what version and by what command a page was made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version

from patchbank.runtime.invocation import command

EPOCH = "SOURCE_DATE_EPOCH"
"""Environment variable with the seconds since 1970 that count as now, so that a document is the
same bytes each time it is made (reproducible-builds.org/specs/source-date-epoch)."""


@dataclass(frozen=True, slots=True)
class Made:
    """Facts of the making of a page."""

    time: datetime
    """In UTC."""
    version: str
    """Version of the package."""
    command: str
    """The command line; empty where a program made the page."""

    @property
    def minute(self) -> str:
        """The time to the minute.

        >>> Made(datetime(2026, 3, 1, 7, 5, 59, tzinfo=timezone.utc), "1", "").minute
        '2026-03-01 07:05 UTC'
        """
        return f"{self.time:%Y-%m-%d %H:%M} UTC"


def made_now() -> Made:
    """Facts of a page that is written now."""
    seconds = os.environ.get(EPOCH, "")
    is_set = seconds.isascii() and seconds.isdecimal()
    now = datetime.now(timezone.utc)
    time = datetime.fromtimestamp(int(seconds), timezone.utc) if is_set else now
    return Made(time, version("patchbank"), command())
