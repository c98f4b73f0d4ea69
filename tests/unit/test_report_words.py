"""Words of the pages of results, and how a page says when and by what it was made."""

import importlib.util
import json
import re
from datetime import datetime, timezone
from html import unescape
from importlib.metadata import version
from pathlib import Path

import pytest

from patchbank.report.glossary import Glossary
from patchbank.report.made import made_now
from patchbank.report.page import environment
from patchbank.runtime.invocation import command, invoked
from tests.report_pages import without_explanations

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "src" / "patchbank" / "server" / "pages" / "static"


def _script():
    spec = importlib.util.spec_from_file_location("make_glossary", ROOT / "tools/make_glossary.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = _script()


def test_the_file_of_the_package_is_made_of_the_glossary():
    assert MAKER.TARGET.read_text(encoding="utf-8") == MAKER.glossary(), (
        "run python tools/make_glossary.py"
    )


def test_no_row_of_the_glossary_stands_in_it_twice():
    text = MAKER.SOURCE.read_text(encoding="utf-8").split("## Words that are not used")[0]
    explained = [word for key in MAKER.EXPLAINED for word in key.split(", ")]
    cells = re.findall(r"^\| (.+?) \|", text, re.M)
    words = [word for cell in cells for word in cell.split(", ")]
    assert [word for word in explained if words.count(word) != 1] == []


def test_marks_of_markdown_are_not_on_the_page():
    assert MAKER.plain("to *learn* with `fit` ([method](methods/update.md)); see [ADR](a.md)") == (
        "to learn with fit; see ADR"
    )
    for entry in json.loads(MAKER.glossary()):
        assert not re.search(r"[`*]|\]\(", entry["meaning"])
        assert entry["meaning"].strip()


def test_a_word_is_explained_at_its_first_occurrence_and_others_stay():
    glossary = Glossary()
    marked = glossary.terms("pixel AUROC <b> & AUROC; AUROCs, thresholds")
    assert unescape(without_explanations(marked)) == "pixel AUROC <b> & AUROC; AUROCs, thresholds"
    assert marked.count("<button") == 1
    assert "<b>" not in marked
    (entry,) = glossary.used
    assert entry.words == ("AUROC",)
    assert f'popovertarget="{entry.id}"' in marked
    assert f'title="{entry.meaning}"' in unescape(marked)


def test_the_longest_word_is_taken_and_a_phrase_has_the_explanation_of_its_word():
    glossary = Glossary()
    glossary.terms("the pixel threshold and 80 % of defects found")
    assert [entry.words[0] for entry in glossary.used] == ["detection rate", "threshold"]
    with pytest.raises(KeyError):
        glossary.term("flange")


def test_every_word_of_a_page_has_its_text_on_it_once():
    page = environment()
    template = page.from_string(
        '{% extends "base.html" %}{% block content %}'
        '{{ glossary.terms("AUPRO and AUROC") }}{{ glossary.term("AUROC") }}{% endblock %}'
    )
    text = template.render()
    targets = set(re.findall(r'popovertarget="(.*?)"', text))
    assert targets == {"word-aupro", "word-auroc"}
    assert re.findall(r'<div class="word" id="(.*?)" popover>', text) == sorted(targets)
    assert "Words on this page" not in environment().get_template("base.html").render()


def test_a_page_says_when_by_what_version_and_by_what_command_it_was_made(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1772348759")
    with invoked(["evaluate", "a b.patchbank", "<i>"]):
        text = environment().get_template("base.html").render()
    assert '<time datetime="2026-03-01T07:05Z">2026-03-01 07:05 UTC</time>' in text
    assert f"Made 2026-03-01 07:05 UTC by patchbank {version('patchbank')}, with" in text
    assert "<code>patchbank evaluate &#39;a b.patchbank&#39; &#39;&lt;i&gt;&#39;</code>" in text
    assert command() == ""
    assert "<code>" not in environment().get_template("base.html").render()


@pytest.mark.parametrize("seconds", ["", "soon", "-5", "²"])
def test_without_a_fixed_time_it_is_now(monkeypatch, seconds):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", seconds)
    before = datetime.now(timezone.utc)
    assert before <= made_now().time <= datetime.now(timezone.utc)


def colours_of(style):
    """Colours of the light scheme and of the dark one, by their names."""
    roots = re.findall(r":root \{(.*?)\}", style, re.S)[:2]
    return [dict(re.findall(r"(--[\w-]+): ([^;]+);", root)) for root in roots]


def test_colours_are_those_of_the_pages_of_the_service():
    ours = colours_of((ROOT / "src/patchbank/report/style.css").read_text())
    theirs = colours_of((PAGES / "base.css").read_text())
    for own, other in zip(ours, theirs, strict=True):
        shared = own.keys() & other.keys()
        assert {"--back", "--panel", "--ink", "--soft", "--edge", "--focus"} <= shared
        assert {name: own[name] for name in shared} == {name: other[name] for name in shared}


def test_shapes_of_verdicts_are_those_of_the_operators_screen():
    base = (ROOT / "src/patchbank/report/base.html").read_text()
    screen = (PAGES.parent / "templates" / "line.html").read_text()
    shapes = re.findall(r'<symbol id="shape-\w+".*?</symbol>', base)
    assert len(shapes) == 3
    assert [shape for shape in shapes if shape not in screen] == []
