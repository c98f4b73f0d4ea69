"""Draw docs/pictures/architecture.svg from the import rules and the imports of src/patchbank.

    python tools/draw_architecture.py           writes the picture
    python tools/draw_architecture.py --sizes   prints the lines of code of each room

Floors are the layers of the import-linter contract in pyproject.toml, the job of a room is the
first sentence of its docstring, and below it are its packages and the rooms that it imports.  An
import is left out where a chain of other imports leads to the same room (unless there are many), or
where it leads to the lowest floor, which every room uses.
Standard library only; the same tree always gives the same bytes.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "patchbank"
TARGET = ROOT / "docs" / "pictures" / "architecture.svg"
MANY = 25  # imports of one room by another that are named in any case
OPENED = ("core",)  # rooms whose packages are drawn as boxes of their own

WIDTH = 720  # a phone shows this at half its size, so that text of 24 is 12 there
MARGIN, GAP, FLOOR_GAP, PADDING = 16, 14, 40, 14
ROOMS_A_ROW = 2  # three would leave fewer than twenty characters a line
NAME_SIZE, JOB_SIZE, SMALL_SIZE, LINE = 28, 24, 22, 29
DOWN, UP = "\N{DOWNWARDS ARROW} ", "\N{UPWARDS ARROW} "
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
    imports: tuple[str, ...] = ()
    """Rooms below, as `named_imports`."""
    upwards: tuple[str, ...] = ()
    """Rooms above, as `upward_imports`."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in units of the picture."""

    left: float
    top: float
    width: float
    height: float


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


def named_imports(
    graph: Mapping[str, Mapping[str, int]], floors: list[list[str]]
) -> dict[str, list[str]]:
    """Imports downwards that no chain of others replaces, or that are many, by room.

    None of the lowest floor; the highest floors first.
    """
    floor_of = _floors_by_name(floors)
    down = {
        room: [other for other in others if floor_of[other] > floor_of[room]]
        for room, others in graph.items()
    }

    def reachable(start: str, without: str) -> set[str]:
        seen: set[str] = set()
        todo = [other for other in down.get(start, ()) if other != without]
        while todo:
            room = todo.pop()
            if room not in seen:
                seen.add(room)
                todo += down.get(room, ())
        return seen

    return {
        room: [
            other
            for other in sorted(others, key=list(floor_of).index)
            if floor_of[other] < len(floors) - 1
            if graph[room][other] >= MANY or other not in reachable(room, other)
        ]
        for room, others in down.items()
    }


def upward_imports(
    graph: Mapping[str, Mapping[str, int]], floors: list[list[str]]
) -> dict[str, list[str]]:
    """Imports that the contract allows although they go up, by room."""
    floor_of = _floors_by_name(floors)
    return {
        room: sorted(other for other in others if floor_of[other] < floor_of[room])
        for room, others in graph.items()
    }


def _floors_by_name(floors: list[list[str]]) -> dict[str, int]:
    return {name: number for number, floor in enumerate(floors) for name in floor}


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
    graph = imports(source)
    down, up = named_imports(graph, floors), upward_imports(graph, floors)
    top, shapes = float(MARGIN), []
    for number, names in enumerate(floors):
        if number:
            shapes.append(_arrow(top - FLOOR_GAP, top))
        rooms = [
            replace(
                room(source, name, opened=name in OPENED),
                imports=tuple(down[name]),
                upwards=tuple(up[name]),
            )
            for name in names
        ]
        drawn, bottom = _row_shapes(rooms, Box(MARGIN, top, WIDTH - 2 * MARGIN, 0), depth=0)
        shapes += drawn
        top = bottom + FLOOR_GAP
    caption, total = _caption(top - FLOOR_GAP)
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


def _row_shapes(rooms: Sequence[Room], area: Box, *, depth: int) -> tuple[list[str], float]:
    """Rooms in rows as wide as `area`, from its top down; and the lower edge of the last row."""
    top, shapes = area.top, []
    for first in range(0, len(rooms), ROOMS_A_ROW):
        row = rooms[first : first + ROOMS_A_ROW]
        width = (area.width - GAP * (len(row) - 1)) / len(row)
        height = max(_height(each, width, depth) for each in row)
        for number, each in enumerate(row):
            left = area.left + number * (width + GAP)
            shapes += _room_shapes(each, Box(left, top, width, height), depth)
        top += height + GAP
    return shapes, top - GAP


def _lines(each: Room, width: float) -> list[tuple[str, int, str]]:
    """Text below the name of a room: line, size and colour."""
    found = [(line, JOB_SIZE, "#26323f") for line in _wrapped(each.job, width, JOB_SIZE)]
    for start, names, colour in (
        ("", each.contents, "#4a6187"),
        (DOWN, each.imports, "#55606e"),
        (UP, each.upwards, "#55606e"),
    ):
        if names:
            text = start + ", ".join(names)
            found += [(line, SMALL_SIZE, colour) for line in _wrapped(text, width, SMALL_SIZE)]
    return found


def _text_height(each: Room, width: float) -> float:
    return 2 * PADDING + NAME_SIZE + LINE * len(_lines(each, width))


def _height(each: Room, width: float, depth: int) -> float:
    area = _inner_area(each, Box(0, 0, width, 0))
    if not each.inner:
        return area.top
    return _row_shapes(each.inner, area, depth=depth + 1)[1] + PADDING


def _inner_area(each: Room, box: Box) -> Box:
    """Where the packages of a room are drawn: below its text."""
    top = box.top + _text_height(each, box.width)
    return Box(box.left + PADDING, top, box.width - 2 * PADDING, 0)


def _wrapped(text: str, width: float, size: float) -> list[str]:
    characters = int((width - 2 * PADDING) / (size * CHARACTER))
    return textwrap.wrap(text, characters, break_long_words=False, break_on_hyphens=False)


def _room_shapes(each: Room, box: Box, depth: int) -> list[str]:
    fill = "#ffffff" if depth else "#eef3fa"
    shapes = [
        f'<rect x="{box.left:g}" y="{box.top:g}" width="{box.width:g}" height="{box.height:g}" '
        f'rx="10" fill="{fill}" stroke="#8aa0bd" stroke-width="1.5"/>'
    ]
    left, y = box.left + PADDING, box.top + PADDING + NAME_SIZE * 0.8
    shapes.append(_text(left, y, each.name, NAME_SIZE, "#10243f", bold=True))
    for line, size, colour in _lines(each, box.width):
        y += LINE
        shapes.append(_text(left, y, line, size, colour))
    if each.inner:
        shapes += _row_shapes(each.inner, _inner_area(each, box), depth=depth + 1)[0]
    return shapes


def _text(x: float, y: float, text: str, size: int, fill: str, *, bold: bool = False) -> str:
    weight = ' font-weight="700"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{fill}"{weight}>{escape(text)}</text>'
    )


def _arrow(top: float, bottom: float) -> str:
    """From a floor down to the next one."""
    return (
        f'<path d="M{WIDTH / 2:g} {top + 6:g}V{bottom - 6:g}" stroke="#55606e" stroke-width="1.8" '
        'marker-end="url(#head)"/>'
    )


def _caption(top: float) -> tuple[list[str], float]:
    """The lines below the rooms, and the lower edge of the picture."""
    text = (
        f"{DOWN}rooms that a room imports, without a few that a chain of others leads to, and "
        f"without the lowest floor, which all rooms use. {UP}rooms above that it imports when a "
        "method is called."
    )
    y, shapes = top + PADDING, []
    for line in _wrapped(text, WIDTH - 2 * MARGIN + 2 * PADDING, SMALL_SIZE):
        y += LINE
        shapes.append(_text(MARGIN, y, line, SMALL_SIZE, "#4a5563"))
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
