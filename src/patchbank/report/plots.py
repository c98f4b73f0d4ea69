"""Coordinates of plots; the macros of ``parts.html`` draw them as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH, HEIGHT = 420, 280  # of the plotting area, in SVG units
BINS = 40
LINE_HEIGHT = 15.0  # of a label
LABEL_WIDTH = 60.0  # that a label needs to the right of its mark
STEPS = (1, 2, 5, 10)  # times a power of ten: distances of round numbers
TICKS = 5  # about as many on a vertical axis

Ticks = tuple[tuple[float, str], ...]
"""Position of each tick along its axis, in SVG units, with its text."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram, in SVG units from the top left of the area."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A dashed line across a plot, with its label; `at` is the x of a vertical one, else the y."""

    at: float
    text: str = ""
    text_x: float = 0.0
    text_y: float = 0.0
    anchor: str = "start"
    """SVG's text-anchor of the label."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Histograms of several series over one axis."""

    bars: Mapping[str, tuple[Bar, ...]]
    """Bars by the class of the style: ``good`` or ``bad``."""
    marks: tuple[Mark, ...]
    ticks: Ticks


@dataclass(frozen=True, slots=True)
class LinePlot:
    """Curves over common axes."""

    curves: Mapping[str, str]
    """Points of an SVG polyline by the class of the style: ``good`` or ``bad``."""
    marks: tuple[Mark, ...]
    x_ticks: Ticks
    y_ticks: Ticks


def histogram(
    series: Mapping[str, NDArray[np.float64]], marks: Sequence[tuple[float, str]]
) -> Histogram:
    """Lay out histograms, in which heights are shares of each series.

    Args:
        series: values by the class of the style, ``good`` or ``bad``; at least one value each.
        marks: values at which a vertical line is drawn, each with its label or an empty one.
    """
    every = np.concatenate([*series.values(), np.array([value for value, _ in marks])])
    low = float(every.min())
    span = float(every.max()) - low or 1.0
    edges = np.linspace(low, low + span, BINS + 1)
    shares = {name: np.histogram(v, edges)[0] / len(v) for name, v in series.items()}
    tallest = max(share.max() for share in shares.values())
    ticks = np.linspace(low, low + span, 5)
    return Histogram(
        bars={name: _bars(share / tallest) for name, share in shares.items()},
        marks=tuple(
            _vertical((value - low) / span * WIDTH, text, number)
            for number, (value, text) in enumerate(marks)
        ),
        ticks=tuple((float((t - low) / span * WIDTH), f"{t:.4g}") for t in ticks),
    )


def line_plot(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    marks: Sequence[tuple[float, str]] = (),
    *,
    logarithmic: bool = False,
) -> LinePlot:
    """Lay out curves of many points, of which no more are kept than can be seen.

    Args:
        curves: x (n,), not decreasing, and y (n,) by the class of the style, ``good`` or ``bad``;
            at least one point each.
        marks: values at which a horizontal line is drawn, each with its label or an empty one.
        logarithmic: whether the vertical axis is; then all y and marks are above zero.
    """
    arrays = {name: _points(*pair, logarithmic=logarithmic) for name, pair in curves.items()}
    levels = [math.log10(value) if logarithmic else value for value, _ in marks]
    xs = np.concatenate([x for x, _ in arrays.values()])
    ys = np.concatenate([*(y for _, y in arrays.values()), np.array(levels)])
    left, x_span = float(xs.min()), float(np.ptp(xs)) or 1.0
    bottom, y_span = float(ys.min()), float(np.ptp(ys)) or 1.0

    def y_of(value: float) -> float:
        return HEIGHT * (bottom + y_span - value) / y_span

    lines = {}
    for name, (x, y) in arrays.items():
        columns = (x - left) / x_span * WIDTH
        kept = _visible(columns, y)
        lines[name] = " ".join(f"{columns[i]:.1f},{y_of(y[i]):.1f}" for i in kept)
    return LinePlot(
        curves=lines,
        marks=tuple(
            Mark(y_of(level), text, text_x=4.0, text_y=max(y_of(level) - 5, 12.0))
            for level, (_, text) in zip(levels, marks, strict=True)
        ),
        x_ticks=tuple(
            ((v - left) / x_span * WIDTH, text) for v, text in round_numbers(left, left + x_span)
        ),
        y_ticks=tuple(
            (y_of(v), text) for v, text in _levels(bottom, bottom + y_span, logarithmic=logarithmic)
        ),
    )


def round_numbers(low: float, high: float) -> list[tuple[float, str]]:
    """Round numbers from `low` to `high`, which is higher, with their texts.

    >>> round_numbers(0.07, 0.33)
    [(0.1, '0.1'), (0.2, '0.2'), (0.3, '0.3')]
    """
    raw = (high - low) / TICKS
    decade = 10.0 ** math.floor(math.log10(raw))
    step = next(s * decade for s in STEPS if s * decade >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [(round(i * step, 12), f"{i * step:.{digits}f}") for i in range(first, last + 1)]


def _levels(low: float, high: float, *, logarithmic: bool) -> list[tuple[float, str]]:
    """Ticks of a vertical axis; on a logarithmic one, which has exponents, powers of ten."""
    if not logarithmic or high - low < 1:
        ticks = round_numbers(low, high)
        return [(v, f"{10**v:.3g}") for v, _ in ticks] if logarithmic else ticks
    step = max(1, math.ceil((high - low) / (TICKS + 1)))
    first = math.ceil(low / step - 1e-9) * step
    return [(float(e), f"{10.0**e:g}") for e in range(first, math.floor(high + 1e-9) + 1, step)]


def _points(
    x: ArrayLike, y: ArrayLike, *, logarithmic: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    across, up = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    return across, np.log10(up) if logarithmic else up


def _visible(columns: NDArray[np.float64], y: NDArray[np.float64]) -> list[int]:
    """Indices of the points that show: of each unit of the width first, last, lowest, highest."""
    if len(y) <= WIDTH:
        return list(range(len(y)))
    kept: set[int] = set()
    starts = np.flatnonzero(np.diff(np.floor(columns), prepend=-1.0))
    for begin, end in zip(starts, [*starts[1:], len(y)], strict=True):
        part = y[begin:end]
        found = (begin, end - 1, begin + part.argmin(), begin + part.argmax())
        kept.update(int(index) for index in found)
    return sorted(kept)


def _bars(heights: NDArray[np.float64]) -> tuple[Bar, ...]:
    width = WIDTH / BINS
    return tuple(
        Bar(i * width, HEIGHT * (1 - h), width, HEIGHT * h) for i, h in enumerate(heights) if h > 0
    )


def _vertical(x: float, text: str, number: int) -> Mark:
    """A vertical mark; labels of several stand below each other, as their lines may be close."""
    at_left = x + LABEL_WIDTH > WIDTH
    return Mark(
        float(x),
        text,
        text_x=float(x) + (-4.0 if at_left else 4.0),
        text_y=LINE_HEIGHT * (number + 1),
        anchor="end" if at_left else "start",
    )
