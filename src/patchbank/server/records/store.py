"""The records of the service in one object."""

from __future__ import annotations

from patchbank.errors import DataError
from patchbank.server.records.adding import Adding
from patchbank.server.records.audit import Audit
from patchbank.server.records.base import check_text, insert_or_update, now
from patchbank.server.records.claiming import Claiming
from patchbank.server.records.counting import Counting
from patchbank.server.records.database import Database, sqlite_is_new_enough
from patchbank.server.records.errors import NotRecorded
from patchbank.server.records.hours import Hours
from patchbank.server.records.judging import Judging
from patchbank.server.records.messages import Messages
from patchbank.server.records.migrating import migrate
from patchbank.server.records.monitors import Monitors
from patchbank.server.records.recent import Recent
from patchbank.server.records.sheet import Sheets
from patchbank.server.records.tables import INSTANCES
from patchbank.server.records.tokens import Tokens
from patchbank.server.records.verifying import Verifying

LONGEST_INSTANCE = 64


class Records(
    Adding,
    Sheets,
    Counting,
    Hours,
    Monitors,
    Judging,
    Claiming,
    Audit,
    Tokens,
    Messages,
    Verifying,
    Recent,
):
    """Inspections, reviews, claims, detectors, audit, tokens and outbox in one database.

    All threads may use it at once.  What changes something is on the disk when it returns.
    """

    @classmethod
    def open(cls, url: str, *, instance: str, create: bool = True) -> Records:
        """Open the records, with the migrations that their database has not had.

        Args:
            url: ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST/NAME``.
            instance: name of the service, which sends its own messages and not those of others.
            create: whether records are made where there are none.

        Raises:
            DataError: the database cannot be opened, or is one of a newer version.
        """
        check_text("instance", instance, LONGEST_INSTANCE)
        database = Database(url)
        if database.is_sqlite and not sqlite_is_new_enough():
            raise DataError("database: expected SQLite 3.35 or newer, got an older one")
        try:
            migrate(database, create=create)
        except NotRecorded as error:
            database.close()
            raise DataError(str(error)) from None
        except DataError:
            database.close()
            raise
        return cls(database, instance)

    def check(self) -> None:
        """Write that this service is here.

        Raises:
            NotRecorded: the database takes no write.
        """
        row = {"name": self.instance, "seen": now()}
        statement = insert_or_update(INSTANCES, is_sqlite=self.is_sqlite).on_conflict_do_update(
            index_elements=[INSTANCES.c.name], set_={"seen": row["seen"]}
        )
        with self._database.writing() as connection:
            connection.execute(statement, row)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()
