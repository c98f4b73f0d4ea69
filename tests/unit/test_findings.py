"""Findings of `evaluate` in plain words, and results at other false-alarm rates."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from patchbank import PatchCore, evaluate, load
from patchbank.cli.output import show_evaluation
from patchbank.core.scores.calibration import Calibration
from patchbank.core.scores.chance import chance_of_false_alarms
from patchbank.datasets import Dataset, Sample
from patchbank.detector.bundle import Bundle, read_bundle, write_bundle
from patchbank.errors import DetectorFileError
from patchbank.evaluation.findings import findings_of, results_by_rate
from patchbank.evaluation.report import write_report
from patchbank.images.digest import pixel_digest
from patchbank.runtime.percent import percent_to_a_tenth
from tests.photographs import part, parts, save

pytestmark = [
    pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning"),
]
LEARNED = np.exp(stats.norm.ppf((np.arange(31) + 0.5) / 31) * 0.1 + 4)
"""Left-out scores of 31 photographs, from 44 to 68."""


class Scored:
    """An inspection of which only the score is read."""

    def __init__(self, score):
        self.score = score


def calibration(rate=0.05, scores=LEARNED, **changes):
    return Calibration(scores, scores, rate, **{"rule": "tail", **changes})


def found(by, good, defects, learned=()):
    pairs = [(Sample(Path(f"g{i}.png"), "good"), Scored(score)) for i, score in enumerate(good)]
    pairs += [(Sample(Path(f"d{i}.png"), "dent"), Scored(score)) for i, score in enumerate(defects)]
    return findings_of(by, pairs, np.isin(np.arange(len(pairs)), learned))


@given(
    n_new=st.integers(1, 400),
    n_learned=st.integers(2, 400),
    rate=st.floats(1e-4, 0.99),
    share=st.floats(0, 1),
)
def test_the_chance_of_false_alarms_is_that_of_scipy(n_new, n_learned, rate, share):
    flagged = round(share * n_new)
    above, below = rate * (n_learned + 1), (1 - rate) * (n_learned + 1)
    expected = stats.betabinom.sf(flagged - 1, n_new, above, below)
    ours = chance_of_false_alarms(flagged, n_new, rate, n_learned)
    assert ours == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_the_chance_of_many_new_photographs_does_not_overflow():
    assert chance_of_false_alarms(0, 100_000, 0.05, 31) == 1.0
    assert chance_of_false_alarms(5, 10, 1.0, 31) == 1.0
    assert 0.4 < chance_of_false_alarms(5_000, 100_000, 0.05, 31) < 0.6
    assert chance_of_false_alarms(99_999, 100_000, 0.05, 31) < 1e-12


@pytest.mark.parametrize(("n_learned", "rate"), [(19, 0.05), (31, 2 / 32), (99, 0.1)])
def test_good_parts_of_one_kind_are_called_unlike_at_most_as_often_as_said(n_learned, rate):
    """The threshold itself comes from few photographs: a plain binomial test accuses it often."""
    rng = np.random.default_rng(5)
    trials, n_new, rank = 1500, 200, round(rate * (n_learned + 1))
    flagged = []
    for _ in range(trials):
        scores = rng.standard_exponential(n_learned + n_new)
        threshold = np.sort(scores[:n_learned])[-rank]
        flagged.append(int((scores[n_learned:] > threshold).sum()))
    accused = np.mean([chance_of_false_alarms(k, n_new, rate, n_learned) < 0.05 for k in flagged])
    assert accused <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert accused >= 0.02
    by_binomial = np.mean(stats.binom.sf(np.array(flagged) - 1, n_new, rate) < 0.05)
    assert by_binomial > 0.1


def test_results_at_other_rates_are_those_of_the_changed_detector():
    by = calibration(0.07)
    scores = np.array([50.0, 60.0, 66.0, 72.0, 63.0, 65.0, 200.0])
    is_defect = np.array([False] * 4 + [True] * 3)
    results = results_by_rate(by, scores, is_defect)
    assert [one.asked_rate for one in results] == [0.001, 0.01, 0.02, 0.05, 0.07, 0.1]
    for one in results:
        assert one.threshold == by.with_false_alarm_rate(one.asked_rate).threshold
    at_ten = results[-1]
    assert 60 < at_ten.threshold < 63
    assert (at_ten.detection_rate, at_ten.false_alarm_rate) == (1.0, 0.5)
    assert results[0].threshold > 72
    assert (results[0].detection_rate, results[0].false_alarm_rate) == (1 / 3, 0.0)


def test_one_photograph_has_no_results_at_other_rates_and_no_test_of_its_rate():
    views = calibration(views_of_one=True, rule="ranks")
    assert results_by_rate(views, np.array([1.0, 2.0]), np.array([False, True])) == ()
    assert found(views, [1000.0] * 30, [2000.0]) == ()
    (line,) = found(views, [10.0], [20.0])
    assert line.endswith("Give more good photographs, or set a threshold by hand (patchbank tune)")


def test_false_alarms_within_chance_are_no_finding():
    flagged = [70.0] * 5 + [50.0] * 36  # 5 of 41 where 5 % was asked: 31 photographs say no more
    assert calibration().threshold < 70
    assert found(calibration(), flagged, [100.0]) == ()


def test_more_false_alarms_than_any_good_parts_give_are_a_finding():
    (line,) = found(calibration(0.01), [75.0] * 8 + [50.0] * 10, [100.0])
    assert line.startswith(
        "8 of 18 good test photographs are flagged (44.4 %), where 1 % was asked: more than chance "
        "allows, whatever good parts look like (it gives so many in 1 of 1,500 cases). Either they "
        "differ from the learned ones"
    )
    assert "(--groups)" in line


def test_more_false_alarms_than_the_spread_explains_are_a_weaker_finding():
    (line,) = found(calibration(), [70.0] * 10 + [50.0] * 31, [100.0])
    assert "where 5 % was asked: chance gives so many in 1 of " in line
    assert "though 31 learned ones guarantee no less than 9.4 %" in line
    assert "whatever" not in line


def test_groups_are_the_sample_of_the_test():
    groups = np.arange(31, dtype=np.int32) // 5
    assert calibration(groups=groups).n_groups == 7
    good = [75.0] * 10 + [50.0] * 31
    assert found(calibration(), good, [100.0])
    assert found(calibration(groups=groups), good, [100.0]) == ()


def test_a_threshold_by_hand_is_compared_with_what_the_learned_ones_let_expect():
    by_hand = calibration().with_threshold(66.0)
    (line,) = found(by_hand, [90.0] * 8 + [50.0] * 10, [100.0])
    assert "% are expected by the learned ones: chance gives so many in 1 of" in line
    assert "asked" not in line


def test_no_defect_found_is_a_finding_with_the_rate_that_finds_one():
    by = calibration(0.01)
    highest = by.with_false_alarm_rate(0.08).threshold + 0.01
    (line,) = found(by, [50.0] * 5, [48.0, highest])
    assert line.startswith(
        f"none of the 2 defect photographs is found: the highest scores {highest:.4g}"
    )
    rate = float(line.split("rate of ")[1].split()[0])
    assert 0.07 < rate <= 0.08
    assert by.with_false_alarm_rate(rate).threshold < highest
    assert found(by, [50.0] * 5, [48.0, 300.0]) == ()


def test_defects_that_score_like_good_ones_are_said_to():
    (line,) = found(calibration(), [50.0] * 5, [45.0, 48.0])
    assert "They score like good ones, so another threshold does not help" in line
    assert "--false-alarm-rate" not in line


def test_a_file_with_ranks_is_told_what_the_rule_of_today_finds():
    odd = np.append(LEARNED[1:], 400.0)
    (line,) = found(calibration(scores=odd, rule="ranks"), [50.0] * 5, [90.0])
    assert "the threshold is 400" in line
    assert "by the rule of this version (patchbank tune FILE --false-alarm-rate)" in line


def test_learned_photographs_are_named_and_leave_the_other_findings():
    good = [75.0] * 8 + [50.0] * 10
    lines = found(calibration(0.01), good, [40.0, 100.0], learned=[0, 1, 2, 3, 4, 5, 6, 7, 18])
    assert len(lines) == 2
    assert lines[0].startswith(
        "8 good test photographs are among the learned ones, to the pixel: g0.png, g1.png, g2.png, "
        "g3.png, g4.png and 3 more; the figures are too good."
    )
    assert lines[1].startswith(
        "1 defect photograph is among the learned good ones, to the pixel: d0.png; such"
    )


@pytest.fixture(scope="module")
def detector():
    return PatchCore(image_size=64, bank_rows=100, false_alarm_rate=0.1).fit(parts(12))


@pytest.fixture(scope="module")
def measured(detector, tmp_path_factory):
    """A test set with a learned photograph as good, one as a defect, and one changed by a pixel."""
    root = tmp_path_factory.mktemp("set")
    nearly = part(5)
    nearly[3, 4, 1] += 1
    samples = [
        Sample(save(root / "learned.png", part(2)), "good"),
        Sample(save(root / "nearly.png", nearly), "good"),
        *(Sample(save(root / f"{i}.png", part(100 + i)), "good") for i in range(3)),
        Sample(save(root / "conflict.png", part(7)), "dent"),
        Sample(save(root / "dent.png", part(200, defect=9)), "dent"),
    ]
    return evaluate(detector, Dataset("set", tuple(samples)))


def test_learned_photographs_are_known_by_their_pixels(measured):
    assert [path.name for path in measured.learned] == ["learned.png", "conflict.png"]
    assert [line.split(" among")[0] for line in measured.findings[:2]] == [
        "1 good test photograph is",
        "1 defect photograph is",
    ]
    document = json.loads(json.dumps(measured.to_json()))
    assert [path.split("/")[-1] for path in document["learned"]] == ["learned.png", "conflict.png"]
    assert document["findings"] == list(measured.findings)
    assert document["by_rate"][0] == {
        "asked_rate": 0.001,
        "threshold": measured.by_rate[0].threshold,
        "detection_rate": measured.by_rate[0].detection_rate,
        "false_alarm_rate": measured.by_rate[0].false_alarm_rate,
    }


def test_learned_photographs_are_looked_for_only_where_they_are_wanted(detector, measured):
    dataset = Dataset("set", tuple(sample for sample, _ in measured.inspections))
    assert evaluate(detector, dataset, find_learned=False).learned == ()


def test_digests_are_kept_in_the_file(detector, tmp_path):
    detector.save(tmp_path / "a.patchbank")
    digests = load(tmp_path / "a.patchbank").photograph_digests
    assert [row.tobytes() for row in digests] == [pixel_digest(one) for one in parts(12)]
    assert load(tmp_path / "a.patchbank", threshold=9).photograph_digests is not None
    assert load(tmp_path / "a.patchbank", bank_rows=20).photograph_digests is not None


@pytest.mark.parametrize(
    "digests", [np.zeros((11, 8), np.uint8), np.zeros((12, 4), np.uint8), np.zeros((12, 8))]
)
def test_digests_of_another_shape_or_type_are_refused(detector, tmp_path, digests):
    detector.save(tmp_path / "a.patchbank")
    bundle = read_bundle(tmp_path / "a.patchbank")
    bundle.tensors["photographs.digests"] = digests
    write_bundle(tmp_path / "a.patchbank", Bundle(bundle.tensors, bundle.record))
    with pytest.raises(DetectorFileError, match=r"photographs\.digests: expected"):
        load(tmp_path / "a.patchbank")


def test_a_file_without_digests_has_no_learned_photographs(detector, measured, tmp_path):
    detector.save(tmp_path / "a.patchbank")
    bundle = read_bundle(tmp_path / "a.patchbank")
    del bundle.tensors["photographs.digests"]
    write_bundle(tmp_path / "a.patchbank", Bundle(bundle.tensors, bundle.record))
    dataset = Dataset("set", tuple(sample for sample, _ in measured.inspections))
    assert evaluate(load(tmp_path / "a.patchbank"), dataset).learned == ()


def test_a_digest_differs_by_shape_and_by_any_pixel():
    image = np.zeros((4, 6, 3), np.uint8)
    assert pixel_digest(image) != pixel_digest(image.reshape(6, 4, 3))
    assert pixel_digest(image[:, ::-1]) == pixel_digest(image)
    image[3, 5, 2] = 1
    assert pixel_digest(image) != pixel_digest(np.zeros((4, 6, 3), np.uint8))


def test_text_and_page_show_rates_and_findings(detector, measured, tmp_path, capsys):
    show_evaluation(measured)
    out, err = capsys.readouterr()
    head = "false-alarm rate          threshold        found   good flagged"
    assert head in out.splitlines()
    row = out.splitlines()[out.splitlines().index(head) + 1]
    first = measured.by_rate[0]
    assert row.split() == [
        "0.1", "%", f"{first.threshold:.4g}",
        *percent_to_a_tenth(first.detection_rate).split(),
        *percent_to_a_tenth(first.false_alarm_rate).split(),
    ]  # fmt: skip
    assert err.splitlines() == [f"note: {line}" for line in measured.findings]
    page = write_report(measured, detector, tmp_path).read_text()
    assert "Other false-alarm rates" in page
    assert f"<td>{first.threshold:.4g}</td>" in page
    assert f"<li>{measured.findings[0]}.</li>" in page
    assert "was set from good images alone, for a false-alarm rate of 10.0 %" in page
    by_hand = detector.with_threshold(detector.calibration.threshold_at(0.3))
    page = write_report(measured, by_hand, tmp_path).read_text()
    said = f"{100 * by_hand.calibration.expected_rate:.1f} %"
    assert (
        f"was set by hand; the learned photographs let expect a false-alarm rate of {said}" in page
    )
