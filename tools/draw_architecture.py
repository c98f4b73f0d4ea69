"""Draw docs/pictures/architecture.svg from the import rules and the imports of src/patchbank.

    python tools/draw_architecture.py           writes the picture
    python tools/draw_architecture.py --sizes   prints the lines of code of each room

Floors are the layers of the import-linter contract in pyproject.toml, the job of a room is the
first sentence of its docstring, and an arrow is an import.  An import is not drawn where a chain of
other imports leads to the same room (unless there are many), or where it leads to the lowest floor,
which every room uses.
Standard library only; the same tree always gives the same bytes.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "patchbank"
TARGET = ROOT / "docs" / "pictures" / "architecture.svg"
MANY = 25  # imports of one room by another that are drawn in any case
OPENED = ("core",)  # rooms whose packages are drawn as boxes of their own

WIDTH = 720  # a phone shows this at half its size, so that text of 24 is 12 there
GUTTER, GAP, FLOOR_GAP, PADDING, LANE = 48, 20, 46, 16, 15
NAME_SIZE, JOB_SIZE, SMALL_SIZE, LINE = 28, 24, 22, 29
CHARACTER = 0.57  # mean width of a character, as a fraction of the size of the text


@dataclass(frozen=True, slots=True)
class Room:
    """A box of the picture."""

    name: str
    job: str
    inner: tuple[Room, ...] = ()
    """Its packages, where they are drawn."""
    contents: tuple[str, ...] = ()
    """Names of its packages, where only these are drawn; or of its modules beside `inner`."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in units of the picture."""

    left: float
    top: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """Middle of the horizontal extent."""
        return self.left + self.width / 2


def layers(pyproject: str) -> list[list[str]]:
    """Rooms by floor, the highest first, from the text of pyproject.toml."""
    match = re.search(r'^type = "layers"\nlayers = (\[.*?^\])', pyproject, re.DOTALL | re.MULTILINE)
    if match is None:
        raise SystemExit("pyproject.toml: expected a contract of the type layers, got none")
    return [
        [name.strip().removeprefix(f"{PACKAGE}.") for name in floor.split("|")]
        for floor in ast.literal_eval(match[1])
    ]


def imports(source: Path) -> dict[str, Counter[str]]:
    """How often each room imports each other room, inside functions too."""
    found: dict[str, Counter[str]] = {}
    for path in sorted(source.rglob("*.py")):
        room = path.relative_to(source).parts[0].removesuffix(".py")
        others = found.setdefault(room, Counter())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            others.update(name.split(".")[1] for name in _modules(node) if name.count("."))
        others.pop(room, None)
    found.pop("__init__")
    return found


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        names = [node.module]
    else:
        names = []
    return [name for name in names if name.split(".")[0] == PACKAGE]


def drawn_arrows(
    graph: Mapping[str, Mapping[str, int]], floors: list[list[str]]
) -> list[tuple[str, str]]:
    """Imports that no chain of others replaces, or that are many; none to the lowest floor."""
    lowest = set(floors[-1])

    def reachable(start: str, without: str) -> set[str]:
        seen: set[str] = set()
        todo = [other for other in graph.get(start, ()) if other != without]
        while todo:
            room = todo.pop()
            if room not in seen:
                seen.add(room)
                todo += graph.get(room, ())
        return seen

    return sorted(
        (room, other)
        for room, others in graph.items()
        for other, count in others.items()
        if other not in lowest and (count >= MANY or other not in reachable(room, other))
    )


def room(source: Path, name: str, *, opened: bool) -> Room:
    """Read the job of a room and the names of what is in it."""
    path = source / name
    if not path.is_dir():
        return Room(name, job(path.with_suffix(".py")))
    packages = sorted(p.name for p in path.iterdir() if (p / "__init__.py").is_file())
    if not opened:
        return Room(name, job(path / "__init__.py"), contents=tuple(packages))
    modules = sorted(p.stem for p in path.glob("*.py") if p.stem != "__init__")
    inner = tuple(room(path, package, opened=False) for package in packages)
    return Room(name, job(path / "__init__.py"), inner, tuple(modules))


def job(path: Path) -> str:
    """First sentence of the docstring of a module, without its full stop and marks of code."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    return re.split(r"\.(?:\s|$)", text)[0].replace("`", "")


def sizes(source: Path) -> dict[str, int]:
    """Lines of each room, in Python and C."""
    found: dict[str, int] = {}
    for path in sorted(p for p in source.rglob("*") if p.suffix in (".py", ".c", ".h")):
        name = path.relative_to(source).parts[0].removesuffix(".py")
        found[name] = found.get(name, 0) + len(path.read_text(encoding="utf-8").splitlines())
    return found


def draw(root: Path = ROOT) -> str:
    """The whole picture."""
    source = root / "src" / PACKAGE
    floors = layers((root / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = [[room(source, name, opened=name in OPENED) for name in names] for names in floors]
    boxes, height = _room_boxes(rooms)
    shapes = [
        shape
        for floor in rooms
        for each in floor
        for shape in _room_shapes(each, boxes[each.name], boxes)
    ]
    shapes += _arrow_shapes(drawn_arrows(imports(source), floors), boxes, floors)
    caption, total = _caption(height)
    shapes += caption
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total:g}" '
        'role="img" aria-label="Rooms of the package on floors; imports go down only" '
        'font-family="system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif">\n'
        "<!-- Made by tools/draw_architecture.py. -->\n"
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" '
        'markerHeight="9" orient="auto-start-reverse"><path d="M0 1 9 5 0 9z" fill="#55606e"/>'
        "</marker></defs>\n"
        f'<rect width="{WIDTH}" height="{total:g}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _room_boxes(rooms: list[list[Room]]) -> tuple[dict[str, Box], float]:
    """Boxes of all rooms by name, those inside others as ``core.scores``; and the lowest edge."""
    boxes: dict[str, Box] = {}
    top: float = PADDING
    for floor in rooms:
        width = (WIDTH - 2 * GUTTER - GAP * (len(floor) - 1)) / len(floor)
        height = max(_height(each, width) for each in floor)
        for number, each in enumerate(floor):
            box = Box(GUTTER + number * (width + GAP), top, width, height)
            boxes[each.name] = box
            boxes |= _inner_boxes(each, box)
        top += height + FLOOR_GAP
    return boxes, top - FLOOR_GAP


def _inner_boxes(each: Room, box: Box) -> dict[str, Box]:
    width = (box.width - 3 * PADDING) / 2
    top = box.top + _text_height(each, box.width)
    boxes = {}
    for first in range(0, len(each.inner), 2):
        pair = each.inner[first : first + 2]
        height = max(_height(one, width) for one in pair)
        for number, one in enumerate(pair):
            left = box.left + PADDING + number * (width + PADDING)
            boxes[f"{each.name}.{one.name}"] = Box(left, top, width, height)
        top += height + PADDING
    return boxes


def _text_height(each: Room, width: float) -> float:
    small = len(_contents(each, width))
    return 2 * PADDING + NAME_SIZE + LINE * (len(_wrapped(each.job, width, JOB_SIZE)) + small)


def _height(each: Room, width: float) -> float:
    inner = _inner_boxes(each, Box(0, 0, width, 0)).values()
    lowest = max((box.top + box.height for box in inner), default=0.0)
    return lowest + PADDING if lowest else _text_height(each, width)


def _wrapped(text: str, width: float, size: float) -> list[str]:
    return textwrap.wrap(text, int((width - 2 * PADDING) / (size * CHARACTER)))


def _contents(each: Room, width: float) -> list[str]:
    return _wrapped(", ".join(each.contents), width, SMALL_SIZE)


def _room_shapes(each: Room, box: Box, boxes: Mapping[str, Box], depth: int = 0) -> list[str]:
    fill = "#ffffff" if depth else "#eef3fa"
    shapes = [
        f'<rect x="{box.left:g}" y="{box.top:g}" width="{box.width:g}" height="{box.height:g}" '
        f'rx="10" fill="{fill}" stroke="#8aa0bd" stroke-width="1.5"/>'
    ]
    left, y = box.left + PADDING, box.top + PADDING + NAME_SIZE * 0.8
    shapes.append(_text(left, y, each.name, NAME_SIZE, "#10243f", bold=True))
    for line in _wrapped(each.job, box.width, JOB_SIZE):
        y += LINE
        shapes.append(_text(left, y, line, JOB_SIZE, "#26323f"))
    for line in _contents(each, box.width):
        y += LINE
        shapes.append(_text(left, y, line, SMALL_SIZE, "#4a6187"))
    for one in each.inner:
        shapes += _room_shapes(one, boxes[f"{each.name}.{one.name}"], boxes, depth + 1)
    return shapes


def _text(x: float, y: float, text: str, size: int, fill: str, *, bold: bool = False) -> str:
    weight = ' font-weight="700"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}"{weight}>{escape(text)}</text>'
    )


def _arrow_shapes(
    arrows: list[tuple[str, str]], boxes: Mapping[str, Box], floors: list[list[str]]
) -> list[str]:
    """Straight lines to the next floor, and lines around the floors between others."""
    floor_of = {name: number for number, floor in enumerate(floors) for name in floor}
    lanes: dict[str, list[tuple[float, float]]] = {"left": [], "right": []}
    shapes = []
    for room, other in arrows:
        start, end = boxes[room], boxes[other]
        if floor_of[other] == floor_of[room] + 1:
            shapes.append(_line(_straight(start, end)))
        else:
            side = "left" if end.middle < WIDTH / 2 or start.middle < WIDTH / 2 else "right"
            shapes.append(_line(_around(start, end, side, lanes[side])))
    return shapes


def _straight(start: Box, end: Box) -> list[tuple[float, float]]:
    """From the lower edge to the upper one, upright where the boxes are above one another."""
    low = max(start.left, end.left)
    high = min(start.left + start.width, end.left + end.width)
    bottom = start.top + start.height
    if high > low:
        return [((low + high) / 2, bottom), ((low + high) / 2, end.top)]
    rightwards = end.left > start.left
    first = start.left + start.width - 4 * PADDING if rightwards else start.left + 4 * PADDING
    last = end.left + 4 * PADDING if rightwards else end.left + end.width - 4 * PADDING
    return [(first, bottom), (last, end.top)]


def _around(
    start: Box, end: Box, side: str, occupied: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """From one side of a box to the same side of a lower one, in a lane of the gutter."""
    first, last = start.top + start.height * 0.6, end.top + end.height * 0.35
    lane = 1 + sum(top < last and first < bottom for top, bottom in occupied)
    occupied.append((first, last))
    if side == "left":
        x, edges = GUTTER - lane * LANE, (start.left, end.left)
    else:
        x, edges = WIDTH - GUTTER + lane * LANE, (start.left + start.width, end.left + end.width)
    return [(edges[0], first), (x, first), (x, last), (edges[1], last)]


def _line(points: list[tuple[float, float]]) -> str:
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return (
        f'<polyline points="{path}" fill="none" stroke="#55606e" stroke-width="1.8" '
        'marker-end="url(#head)"/>'
    )


def _caption(top: float) -> tuple[list[str], float]:
    """The lines below the rooms, and the lower edge of the picture."""
    text = (
        "Arrow: imports. Not drawn: a few imports where a chain of arrows leads to the same "
        "room, and those of the lowest floor, which all rooms use."
    )
    y, shapes = top + PADDING, []
    for line in _wrapped(text, WIDTH - 2 * GUTTER + 2 * PADDING, SMALL_SIZE):
        y += LINE
        shapes.append(_text(GUTTER, y, line, SMALL_SIZE, "#4a5563"))
    return shapes, y + PADDING


def main() -> None:
    """Write the picture, or print sizes."""
    if sys.argv[1:] == ["--sizes"]:
        for name, lines in sizes(ROOT / "src" / PACKAGE).items():
            print(f"{name:<12} {lines:>6,}")
        return
    TARGET.write_text(draw(), encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
