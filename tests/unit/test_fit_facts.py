"""What a detector says of its fit: rates, odd photographs by their names, thresholds."""

from dataclasses import replace

import numpy as np
import pytest

from patchbank import Ensemble, PaDiM, PatchCore
from patchbank.core.scores.calibration import Calibration
from patchbank.detector.fit_facts import FitFacts, OddPhotograph, listed
from patchbank.runtime.percent import percent_at_most
from tests.photographs import parts

NAMES = tuple(f"{number:02}.png" for number in range(31))
SMALL = {"backbone": "efficientnet_lite0", "image_size": 64, "false_alarm_rate": 0.2}
ORDINARY = np.linspace(40.0, 50.0, 31)


def facts(scores, rate=0.05, *, names=NAMES, peaks=None, **options):
    """The facts of a calibration of these scores."""
    peaks = np.arange(1.0, len(scores) + 1) if peaks is None else peaks
    options = {"rule": "tail", **options}
    return FitFacts(Calibration(np.asarray(scores), peaks, rate, **options), tuple(names))


def with_odd(*odd):
    """Thirty-one scores from 40 to 50, of which the first ones are replaced."""
    scores = ORDINARY.copy()
    scores[: len(odd)] = odd
    return facts(scores)


def test_lines_say_rates_then_odd_photographs_then_thresholds():
    """At 5 % of 31 the rank is 1.6: the bound is (1 + 2) / 32 = 9.375 %, rounded up."""
    said = with_odd(90.0)
    at = [said.calibration.threshold_at(rate) for rate in (0.01, 0.05, 0.1)]
    assert said.lines == [
        "false alarms: 5 % if good parts vary as these do; at most 9.4 % on average, whatever good "
        "parts look like",
        "1 of 31 photographs lies above the threshold when left out: 00.png 90",
        # The middle is the sixteenth of 40.33, 40.67, ..., 50, 90: 40 + 16 / 3.
        "00.png is unlike the others (score 90; the next 50, the middle 45.33). A defect? Fit "
        "without it: --exclude 00.png. A good part? More of its kind make the threshold surer",
        f"thresholds for 1 / 5 / 10 % false alarms: {at[0]:.4g} / {at[1]:.4g} / {at[2]:.4g}",
    ]
    assert at[0] > at[1] > at[2]
    assert 50 < said.calibration.threshold < 90


def test_several_photographs_that_are_unlike_the_others_share_a_line():
    said = with_odd(90.0, 95.5)
    assert said.above_threshold == said.unlike_others
    assert said.unlike_others == [OddPhotograph("01.png", 95.5), OddPhotograph("00.png", 90.0)]
    assert said.lines[2] == (
        "2 photographs are unlike the others (the next 50, the middle 45.67): 01.png 95.5, "
        "00.png 90. Defects? Fit without them: --exclude NAME for each. Good parts? More of their "
        "kind make the threshold surer"
    )


def test_a_regular_fit_names_nobody_as_unlike():
    said = facts(ORDINARY)
    assert said.unlike_others == []
    assert said.warning is None
    assert not [line for line in said.lines if "unlike" in line]


def test_the_line_says_so_when_no_photograph_is_above():
    said = facts(ORDINARY, 0.01)
    assert said.calibration.threshold > 50
    assert said.lines[1] == "no photograph lies above the threshold when it is left out"


def test_names_are_quoted_where_a_shell_needs_it():
    scores = ORDINARY.copy()
    scores[3] = 90.0
    names = [*NAMES[:3], "left/it's 1.png", *NAMES[4:]]
    assert (
        """Fit without it: --exclude 'left/it'"'"'s 1.png'. A"""
        in facts(scores, names=names).lines[2]
    )


def test_only_a_photograph_that_is_hardly_chance_is_warned_of():
    """A regular fit names 0.3 photographs, and warns of a hundredth of one."""
    model = facts(ORDINARY)
    limits = {}
    for share in (0.3, 0.01):
        low, high = 45.0, 200.0
        for _ in range(60):  # the scale of the model follows from all scores, this one too
            middle = (low + high) / 2
            named = with_odd(middle).unlike_others if share == 0.3 else with_odd(middle).warning
            low, high = (low, middle) if named else (middle, high)
        limits[share] = high
    assert 50 < limits[0.3] < limits[0.01]
    between = (limits[0.3] + limits[0.01]) / 2
    assert with_odd(between).unlike_others == [OddPhotograph("00.png", between)]
    assert with_odd(between).warning is None
    above = with_odd(limits[0.01] * 1.01)
    assert above.warning == above.lines[2]
    assert model.warning is None


@pytest.mark.parametrize(
    ("n", "rate", "is_said"), [(15, 0.01, True), (15, 0.05, False), (16, 0.01, False)]
)
def test_few_photographs_and_a_low_rate_are_remarked_on(n, rate, is_said):
    said = facts(np.linspace(40, 50, n), rate, names=NAMES[:n])
    assert said.remarks[0] == said.calibration.remark  # 1 % and 5 % are below 1 / 17
    assert "extrapolated" in said.remarks[0]
    assert len(said.remarks) == 1 + is_said
    if is_said:
        assert said.remarks[1] == (
            "with 15 photographs or fewer a low rate costs detection: at 1 % down to half of what "
            "is found at 5 %; give more photographs, or a higher false_alarm_rate "
            "(--false-alarm-rate)"
        )


def test_groups_are_the_sample():
    """31 photographs in 16 groups: of ranks of 17 the bound at 20 % is (3.4 + 1) / 17."""
    groups = np.arange(31, dtype=np.int32) // 2
    said = facts(ORDINARY, 0.2, groups=groups)
    assert said.sample == "31 good photographs in 16 groups"
    assert said.to_json()["groups"] == 16
    assert said.lines[0].startswith("false alarms: 20 % if")
    assert "at most 25.9 % on average" in said.lines[0]
    assert facts(ORDINARY).sample == "31 good photographs"
    few = facts(ORDINARY, 0.01, groups=np.arange(31, dtype=np.int32) // 3)
    assert few.remarks[1].startswith("with 15 groups or fewer a low rate costs detection")
    assert "give more groups, or" in few.remarks[1]


def test_a_single_photograph_has_no_rates():
    views = facts([60.0, 80.0], 0.01, names=["a.png"], views_of_one=True, rule="ranks")
    assert views.sample == "1 good photograph"
    assert views.lines == []
    assert views.remarks == [views.calibration.remark]
    assert views.warning is None
    document = views.to_json()
    assert document["good_images"] == document["groups"] == 1
    assert document["guaranteed_false_alarm_rate"] == 1
    assert document["thresholds"] == document["above_threshold"] == document["unlike_others"] == []
    assert document["threshold_from"] == "other views of the one good image"


def test_json_has_the_same_facts():
    said = with_odd(90.0)
    calibration = said.calibration
    assert said.to_json() == {
        "good_images": 31,
        "normal_images": 0,
        "groups": 31,
        "threshold": calibration.threshold,
        "pixel_threshold": calibration.pixel_threshold,
        "false_alarm_rate": 0.05,
        "expected_false_alarm_rate": 0.05,
        "guaranteed_false_alarm_rate": 3 / 32,
        "smallest_false_alarm_rate": 1 / 32,
        "threshold_from": "good images left out",
        "threshold_rule": "tail",
        "middle_score": pytest.approx(40 + 16 / 3),
        "thresholds": [
            {
                "false_alarm_rate": rate,
                "threshold": calibration.threshold_at(rate),
                "pixel_threshold": calibration.pixel_threshold_at(rate),
            }
            for rate in (0.01, 0.05, 0.1)
        ],
        "above_threshold": [{"image": "00.png", "score": 90.0}],
        "unlike_others": [{"image": "00.png", "score": 90.0}],
    }


def test_a_threshold_set_by_hand_has_the_rate_that_it_is_expected_to_have():
    said = facts(ORDINARY)
    by_hand = replace(said, calibration=said.calibration.with_threshold(45.0))
    document = by_hand.to_json()
    assert document["threshold"] == 45.0
    assert document["threshold_from"] == "set by hand; that of pixels: good images left out"
    assert document["false_alarm_rate"] == 0.05
    assert document["expected_false_alarm_rate"] == pytest.approx(0.5, abs=0.05)
    assert len(document["above_threshold"]) == 15
    assert document["thresholds"] == said.to_json()["thresholds"]


@pytest.mark.parametrize(
    ("recipe", "is_proved"),
    [
        (PatchCore(**SMALL, banks="joint"), True),
        (PatchCore(**SMALL, image_score="reweighted"), False),
        (PatchCore(**SMALL), False),  # the unit is the spread of all photographs
        (PaDiM(**SMALL), False),
        (Ensemble((PatchCore(**SMALL), PatchCore(**SMALL, seed=1))), False),
    ],
)
def test_the_bound_is_a_promise_where_it_is_proved(recipe, is_proved):
    """The proof needs scores that one more learned photograph does not raise."""
    said = FitFacts.of(recipe.fit(parts(6)))
    assert said.is_bound_proved is is_proved
    promise = "whatever good parts look like" if is_proved else "proved for one memory bank only"
    assert promise in said.lines[0]
    assert "42.9 %" in said.lines[0]  # (1 + 2) / 7, rounded up


def test_thresholds_of_a_file_of_the_older_rule_are_those_that_tune_sets():
    old = facts(ORDINARY, rule="ranks")
    assert old.to_json()["threshold_rule"] == "ranks"
    assert old.to_json()["threshold"] == 50.0  # the first of 32 ranks
    assert old.thresholds == facts(ORDINARY).thresholds


def test_many_photographs_are_named_a_few_at_a_time():
    odd = [OddPhotograph(f"{i}.png", 100.0 - i) for i in range(7)]
    assert listed(odd) == "0.png 100, 1.png 99, 2.png 98, 3.png 97, 4.png 96 and 2 more"
    assert listed(odd[:5]) == "0.png 100, 1.png 99, 2.png 98, 3.png 97, 4.png 96"


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.0625, "6.3 %"),
        (0.5, "50 %"),
        (1.0, "100 %"),
        (0.0101, "1.1 %"),
        (0.3, "30 %"),
        (0.0, "0 %"),
    ],
)
def test_a_bound_is_never_rounded_down(rate, text):
    assert percent_at_most(rate) == text
