"""Inspections as a table for people: in their zone and words, and with what reviewers said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import select

from patchbank.server.records.entries import WITHDRAWN, Filter
from patchbank.server.records.exporting import Csv, Exporting, Part
from patchbank.server.records.listing import check_filter
from patchbank.server.records.tables import REVIEWS

TEXTS = ("product", "serial_number", "lot", "shift", "station")
HEADS = ("time", *TEXTS, "verdict", "score", "p_value", "review", "reviewer", "note", "number")
"""Keys of the words above the columns, in their order."""
Said = Mapping[int, tuple[str, str]]
"""Who has reviewed an inspection, and the note, by its number."""


@dataclass(frozen=True, slots=True)
class Locale:
    """The language and the zone of a reader."""

    words: Mapping[str, str]
    """Words of `HEADS`, of the verdicts and of the reviews; ``time`` has a place for the zone."""
    decimal: str
    tz: tzinfo | None
    zone: str
    """Name of the zone."""


class Sheets(Exporting):
    """The part of the records that writes tables for people."""

    def sheet(self, wanted: Filter, locale: Locale) -> Iterator[Part]:
        """Yield the parts of a CSV file of inspections, newest first.

        Raises:
            ParameterError: a time of the filter has no zone, or a text cannot be on record.
            NotRecorded: the database does not answer.
        """
        check_filter(wanted)
        return self._parts(wanted, _Sheet(locale, self.counting_reviews), newest_first=True)

    def counting_reviews(self, numbers: Sequence[int]) -> Said:
        """The review that counts of each inspection that has one."""
        statement = (
            select(REVIEWS.c.inspection_id, REVIEWS.c.decision, REVIEWS.c.by, REVIEWS.c.note)
            .where(REVIEWS.c.inspection_id.in_(numbers))
            .order_by(REVIEWS.c.id)
        )
        given: dict[int, list[tuple[str, str]]] = {}
        with self._database.reading() as connection:
            for number, decision, by, note in connection.execute(statement):
                said = given.setdefault(number, [])
                if decision != WITHDRAWN:
                    said.append((by, note))
                elif said:
                    said.pop()
        return {number: said[-1] for number, said in given.items() if said}


class _Sheet(Csv):
    """Columns as a page shows them, without digests and keys."""

    columns = ("id", "time", *TEXTS, "verdict", "score", "threshold", "p_value", "review")

    def __init__(self, locale: Locale, said: Callable[[Sequence[int]], Said]) -> None:
        super().__init__(locale.decimal)
        self._locale = locale
        self._said = said

    def begin(self) -> bytes:
        words = [self._locale.words[name] for name in HEADS]
        words[0] = words[0].format(zone=self._locale.zone)
        return b"\xef\xbb\xbf" + f"{self.delimiter.join(self.texts(words))}\r\n".encode()

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        of = dict(zip(self.columns, zip(*rows, strict=True), strict=True))
        numbers, words = of["id"], self._locale.words
        reviewed = [n for n, one in zip(numbers, of["review"], strict=True) if one]
        said = self._said(reviewed) if reviewed else {}
        people = [said.get(number, ("", "")) for number in numbers]
        lines = zip(
            self._times(of["time"]),
            *(self.texts(of[name]) for name in TEXTS),
            self.texts([words[one] for one in of["verdict"]]),
            self._shares(of["score"], of["threshold"]),
            self._numbers(["" if p is None else f"{p:.3g}" for p in of["p_value"]]),
            self.texts([words[one] if one else "" for one in of["review"]]),
            self.texts([by for by, _ in people]),
            self.texts([note for _, note in people]),
            map(str, numbers),
            strict=True,
        )
        return ("\r\n".join(map(self.delimiter.join, lines)) + "\r\n").encode()

    def _times(self, values: Sequence[str]) -> list[str]:
        zone = self._locale.tz
        moments = (datetime.fromisoformat(f"{value}+00:00") for value in values)
        return [moment.astimezone(zone).isoformat(" ", "seconds")[:19] for moment in moments]

    def _shares(self, scores: Sequence[Any], thresholds: Sequence[Any]) -> list[str]:
        """Scores in percent of the threshold."""
        pairs = zip(scores, thresholds, strict=True)
        return self._numbers(["" if s is None or not t else f"{100 * s / t:.1f}" for s, t in pairs])

    def _numbers(self, cells: list[str]) -> list[str]:
        return [cell.replace(".", ",") for cell in cells] if self.decimal == "," else cells
