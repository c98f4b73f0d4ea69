"""`patchbank predict --explain`: a page, a picture of each flagged photograph, a key of JSON."""

import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from patchbank import PatchCore, load
from patchbank.cli.pictures import is_overlay_file
from patchbank.detector.explanation.at_hand import PhotographsAtHand
from patchbank.errors import DataError
from patchbank.explaining import page
from patchbank.explaining.sheet import WIDTH_PX, ImageFont, wrapped
from tests.command_line import run
from tests.photographs import part, save
from tests.unit.test_json_schemas import check

SMALL = {"backbone": "efficientnet_lite0", "image_size": 96, "false_alarm_rate": 0.2}


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    for number in range(6):
        save(folder / "good" / f"{number}.png", part(number))
    return folder


@pytest.fixture(scope="module")
def detector(learned, tmp_path_factory):
    path = tmp_path_factory.mktemp("fitted") / "a.patchbank"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PatchCore(**SMALL).fit(learned).save(path)
    return path


@pytest.fixture
def new(tmp_path):
    """Two parts with a blot, and one without."""
    folder = tmp_path / "new"
    save(folder / "a" / "odd.png", part(50, defect=9))
    save(folder / "b" / "<b>odd.png", part(51, defect=9))
    save(folder / "b" / "fine.png", part(2))
    return folder


def test_flagged_photographs_get_a_picture_and_are_on_the_page(capsys, detector, new, tmp_path):
    out = tmp_path / "why"
    status, printed, said = run(
        capsys, "predict", detector, new, "--explain", out, "--json", tmp_path / "lines.jsonl"
    )
    assert status == 0
    assert f"explanations: {out / 'index.html'}" in said
    assert "1 good, 2 anomalous" in printed
    pictures = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert pictures == ["a/odd.png", "b/<b>odd.png"]
    with Image.open(out / "a" / "odd.png") as picture:
        assert picture.width == WIDTH_PX
    assert is_overlay_file(out / "a" / "odd.png")
    text = (out / "index.html").read_text(encoding="utf-8")
    assert "2 flagged photographs" in text
    assert "&lt;b&gt;odd.png" in text
    assert "<b>odd.png" not in text
    assert "times as far from anything good as the oddest spot of a good photograph" in text
    assert text.count("this photograph ·") == text.count("<h3>region")
    lines = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text().splitlines()]
    for line in lines:
        check("predict", line)
        assert (line["explanation"] is not None) == line["anomalous"]
    explained = lines[0]["explanation"]
    assert explained["spots"][0]["region"] == 0
    own = load(detector).predict(new / "a" / "odd.png").explain()
    assert explained == json.loads(json.dumps(own.to_json()))


def test_without_the_option_there_is_no_key_and_the_lines_are_the_same(
    capsys, detector, new, tmp_path
):
    _, plain, _ = run(capsys, "predict", detector, new, "--json", "-")
    _, explained, _ = run(capsys, "predict", detector, new, "--json", "-", "--explain", tmp_path)
    for one, other in zip(plain.splitlines(), explained.splitlines(), strict=True):
        first, second = json.loads(one), json.loads(other)
        assert "explanation" not in first
        del second["explanation"]
        assert first == second


def test_explanations_and_overlays_are_written_together_and_again(capsys, detector, new, tmp_path):
    options = ("--explain", tmp_path / "why", "--out", tmp_path / "maps", "--only-anomalous")
    for _ in range(2):
        status, printed, _ = run(capsys, "predict", detector, new, *options)
        assert status == 0
        assert "fine.png" not in printed
    assert (tmp_path / "maps" / "a" / "odd.png").is_file()
    assert (tmp_path / "why" / "a" / "odd.png").is_file()
    assert not (tmp_path / "why" / "b" / "fine.png").exists()


def test_where_nothing_is_flagged_the_page_says_so(capsys, detector, new, tmp_path):
    out = tmp_path / "why"
    run(capsys, "predict", detector, new / "b" / "fine.png", "--explain", out)
    assert "No photograph was flagged." in (out / "index.html").read_text(encoding="utf-8")


def test_a_detector_without_pictures_names_photographs_and_says_why_none_is_shown(
    capsys, learned, new, tmp_path
):
    path, out = tmp_path / "bare.patchbank", tmp_path / "why"
    options = ("--image-size", "96", "--backbone", "efficientnet_lite0", "--no-keep-crops")
    status, _, _ = run(capsys, "fit", learned, "--out", path, *options)
    assert status == 0
    assert load(path).photographs is None
    run(capsys, "predict", path, new / "a", "--explain", out)
    text = (out / "index.html").read_text(encoding="utf-8")
    assert "not drawn: the detector file has no pictures of the learned photographs" in text
    assert "0.png" in text or "1.png" in text
    _, printed, _ = run(capsys, "info", path, "--json", "-")
    assert json.loads(printed)["pictures"] is None


def test_info_counts_the_pictures(capsys, detector):
    _, printed, _ = run(capsys, "info", detector, "--json", "-")
    kept = load(detector).photographs.pictures
    assert json.loads(printed)["pictures"] == {"count": 6, "bytes": len(kept.content)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{new}", "--explain", "{new}/why"), "--explain: expected a folder outside of"),
        (("{new}", "--explain", "{new}/a/odd.png"), "--explain: expected a folder that can be"),
        (("{new}", "--photographs", "{learned}"), "photographs: expected together with --explain"),
        (
            ("{new}", "--explain", "{tmp}/why", "--photographs", "{tmp}"),
            "photographs: expected a folder with the learned photographs, got",
        ),
    ],
)
def test_wrong_use_is_one_line(capsys, detector, learned, new, tmp_path, arguments, message):
    empty = tmp_path / "tmp"
    empty.mkdir()
    named = [one.format(new=new, learned=learned, tmp=empty) for one in arguments]
    status, _, said = run(capsys, "predict", detector, *named)
    assert status == 2
    assert len(said.splitlines()) == 1
    assert message in said
    assert not (empty / "why").exists()


def test_learned_photographs_at_hand_are_shown_at_full_size(capsys, detector, learned, new):
    folder = new.parent / "moved"
    shutil.copytree(learned / "good", folder / "deep" / "good")
    (folder / "deep" / "good" / "0.png").rename(folder / "renamed.png")
    save(folder / "deep" / "good" / "1.png", part(77))
    out = new.parent / "why"
    options = ("--explain", out, "--photographs", folder)
    status, _, said = run(capsys, "predict", detector, new / "a", *options)
    assert status == 0
    assert (
        f"note: 1 of 6 learned photographs is not in {folder} under its name; its small picture "
        "is shown"
    ) in said
    opened = load(detector)
    kept = opened.photographs.pictures
    at_hand = PhotographsAtHand(folder, opened.fitted_on, opened.photograph_digests, kept, None)
    assert at_hand.n_missing == 1
    np.testing.assert_array_equal(at_hand.picture(2).image, part(2))
    for gone in (0, 1):  # renamed, and another photograph of the same name
        np.testing.assert_array_equal(at_hand.picture(gone).image, kept.picture(gone).image)
    (folder / "deep" / "good" / "3.png").write_bytes(b"no image")
    np.testing.assert_array_equal(at_hand.picture(3).image, kept.picture(3).image)
    bare = PhotographsAtHand(folder, opened.fitted_on, opened.photograph_digests, None, None)
    assert bare.picture(0) is None


def test_files_without_digests_cannot_know_the_photographs_again(detector, learned):
    opened = replace(load(detector), photograph_digests=None)
    with pytest.raises(DataError, match="got one of an older version; leave --photographs out"):
        PhotographsAtHand(learned, opened.fitted_on, opened.photograph_digests, None, None)


def test_the_page_says_how_many_photographs_it_shows(detector, new, tmp_path):
    from patchbank.explaining import drawn, write_explanations

    opened = load(detector)
    one = drawn(opened.predict(new / "a" / "odd.png"))
    path = write_explanations([one], 3, opened, tmp_path / "why")
    text = path.read_text(encoding="utf-8")
    assert "3 flagged photographs" in text
    assert "The first 1 photographs are shown; the others have pictures of their own." in text
    assert page.MOST_ON_PAGE == 200


def test_text_is_broken_at_spaces_and_long_names_anywhere():
    font = ImageFont.load_default(13)
    width = font.getlength("aaaa aaaa")
    assert wrapped("aaaa aaaa aaaa", font, width) == ["aaaa aaaa", "aaaa"]
    broken = wrapped("b" * 40, font, width)
    assert "".join(broken) == "b" * 40
    assert len(broken) > 1
    assert all(font.getlength(line) <= width for line in broken)
