"""The latest scores of a product, and how many parts it makes in a shift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Any, Literal

from sqlalchemy import func, select

from patchbank.errors import ParameterError
from patchbank.server.records.base import Store, check_text, now
from patchbank.server.records.entries import Decision, Verdict
from patchbank.server.records.tables import INSPECTIONS, TALLIES
from patchbank.server.records.tallies import hour_of

MOST_RECENT = 5000
SHIFT_DAYS = 7
"""Days whose parts say how many a shift has."""
SHIFT_HOURS = 8
"""Hours of a shift where parts do not name theirs."""
LONGEST_BREAK = 6
"""Hours without a part within one shift; after more, the same name is that of the next one."""
HourCount = tuple[int, str, int]
"""Hour since 1970, name of the shift (empty for none), number of parts."""


@dataclass(frozen=True, slots=True)
class RecentScore:
    """The facts of one inspection by which a threshold is judged."""

    id: int
    score: float | None
    threshold: float | None
    """The one that was in use."""
    verdict: Verdict
    review: Decision | None
    detector_sha256: str


@dataclass(frozen=True, slots=True)
class ShiftSize:
    """The number of parts that a shift has."""

    parts: int | None
    """The median; None where there was none."""
    counted: Literal["shifts", "hours", "nothing"]
    """By the shifts that parts name, or by their hours, of which a shift has eight."""
    n: int
    """Number of those shifts or hours."""

    def to_json(self) -> dict[str, Any]:
        """The number, and how it was counted."""
        return {"parts": self.parts, "counted": self.counted, "n": self.n, "days": SHIFT_DAYS}


class Recent(Store):
    """The part of the records that says what a product has made lately."""

    def recent_scores(self, product: str, limit: int) -> list[RecentScore]:
        """The latest inspections of a product, newest first.

        Raises:
            ParameterError: the limit is none, or the product no text.
            NotRecorded: the database does not answer.
        """
        check_text("product", product)
        if not 1 <= limit <= MOST_RECENT:
            raise ParameterError(f"limit: expected 1 to {MOST_RECENT:,}, got {limit}")
        own = INSPECTIONS.c
        wanted = (own.id, own.score, own.threshold, own.verdict, own.review, own.detector_sha256)
        statement = select(*wanted).where(own.product == product)
        with self._database.reading() as connection:
            rows = connection.execute(statement.order_by(own.id.desc()).limit(limit))
            return [RecentScore(*row) for row in rows]

    def shift_size(self, product: str) -> ShiftSize:
        """Count the parts of a product that a shift of the last seven days has.

        Raises:
            NotRecorded: the database does not answer.
        """
        check_text("product", product)
        own, this_hour = TALLIES.c, hour_of(now())
        statement = (
            select(own.hour, own.value, func.sum(own.number))
            .where(own.kind == "shift", own.hour > this_hour - 24 * SHIFT_DAYS)
            .where(own.product == product)
            .group_by(own.hour, own.value)
        )
        with self._database.reading() as connection:
            rows = [(hour, value, int(n)) for hour, value, n in connection.execute(statement)]
        return shift_size(rows, this_hour)


def shift_size(hours: Sequence[HourCount], this_hour: int) -> ShiftSize:
    """Count the parts that a shift has.

    The shift or hour that is not over yet counts only where there is no other.

    Args:
        hours: counts of parts, in any order.
        this_hour: hour since 1970.

    >>> night = [(22, "night", 90), (23, "night", 100), (24, "night", 110)]
    >>> shift_size([*night, (46, "night", 100), (47, "night", 300), (60, "late", 8)], 60)
    ShiftSize(parts=350, counted='shifts', n=2)
    >>> shift_size([(1, "", 40), (2, "", 50), (9, "", 7)], 9)
    ShiftSize(parts=360, counted='hours', n=2)
    """
    counted = [one for one in hours if one[2] > 0]
    named = [one for one in counted if one[1]]
    if named:
        shifts = [
            shift
            for _, group in groupby(sorted(named, key=lambda one: one[1]), lambda one: one[1])
            for shift in _separate(sorted(group))
        ]
        over = [one for one in shifts if one[-1][0] < this_hour] or shifts
        sizes = [sum(number for _, _, number in shift) for shift in over]
        return ShiftSize(round(median(sizes)), "shifts", len(sizes))
    if not counted:
        return ShiftSize(None, "nothing", 0)
    full = [number for hour, _, number in counted if hour < this_hour]
    full = full or [number for _, _, number in counted]
    return ShiftSize(round(SHIFT_HOURS * median(full)), "hours", len(full))


def _separate(hours: Sequence[HourCount]) -> list[list[HourCount]]:
    """Hours of one name, in order, as shifts."""
    shifts = [[hours[0]]]
    for one in hours[1:]:
        if one[0] - shifts[-1][-1][0] > LONGEST_BREAK:
            shifts.append([])
        shifts[-1].append(one)
    return shifts
