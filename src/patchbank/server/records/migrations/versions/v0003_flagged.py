"""An index of the flagged and unread inspections that wait for a review, without border cases.

This file stays as it is when the tables change: a later migration changes them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FLAGGED = "review IS NULL AND verdict <> 'good'"


def upgrade() -> None:
    """Make the index."""
    flagged = sa.text(FLAGGED)
    op.create_index(
        "ix_inspections_flagged",
        "inspections",
        ["id", "product", "lot"],
        sqlite_where=flagged,
        postgresql_where=flagged,
    )
