"""Pages are in two languages, and every message is in both."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from patchbank.server.pages import rendering, scripted, words

ROOM = Path(words.__file__).parent
HELD = re.compile(r"\{(\w+)\}")
OTHERS = [name for name in words.LANGUAGES if name != words.SOURCE]


def messages() -> set[str]:
    """All messages of the templates and of the scripts."""
    found = {text for each in scripted.ALL.values() for text in each.values()}
    found |= {name for _, name, _ in rendering.NAVIGATION}
    environment = rendering.environment()
    for path in (ROOM / "templates").glob("*.html"):
        for _, _, message in environment.extract_translations(path.read_text(), ["_"]):
            if message is None:  # a name of the navigation
                continue
            assert isinstance(message, str), path
            found.add(message)
    return found


def test_there_are_two_languages():
    assert OTHERS == ["de"]


@pytest.mark.parametrize("language", OTHERS)
def test_every_message_is_translated_and_no_other(language):
    translations = words.catalogue(language)
    assert len(messages()) > 50
    assert set(translations) == messages()


@pytest.mark.parametrize("language", OTHERS)
def test_translations_hold_the_same_facts(language):
    for message, translation in words.catalogue(language).items():
        assert sorted(HELD.findall(message)) == sorted(HELD.findall(translation)), message


def test_scripts_of_the_line_use_the_words_that_they_are_given():
    names = ("line", "model", "stream", "view")
    text = "".join((ROOM / "static" / f"{name}.js").read_text() for name in names)
    said = set(re.findall(r"(?:\bsay\(|words\[?\.?)\"?(\w+)", text))
    states = {"ok", "ng", "unread", "not_live", "waiting", "since", "not_recorded"}
    decisions = {"false_alarm", "confirmed_defect", "unsure"}
    given = set(scripted.ALL["line"])
    assert given - states - decisions <= said
    assert states | decisions <= given


def test_scripts_of_the_reviews_use_the_words_that_they_are_given():
    names = ("review", "review_queue", "review_pictures", "review_teach")
    text = "".join((ROOM / "static" / f"{name}.js").read_text() for name in names)
    verdicts = {"good", "anomalous", "unread", "false_alarm", "normal", "unsure"}
    given = set(scripted.ALL["review"])
    for key in given - verdicts:
        assert f'"{key}"' in text, key
    assert set(re.findall(r"\bsay\(\"(\w+)\"", text)) <= given


def test_templates_have_no_text_outside_of_messages():
    plain = {"Patchbank"}
    for path in (ROOM / "templates").glob("*.html"):
        text = re.sub(r"<(script|style|svg|kbd)\b.*?</\1>", "", path.read_text(), flags=re.S)
        text = re.sub(r"\{% block (?:attributes|data) %\}.*\{% endblock %\}", "", text)
        text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<[^>]*>", "\n", text, flags=re.S)
        said = {line.strip(" ·()\n") for line in text.splitlines()} - {""} - plain
        assert not said, (path.name, said)


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH, en;q=0.9", "de"),
        ("en-GB, de;q=0.9", "en"),
        ("fr, de;q=0.1", "de"),
        ("de;q=0, en", "en"),
        ("de;q=", "de"),
        ("*", "en"),
        ("\N{SNOWMAN};q=x,,;", "en"),
    ],
)
def test_the_browser_chooses_the_language(accepted, language):
    assert words.language_of(accepted) == language


def test_catalogues_are_read_as_gettext_reads_them():
    text = (
        'msgid ""\nmsgstr "Language: xx\\n"\n\n'
        '# a remark\nmsgid "one"\nmsgstr "eins"\n\n'
        '#, fuzzy\nmsgid "two"\nmsgstr "zwo"\n\n'
        'msgid "empty"\nmsgstr ""\n\n'
        'msgid ""\n"long "\n"text"\nmsgstr ""\n"langer \\"Text\\"\\n"\n'
    )
    assert words.read_po(text) == {"one": "eins", "long text": 'langer "Text"\n'}


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalogue_is_one_of_gettext(language):
    """Each block is a remark, a msgid and a msgstr; nothing stands twice in all of its files."""
    seen: list[str] = []
    for path in (ROOM / "locale" / language).glob("*.po"):
        text = path.read_text(encoding="utf-8")
        lines = [line[6:] for line in text.splitlines() if line.startswith("msgid ")]
        assert len(lines) == text.count("\nmsgstr "), path
        assert "charset=UTF-8" in text
        seen += [ast.literal_eval(line) for line in lines if line != '""']
    assert len(seen) == len(set(seen))
