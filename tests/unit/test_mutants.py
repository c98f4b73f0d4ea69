"""The mutation test plants faults that compile, the same ones for a seed, and none in words."""

import ast
import importlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.quality.mutation.mutators import candidates, is_sound
from benchmarks.quality.mutation.sampling import sample
from benchmarks.quality.mutation.selection import function_lines, importers

QUALITY = Path(__file__).parents[2] / "benchmarks" / "quality"


def changes(source):
    """Each mutated program, without what `ast.unparse` leaves out."""
    source = source.encode()
    mutants = [mutant for mutant in candidates(source, "toy.py") if is_sound(mutant, source)]
    return {ast.unparse(ast.parse(mutant.applied(source))) for mutant in mutants}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a < b", {"a <= b", "a >= b"}),
        ("a >= b", {"a > b", "a < b"}),
        ("a == b", {"a != b"}),
        ("a is None", {"a is not None"}),
        ("0 <= a < b", {"0 < a < b", "0 > a < b", "0 <= a <= b", "0 <= a >= b", "1 <= a < b"}),
        ("a + b", {"a - b"}),
        ("a // b", {"a * b"}),
        ("a | b", {"a & b"}),
        ("a and b", {"a or b"}),
        ("not a", {"a"}),
        ("-a", {"a"}),
        ("[3, 0.5]", {"[4, 0.5]", "[3, 1.5]"}),
        ("1e+30", {"2e+30"}),
        ("True", {"False"}),
        ("'text'", set()),
        ("'a' + b", set()),
        ("f'{a + 1}'", set()),
        ("f(a, b)", {"f(b, a)"}),
        ("f(a, a)", set()),
        ("f('a', 'b')", set()),
        ("f(*a, b)", set()),
        ("f(a, key=b)", {"f(a)"}),
        ("zip(a, strict=True)", set()),
        ("a.sum(axis=1)", {"a.sum(axis=0)", "a.sum()"}),
        ("a.sum(axis=0)", {"a.sum(axis=1)", "a.sum()"}),
        ("max(a, b)", {"min(a, b)"}),
        ("np.floor(a)", {"np.ceil(a)"}),
        ("a[b:c]", {"a[b + 1:c]", "a[b:c + 1]"}),
        ("a[1:]", {"a[2:]"}),
        ("a if b else c", {"a if not b else c"}),
        ("[a for a in b if a]", {"[a for a in b if not a]"}),
        ("warn(a, 1)", set()),
        ("isinstance(a, b)", set()),
    ],
)
def test_an_expression_has_these_faults_and_no_others(line, expected):
    program = "def f():\n    x = {}"
    assert changes(program.format(line)) == {
        ast.unparse(ast.parse(program.format(other))) for other in expected
    }


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("f()", {"pass"}),
        ("a += b", {"pass", "a -= b"}),
        ("a[b] = c", {"pass"}),
        ("if a:\n    b = c", {"if not a:\n    b = c"}),
        ("if a < b:\n    c = d", {"if a <= b:\n    c = d", "if a >= b:\n    c = d"}),
        ("while a:\n    b = c", {"while not a:\n    b = c"}),
        ("def f() -> int | None:\n    return a", {"def f() -> int | None:\n    return None"}),
        ("def f() -> int:\n    return a", set()),
        ("def f(a=1):\n    return a", {"def f(a=2):\n    return a"}),
        ("@f(a=True)\nclass A:\n    b = c", {"@f(a=False)\nclass A:\n    b = c"}),
        ("class A:\n    b: int = 1", {"class A:\n    b: int = 2"}),
        ('"""Text of 1 + 1."""', set()),
        ("__all__ = [a + b]", set()),
        ("raise E(a + b, 1)", set()),
        ("assert a + b", set()),
        ("if TYPE_CHECKING:\n    f(1)", set()),
        ("class A(Protocol):\n    b: int = 1", set()),
        ("def f(a: Literal[1] = b) -> Literal[2]:\n    ...", set()),
        ("A: TypeAlias = Literal[1] | Literal[2]", set()),
        ("A = int | float", set()),
        ("task('Learning', 1 + 1)", {"pass"}),
    ],
)
def test_a_statement_has_these_faults_and_no_others(block, expected):
    without = changes(block) - {
        # The argument of a decorator may be left out too: not in question here.
        ast.unparse(ast.parse("@f()\nclass A:\n    b = c"))
    }
    assert without == {ast.unparse(ast.parse(other)) for other in expected}


def test_a_fault_that_does_not_compile_or_changes_nothing_is_unsound():
    source = b"def f(a, b):\n    return a - b\n"
    (mutant,) = candidates(source, "toy.py")
    assert is_sound(mutant, source)
    assert not is_sound(replace(mutant, text="a +"), source)
    assert not is_sound(replace(mutant, text="a is 1"), source)  # a warning
    assert not is_sound(replace(mutant, text="(a - b)"), source)


def test_positions_hold_behind_letters_of_several_bytes():
    assert changes("a = 'ü → Ω'; b = c < d") == {
        "a = 'ü → Ω'\nb = c <= d",
        "a = 'ü → Ω'\nb = c >= d",
    }


def test_a_mutant_names_its_function_its_line_and_its_change():
    source = b"class A:\n    def f(self, a):\n        return g(\n a,\n a + 1,\n )\n"
    mutant = next(m for m in candidates(source, "toy.py") if m.kind == "arithmetic")
    assert mutant.key == "toy.py | A.f | return g( a, a [+ -> -] 1, )"
    assert (mutant.line, mutant.lines, mutant.at_import) == (5, (3, 6), False)


def test_keys_stay_when_lines_move_and_differ_when_text_repeats():
    source = b"def f(a):\n    a += 1\n    a += 1\n"
    keys = [mutant.key for mutant in candidates(source, "toy.py")]
    assert len(keys) == len(set(keys)) == 6
    assert keys == [mutant.key for mutant in candidates(b"\n\n" + source, "toy.py")]


LINES = "\n".join(f"a{i} = b{i} + c{i} < {i}" for i in range(40)).encode()
ROOMS = {"large": {"large.py": LINES}, "small": {"small.py": LINES[: len(LINES) // 4]}}


def test_a_seed_draws_the_same_mutants_and_another_seed_others():
    assert sample(ROOMS, 20, seed=0) == sample(ROOMS, 20, seed=0)
    assert sample(ROOMS, 20, seed=0) != sample(ROOMS, 20, seed=1)


def test_rooms_get_their_share_and_a_line_one_mutant():
    drawn = sample(ROOMS, 20, seed=0)
    assert [room for room, _ in drawn].count("large") == 16
    assert len({(mutant.path, mutant.line) for _, mutant in drawn}) == 20


def test_a_line_more_leaves_the_draws_of_the_others():
    def lines(source):
        return [mutant.key for _, mutant in sample({"a": {"a.py": source}}, 10, seed=3)]

    before, after = lines(LINES), lines(b"z = y + x\n" + LINES)
    assert len(set(before) - set(after)) <= 1


def test_lines_of_functions_are_told_from_those_of_import():
    source = b"a = 1\n\n@f\ndef g(b=2):\n    @h\n    def i():\n        pass\n    return i\n"
    assert function_lines(source) == {5, 6, 7, 8}


def test_importers_are_found_through_a_package():
    files = {
        "p/__init__.py": b"from p.a import A\n",
        "p/a.py": b"A = 1\n",
        "p/b.py": b"from p import A\n",
        "p/c.py": b"import p.b\n",
    }
    assert importers(files) == {
        "p/__init__.py": {"p/b.py"},
        "p/a.py": {"p/__init__.py", "p/b.py"},
        "p/b.py": {"p/c.py"},
        "p/c.py": set(),
    }


@pytest.fixture
def script(monkeypatch):
    """The script itself, imported as it imports its parts."""
    monkeypatch.syspath_prepend(str(QUALITY))
    return importlib.import_module("mutants")


def test_a_mutant_is_put_into_its_file_and_taken_back_with_its_time(script, tmp_path):
    path = tmp_path / "toy.py"
    path.write_text("a = b < c\n")
    os.utime(path, (1000, 1000))
    mutant = candidates(path.read_bytes(), "toy.py")[0]
    script.put(path, mutant, 1)
    assert path.read_text() == "a = (b <= c)\n"
    assert int(path.stat().st_mtime) != 1000  # or what was compiled before would run
    script.take_back(path)
    assert (path.read_text(), path.stat().st_mtime) == ("a = b < c\n", 1000)
    assert list(tmp_path.iterdir()) == [path]


FAILURE = {"failed": "tests/test_a.py::test_b", "message": "assert 1 == 2\nmore"}


@pytest.mark.parametrize(
    ("code", "said", "expected"),
    [
        (0, [{"ended": "a"}, {"ended": "b"}], ("survived", "")),
        (1, [{"ended": "a"}, FAILURE], ("killed", "tests/test_a.py::test_b")),
        (
            2,
            [{"failed": "tests/test_a.py", "message": "SyntaxError"}],
            ("killed", "tests/test_a.py"),
        ),
        (-11, [{"ended": "a"}], ("killed", "")),  # the process broke down
        (-14, [{"ended": "a"}], ("timed out", "")),
    ],
)
def test_a_run_is_judged_by_its_end(script, code, said, expected):
    judged = script.outcome(code, said)
    assert (judged["outcome"], judged["by"]) == expected


def test_results_cut_by_a_power_failure_are_read_up_to_there(script, tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"key": "a"}\n{"key": "b"}\n{"ke')
    assert [line["key"] for line in script.read_lines(path)] == ["a", "b"]


def test_reasons_are_kept_and_new_survivors_get_a_place_for_one(script, tmp_path):
    path = tmp_path / "explained.json"
    path.write_text('{"a": "the same by symmetry", "gone": "reason"}')
    results = [
        {"key": "a", "room": "core", "outcome": "survived", "tests_reaching": 3},
        {"key": "b", "room": "core", "outcome": "survived", "tests_reaching": 0},
        {"key": "c", "room": "core", "outcome": "killed", "tests_reaching": 1},
        {"key": "d", "room": "images", "outcome": "timed out", "tests_reaching": 1},
    ]
    script.explained(path, results)
    assert json.loads(path.read_text()) == {"a": "the same by symmetry", "b": "", "gone": "reason"}
    rows = script.table(results, ["core", "images"])
    assert rows["core"]["not reached"] == 1
    assert script.shares(rows["core"]) == (1 / 3, 2 / 3)
    assert script.shares(rows["all"]) == (2 / 4, 3 / 4)
