"""Days and times of the reader, in a zone that the page names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timezone, tzinfo

from patchbank.errors import ParameterError
from patchbank.server.records.times import zone_of

SECONDS_AN_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Zone:
    """The zone in which a page writes times, and in which its days begin."""

    tz: tzinfo | None
    """The zone; None for that of the computer on which the service runs."""
    key: str = ""
    """Name of the zone as a browser knows it; empty for that of the service."""

    def local(self, moment: datetime) -> datetime:
        """A moment in this zone."""
        return moment.astimezone(self.tz)

    def moment(self, day: date, at: time = time()) -> datetime:
        """The moment of a time of a day, in UTC.

        A time that a day has twice is the first one; midnight where a day begins later is the
        moment at which it begins.
        """
        return datetime.combine(day, at, self.tz).astimezone(timezone.utc)

    def name(self, moment: datetime) -> str:
        """Name of the zone and its offset at a moment."""
        local = self.local(moment)
        return f"{self.key or local.tzname()} ({offset(local)})"

    def offsets(self, year: int) -> str:
        """Minutes east of UTC in January and July, by which a browser knows its own zone."""
        days = (date(year, 1, 1), date(year, 7, 1))
        spans = [self.local(self.moment(day)).utcoffset() for day in days]
        return " ".join(str(int(span.total_seconds() // 60)) for span in spans if span is not None)


def asked_zone(name: str | None) -> Zone:
    """The zone of a name; that of the service where this computer does not know it.

    >>> asked_zone("UTC").key, asked_zone("Nowhere/Else").key
    ('UTC', '')
    """
    if name is None:
        return Zone(None)
    try:
        return Zone(zone_of("zone", name), name)
    except ParameterError:
        return Zone(None)


def offset(local: datetime) -> str:
    """The offset of a local time from UTC.

    >>> offset(datetime(2026, 1, 1, tzinfo=timezone.utc))
    'UTC+00:00'
    """
    written = local.strftime("%z")
    return f"UTC{written[:3]}:{written[3:5]}"
