"""Following the parts of a line: what is summed up, said and remarked, on scores made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from patchbank.core.scores.calibration import Calibration
from patchbank.detector.monitor import Change, Monitor
from patchbank.drift import words
from patchbank.drift.follow import Shift, follow
from patchbank.drift.lines import InspectedPart
from patchbank.drift.neighbours import neighbour_correlation

GOOD = 20 * np.exp(0.1 * np.random.default_rng(0).standard_normal(60))
LEARNED = Calibration(GOOD, GOOD, 0.05, rule="tail")


def scores(seed, n, shift=0.0):
    return (20 * np.exp(0.1 * (np.random.default_rng(seed).standard_normal(n) + shift))).tolist()


def followed(values, calibration=LEARNED, **options):
    """What `follow` says of scores; None is a photograph that could not be inspected."""
    parts = [InspectedPart(f"{number}.png", value) for number, value in enumerate(values, 1)]
    return follow(Monitor(calibration, "5eed" * 16, 0.01), calibration, parts, **options)


@pytest.fixture(scope="module")
def changed():
    """Two hundred good parts, then a hundred whose scores are lower."""
    return followed(scores(1, 200) + scores(2, 100, shift=-1.5))


def test_the_size_of_a_change_is_that_of_medians_of_parts_that_passed(changed):
    shift = changed.change
    values = [part.score for part in changed.parts]
    passed = [value for value in values if value <= LEARNED.threshold]
    assert shift.change.direction == "lower"
    assert 195 <= shift.change.since <= 205
    before = [v for v in values[: shift.change.since - 1] if v in passed]
    since = [v for v in values[shift.change.since - 1 :] if v in passed]
    assert shift.before == np.median(before)
    assert shift.since == np.median(since)
    assert shift.image == f"{shift.change.since}.png"
    assert changed.more_flagged is None


def test_the_sentence_of_a_change_has_its_numbers(changed):
    first, advice = words.verdict(changed)
    shift = changed.change
    assert first == (
        f"good parts have changed since about part {shift.change.since} ({shift.image}): their "
        f"scores are lower (median {shift.before:.4g} before, {shift.since:.4g} since); alarm at "
        f"part {shift.change.part}"
    )
    assert advice.startswith("compare photographs from before and since")


def test_evidence_is_kept_after_each_part(changed):
    assert len(changed.evidence) == len(changed.flagged_evidence) == 300
    alarm = changed.change.change.part
    assert max(changed.evidence[: alarm - 1]) < changed.alarm_line <= changed.evidence[alarm - 1]


def test_an_alarm_is_called_once_and_at_once():
    seen = []
    values = iter(scores(1, 100) + [40.0] * 40)
    added = []

    def parts():
        for number, value in enumerate(values, 1):
            added.append(number)
            yield InspectedPart(f"{number}.png", value)

    follow(
        *(Monitor(LEARNED, "5eed" * 16, 0.01), LEARNED, parts()),
        on_alarm=lambda change: seen.append((change, added[-1])),
    )
    assert [(change.direction, change.part) for change, _ in seen] == [("more flagged", seen[0][1])]
    assert 100 < seen[0][1] < 125


def test_a_rise_of_flagged_parts_is_given_as_shares():
    found = followed(scores(1, 100) + [40.0, 19.0] * 40)
    shift = found.more_flagged
    assert 0 < shift.before < 0.1
    assert shift.since == pytest.approx(0.5, abs=0.03)
    assert any(
        line.startswith(f"more parts are flagged since about part {shift.change.since}")
        for line in words.verdict(found)
    )


def test_a_change_of_an_earlier_run_has_no_photograph_and_no_size_before():
    monitor = Monitor(LEARNED, "5eed" * 16, 0.01)
    for value in scores(1, 200) + scores(2, 100, shift=-1.5):
        monitor.add(value)
    parts = [InspectedPart("a.png", 17.0), InspectedPart("b.png", 18.0)]
    found = follow(monitor, LEARNED, parts)
    assert found.first == 301
    assert (found.change.image, found.change.before) == (None, None)
    assert found.change.since == 17.5
    assert [(lot.first, lot.last) for lot in found.lots] == [(301, 302)]
    assert "median" not in next(iter(words.verdict(found)))


def test_a_lot_without_any_score_is_left_out():
    found = followed([20.0, 21.0, None, None, 22.0, None], lot=2)
    assert [(lot.first, lot.last, lot.found.parts) for lot in found.lots] == [(1, 2, 2), (5, 6, 1)]


def test_the_sentence_of_a_lot_says_what_may_be_rejected():
    found = followed(scores(3, 100) + [60.0] * 10)
    (lot,) = found.lots
    said = words.of_lot(found, lot)
    assert said.startswith(f"parts 1 to 110: {lot.found.flagged} flagged, of which about ")
    assert lot.found.rejected >= 10
    assert f"; at most 10 % of the {lot.found.rejected} from score " in said
    assert said.endswith(f" up are ({lot.found.rejected_by_ranks} by ranks alone)")
    plain = followed(scores(6, 100))
    assert words.of_lot(found, replace(lot, found=replace(lot.found, flagged=0))) == (
        "parts 1 to 110: none flagged"
    )
    assert "; none stands out so far that of such at most 10 % are" in words.of_lot(
        plain, plain.lots[0]
    )


def test_few_parts_and_one_learned_photograph_are_remarked():
    few = followed(scores(1, 19))
    assert few.remarks == ("19 parts are few: only a large change would show",)
    views = replace(LEARNED, views_of_one=True)
    (remark,) = followed(scores(1, 30), views).remarks
    assert remark.startswith("one learned photograph does not show how good parts differ")


def test_lines_without_parts_that_passed_are_remarked():
    remarks = followed([40.0] * 25).remarks
    assert remarks[0].startswith("no part passed: lines that predict wrote with --only-anomalous")
    assert len(remarks) == 1


def test_parts_photographed_several_times_are_remarked_with_and_without_an_alarm():
    repeated = np.repeat(scores(4, 200), 4).tolist()
    (remark,) = followed(repeated).remarks
    assert remark.startswith("photographs that follow each other score alike (correlation 0.")
    assert followed(scores(4, 800)).remarks == ()


def test_a_drift_is_no_reason_to_suspect_several_photographs_of_a_part():
    slow = np.array(scores(5, 600)) * np.linspace(1, 0.6, 600)
    found = followed(slow.tolist())
    assert found.change.change.direction == "lower"
    assert found.remarks == ()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_neighbours_need_many_scores_that_differ(share):
    assert neighbour_correlation(np.full(500, 3.0)) is None
    assert neighbour_correlation(np.repeat(np.arange(12.0) + share, 3)) is None


def test_the_correlation_of_neighbours_is_that_of_ranks():
    values = np.repeat(np.random.default_rng(1).permutation(300.0 + np.arange(300)), 2)
    pairs = np.corrcoef(values[:-1], values[1:])[0, 1]
    assert neighbour_correlation(values) == pytest.approx(pairs, abs=0.01)
    assert neighbour_correlation(values**9) == pytest.approx(neighbour_correlation(values))


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.0001, "0.01 %"), (0.0123, "1.2 %"), (0.368, "37 %"), (0.994, "99 %")],
)
def test_a_share_is_written_with_two_digits(share, text):
    assert words.percent(share) == text


def test_all_of_them_are_a_hundred_percent():
    assert words.percent(1) == "100 %"
    assert words.percent(0.996) == "100 %"


@pytest.mark.parametrize("direction", ["higher", "lower", "wider", "narrower"])
def test_each_direction_has_its_words(changed, direction):
    shift = Shift(Change(1234, 1, direction), None, 20.0, 21.0)
    first = next(iter(words.verdict(replace(changed, change=shift))))
    assert first.startswith("good parts differ from the learned ones from the first part on: their")
    assert first.endswith("(median 20 of the learned ones, 21 since); alarm at part 1,234")


def test_counts_are_words_for_one_and_many():
    assert words.count(1, "part") == "1 part"
    assert words.count(4210, "part") == "4,210 parts"
    found = followed([20.0])
    assert words.counts(found) == "1 part: 1 passed, 0 flagged (0 %), 0 not inspected"
    unread = followed([None, 20.0])
    assert words.counts(unread) == "2 parts: 1 passed, 0 flagged (0 %), 1 not inspected"


def test_json_has_what_was_found(changed):
    record = changed.to_json()
    assert record["alarm"]
    assert record["more_flagged"] is None
    assert record["change"]["after"] == changed.change.since
    assert record["change"]["part"] == changed.change.change.part
    assert record["parts"] == 300
    assert record["passed"] + record["flagged"] == 300
    assert record["alarm_line"] == pytest.approx(2)
