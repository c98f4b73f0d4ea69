"""Outlines of the true pixels of a mask, as the path of an SVG drawing."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from patchbank.types import Mask

GRID = 360
"""Largest side of the grid on which outlines are followed."""

Value = TypeVar("Value", bound=np.generic)
Point = tuple[int, int]
"""x, y in halves of a grid cell."""

_AROUND = {  # the side of a cell without a neighbour -> its edge, with the cell on the right
    (-1, 0): ((0, 0), (0, 1)),
    (0, 1): ((0, 1), (1, 1)),
    (1, 0): ((1, 1), (1, 0)),
    (0, -1): ((1, 0), (0, 0)),
}


def outline(mask: Mask) -> str:
    """The outlines of the true pixels of a mask, holes included, as the `d` of an SVG path.

    Lengths are halves of a cell of the grid that `cell_px` gives.  A line connects the middles of
    the edges between true and false, so that a slope is one.  A single true pixel is drawn.

    >>> outline(np.array([[False, False], [False, True]]))
    'M3 2l1 1 -1 1 -1 -1z'
    """
    cells = reduced(mask, cell_px(mask.shape))
    return "".join(_written(_without_straight(loop)) for loop in _loops(cells))


def cell_px(shape: tuple[int, ...]) -> int:
    """Side of the cells in which outlines in an array of this shape are followed, in pixels."""
    return max(1, -(-max(shape) // GRID))


def reduced(values: NDArray[Value], cell: int) -> NDArray[Value]:
    """(H, W) values in cells of some pixels, the largest of each.

    >>> reduced(np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]]), 2).tolist()
    [[5, 6], [8, 9]]
    """
    if cell == 1:
        return values
    rows, columns = (np.arange(0, length, cell) for length in values.shape)
    by_rows = np.maximum.reduceat(values, rows, axis=0)
    found: NDArray[Value] = np.maximum.reduceat(by_rows, columns, axis=1)
    return found


def _loops(cells: Mask) -> list[list[Point]]:
    """The middles of the edges between true and false, along each closed outline."""
    following = _edges(cells)
    loops = []
    while following:
        loop, here = [], next(iter(following))
        while here in following:  # as many edges end in a corner as begin there
            end, *others = following.pop(here)
            if others:
                following[here] = others
            loop.append((here[1] + end[1], here[0] + end[0]))
            here = end
        loops.append(loop)
    return loops


def _edges(cells: Mask) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Corner (y, x) -> the corners to which an edge leads, around true cells clockwise."""
    height, width = cells.shape
    padded = np.pad(cells, 1)
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (down, right), (begin, end) in _AROUND.items():
        neighbour = padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        for row, column in np.argwhere(cells & ~neighbour).tolist():
            corner = row + begin[0], column + begin[1]
            following.setdefault(corner, []).append((row + end[0], column + end[1]))
    return following


def _without_straight(loop: list[Point]) -> list[Point]:
    """A closed line without the points that lie on the line between their neighbours."""
    kept = []
    for number, (x, y) in enumerate(loop):
        (ax, ay), (bx, by) = loop[number - 1], loop[(number + 1) % len(loop)]
        if (x - ax) * (by - y) != (y - ay) * (bx - x):
            kept.append((x, y))
    return kept


def _written(loop: list[Point]) -> str:
    steps = [f"{x - ax} {y - ay}" for (ax, ay), (x, y) in pairwise(loop)]
    return f"M{loop[0][0]} {loop[0][1]}l{' '.join(steps)}z"
