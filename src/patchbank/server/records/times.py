"""Times and zones as people write them, the same on the command line and over HTTP."""

from __future__ import annotations

from datetime import datetime, timezone, tzinfo
from zoneinfo import ZoneInfo

from patchbank.errors import ParameterError


def time_of(name: str, written: str) -> datetime:
    """A date or time; UTC where no zone is written.

    Args:
        name: of the option or parameter, for messages.
        written: as ISO 8601 has it.

    Raises:
        ParameterError: it is neither.

    >>> time_of("since", "2026-03-01").isoformat()
    '2026-03-01T00:00:00+00:00'
    """
    try:
        time = datetime.fromisoformat(written.replace("Z", "+00:00"))
    except ValueError:
        raise ParameterError(
            f"{name}: expected 2026-03-01 or 2026-03-01T06:00:00+01:00, got {written}"
        ) from None
    return time if time.utcoffset() is not None else time.replace(tzinfo=timezone.utc)


def zone_of(name: str, written: str) -> tzinfo:
    """A time zone by its name.

    Raises:
        ParameterError: there is none of that name.

    >>> zone_of("zone", "UTC") is timezone.utc
    True
    """
    if written == "UTC":  # Windows has no other zones without the package tzdata
        return timezone.utc
    try:
        return ZoneInfo(written)
    except (KeyError, ValueError, OSError):
        raise ParameterError(
            f"{name}: expected such as Europe/Berlin, got {written[:60]}"
        ) from None
