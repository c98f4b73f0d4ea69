"""Settings that a fit chooses: split, candidates, trials, choice, and what is said of it."""

import json
import warnings
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank import PatchCore, load
from patchbank.backbones import ONNX_RUNTIME, open_backbone
from patchbank.detector.bundle import Bundle, read_bundle
from patchbank.detector.detector import detector_from_bytes
from patchbank.detector.settings_choice import SettingsChoice, is_settings_choice
from patchbank.errors import DataError, DetectorFileError, ParameterError
from patchbank.images.source import image_source
from patchbank.methods import METHODS, PatchCoreSettings
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from patchbank.training.choose.candidates import Candidate, by_input, candidates
from patchbank.training.choose.ranking import LEAST_GAIN
from patchbank.training.choose.sample import draw_sample, split
from patchbank.training.choose.smallest import SpotTest, _advice, diameters, with_missed
from patchbank.training.choose.trial import (
    Clock,
    Machine,
    SharedTrial,
    auroc,
    with_small_bank,
)
from tests.photographs import part, parts

TINY = {"backbone": "efficientnet_lite0", "image_size": 64, "false_alarm_rate": 0.2}
METHOD = METHODS["patchcore"]


@pytest.fixture(scope="module")
def extractor():
    return open_backbone("efficientnet_lite0", None, engine=ONNX_RUNTIME)


@pytest.fixture(scope="module")
def sample():
    sources = [image_source(image) for image in parts(20)]
    return draw_sample(sources, split(np.arange(20), 0), 0)


@pytest.fixture(scope="module")
def chosen():
    """A detector whose patch size and scales were chosen from 22 photographs."""
    return PatchCore.auto(**TINY, bank_limit=300).fit(parts(22))


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=120).map(
        lambda labels: np.unique(labels, return_inverse=True)[1]
    ),
    st.integers(0, 5),
)
@settings(max_examples=150, deadline=None)
def test_no_group_is_on_both_sides_and_no_photograph_comes_twice(groups, seed):
    found = split(groups, seed)
    assert split(groups, seed) == found
    if found is None:
        return
    learned, held_out = groups[list(found.learned)], groups[list(found.held_out)]
    assert not set(learned.tolist()) & set(held_out.tolist())
    assert len({*found.learned, *found.held_out}) == len(found.learned) + len(found.held_out)
    assert 8 <= len(found.learned) <= 24
    assert 8 <= len(found.held_out) <= 20


@pytest.mark.parametrize(("n", "learned", "held_out"), [(20, 11, 9), (40, 22, 18), (300, 24, 20)])
def test_photographs_without_groups_are_split_by_number(n, learned, held_out):
    found = split(np.arange(n), 0)
    assert (len(found.learned), len(found.held_out)) == (learned, held_out)


def test_photographs_of_many_groups_come_one_of_each():
    groups = np.repeat(np.arange(60), 5)
    found = split(groups, 0)
    assert len(set(groups[list(found.learned)].tolist())) == 24
    assert len(set(groups[list(found.held_out)].tolist())) == 20


def test_one_group_or_one_that_is_nearly_all_cannot_be_split():
    assert split(np.zeros(50, dtype=np.intp), 0) is None
    assert split(np.array([0] * 45 + [1, 2, 3]), 0) is None
    assert split(np.array([0] * 20 + [1] * 20), 0) is not None


def sizes_of(found):
    return list(dict.fromkeys(one.changes["image_size"] for one in found))


def test_all_sizes_are_tried_on_large_photographs_and_the_default_is_the_first(extractor):
    found = candidates(PatchCoreSettings(), (), extractor, (1000, 1400))
    assert found[0].settings == PatchCoreSettings()
    assert [one.is_default for one in found] == [True] + 15 * [False]
    assert sizes_of(found) == [512, 640, 320, 224]
    assert [len(group) for group in by_input(found)] == [4, 4, 4, 4]


def test_a_size_that_is_the_same_to_the_network_as_another_one_is_tried_once(extractor):
    # 1.25 x 300 = 375: the inputs of 512 and 640 are both that large.
    found = candidates(PatchCoreSettings(), (), extractor, (300, 300))
    assert sizes_of(found) == [512, 320, 224]
    # Below 224 pixels all sizes are 224.
    assert sizes_of(candidates(PatchCoreSettings(), (), extractor, (100, 150))) == [512]


def test_what_is_given_stays_and_so_does_the_size_of_a_crop(extractor):
    base = PatchCoreSettings(image_size=(96, 160), patch_size=5)
    found = candidates(base, {"image_size", "patch_size"}, extractor, (900, 900))
    assert [dict(one.changes) for one in found] == [{"scales": (1.0, 0.5)}, {"scales": (1.0,)}]
    assert {one.settings.patch_size for one in found} == {5}
    cropped = candidates(PatchCoreSettings(crop=224), (), extractor, (900, 900))
    assert {one.settings.image_size for one in cropped} == {512}
    assert len(cropped) == 4


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=9),
    st.lists(st.integers(0, 5), min_size=1, max_size=9),
)
def test_auroc_is_the_share_of_pairs_in_order(good, defects):
    pairs = [(d > g) + (d == g) / 2 for d in defects for g in good]
    got = auroc(np.array(good, dtype=np.float64), np.array(defects, dtype=np.float64))
    assert got == pytest.approx(np.mean(pairs))


def machine(extractor, limit_s=None):
    return Machine(METHOD, extractor, HOST, Clock(limit_s))


def candidates_of(**given):
    base = PatchCoreSettings(**TINY, bank_limit=200, **given)
    changes = [{"patch_size": p, "scales": s} for p in (3, 1) for s in ((1.0, 0.5), (1.0,), (0.5,))]
    return [Candidate(one, base.with_changes(**one)) for one in changes]


def test_candidates_that_share_features_score_as_each_does_alone(extractor, sample):
    found = candidates_of()
    together = SharedTrial(machine(extractor), found).run(sample, lambda steps: None)
    for candidate, outcome in zip(found, together, strict=True):
        (alone,) = SharedTrial(machine(extractor), [candidate]).run(sample, lambda steps: None)
        assert np.array_equal(alone.good, outcome.good)
        assert np.array_equal(alone.defects, outcome.defects)


@pytest.mark.parametrize("copies", [{}, {"rotations": 3, "flips": "horizontal"}])
def test_a_trial_scores_as_a_detector_of_the_same_settings_does(extractor, sample, copies):
    candidate = candidates_of(**copies)[0]
    trial = SharedTrial(machine(extractor), [candidate])
    steps = []
    (outcome,) = trial.run(sample, steps.append)
    assert sum(steps) == trial.n_images(sample)
    detector = PatchCore(**candidate.settings.to_mapping()).fit(list(sample.learned), groups="none")
    good = [detector.predict(image).score for image in sample.held_out]
    number, defect = sample.defects[4]
    assert outcome.good.tolist() == good
    assert outcome.defects[4] == detector.predict(defect.on(sample.held_out[number])).score


def test_the_defects_are_three_a_photograph_of_all_kinds_with_pastes_of_others(sample):
    numbers = [number for number, _ in sample.defects]
    assert numbers == 3 * list(range(len(sample.held_out)))
    kinds = [defect.kind for _, defect in sample.defects]
    assert {kinds.count(kind) for kind in kinds} <= {5, 6}
    assert len(set(kinds)) == 5


def test_large_photographs_are_reduced_and_their_size_is_remembered():
    sources = [image_source(part(seed, size=(120, 480))) for seed in range(20)]
    found = draw_sample(sources, split(np.arange(20), 0), 0, working_side=120)
    assert found.held_out[0].shape == (60, 240, 3)
    assert found.size == (120, 480)
    assert found.scale == 2


def test_a_candidate_that_fails_is_noted_and_the_others_are_tried(extractor, sample):
    large = candidates_of()[0]
    large = replace(large, settings=large.settings.with_changes(n_neighbours=5000))
    found = [large, *candidates_of()[1:2]]
    failed, fine = SharedTrial(machine(extractor), found).run(sample, lambda steps: None)
    assert failed.error.startswith("n_neighbours: expected at most")
    assert fine.error == ""
    assert 0 <= fine.auroc <= 1


def test_a_bank_of_a_trial_is_small_and_a_share_of_the_patches_stays():
    assert with_small_bank(PatchCoreSettings()).bank_limit == 1000
    assert with_small_bank(PatchCoreSettings(bank_limit=50)).bank_limit == 50
    rows = with_small_bank(PatchCoreSettings(bank_rows=300))
    assert (rows.bank_rows, rows.bank_limit) == (None, 300)
    assert with_small_bank(PatchCoreSettings(coreset=0.1)).coreset == 0.1


@pytest.fixture(scope="module")
def noisy():
    """Photographs with much noise, in groups of two, their detector, and its test of spots."""
    rng = np.random.default_rng(7)
    images = [
        one + rng.integers(0, 90, one.shape, dtype=np.uint8) % (255 - one) for one in parts(20)
    ]
    groups = [number // 2 for number in range(20)]
    detector = PatchCore(**TINY, bank_limit=300).fit(images, groups=groups)
    member = detector.members[0]
    sources = [image_source(image) for image in images]
    return detector, SpotTest(member, member.model, sources, detector.calibration, 0)


def test_a_spot_that_changes_no_pixel_scores_as_the_photograph_did_when_it_was_left_out(noisy):
    detector, spots = noisy
    scores = detector.calibration.image_scores
    for number in spots.numbers:
        assert spots._score(int(number), 1e-5) == pytest.approx(scores[number], rel=1e-5)


def test_fewer_than_half_of_the_spots_of_the_size_that_is_missed_are_found(noisy):
    detector, spots = noisy
    steps = Steps()
    arguments = detector.members[0], spots.sources, detector.calibration, steps
    record = with_missed(SettingsChoice({}, "why"), *arguments)
    shares = diameters((72 * 104) ** 0.5)
    missed = record.missed_below_share
    threshold = detector.calibration.threshold

    def share_found(share):
        return np.mean([spots._score(int(n), share) > threshold for n in spots.numbers])

    assert share_found(missed) < 0.5 <= share_found(shares[shares.index(missed) + 1])
    assert [spots.finds(share) for share in shares] == [share_found(s) >= 0.5 for s in shares]
    assert record.missed_below_px == pytest.approx(missed * (72 * 104) ** 0.5)
    assert record.reason == "why"
    assert 1 <= steps.done <= 3
    assert with_missed(None, *arguments) is None
    few = with_missed(SettingsChoice({}, "why"), arguments[0], spots.sources[:7], *arguments[2:])
    assert few == SettingsChoice({}, "why")


class Steps(NullProgress):
    """Counts steps."""

    done = 0

    @contextmanager
    def task(self, title, total):
        yield self.add

    def add(self, steps):
        self.done += steps


def test_a_chosen_detector_is_that_of_the_same_settings_given(chosen):
    made = chosen.members[0].settings
    assert made.image_size == 64
    same = PatchCore(**made.to_mapping()).fit(parts(22))
    assert same.settings_choice is None
    assert np.array_equal(same.calibration.image_scores, chosen.calibration.image_scores)
    assert np.array_equal(same.members[0].model.bank, chosen.members[0].model.bank)
    assert same.calibration.threshold == chosen.calibration.threshold
    assert replace(chosen, settings_choice=None, content_sha256=None) == same


def test_the_best_candidate_is_chosen_and_the_record_says_so(chosen):
    record = chosen.settings_choice
    assert [dict(trial.changes) for trial in record.trials] == [
        {"patch_size": size, "scales": scales} for size in (3, 1) for scales in ((1.0, 0.5), (1.0,))
    ]
    best = max(record.trials, key=lambda trial: trial.smoothed)
    default = record.trials[0]
    if best.smoothed - default.smoothed <= LEAST_GAIN:
        best = default
    assert dict(record.chosen) == dict(best.changes)
    settings = chosen.members[0].settings.to_mapping()
    assert {name: settings[name] for name in record.chosen} == dict(record.chosen)
    assert (record.n_learned, record.n_held_out, record.n_defects) == (12, 10, 30)
    assert "30 synthetic defects" in record.reason
    assert f"AUROC of {best.auroc:.3f}" in record.reason
    ranks = [float(row[1].split()[-1]) for row in record.table]
    assert ranks == sorted(ranks, reverse=True)
    assert [row[2] for row in record.table].count("chosen") == 1


def test_a_choice_is_the_same_again(chosen):
    assert PatchCore.auto(**TINY, bank_limit=300).fit(parts(22)) == chosen


def test_the_record_is_in_the_file_and_comes_back_from_it(chosen, tmp_path):
    path = tmp_path / "a.patchbank"
    chosen.save(path)
    opened = load(path)
    assert opened == chosen
    assert opened.settings_choice.to_json() == chosen.settings_choice.to_json()
    assert opened.settings_choice.table == chosen.settings_choice.table
    assert opened.with_bank_rows(64).settings_choice == opened.settings_choice


def damaged(change):
    def changed(record):
        change(record["settings_choice"])

    return changed


@pytest.mark.parametrize(
    "change",
    [
        lambda choice: choice.pop("reason"),
        lambda choice: choice.update(n_learned=-1),
        lambda choice: choice.update(n_defects=True),
        lambda choice: choice.update(missed_below_px=0),
        lambda choice: choice.update(chosen=[]),
        lambda choice: choice.update(chosen={"image_size": {}}),
        lambda choice: choice.update(trials={}),
        lambda choice: choice["trials"][0].update(auroc=1.5),
        lambda choice: choice["trials"][0].update(auroc="0.5"),
        lambda choice: choice["trials"][0].pop("remark"),
    ],
)
def test_a_damaged_record_is_refused(chosen, tmp_path, change):
    from patchbank.detector.bundle import to_bytes

    path = tmp_path / "a.patchbank"
    chosen.save(path)
    bundle = read_bundle(path)
    record = json.loads(json.dumps(bundle.record))
    change(record["settings_choice"])
    content = to_bytes(Bundle(bundle.tensors, record))
    with pytest.raises(DetectorFileError, match="settings_choice: expected a choice of settings"):
        detector_from_bytes(content)


def test_keys_of_a_newer_program_are_no_reason_to_refuse_a_record(chosen):
    record = chosen.settings_choice.to_json()
    newer = {**record, "extra": 1, "trials": [{**one, "more": []} for one in record["trials"]]}
    assert SettingsChoice.from_json(newer).to_json() == record


@pytest.mark.parametrize("n", [1, 2, 19])
@pytest.mark.filterwarnings("ignore")
def test_below_twenty_photographs_the_default_is_kept_and_it_is_said(n):
    detector = PatchCore.auto(**TINY, bank_limit=100).fit(parts(n))
    record = detector.settings_choice
    assert (record.trials, dict(record.chosen)) == ((), {})
    verb = "photograph is" if n == 1 else "photographs are"
    assert record.reason == f"the default is kept; {n} {verb} too few to choose by (20 or more)"
    assert detector.members[0].settings == PatchCore(**TINY, bank_limit=100)


@pytest.mark.filterwarnings("ignore:4 groups")
def test_groups_that_stay_together_can_be_too_few_to_choose():
    detector = PatchCore.auto(**TINY, bank_limit=100).fit(parts(22), groups=[0] * 19 + [1, 2, 3])
    assert "of 4 groups of photographs that stay together" in detector.settings_choice.reason


def test_photographs_that_are_all_the_same_are_an_error_as_in_every_fit():
    with pytest.raises(DataError, match="expected photographs that differ, got 21"):
        PatchCore.auto(**TINY).fit([part(0)] * 21)


def test_no_time_keeps_the_default_and_too_little_takes_the_best_so_far():
    detector = PatchCore.auto(**TINY, bank_limit=100, time_limit_s=0).fit(parts(20))
    assert detector.settings_choice.reason == (
        "the default is kept; the time limit of 0 s was over before anything was tried"
    )
    with pytest.raises(ParameterError, match="time_limit_s: expected a number from 0 to"):
        PatchCore.auto(time_limit_s=-1)


@pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning")  # of so small a bank
def test_nothing_is_left_to_choose_where_all_is_given():
    recipe = PatchCore.auto(**TINY, bank_limit=100, patch_size=3, scales=(1.0,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one of the parts is unlike the others
        detector = recipe.fit(parts(20))
    assert detector.settings_choice.reason == "as given; what is given leaves nothing to choose"
    assert detector.members[0].settings.scales == (1.0,)


def test_a_crop_is_where_defects_are_placed():
    auto = PatchCore.auto(**{**TINY, "image_size": 96}, crop=64, bank_limit=100)
    detector = auto.fit(parts(20))
    assert len(detector.settings_choice.trials) == 4


def test_auto_is_no_preset_of_settings():
    with pytest.raises(ParameterError, match="use PatchCore.auto"):
        PatchCore.preset("auto")


def test_the_seed_decides_which_photographs_and_defects_are_in_the_trials():
    sources = [image_source(image) for image in parts(20)]
    one, other = (draw_sample(sources, split(np.arange(20), seed), seed) for seed in (0, 1))
    assert split(np.arange(20), 0) != split(np.arange(20), 1)
    assert [d.box for _, d in one.defects] != [d.box for _, d in other.defects]
    again = draw_sample(sources, split(np.arange(20), 0), 0)
    assert [d.box for _, d in one.defects] == [d.box for _, d in again.defects]


def test_candidates_with_other_copies_do_not_share_features():
    base = PatchCoreSettings(**TINY)
    changes = [{"rotations": 1}, {"rotations": 4}, {"patch_size": 1}, {"image_size": 96}]
    found = [Candidate(one, base.with_changes(**one)) for one in changes]
    groups = [[dict(one.changes) for one in group] for group in by_input(found)]
    assert groups == [
        [{"rotations": 1}, {"patch_size": 1}],
        [{"rotations": 4}],
        [{"image_size": 96}],
    ]


def test_diameters_grow_from_about_a_pixel_to_a_twelfth_of_the_side():
    for side in (1, 10, 300, 5000):
        found = diameters(side)
        assert found == sorted(found)
        assert found[-1] == pytest.approx(0.08)
        assert side < 13 or 1 <= found[0] * side < 2**0.5


def test_tiles_are_advised_where_photographs_are_much_larger_than_every_input_that_is_tried():
    # The largest input that is tried is one of 640 x 640 pixels.
    assert _advice(PatchCoreSettings(), 1279) == ""
    line = _advice(PatchCoreSettings(), 3200)
    assert line.startswith("photographs have 25 times as many pixels as the largest input")
    assert "--tiles" in line
    assert _advice(PatchCoreSettings(image_size=(1000, 2000)), 2500) == ""
    assert "4 times" in _advice(PatchCoreSettings(image_size=(1000, 2000)), 2830)
    assert _advice(PatchCoreSettings(crop=256), 3200) == ""
    record = SettingsChoice({}, "why", missed_below_px=9.0, missed_below_share=0.01, advice=line)
    assert record.lines[-1] == line
    assert SettingsChoice.from_json(record.to_json()) == record
    first = {name: value for name, value in record.to_json().items() if name != "advice"}
    assert SettingsChoice.from_json(first).advice == ""
    assert is_settings_choice(first)
    assert not is_settings_choice({**first, "advice": 3})
