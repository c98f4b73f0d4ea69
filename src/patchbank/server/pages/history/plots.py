"""Coordinates of the charts of the history; their templates draw them as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from patchbank.server.pages.history.charts import Course, Pareto, Point

WIDTH, HEIGHT = 760.0, 280.0
LEFT, RIGHT, TOP, BOTTOM = 60.0, 12.0, 14.0, 34.0
LABEL_PX = 86.0
"""Width that the label of a point needs."""
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
TICKS = 4
PARETO_WIDTH = 480.0
WIDEST_BAR = 90.0
HEADROOM = 1.1
MOST_ABOVE = 3.0
"""Highest value of an axis, in shares of the highest point or of the mean: limits may be above."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One point, bar or cell, with the strip in which a pointer means it."""

    x: float
    y: float
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from 0 or less up, from the bottom to the top of a chart."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def y(self, value: float) -> float:
        """The vertical coordinate of a value; what is beyond the ends is on them."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


@dataclass(frozen=True, slots=True)
class PChart:
    """A p-chart: points, their limits as steps, and the mean."""

    drawn: tuple[Drawn, ...]
    line: str
    highs: str
    lows: str
    mean_y: float
    axis: Axis
    labels: tuple[tuple[float, str], ...]


def axis_of(high: float, low: float = 0.0) -> Axis:
    """An axis with round ticks that reaches over some values.

    >>> axis_of(0.23).ticks
    (0.0, 0.1, 0.2, 0.3)
    """
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / TICKS))
    step = next(step * power for step in STEPS if step * power * TICKS >= span * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(step * at, 12) for at in range(first, max(last, first + 1) + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def p_chart(course: Course) -> PChart:
    """The coordinates of a p-chart, whose points are as far from each other."""
    points, mean = course.points, course.mean or 0.0
    most = max([mean, *(point.share for point in points)])
    above = max((point.limits.high for point in points), default=0.0)
    axis = axis_of(min(1.0, max(most * HEADROOM, min(above, MOST_ABOVE * max(most, 0.01)), 0.01)))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(points))
    drawn = tuple(
        Drawn(
            round(LEFT + (at + 0.5) * step, 1),
            axis.y(point.share),
            round(LEFT + at * step, 1),
            round(step, 1),
        )
        for at, point in enumerate(points)
    )
    every = max(1, math.ceil(LABEL_PX / step))
    labels = tuple((one.x, points[at].label) for at, one in enumerate(drawn) if at % every == 0)
    return PChart(
        drawn=drawn,
        line=" ".join(f"{one.x},{one.y}" for one in drawn),
        highs=_steps(drawn, axis, points, is_high=True),
        lows=_steps(drawn, axis, points, is_high=False),
        mean_y=axis.y(mean),
        axis=axis,
        labels=labels,
    )


def _steps(drawn: Sequence[Drawn], axis: Axis, points: Sequence[Point], *, is_high: bool) -> str:
    found = []
    for one, point in zip(drawn, points, strict=True):
        y = axis.y(point.limits.high if is_high else point.limits.low)
        found += [f"{one.left},{y}", f"{round(one.left + one.width, 1)},{y}"]
    return " ".join(found)


@dataclass(frozen=True, slots=True)
class ParetoBars:
    """Bars of the cells with the most regions, and the curve of their cumulative share."""

    drawn: tuple[Drawn, ...]
    line: str
    axis: Axis


def pareto_bars(found: Pareto) -> ParetoBars:
    """The coordinates of the bars, on an axis of shares up to one."""
    axis = axis_of(1.0)
    step = min(WIDEST_BAR, (PARETO_WIDTH - LEFT - RIGHT) / max(1, len(found.bars)))
    drawn = tuple(
        Drawn(
            round(LEFT + (at + 0.5) * step, 1),
            axis.y(cell.share),
            round(LEFT + (at + 0.15) * step, 1),
            round(0.7 * step, 1),
        )
        for at, cell in enumerate(found.bars)
    )
    line = " ".join(
        f"{one.x},{axis.y(cell.cumulative)}" for one, cell in zip(drawn, found.bars, strict=True)
    )
    return ParetoBars(drawn, line, axis)


@dataclass(frozen=True, slots=True)
class DriftPlot:
    """The course of the evidence of a change, and the line of the alarm."""

    passed: str
    flagged: str
    alarm_y: float
    axis: Axis
    labels: tuple[tuple[float, str], ...]


def drift_plot(course: Sequence[tuple[int, float, float]], alarm_line: float) -> DriftPlot:
    """The coordinates of the drift plot: the inspections across, the evidence upwards."""
    values = [alarm_line * HEADROOM, *(value for _, *both in course for value in both)]
    axis = axis_of(max(values), min(0.0, *values))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(course) - 1)
    xs = [round(LEFT + at * step, 1) for at in range(len(course))]
    lines = [
        " ".join(f"{x},{axis.y(one[at])}" for x, one in zip(xs, course, strict=True))
        for at in (1, 2)
    ]
    ends = sorted({0, len(course) // 2, len(course) - 1}) if course else []
    labels = tuple((xs[at], f"#{course[at][0]}") for at in ends)
    return DriftPlot(lines[0], lines[1], axis.y(alarm_line), axis, labels)
