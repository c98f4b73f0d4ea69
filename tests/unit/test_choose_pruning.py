"""Trials that end as soon as they cannot change the choice any more."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbank import PatchCore
from patchbank.backbones import ONNX_RUNTIME, open_backbone
from patchbank.images.source import image_source
from patchbank.methods import METHODS, PatchCoreSettings
from patchbank.runtime.devices import HOST
from patchbank.training.choose.candidates import by_input, candidates
from patchbank.training.choose.sample import draw_sample, split
from patchbank.training.choose.trial import Clock, Machine, Outcome, SharedTrial
from tests.photographs import parts

SIZE = (220, 260)
RNG = np.random.default_rng(3)
PHOTOGRAPHS = [
    (one.astype(int) + RNG.integers(-70, 70, one.shape)).clip(0, 255).astype(np.uint8)
    for one in parts(20, size=SIZE)
]
GIVEN = {"backbone": "efficientnet_lite0", "bank_limit": 60, "false_alarm_rate": 0.2}


@pytest.fixture(scope="module")
def sample():
    sources = [image_source(image) for image in PHOTOGRAPHS]
    return draw_sample(sources, split(np.arange(20), 0), 0)


@pytest.fixture(scope="module")
def trials(sample):
    """A trial for each size of the input, the default first."""
    extractor = open_backbone("efficientnet_lite0", None, engine=ONNX_RUNTIME)
    machine = Machine(METHODS["patchcore"], extractor, HOST, Clock())
    found = candidates(PatchCoreSettings(**GIVEN), (), extractor, sample.size)
    return [lambda members=members: SharedTrial(machine, members) for members in by_input(found)]


@pytest.fixture(scope="module")
def complete(trials, sample):
    """The outcomes of each trial, all finished."""
    return [trial().run(sample, lambda steps: None) for trial in trials]


def best_of(outcomes):
    return max((one for one in outcomes if one.is_complete), key=lambda one: one.auroc)


def test_the_choice_is_the_one_of_trials_that_are_all_finished(trials, complete, sample):
    outcomes, steps = [], []
    for trial in trials:
        best = best_of(outcomes) if outcomes else None
        outcomes += trial().run(sample, steps.append, best)
    assert len(trials) > 1
    assert sum(steps) == sum(trial().n_images(sample) for trial in trials)
    whole = [one for some in complete for one in some]
    assert best_of(outcomes).candidate == best_of(whole).candidate
    assert best_of(outcomes).auroc == best_of(whole).auroc
    highest = best_of(whole).auroc
    for one, finished in zip(outcomes, whole, strict=True):
        if one.is_complete:
            assert np.array_equal(one.defects, finished.defects)
        else:
            assert finished.auroc <= one.auroc <= highest


def test_a_trial_that_cannot_be_the_best_is_not_finished_and_its_scores_are_right(
    trials, complete, sample
):
    # A rival that is told from the good photographs in nearly every pair: a miss decides.
    rival = complete[0][0]
    n = len(sample.defects)
    defects = np.full(n, 2.0)
    defects[7] = -1.0
    rival = replace(rival, good=np.linspace(0, 1, len(sample.held_out)), defects=defects)
    assert rival.auroc == pytest.approx(1 - 1 / n)
    outcomes = trials[-1]().run(sample, lambda steps: None, rival)
    assert not any(one.is_complete for one in outcomes)
    for one, finished in zip(outcomes, complete[-1], strict=True):
        assert finished.auroc <= one.auroc <= rival.auroc
        scored = ~np.isnan(one.defects)
        assert scored[7]  # what the rival tells worst comes first
        assert 0 < scored.sum() < n
        assert scored.sum() % 10 == 0
        assert np.array_equal(one.defects[scored], finished.defects[scored])
        assert np.array_equal(one.good, finished.good)


def test_nothing_is_computed_where_nothing_can_be_better(trials, complete, sample):
    perfect = replace(
        complete[0][0],
        good=np.zeros(len(sample.held_out)),
        defects=np.ones(len(sample.defects)),
    )
    steps = []
    outcomes = trials[-1]().run(sample, steps.append, perfect)
    assert steps == [trials[-1]().n_images(sample)]
    assert [one.model for one in outcomes] == 4 * [None]
    assert not any(one.is_complete for one in outcomes)


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=8),
)
def test_the_auroc_of_an_unfinished_trial_is_the_most_that_it_can_become(good, defects):
    scores = np.array([score for score, _ in defects], dtype=np.float64)
    known = np.where([is_known for _, is_known in defects], scores, np.nan)
    goods = np.array(good, dtype=np.float64)
    finished = Outcome(None, None, goods, scores)
    assert finished.is_complete
    assert finished.auroc <= Outcome(None, None, goods, known).auroc
    assert Outcome(None, None, goods, known).is_complete == (not np.isnan(known).any())


def test_the_record_says_what_was_not_finished_and_is_the_same_again():
    first, second = (
        PatchCore.auto(**GIVEN).fit(PHOTOGRAPHS, groups="none").settings_choice for _ in range(2)
    )
    assert first == second
    trials = {trial.changes["image_size"]: [] for trial in first.trials}
    for trial in first.trials:
        trials[trial.changes["image_size"]].append(trial)
    assert all(trial.auroc is not None for trial in trials[512])  # the default is always finished
    best = max(trial.auroc for trial in first.trials if trial.auroc is not None)
    for trial in first.trials:
        if trial.auroc is None:
            assert trial.remark.startswith(("at most 0.", "not tried"))
            assert best == 1 or float(trial.remark[8:13]) <= round(best, 3)
        else:
            assert trial.remark == ""
    assert f"best of {len(first.trials)} candidates" in first.reason
