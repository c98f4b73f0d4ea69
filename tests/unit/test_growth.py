"""A bank that only grows lowers scores, and what is not such a bank is not taken for one."""

from dataclasses import replace

import numpy as np
import pytest

from patchbank import PaDiM, PatchCore
from patchbank.detector.detector import parts_of
from patchbank.detector.growth import ROUNDING, only_lowers, stays_below
from patchbank.images.roi import RegionOfInterest
from tests.photographs import part, parts

SMALL = {"image_size": 64, "bank_rows": 40, "false_alarm_rate": 0.2, "banks": "joint"}
pytestmark = [
    pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning"),
]


def fitted(**options):
    return PatchCore(**{**SMALL, **options}).fit(parts(8))


@pytest.fixture(scope="module")
def plain():
    return fitted()


@pytest.fixture(scope="module")
def grown(plain):
    flagged = plain.predict(part(60, defect=9))
    assert flagged.is_anomalous
    return plain.updated(normal=flagged)


def law(before, after):
    return only_lowers(parts_of(before), parts_of(after))


def with_model(detector, change):
    (member,) = detector.members
    return replace(parts_of(detector), members=(replace(member, model=change(member.model)),))


def test_more_rows_give_no_photograph_a_higher_score(plain, grown):
    assert law(plain, grown)
    assert not law(grown, plain)
    assert len(grown.members[0].model.bank) > len(plain.members[0].model.bank)
    images = [*parts(4), *(part(seed, defect=seed % 7) for seed in range(70, 80))]
    pairs = [(plain.predict(one).score, grown.predict(one).score) for one in images]
    assert all(new <= old * (1 + ROUNDING) for old, new in pairs)
    assert any(new < old * (1 - ROUNDING) for old, new in pairs)


def test_other_thresholds_do_not_matter(plain, grown):
    assert law(plain.with_threshold(1.0), grown.with_false_alarm_rate(0.4))
    assert law(plain, plain)


def test_rows_count_as_often_as_they_are_there(plain):
    def without_last(model):
        return model.truncated(model.n_rows - 1)

    def in_other_order(model):
        return model.with_banks([_model(model, model.bank[::-1], model.origins[::-1])])

    def with_one_twice(model):
        bank = np.concatenate([model.bank[:-1], model.bank[:1]])
        return model.with_banks([_model(model, bank, model.origins)])

    own = parts_of(plain)
    assert not only_lowers(own, with_model(plain, without_last))
    assert not only_lowers(own, own, with_model(plain, without_last))
    assert not only_lowers(own, with_model(plain, without_last), own)
    assert only_lowers(own, own, own)
    assert only_lowers(with_model(plain, without_last), own)
    assert only_lowers(own, with_model(plain, in_other_order))
    twice = with_model(plain, with_one_twice)
    assert not only_lowers(own, twice)
    assert not only_lowers(twice, own)


def _model(model, bank, origins):
    return type(model)(
        model.settings,
        model.embed,
        np.ascontiguousarray(bank),
        np.ascontiguousarray(origins),
        model.radii,
        device=model.device,
    )


def test_other_members_or_regions_have_no_law(plain, grown):
    own, more = parts_of(plain), parts_of(grown)
    assert not only_lowers(own, replace(more, members=(*more.members, *more.members)))
    mask = np.ones((72, 104), dtype=bool)
    mask[:, :10] = False
    assert not only_lowers(own, replace(more, roi=RegionOfInterest(mask)))
    assert only_lowers(
        replace(own, roi=RegionOfInterest(mask)), replace(more, roi=RegionOfInterest(mask.copy()))
    )
    assert not law(PaDiM(image_size=64).fit(parts(8)), grown)
    assert not law(fitted(image_size=96), grown)


@pytest.mark.parametrize("kind", ["reweighted", "hcw"])
def test_scores_that_are_weighted_anew_have_no_law(kind):
    one = fitted(image_score=kind)
    assert not law(one, one)


def test_each_map_has_a_bank_that_grows():
    before = fitted(banks="per_map")
    after = before.updated(normal=before.predict(part(60, defect=9)))
    assert law(before, after)
    image = part(71, defect=6)
    assert after.predict(image).score <= before.predict(image).score * (1 + ROUNDING)


@pytest.mark.parametrize(
    ("score", "threshold", "is_below"),
    [(1.0, 1.0, False), (1.0, 1.00001, True), (-1.0, -1.0, False), (0.0, 0.0, True)],
)
def test_a_score_stays_below_with_room_for_rounding(score, threshold, is_below):
    assert stays_below(score, threshold) == is_below
    assert stays_below(score, threshold, threshold + 1) == is_below
    assert stays_below(score, threshold + 1, threshold) == is_below
