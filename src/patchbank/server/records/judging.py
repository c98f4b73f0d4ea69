"""Reviews of inspections by people, and the detectors that a product had."""

from __future__ import annotations

from dataclasses import asdict, replace

from sqlalchemy import Connection, func, insert, select, update

from patchbank.errors import ParameterError
from patchbank.server.records import rows
from patchbank.server.records.audit import append
from patchbank.server.records.base import Store, check_text, now, values_of
from patchbank.server.records.claiming import claim_again, end_claim, moment_of
from patchbank.server.records.entries import (
    DECISIONS,
    WITHDRAWN,
    Decision,
    DetectorEntry,
    Judgement,
    Review,
    StoredInspection,
)
from patchbank.server.records.errors import NoSuchInspection
from patchbank.server.records.tables import DETECTORS, INSPECTIONS, PRODUCT_LENGTH, REVIEWS
from patchbank.server.records.tallies import count_review

LONGEST_NOTE = 4000


class Judging(Store):
    """The part of the records that keeps reviews and the detectors of products."""

    def add_review(
        self,
        inspection_id: int,
        decision: Judgement,
        by: str,
        note: str = "",
        *,
        reviewer: str | None = None,
    ) -> Review:
        """Record what a person says of an inspection; earlier reviews stay, the latest counts.

        ``withdrawn`` takes the latest one back, which must be of the same person: the one before
        counts again.

        Args:
            inspection_id: number of the inspection.
            decision: that is recorded.
            by: name of the person.
            note: in free words.
            reviewer: name under which it was claimed (`claiming`), and is claimed again where the
                review is withdrawn; None for a decision whatever others have claimed.

        Raises:
            NotClaimed: another reviewer has it, or has been quicker.
            NoSuchInspection: there is none of this number.
            ParameterError: the decision is none, or none of a photograph that could not be read,
                a text is too long, or there is no own review to withdraw.
            NotRecorded: the database takes no write.
        """
        check_text("by", by, PRODUCT_LENGTH)
        check_text("note", note, LONGEST_NOTE)
        review = Review(
            inspection_id=inspection_id, time=now(), decision=decision, by=by, note=note
        )
        own = INSPECTIONS.c.id == inspection_id
        with self._database.writing(in_order=True) as connection:
            moment = None if reviewer is None else moment_of(connection)
            row = connection.execute(select(INSPECTIONS).where(own)).first()
            if row is None:
                raise NoSuchInspection(
                    f"inspection: expected the number of one on record, got {inspection_id}"
                )
            before = rows.from_row(row)
            _check_decision(before, decision)
            counts: Decision | None
            if decision == WITHDRAWN:
                counts = _before(connection, inspection_id, by)
                if reviewer is not None and moment is not None:
                    claim_again(connection, inspection_id, reviewer, moment)
            else:
                counts = decision
                end_claim(connection, before, reviewer)
            connection.execute(insert(REVIEWS), asdict(review))
            connection.execute(update(INSPECTIONS).where(own).values(review=counts))
            count_review(connection, before, replace(before, review=counts))
        return review

    def reviews(self, inspection_id: int) -> list[Review]:
        """Reviews of an inspection, oldest first."""
        statement = select(REVIEWS).where(REVIEWS.c.inspection_id == inspection_id)
        with self._database.reading() as connection:
            found = connection.execute(statement.order_by(REVIEWS.c.id))
            return [Review(**values_of(row, Review)) for row in found]

    def detector_taken_up(self, entry: DetectorEntry) -> None:
        """Record a detector that a product has from now on, and note it in the audit.

        Raises:
            ParameterError: a text is too long.
            NotRecorded: the database takes no write.
        """
        check_text("product", entry.product, PRODUCT_LENGTH)
        check_text("by", entry.by, PRODUCT_LENGTH)
        check_text("reason", entry.reason, LONGEST_NOTE)
        details = {
            "detector_sha256": entry.sha256,
            "threshold": entry.threshold,
            "false_alarm_rate": entry.false_alarm_rate,
            "reason": entry.reason,
        }
        with self._database.writing(in_order=True) as connection:
            last = connection.execute(
                select(DETECTORS)
                .where(DETECTORS.c.product == entry.product)
                .order_by(DETECTORS.c.id.desc())
                .limit(1)
            ).first()
            newest = connection.execute(select(func.max(INSPECTIONS.c.id))).scalar()
            connection.execute(
                insert(DETECTORS), {**asdict(entry), "after_inspection": newest or 0}
            )
            if last is not None:
                details |= {"detector_before": last.sha256, "threshold_before": last.threshold}
            append(
                connection,
                by=entry.by,
                action=f"detector {entry.action}",
                product=entry.product,
                details=details,
            )

    def detectors(self, product: str) -> list[DetectorEntry]:
        """Detectors that a product had, newest first; the first is the one that it has."""
        statement = select(DETECTORS).where(DETECTORS.c.product == product)
        with self._database.reading() as connection:
            found = connection.execute(statement.order_by(DETECTORS.c.id.desc()))
            return [DetectorEntry(**values_of(row, DetectorEntry)) for row in found]


def _check_decision(inspection: StoredInspection, decision: Judgement) -> None:
    """Check that an inspection can have a decision.

    Raises:
        ParameterError: it cannot.
    """
    if decision not in (*DECISIONS, WITHDRAWN):
        raise ParameterError(
            f"decision: expected one of {', '.join((*DECISIONS, WITHDRAWN))}, got {decision!r}"
        )
    if inspection.verdict == "unread" and decision == "false_alarm":
        raise ParameterError(
            "decision: expected confirmed_defect or unsure of a photograph that could not be "
            "read, as it has no verdict, got 'false_alarm'"
        )


def _before(connection: Connection, inspection_id: int, by: str) -> Decision | None:
    """The decision that counts once the latest review is withdrawn.

    Raises:
        ParameterError: there is none, or it is another person's.
    """
    statement = select(REVIEWS.c.decision, REVIEWS.c.by)
    found = statement.where(REVIEWS.c.inspection_id == inspection_id).order_by(REVIEWS.c.id)
    standing: list[tuple[Decision, str]] = []
    for decision, person in connection.execute(found):
        if decision == WITHDRAWN:
            standing.pop()
        else:
            standing.append((decision, person))
    if not standing or standing[-1][1] != by:
        got = f"one of {standing[-1][1]!r}" if standing else "none"
        raise ParameterError(
            f"decision: expected the latest review to be that of {by!r} to withdraw it, got {got}"
        )
    return standing[-2][0] if len(standing) > 1 else None
