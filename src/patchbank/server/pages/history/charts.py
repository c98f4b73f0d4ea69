"""Figures of the charts of the history: points of a p-chart, rates, and positions of regions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from patchbank.core.scores.control_limits import ControlLimits, control_limits
from patchbank.server.pages.history.asked import By
from patchbank.server.pages.history.zones import Zone
from patchbank.server.records.counting import Count, add_up, begin_of
from patchbank.server.records.hours import HourCount

MOST_POINTS = 120
"""Points of a chart; the newest ones if there are more."""
REACH = {"hour": 14, "day": 120, "shift": 60, "lot": 60}
"""Days before the newest part that a chart reaches back at most, by its points."""
USUAL_DAYS = 30
"""Days before the newest part that are shown where no time is asked for."""
SHORT = timedelta(days=3)
"""Time up to which a point is an hour, and not a day, unless something else is asked for."""
LONGEST_SHIFT = 12
LONGEST_PAUSE = 6
"""Hours: one shift has no longer pause, and is no longer."""
COLUMNS = 8
"""Cells of the longer side of a photograph."""
MOST_BARS = 10


@dataclass(frozen=True, slots=True)
class Point:
    """The parts of one hour, day, shift or lot."""

    label: str
    count: Count
    limits: ControlLimits
    link: Mapping[str, Any]
    """Changes of the query that leads to its parts."""

    @property
    def share(self) -> float:
        """Share of flagged parts among those with a verdict."""
        return self.count.anomalous / self.count.inspected

    @property
    def is_out(self) -> bool:
        """Whether it is outside of its control limits."""
        return not self.limits.hold(self.share)


@dataclass(frozen=True, slots=True)
class Course:
    """A p-chart, and the sum of its points."""

    points: tuple[Point, ...]
    total: Count
    is_cut: bool
    """Whether there are earlier points."""

    @property
    def mean(self) -> float | None:
        """Share of flagged parts among all of them: the centre line; None without parts."""
        return self.total.anomalous / self.total.inspected if self.total.inspected else None

    @property
    def out(self) -> list[Point]:
        """Points outside of their limits."""
        return [point for point in self.points if point.is_out]

    @property
    def passed(self) -> float | None:
        """First-pass yield: share that passed of all photographs, unread ones included."""
        everything = self.total.inspected + self.total.unread
        return self.total.good / everything if everything else None


def course(
    counts: Iterable[HourCount], by: By, zone: Zone, since: datetime | None = None
) -> Course:
    """The p-chart of some hours, oldest point first; points without a verdict are left out.

    Args:
        counts: of the hours.
        by: what is one point.
        zone: in which days begin; an hour that crosses midnight counts where it begins.
        since: time from which parts are counted, in the middle of the first hour perhaps.
    """

    def begins(hour: int) -> datetime:
        begin = begin_of(hour)
        return zone.local(begin if since is None else max(begin, since))

    groups = {"hour": _hours, "day": _days, "shift": _shifts, "lot": _lots}[by](counts, begins)
    found = [
        (label, _count(label, own), link)
        for label, own, link in groups
        if any(one.verdict != "unread" for one in own)
    ]
    chosen = found[-MOST_POINTS:]
    everything: dict[str, int] = defaultdict(int)
    for _, count, _ in chosen:
        for name in ("good", "anomalous", "unread"):
            everything[name] += getattr(count, name)
        for name in ("confirmed_defects", "false_alarms", "missed_defects"):
            everything[name] += getattr(count, name)
    total = Count(group=None, **everything)
    mean = total.anomalous / total.inspected if total.inspected else 0.0
    points = (
        Point(label, count, control_limits(count.inspected, mean), link)
        for label, count, link in chosen
    )
    return Course(tuple(points), total, len(chosen) < len(found))


Group = tuple[str, list[HourCount], dict[str, Any]]
Begins = Callable[[int], datetime]
"""Local time at which an hour begins, or at which the parts begin that are counted of it."""


def _hours(counts: Iterable[HourCount], begins: Begins) -> list[Group]:
    found = []
    for hour, own in sorted(_by(counts, lambda one: one.hour).items()):
        begin, end = begins(hour), begins(hour + 1)
        found.append((begin.strftime("%Y-%m-%d %H:%M"), own, _between(begin, end)))
    return found


def _days(counts: Iterable[HourCount], begins: Begins) -> list[Group]:
    days = _by(counts, lambda one: begins(one.hour).date())
    return [
        (day.isoformat(), own, _times(day.isoformat(), None, day.isoformat(), None))
        for day, own in sorted(days.items())
    ]


def _lots(counts: Iterable[HourCount], begins: Begins) -> list[Group]:
    lots = _by(counts, lambda one: one.value)
    in_order = sorted(lots.items(), key=lambda item: min(one.first_id for one in item[1]))
    return [(lot, own, {"lot": lot}) for lot, own in in_order if lot]


def _shifts(counts: Iterable[HourCount], begins: Begins) -> list[Group]:
    """Hours in a row with one shift; its next day is another point."""
    found: list[tuple[int, Group]] = []
    for shift, all_own in _by(counts, lambda one: one.value).items():
        begin, last = 0, -LONGEST_PAUSE
        runs: dict[int, list[HourCount]] = {}
        for one in sorted(all_own, key=lambda one: one.hour):
            if one.hour - last > LONGEST_PAUSE or one.hour - begin >= LONGEST_SHIFT:
                begin = one.hour
            last = one.hour
            runs.setdefault(begin, []).append(one)
        for begin, own in runs.items():
            if shift:
                local, end = begins(begin), begins(max(one.hour for one in own) + 1)
                link = {"shift": shift, **_between(local, end)}
                found.append((begin, (f"{local:%Y-%m-%d} {shift}", own, link)))
    return [group for _, group in sorted(found, key=lambda one: (one[0], one[1][0]))]


def _between(begin: datetime, end: datetime) -> dict[str, Any]:
    days = begin.date().isoformat(), end.date().isoformat()
    return _times(days[0], f"{begin:%H:%M}", days[1], f"{end:%H:%M}")


def _times(first: str, begin: str | None, last: str, end: str | None) -> dict[str, Any]:
    return {"when": None, "from": first, "from_time": begin, "to": last, "to_time": end}


def _by(counts: Iterable[HourCount], key: Any) -> dict[Any, list[HourCount]]:
    found: dict[Any, list[HourCount]] = {}
    for one in counts:
        found.setdefault(key(one), []).append(one)
    return found


def _count(label: str, counts: Sequence[HourCount]) -> Count:
    numbers: dict[str, int] = {}
    for one in counts:
        add_up(numbers, one.verdict, one.review, one.number)
    return Count(group=label, **numbers)


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of the photograph, and the regions whose centre is in it."""

    name: str
    """Column as a letter, row as a number from the top: ``C2``."""
    row: int
    column: int
    number: int
    share: float
    """Share of all regions."""
    cumulative: float
    """Share of all regions in this one and those before it."""


@dataclass(frozen=True, slots=True)
class Pareto:
    """Cells in which the regions of flagged parts are, those with the most first."""

    rows: int
    columns: int
    parts: int
    """Number of flagged parts that it is made from."""
    regions: int
    cells: tuple[Cell, ...]
    """Cells with a region."""

    @property
    def bars(self) -> tuple[Cell, ...]:
        """The cells that are drawn as bars."""
        return self.cells[:MOST_BARS]


def pareto(results: Sequence[Mapping[str, Any]]) -> Pareto:
    """Count the centres of regions in a coarse grid, relative to the size of each photograph.

    Args:
        results: of flagged parts, the newest first, as `predict --json` has them; the shape of the
            newest photograph decides how many rows and columns there are.
    """
    sizes = [one["size"] for one in results if one.get("size")]
    width, height = sizes[0] if sizes else (1, 1)
    longer = max(width, height)
    rows, columns = (max(1, round(COLUMNS * side / longer)) for side in (height, width))
    counted: Counter[tuple[int, int]] = Counter()
    for one in results:
        for region in (one.get("regions") or []) if one.get("size") else []:
            counted[_cell_of(region, one["size"], rows, columns)] += 1
    total, before, cells = sum(counted.values()), 0, []
    for (row, column), number in sorted(counted.items(), key=lambda item: (-item[1], item[0])):
        before += number
        name = f"{chr(ord('A') + column)}{row + 1}"
        cells.append(Cell(name, row, column, number, number / total, before / total))
    return Pareto(rows, columns, len(results), total, tuple(cells))


def _cell_of(
    region: Mapping[str, Any], size: Sequence[int], rows: int, columns: int
) -> tuple[int, int]:
    width, height = size
    y = (region["top"] + region["height"] / 2) / height
    x = (region["left"] + region["width"] / 2) / width
    return min(rows - 1, int(y * rows)), min(columns - 1, int(x * columns))


def usual_by(since: datetime, until: datetime) -> By:
    """The points of a chart, unless something else is asked for."""
    return "hour" if until - since <= SHORT else "day"


def midnight(zone: Zone, moment: datetime, days: int) -> datetime:
    """Begin of the day so many days before that of a moment."""
    return zone.moment(zone.local(moment).date() - timedelta(days=days), time())
