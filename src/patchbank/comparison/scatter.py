"""Coordinates of the scatter of two scores, each as a share of its own threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from patchbank.comparison.comparison import Pair
from patchbank.report.plots import HEIGHT, WIDTH, Ticks, round_numbers

MOST_POINTS = 3000
"""Points that are drawn; where there are more, those that hide each other are left out."""
MARGIN = 0.04
"""Empty border, as a share of the range."""
CELL = 3.0
"""Points of one kind within such a square, in SVG units, hide each other."""


@dataclass(frozen=True, slots=True)
class Point:
    """A photograph in the scatter."""

    x: float
    y: float
    kind: str
    """``both-good``, ``both-anomalous``, ``now-anomalous`` or ``now-good``."""
    title: str


@dataclass(frozen=True, slots=True)
class Scatter:
    """Points over two axes of one range, in SVG units from the top left."""

    points: tuple[Point, ...]
    n_hidden: int
    """Photographs that are not drawn, as others are in their place."""
    x_limit: float
    """Place of the threshold of A on the horizontal axis."""
    y_limit: float
    """Place of the threshold of B on the vertical axis."""
    x_ticks: Ticks
    y_ticks: Ticks
    is_logarithmic: bool


def scatter(pairs: Sequence[Pair]) -> Scatter | None:
    """Lay out the scatter; None where a threshold is not above zero, so that there are no shares.

    The axes are logarithmic where all scores are above zero: what is near to the threshold is then
    seen as well as what is far above.
    """
    shares = [(pair, pair.a.share, pair.b.share) for pair in pairs]
    known = [(pair, a, b) for pair, a, b in shares if a is not None and b is not None]
    if len(known) < len(shares) or not known:
        return None
    values = [1.0, *(value for _, a, b in known for value in (a, b))]
    is_logarithmic = min(values) > 0
    scale = math.log2 if is_logarithmic else float
    low, high = scale(min(values)), scale(max(values))
    margin = MARGIN * (high - low or 1.0)
    low, high = low - margin, high + margin

    def along(value: float) -> float:
        return (scale(value) - low) / (high - low)

    points: list[Point] = []
    drawn: set[tuple[str, int, int]] = set()
    crowded = len(known) > MOST_POINTS
    for pair, a, b in known:
        x, y, kind = along(a) * WIDTH, (1 - along(b)) * HEIGHT, _kind(pair)
        cell = kind, int(x / CELL), int(y / CELL)
        if crowded and cell in drawn:
            continue
        drawn.add(cell)
        points.append(Point(x, y, kind, f"{pair.image}: A {a:.3f}, B {b:.3f}"))
    points.sort(key=lambda point: point.kind.startswith("now"))  # changes are drawn above others
    ticks = _ticks(low, high, is_logarithmic=is_logarithmic)
    return Scatter(
        points=tuple(points),
        n_hidden=len(known) - len(points),
        x_limit=along(1.0) * WIDTH,
        y_limit=(1 - along(1.0)) * HEIGHT,
        x_ticks=tuple((along(value) * WIDTH, text) for value, text in ticks),
        y_ticks=tuple(((1 - along(value)) * HEIGHT, text) for value, text in ticks),
        is_logarithmic=is_logarithmic,
    )


def _kind(pair: Pair) -> str:
    if not pair.is_changed:
        return "both-anomalous" if pair.a.is_anomalous else "both-good"
    return "now-anomalous" if pair.b.is_anomalous else "now-good"


def _ticks(low: float, high: float, *, is_logarithmic: bool) -> list[tuple[float, str]]:
    """Round shares: powers of two on a logarithmic axis, steps of a root of two on a short one."""
    if not is_logarithmic or high - low < 1.5:
        if not is_logarithmic:
            return round_numbers(low, high)
        return round_numbers(2.0**low, 2.0**high)
    step = max(1, math.ceil((high - low) / 7))
    exponents = range(math.ceil(low), math.floor(high) + 1)
    return [(2.0**e, f"{2.0**e:g}") for e in exponents if e % step == 0]
