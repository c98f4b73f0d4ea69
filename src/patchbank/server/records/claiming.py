"""Inspections that wait for a review, and who has which: no two reviewers get the same one.

A claim is a row with an end.  Claims are given out one transaction after the other, also by several
services on one database, and by the clock of the database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, false, func, insert, select, text, update

from patchbank.errors import ParameterError
from patchbank.server.records import rows
from patchbank.server.records.base import Store, check_text, check_time, now
from patchbank.server.records.entries import StoredInspection
from patchbank.server.records.errors import NotClaimed
from patchbank.server.records.listing import COLUMNS, hours_bounds, unindexed
from patchbank.server.records.tables import CLAIMS, FLAGGED, INSPECTIONS, TO_REVIEW

LIFE = timedelta(minutes=2)
"""Time after which a claim ends that nobody renews."""
MOST_CLAIMED = 100
"""Inspections that one reviewer has at most."""
MOST_COUNTED = 10_000
"""Number up to which those that wait are counted."""
CLAIMS_LOCK = 0x706174636A
"""Advisory lock of PostgreSQL that whoever gives out claims holds until its commit."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Which of the inspections that wait for a review are meant; None for all."""

    product: str | None = None
    lot: str | None = None
    newest_first: bool = False
    """Whether the newest are reviewed first, and not the oldest."""
    has_border: bool = True
    """Whether border cases are among them, and not only flagged and unread ones."""
    shift: str | None = None
    since: datetime | None = None
    """At this time or later."""
    until: datetime | None = None
    """Before this time."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """Claims of a reviewer."""

    new: tuple[StoredInspection, ...]
    """Inspections that were claimed now, in the order of the queue."""
    held: tuple[int, ...]
    """Numbers of all that the reviewer has and that still wait, those among them."""
    waiting: int
    """Number that wait in the queue, whoever has claimed them; `MOST_COUNTED` for more."""
    others: int
    """Number of these that others have claimed."""
    anomalous: int
    """Number of those that wait that are flagged."""
    unread: int
    """Number of those that wait that could not be read; all others are border cases."""


class Claiming(Store):
    """The part of the records that gives out what is to be reviewed."""

    def claim(self, reviewer: str, queue: Queue, count: int) -> Claimed:
        """Claim further inspections of a queue, and renew the claims of a reviewer.

        Args:
            reviewer: name of a page or a program; two of one name are one.
            queue: from which further ones are claimed.
            count: of further ones, 0 and up; fewer where fewer wait, or with those that the
                reviewer has there would be more than `MOST_CLAIMED`.

        Raises:
            ParameterError: a text is none, a time has no zone, or the count is below 0.
            NotRecorded: the database takes no write.
        """
        check_text("reviewer", reviewer)
        check_text("product", queue.product)
        check_text("lot", queue.lot)
        check_text("shift", queue.shift)
        check_time("since", queue.since)
        check_time("until", queue.until)
        if count < 0:
            raise ParameterError(f"count: expected 0 or more, got {count}")
        with self._database.writing() as connection:
            moment = moment_of(connection)
            held = _renewed(connection, reviewer, moment)
            conditions = self._conditions(connection, queue)
            number = COLUMNS.id.desc() if queue.newest_first else COLUMNS.id
            statement = (
                select(INSPECTIONS)
                .where(*conditions, COLUMNS.id.not_in(select(CLAIMS.c.inspection_id)))
                .order_by(number)
                .limit(min(count, MOST_CLAIMED - len(held)))
            )
            new = [rows.from_row(row) for row in connection.execute(statement)] if count else []
            _give(connection, reviewer, [one.id for one in new], moment)
            waiting, others = _counts(connection, conditions, reviewer)
            flagged = self._conditions(connection, replace(queue, has_border=False))
            kinds = _kinds(connection, flagged)
        held = sorted([*held, *(one.id for one in new)])
        anomalous, unread = kinds.get("anomalous", 0), kinds.get("unread", 0)
        return Claimed(tuple(new), tuple(held), waiting, others, anomalous, unread)

    def release(self, reviewer: str) -> int:
        """Give back all that a reviewer has.  -> how many these were.

        Raises:
            NotRecorded: the database takes no write.
        """
        check_text("reviewer", reviewer)
        with self._database.writing() as connection:
            gone = connection.execute(delete(CLAIMS).where(CLAIMS.c.reviewer == reviewer))
            return gone.rowcount

    def _conditions(self, connection: Connection, queue: Queue) -> list[ColumnElement[bool]]:
        """Conditions of the inspections of a queue, for its own index."""

        def column(name: str) -> ColumnElement[Any]:
            return unindexed(name) if self.is_sqlite else COLUMNS[name]

        own = text(TO_REVIEW if queue.has_border else FLAGGED)
        found: list[ColumnElement[bool]] = [own]  # type: ignore[list-item]
        if queue.product is not None:
            found.append(column("product") == queue.product)
        if queue.lot is not None:
            found.append(column("lot") == queue.lot)
        if queue.shift is not None:
            found.append(column("shift") == queue.shift)
        bounds = hours_bounds(connection, queue.product, queue.since, queue.until)
        if bounds is None:
            return [*found, false()]
        if bounds:  # the index has numbers and no times
            found.append(COLUMNS.id.between(*bounds))
        if queue.since is not None:
            found.append(COLUMNS.time >= queue.since)
        if queue.until is not None:
            found.append(COLUMNS.time < queue.until)
        return found


def end_claim(
    connection: Connection, before: StoredInspection, reviewer: str | None = None
) -> None:
    """End the claim of an inspection that gets a review, whoever has it.

    Args:
        connection: of the transaction of the review.
        before: the inspection as it was.
        reviewer: who decides, and only about what nobody else has or has decided about; None for
            a person who decides whatever others do.

    Raises:
        NotClaimed: another reviewer has it, or has been quicker.
    """
    own = CLAIMS.c.inspection_id == before.id
    holder = connection.execute(select(CLAIMS.c.reviewer).where(own)).scalar()
    if reviewer is not None and (before.review is not None or holder not in (None, reviewer)):
        raise NotClaimed(
            f"inspection: expected one without a review that no other reviewer has, got "
            f"{before.id}; go on with the next"
        )
    connection.execute(delete(CLAIMS).where(own))


def claim_again(
    connection: Connection, inspection_id: int, reviewer: str, moment: datetime
) -> None:
    """Let a reviewer have an inspection whose review is withdrawn, before others get it."""
    connection.execute(delete(CLAIMS).where(CLAIMS.c.inspection_id == inspection_id))
    _give(connection, reviewer, [inspection_id], moment)


def moment_of(connection: Connection) -> datetime:
    """The time by the clock of the database, while no other claims are given out."""
    if connection.dialect.name == "sqlite":  # the file is of this computer, with one writer at once
        return now()
    connection.execute(text(f"SELECT pg_advisory_xact_lock({CLAIMS_LOCK})"))
    moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return moment


def _give(connection: Connection, reviewer: str, numbers: Iterable[int], moment: datetime) -> None:
    given = [
        {"inspection_id": number, "reviewer": reviewer, "expires": moment + LIFE}
        for number in numbers
    ]
    if given:
        connection.execute(insert(CLAIMS), given)


def _renewed(connection: Connection, reviewer: str, moment: datetime) -> list[int]:
    """Numbers that a reviewer has and that still wait; the claims of others that are over end.

    Claims are written anew only in the second half of their time, so that a page may ask often.
    """
    own = CLAIMS.c.reviewer == reviewer
    decided = select(COLUMNS.id).where(
        COLUMNS.id == CLAIMS.c.inspection_id, COLUMNS.review.is_not(None)
    )
    connection.execute(delete(CLAIMS).where(~own, CLAIMS.c.expires <= moment))
    connection.execute(delete(CLAIMS).where(own, decided.exists()))
    connection.execute(
        update(CLAIMS)
        .where(own, CLAIMS.c.expires <= moment + LIFE / 2)
        .values(expires=moment + LIFE)
    )
    statement = select(CLAIMS.c.inspection_id).where(own).order_by(CLAIMS.c.inspection_id)
    return list(connection.execute(statement).scalars())


def _counts(
    connection: Connection, conditions: list[ColumnElement[bool]], reviewer: str
) -> tuple[int, int]:
    """Numbers of inspections that wait in a queue, and of those of them that others have."""
    waiting = select(COLUMNS.id).where(*conditions).limit(MOST_COUNTED).subquery()
    of_others = select(CLAIMS.c.inspection_id).where(CLAIMS.c.reviewer != reviewer)
    others = select(COLUMNS.id).where(*conditions, COLUMNS.id.in_(of_others)).subquery()
    return (
        connection.execute(select(func.count()).select_from(waiting)).scalar_one(),
        connection.execute(select(func.count()).select_from(others)).scalar_one(),
    )


def _kinds(connection: Connection, flagged: list[ColumnElement[bool]]) -> dict[str, int]:
    """Numbers of flagged inspections that wait by their verdict, up to `MOST_COUNTED` in all."""
    found = select(COLUMNS.verdict).where(*flagged).limit(MOST_COUNTED).subquery()
    statement = select(found.c.verdict, func.count()).group_by(found.c.verdict)
    return {str(row.verdict): int(row[1]) for row in connection.execute(statement)}
