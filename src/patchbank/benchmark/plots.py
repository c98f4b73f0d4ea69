"""Coordinates of the page's plots; its template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from patchbank.benchmark.plan import FULL, in_order
from patchbank.benchmark.summary import Summary
from patchbank.report.plots import HEIGHT, WIDTH, round_numbers

LABEL_HEIGHT = 15.0
LABEL_CHARACTER = 6.6  # width of one character
LONGEST_LABEL = 24  # characters; the mark's tip has the whole
RADIUS = 6.0  # radius of a mark plus margin
MARGIN = 0.06  # margin as a fraction of the range, on each side
ROUND_NUMBERS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Point:
    """A mark with its number (the colour), in SVG units from the top left of the area."""

    x: float
    y: float
    number: int
    tip: str


@dataclass(frozen=True, slots=True)
class Label:
    """Text next to a mark; `anchor` is SVG's text-anchor."""

    x: float
    y: float
    number: int
    text: str
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Axis:
    """Positions of the ticks, with their texts."""

    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """Marks, lines between them, and axes."""

    points: tuple[Point, ...]
    lines: tuple[tuple[int, str], ...]
    """(number, points of an SVG polyline)."""
    labels: tuple[Label, ...]
    x: Axis
    y: Axis


def accuracy_and_latency(summary: Summary, metric: str, shots: int | None) -> Plot | None:
    """One point per method: mean accuracy against the time of an image, on a logarithmic axis.

    None if no method has both yet.
    """
    accuracy = summary.table(metric, shots).lines
    times = [figures[1] for _, figures in summary.cost(shots).lines]
    marks = [
        (number, label, time, mean.mean)
        for number, ((label, _, mean), time) in enumerate(zip(accuracy, times, strict=True))
        if mean.values and time
    ]
    if not marks:
        return None
    low, high = _widened([math.log10(time) for _, _, time, _ in marks], least=0.5)
    bottom, top = _widened([value for *_, value in marks], least=0.01)
    points = [
        Point(
            WIDTH * (math.log10(time) - low) / (high - low),
            HEIGHT * (top - value) / (top - bottom),
            number,
            f"{label}: {value:.3f}, {time:.3g} ms",
        )
        for number, label, time, value in marks
    ]
    labels = _label_positions(points, [label for _, label, _, _ in marks])
    ticks = [
        (WIDTH * (math.log10(number) - low) / (high - low), f"{number:g}")
        for number in _round_numbers(low, high)
    ]
    return Plot(tuple(points), (), labels, Axis(tuple(ticks)), _level_ticks(bottom, top))


def accuracy_and_shots(summary: Summary, metric: str) -> Plot | None:
    """One line per method: mean accuracy against the number of training images, evenly spaced.

    None if there is only one number, or no result yet.
    """
    shots = sorted(summary.plan.shots, key=in_order)
    place = {k: WIDTH * (i + 0.5) / len(shots) for i, k in enumerate(shots)}
    marks = [
        (number, label, k, mean.mean)
        for k in shots
        for number, (label, _, mean) in enumerate(summary.table(metric, k).lines)
        if mean.values
    ]
    if len(shots) < 2 or not marks:
        return None
    bottom, top = _widened([value for *_, value in marks], least=0.01)
    points = [
        Point(place[k], HEIGHT * (top - value) / (top - bottom), number, f"{label}: {value:.3f}")
        for number, label, k, value in marks
    ]
    numbers = sorted({point.number for point in points})
    paths = {n: [p for p in points if p.number == n] for n in numbers}
    lines = [(n, " ".join(f"{p.x:.1f},{p.y:.1f}" for p in paths[n])) for n in numbers]
    names = [label for label, _, _ in summary.table(metric, shots[0]).lines]
    ends = [Label(paths[n][-1].x + 8, paths[n][-1].y, n, names[n]) for n in numbers]
    ticks = tuple((place[k], FULL if k is None else str(k)) for k in shots)
    axes = Axis(ticks), _level_ticks(bottom, top)
    return Plot(tuple(points), tuple(lines), _spread(ends), *axes)


def _widened(values: Sequence[float], *, least: float) -> tuple[float, float]:
    """A range around values, no narrower than `least`."""
    low, high = min(values), max(values)
    pad = max((high - low) * MARGIN, (least - (high - low)) / 2)
    return low - pad, high + pad


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, 20, ... between two powers of ten."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    numbers = [step * 10.0**decade for decade in decades for step in ROUND_NUMBERS]
    return [number for number in numbers if low <= math.log10(number) <= high]


def _level_ticks(bottom: float, top: float) -> Axis:
    """Round accuracies from the bottom to the top."""
    levels = [(value, text) for value, text in round_numbers(bottom, top) if value <= 1]
    return Axis(tuple((HEIGHT * (top - v) / (top - bottom), text) for v, text in levels))


def _label_positions(points: Sequence[Point], texts: Sequence[str]) -> tuple[Label, ...]:
    """Place labels to the right of their points, or to the left if there is no room.

    A label that would overlap another one or a mark is moved down or up in steps of half a line.
    """
    placed: list[Label] = []
    for point, text in sorted(zip(points, texts, strict=True), key=lambda pair: pair[0].y):
        width = LABEL_CHARACTER * len(_short(text))
        at_left = point.x + 10 + width > WIDTH and point.x > width
        anchor, shift = ("end", -9.0) if at_left else ("start", 9.0)
        tried = [
            Label(
                point.x + shift,
                point.y + step * LABEL_HEIGHT / 2,
                point.number,
                _short(text),
                anchor,
            )
            for step in sorted(range(-2 * len(points), 2 * len(points) + 1), key=abs)
        ]
        placed.append(next((one for one in tried if _is_free(one, placed, points)), tried[0]))
    return tuple(placed)


def _is_free(label: Label, placed: Sequence[Label], points: Sequence[Point]) -> bool:
    """Whether a label overlaps no other label and no mark."""
    left, right = _span(label)
    for other in placed:
        other_left, other_right = _span(other)
        is_clear = abs(label.y - other.y) >= LABEL_HEIGHT - 1
        if not is_clear and left < other_right and other_left < right:
            return False
    return not any(
        abs(label.y - point.y) < LABEL_HEIGHT / 2 + RADIUS - 1
        and left < point.x + RADIUS
        and point.x - RADIUS < right
        for point in points
    )


def _span(label: Label) -> tuple[float, float]:
    width = LABEL_CHARACTER * len(label.text)
    return (label.x - width, label.x) if label.anchor == "end" else (label.x, label.x + width)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def _spread(labels: Sequence[Label]) -> tuple[Label, ...]:
    """Place labels in a column, moved down until none overlaps the next."""
    placed: list[Label] = []
    for label in sorted(labels, key=lambda one: one.y):
        lowest = placed[-1].y + LABEL_HEIGHT if placed else -math.inf
        placed.append(Label(label.x, max(label.y, lowest), label.number, _short(label.text)))
    return tuple(placed)
