"""Counts of inspections over time, by shift, lot or station, with what reviews say of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, time, timedelta, timezone, tzinfo
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, func, literal, select, text

from patchbank.errors import ParameterError
from patchbank.server.records.base import Store, check_text, check_time
from patchbank.server.records.entries import iso_utc
from patchbank.server.records.listing import hours_bounds
from patchbank.server.records.tables import INSPECTIONS, TALLIES
from patchbank.server.records.tallies import ALL, COUNTED_FIELDS, hour_of

Grouping = Literal["hour", "day", "product", "shift", "lot", "station"]
GROUPINGS: tuple[Grouping, ...] = ("hour", "day", "product", "shift", "lot", "station")
TIMES = ("hour", "day")
MOST_GROUPS = 1000
MOMENT = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
Row = tuple[int, str, str, str, str, int, int]
"""Hour, product, value, verdict, review, number, first inspection."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Two numbers between which a rate is, whatever the inspections without a decision are."""

    least: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Inspections of one hour, day, product, shift, lot or station."""

    group: str | None
    """Begin of the hour, date of the day, or the value; None where the inspections have none."""
    good: int = 0
    """Number that passed."""
    anomalous: int = 0
    """Number that were flagged."""
    unread: int = 0
    """Number that could not be inspected."""
    confirmed_defects: int = 0
    """Number of flagged ones that a person has confirmed."""
    false_alarms: int = 0
    """Number of flagged ones that a person has called good."""
    missed_defects: int = 0
    """Number that passed, and that a person has called defects."""

    @property
    def inspected(self) -> int:
        """Number of inspections with a score."""
        return self.good + self.anomalous

    @property
    def undecided(self) -> int:
        """Number of flagged ones without a review, or with one that is unsure."""
        return self.anomalous - self.confirmed_defects - self.false_alarms

    @property
    def confirmed_share(self) -> float | None:
        """Share of confirmed defects among the flagged ones that were decided; None without any."""
        decided = self.confirmed_defects + self.false_alarms
        return self.confirmed_defects / decided if decided else None

    @property
    def false_alarm_rate(self) -> Bounds | None:
        """Share of good parts that were flagged; None where there were no good parts.

        The least is where all undecided ones are defects, the most where none is.  Parts that
        passed count as good, but for those that a person has called defects.
        """
        defects = self.confirmed_defects + self.missed_defects
        good, fewest_good = self.inspected - defects, self.inspected - defects - self.undecided
        if good <= 0:
            return None
        least = self.false_alarms / fewest_good if fewest_good > 0 else 0.0
        return Bounds(least, (self.false_alarms + self.undecided) / good)

    @property
    def defect_rate(self) -> Bounds | None:
        """Share of parts with a defect that a person has confirmed; None without parts.

        The most is where all undecided ones are defects.  Defects that passed, and that nobody has
        found, are in neither.
        """
        if not self.inspected:
            return None
        defects = self.confirmed_defects + self.missed_defects
        return Bounds(defects / self.inspected, (defects + self.undecided) / self.inspected)

    def to_json(self) -> dict[str, Any]:
        """Counts and rates."""
        alarms, defects = self.false_alarm_rate, self.defect_rate
        return {
            **asdict(self),
            "undecided": self.undecided,
            "confirmed_share": self.confirmed_share,
            "false_alarm_rate": None if alarms is None else asdict(alarms),
            "defect_rate": None if defects is None else asdict(defects),
        }


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of groups, in the order of their first inspections."""

    groups: tuple[Count, ...]
    is_cut: bool
    """Whether there are earlier groups, which are not among them."""

    def to_json(self) -> dict[str, Any]:
        """All counts."""
        return {"groups": [group.to_json() for group in self.groups], "is_cut": self.is_cut}


class Counting(Store):
    """The part of the records that counts inspections."""

    def counts(
        self,
        by: Grouping,
        *,
        product: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        zone: tzinfo = timezone.utc,
        limit: int = MOST_GROUPS,
    ) -> Counts:
        """Count inspections, and those that reviews confirm or call false alarms.

        Args:
            by: into which groups.
            product: of all products if not given.
            since: at this time or later.
            until: before this time.
            zone: in which days begin.
            limit: most groups; the newest ones if there are more.

        Raises:
            ParameterError: there is no such grouping, or a time has no zone.
            NotRecorded: the database does not answer.
        """
        if by not in GROUPINGS:
            raise ParameterError(f"by: expected one of {', '.join(GROUPINGS)}, got {by!r}")
        check_text("product", product)
        check_time("since", since)
        check_time("until", until)
        asked = Tallied(
            field=by if by in COUNTED_FIELDS else None,
            is_hourly=by in TIMES,
            product=product,
            since=since,
            until=until,
        )
        found: dict[str, dict[str, int]] = {}
        first: dict[str, int] = {}
        with self._database.reading() as connection:
            rows = tally_rows(connection, asked)
            named: Iterator[tuple[str, Row]] = ((_name(by, row), row) for row in rows)
            if by == "day":
                named = _by_days(connection, asked, rows, zone)
            for group, row in named:
                _, _, _, verdict, review, number, first_id = row
                if number:
                    first[group] = min(first.get(group, first_id), first_id)
                    add_up(found.setdefault(group, {}), verdict, review, number)
        in_order = sorted(found, key=lambda group: first[group])
        chosen = in_order[-limit:] if limit else []
        groups = tuple(Count(group=group or None, **found[group]) for group in chosen)
        return Counts(groups, len(groups) < len(found))


def add_up(counts: dict[str, int], verdict: str, review: str, number: int) -> None:
    """Add inspections to the numbers of a `Count`."""
    name = {
        ("anomalous", "confirmed_defect"): "confirmed_defects",
        ("anomalous", "false_alarm"): "false_alarms",
        ("good", "confirmed_defect"): "missed_defects",
    }.get((verdict, review))
    for each in filter(None, (verdict, name)):
        counts[each] = counts.get(each, 0) + number


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallied:
    """Which rows of the tallies are asked for."""

    field: str | None
    """Field by whose values they count, of `COUNTED_FIELDS`; None for none."""
    is_hourly: bool
    """Whether each hour has rows of its own."""
    product: str | None = None
    value: str | None = None
    """Value of the field, if only one is wanted."""
    since: datetime | None = None
    until: datetime | None = None


def tally_rows(connection: Connection, asked: Tallied) -> Iterator[Row]:
    """Rows of the tallies for all whole hours, and inspections counted for those in part."""
    since, until = asked.since, asked.until
    if since is not None and until is not None and since >= until:
        return
    first = None if since is None else _hour_from(since)
    last = None if until is None else hour_of(until)
    if first is not None and last is not None and first > last:  # both in one hour
        yield from _counted(connection, asked, since, until)
        return
    yield from _tallied(connection, asked, first, last)
    if first is not None and since != begin_of(first):
        yield from _counted(connection, asked, since, begin_of(first))
    if last is not None and until != begin_of(last):
        yield from _counted(connection, asked, begin_of(last), until)


def _tallied(
    connection: Connection, asked: Tallied, first: int | None, last: int | None
) -> Iterator[Row]:
    """Sums of the tallies from an hour to the one before another."""
    own = TALLIES.c
    hour = own.hour if asked.is_hourly else literal(0)
    group = (hour, own.product, own.value, own.verdict, own.review)
    statement = select(*group, func.sum(own.number), func.min(own.first_id)).where(
        own.kind == (asked.field or ALL)
    )
    if asked.product is not None:
        statement = statement.where(own.product == asked.product)
    if asked.value is not None:
        statement = statement.where(own.value == asked.value)
    if first is not None:
        statement = statement.where(own.hour >= first)
    if last is not None:
        statement = statement.where(own.hour < last)
    grouped = [own.product, own.value, own.verdict, own.review]
    grouped += [own.hour] if asked.is_hourly else []
    for row in connection.execute(statement.group_by(*grouped)):
        yield _row(row)


def _counted(
    connection: Connection, asked: Tallied, since: datetime | None, until: datetime | None
) -> Iterator[Row]:
    """Inspections of a part of one hour."""
    assert since is not None
    bounds = hours_bounds(connection, asked.product, since, since)
    if not bounds:
        return
    own = INSPECTIONS.c
    value: ColumnElement[Any] = literal("")
    if asked.field is not None:
        value = func.coalesce(own[asked.field], "")
    review = func.coalesce(own.review, "")
    statement = select(
        literal(hour_of(since)),
        own.product,
        value.label("value"),
        own.verdict,
        review.label("reviewed"),
        func.count(),
        func.min(own.id),
    ).where(own.id.between(*bounds), own.time >= since, own.time < until)
    if asked.product is not None:
        statement = statement.where(own.product == asked.product)
    if asked.value is not None:
        statement = statement.where(value == asked.value)
    for row in connection.execute(
        statement.group_by(own.product, text("value"), own.verdict, text("reviewed"))
    ):
        yield _row(row)


def _row(row: Any) -> Row:
    hour, product, value, verdict, review, number, first_id = row
    return hour, product, value, verdict, review, int(number), first_id


def _hour_from(time: datetime) -> int:
    """The first hour that begins at a time or later."""
    hour = hour_of(time)
    return hour if begin_of(hour) == time else hour + 1


def begin_of(hour: int) -> datetime:
    """Time at which an hour of the tallies begins.

    >>> begin_of(27).isoformat()
    '1970-01-02T03:00:00+00:00'
    """
    return EPOCH + timedelta(hours=hour)


def _by_days(
    connection: Connection, asked: Tallied, rows: Iterator[Row], zone: tzinfo
) -> Iterator[tuple[str, Row]]:
    """Rows with the days of a zone; an hour in which one begins is counted in its two parts."""
    parted = set[int]()
    for row in rows:
        begin = begin_of(row[0]).astimezone(zone)
        last = (begin_of(row[0] + 1) - MOMENT).astimezone(zone)
        if begin.date() == last.date():
            yield begin.date().isoformat(), row
        else:
            parted.add(row[0])
    for hour in sorted(parted):
        begin, end = begin_of(hour), begin_of(hour + 1)
        day = (end - MOMENT).astimezone(zone).date()
        midnight = datetime.combine(day, time.min, zone).astimezone(timezone.utc)
        for since, until in ((begin, midnight), (midnight, end)):
            name = since.astimezone(zone).date().isoformat()
            first = since if asked.since is None else max(since, asked.since)
            last = until if asked.until is None else min(until, asked.until)
            if first < last:
                yield from ((name, row) for row in _counted(connection, asked, first, last))


def _name(by: Grouping, row: Row) -> str:
    """Name of the group of a row, other than a day."""
    if by == "product":
        return row[1]
    if by == "hour":
        return iso_utc(begin_of(row[0]))
    return row[2]
