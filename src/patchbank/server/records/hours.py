"""Inspections of a filter counted by hour, and what pages show next to each other of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, func, literal, select

from patchbank.server.records.counting import Row, Tallied, tally_rows
from patchbank.server.records.entries import Filter
from patchbank.server.records.listing import Listing, check_filter
from patchbank.server.records.rows import FIELD_NAMES
from patchbank.server.records.tables import INSPECTIONS
from patchbank.server.records.tallies import COUNTED_FIELDS, hour_of

CountedField = Literal["shift", "lot", "station"]
MOST_INSPECTIONS = 10_000
"""Inspections that are counted one by one, where the tallies do not have what is asked."""
COLUMNS = INSPECTIONS.c


@dataclass(frozen=True, slots=True)
class HourCount:
    """Inspections of one hour with one value, verdict and review."""

    hour: int
    """Hours since 1970, UTC."""
    value: str
    """Value of the field; empty where it is not given."""
    verdict: str
    review: str
    """The latest review; empty without one."""
    number: int
    first_id: int
    """Number of the first of them, or of an earlier inspection."""


@dataclass(frozen=True, slots=True)
class HourCounts:
    """Counts by hour, in no order."""

    counts: tuple[HourCount, ...]
    is_cut: bool
    """Whether there are earlier inspections, which are not among them."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Numbers of the inspections before and after one, among those of a filter."""

    newer: int | None
    older: int | None


class Hours(Listing):
    """The part of the records that counts what a filter names."""

    def hour_counts(
        self, wanted: Filter, field: CountedField | None = None, *, most: int = MOST_INSPECTIONS
    ) -> HourCounts:
        """Count inspections by hour, and by the values of a field.

        Args:
            wanted: which of them; its verdict and review are left out of account.
            field: by whose values they are counted as well.
            most: inspections that are counted where the tallies do not have them: the newest ones.

        Raises:
            ParameterError: a time or text of the filter is none.
            NotRecorded: the database does not answer.
        """
        check_filter(wanted)
        asked = _tallied(wanted, field, is_hourly=True)
        with self._database.reading() as connection:
            if asked is None:
                return self._hours_of_inspections(connection, wanted, field, most)
            return _added_up(tally_rows(connection, asked))

    def total(self, wanted: Filter, *, most: int = MOST_INSPECTIONS) -> tuple[int, bool]:
        """Number of the inspections of a filter.

        Returns:
            The number, and whether there are more of them.
        """
        check_filter(wanted)
        asked = None if _has_scores(wanted) else _tallied(wanted, None, is_hourly=False)
        with self._database.reading() as connection:
            if asked is not None:
                rows = tally_rows(connection, asked)
                return sum(row[5] for row in rows if _is_wanted(wanted, row)), False
            search = self._search(connection, wanted, None)
            if search is None:
                return 0, False
            found = select(COLUMNS.id).where(*search.conditions).limit(most + 1).subquery()
            number = connection.execute(select(func.count()).select_from(found)).scalar_one()
        return min(number, most), number > most

    def neighbours(self, wanted: Filter, number: int) -> Neighbours:
        """Inspections of a filter just after and just before the one of a number."""
        check_filter(wanted)
        with self._database.reading() as connection:
            found = []
            for is_newer in (True, False):
                search = self._search(connection, wanted, None if is_newer else number)
                if search is None:
                    return Neighbours(None, None)
                order = search.number if is_newer else search.number.desc()
                beyond = COLUMNS.id > number if is_newer else COLUMNS.id < number
                statement = select(COLUMNS.id).where(*search.conditions, beyond)
                found.append(connection.execute(statement.order_by(order).limit(1)).scalar())
        return Neighbours(*found)

    def results(self, wanted: Filter, *, most: int) -> list[Mapping[str, Any]]:
        """Results of the newest inspections of a filter, as `predict --json` has them."""
        check_filter(wanted)
        with self._database.reading() as connection:
            search = self._search(connection, wanted, None)
            if search is None:
                return []
            statement = select(COLUMNS.result).where(*search.conditions)
            newest = statement.order_by(search.number.desc()).limit(most)
            return [json.loads(text) for text in connection.execute(newest).scalars()]

    def _hours_of_inspections(
        self, connection: Connection, wanted: Filter, field: CountedField | None, most: int
    ) -> HourCounts:
        search = self._search(connection, replace(wanted, verdict=None, review=None), None)
        if search is None:
            return HourCounts((), False)
        value: ColumnElement[Any] = literal("")
        if field is not None:
            value = func.coalesce(COLUMNS[field], "")
        columns = (COLUMNS.time, value, COLUMNS.verdict, COLUMNS.review, COLUMNS.id)
        statement = select(*columns).where(*search.conditions)
        newest = statement.order_by(search.number.desc()).limit(most + 1)
        rows = connection.execute(newest).all()
        found: list[Row] = [
            (hour_of(time), "", text, verdict, review or "", 1, number)
            for time, text, verdict, review, number in rows[:most]
        ]
        return HourCounts(_added_up(found).counts, len(rows) > most)


def _tallied(wanted: Filter, field: str | None, *, is_hourly: bool) -> Tallied | None:
    """The rows of the tallies that answer a filter; None where they do not count by all of it."""
    given = {
        name: getattr(wanted.fields, name)
        for name in FIELD_NAMES
        if getattr(wanted.fields, name) is not None
    }
    names = {*given, *([field] if field is not None else [])}
    if len(names) > 1 or not names <= set(COUNTED_FIELDS) or "" in given.values():
        return None
    return Tallied(
        field=next(iter(names), None),
        is_hourly=is_hourly,
        product=wanted.product,
        value=next(iter(given.values()), None),
        since=wanted.since,
        until=wanted.until,
    )


def _added_up(rows: Any) -> HourCounts:
    """Rows of one hour, value, verdict and review as one."""
    numbers: Counter[tuple[int, str, str, str]] = Counter()
    first: dict[tuple[int, str, str, str], int] = {}
    for hour, _, value, verdict, review, number, first_id in rows:
        if number:
            key = (hour, value, verdict, review)
            numbers[key] += number
            first[key] = min(first.get(key, first_id), first_id)
    return HourCounts(
        tuple(HourCount(*key, number, first[key]) for key, number in numbers.items()), False
    )


def _is_wanted(wanted: Filter, row: Row) -> bool:
    _, _, _, verdict, review, _, _ = row
    expected = "" if wanted.review == "none" else wanted.review
    return wanted.verdict in (None, verdict) and expected in (None, review)


def _has_scores(wanted: Filter) -> bool:
    return wanted.min_score is not None or wanted.max_score is not None
