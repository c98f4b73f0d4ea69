"""Mutants of a source file, found on its syntax tree.

`candidates` lists them.  Each changes one thing: a comparison is moved or reversed, an arithmetic
operator is another, `and` is `or`, a `not` or a minus is dropped, a number is one higher, True is
False, an axis is another, a bound of a slice is one higher, two arguments are swapped, a keyword
argument is left out, `min` is `max` and the like, a statement is left out, a condition is negated,
None is returned where it may be.

Not mutated is what no test should depend on: annotations and type aliases, `__all__`, error
messages (all of a `raise`), formatted strings, the texts of warnings and of progress, functions
whose body is a docstring or `...`, code under `TYPE_CHECKING`, assertions.
"""

from __future__ import annotations

import ast
import copy
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
PAIRS = (
    *(("min", "max"), ("minimum", "maximum"), ("nanmin", "nanmax"), ("argmin", "argmax")),
    *(("floor", "ceil"), ("any", "all"), ("zeros", "ones"), ("zeros_like", "ones_like")),
)
NAMES = dict(PAIRS) | {second: first for first, second in PAIRS}
SYMMETRIC = {
    *("min", "max", "minimum", "maximum", "gcd", "add", "multiply", "logical_and", "logical_or"),
    *("array_equal", "allclose", "isclose"),
}
"""Calls whose first two arguments can be swapped."""
OF_TYPES = {"isinstance", "issubclass", "cast", "getattr", "hasattr", "setattr", "TypeVar"}
"""Calls whose swapped arguments fail at once, in every test."""
MESSAGES = {"warn", "print", "debug", "info", "warning", "note", "task"}
"""Calls whose arguments are texts for people."""
KEYWORDS_NOT_MUTATED = {"strict", "stacklevel", "slots", "encoding", "title", "help"}
WORDS = r"\w+|\s+|[=!<>]=|//|\*\*|."
SHOWN_AROUND = 40  # characters of the line that a change is shown with


@dataclass(frozen=True)
class Mutant:
    """A fault: what stands from `start` to `end` of a file becomes `text`."""

    path: str  # below src
    where: str  # function or class around it
    line: int
    lines: tuple[int, int]  # the first and last of the statement around it, without its block
    at_import: bool  # runs when the module is imported
    kind: str
    start: int  # in bytes
    end: int
    text: str
    change: str = ""  # in one line: before -> after

    @property
    def key(self) -> str:
        """A name that stays when lines move."""
        return f"{self.path} | {self.where} | {self.change}"

    def applied_to(self, source: bytes) -> bytes:
        """Return the mutated source."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def candidates(source: bytes, path: str) -> list[Mutant]:
    """List all faults of a file, in its order; each has a key of its own."""
    finder = _Finder(path, source)
    finder.visit(ast.parse(source))
    times: dict[str, int] = {}
    found = []
    for mutant in sorted(finder.found, key=lambda m: (m.start, m.end, m.kind, m.text)):
        times[mutant.key] = times.get(mutant.key, 0) + 1
        again = f" ({times[mutant.key]})" if times[mutant.key] > 1 else ""
        found.append(replace(mutant, change=mutant.change + again))
    return found


def is_sound(mutant: Mutant, source: bytes) -> bool:
    """Whether it compiles without a warning, to another program."""
    changed = mutant.applied_to(source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            compile(changed, mutant.path, "exec")
        except (SyntaxError, ValueError, SyntaxWarning):
            return False
    return ast.dump(ast.parse(changed)) != _dumped(source)


@lru_cache
def _dumped(source: bytes) -> str:
    return ast.dump(ast.parse(source))


@dataclass
class _Finder(ast.NodeVisitor):
    """Visits the nodes of a file and lists its mutants."""

    path: str
    source: bytes
    found: list[Mutant] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    depth: int = 0  # of functions
    lines: tuple[int, int] = (1, 1)
    none_is_allowed: bool = False

    def __post_init__(self) -> None:
        starts = [0]
        for line in self.source.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self.starts = starts

    def visit(self, node: ast.AST) -> None:
        if not isinstance(node, ast.stmt):
            super().visit(node)
            return
        outer, self.lines = self.lines, _own_lines(node)
        super().visit(node)
        self.lines = outer

    def each(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def note(self, kind: str, node: ast.AST, text: str, shown: str | None = None) -> None:
        """Add a fault: `text` in place of the node, `shown` to people instead."""
        start = self.starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = self.starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        first, last = self.lines
        last = max(last, node.end_lineno)  # type: ignore[attr-defined]
        around = (self.starts[first - 1], start), (end, self.starts[last])
        before, after = (self.source[begin:stop].decode() for begin, stop in around)
        change = _in_one_line(before, ast.unparse(node), shown or text, after)
        where = ".".join(self.names) or "module"
        line, at_import = node.lineno, self.depth == 0  # type: ignore[attr-defined]
        self.found.append(
            Mutant(self.path, where, line, self.lines, at_import, kind, start, end, text, change)
        )

    def instead(self, kind: str, node: ast.expr, other: ast.expr) -> None:
        """Add a fault: another expression in place of the node."""
        text = ast.unparse(other)
        self.note(kind, node, f"({text})", text)

    # Not mutated

    def visit_Raise(self, node: ast.Raise) -> None: ...
    def visit_Assert(self, node: ast.Assert) -> None: ...
    def visit_JoinedStr(self, node: ast.JoinedStr) -> None: ...

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if ast.unparse(node.annotation).rpartition(".")[2] != "TypeAlias":
            self.each([node.target, node.value])

    def visit_Assign(self, node: ast.Assign) -> None:
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
            return
        if any(isinstance(target, ast.Subscript) for target in node.targets):
            self.note("statement", node, "pass")
        self.generic_visit(node)

    # Scopes

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.each(node.decorator_list + [word.value for word in node.keywords])
        self.names.append(node.name)
        self.each(node.body)
        self.names.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if _is_stub(node):
            return
        self.names.append(node.name)
        self.each([*node.decorator_list, *node.args.defaults, *node.args.kw_defaults])
        returns = ast.unparse(node.returns) if node.returns else ""
        outer, self.none_is_allowed = self.none_is_allowed, "None" in returns and returns != "None"
        self.depth += 1
        self.each(node.body)
        self.depth -= 1
        self.none_is_allowed = outer
        self.names.pop()

    # Statements

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.note("statement", node, "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.note("statement", node, "pass")
        if type(node.op) in ARITHMETIC:
            other = copy.copy(node)
            other.op = ARITHMETIC[type(node.op)]()
            self.note("arithmetic", node, ast.unparse(other))
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        is_none = isinstance(node.value, ast.Constant) and node.value.value is None
        if node.value is not None and self.none_is_allowed and not is_none:
            self.note("return", node, "return None")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        test = ast.unparse(node.test)
        if test.endswith("TYPE_CHECKING") or test.startswith("__name__"):
            self.each(node.orelse)
            return
        self.negated(node.test)
        self.generic_visit(node)

    # Expressions

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.negated(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        if not isinstance(node.test, ast.Constant):
            self.negated(node.test)
            self.visit(node.test)
        self.each(node.body + node.orelse)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.negated(test)
        self.generic_visit(node)

    def negated(self, test: ast.expr) -> None:
        is_not = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
        if not is_not and not (isinstance(test, ast.Compare) and len(test.ops) == 1):
            self.instead("condition", test, ast.UnaryOp(ast.Not(), test))

    def visit_Compare(self, node: ast.Compare) -> None:
        for place, op in enumerate(node.ops):
            for other in COMPARISONS[type(op)]:
                changed = copy.copy(node)
                changed.ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                self.instead("comparison", node, changed)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        is_text = any(_is_text(side) for side in (node.left, node.right))
        is_type = isinstance(node.op, ast.BitOr) and self.depth == 0
        if type(node.op) in ARITHMETIC and not is_text and not is_type:
            other = ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
            self.instead("arithmetic", node, other)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.instead("and, or", node, ast.BoolOp(op, node.values))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, (ast.Not, ast.USub)):
            self.instead("sign", node, node.operand)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self.note("constant", node, str(not value))
        elif isinstance(value, (int, float)):
            self.note("constant", node, repr(value + 1 if value + 1 != value else value * 2))

    def visit_Slice(self, node: ast.Slice) -> None:
        for bound in (node.lower, node.upper):
            if bound is not None and not isinstance(bound, ast.Constant):
                self.instead("slice", bound, ast.BinOp(bound, ast.Add(), ast.Constant(1)))
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        try:
            axis = ast.literal_eval(node.value) if node.arg in ("axis", "dim") else None
        except ValueError:
            axis = None
        if isinstance(axis, int):
            self.note("axis", node.value, str(int(axis == 0)))
        elif node.arg not in KEYWORDS_NOT_MUTATED:
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = ast.unparse(node.func).rpartition(".")[2]
        if name in NAMES:
            other = copy.deepcopy(node.func)
            setattr(other, "id" if isinstance(other, ast.Name) else "attr", NAMES[name])
            self.note("name", node.func, ast.unparse(other))
        self.visit(node.func)
        if name in MESSAGES or name == "TypeVar":
            return
        self.swapped(node, name)
        for left_out in node.keywords:
            if left_out.arg is not None and left_out.arg not in KEYWORDS_NOT_MUTATED:
                kept = [word for word in node.keywords if word is not left_out]
                self.instead("keyword", node, ast.Call(node.func, node.args, kept))
        self.each([*node.args, *node.keywords])

    def swapped(self, node: ast.Call, name: str) -> None:
        if len(node.args) < 2 or name in SYMMETRIC | OF_TYPES:
            return
        first, second, *rest = node.args
        if any(isinstance(argument, ast.Starred) for argument in (first, second)):
            return
        if ast.dump(first) != ast.dump(second) and not (_is_text(first) and _is_text(second)):
            other = ast.Call(node.func, [second, first, *rest], node.keywords)
            self.instead("arguments", node, other)


def _own_lines(node: ast.stmt) -> tuple[int, int]:
    """First and last line of a statement, without the block under it."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    blocks = [getattr(node, name, []) for name in ("body", "handlers", "orelse", "finalbody")]
    inner = [child for block in blocks for child in block]
    inner += [child for case in getattr(node, "cases", []) for child in case.body]
    if not inner:
        return first, node.end_lineno or first
    return first, max(node.lineno, min(first_line(child) for child in inner) - 1)


def first_line(node: ast.AST) -> int:
    """Line where a statement begins, its decorators included."""
    lines = [d.lineno for d in getattr(node, "decorator_list", [])]
    return min([node.lineno, *lines])  # type: ignore[attr-defined]


def _is_stub(node: ast.FunctionDef) -> bool:
    """Whether the body is a docstring, or `...`, or both."""
    constants = [s.value for s in node.body if isinstance(s, ast.Expr)]
    return len(constants) == len(node.body) and all(
        isinstance(c, ast.Constant) and isinstance(c.value, (str, type(...))) for c in constants
    )


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))
    )


def _in_one_line(before: str, old: str, new: str, after: str) -> str:
    """Show a change within some of the line around it: ... [old -> new] ..."""
    before, old, new, after = (re.sub(r"\s+", " ", text) for text in (before, old, new, after))
    words, others = (re.findall(WORDS, text) for text in (old, new))
    shorter = min(len(words), len(others))
    start = next((i for i in range(shorter) if words[i] != others[i]), shorter)
    rest = shorter - start
    end = next((i for i in range(rest) if words[-1 - i] != others[-1 - i]), rest)
    before = before.lstrip() + "".join(words[:start])
    after = "".join(words[len(words) - end :]) + after
    old, new = ("".join(part[start : len(part) - end]).strip() for part in (words, others))
    if len(before) > SHOWN_AROUND:
        before = "…" + before[-SHOWN_AROUND:]
    if len(after) > SHOWN_AROUND:
        after = after[:SHOWN_AROUND] + "…"
    return f"{before}[{old or '∅'} -> {new or '∅'}]{after.rstrip()}"
