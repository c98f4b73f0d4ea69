"""Select the tests that run on a mutant, and their order.

A statement in a function is tested by the tests that execute one of its lines.  One that runs on
import (settings, constants, tables) by those that call a function of its module or of one that
imports it.  The fastest come first, until the CPU time of a mutant is spent.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from .baseline import Baseline
from .mutators import Mutant, first_line
from .plugins import Test

SLOW_SETUP_S = 0.3  # from here the tests of a file stay together, and share the set-up
NEED_TORCH = {"huggingface_hub", "onnxscript", "timm", "torch", "torchvision"}


class Selection:
    """Looks up in the baseline which tests reach a mutant."""

    def __init__(self, baseline: Baseline, src: Path, budget_s: float) -> None:
        self.baseline, self.budget_s = baseline, budget_s
        self.files = {
            path.relative_to(src).as_posix(): path.read_bytes() for path in src.rglob("*.py")
        }
        self._callers: dict[str, set[str]] = {}

    def reaching(self, mutant: Mutant) -> list[Test]:
        """List the tests that could kill it, those of its own module first."""
        first, last = mutant.lines
        executed = self.baseline.lines.get(mutant.path, {})
        contexts = {name for line in range(first, last + 1) for name in executed.get(line, ())}
        own, near = self._tests(contexts), set()
        if mutant.at_import or any(name.startswith("file ") for name in contexts):
            own |= self._callers_of(mutant.path)
            for path in self._importers[mutant.path]:
                near |= self._callers_of(path)
        return [*self.in_order(own), *self.in_order(near - own)]

    def chosen(self, reaching: list[Test]) -> list[Test]:
        """Cut the list where the CPU time is spent."""
        spent, chosen = 0.0, []
        for test in reaching:
            if spent >= self.budget_s:
                break
            spent += test.cpu_seconds
            chosen.append(test)
        return chosen

    def needs_torch(self, mutant: Mutant) -> bool:
        """Whether its module, or a function around it, imports torch."""
        lines = self._torch_lines.get(mutant.path, set())
        return mutant.line in lines

    def in_order(self, names: Iterable[str]) -> list[Test]:
        """Fastest first; tests that share a slow set-up stay together."""
        together: dict[str, list[Test]] = defaultdict(list)
        for name in sorted(names):
            test = self.baseline.tests[name]
            together[test.file if test.file in self._slow_files else name].append(test)
        groups = sorted(together.values(), key=lambda group: sum(t.cpu_seconds for t in group))
        return [test for group in groups for test in group]

    def _tests(self, contexts: Iterable[str]) -> set[str]:
        """Resolve contexts that executed a line: a test, a shared fixture, or a file of tests."""
        found: set[str] = set()
        for name in contexts:
            kind, _, rest = name.partition(" ")
            found |= {rest} if kind == "test" else self._sharing[name]
        return found & set(self.baseline.tests)

    def _callers_of(self, path: str) -> set[str]:
        """Tests that call any function of a file."""
        if path not in self._callers:
            inside = function_lines(self.files[path])
            executed = self.baseline.lines.get(path, {})
            contexts = {name for line in inside for name in executed.get(line, ())}
            self._callers[path] = self._tests(contexts)
        return self._callers[path]

    @cached_property
    def _sharing(self) -> Mapping[str, set[str]]:
        """Tests that use a fixture, and those that are in a file."""
        sharing: dict[str, set[str]] = defaultdict(set)
        for test in self.baseline.tests.values():
            for name in (*test.fixtures, f"file {test.file}"):
                sharing[name].add(test.name)
        return sharing

    @cached_property
    def _slow_files(self) -> set[str]:
        return {test.file for test in self.baseline.tests.values() if test.setup > SLOW_SETUP_S}

    @cached_property
    def _torch_lines(self) -> dict[str, set[int]]:
        return torch_lines(self.files)

    @cached_property
    def _importers(self) -> dict[str, set[str]]:
        return importers(self.files)


def function_lines(source: bytes) -> set[int]:
    """Lines that run when a function is called, not when the file is imported."""
    inside: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for statement in node.body:
                inside |= set(range(first_line(statement), (statement.end_lineno or 0) + 1))
    return inside


def importers(files: Mapping[str, bytes]) -> dict[str, set[str]]:
    """List for each file those that import it, through the `__init__` of a package too."""
    modules = {_module(path): path for path in files}
    direct: dict[str, set[str]] = {path: set() for path in files}
    for path, source in files.items():
        for name in _imported(ast.walk(ast.parse(source))):
            target = modules.get(name) or modules.get(name.rpartition(".")[0])
            if target is not None and target != path:
                direct[target].add(path)
    return {path: _through_packages(path, direct) for path in files}


def torch_lines(files: Mapping[str, bytes]) -> dict[str, set[int]]:
    """List for each file its lines that run only where torch is installed.

    These are all lines of a file that imports torch, or such a file, at its top level; and all
    lines of a function that imports one of them.
    """
    trees = {path: ast.parse(source) for path, source in files.items()}
    modules = {_module(path): path for path in files}
    whole: set[str] = set()

    def imports_torch(statements: Iterable[ast.AST]) -> bool:
        names = list(_imported(statements))
        needed = {modules.get(name) or modules.get(name.rpartition(".")[0]) for name in names}
        return bool(needed & whole) or any(name.partition(".")[0] in NEED_TORCH for name in names)

    while new := {p for p in files if p not in whole and imports_torch(trees[p].body)}:
        whole |= new
    lines: dict[str, set[int]] = defaultdict(set)
    for path, tree in trees.items():
        if path in whole:
            lines[path] = set(range(1, files[path].count(b"\n") + 2))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and imports_torch(ast.walk(node)):
                lines[path] |= set(range(first_line(node), (node.end_lineno or 0) + 1))
    return dict(lines)


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _through_packages(path: str, direct: Mapping[str, set[str]]) -> set[str]:
    users: set[str] = set()
    left = [path]
    while left:
        new = direct[left.pop()] - users
        users |= new
        left += [user for user in new if user.endswith("__init__.py")]
    return users
