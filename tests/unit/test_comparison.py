"""Two detectors compared on the same photographs: figures, changes, history, page."""

import json
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from patchbank import (
    DataError,
    Dataset,
    Ensemble,
    PaDiM,
    ParameterError,
    PatchCore,
    Sample,
    compare,
    compare_results,
    evaluate,
    load,
)
from patchbank.comparison import Comparison, compared, words, write_comparison
from patchbank.comparison import comparing as comparing_module
from patchbank.comparison.comparing import Compared
from patchbank.comparison.comparison import Pair, Side, Unread, Verdict
from patchbank.comparison.page import MOST_SHOWN
from patchbank.comparison.photographs import photographs_of
from patchbank.comparison.scatter import MOST_POINTS, scatter
from patchbank.report.plots import HEIGHT, WIDTH
from patchbank.runtime.progress import NullProgress
from tests.photographs import part, parts, save, write_dataset
from tests.report_pages import shots_of, without_explanations

pytestmark = [
    pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning"),
]
SMALL = {"image_size": 64, "bank_rows": 40, "false_alarm_rate": 0.2}


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("plates"), n_train=6, n_good=3, n_defect=4)


@pytest.fixture(scope="module")
def detector():
    return PatchCore(**SMALL).fit(parts(6))


@pytest.fixture(scope="module")
def smaller():
    return PatchCore(**{**SMALL, "image_size": 96, "bank_rows": 30}).fit(parts(7))


@pytest.fixture(scope="module")
def blind(detector):
    """The detector with a threshold above all."""
    return detector.with_threshold(1e6)


def without_times(found):
    """A comparison as JSON, but for what no two runs have in common."""
    content = found.to_json()
    for side in "ab":
        content[side]["time_ms"] = None
        for image in content["images"]:
            image[side]["time_ms"] = None
    return content


def verdict(score, threshold=1.0, **others):
    return Verdict(score=score, threshold=threshold, is_anomalous=score > threshold, **others)


def pair(a, b, label=None, name="a.png"):
    return Pair(name, label, verdict(a), verdict(b))


def comparison(*pairs, **others):
    sides = {"a": Side(name="A"), "b": Side(name="B")}
    return Comparison(data="plates", **{**sides, "pairs": pairs, **others})


def test_a_detector_and_itself_differ_in_nothing(detector, plates):
    found = compare(detector, detector, plates)
    assert found.changed == ()
    assert found.rank_correlation == 1
    assert (found.settings, found.descent, found.unread) == ((), None, ())
    assert all(one.a.score == one.b.score for one in found.pairs)
    assert replace(found.a, name="", time_ms=None) == replace(found.b, name="", time_ms=None)
    assert words.headline(found) == f"7 photographs of {plates.name}: no verdict differs"


def test_the_other_way_round_is_the_mirror_image(detector, smaller, blind, plates):
    for b in (smaller, blind):
        there, back = without_times(compare(detector, b, plates)), compare(b, detector, plates)
        back = without_times(back)
        assert (there["a"] | {"name": ""}) == (back["b"] | {"name": ""})
        assert (there["b"] | {"name": ""}) == (back["a"] | {"name": ""})
        assert there["newly_flagged"] == back["newly_passed"]
        assert there["newly_passed"] == back["newly_flagged"]
        assert there["by_label"]["lost"] == back["by_label"]["found"]
        assert there["by_label"]["new_false_alarms"] == back["by_label"]["gone_false_alarms"]
        assert there["rank_correlation"] == back["rank_correlation"]
        mirrored = [(one["name"], one["b"], one["a"]) for one in there["settings"]]
        assert mirrored == [(one["name"], one["a"], one["b"]) for one in back["settings"]]
        for one, other in zip(there["images"], back["images"], strict=True):
            assert (one["image"], one["a"], one["b"]) == (other["image"], other["b"], other["a"])


def test_figures_are_those_of_an_evaluation_of_each(detector, smaller, plates):
    found = compare(detector, smaller, plates)
    for one, side, which in ((detector, found.a, "a"), (smaller, found.b, "b")):
        alone = evaluate(one, plates)
        assert side.metrics.image_auroc == alone.image_auroc
        assert side.metrics.image_ap == alone.image_ap
        assert side.metrics.pixel_auroc == alone.pixel_auroc
        assert side.metrics.aupro == alone.aupro
        assert side.threshold == one.calibration.threshold
        assert side.sha256 == one.sha256
        assert side.time_ms > 0
        scores = [inspection.score for _, inspection in alone.inspections]
        assert [getattr(pair, which).score for pair in found.pairs] == scores
        assert [pair.label for pair in found.pairs] == [s.label for s, _ in alone.inspections]
    assert {(one.name, one.a, one.b) for one in found.settings} == {
        ("image_size", 64, 96),
        ("bank_rows", 40, 30),
    }


def test_a_defect_that_only_a_finds_is_lost(detector, blind, plates):
    found = compare(detector, blind, plates)
    assert {one.label for one in found.lost} == {"blot"}
    assert len(found.lost) == 4
    assert found.newly_passed == found.changed
    assert (found.found, found.new_false_alarms) == ((), ())
    assert set(found.inspections) == {found.pairs.index(one) for one in found.changed}
    back = compare(blind, detector, plates)
    assert len(back.found) == 4
    assert words.by_label(back)[0] == "defects: 4 more found, 0 lost, of 4"
    assert ("blot", "4", "0", "4") in words.kinds(back)


def test_changes_are_told_by_their_label():
    found = comparison(
        pair(2, 0.5, "good"), pair(0.5, 2, "good"), pair(2, 0.5, "dent"), pair(0.5, 2, "dent")
    )
    assert found.gone_false_alarms == found.pairs[:1]
    assert found.new_false_alarms == found.pairs[1:2]
    assert found.lost == found.pairs[2:3]
    assert found.found == found.pairs[3:]
    assert words.change(found.pairs[3]) == "a.png (dent): good 0.500 -> anomalous 2.000"


def test_without_labels_there_are_verdicts_but_no_metrics(detector, blind, plates):
    for data in (plates / "test" / "blot", sorted((plates / "test" / "blot").iterdir())):
        found = compare(detector, blind, data)
        assert not found.has_labels
        assert found.a.metrics is None
        assert len(found.newly_passed) == 4
        assert found.to_json()["by_label"] is None
    assert compare(detector, blind, iter(parts(2))).rank_correlation is not None
    single = compare(detector, blind, part(40, defect=9))
    assert len(single.newly_passed) == 1
    assert single.rank_correlation is None


def test_a_folder_that_is_no_data_set_is_said_to_have_no_labels(detector, plates):
    (remark,) = compare(detector, detector, plates / "test" / "blot").remarks
    assert remark.startswith("compared without labels, as this is no data set: ")
    assert compare(detector, detector, plates).remarks == ()


def test_a_photograph_that_cannot_be_read_is_in_no_figure(detector, smaller, tmp_path):
    root = write_dataset(tmp_path / "plates", n_train=1, n_good=2, n_defect=2)
    (root / "test" / "good" / "broken.png").write_bytes(b"no image")
    found = compare(detector, smaller, root)
    assert len(found.pairs) == 4
    (unread,) = found.unread
    assert unread.image.endswith("broken.png")
    assert unread.error_a == unread.error_b == unread.error
    assert not found.is_complete
    with pytest.raises(DataError, match="expected photographs that can be inspected, got none; "):
        compare(detector, smaller, [root / "test" / "good" / "broken.png"])


def test_a_photograph_that_one_of_both_cannot_inspect_names_its_reason():
    one = Unread("a.png", None, "a.png: too small")
    assert one.error == "a.png: too small"
    assert not comparison(pair(1, 2), unread=(one,)).is_complete


def test_photographs_that_were_learned_are_counted(detector, plates):
    (remark,) = compare(detector, detector.updated([part(100)]), plates).remarks
    assert remark.startswith("1 of 7 photographs was learned by B: ")
    found = compare(detector, detector, plates / "train" / "good")
    assert [one.a.is_learned for one in found.pairs] == [True] * 6


def test_an_update_is_between_both_in_either_order(detector, plates):
    once = detector.updated([part(50)], reason="new lot", by="Eva")
    twice = once.with_threshold(9.0)
    data = [part(60), part(61, defect=9)]
    there = compare(detector, twice, data).descent
    assert (there.newer, [e.kind for e in there.entries]) == ("b", ["update", "threshold"])
    back = compare(twice, once, data).descent
    assert (back.newer, [e.kind for e in back.entries]) == ("a", ["threshold"])
    line = words.descent(compare(detector, once, data))[1]
    assert line.endswith("1 learned; Eva: new lot")
    other = detector.updated([part(51)])
    assert compare(once, other, data).descent is None


def test_members_of_ensembles_are_compared_one_by_one(detector):
    both = Ensemble(
        [PatchCore(**SMALL), PaDiM(image_size=64, dims=8, rank=4, false_alarm_rate=0.2)]
    )
    several = both.fit(parts(6))
    found = compare(detector, several, parts(2))
    names = [one.name for one in found.settings]
    assert "member 2: method" in names
    assert next(one for one in found.settings if one.name == "member 2: method").a is None
    assert found.b.bank_rows == (40, None)


def test_regions_of_interest_may_differ(detector, plates):
    part_only = PatchCore(**SMALL).fit(parts(6), roi=(10, 5, 60, 60))
    found = compare(detector, part_only, plates)
    (region,) = [one for one in found.settings if one.name == "region of interest"]
    assert region.a is None
    written = {name: b for name, _, b in words.settings(found)}["region of interest"]
    assert written.startswith("10,5,60,60 (")
    assert written.endswith(" %)")
    assert found.b.metrics.aupro == evaluate(part_only, plates).aupro


def test_which_detector_is_the_first_alternates(detector, blind, monkeypatch):
    order = []
    inspect = type(detector).inspect

    def noted(self, images, **options):
        order.append("b" if self.calibration.threshold == 1e6 else "a")
        return inspect(self, images, **options)

    monkeypatch.setattr(type(detector), "inspect", noted)
    compare(detector, blind, parts(3))
    assert "".join(order) == "abbaab"


@pytest.mark.parametrize(
    ("times", "middle"), [([], None), ([9.0], 9.0), ([9.0, 3.0], 6.0), ([90.0, 3.0, 5.0, 4.0], 4.0)]
)
def test_the_photograph_that_warms_up_is_not_in_the_median(times, middle):
    assert comparing_module._middle(times) == middle


def test_only_the_clearest_changes_keep_their_inspections(detector, blind, monkeypatch):
    monkeypatch.setattr(comparing_module, "MOST_DRAWN", 2)
    data = [part(70, defect=5), part(71, defect=9), part(72, defect=7), part(73, defect=12)]
    found = compare(detector, blind, data)
    shares = [one.a.share - one.b.share for one in found.pairs]
    assert len(found.changed) == 4
    assert list(found.inspections) == sorted(np.argsort(shares)[-2:])


def test_what_is_no_detector_or_no_photograph_is_one_line(detector, tmp_path):
    with pytest.raises(ParameterError, match=r"b: expected a Detector, .* got str"):
        compare(detector, "b.patchbank", parts(1))
    with pytest.raises(DataError, match="nowhere"):
        compare(detector, detector, tmp_path / "nowhere")
    with pytest.raises(DataError, match="expected photographs that can be inspected, got none$"):
        compare(detector, detector, [])


def test_lines_are_compared_as_the_detectors_are(detector, smaller, plates, tmp_path):
    paths = sorted((plates / "test" / "good").iterdir())
    for name, one in (("a", detector), ("b", smaller)):
        lines = [json.dumps(seen.to_json()) for seen in one.predict_each(paths)]
        (tmp_path / name).write_text("\n".join(lines))
    found = compare_results(tmp_path / "a", tmp_path / "b")
    inspected = compare(detector, smaller, paths)
    assert [one.a.score for one in found.pairs] == [one.a.score for one in inspected.pairs]
    assert found.rank_correlation == inspected.rank_correlation
    assert found.b.threshold == smaller.calibration.threshold


def line(image="a.png", score=1.0, **others):
    record = {"image": image, "score": score, "threshold": 2.0, "anomalous": score > 2}
    return json.dumps({**record, **others})


def test_lines_of_one_path_belong_together_in_their_order(tmp_path):
    (tmp_path / "a").write_text("\n".join([line(score=1), line(score=3), line("b.png")]))
    (tmp_path / "b").write_text("\n".join(["", line(score=3), line(score=1)]))
    found = compare_results(tmp_path / "a", tmp_path / "b")
    assert [(one.a.score, one.b.score) for one in found.pairs] == [(1, 3), (3, 1)]
    (unread,) = found.unread
    assert unread.error_a is None
    assert unread.error_b == f"b.png: expected a line in {tmp_path / 'b'}, got none"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("[1]", "no object"),
        ("{", "text that is not JSON"),
        ('{"image": 3}', "no image"),
        ('{"image": "a", "anomalous": true}', "no score"),
        ('{"image": "a", "score": 1, "threshold": 1}', "no verdict"),
        ('{"image": "a", "score": 1, "anomalous": true}', "no threshold"),
        ('{"image": "a", "score": 1, "score": 2}', "stands twice"),
        (line(schema_version=7), "schema_version 7"),
    ],
)
def test_a_damaged_line_is_named_and_the_others_are_compared(tmp_path, content, fault):
    (tmp_path / "a").write_text(line() + "\n")
    (tmp_path / "b").write_text(content + "\n" + line())
    found = compare_results(tmp_path / "a", tmp_path / "b")
    (damaged,) = found.damaged
    assert damaged.startswith(f"{tmp_path / 'b'}:1: expected a line of predict --json, got: ")
    assert fault in damaged
    assert len(found.pairs) == 1
    assert not found.is_complete


def test_lines_that_are_not_text_or_not_of_the_same_photographs(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf" + line().encode() + b"\n\xff\n")
    (tmp_path / "b").write_text(line("b.png"))
    with pytest.raises(DataError, match="about the same photographs, got none"):
        compare_results(tmp_path / "a", tmp_path / "b")
    assert "not UTF-8" in compare_results(tmp_path / "a", tmp_path / "a").damaged[0]
    with pytest.raises(DataError, match="expected lines of predict --json, got: "):
        compare_results(tmp_path / "a", tmp_path / "nowhere")


def test_lines_of_several_detectors_are_said_and_have_no_digest(tmp_path):
    mixed = [line(detector_sha256="1"), line("b.png", detector_sha256="2", threshold=5)]
    (tmp_path / "a").write_text("\n".join(mixed))
    (tmp_path / "b").write_text("\n".join([line(detector_sha256="3"), line("b.png")]))
    found = compare_results(tmp_path / "a", tmp_path / "b")
    assert (found.a.sha256, found.a.threshold) == (None, None)
    assert found.remarks == (
        f"{tmp_path / 'a'}: the lines are of 2 detectors, each with its own scores",
    )


# --- the page ---------------------------------------------------------------------------------


def page(tmp_path, found):
    text = write_comparison(found, tmp_path).read_text(encoding="utf-8")
    return unescape(without_explanations(text))


def test_the_page_has_both_overlays_of_each_change(detector, blind, plates, tmp_path):
    found = compare(detector, blind, plates)
    text = page(tmp_path, found)
    assert "<h1>4 verdicts differ</h1>" in text
    assert "Defects lost: A finds them, B does not (4)" in text
    overlays = [text.count(f'aria-label="overlay of {side}"') for side in "AB"]
    assert overlays == [4, 4]
    shots = shots_of(text)
    assert len(shots) == 4
    assert all(shot.photograph is not None for shot in shots)
    assert text.count('<path class="now-good"') == 4 + 1  # and the key
    assert text.count('class="both-good"') == 3 + 1
    assert "<td>AUPRO</td>" in text
    assert 'src="http' not in text
    # The true defect is outlined in all, and the legends say so: one above all, and one in each.
    assert text.count('<path class="defect"') == 8
    assert text.count("the true defect") == 1 + 4


def test_a_defect_without_a_mask_or_with_a_damaged_one_is_shown_without(detector, blind, tmp_path):
    bare = write_dataset(tmp_path / "bare", n_train=1, n_good=2, n_defect=2, masks=False)
    text = page(tmp_path / "of-bare", compare(detector, blind, bare))
    assert "the true defect" not in text
    root = write_dataset(tmp_path / "masked", n_train=1, n_good=2, n_defect=2)
    found = compare(detector, blind, root)
    next((root / "ground_truth" / "blot").iterdir()).write_bytes(b"no mask")
    text = page(tmp_path / "of-masked", found)
    assert text.count('aria-label="overlay of A"') == 2
    assert text.count('<path class="defect"') == 2


def test_the_page_begins_with_what_changes_and_two_rates(detector, blind, plates, tmp_path):
    """The blind detector finds none of 4 defects, and flags none of 3 good photographs."""
    text = page(tmp_path, compare(detector, blind, plates))
    sentence = (
        "B finds 0 defects that A misses, and misses 4 that A finds; it flags 0 good photographs "
        "that A passes, and passes 0 that A flags."
    )
    assert f'<p class="verdict"><span>{sentence}</span></p>' in text
    rates = text.split('<div class="figures rates">')[1].split("<p")[0]
    arrow = "\N{RIGHTWARDS ARROW}"
    assert re.findall("<b>(.*?)</b>(.*?)</div>", rates) == [
        (f"100.0 % {arrow} 0.0 %", f"defects found, by A {arrow} by B"),
        (f"0.0 % {arrow} 0.0 %", f"good parts flagged, by A {arrow} by B"),
    ]


def test_without_labels_the_sentence_is_about_flags():
    found = comparison(pair(2, 0.5, name="a"), pair(2, 0.5, name="b"), pair(0.5, 2, name="c"))
    assert words.sentence(found) == "B flags 1 that A passes, and passes 2 that A flags."
    arrow = "\N{RIGHTWARDS ARROW}"
    assert words.rates(found) == [
        (f"66.7 % {arrow} 33.3 %", f"flagged, by A {arrow} by B"),
        ("3", "verdicts that differ"),
    ]
    same = comparison(pair(2, 3, name="a"))
    assert words.sentence(same) == "A and B have the same verdict on every photograph."


def test_a_page_without_changes_says_so(detector, plates, tmp_path):
    text = page(tmp_path, compare(detector, detector, plates))
    assert "<h1>No verdict differs</h1>" in text
    assert "<p>None.</p>" in text
    assert "overlay of" not in text


def test_a_page_of_lines_shows_photographs_or_why_it_does_not(tmp_path):
    there = save(tmp_path / "there.png", part(3))
    text = page(
        tmp_path,
        comparison(pair(2, 0.5, name=str(there)), pair(0.5, 2, name=str(tmp_path / "gone.png"))),
    )
    assert text.count('alt="photograph"') == 1  # there is no overlay
    assert "not drawn: " in text
    assert "Anomalous for A, good for B (1)" in text
    assert "Settings that differ" not in text


def test_names_on_the_page_are_text_and_never_markup(tmp_path):
    evil = "<script>alert(1)</script>.png"
    found = comparison(pair(2, 0.5, name=evil), damaged=("x",), not_read=("y",), remarks=("z",))
    raw = write_comparison(found, tmp_path).read_text(encoding="utf-8")
    assert "<script" not in raw
    assert "<strong>1 line</strong>" in raw
    assert "<strong>1 file</strong>" in raw


def test_many_changes_are_named_and_the_first_are_drawn(tmp_path):
    pairs = [pair(2, 0.5, name=f"{n:04}.png") for n in range(MOST_SHOWN + 510)]
    text = page(tmp_path, comparison(*pairs))
    assert text.count("not drawn: ") == MOST_SHOWN
    assert len(re.findall(r"<li>\d{4}\.png: anomalous 2\.000 -> good 0\.500</li>", text)) == 500
    assert "And 10 more, which the JSON has." in text


# --- the scatter ------------------------------------------------------------------------------


def test_points_lie_at_the_logarithms_of_their_shares():
    """Shares from 1/4 to 4 on both axes, so that the thresholds are in the middle."""
    drawn = scatter([pair(0.25, 4.0), pair(4.0, 0.25), pair(0.5, 0.5), pair(2.0, 2.0)])
    assert drawn.is_logarithmic
    assert (drawn.x_limit, drawn.y_limit) == pytest.approx((WIDTH / 2, HEIGHT / 2))
    kinds = {point.kind: point for point in drawn.points}
    assert set(kinds) == {"both-good", "both-anomalous", "now-anomalous", "now-good"}
    half = (1.0 / 4.32) * WIDTH  # of the range of 4 doublings with its margins
    assert kinds["both-good"].x == pytest.approx(WIDTH / 2 - half)
    assert kinds["now-anomalous"].x < drawn.x_limit
    assert kinds["now-anomalous"].y < drawn.y_limit  # up is anomalous
    assert [text for _, text in drawn.x_ticks] == ["0.25", "0.5", "1", "2", "4"]
    assert [point.kind for point in drawn.points[2:]] == ["now-anomalous", "now-good"]


def test_scores_that_are_not_above_zero_have_linear_axes():
    drawn = scatter([pair(-0.5, 2.0), pair(0.0, 1.0)])
    assert not drawn.is_logarithmic
    assert [text for _, text in drawn.x_ticks] == ["0", "1", "2"]


def test_without_a_threshold_above_zero_there_is_no_scatter(tmp_path):
    odd = Pair("a.png", None, verdict(1.0, 0.0), verdict(1.0))
    assert odd.a.share is None
    assert scatter([odd, pair(1, 2)]) is None
    assert words.share(odd.a) == "1 (threshold 0)"
    assert "there is no plot" in page(tmp_path, comparison(odd))


def test_a_threshold_next_to_zero_gives_no_share():
    assert Verdict(score=1.0, threshold=5e-324, is_anomalous=True).share is None


def test_points_that_hide_each_other_are_left_out_of_a_crowd():
    crowd = [pair(0.5, 0.5)] * (MOST_POINTS + 1)
    drawn = scatter([*crowd, pair(2, 0.5)])
    assert len(drawn.points) == 2
    assert drawn.n_hidden == MOST_POINTS
    assert scatter(crowd[:20]).n_hidden == 0


def test_scores_that_are_all_alike_have_a_place():
    drawn = scatter([pair(1.0, 1.0)])
    assert (drawn.points[0].x, drawn.points[0].y) == pytest.approx((WIDTH / 2, HEIGHT / 2))


def test_a_file_has_its_size(detector, tmp_path):
    file = tmp_path / "a.patchbank"
    detector.save(file)
    one = Compared(load(file), str(file), file)
    found = compared(one, Compared(detector, "B"), photographs_of(parts(2)), NullProgress())
    assert (found.a.file_bytes, found.b.file_bytes) == (file.stat().st_size, None)
    assert found.a.name == str(file)
    assert found.data == "2 images"


def test_a_data_set_of_ones_own_has_its_name(detector, plates):
    samples = [
        Sample(next((plates / "test" / "good").iterdir()), "good"),
        Sample(next((plates / "test" / "blot").iterdir()), "blot"),
    ]
    found = compare(detector, detector, Dataset("own", tuple(samples)))
    assert found.data == "own"
    assert found.a.metrics.image_auroc == 1
    assert found.a.metrics.aupro is None
