"""Claims of reviewers, border cases, and an index of the inspections that wait for a review.

This file stays as it is when the tables change: a later migration changes them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from patchbank.server.records.tables import UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TO_REVIEW = "review IS NULL AND (verdict <> 'good' OR (photograph IS NOT NULL AND is_border))"


def upgrade() -> None:
    """Make the table, the column and the index."""
    inspection = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "claims",
        sa.Column("inspection_id", inspection, autoincrement=False, nullable=False),
        sa.Column("reviewer", sa.String(200), nullable=False),
        sa.Column("expires", UtcTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("inspection_id", name="pk_claims"),
        sa.ForeignKeyConstraint(
            ["inspection_id"], ["inspections.id"], name="fk_claims_inspection_id"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_claims_reviewer", "claims", ["reviewer"])
    op.add_column(
        "inspections",
        sa.Column("is_border", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    waiting = sa.text(TO_REVIEW)
    op.create_index(
        "ix_inspections_to_review",
        "inspections",
        ["id", "product", "lot"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
