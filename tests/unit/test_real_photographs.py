"""Real photographs, where they lie beside this checkout: many sizes, real defects."""

from itertools import islice

import numpy as np
import pytest

from patchbank import PatchCore, evaluate, load
from patchbank.datasets import Dataset, find_dataset
from patchbank.errors import PhotographWarning
from patchbank.images.folders import find_images

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


def test_magnetic_tiles_of_many_sizes_are_learned_and_separated(real_data, tmp_path):
    root = real_data("mtd")
    recipe = PatchCore.preset("fast", bank_limit=1500, false_alarm_rate=0.1)
    learned = find_images(root / "train" / "good").images[:120]
    with pytest.warns(PhotographWarning) as said:
        recipe.fit(learned).save(tmp_path / "tiles.patchbank")
    assert any("of 120 photographs are nearly the same" in str(one.message) for one in said)
    detector = load(tmp_path / "tiles.patchbank")
    assert detector.calibration.n_groups < 120

    samples = find_dataset(root).samples
    some = [s for s in samples if s.label == "break"][:15]
    some += islice((s for s in samples if not s.is_defect), 15)
    result = evaluate(detector, Dataset("tiles", tuple(some)))

    assert len({i.size for _, i in result.inspections}) > 10
    assert all(i.anomaly_map.shape == i.size[::-1] for _, i in result.inspections)
    assert result.image_auroc > 0.8
    assert result.pixel_auroc > 0.7
    assert not result.unread


def test_screws_in_any_position_score_higher_when_they_are_spoilt(real_data):
    root = real_data("screw")
    recipe = PatchCore.preset("fast", false_alarm_rate=0.1, bank_limit=2000)
    detector = recipe.fit(find_images(root / "train" / "good").images[:60])
    good = detector.predict(find_images(root / "test" / "good").images[:12])
    bad = detector.predict(find_images(root / "test" / "manipulated_front").images[:12])
    assert np.median([i.score for i in bad]) > np.median([i.score for i in good])
