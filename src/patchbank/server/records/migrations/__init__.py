"""Migrations of the database: Alembic runs those of ``versions`` that a database has not had."""
