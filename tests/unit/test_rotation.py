"""How far features change when the photograph turns."""

import numpy as np
import pytest

from patchbank import GraphCore, PatchCore
from patchbank.images.augment import Augmentation
from tests.photographs import part

PHOTOGRAPH, OTHER = part(0, size=(160, 224)), part(1, size=(160, 224))
SMALL = {
    "backbone": "efficientnet_lite0",
    "image_size": 224,
    "selection": "all",
    "false_alarm_rate": 0.2,
}
RECIPES = {
    "plain": PatchCore(**SMALL, banks="joint"),
    "rotated": PatchCore(**SMALL, banks="joint", rotations=4),
    "graph": GraphCore(**SMALL),
}

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


@pytest.fixture(scope="module")
def detectors():
    return {name: recipe.fit([PHOTOGRAPH]) for name, recipe in RECIPES.items()}


def change(detector, angle):
    """Median distance of the turned photograph's patches, as a share of another part's."""
    turned = detector.predict(Augmentation(angle).of(PHOTOGRAPH)).predictions[0].scores.patch_scores
    other = detector.predict(OTHER).predictions[0].scores.patch_scores
    return float(np.median(turned) / np.median(other))


@pytest.mark.parametrize("name", RECIPES)
def test_what_was_learned_is_at_no_distance(detectors, name):
    assert change(detectors[name], 0.0) == 0


@pytest.mark.parametrize("angle", [90.0, 180.0, 270.0])
def test_right_angles_change_all_but_the_rotated_bank(detectors, angle):
    """Convolutions know directions: only what was learned turned is found again.

    A graph of features is as invariant as its features, so it helps and does not suffice.
    """
    assert change(detectors["rotated"], angle) == 0
    assert 1 < change(detectors["graph"], angle) < change(detectors["plain"], angle)


@pytest.mark.parametrize("angle", [30.0, 45.0, 100.0])
def test_other_angles_change_plain_features_most(detectors, angle):
    plain = change(detectors["plain"], angle)
    assert 0 < change(detectors["rotated"], angle) < plain
    assert 1 < change(detectors["graph"], angle) < plain


def test_more_orientations_leave_less_to_change():
    changes = [change(PatchCore(**SMALL, rotations=n).fit([PHOTOGRAPH]), 52.0) for n in (1, 4, 12)]
    assert changes == sorted(changes, reverse=True)
    assert changes[-1] < changes[0] / 2
