"""Records are verified: the database, the chain of the audit, the counts, and kept pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, func, or_, select, text

from patchbank.runtime.printable import one_line
from patchbank.server.records.base import Store
from patchbank.server.records.pictures import Pictures
from patchbank.server.records.tables import INSPECTIONS, TALLIES
from patchbank.server.records.tallies import ALL


class Verifying(Store):
    """The part of the records that looks for damage of the database."""

    def damage(self) -> list[str]:
        """A line for each fault of the database, and each product whose counts are wrong.

        Raises:
            NotRecorded: the database does not answer.
        """
        with self._database.reading() as connection:
            found = []
            if self.is_sqlite:
                lines = connection.execute(text("PRAGMA quick_check(20)")).scalars()
                found = [f"database: {one_line(line)}" for line in lines if line != "ok"]
            return [*found, *_wrong_counts(connection)]

    def missing_pictures(self, pictures: Pictures) -> list[int]:
        """Numbers of the inspections of this service that name a picture that is not there.

        Raises:
            NotRecorded: the database does not answer.
        """
        own = INSPECTIONS.c
        named = or_(*(column.is_not(None) for column in (own.photograph, own.overlay, own.map)))
        statement = (
            select(own.id, own.photograph, own.overlay, own.map)
            .where(named, own.instance == self.instance)
            .order_by(own.id)
            .execution_options(yield_per=1000)
        )
        with self._database.reading() as connection:
            return [
                number
                for number, *names in connection.execute(statement)
                if not all(name is None or pictures.has(name) for name in names)
            ]


def changed_pictures(pictures: Pictures) -> Iterator[str]:
    """Yield a line for each picture whose content is not the one that its name is made from."""
    for path in pictures.paths():
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:  # removed since, as an old one
            continue
        except OSError as error:
            yield f"{path}: expected a picture, got: {error.strerror or error}"
            continue
        if digest != path.name.partition(".")[0]:
            yield f"{path}: expected the picture of its name, got another content"


def _wrong_counts(connection: Connection) -> Iterator[str]:
    """Compare the tallies with the inspections that they count."""
    own, review = INSPECTIONS.c, func.coalesce(INSPECTIONS.c.review, "")
    by = (own.product, own.verdict, review)
    counted = _numbers(connection, select(*by, func.count()).group_by(*by))
    groups = (TALLIES.c.product, TALLIES.c.verdict, TALLIES.c.review)
    tallied = _numbers(
        connection,
        select(*groups, func.sum(TALLIES.c.number)).where(TALLIES.c.kind == ALL).group_by(*groups),
    )
    for key in sorted(counted.keys() | tallied.keys()):
        if counted.get(key, 0) != tallied.get(key, 0):
            words = ", ".join(filter(None, key))
            yield (
                f"counts of {words}: expected {counted.get(key, 0):,}, as there are inspections, "
                f"got {tallied.get(key, 0):,}"
            )


def _numbers(connection: Connection, statement: Any) -> dict[tuple[str, str, str], int]:
    return {(a, b, c): int(n) for a, b, c, n in connection.execute(statement)}
