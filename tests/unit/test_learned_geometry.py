"""Where cells of learned photographs lie in their pixels, from sizes and poses alone."""

from dataclasses import replace

import numpy as np
import pytest

from patchbank import Box, PatchCore
from patchbank.detector.explanation.geometry import CellMap, LearnedGeometry
from patchbank.detector.explanation.pictures import LearnedPhotographs
from patchbank.detector.packing import DetectorParts
from patchbank.detector.preprocessing import extract, geometry_of_size
from tests.photographs import part, parts

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SMALL = {"backbone": "efficientnet_lite0", "image_size": 96, "false_alarm_rate": 0.2}
OTHER = (60, 130)


@pytest.fixture(scope="module")
def detector():
    return PatchCore(**SMALL, bank_rows=60).fit([*parts(3), part(3, size=OTHER)])


def geometry_of(detector, **changes):
    parts_of = detector._parts()
    assert isinstance(parts_of, DetectorParts)
    member = parts_of.members[0]
    member = replace(member, settings=member.settings.with_changes(**changes))
    seen = detector.predict(part(9)).predictions[0].geometry
    return LearnedGeometry(replace(parts_of, members=(member,)), member, seen)


SETTINGS = [
    {},
    {"resize": "squash"},
    {"resize": "short_side", "image_size": 64},
    {"image_size": (96, 160)},
    {"image_size": 128, "crop": 64},
    {"scales": (1.0,), "patch_stride": 1},
]


@pytest.mark.parametrize("changes", SETTINGS)
@pytest.mark.parametrize("size", [(72, 104), OTHER])
def test_the_geometry_of_a_size_is_that_of_a_photograph_of_that_size(detector, changes, size):
    member = detector.members[0]
    settings = member.settings.with_changes(**changes)
    _, seen = extract(member.extractor, settings, part(5, size=size))
    alone = geometry_of_size(member.extractor, settings, size)
    assert alone == seen


def test_cells_are_equal_shares_of_the_photograph(detector):
    cells = geometry_of(detector).cells(3, 0)
    h, w = cells.grid
    assert cells.photograph == OTHER
    corners = cells.to_photograph.at(np.array([(0.0, 0.0), (h, w), (h / 2, w / 2)]))
    np.testing.assert_allclose(corners, [(0, 0), OTHER, (30, 65)], atol=1e-9)
    assert cells.box((h / 2, w / 2), 2 * max(h, w)) == Box(0, 0, *OTHER)
    around = cells.around((h / 2, w / 2))
    np.testing.assert_allclose(around.offset, (30, 65))
    np.testing.assert_allclose(np.diag(around.linear), (60 / h, 130 / w))


def test_a_photograph_of_the_inspected_size_has_the_grid_that_the_network_made(detector):
    known = geometry_of(detector)
    seen = detector.predict(part(9)).predictions[0].geometry
    assert known.cells(0, 0).grid == seen.feature_grid
    odd = replace(seen, feature_grid=(seen.feature_grid[0] - 1, seen.feature_grid[1]))
    parts_of = detector._parts()
    other = LearnedGeometry(parts_of, parts_of.members[0], odd)
    assert other.cells(0, 0).grid == odd.feature_grid
    assert other.cells(3, 0).grid == known.cells(3, 0).grid


def test_maps_are_made_once(detector):
    known = geometry_of(detector)
    assert known.cells(1, 0) is known.cells(1, 0)
    assert isinstance(known.cells(1, 0), CellMap)


@pytest.mark.parametrize(("photograph", "copy"), [(4, 0), (99, 0), (0, 1)])
def test_photographs_and_copies_that_are_not_known_have_no_map(detector, photograph, copy):
    assert geometry_of(detector).cells(photograph, copy) is None


def test_a_photograph_that_the_settings_cannot_be_for_has_no_map(detector):
    known = geometry_of(detector, image_size=96, crop=(96, 64))
    assert known.cells(3, 0) is None  # 65 x 141 pixels after resizing, which are too low


def test_turned_parts_need_a_pose_of_their_photograph(detector):
    changes = {"position": "canonical", "part_size": (24, 48)}
    known = geometry_of(detector, **changes)
    assert known.cells(0, 0) is None
    poses = np.array([(0.0, 1.0, 30.0, 50.0), (1.0, 0.0, 40.0, 60.0)])
    posed = replace(detector, photographs=LearnedPhotographs(None, poses), content_sha256=None)
    known = geometry_of(posed, **changes)
    level, upright = known.cells(0, 0), known.cells(1, 0)
    h, w = level.grid
    np.testing.assert_allclose(level.to_photograph.at(np.array([h / 2, w / 2])), (30, 50))
    np.testing.assert_allclose(level.to_photograph.at(np.array([0.0, 0.0])), (18, 26))
    np.testing.assert_allclose(upright.to_photograph.at(np.array([h / 2, w / 2])), (40, 60))
    np.testing.assert_allclose(upright.to_photograph.at(np.array([h / 2, w])), (64, 60))
    assert known.cells(2, 0) is None  # learned after the poses were stored
