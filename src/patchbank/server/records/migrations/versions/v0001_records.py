"""The first tables.

This file stays as it is when the tables change: a later migration changes them.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from patchbank.server.records.tables import UtcTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

GIVEN = ("review", "serial_number", "lot", "station", "shift", "operator", "camera", "score")
REFUSAL = "audit: entries are never changed or removed"


def upgrade() -> None:
    """Make all tables, and what keeps the audit as it is."""
    _inspections()
    _reviews_and_detectors()
    _audit_and_tokens()
    _outbox()
    _counts()
    _keep_audit()


def _id() -> sa.Column[Any]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, autoincrement=True, primary_key=True)


def _text(name: str, length: int, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def _inspections() -> None:
    op.create_table(
        "inspections",
        _id(),
        sa.Column("time", UtcTime(timezone=True), nullable=False),
        _text("product", 100),
        _text("verdict", 10),
        sa.Column("score", sa.Double()),
        sa.Column("p_value", sa.Double()),
        sa.Column("threshold", sa.Double()),
        _text("detector_sha256", 64),
        sa.Column("image", sa.Text()),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("regions", sa.Integer()),
        sa.Column("error", sa.Text()),
        sa.Column("result", sa.Text(), nullable=False),
        _text("serial_number", 200, nullable=True),
        _text("lot", 200, nullable=True),
        _text("station", 200, nullable=True),
        _text("shift", 200, nullable=True),
        _text("operator", 200, nullable=True),
        _text("camera", 200, nullable=True),
        _text("photograph_sha256", 64),
        _text("photograph", 100, nullable=True),
        _text("overlay", 100, nullable=True),
        _text("map", 100, nullable=True),
        _text("source", 20),
        _text("by", 100),
        _text("instance", 64),
        _text("idempotency_key", 200, nullable=True),
        _text("review", 20, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_inspections"),
        sa.UniqueConstraint(
            "product", "idempotency_key", name="uq_inspections_product_idempotency_key"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_inspections_product_id", "inspections", ["product", "id"])
    op.create_index("ix_inspections_verdict_id", "inspections", ["verdict", "id"])
    for name in GIVEN:
        given = sa.text(f"{name} IS NOT NULL")
        op.create_index(
            f"ix_inspections_{name}_id",
            "inspections",
            [name, "id"],
            sqlite_where=given,
            postgresql_where=given,
        )


def _reviews_and_detectors() -> None:
    inspection = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "reviews",
        _id(),
        sa.Column("inspection_id", inspection, nullable=False),
        sa.Column("time", UtcTime(timezone=True), nullable=False),
        _text("decision", 20),
        _text("by", 100),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.ForeignKeyConstraint(
            ["inspection_id"], ["inspections.id"], name="fk_reviews_inspection_id"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_reviews_inspection_id", "reviews", ["inspection_id"])
    op.create_table(
        "detectors",
        _id(),
        _text("product", 100),
        _text("sha256", 64),
        sa.Column("time", UtcTime(timezone=True), nullable=False),
        _text("action", 20),
        _text("by", 100),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("false_alarm_rate", sa.Double(), nullable=False),
        sa.Column("after_inspection", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_detectors"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_detectors_product_id", "detectors", ["product", "id"])


def _audit_and_tokens() -> None:
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("time", UtcTime(timezone=True), nullable=False),
        _text("by", 100),
        _text("action", 40),
        _text("product", 100, nullable=True),
        sa.Column("details", sa.Text(), nullable=False),
        _text("previous", 64),
        _text("hash", 64),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )
    op.create_table(
        "tokens",
        _id(),
        _text("name", 100),
        _text("role", 10),
        _text("digest", 64),
        sa.Column("created", UtcTime(timezone=True), nullable=False),
        sa.Column("expires", UtcTime(timezone=True)),
        sa.Column("revoked", UtcTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("name", name="uq_tokens_name"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
        sqlite_autoincrement=True,
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        _id(),
        _text("instance", 64),
        _text("channel", 100),
        _text("product", 100),
        sa.Column("inspection_id", sa.BigInteger(), nullable=False),
        _text("key", 200),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_instance_channel_id", "outbox", ["instance", "channel", "id"])


def _counts() -> None:
    op.create_table(
        "tallies",
        _text("kind", 10),
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        _text("product", 100),
        _text("value", 200),
        _text("verdict", 10),
        _text("review", 20),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("first_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "kind", "hour", "product", "value", "verdict", "review", name="pk_tallies"
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "monitors",
        _text("product", 100),
        _text("detector_sha256", 64),
        sa.Column("false_alarm_rate", sa.Double(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "product", "detector_sha256", "false_alarm_rate", name="pk_monitors"
        ),
    )
    op.create_table(
        "instances",
        _text("name", 64),
        sa.Column("seen", UtcTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_instances"),
    )


def _keep_audit() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
                f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
            )
        op.execute(  # else INSERT OR REPLACE would change an entry
            "CREATE TRIGGER audit_in_order BEFORE INSERT ON audit "
            "WHEN NEW.number <> (SELECT COALESCE(MAX(number), 0) + 1 FROM audit) "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"
    )
