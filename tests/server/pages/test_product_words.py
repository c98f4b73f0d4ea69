"""Words of the pages of products: scripts use what they are given, and name every step."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import patchbank
from patchbank.server.pages import scripted
from patchbank.server.pages.scripted.setup import STEPS

STATIC = Path(scripted.__file__).parents[1] / "static"
ROOMS = ("check", "comparison", "methods", "training")
OTHERS = {"learning what is normal", "inspecting defects", "pasting spots"}
"""Tasks of an update, which these pages do not begin, and one within another."""
TITLE = re.compile(r"\.task\(\s*\"([^\"]+)\"")
SCRIPTS = {
    "setup": ("setup", "setup_gallery", "setup_start", "job_progress"),
    "products": ("product", "job_progress"),
}


@pytest.mark.parametrize("page", SCRIPTS)
def test_scripts_use_the_words_that_they_are_given_and_no_others(page):
    text = "".join((STATIC / f"{name}.js").read_text() for name in SCRIPTS[page])
    given = set(scripted.ALL[page])
    said = set(re.findall(r"\bsay\(\"(\w+)\"", text))
    assert said <= given
    assert given - said - set(STEPS) <= set(re.findall(r"\"(\w+)\"", text))


def test_every_task_of_a_check_a_fit_and_a_comparison_has_words():
    root = Path(patchbank.__file__).parent
    found = {
        title
        for room in ROOMS
        for path in (root / room).rglob("*.py")
        for title in TITLE.findall(path.read_text())
    }
    assert len(found) > 8
    assert found - OTHERS <= set(STEPS)
    named = {"copying", "saving", "reading good images"}  # of the service itself, or by a constant
    assert set(STEPS) - found == named
