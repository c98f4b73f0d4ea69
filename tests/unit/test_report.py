"""The report of an evaluation: its figures are those of the evaluation, and names stay names."""

import os
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from patchbank.core.scores.calibration import Calibration
from patchbank.datasets import Dataset, Sample
from patchbank.detector.inspection import FailedInspection
from patchbank.errors import DataError
from patchbank.evaluation.evaluate import DefectResult, evaluate
from patchbank.evaluation.metrics.curves import count_images
from patchbank.evaluation.report import write_report
from patchbank.evaluation.report.plots import roc_points
from tests.painted import detector, member, photograph, write, write_mask
from tests.report_pages import shots_of, without_explanations

DASH = "\N{EN DASH}"
FIGURES = {
    "image_auroc": 0.91234,
    "image_ap": 0.82345,
    "image_f1_max": 0.73456,
    "pixel_auroc": 0.64567,
    "pixel_ap": 0.55678,
    "aupro": 0.46789,
    "detection_rate": 0.37812,
    "false_alarm_rate": 0.28923,
    "n_good": 19,
    "n_defect": 23,
    "per_defect": {
        "scratch": DefectResult(0.11111, 0.22222, 0.33333, 12, 0.4444),
        "bent": DefectResult(0.5, None, None, 11, 1.0),
    },
}


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """Eleven good photographs and ten with dents; the blue of each is its number."""
    root = tmp_path_factory.mktemp("plates")
    scores = {"good": [10 * i for i in range(11)], "dent": [95 + 10 * i for i in range(10)]}
    scores["good"][4] = 130  # a false alarm
    samples = [
        Sample(write(root / f"{label}-{i}.png", photograph(score, blue=12 * i)), label)
        for label, listed in scores.items()
        for i, score in enumerate(listed)
    ]
    return evaluate(detector(), Dataset("plates", tuple(samples)))


def page(tmp_path, evaluation, one=None):
    """The text of the page of an evaluation."""
    path = write_report(evaluation, one or detector(), tmp_path / "new" / "report")
    assert path == tmp_path / "new" / "report" / "index.html"
    return without_explanations(path.read_text(encoding="utf-8"))


def test_each_figure_stands_above_its_name(tmp_path, evaluation):
    text = page(tmp_path, replace(evaluation, **FIGURES))
    shown = {name: value for value, name in re.findall(r"<b>(.*?)</b>(.*?)</div>", text)}
    assert shown == {
        "image AUROC": "0.9123",
        "image AP": "0.8235",
        "image F1-max": "0.7346",
        "pixel AUROC": "0.6457",
        "pixel AP": "0.5568",
        "AUPRO": "0.4679",
        "of defects found": "37.8 %",
        "of good parts flagged": "28.9 %",
    }


def rows_of(text, heading):
    """The cells of each row of the table below a heading."""
    table = text.split(f"<h2>{heading}</h2>")[1].split("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_each_defect_has_a_row_of_its_own_figures(tmp_path, evaluation):
    text = page(tmp_path, replace(evaluation, **FIGURES))
    assert rows_of(text, "By defect") == [
        ["defect", "images", "image AUROC", "pixel AUROC", "AUPRO", "found at the threshold"],
        ["scratch", "12", "0.1111", "0.2222", "0.3333", "44.4 %"],
        ["bent", "11", "0.5000", DASH, DASH, "100.0 %"],
    ]


def test_figures_that_cannot_be_had_are_a_dash_and_a_reason(tmp_path, evaluation):
    reason = " Pixel metrics need a mask for every defect image."
    assert evaluation.pixel_auroc is None
    text = page(tmp_path, evaluation)
    assert reason in text
    for name in ("pixel AUROC", "pixel AP", "AUPRO"):
        assert f"<b>{DASH}</b>{name}</div>" in text
    assert reason not in page(tmp_path, replace(evaluation, **FIGURES))


def test_the_page_says_what_was_fitted_and_tested_on_what(tmp_path, evaluation):
    one = detector(member(name="padim"), member(name="spade"), fitted_on=tuple("abcdefg"))
    text = page(tmp_path, replace(evaluation, **FIGURES), one)
    assert (
        "padim on paint, and spade on paint, fitted on 7 good images; "
        "tested on 19 good and 23 defect ones."
    ) in text
    assert "<title>plates · Patchbank report</title>" in text
    assert "<h1>plates</h1>" in text


def test_the_threshold_stands_with_the_rate_that_it_keeps_to(tmp_path, evaluation):
    text = page(tmp_path, evaluation)
    assert (
        "The threshold 100 was set from good images alone, for a false-alarm rate of 25.0 %; "
        "no test image was used."
    ) in text
    views = Calibration(np.array([60.0, 80.5]), np.array([1.0, 2.0]), 0.2, views_of_one=True)
    text = unescape(page(tmp_path, evaluation, detector(calibration=views)))
    assert f"The threshold 80.5 is provisional: {views.remark}." in text


def test_a_rate_that_the_photographs_cannot_resolve_is_remarked_on(tmp_path, evaluation):
    few = Calibration(np.array([60.0, 80.5]), np.array([1.0, 2.0]), 0.015)
    text = unescape(page(tmp_path, evaluation, detector(calibration=few)))
    assert few.remark is not None
    assert f"for a false-alarm rate of 1.5 %; no test image was used. Remark: {few.remark}." in text
    assert "Remark" not in page(tmp_path, evaluation)


def test_photographs_that_could_not_be_read_are_counted_and_named(tmp_path, evaluation):
    assert "could not be read" not in page(tmp_path, evaluation)
    unread = (FailedInspection("a.png", "a.png: <nothing>"), FailedInspection("b.png", "b.png: no"))
    text = page(tmp_path, replace(evaluation, unread=unread))
    assert (
        "<strong>2 images could not be read</strong> and are in no figure: "
        "a.png: &lt;nothing&gt;; b.png: no</p>"
    ) in text
    one = page(tmp_path, replace(evaluation, unread=unread[1:]))
    assert "<strong>1 image could not be read</strong> and is in no figure: b.png: no</p>" in one


def galleries(text):
    """Title of each gallery -> its remark, captions, and pictures."""
    found = {}
    for part in text.split("<h2>")[1:]:
        title = part.split("</h2>")[0]
        if '<div class="gallery">' in part:
            remark = re.search(r'<p class="remark">(.*?)</p>', part)[1]
            captions = re.findall(r"<figcaption>(.*?)</figcaption>", part)
            found[title] = remark, captions, shots_of(part)
    return found


def test_galleries_show_eight_photographs_most_telling_first(tmp_path, evaluation):
    """Dents score 95, 105, ...: the lowest is missed; good ones 0, 10, ..., but number 4: 130."""
    shown = galleries(page(tmp_path, evaluation))
    assert list(shown) == ["Worst misses", "Worst false alarms", "Clearest finds"]
    remark, captions, _ = shown["Worst misses"]
    assert remark == "Defect images of the lowest score; 1 of 10 are missed."
    assert captions == [f"dent · dent-{i}.png" for i in range(8)]
    remark, captions, _ = shown["Worst false alarms"]
    assert remark == "Good images of the highest score; 1 of 11 are flagged."
    assert captions == [f"good · good-{i}.png" for i in (4, 10, 9, 8, 7, 6, 5, 3)]
    remark, captions, _ = shown["Clearest finds"]
    assert remark == "Defect images of the highest score."
    assert captions == [f"dent · dent-{i}.png" for i in range(9, 1, -1)]


def test_each_photograph_stands_beside_its_own_overlay(tmp_path, evaluation):
    """`shots_of` checks that the overlay is over the photograph of the same figure."""
    _, captions, shots = galleries(page(tmp_path, evaluation))["Clearest finds"]
    for caption, shot in zip(captions, shots, strict=True):
        number = int(re.search(r"dent-(\d)", caption)[1])
        score = 95 + 10 * number
        assert shot.photograph.size == shot.size == (40, 32)
        colour = np.array([0, score, 12 * number])
        assert np.abs(np.asarray(shot.photograph)[5, 5] - colour).max() <= 4
        assert shot.heat is None  # the map of a dent is 0
        assert shot.outlines == {}
        assert shot.state == "ng"
        assert shot.said == f"score {score}, {score} % of the threshold, p = 0.25"


def test_what_is_wrong_is_said_with_each_photograph(tmp_path, evaluation):
    shown = galleries(page(tmp_path, evaluation))
    misses, alarms = shown["Worst misses"][2], shown["Worst false alarms"][2]
    assert [(shot.state, shot.wrong) for shot in misses] == [("ok", "missed"), *[("ng", "")] * 7]
    assert [(s.state, s.wrong) for s in alarms] == [("ng", "false alarm"), *[("ok", "")] * 7]


def test_the_first_sentence_and_two_rates_are_those_at_the_threshold(tmp_path, evaluation):
    text = page(tmp_path, evaluation)
    sentence = "9 of 10 defects found, and 1 of 11 good parts flagged, at the threshold in use."
    assert f'<p class="verdict"><span>{sentence}</span></p>' in text
    rates = text.split('<div class="figures rates">')[1].split("<p")[0]
    assert re.findall("<b>(.*?)</b>(.*?)</div>", rates) == [
        ("90.0 %", "of defects found"),
        ("9.1 %", "of good parts flagged"),
    ]
    assert text.index(sentence) < text.index("<b>90.0 %") < text.index("<h2>")


def test_a_true_mask_and_what_is_above_the_threshold_are_outlined(tmp_path):
    """A map of 200 in 10 x 8 pixels where 90 is the threshold; the mask is one pixel wider."""
    dent = write(tmp_path / "dent.png", photograph(150, (200, slice(8, 16), slice(20, 30))))
    mask = write_mask(tmp_path / "mask.png", slice(7, 17), slice(19, 31))
    samples = (
        Sample(dent, "dent", mask),
        Sample(write(tmp_path / "good.png", photograph(20)), "good"),
    )
    text = page(tmp_path, evaluate(detector(), Dataset("plates", samples)))
    (shot,) = galleries(text)["Worst misses"][2]
    assert shot.scale == 0.5
    assert shot.outlines == {
        "found": "M41 16l18 0 1 1 0 14 -1 1 -18 0 -1 -1 0 -14z",
        "defect": "M39 14l22 0 1 1 0 18 -1 1 -22 0 -1 -1 0 -18z",
    }
    assert shot.heat.shape == (32, 40, 4)
    assert (shot.heat[10:14, 22:28, 3] > 100).all()
    assert (shot.heat[:4, :, 3] < 8).all()


def test_a_mask_that_is_gone_takes_no_photograph_with_it(tmp_path):
    mask = write_mask(tmp_path / "mask.png", slice(7, 17), slice(19, 31))
    samples = (
        Sample(write(tmp_path / "dent.png", photograph(150)), "dent", mask),
        Sample(write(tmp_path / "good.png", photograph(20)), "good"),
    )
    found = evaluate(detector(), Dataset("plates", samples))
    mask.unlink()
    (shot,) = galleries(page(tmp_path, found))["Worst misses"][2]
    assert shot.outlines == {}
    assert shot.photograph.size == (40, 32)


def test_settings_facts_and_versions_are_listed(tmp_path, evaluation):
    one = detector(member(facts={"bank_rows": 77}, seed=5), versions={"numpy": "9.8.7"})
    rows = rows_of(page(tmp_path, evaluation, one), "How it was made")
    assert rows[0] == ["read on paint"]
    assert ["seed", "5"] in rows
    assert ["bank_rows", "77"] in rows
    assert ["backbone sha256", "5eed"] in rows
    assert rows[-1] == ["numpy", "9.8.7"]


def test_names_are_shown_as_they_are_and_never_run(tmp_path):
    """Of data sets, defects, files and errors: each comes from outside."""
    evil = "<script>alert('&')</script>"
    path = write(tmp_path / "in" / "<b>&.png", photograph(150))
    samples = (
        Sample(write(tmp_path / "in" / "good.png", photograph(20)), "good"),
        Sample(path, evil),
    )
    evaluation = replace(
        evaluate(detector(), Dataset(evil, samples)),
        unread=(FailedInspection("x", f"{evil}: no image"),),
    )
    text = page(tmp_path, evaluation, detector(versions={"numpy": evil}))
    assert "<script" not in text
    assert "<b>&.png" not in text
    assert "&lt;b&gt;&amp;.png</figcaption>" in text
    escaped = "&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;"
    assert f"<h1>{escaped}</h1>" in text
    assert f"<tr><td>{escaped}</td><td>1</td>" in text
    assert f"{escaped}: no image" in text
    assert f"<td>numpy</td><td>{escaped}</td>" in text


def test_the_page_needs_nothing_beside_it(tmp_path, evaluation):
    text = page(tmp_path, evaluation)
    urls = re.findall(r'(?:src|href)="(.*?)"', text)
    assert {url[:10] for url in urls if url[0] != "#"} == {"data:image"}
    assert {url[1:] for url in urls if url[0] == "#"} <= set(re.findall(r'id="(.*?)"', text))
    assert not re.search(r"url\(|@import|<script|<link|<iframe| on\w+=", text)
    assert [p.name for p in (tmp_path / "new" / "report").iterdir()] == ["index.html"]


def test_the_plots_are_those_of_the_evaluation(tmp_path, evaluation):
    text = page(tmp_path, evaluation)
    curves = re.findall(r'<polyline points="(.*?)"', text)
    assert curves == [
        roc_points(evaluation.ranking),
        roc_points(evaluation.ranking, share=0.1),
    ]
    low, high = 0, 185  # all scores
    assert f'<line x1="{100 / (high - low) * 420}" x2="{100 / (high - low) * 420}"' in text
    good = re.findall(r'<rect x="([\d.]+)" [^>]*class="good"', text)
    assert len(good) == 11  # no two of these scores share a bar
    assert len(re.findall(r'<rect x="[\d.]+" [^>]*class="bad"', text)) == 10


def test_a_page_that_cannot_be_written_is_named(tmp_path, evaluation):
    (tmp_path / "report").write_text("a file")
    with pytest.raises(DataError, match="report/index.html: expected to write the report, got: "):
        write_report(evaluation, detector(), tmp_path / "report")


def ranking(defects, good):
    labels = np.repeat([True, False], [len(defects), len(good)])
    return count_images(np.array([*defects, *good], dtype=np.float32), labels)


def test_a_roc_curve_climbs_from_the_lower_left_to_the_upper_right():
    """Half of the defects at no false alarm, all at a quarter; 420 x 280 units, y down."""
    assert roc_points(ranking([3, 1], [2, 0, 0, 0])) == (
        "0.0,280.0 0.0,280.0 0.0,140.0 105.0,140.0 105.0,0.0 420.0,0.0 420.0,0.0"
    )


def test_the_left_end_of_a_roc_curve_is_stretched_to_the_whole_width():
    points = roc_points(ranking([3, 1], [2, 0, 0, 0]), share=0.1)
    assert points == "0.0,280.0 0.0,280.0 0.0,140.0 420.0,140.0"
    half = roc_points(ranking([3, 1], [2, 0, 0, 0]), share=0.5)
    assert half == "0.0,280.0 0.0,280.0 0.0,140.0 210.0,140.0 210.0,0.0 420.0,0.0"


def test_a_curve_that_is_cut_between_two_corners_ends_on_its_line():
    """A tie is a slope: from (0, 0) to (1, 1), cut at a half."""
    assert roc_points(ranking([1], [1]), share=0.5).split()[-1] == "420.0,140.0"


def test_a_photograph_that_is_gone_or_replaced_has_a_line_in_its_place(tmp_path):
    samples = [
        Sample(
            write(tmp_path / f"{score}.png", photograph(score)), "good" if score < 100 else "dent"
        )
        for score in (10, 20, 150, 160)
    ]
    evaluation = evaluate(detector(), Dataset("plates", tuple(samples)))
    samples[0].path.unlink()
    samples[3].path.write_bytes(b"another file")
    text = unescape(page(tmp_path, evaluation))
    assert "<h2>How it was made</h2>" in text
    assert text.count("not drawn: ") == 3  # 160 is in two galleries
    assert f"not drawn: {samples[0].path}: expected " in text
    assert f"not drawn: {samples[3].path}: expected the file that was inspected, got a" in text
    assert text.count("data:image/jpeg") == 2 * 2 + 2 - 3
    assert text.count('aria-label="photograph"') == text.count('aria-label="overlay"') == 3


def test_names_that_are_no_text_are_escaped(tmp_path):
    name = os.fsdecode(b"Geh\xe4use.png")
    samples = (
        Sample(write(tmp_path / "good.png", photograph(20)), "good"),
        Sample(write(tmp_path / name, photograph(150)), os.fsdecode(b"Br\xfcche")),
    )
    text = page(tmp_path, evaluate(detector(), Dataset(os.fsdecode(b"f\xfcr"), samples)))
    assert "<h1>f\\udcfcr</h1>" in text
    assert "<figcaption>Br\\udcfcche · Geh\\udce4use.png</figcaption>" in text


def test_files_that_are_not_read_and_remarks_on_masks_are_on_the_page(tmp_path, evaluation):
    noted = replace(evaluation, not_read=(tmp_path / "a.mov",), remarks=("3 of 4 <masks>",))
    text = page(tmp_path, noted)
    assert "<strong>1 file not read: a.mov</strong>: of kinds that are not read" in text
    assert '<p class="remark">3 of 4 &lt;masks&gt;</p>' in text
    assert "not read" not in page(tmp_path, evaluation)


def test_a_table_is_scrolled_by_itself(tmp_path, evaluation):
    """On a telephone the page would scroll sideways with it."""
    text = page(tmp_path, evaluation)
    scrolled = r'<div class="wide" role="region" aria-label="[^"]+" tabindex="0"><table>'
    assert text.count("<table>") == len(re.findall(scrolled, text)) == 3
    assert ".wide { overflow-x: auto; }" in text
