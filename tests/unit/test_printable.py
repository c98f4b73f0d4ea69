"""Names in output: nothing in them breaks a line, commands a terminal, or gets lost."""

import json
import os

import pytest

from patchbank.runtime.printable import json_text, printable

NAMES = {
    "line break": ("a\nb", r"a\nb"),
    "tab": ("a\tb", r"a\tb"),
    "red text": ("\x1b[31mred", r"\x1b[31mred"),
    "eight-bit terminal command": ("\x9b31m", r"\x9b31m"),
    "byte that is no UTF-8": (os.fsdecode(b"\xff"), r"\udcff"),
    "text from right to left": ("a\u202egnp.exe", r"a\u202egnp.exe"),
    "line separator": ("a\u2028b", r"a\u2028b"),
    "carriage return": ("good\rbad", r"good\rbad"),
    "null": ("a\0b", r"a\x00b"),
    "private letter outside the first plane": ("\U000f0000", r"\U000f0000"),
}


@pytest.mark.parametrize(("name", "shown"), NAMES.values(), ids=NAMES)
def test_what_is_no_text_is_escaped(name, shown):
    assert printable(f"x {name}.png") == f"x {shown}.png"


@pytest.mark.parametrize(
    "name", ["größe", "部品", "деталь", "صورة", "é", "👍🏽", "a\u202fb", r"C:\a"]
)
def test_letters_of_all_languages_and_spaces_stay(name):
    assert printable(name) == name
    assert json_text([name], indent=None) == f'["{name}"]'.replace("\\", "\\\\")


@pytest.mark.parametrize("name", [name for name, _ in NAMES.values()], ids=NAMES)
@pytest.mark.parametrize("indent", [None, 2])
def test_json_gives_the_name_back(name, indent):
    text = json_text({"image": name, "n": [1.5, None]}, indent=indent)
    assert json.loads(text.encode("utf-8")) == {"image": name, "n": [1.5, None]}
    assert len(text.splitlines()) == (1 if indent is None else 7)
    assert all(line.isprintable() for line in text.split("\n"))


def test_a_line_of_json_is_parsed_by_what_splits_lines_as_python_does():
    text = json_text({"image": "a\u2028b\x85c\x1cd"})
    assert text.splitlines() == [text]
