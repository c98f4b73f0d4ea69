"""What part of a photograph is looked at, and where its map lies."""

import numpy as np
import pytest
from PIL import Image as pillow

from patchbank import ParameterError, PatchCore
from patchbank.core.spatial.box import Box
from patchbank.datasets import find_dataset
from patchbank.detector.preprocessing import extract
from patchbank.evaluation.evaluate import evaluate
from tests.photographs import part, parts, save, write_dataset
from tests.unit.test_backbones import HALF, write_onnx

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")

CROPPED = {
    "backbone": "efficientnet_lite0",
    "image_size": 128,
    "resize": "short_side",
    "crop": 96,
    "scales": (1.0,),
    "max_upscale": 10,
    "bank_rows": 100,
}


class Recorder:
    """A backbone that keeps what it was shown."""

    def __init__(self, info):
        self.info, self.layers, self.shown = info, info.default_layers, []

    def __call__(self, image):
        self.shown.append(image)
        return [np.zeros((3, image.shape[0] // 8, image.shape[1] // 8), np.float32)]


@pytest.fixture
def recorder():
    from patchbank.backbones import open_backbone

    return Recorder(open_backbone("efficientnet_lite0").info)


def test_the_network_sees_the_middle_of_the_resized_photograph(recorder):
    image = part(0, size=(150, 300))
    _, geometry = extract(recorder, PatchCore(**CROPPED), image)
    whole = pillow.fromarray(image).resize((256, 128), pillow.Resampling.BILINEAR)
    (shown,) = recorder.shown
    np.testing.assert_array_equal(shown, np.asarray(whole)[16:112, 80:176])
    assert geometry.crop_box == Box(top=19, left=94, height=112, width=112)


def test_other_scales_see_the_same_part(recorder):
    image = np.zeros((150, 300, 3), np.uint8)
    image[19:131, 94:206] = 200  # just the part
    extract(recorder, PatchCore(**{**CROPPED, "scales": (1.0, 0.5)}), image)
    assert [shown.shape[:2] for shown in recorder.shown] == [(96, 96), (48, 48)]
    assert recorder.shown[1].min() == 200


def test_a_height_and_width_may_be_cropped(recorder):
    settings = PatchCore(**{**CROPPED, "crop": (64, 96)})
    extract(recorder, settings, part(0, size=(150, 300)))
    assert recorder.shown[0].shape == (64, 96, 3)


def test_the_map_is_zero_where_nothing_was_inspected():
    detector = PatchCore(**CROPPED).fit(parts(5, size=(100, 200)))
    seen = detector.predict(part(60, size=(100, 200)))
    assert seen.box == Box(12, 62, 76, 76)
    drawn = seen.anomaly_map
    assert drawn.shape == (100, 200)
    inside = seen.box.of(drawn)
    assert inside.min() > 0
    assert np.count_nonzero(drawn) == inside.size


def test_the_map_lies_where_the_defect_is():
    size = (100, 200)
    detector = PatchCore(**CROPPED).fit(parts(6, size=size))
    image = part(60, size=size)
    image[40:52, 110:122] = 0
    drawn = detector.predict(image).anomaly_map
    row, column = np.unravel_index(drawn.argmax(), size)
    assert abs(row - 46) < 8
    assert abs(column - 116) < 8


def test_overlays_are_dark_where_nothing_was_inspected(tmp_path):
    detector = PatchCore(**CROPPED).fit(parts(5, size=(100, 200)))
    image = np.full((100, 200, 3), 120, np.uint8)
    detector.predict(image).save(tmp_path / "a.png")
    picture = np.asarray(pillow.open(tmp_path / "a.png").convert("RGB"))
    framed = picture.shape[0] - 200  # enlarged twice, below the caption
    assert (picture[framed + 5, 5] == 42).all()


def test_pixels_are_compared_where_they_were_inspected(tmp_path):
    write_dataset(tmp_path, n_train=6)
    detector = PatchCore(**CROPPED).fit(tmp_path)
    box = detector.predict(tmp_path / "test" / "blot" / "000.png").box
    assert box.width < 104
    before = evaluate(detector, find_dataset(tmp_path))
    for path in (tmp_path / "ground_truth" / "blot").iterdir():
        mask = np.asarray(pillow.open(path)).copy()
        mask[:, : box.left] = 255  # a defect where nobody looked
        save(path, mask)
    after = evaluate(detector, find_dataset(tmp_path))
    assert after.pixel_auroc == before.pixel_auroc
    assert after.aupro == before.aupro


def test_a_crop_larger_than_the_photograph_is_named():
    with pytest.raises(ParameterError, match="crop: expected at most 64 x 128 .* got 96 x 96"):
        PatchCore(**{**CROPPED, "image_size": 64}).fit(parts(3, size=(100, 200)))


def test_a_crop_that_the_network_does_not_take_is_named():
    with pytest.raises(ParameterError, match="crop: expected multiples of 16 .*got 100 x 96"):
        PatchCore(**{**CROPPED, "crop": (100, 96)}).fit(parts(3))


def test_a_backbone_of_one_size_takes_a_crop_of_that_size(tmp_path):
    path = write_onnx(tmp_path / "a.onnx", size=(96, 96))
    mean, std = HALF
    PatchCore(**{**CROPPED, "backbone": path, "mean": mean, "std": std}).fit(parts(3))


def test_a_normalised_score_has_the_threshold_in_the_middle():
    recipe = PatchCore(**{**CROPPED, "normalise_score": True, "false_alarm_rate": 0.3})
    detector = recipe.fit(parts(8))
    scores = [detector.predict(part(60, defect=r)) for r in range(0, 12, 2)]
    for seen in scores:
        assert 0 <= seen.normalised_score <= 1
        assert (seen.normalised_score > 0.5) == seen.is_anomalous
        assert seen.to_json()["normalised_score"] == seen.normalised_score
    calibration = detector.calibration
    quarter = float(np.ptp(calibration.image_scores)) / 4  # of the range of good images left out
    for steps, expected in ((-3, 0.0), (-1, 0.25), (0, 0.5), (1, 0.75), (3, 1.0)):
        found = calibration.normalised(calibration.threshold + steps * quarter)
        assert found == pytest.approx(expected)
    assert "normalised_score" not in PatchCore(**CROPPED).fit(parts(3)).predict(part(9)).to_json()
