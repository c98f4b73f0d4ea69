"""The mutation test plants faults that compile, the same ones for a seed, and none in words."""

import ast
import importlib
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.quality.mutation.campaign import (
    apply,
    outcome,
    read_results,
    reusable,
    revert,
)
from benchmarks.quality.mutation.mutators import candidates, is_sound
from benchmarks.quality.mutation.report import add_explanations, markdown, shares, table
from benchmarks.quality.mutation.sampling import sample
from benchmarks.quality.mutation.selection import function_lines, importers, torch_lines

QUALITY = Path(__file__).parents[2] / "benchmarks" / "quality"


def changes(source):
    """Each mutated program, without what `ast.unparse` leaves out."""
    source = source.encode()
    mutants = [mutant for mutant in candidates(source, "toy.py") if is_sound(mutant, source)]
    return {ast.unparse(ast.parse(mutant.applied_to(source))) for mutant in mutants}


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
        ("class A(Protocol):\n    b: int = 1", {"class A(Protocol):\n    b: int = 2"}),
        ("def f(a: Literal[1] = b) -> Literal[2]:\n    ...", set()),
        ("class A(Protocol):\n    def f(self, a=1):\n        'Text.'\n        ...", set()),
        (
            "class A(Protocol):\n    def f(self):\n        'Text.'\n        return 1",
            {"class A(Protocol):\n\n    def f(self):\n        'Text.'\n        return 2"},
        ),
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


def test_lines_of_functions_are_not_those_of_import():
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


def test_lines_that_need_torch_are_those_of_modules_and_functions_that_import_it():
    files = {
        "p/__init__.py": b"",
        "p/a.py": b"import torch.nn\na = 1\n",
        "p/b.py": b"from p.a import A\n",
        "p/c.py": b"b = 1\ndef f():\n    import p.b\n    return b\n",
        "p/d.py": b"import p.c\n",
    }
    lines = {"p/a.py": {1, 2, 3}, "p/b.py": {1, 2}, "p/c.py": {2, 3, 4}}
    assert torch_lines(files) == lines


def test_a_mutant_is_applied_to_its_file_and_reverted_with_its_time(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text("a = b < c\n")
    os.utime(path, (1000, 1000))
    mutant = candidates(path.read_bytes(), "toy.py")[0]
    apply(path, mutant, 1)
    assert path.read_text() == "a = (b <= c)\n"
    assert int(path.stat().st_mtime) != 1000  # or what was compiled before would run
    revert(path)
    assert (path.read_text(), path.stat().st_mtime) == ("a = b < c\n", 1000)
    assert list(tmp_path.iterdir()) == [path]


FAILURE = {"failed": "tests/test_a.py::test_b", "message": "assert 1 == 2\nmore"}
PASSED = [{"started": "a"}, {"ended": "a"}]
HANGS = [*PASSED, {"started": "b"}]


@pytest.mark.parametrize(
    ("code", "log", "expected"),
    [
        (0, PASSED, ("survived", "")),
        (1, [*HANGS, FAILURE], ("killed", "tests/test_a.py::test_b")),
        (2, [{"failed": "tests/test_a.py", "message": "Syntax"}], ("killed", "tests/test_a.py")),
        (-11, HANGS, ("killed", "b")),  # a crash
        (-11, PASSED, ("not judged", "")),
        (-14, HANGS, ("timed out", "b")),
        (-14, [], ("not judged", "")),  # while tests were collected
        (-9, HANGS, ("not judged", "")),  # out of memory, whoever took it
        (70, [{"error": "MemoryError()"}], ("not judged", "")),
        (5, [], ("not judged", "")),  # no test was found
        (4, [], ("not judged", "")),
    ],
)
def test_a_run_is_judged_by_its_tests(code, log, expected):
    judged = outcome(code, log)
    assert (judged["outcome"], judged["by"]) == expected


def test_a_conftest_that_cannot_be_imported_kills():
    assert outcome(4, [], conftest_failed=True)["by"] == "tests/conftest.py"


def test_results_cut_by_a_power_failure_are_read_up_to_there(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"key": "a"}\n{"key": "b"}\n{"ke')
    assert [line["key"] for line in read_results(path)] == ["a", "b"]


def test_only_mutants_killed_by_a_known_test_are_not_tested_again():
    lines = [
        {"key": "a", "outcome": "killed", "by": "test_a"},
        {"key": "b", "outcome": "killed", "by": ""},
        {"key": "c", "outcome": "timed out", "by": "test_a"},
        {"key": "d", "outcome": "survived", "by": ""},
        {"key": "e", "outcome": "not judged", "by": ""},
        {"key": "f", "outcome": "needs torch", "by": ""},
        {"key": "g", "outcome": "killed", "by": "test_a"},  # not drawn
    ]
    assert [line["key"] for line in reusable(lines, set("abcdef"))] == ["a", "c"]


RESULTS = [
    {"key": "a", "room": "core", "outcome": "survived", "tests_reaching": 3},
    {"key": "b", "room": "core", "outcome": "survived", "tests_reaching": 0},
    {"key": "c", "room": "core", "outcome": "killed", "tests_reaching": 1},
    {"key": "d", "room": "images", "outcome": "timed out", "tests_reaching": 1},
    {"key": "e", "room": "images", "outcome": "needs torch", "tests_reaching": 0},
    {"key": "f", "room": "images", "outcome": "not judged", "tests_reaching": 1},
]


def test_reasons_are_kept_and_new_survivors_get_an_empty_one(tmp_path):
    path = tmp_path / "explained.json"
    path.write_text('{"a": "the same by symmetry", "gone": "reason"}')
    add_explanations(path, results := [dict(line) for line in RESULTS])
    assert json.loads(path.read_text()) == {"a": "the same by symmetry", "b": "", "gone": "reason"}
    rows = table(results, ["core", "images"])
    assert rows["core"]["not reached"] == 1
    assert shares(rows["core"]) == (1 / 3, 2 / 3)


def test_mutants_that_need_torch_or_were_not_judged_count_as_not_killed():
    rows = table(RESULTS, ["core", "images"])
    assert shares(rows["images"]) == (1 / 3, 1 / 3)
    assert shares(rows["all"]) == (2 / 6, 2 / 6)
    shown = {"path": "patchbank/a.py", "line": 7, "where": "f", "change": "a [< -> <=] b"}
    page = markdown(
        {
            "command": "mutants.py",
            "baseline": {"tests": 1, "cpu_seconds": 1, "skipped_or_failed": []},
            "settings": {"seed": 0},
            "rooms": rows,
            "mutants": [line | shown for line in RESULTS],
        }
    )
    assert "| images | 3 | 0 | 1 | 0 | 1 | 1 | 0 | 33.3% | 33.3% |" in page
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert headings == ["## Survived", "## Needs torch", "## Not judged"]


@pytest.fixture
def script(monkeypatch):
    """The script itself, imported as it imports its parts."""
    monkeypatch.syspath_prepend(str(QUALITY))
    return importlib.import_module("mutants")


def test_tests_that_are_left_out_exist(script):
    assert [name for name in script.LEFT_OUT if not (script.ROOT / name).is_file()] == []


def test_results_depend_on_all_files_but_those_that_the_script_writes(script, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / script.HERE.relative_to(script.ROOT)).mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    page = tmp_path / "docs" / "page.md"
    page.write_text("before")
    before = script.digest(tmp_path, ())
    written = tmp_path / script.HERE.relative_to(script.ROOT) / "mutants.json"
    written.write_text("{}")
    assert script.digest(tmp_path, ()) == before
    assert script.digest(tmp_path, ("--ignore=a",)) != before
    page.write_text("after")
    assert script.digest(tmp_path, ()) != before
