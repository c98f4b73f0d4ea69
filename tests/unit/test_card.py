"""Texts of an author in a detector file, and the model card that is made of both."""

import json
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
import yaml
from safetensors import safe_open

from patchbank import (
    DetectorFileError,
    Edit,
    Ensemble,
    PaDiM,
    ParameterError,
    PatchCore,
    load,
    model_card,
)
from patchbank.detector.bundle import Bundle, file_digest, read_bundle, to_bytes, write_bundle
from patchbank.detector.card import Card
from tests.command_line import status_of
from tests.photographs import part, parts, save

pytestmark = [
    pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning"),
]
SMALL = PatchCore(image_size=64, bank_rows=40, false_alarm_rate=0.2)
TEXTS = {
    "title": "Plates, line 3",
    "description": 'Größe **M6**\n\n"record": a | b, "sha256": c',
    "intended_use": "Line 3 only.",
    "license": "CC-BY-4.0",
    "contact": "qa@example.org",
}


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secret-customer")
    for number, image in enumerate(parts(6)):
        save(folder / f"serial-{number}.png", image)
    return SMALL.fit(folder)


@pytest.fixture
def file(detector, tmp_path):
    path = tmp_path / "plates.patchbank"
    detector.save(path)
    return path


def front_matter(text):
    """-> the metadata of a card, and what follows."""
    _, head, body = text.split("---\n", 2)
    return yaml.safe_load(head), body


def test_texts_travel_in_the_file_and_change_nothing_else(detector, file):
    described = detector.with_card(**TEXTS)
    assert described == detector
    assert hash(described) == hash(detector)
    described.save(file)
    found = load(file)
    assert found.card == Card(**TEXTS)
    assert (found.sha256, found.lineage) == (detector.sha256, None)
    assert found.predict(part(9)).score == detector.predict(part(9)).score
    assert pickle.loads(pickle.dumps(found)).card == Card(**TEXTS)


def test_lines_of_windows_are_lines(detector):
    assert detector.with_card(description="a\r\nb").card.description == "a\nb"


def test_a_file_without_texts_has_the_bytes_that_it_had(detector, file):
    before = file.read_bytes()
    detector.with_card(**TEXTS).with_card(**dict.fromkeys(TEXTS, "")).save(file)
    assert file.read_bytes() == before


def test_a_reader_that_knows_no_texts_finds_all_that_it_knows(detector, file):
    with safe_open(file, framework="numpy") as opened:
        plain = json.loads(opened.metadata()["patchbank"])
    detector.with_card(**TEXTS).save(file)
    with safe_open(file, framework="numpy") as opened:
        text = opened.metadata()["patchbank"]
    header = json.loads(text)
    assert {name: header[name] for name in plain} == plain
    # as docs/file-format.md tells other readers to find the text of the record
    record = text[text.index('"record": ') + 10 : text.rindex(', "sha256": ')]
    assert record == json.dumps(plain["record"], sort_keys=True)


def test_texts_stay_through_changes_and_undo(detector):
    described = detector.with_card(title="Plates")
    updated = described.updated([part(7)], reason="second lot")
    higher = updated.with_false_alarm_rate(0.5)
    assert [entry.kind for entry in higher.lineage.entries] == ["fit", "update", "threshold"]
    renamed = higher.with_card(title="Plates M6", contact="Eva")
    assert len(renamed.lineage.entries) == 3
    back = renamed.undone(0)
    assert back == detector
    assert back.card == Card(title="Plates M6", contact="Eva")
    assert detector.with_false_alarm_rate(0.5).recorded(described, Edit("threshold")).card == Card()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"card": {"title": "Other"}}, "texts of its card that were altered"),
        ({"card": ["Plates"]}, "texts of its card that were altered"),
        ({"card_sha256": "0" * 64}, "texts of its card that were altered"),
        ({"card": None}, "texts of its card that were altered"),
    ],
)
def test_altered_texts_are_refused(detector, file, header, message):
    detector.with_card(title="Plates").save(file)
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + length])
    changed = {**json.loads(head["__metadata__"]["patchbank"]), **header}
    head["__metadata__"]["patchbank"] = json.dumps(changed, sort_keys=True)
    written = json.dumps(head).encode()
    written += b" " * (-len(written) % 8)
    file.write_bytes(len(written).to_bytes(8, "little") + written + content[8 + length :])
    with pytest.raises(DetectorFileError, match=message):
        load(file)


def test_texts_of_another_type_are_refused_and_unknown_ones_are_left_out(detector, file):
    bundle = read_bundle(file)
    write_bundle(file, replace(bundle, card={"title": 3}))
    with pytest.raises(DetectorFileError, match=r"card.title: expected a text, got int"):
        load(file)
    write_bundle(file, replace(bundle, card={"contact": "a\nb"}))
    with pytest.raises(DetectorFileError, match=r"card.contact: expected one line, got 2"):
        load(file)
    write_bundle(file, replace(bundle, card={"title": "Plates", "colour": "red"}))
    assert load(file).card == Card(title="Plates")


def test_a_file_of_any_content_may_have_texts():
    content = Bundle({"bank": np.zeros((3, 2))}, {}, card={"title": "a"})
    assert b"card_sha256" in to_bytes(content)
    assert b"card" not in to_bytes(replace(content, card={}))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            {"titel": "a"},
            "card: expected some of title, description, intended_use, license, contact",
        ),
        ({"title": "a" * 201}, "title: expected at most 200 characters, got 201"),
        ({"description": "a" * 20_001}, "description: expected at most 20,000 characters"),
        ({"license": "a\nb"}, "license: expected one line, got 2"),
        ({"title": "a\x1b[31m"}, r"title: expected a text that can be shown, got '\\x1b'"),
        ({"description": "\udcff"}, "description: expected a text that can be shown"),
    ],
)
def test_a_text_that_cannot_be_kept_is_refused(detector, texts, message):
    with pytest.raises(ParameterError, match=message):
        detector.with_card(**texts)


def test_a_card_has_the_layout_of_the_hub_and_the_facts_of_the_detector(detector, file):
    detector.with_card(**TEXTS).save(file)
    meta, body = front_matter(model_card(load(file), file))
    assert meta["library_name"] == "patchbank"
    assert meta["license"] == "cc-by-4.0"
    assert set(meta["tags"]) >= {"anomaly-detection", "patchcore"}
    assert body.startswith("\n# Plates, line 3\n\n" + TEXTS["description"])
    assert re.findall("^## (.*)", body, re.MULTILINE) == [
        "Intended use",
        "Training data",
        "Method and settings",
        "Threshold and false alarms",
        "Limits",
        "How to use it",
        "Origin",
    ]
    assert "## Intended use\n\nLine 3 only.\n" in body
    assert "- 6 good photographs\n- size (width x height): 104 x 72 pixels\n" in body
    assert "format: PNG (6); mode: RGB (6)" in body
    assert "| bank rows | 40 |" in body
    assert "license: Apache-2.0 |" in body  # of the weights
    assert f"above {detector.calibration.threshold:.4g} " in body
    assert "Expected false-alarm rate: 20 % of good parts" in body
    assert "contact: qa@example.org" in body
    assert "--sha256 " + file_digest(file) in body
    assert f"`{detector.sha256}`" in body


def test_a_card_names_no_photograph_and_no_folder(detector, file):
    text = model_card(detector.updated([part(7)]), file)
    assert not re.search("serial|secret|tmp|customer", text)
    assert "holds their names, and small pictures of 7 of them" in text
    assert "changes since the fit: 1" in text


def test_a_card_without_texts_and_file_says_what_can_be_said(detector):
    meta, body = front_matter(model_card(detector))
    assert meta["license"] == "apache-2.0"
    assert body.startswith("\n# Defect detector\n\n## Intended use\n\nPhotographs of the product")
    assert "SHA-256 of the content" in body
    assert "SHA-256 of the file" not in body
    assert "--sha256" not in body


@pytest.mark.parametrize(
    ("license", "expected"),
    [
        ("MIT", {"license": "mit"}),
        ("internal use only", {"license": "other", "license_name": "internal-use-only"}),
        ("???", {"license": "other", "license_name": "own"}),
    ],
)
def test_a_license_is_named_as_the_hub_names_it(detector, license, expected):
    meta, body = front_matter(model_card(detector.with_card(license=license)))
    assert {name: value for name, value in meta.items() if "license" in name} == expected
    assert f"license of the detector: {license}" in body


def test_a_card_of_an_ensemble_has_each_member_and_one_of_a_photograph_promises_nothing():
    two = Ensemble([SMALL, PaDiM(image_size=64, dims=8, rank=4, false_alarm_rate=0.2)]).fit(
        parts(6)
    )
    body = front_matter(model_card(two))[1]
    assert "An ensemble of 2" in body
    assert "| method | patchcore |" in body
    assert "| method | padim |" in body
    one = front_matter(model_card(PaDiM(image_size=64, dims=8, rank=4).fit(parts(1))))[1]
    assert "its false-alarm rate is not known" in one
    assert "Expected false-alarm rate" not in one


def test_what_a_file_names_is_no_markup(detector):
    versions = {"patchbank": "1 <script> | [a](b)\n# c"}
    text = model_card(replace(detector, versions=versions))
    assert r"fitted with patchbank 1 \<script\> \| \[a\](b) # c" in text


def test_the_command_prints_and_writes_the_card(detector, file, tmp_path, capsys):
    before = file.read_bytes()
    assert status_of("card", file) == 0
    printed = capsys.readouterr().out
    assert printed == model_card(detector, file)
    assert status_of("card", file, "--out", tmp_path / "README.md") == 0
    assert (tmp_path / "README.md").read_text() == printed
    assert file.read_bytes() == before


def test_the_command_keeps_texts_in_the_file(detector, file, tmp_path, capsys):
    digest = file_digest(file)
    out = tmp_path / "README.md"
    assert status_of("card", file, "--title", "Größe", "--intended-use", "a\nb", "--out", out) == 0
    assert load(file).card == Card(title="Größe", intended_use="a\nb")
    assert "# Größe\n" in out.read_text(encoding="utf-8")
    assert status_of("card", file, "--title", "none", "--contact", "Eva") == 0
    assert load(file).card == Card(intended_use="a\nb", contact="Eva")
    capsys.readouterr()
    assert status_of("info", file, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["card"] == {"intended_use": "a\nb", "contact": "Eva"}
    assert status_of("card", file, "--sha256", digest, "--title", "b") == 2
    assert "expected the file with the sha256" in capsys.readouterr().err


def test_the_command_refuses_what_it_cannot_do(file, tmp_path, capsys):
    before = file.read_bytes()
    for arguments, message in (
        (("--title", "a\nb"), "title: expected one line"),
        (("--out", file), "--out: expected a file of its own"),
        (
            ("--out", tmp_path / "no" / "README.md"),
            "--out: expected a file in a folder that exists",
        ),
    ):
        assert status_of("card", file, *arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert file.read_bytes() == before
    assert status_of("card", tmp_path / "none.patchbank", "--title", "a") == 2
