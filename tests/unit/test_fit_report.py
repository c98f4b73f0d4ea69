"""The report of a fit: the oddest good photographs with their left-out maps, groups, scores."""

import os
import re
import sys
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from patchbank.cli.app import main
from patchbank.core.scores.calibration import Calibration
from patchbank.detector.fit_facts import FitFacts
from patchbank.errors import DataError
from patchbank.images.source import image_source
from patchbank.methods import METHODS
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from patchbank.training.fit import fit
from patchbank.training.left_out import LeftOutPhotographs, PhotographGroup
from patchbank.training.photographs import Remarks
from patchbank.training.recipes import Ensemble, PatchCore
from patchbank.training.report import write_fit_report
from tests.painted import detector, member, photograph, write
from tests.photographs import part, parts, save
from tests.report_pages import shots_of, without_explanations

SMALL = ["--backbone", "efficientnet_lite0", "--image-size", "128", "--bank-limit", "300"]
TINY = {"backbone": "efficientnet_lite0", "image_size": 64}
COUNT = 20


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """Twenty photographs of scores 41, 42, ..., the third of 99 with a bright spot in its map.

    Scores and maps are read from their pixels, so that what is drawn can be worked out by hand.
    """
    root = tmp_path_factory.mktemp("plates")
    scores = [41 + i for i in range(COUNT)]
    scores[2] = 99
    spot = (200, slice(10, 15), slice(20, 29))
    paths = [
        write(root / f"{i:02}.png", photograph(score, *([spot] if i == 2 else []), blue=12 * i))
        for i, score in enumerate(scores)
    ]
    sources = [image_source(path) for path in paths]
    one = member()
    peaks = np.full(COUNT, 5.0)
    peaks[2] = 200.0
    calibration = Calibration(np.array(scores, dtype=np.float64), peaks, 0.05, rule="tail")
    made = detector(one, calibration=calibration, fitted_on=tuple(path.name for path in paths))
    shown = LeftOutPhotographs()
    shown.fill(sources, [[one.predict(source.read()) for source in sources]], calibration)
    return made, shown


def page(tmp_path, made, shown, remarks=None):
    remarks = replace(remarks or Remarks(), shown=shown)
    path = write_fit_report(made, remarks, tmp_path / "new" / "report")
    assert path == tmp_path / "new" / "report" / "index.html"
    return unescape(without_explanations(path.read_text(encoding="utf-8")))


def gallery_of(text, title):
    """Captions of a gallery, and its pictures."""
    section = re.split(r"<h[23]>", text.split(f">{title}</h")[1])[0]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", section)
    return captions, shots_of(section)


def test_the_twelve_oddest_photographs_stand_with_their_scores_highest_first(tmp_path, painted):
    captions, shots = gallery_of(page(tmp_path, *painted), "Oddest good photographs")
    assert captions[0] == "02.png · score 99 · unlike the others"
    assert captions[1:] == [f"{i:02}.png · score {41 + i}" for i in range(19, 8, -1)]
    assert len(shots) == 12
    assert all(shot.photograph is not None and shot.size == (40, 32) for shot in shots)


def test_a_picture_on_the_right_has_the_map_of_the_photograph_when_left_out(tmp_path, painted):
    """The spot is in rows 10 to 14 and columns 20 to 28, where the pixel threshold is passed."""
    _, (odd, ordinary, *_) = gallery_of(page(tmp_path, *painted), "Oddest good photographs")
    assert np.abs(np.asarray(odd.photograph)[5, 5].astype(int) - [0, 99, 24]).max() <= 4
    red, _, blue, opacity = odd.heat[12, 24].astype(int)
    assert red > blue + 100  # heat colours are reddish
    assert opacity > 100
    assert odd.heat[28, 5, 3] < 8
    assert odd.outlines == {"found": "M41 20l16 0 1 1 0 8 -1 1 -16 0 -1 -1 0 -8z"}
    assert (odd.state, ordinary.state) == ("ng", "ok")  # above the threshold, or not
    assert ordinary.heat is None
    assert ordinary.outlines == {}
    assert np.abs(np.asarray(ordinary.photograph)[12, 24].astype(int) - [0, 60, 228]).max() <= 6


def test_the_page_has_the_figures_and_the_sentences_of_the_fit(tmp_path, painted):
    made, shown = painted
    text = page(tmp_path, made, shown)
    facts = FitFacts.of(made)
    figures = {name: value for value, name in re.findall(r"<b>(.*?)</b>(.*?)</div>", text)}
    assert figures == {
        "threshold": f"{made.calibration.threshold:.4g}",
        "false alarms expected": "5 %",
        "at most, on average": "14.3 %",  # 3 of 21
        "good photographs": "20",
        "above the threshold when left out": "1",
        "unlike the others": "1",
    }
    assert re.sub("</?code>", "", "\n".join(re.findall("<li>(.*?)</li>", text))) == "\n".join(
        facts.lines
    )
    assert "02.png is unlike the others" in facts.lines[2]
    assert "<h1>20 good photographs</h1>" in text
    assert "<title>20 good photographs · Patchbank fit</title>" in text


def test_the_histogram_has_the_thresholds_of_each_rate(tmp_path, painted):
    made, shown = painted
    text = page(tmp_path, made, shown)
    low = 41.0
    thresholds = [threshold for _, threshold, _ in FitFacts.of(made).thresholds]
    high = max(99.0, *thresholds)
    drawn = [float(x) for x in re.findall(r'<line x1="(.*?)" [^>]*class="mark"', text)]
    assert drawn == pytest.approx([(t - low) / (high - low) * 420 for t in thresholds])
    assert re.findall(r'class="label">(.*?)</text>', text) == ["1 %", "5 %", "10 %"]
    calibration = made.calibration.with_false_alarm_rate(0.2)
    asked = page(tmp_path, replace(made, calibration=calibration, content_sha256=None), shown)
    labels = re.findall(r'class="label">(.*?)</text>', asked)
    assert labels == ["1 %", "5 %", "10 %", "threshold"]


def test_groups_are_drawn_with_their_reason_and_what_is_not_drawn_is_named(tmp_path, painted):
    made, shown = painted
    groups = [
        PhotographGroup("the same to the pixel", (0, 5)),
        PhotographGroup("subfolder <a>", tuple(range(6, 14))),
    ]
    text = page(tmp_path, made, replace(shown, groups=groups))
    captions, pictures = gallery_of(text, "2 photographs: the same to the pixel")
    assert captions == ["00.png · score 41", "05.png · score 46"]
    assert len(pictures) == 2
    assert np.abs(np.asarray(pictures[1].photograph)[5, 5].astype(int) - [0, 46, 60]).max() <= 4
    captions, pictures = gallery_of(text, "8 photographs: subfolder <a>")
    assert captions == [f"{i:02}.png · score {41 + i}" for i in range(6, 12)]
    assert "not drawn: 12.png, 13.png" in text
    assert "left out together" not in page(tmp_path, made, shown)


def test_of_many_groups_the_first_are_drawn_and_the_others_counted(tmp_path, painted):
    made, shown = painted
    groups = [PhotographGroup(f"reason {i}", (i, i + 1)) for i in range(14)]
    text = page(tmp_path, made, replace(shown, groups=groups))
    assert len(re.findall("<h3>2 photographs: reason", text)) == 12
    assert "2 more groups not drawn." in text


def test_remarks_and_photographs_that_could_not_be_read_are_on_the_page(tmp_path, painted):
    remarks = Remarks(lines=["3 of 9 photographs are <black>"], unread=["a.png: expected <x>"])
    text = page(tmp_path, *painted, remarks)
    assert '<p class="remark">3 of 9 photographs are <black></p>' in text
    assert "<strong>1 photograph could not be read</strong> and was left out: a.png: exp" in text
    raw = (tmp_path / "new" / "report" / "index.html").read_text()
    assert "<black>" not in raw
    assert "could not be read" not in page(tmp_path, *painted)


def test_a_photograph_that_is_gone_has_the_reason_in_its_place(tmp_path, painted):
    made, shown = painted
    gone = image_source(tmp_path / "gone.png")
    number, inspection = shown.oddest[1]
    oddest = [shown.oddest[0], (number, replace(inspection, source=gone))]
    text = page(tmp_path, made, replace(shown, oddest=oddest))
    assert f"not drawn: {tmp_path / 'gone.png'}: expected " in text
    shots = gallery_of(text, "Oddest good photographs")[1]
    assert [shot.photograph is None for shot in shots] == [False, True]


def run(capsys, *arguments):
    """Run the command line in this process.  -> exit status, standard output, standard error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["patchbank", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_fit_writes_the_page_and_says_where_it_is(capsys, tmp_path):
    """One of sixteen parts has a blot: it is named, drawn first, and its map is hot at the blot."""
    for i in range(16):
        save(tmp_path / "good" / f"{i:02}.png", part(i, defect=9 if i == 11 else 0))
    given = ["fit", tmp_path / "good", *SMALL, "--false-alarm-rate", "0.1"]
    status, out, err = run(
        capsys, *given, "--out", tmp_path / "d.patchbank", "--report", tmp_path / "page"
    )
    assert status == 0
    assert "  11.png is unlike the others (score " in out
    assert "--exclude 11.png" in out
    assert err == f"report: {tmp_path / 'page' / 'index.html'}\n"
    text = unescape((tmp_path / "page" / "index.html").read_text(encoding="utf-8"))
    captions, pictures = gallery_of(text, "Oddest good photographs")
    assert re.fullmatch(r"11\.png · score [\d.]+ · unlike the others", captions[0])
    assert len(captions) == 12
    # The blot is at a third of the height and a quarter of the width: 24, 26 of 72 x 104.
    spot = pictures[0].heat[24, 26].astype(int)
    assert spot[0] > spot[2] + 40  # heat colours; the blot itself is black
    assert spot[3] > 60
    assert np.asarray(pictures[0].photograph)[24, 26].max() < 40
    text = without_explanations(text)
    assert re.search(r"Learned from 16 good photographs\. Expect it to flag 10 % of the good", text)
    assert "11.png is unlike the others: decide whether that is a good part." in text
    line = f"patchbank fit {tmp_path / 'good'} "
    assert f"<code>{line}" in text


def test_the_page_is_no_part_of_what_is_learned(tmp_path):
    """The detector with a report is that without, and nothing is kept unless it is asked for."""
    method = METHODS["patchcore"]
    images = parts(5)
    settings = method.settings(false_alarm_rate=0.2, bank_rows=40, **TINY)
    remarks = Remarks(shown=LeftOutPhotographs())
    with_page = fit([(method, settings)], images, NullProgress(), HOST, remarks=remarks)
    plain = Remarks()
    without = fit([(method, settings)], images, NullProgress(), HOST, remarks=plain)
    assert with_page == without
    assert plain.shown is None
    assert len(remarks.shown.oddest) == 5


def test_arrays_and_ensembles_have_a_page(tmp_path):
    method = METHODS["patchcore"]
    members = [
        (method, method.settings(false_alarm_rate=0.2, bank_rows=40, seed=seed, **TINY))
        for seed in (0, 1)
    ]
    remarks = Remarks(shown=LeftOutPhotographs())
    made = fit(members, parts(5), NullProgress(), HOST, remarks=remarks)
    for number, inspection in remarks.shown.oddest:
        assert inspection.score == made.calibration.image_scores[number]
        assert inspection.anomaly_map.max() == pytest.approx(made.calibration.map_peaks[number])
        assert inspection.image == "array"
    text = page(tmp_path, made, remarks.shown)
    captions, pictures = gallery_of(text, "Oddest good photographs")
    order = np.argsort(-made.calibration.image_scores, kind="stable")
    assert [caption.split(" · ")[0] for caption in captions] == [f"array {i}" for i in order]
    assert len(pictures) == 5
    assert all(shot.photograph is not None for shot in pictures)
    assert "patchcore on efficientnet_lite0, and patchcore on" in text


def test_a_single_photograph_has_a_page_without_left_out_maps(capsys, tmp_path):
    one = save(tmp_path / "one.png", part(0))
    folder = tmp_path / "page"
    status, _, _ = run(
        capsys, "fit", one, *SMALL, "--out", tmp_path / "d.patchbank", "--report", folder
    )
    assert status == 0
    text = unescape((folder / "index.html").read_text(encoding="utf-8"))
    assert "<h1>1 good photograph</h1>" in text
    assert "one good image does not show what other good images score" in text
    assert "score of another view of the photograph" in text
    assert "Oddest" not in text
    assert "data:image" not in text
    assert "how many good parts it will flag is not known" in text


def test_a_place_where_no_page_can_be_is_refused_before_the_work(capsys, tmp_path):
    save(tmp_path / "good" / "1.png", part(0))
    (tmp_path / "file").write_text("no folder")
    out = tmp_path / "d.patchbank"
    for folder, reason in (
        (tmp_path / "file", "--report: expected a folder that can be written to"),
        (out, "--report: expected a file of its own"),
        (tmp_path / "good", "--report: expected a folder outside of"),
    ):
        given = ["fit", tmp_path / "good", *SMALL, "--out", out, "--report", folder]
        status, printed, err = run(capsys, *given)
        assert status == 2
        assert err.startswith(f"error: {reason}")
        assert printed == ""
        assert not out.exists()


def test_names_that_are_no_text_have_a_page(capsys, tmp_path):
    name = os.fsdecode(b"Geh\xe4use.png")
    save(tmp_path / "good" / name, part(0))
    for i in range(3):
        save(tmp_path / "good" / f"{i}.png", part(i + 1))
    given = ["--false-alarm-rate", "0.3", "--out", tmp_path / "d", "--report", tmp_path / "page"]
    status, _, _ = run(capsys, "fit", tmp_path / "good", *SMALL, *given)
    assert status == 0
    assert "Geh\\udce4use.png · score" in (tmp_path / "page" / "index.html").read_text("utf-8")


def test_a_page_that_cannot_be_written_loses_no_detector(tmp_path, painted):
    (tmp_path / "page").write_text("a file")
    with pytest.raises(DataError, match="page/index.html: expected to write the report, got: "):
        write_fit_report(painted[0], Remarks(shown=painted[1]), tmp_path / "page")


RECIPE = PatchCore(false_alarm_rate=0.2, bank_rows=40, **TINY)


def test_a_recipe_and_an_ensemble_write_the_page_too(tmp_path):
    for recipe in (RECIPE, Ensemble((RECIPE, RECIPE))):
        folder = tmp_path / type(recipe).__name__
        made = recipe.fit(parts(5), report=folder)
        text = without_explanations((folder / "index.html").read_text(encoding="utf-8"))
        assert len(gallery_of(text, "Oddest good photographs")[0]) == 5
        assert f">{made.calibration.threshold:.4g}</b>threshold" in text


def test_python_refuses_a_place_for_no_page_before_photographs_are_read(tmp_path):
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "page" / "index.html").mkdir(parents=True)
    for folder, reason in (
        (tmp_path / "file", "file is a file"),
        (tmp_path / "file" / "below", "file is a file"),
        (tmp_path / "page", "a folder is there"),
    ):
        with pytest.raises(DataError) as caught:
            RECIPE.fit(["nowhere.png"], report=folder)
        assert str(caught.value) == (
            f"report: expected a folder that can be written to, got {folder} ({reason})"
        )
    assert not (tmp_path / "new").exists()
    with pytest.raises(DataError):
        RECIPE.fit(["nowhere.png"], report=str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_fit_is_not_lost_with_its_page(tmp_path):
    """Something takes the place of the page while the photographs are learned."""
    folder = tmp_path / "page"

    class Blocking(NullProgress):
        def task(self, title, total):
            folder.write_text("a file")
            return super().task(title, total)

    with pytest.warns(UserWarning, match="expected to write the report, got: ") as warned:
        made = RECIPE.fit(parts(5), report=folder, progress=Blocking())
    assert len(warned) == 1
    assert len(made.fitted_on) == 5


def test_a_report_among_the_photographs_is_refused_before_the_fit(tmp_path, monkeypatch, capsys):
    """It would be read as photographs the next time, or be in their way."""
    save(tmp_path / "good" / "0.png", part(0))
    out, report = tmp_path / "a.patchbank", tmp_path / "good" / "report"
    arguments = ["fit", tmp_path / "good", "--out", out, "--report", report]
    monkeypatch.setattr(sys, "argv", ["patchbank", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert int(ended.value.code) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --report: expected a folder outside of {tmp_path / 'good'}")
    assert not out.exists()
    assert not report.exists()
