"""Inspections are added: with their counts, and with what has to be sent, in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, insert, select, text

from patchbank.errors import ParameterError
from patchbank.runtime.printable import printable
from patchbank.server.records import rows
from patchbank.server.records.base import Store
from patchbank.server.records.entries import Answer, NewInspection, StoredInspection
from patchbank.server.records.errors import KeyReused
from patchbank.server.records.tables import INSPECTIONS, OUTBOX
from patchbank.server.records.tallies import count_new

KEYS_AT_ONCE = 500
LAST_OF_SQLITE = text("SELECT seq FROM sqlite_sequence WHERE name = 'inspections'")
NEXT_OF_POSTGRES = text(
    "SELECT nextval(pg_get_serial_sequence('inspections', 'id')) FROM generate_series(1, :count)"
)
RAISE_OF_SQLITE = text("UPDATE sqlite_sequence SET seq = seq + :count WHERE name = 'inspections'")
RAISE_OF_POSTGRES = text("SELECT setval(pg_get_serial_sequence('inspections', 'id'), :last)")
Added = Answer | KeyReused | ParameterError


class Adding(Store):
    """The part of the records that adds inspections."""

    def add(self, new: Sequence[NewInspection], channels: Sequence[str] = ()) -> list[Added]:
        """Record inspections, all in one transaction that is on the disk when this returns.

        Args:
            new: in the order in which they are numbered.
            channels: to which each of them has to be sent.

        Returns:
            One for each: the inspection as it is recorded, or as it was before under its key; or
            the error of the one that cannot be recorded, while the others are.

        Raises:
            NotRecorded: the database takes none of them.
        """
        outcomes: list[Added | None] = [_fault(one) for one in new]
        with self._database.writing(in_order=True) as connection:
            sound = [one for one, fault in zip(new, outcomes, strict=True) if fault is None]
            known = _known(connection, [one for one in sound if one.idempotency_key is not None])
            fresh: list[int] = []
            first: dict[tuple[str, str], int] = {}
            again: list[tuple[int, int]] = []
            for at, one in enumerate(new):
                if outcomes[at] is not None:
                    continue
                key = (one.product, one.idempotency_key or "")
                if one.idempotency_key is None:
                    fresh.append(at)
                elif key in known:
                    outcomes[at] = _repeated(one, known[key])
                elif key in first:
                    again.append((at, first[key]))
                else:
                    first[key] = at
                    fresh.append(at)
            for at, inspection in zip(
                fresh, self._insert(connection, [new[at] for at in fresh], channels), strict=True
            ):
                outcomes[at] = Answer(inspection, True)
            for at, earlier in again:
                answer = outcomes[earlier]
                assert isinstance(answer, Answer)
                outcomes[at] = _repeated(new[at], answer.inspection)
        return [outcome for outcome in outcomes if outcome is not None]

    def leave_numbers_out(self, count: int) -> None:
        """Leave out so many numbers before the next inspection.

        Records that are restored have lost the last inspections, whose numbers receivers know: a
        number that is given to another photograph would be a lie.

        Raises:
            NotRecorded: the database takes no write.
        """
        with self._database.writing(in_order=True) as connection:
            if self.is_sqlite:
                connection.execute(RAISE_OF_SQLITE, {"count": count})
            else:
                last = max(_next_numbers(connection, 1))
                connection.execute(RAISE_OF_POSTGRES, {"last": last + count})

    def _insert(
        self, connection: Connection, new: Sequence[NewInspection], channels: Sequence[str]
    ) -> list[StoredInspection]:
        if not new:
            return []
        numbers = _next_numbers(connection, len(new))
        numbered = list(zip(new, numbers, strict=True))
        connection.execute(
            insert(INSPECTIONS),
            [{"id": number, **rows.to_row(one, self.instance)} for one, number in numbered],
        )
        added = [rows.stored(one, number, self.instance) for one, number in numbered]
        count_new(connection, added)
        if channels:
            connection.execute(insert(OUTBOX), list(self._messages(added, channels)))
        return added

    def _messages(
        self, added: Sequence[StoredInspection], channels: Sequence[str]
    ) -> Iterator[dict[str, object]]:
        """Rows of the outbox."""
        for inspection in added:
            payload = inspection.to_text()
            for channel in channels:
                yield {
                    "instance": self.instance,
                    "channel": channel,
                    "product": inspection.product,
                    "inspection_id": inspection.id,
                    "key": f"{self.instance}/{inspection.id}/{channel}",
                    "payload": payload,
                    "attempts": 0,
                }


def _next_numbers(connection: Connection, count: int) -> list[int]:
    """Numbers that no inspection has or had; no other transaction adds one meanwhile."""
    if connection.dialect.name == "sqlite":
        last = connection.execute(LAST_OF_SQLITE).scalar() or 0
        return list(range(last + 1, last + count + 1))
    return sorted(connection.execute(NEXT_OF_POSTGRES, {"count": count}).scalars())


def _fault(new: NewInspection) -> ParameterError | None:
    try:
        rows.check(new)
    except ParameterError as error:
        return error
    return None


def _known(
    connection: Connection, new: Sequence[NewInspection]
) -> dict[tuple[str, str], StoredInspection]:
    """The inspections that are recorded under the keys of new ones."""
    by_product: dict[str, list[str]] = defaultdict(list)
    for one in new:
        by_product[one.product].append(str(one.idempotency_key))
    found = {}
    for product, keys in by_product.items():
        for start in range(0, len(keys), KEYS_AT_ONCE):
            statement = select(INSPECTIONS).where(
                INSPECTIONS.c.product == product,
                INSPECTIONS.c.idempotency_key.in_(keys[start : start + KEYS_AT_ONCE]),
            )
            for row in connection.execute(statement):
                inspection = rows.from_row(row)
                found[product, str(inspection.idempotency_key)] = inspection
    return found


def _repeated(new: NewInspection, recorded: StoredInspection) -> Added:
    """The answer to a photograph under a key that is on record."""
    if new.photograph_sha256 == recorded.photograph_sha256:
        return Answer(recorded, False)
    return KeyReused(
        f"idempotency_key: expected one photograph under {printable(str(new.idempotency_key))}, "
        f"got another one than inspection {recorded.id}; give each photograph its own key"
    )
