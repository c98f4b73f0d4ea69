"""The form of the history: from its query to the filter of the records, and back to a link."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, model_validator

from patchbank.server.pages.history.zones import Zone, asked_zone
from patchbank.server.records.entries import Decision, Fields, Filter, Verdict
from patchbank.server.records.hours import CountedField
from patchbank.server.records.store import Records
from patchbank.server.records.tallies import hour_of

When = Literal["today", "yesterday", "shift", "week"]
View = Literal["pictures", "table"]
By = Literal["hour", "day", "shift", "lot"]
Short = Annotated[str | None, Field(max_length=200)]
Day = Annotated[date | None, Field(ge=date(1970, 1, 2), le=date(9998, 12, 30))]
LONGEST_SHIFT = timedelta(hours=12)
ONE_DAY = timedelta(days=1)
RECENT_HOURS = 3 * 24
MOST_SUGGESTED = 50
FIELDS = ("serial_number", "lot", "shift", "station")
SUGGESTED: tuple[CountedField, ...] = ("lot", "shift", "station")
"""Fields whose values of the last days are offered."""


class Asked(BaseModel):
    """The query of the history; what a form leaves empty is not asked."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    product: Short = None
    when: When | None = None
    first_day: Day = Field(None, alias="from")
    first_time: time | None = Field(None, alias="from_time")
    last_day: Day = Field(None, alias="to")
    last_time: time | None = Field(None, alias="to_time")
    lot: Short = None
    serial_number: Short = None
    verdict: Verdict | None = None
    review: Decision | Literal["none"] | None = None
    shift: Short = None
    station: Short = None
    view: View = "pictures"
    by: By | None = None
    zone: Annotated[str | None, Field(max_length=60)] = None
    cursor: Annotated[str | None, Field(max_length=200)] = None

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        return {name: text for name, text in given.items() if text not in ("", None)}

    @property
    def is_fine(self) -> bool:
        """Whether a part of the form is in use that is hidden otherwise."""
        given = (self.shift, self.station, self.serial_number)
        times = (self.first_day, self.first_time, self.last_day, self.last_time)
        return self.when is None and any(one is not None for one in (*given, *times))

    def query(self, **changes: Any) -> str:
        """The query of this with some changes; None leaves a part out.

        The cursor leads to one page of one list, so it is in no other link.
        """
        given = self.model_dump(mode="json", by_alias=True, exclude_none=True) | {"cursor": None}
        if given["view"] == "pictures":
            del given["view"]
        return urlencode({name: value for name, value in (given | changes).items() if value})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query with the filter, days and times that it comes to."""

    asked: Asked
    filter: Filter
    zone: Zone
    days: tuple[date | None, date | None]
    times: tuple[time | None, time | None]


def resolved(asked: Asked, records: Records, now: datetime) -> Wanted:
    """The filter of a query.

    A day is the day of the zone: from its midnight to the next, however many hours that is.
    """
    zone = asked_zone(asked.zone)
    today = zone.local(now).date()
    days, times = (asked.first_day, asked.last_day), (asked.first_time, asked.last_time)
    fields = {name: getattr(asked, name) for name in FIELDS}
    if asked.when == "shift":
        shift, begin = _this_shift(records, asked.product, now)
        if begin is None:
            days, times = (today, today), (None, None)
        else:
            fields["shift"], local = shift, zone.local(begin)
            days, times = (local.date(), None), (local.time(), None)
    elif asked.when is not None:
        back = {"today": (0, 0), "yesterday": (1, 1), "week": (6, 0)}[asked.when]
        days, times = (today - back[0] * ONE_DAY, today - back[1] * ONE_DAY), (None, None)
    if times[0] is not None and days[0] is None:
        days = (today, days[1])
    if times[1] is not None and days[1] is None:
        days = (days[0], today)
    wanted = Filter(
        product=asked.product,
        verdict=asked.verdict,
        review=asked.review,
        since=None if days[0] is None else zone.moment(days[0], times[0] or time()),
        until=None if days[1] is None else _end(zone, days[1], times[1]),
        fields=Fields(**fields),
    )
    return Wanted(asked.model_copy(update={"shift": fields["shift"]}), wanted, zone, days, times)


def _end(zone: Zone, day: date, at: time | None) -> datetime:
    return zone.moment(day + ONE_DAY) if at is None else zone.moment(day, at)


def _this_shift(
    records: Records, product: str | None, now: datetime
) -> tuple[str | None, datetime | None]:
    """The shift of the newest part, and the hour of its first part in the last twelve hours."""
    newest = records.inspections(Filter(product=product), limit=1).inspections
    shift = newest[0].fields.shift if newest else None
    if not shift:
        return None, None
    since = now.replace(minute=0, second=0, microsecond=0) - LONGEST_SHIFT
    wanted = Filter(product=product, since=since, fields=Fields(shift=shift))
    hours = [one.hour for one in records.hour_counts(wanted).counts]
    if not hours:
        return None, None
    begin = now - timedelta(hours=hour_of(now) - min(hours))
    return shift, begin.replace(minute=0, second=0, microsecond=0)


def suggestions(records: Records, product: str | None) -> dict[str, list[str]]:
    """Values of lot, shift and station in the last days that have parts, the newest first."""
    newest = records.inspections(Filter(product=product), limit=1).inspections
    if not newest:
        return {name: [] for name in SUGGESTED}
    since = newest[0].time - timedelta(hours=RECENT_HOURS)
    found: dict[str, list[str]] = {}
    for name in SUGGESTED:
        counts = records.counts(name, product=product, since=since, limit=MOST_SUGGESTED).groups
        found[name] = [one.group for one in reversed(counts) if one.group]
    return found
