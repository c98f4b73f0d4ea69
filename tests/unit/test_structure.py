"""The shape of the package: no import circle, short functions and files, few parameters."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
FILES = sorted(SOURCE.rglob("*.py"))

LONGEST_FUNCTION = 60  # lines, without docstring
LONGEST_FILE = 400
MOST_PARAMETERS = 8
MOST_OPTIONS = 16  # keyword-only, each with a default
WITH_OPTIONS = {  # verbs that Python users call, or that a command line has
    "patchbank/cli/fit.py fit",
    "patchbank/cluster/selection.py select_in_shards",
    "patchbank/training/fit.py fit",
    "patchbank/products/fitting/each.py fit_each",
    "patchbank/training/recipes.py fit",
}
TESTS_PER_LINE = 0.8


def module_name(path: Path, source: Path) -> str:
    return ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")


def import_graph(source: Path) -> dict[str, set[str]]:
    """Modules -> the modules that they import anywhere in the file, lazily or for types too."""
    paths = {module_name(path, source): path for path in source.rglob("*.py")}
    graph: dict[str, set[str]] = {name: set() for name in paths}
    for name, path in paths.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    module = f"{node.module}.{alias.name}"
                    graph[name].add(module if module in paths else node.module)
            elif isinstance(node, ast.Import):
                graph[name].update(alias.name for alias in node.names)
        graph[name] &= paths.keys() - {name}
    return graph


def circle_in(graph: dict[str, set[str]]) -> list[str] | None:
    """A circle of imports, by depth-first search; None if there is none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return None
        for imported in sorted(graph[name]):
            if found := visit(imported, [*path, name]):
                return found
        done.add(name)
        return None

    return next((found for name in sorted(graph) if (found := visit(name, []))), None)


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            yield f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}", node


def lines_of(function: ast.FunctionDef) -> int:
    """Lines of a function without its decorators and docstring."""
    first = function.body[0]
    docstring = 0
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        docstring = (first.end_lineno or 0) - first.lineno + 1
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def parameters_of(function: ast.FunctionDef) -> int:
    given = function.args
    names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def test_no_module_imports_itself_by_a_detour():
    assert circle_in(import_graph(SOURCE)) is None


def test_a_circle_would_be_found(tmp_path):
    package = tmp_path / "p"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from p.b import x\n")
    (package / "b.py").write_text("def f():\n    from p import c\n")
    (package / "c.py").write_text("import p.a\n")
    assert circle_in(import_graph(tmp_path)) == ["p.a", "p.b", "p.c", "p.a"]


def test_no_function_is_longer_than_a_screen():
    long = {where: lines_of(f) for path in FILES for where, f in functions(path)}
    assert {w: n for w, n in long.items() if n > LONGEST_FUNCTION} == {}


def test_no_function_has_more_than_eight_parameters():
    many = {where: parameters_of(f) for path in FILES for where, f in functions(path)}
    too_many = {where: n for where, n in many.items() if n > MOST_PARAMETERS}
    assert {re.sub(r":\d+", "", where) for where in too_many} <= WITH_OPTIONS
    assert all(n <= MOST_OPTIONS for n in too_many.values())


@pytest.mark.parametrize("pattern", ["*.py", "*.c", "*.h"])
def test_no_file_is_longer_than_four_hundred_lines(pattern):
    long = {p.name: len(p.read_text().splitlines()) for p in SOURCE.rglob(pattern)}
    assert {name: n for name, n in long.items() if n > LONGEST_FILE} == {}


def test_there_are_four_lines_of_tests_for_five_of_the_package():
    package = sum(len(path.read_text().splitlines()) for path in FILES)
    tests = sum(len(path.read_text().splitlines()) for path in (ROOT / "tests").rglob("*.py"))
    assert tests >= TESTS_PER_LINE * package, f"{tests} lines of tests for {package}"
