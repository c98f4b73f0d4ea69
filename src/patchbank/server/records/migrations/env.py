"""Alembic runs the migrations here: in the connection and transaction of `migrating`."""

from __future__ import annotations

from alembic import context

from patchbank.server.records.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,  # SQLite can; Alembic does not rely on it by itself
)
with context.begin_transaction():
    context.run_migrations()
