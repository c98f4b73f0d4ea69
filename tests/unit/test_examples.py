"""What methods learn from: photographs, their copies, and the cells that show something."""

import numpy as np
import pytest

from patchbank.backbones import open_backbone
from patchbank.core.scores.calibration import Calibration
from patchbank.images.source import image_source
from patchbank.methods import PatchCoreSettings, TrainingImage
from patchbank.methods.patch_store import PatchStore
from patchbank.runtime.progress import NullProgress
from patchbank.training.extraction import extract_images
from tests.photographs import part


def examples_of(photographs, **settings):
    chosen = PatchCoreSettings(backbone="efficientnet_lite0", scales=(1.0,), **settings)
    extractor = open_backbone(chosen.backbone)
    sources = [image_source(photograph) for photograph in photographs]
    extracted = list(extract_images(extractor, chosen, sources, NullProgress()))
    originals = [image for image in extracted if not image.features.is_copy]
    assert [image.geometry.photograph for image in originals] == [p.shape[:2] for p in photographs]
    for image in extracted:
        assert image.geometry.feature_grid == image.features.maps[0].shape[1:]
    return [image.features for image in extracted]


def test_each_photograph_is_followed_by_its_copies():
    photographs = [part(0), part(1, size=(104, 72))]
    found = examples_of(photographs, image_size=96, rotations=3, flips="horizontal")
    assert [example.photograph for example in found] == [0] * 6 + [1] * 6
    assert [example.is_copy for example in found] == ([False] + [True] * 5) * 2
    for example in found[1:6]:
        assert example.inside.shape == example.maps[0].shape[1:]


def test_corners_of_a_turned_copy_are_outside_and_the_middle_is_not():
    copy = examples_of([part(0, size=(96, 160))], image_size=160, rotations=8)[1]
    h, w = copy.inside.shape
    assert not copy.inside[0, 0]
    assert not copy.inside[-1, -1]
    assert copy.inside[h // 2, w // 2]


def test_the_middle_that_a_crop_keeps_is_inside_whatever_the_angle():
    photograph = part(0, size=(160, 192))
    found = examples_of([photograph], image_size=(160, 192), crop=96, rotations=5)
    assert all(example.inside.all() for example in found[1:])


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_cells_inside_are_those_of_the_patches_that_a_stride_keeps(stride):
    inside = np.random.default_rng(0).random((5, 8)) < 0.5
    kept = inside[::stride, ::stride]
    cells = TrainingImage([], 0, inside).cells_inside(kept.shape, stride)
    expected = [r * kept.shape[1] + c for r, c in np.ndindex(*kept.shape) if kept[r, c]]
    assert cells.tolist() == expected
    assert TrainingImage([], 0).cells_inside(kept.shape, stride).tolist() == list(range(kept.size))


def test_other_views_of_one_photograph_give_their_highest_score_and_peak():
    scores, peaks = np.array([1.0, 3.0, 2.0]), np.array([5.0, 4.0, 7.0])
    calibration = Calibration(scores, peaks, 0.5, views_of_one=True)
    assert (calibration.threshold, calibration.pixel_threshold) == (3.0, 7.0)
    assert calibration.smallest_rate == 1
    assert "other views of itself" in calibration.remark
    assert Calibration(scores, peaks, 0.5).threshold < 3.0


def test_stored_patches_know_their_photographs_and_leave_out_what_shows_nothing_of_them():
    store = PatchStore(3, stride=2, note=print)
    grid = np.arange(6, dtype=np.float32).reshape(2, 3, 1)  # every other cell of 4 x 5
    inside = np.ones((4, 5), dtype=bool)
    inside[:2] = False
    store.append(grid, TrainingImage([], 0))
    store.append(grid + 10, TrainingImage([], 0, inside))
    store.append(grid[:1] + 20, TrainingImage([], 1))
    assert store.features[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 13, 14, 15, 20, 21, 22]
    assert store.photograph_of_patches().tolist() == [0] * 9 + [1] * 3
    assert store.n_photographs == 2
    assert (store.embedding(0).features == grid).all()
    assert store.embedding(1).features.tolist() == [[[20.0], [21.0], [22.0]]]
    assert store.patches_of(1) == slice(9, 12)
    assert store.origins(np.array([4, 6, 10])).tolist() == [
        [0, 1, 1, 0],
        [0, 1, 0, 1],
        [1, 0, 1, 0],
    ]
