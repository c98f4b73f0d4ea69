"""Results that have to be sent: written with the inspection, removed once a receiver has them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, func, select, update

from patchbank.server.records.audit import append
from patchbank.server.records.base import Store, values_of
from patchbank.server.records.entries import Message
from patchbank.server.records.tables import OUTBOX

COLUMNS = OUTBOX.c
BY_OUTBOX = "outbox"
AT_ONCE = 500


class Messages(Store):
    """The part of the records that keeps what this service has to send."""

    def messages(self, channel: str, limit: int) -> list[Message]:
        """The next messages of a channel, in the order of the inspections."""
        statement = select(OUTBOX).where(*self._waiting(channel)).order_by(COLUMNS.id).limit(limit)
        with self._database.reading() as connection:
            found = connection.execute(statement)
            return [Message(**values_of(row, Message)) for row in found]

    def delivered(self, numbers: Sequence[int]) -> None:
        """Remove messages that were received.

        Raises:
            NotRecorded: the database takes no write; they are sent again.
        """
        with self._database.writing() as connection:
            for start in range(0, len(numbers), AT_ONCE):
                chosen = COLUMNS.id.in_(numbers[start : start + AT_ONCE])
                connection.execute(delete(OUTBOX).where(chosen))

    def failed(self, number: int) -> None:
        """Count an attempt of a message that has failed.

        Raises:
            NotRecorded: the database takes no write.
        """
        statement = update(OUTBOX).where(COLUMNS.id == number)
        with self._database.writing() as connection:
            connection.execute(statement.values(attempts=COLUMNS.attempts + 1))

    def outbox_size(self, channel: str) -> int:
        """Number of messages of a channel that wait."""
        return self._count(*self._waiting(channel))

    def channels(self) -> list[str]:
        """Channels for which messages of this service are there, also those of earlier runs."""
        statement = select(COLUMNS.channel).where(COLUMNS.instance == self.instance).distinct()
        with self._database.reading() as connection:
            return sorted(connection.execute(statement).scalars())

    def drop_oldest(self, channel: str, keep: int) -> int:
        """Drop the oldest messages of a channel that are more than so many, noted in the audit.

        Returns:
            How many were dropped.

        Raises:
            NotRecorded: the database takes no write.
        """
        newest = select(COLUMNS.id).where(*self._waiting(channel)).order_by(COLUMNS.id.desc())
        with self._database.writing() as connection:
            last = connection.execute(newest.offset(keep).limit(1)).scalar()
            if last is None:
                return 0
            chosen = (*self._waiting(channel), COLUMNS.id <= last)
            span = select(func.min(COLUMNS.inspection_id), func.max(COLUMNS.inspection_id))
            first_inspection, last_inspection = connection.execute(span.where(*chosen)).one()
            dropped = connection.execute(delete(OUTBOX).where(*chosen)).rowcount
            details = {
                "channel": channel,
                "instance": self.instance,
                "messages": dropped,
                "first_inspection": first_inspection,
                "last_inspection": last_inspection,
            }
            append(
                connection, by=BY_OUTBOX, action="messages dropped", product=None, details=details
            )
        return dropped

    def set_aside(self, number: int, reason: str) -> None:
        """Keep a message that the receiver refuses for good, so that others can go; in the audit.

        Raises:
            NotRecorded: the database takes no write.
        """
        own = COLUMNS.id == number
        with self._database.writing() as connection:
            row = connection.execute(select(OUTBOX).where(own)).first()
            if row is None:
                return
            reason = reason.replace("\0", "")[:1000]
            connection.execute(update(OUTBOX).where(own).values(refused=reason))
            details = {"channel": row.channel, "inspection": row.inspection_id, "reason": reason}
            append(
                connection,
                by=BY_OUTBOX,
                action="message refused",
                product=row.product,
                details=details,
            )

    def refused(self, channel: str) -> int:
        """Number of messages of a channel that were refused for good."""
        return self._count(*self._refused(channel))

    def send_refused_again(self, channel: str) -> int:
        """Let messages that were refused be sent again, before all later ones.

        Returns:
            How many they are.

        Raises:
            NotRecorded: the database takes no write.
        """
        statement = update(OUTBOX).where(*self._refused(channel))
        with self._database.writing() as connection:
            return connection.execute(statement.values(refused=None)).rowcount

    def _waiting(self, channel: str) -> tuple[ColumnElement[bool], ...]:
        return (*self._own(channel), COLUMNS.refused.is_(None))

    def _refused(self, channel: str) -> tuple[ColumnElement[bool], ...]:
        return (*self._own(channel), COLUMNS.refused.is_not(None))

    def _own(self, channel: str) -> tuple[ColumnElement[bool], ...]:
        return COLUMNS.instance == self.instance, COLUMNS.channel == channel

    def _count(self, *conditions: ColumnElement[bool]) -> int:
        statement = select(func.count()).select_from(OUTBOX).where(*conditions)
        with self._database.reading() as connection:
            return int(connection.execute(statement).scalar_one())
