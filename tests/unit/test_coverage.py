"""Coverage of a bank by a photograph, against brute force, and what it says of parts."""

import numpy as np
import pytest

from patchbank import PaDiM, PatchCore, load
from patchbank.methods.memory_bank.coverage import (
    N_PHOTOGRAPHS,
    N_ROWS,
    uncovered,
    uncovered_by_one,
)
from tests.photographs import part, parts

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.CalibrationWarning")
TINY = {"backbone": "efficientnet_lite0", "image_size": 96, "false_alarm_rate": 0.2}


def rows_of(detector, image):
    member = detector.members[0]
    maps, _ = member.features(image)
    return np.asarray(member.model.embed(maps)).reshape(-1, sum(member.model.widths))


def brute(model, patches, group=()):
    """Mean distance of each row to its nearest patch, one by one."""
    total, begin = [], 0
    for bank, spread in zip(
        model.banks_of_maps, [each.spread for each in model.banks], strict=True
    ):
        part_ = patches[:, begin : begin + bank.bank.shape[1]].astype(np.float64)
        begin += bank.bank.shape[1]
        rows = [
            np.linalg.norm(part_ - row, axis=1).min()
            for row, origin in zip(bank.bank[:N_ROWS], bank.origins[:N_ROWS], strict=True)
            if origin[0] not in group
        ]
        total.append(np.mean(rows) / spread)
    return np.mean(total)


@pytest.fixture(scope="module")
def detector():
    return PatchCore(**TINY, bank_limit=300).fit(parts(6), groups="none", device="cpu")


@pytest.mark.parametrize("group", [(), (0,), (1, 3)])
def test_it_is_the_mean_distance_of_rows_to_the_nearest_patch(detector, group):
    model, patches = detector.members[0].model, rows_of(detector, part(50))
    found = uncovered(model, patches, np.array(group, dtype=np.intp) if group else None)
    assert found == pytest.approx(brute(model, patches, group), rel=1e-4)


def test_a_learned_photograph_is_measured_by_the_rows_of_the_others(detector):
    kept = detector.likeness.uncovered
    assert kept.shape == (6,)
    for number, image in enumerate(parts(6)):
        expected = brute(detector.members[0].model, rows_of(detector, image), (number,))
        assert kept[number] == pytest.approx(expected, rel=1e-3)


def test_it_orders_good_defective_and_other_parts(detector):
    model = detector.members[0].model
    noise = np.random.default_rng(0).integers(0, 256, (72, 104, 3), dtype=np.uint8)
    good, defect, other = (
        uncovered(model, rows_of(detector, image))
        for image in (part(60), part(60, defect=6), noise)
    )
    assert good < defect < other
    assert good < uncovered_by_one(model) < other


def test_it_is_in_the_file_and_some_photographs_are_enough(detector, tmp_path):
    detector.save(tmp_path / "a.patchbank")
    opened = load(tmp_path / "a.patchbank", device="cpu")
    np.testing.assert_array_equal(opened.likeness.uncovered, detector.likeness.uncovered)
    many = PatchCore(**TINY, bank_limit=100).fit(parts(20), groups="none", device="cpu")
    assert many.likeness.uncovered.shape == (N_PHOTOGRAPHS,)
    assert many.with_bank_rows(many.bank_sizes[0]).likeness.uncovered.shape == (N_PHOTOGRAPHS,)


def test_methods_without_a_bank_know_none():
    assert PaDiM(**TINY).fit(parts(5), device="cpu").likeness.uncovered.shape == (0,)


def test_a_photograph_without_a_patch_leaves_nothing_to_measure(detector):
    model = detector.members[0].model
    assert uncovered(model, np.empty((0, sum(model.widths)), dtype=np.float32)) == 0.0
