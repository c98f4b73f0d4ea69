"""Inspections are found again: by number, by key, and in pages of those that a filter names."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from patchbank.errors import ParameterError
from patchbank.server.records import rows
from patchbank.server.records.base import Store, check_text, check_time
from patchbank.server.records.entries import Filter, Page, StoredInspection
from patchbank.server.records.tables import INSPECTIONS, TALLIES
from patchbank.server.records.tallies import ALL, hour_of

MOST_IN_A_PAGE = 1000
FEW = 5000
"""Rows of one criterion that are quicker sorted than others are walked through."""
AT_ONCE = 5000
SELECTIVE = ("serial_number", "lot", "review", "verdict", "camera", "operator", "station", "shift")
"""Columns with an index of their numbers in order, those with the most values first."""
COLUMNS = INSPECTIONS.c
PLUS = custom_op[Any]("+")
Condition = Callable[[ColumnElement[Any]], ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Scored:
    """One photograph of a stream of scores."""

    id: int
    serial_number: str | None
    score: float | None
    """Anomaly score; None where it could not be inspected."""


@dataclass(frozen=True, slots=True)
class Search:
    """Conditions of inspections, and the number by which they are sorted."""

    conditions: list[ColumnElement[bool]]
    number: ColumnElement[int]


class Listing(Store):
    """The part of the records that finds inspections."""

    def inspection(self, number: int) -> StoredInspection | None:
        """The inspection of a number, if there is one."""
        if not 0 < number < 1 << 63:
            return None
        with self._database.reading() as connection:
            row = connection.execute(select(INSPECTIONS).where(COLUMNS.id == number)).first()
        return None if row is None else rows.from_row(row)

    def by_key(self, product: str, key: str) -> StoredInspection | None:
        """The inspection of a product that has an idempotency key, if there is one."""
        statement = select(INSPECTIONS).where(
            COLUMNS.product == product, COLUMNS.idempotency_key == key
        )
        with self._database.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else rows.from_row(row)

    def known_keys(self, product: str, keys: Collection[str]) -> set[str]:
        """Idempotency keys of a product, of those given, that are on record."""
        found: set[str] = set()
        wanted = list(keys)
        with self._database.reading() as connection:
            for start in range(0, len(wanted), AT_ONCE):
                statement = select(COLUMNS.idempotency_key).where(
                    COLUMNS.product == product,
                    COLUMNS.idempotency_key.in_(wanted[start : start + AT_ONCE]),
                )
                found.update(connection.execute(statement).scalars())
        return found

    def inspections(
        self, wanted: Filter | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> Page:
        """Inspections, newest first: by number, and not by a clock that may have been set.

        Args:
            wanted: all if not given.
            limit: most of a page, in 1 .. 1000.
            cursor: of the page before.

        Raises:
            ParameterError: the limit, the cursor or a time is none.
            NotRecorded: the database does not answer.
        """
        wanted = wanted or Filter()
        check_filter(wanted)
        if not 1 <= limit <= MOST_IN_A_PAGE:
            raise ParameterError(f"limit: expected 1 to {MOST_IN_A_PAGE}, got {limit}")
        before = None if cursor is None else _number(cursor)
        with self._database.reading() as connection:
            search = self._search(connection, wanted, before)
            if search is None:
                return Page((), None)
            statement = (
                select(INSPECTIONS)
                .where(*search.conditions)
                .order_by(search.number.desc())
                .limit(limit + 1)
            )
            found = [rows.from_row(row) for row in connection.execute(statement)]
        page = found[:limit]
        return Page(tuple(page), _cursor(page[-1].id) if len(found) > limit else None)

    def inspections_after(
        self, product: str, number: int, *, limit: int = 50
    ) -> list[StoredInspection]:
        """Inspections of a product after that of a number, oldest first.

        Whoever asks again with the last number misses none, whoever else records meanwhile:
        inspections become visible in the order of their numbers.

        Raises:
            NotRecorded: the database does not answer.
        """
        statement = (
            select(INSPECTIONS)
            .where(COLUMNS.product == product, COLUMNS.id > number)
            .order_by(COLUMNS.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [rows.from_row(row) for row in connection.execute(statement)]

    def scores(
        self, wanted: Filter, detector_sha256: str | None = None, after: int = 0
    ) -> Iterator[Scored]:
        """Scores in the order of the inspections.

        Args:
            wanted: which of them.
            detector_sha256: those that this detector has inspected; all if not given.
            after: number of an inspection; only later ones are wanted.
        """
        check_filter(wanted)
        while True:
            with self._database.reading() as connection:
                search = self._search(connection, wanted, None)
                if search is None:
                    return
                if detector_sha256 is not None:
                    search.conditions.append(COLUMNS.detector_sha256 == detector_sha256)
                statement = (
                    select(COLUMNS.id, COLUMNS.serial_number, COLUMNS.score)
                    .where(*search.conditions, COLUMNS.id > after)
                    .order_by(search.number)
                    .limit(AT_ONCE)
                )
                found = [Scored(*row) for row in connection.execute(statement)]
            yield from found
            if len(found) < AT_ONCE:
                return
            after = found[-1].id

    def _search(self, connection: Connection, wanted: Filter, before: int | None) -> Search | None:
        """Search for what a filter names in the table of inspections; None where nothing is."""
        bounds = hours_bounds(connection, wanted.product, wanted.since, wanted.until)
        if bounds is None:
            return None
        conditions = [COLUMNS.id >= bounds[0], COLUMNS.id <= bounds[1]] if bounds else []
        if before is not None:
            conditions.append(COLUMNS.id < before)
        criteria = _criteria(wanted)
        driver = _driver(connection, criteria, conditions) if self.is_sqlite else None
        if wanted.review == "none":
            conditions.append(COLUMNS.review.is_(None))
        for name, condition in criteria.items():
            as_it_is = not self.is_sqlite or name == driver
            conditions.append(condition(COLUMNS[name] if as_it_is else unindexed(name)))
        # The index of scores has numbers in no order; SQLite would walk through all others instead.
        return Search(conditions, unindexed("id") if driver == "score" else COLUMNS.id)


def hours_bounds(
    connection: Connection, product: str | None, since: datetime | None, until: datetime | None
) -> tuple[int, int] | tuple[()] | None:
    """Numbers between which all inspections of some hours are, without an index of times.

    Returns:
        The first and the last; nothing where all hours are wanted; None where they have none.
    """
    if since is None and until is None:
        return ()
    statement = select(func.min(TALLIES.c.first_id), func.max(TALLIES.c.last_id)).where(
        TALLIES.c.kind == ALL
    )
    if since is not None:
        statement = statement.where(TALLIES.c.hour >= hour_of(since))
    if until is not None:
        statement = statement.where(TALLIES.c.hour <= hour_of(until))
    if product is not None:
        statement = statement.where(TALLIES.c.product == product)
    first, last = connection.execute(statement).one()
    return None if first is None else (first, last)


def check_filter(wanted: Filter) -> None:
    """Check the times and texts of a filter.

    Raises:
        ParameterError: a time has no zone, or a text is none that can be on record.
    """
    check_text("product", wanted.product)
    for name in rows.FIELD_NAMES:
        check_text(name, getattr(wanted.fields, name))
    check_time("since", wanted.since)
    check_time("until", wanted.until)


def _criteria(wanted: Filter) -> dict[str, Condition]:
    """Condition of each column that a filter names."""
    equal = {name: getattr(wanted.fields, name) for name in rows.FIELD_NAMES}
    equal |= {"product": wanted.product, "verdict": wanted.verdict}
    if wanted.review != "none":
        equal["review"] = wanted.review
    found: dict[str, Condition] = {
        name: _equals(value) for name, value in equal.items() if value is not None
    }
    ranges = {
        "score": (wanted.min_score, wanted.max_score, True),
        "time": (wanted.since, wanted.until, False),
    }
    for name, (lowest, highest, inclusive) in ranges.items():
        if lowest is not None or highest is not None:
            found[name] = _between(lowest, highest, inclusive)
    return found


def _equals(value: Any) -> Condition:
    return lambda column: column == value


def _between(lowest: Any, highest: Any, inclusive: bool) -> Condition:
    def condition(column: ColumnElement[Any]) -> ColumnElement[bool]:
        parts = [] if lowest is None else [column >= lowest]
        if highest is not None:
            parts.append(column <= highest if inclusive else column < highest)
        return and_(*parts)

    return condition


def _driver(
    connection: Connection, criteria: dict[str, Condition], bounds: Sequence[ColumnElement[bool]]
) -> str | None:
    """The column by whose index SQLite should search: that of which fewest rows are wanted.

    SQLite does not know how many rows have a value.  A column that it may not use is written with
    a plus in front (https://www.sqlite.org/optoverview.html, section 2).
    """
    candidates = [name for name in (*SELECTIVE, "product", "score") if name in criteria]
    fewest, found = FEW + 1, None
    for name in candidates:
        matching = select(COLUMNS.id).where(criteria[name](COLUMNS[name]), *bounds).limit(fewest)
        number = connection.execute(
            select(func.count()).select_from(matching.subquery())
        ).scalar_one()
        if number < fewest:
            fewest, found = number, name
    in_order = [name for name in candidates if name != "score"]
    return found or next(iter(in_order), None)


def unindexed(name: str) -> ColumnElement[Any]:
    """A column by whose index SQLite does not search."""
    column = COLUMNS[name]
    return UnaryExpression(column, operator=PLUS, type_=column.type)


def _cursor(number: int) -> str:
    return base64.urlsafe_b64encode(f"before {number}".encode()).decode()


def _number(cursor: str) -> int:
    try:
        word, number = base64.b64decode(cursor, b"-_", validate=True).decode("ascii").split(" ")
        if word == "before" and number.isdecimal() and len(number) < 19:
            return int(number)
    except ValueError:
        pass
    raise ParameterError("cursor: expected the one of an earlier page, got another text")
