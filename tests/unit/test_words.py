"""Docstrings, comments and messages use the words of the field (docs/glossary.md)."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "patchbank"
FILES = sorted([*SOURCE.rglob("*.py"), *SOURCE.rglob("*.[ch]")], key=str)

PRIVATE = {
    "min-distance, not gap": r"\bgaps?\b",
    "update, not fold": r"\b(?:to fold|folds? (?!of\b|and\b)\w+ into|folded|folding)\b",
    "calibrations by bank size, not ladder": r"\bladders?\b",
    "positions or grid cells, not places": r"\bplaces\b",
    "printed or reported, not told": r"\btold\b",
    "processed or inspected, not looked at": r"\blook(?:s|ed|ing)? (?:at|into)\b",
    "reports or shows, not tells": r"\btells\b",
    "specification or method, not contender": r"\bcontenders?\b",
    "with, next to or above, not beside": r"\bbeside\b",
    "copied, computed or measured, not taken": r"\btaken\b",
    "separate, not apart": r"\bapart\b",
    "integer, not whole number": r"\bwhole numbers?\b",
    "skipped, not passed over": r"\bpassed over\b",
    "compared with, not held against": r"\bheld against\b",
}
NAMES = {"gap", "ladder", "places", "told", "tell", "look", "contender", "beside", "apart"}
# "Every word." and "Both." name no subject; "Every cell of a grid" and "Both poolings of" do.
HEADLESS = re.compile(
    r"^(?:(?:Of|What|Its|Their|Those|Likewise|That of|With|Without|As|All that|In steps|For example"
    r"|For each|How) |None[ ,.]|(?:Every|Both)(?: \w+)?[.,]|(?:One|Two|Three|Too few|Too many)[.,])"
)
KEYS_OF_THE_FILE = re.compile(r"\bladder\.(?:bank_rows|image_scores|map_peaks)\b")


def prose(path):
    """(line number, text) of every comment, docstring and message of a Python or C file."""
    text = path.read_text()
    if path.suffix != ".py":
        for match in re.finditer(r"/\*.*?\*/|//[^\n]*", text, re.S):
            yield text[: match.start()].count("\n") + 1, match.group()
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def names(path):
    """(line number, name) of everything that a Python file defines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


def docstrings(path):
    """(line number, docstring) of modules, classes, functions, and the strings below attributes."""
    for node in ast.walk(ast.parse(path.read_text())):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                value = statement.value.value
                if isinstance(value, str):
                    yield statement.lineno, value


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_file_speaks_a_private_language(path):
    found = []
    for line, text in prose(path):
        text = KEYS_OF_THE_FILE.sub("", text)
        for rule, pattern in PRIVATE.items():
            found += [f"{path}:{line}: {rule}: {text.strip()[:90]}"] * bool(
                re.search(pattern, text, re.I)
            )
    if path.suffix == ".py":
        for line, name in names(path):
            if NAMES & set(name.lower().split("_")):
                found.append(f"{path}:{line}: name {name}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.suffix == ".py"], ids=lambda p: str(p.relative_to(SOURCE))
)
def test_docstrings_begin_with_their_subject(path):
    found = [f"{path}:{n}: {text[:80]}" for n, text in docstrings(path) if HEADLESS.match(text)]
    assert not found, "\n".join(found)


def test_the_rules_find_what_they_are_for(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text('"""Of its rows."""\ngap = 1  # the ladder of whole numbers\n')
    with pytest.raises(AssertionError, match=r"min-distance|name gap"):
        test_no_file_speaks_a_private_language(bad)
    with pytest.raises(AssertionError, match="Of its rows"):
        test_docstrings_begin_with_their_subject(bad)


@pytest.mark.parametrize(
    "sentence",
    [
        "Its name.",
        "That of the other rule.",
        "Both.",
        "Both values.",
        "Every word.",
        "Three.",
        "With commas.",
        "None at all, one, and both limits.",
        'For example "a name".',
    ],
)
def test_a_docstring_without_its_subject_is_found(sentence):
    assert HEADLESS.match(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Both poolings of one layer: a matrix.",
        "Every cell of a grid.",
        "One entry of METHODS.",
        "Three significant digits, or an integer.",
        "Withdraw a file.",
    ],
)
def test_a_docstring_with_its_subject_is_not(sentence):
    assert not HEADLESS.match(sentence)
