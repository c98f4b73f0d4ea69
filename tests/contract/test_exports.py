"""Graphs that take pixels, calibrations of other kinds, photographs that do not fit."""

from dataclasses import replace

import numpy as np
import pytest

from patchbank import SPADE, GraphCore, PaDiM, PatchCore, load
from patchbank.export.files import onnx_file
from patchbank.export.running import ExportedDetector
from patchbank.export.verifying import drawn, verified
from patchbank.images.source import image_source
from tests.photographs import parts

pytestmark = pytest.mark.filterwarnings(
    "ignore::patchbank.errors.CalibrationWarning", "ignore::patchbank.errors.PhotographWarning"
)
SMALL = {"backbone": "efficientnet_lite0", "image_size": 128, "bank_limit": 150}
RECIPES = {
    "default": PatchCore(**SMALL),
    "crop": PatchCore(**SMALL, crop=(96, 112), scales=(1.0, 0.5, 0.75)),
    "squash": PatchCore(**SMALL, resize="squash", resampling="bicubic"),
    "pooled": PatchCore(**SMALL, target_dims=64, layer_dims=80, patch_size=5, patch_stride=1),
    "graph": GraphCore(backbone="efficientnet_lite0", image_size=96, graph_neighbours=4),
    "padim": PaDiM(backbone="efficientnet_lite0", image_size=96),
    "spade": SPADE(backbone="efficientnet_lite0", image_size=96, n_images=3),
    "crop of spade": SPADE(
        backbone="efficientnet_lite0", image_size=128, crop=(96, 112), scales=(1.0, 0.5)
    ),
}
SIZES = ((40, 30), (96, 120), (200, 150), (400, 25), (31, 333), (350, 420))
GOOD = [drawn(96, 120, seed) for seed in range(100, 106)]
GROUPS = np.array([0, 0, 1, 2, 2, 3], np.int32)
FITTED = {}


def fitted(name):
    if name not in FITTED:
        FITTED[name] = RECIPES[name].fit(GOOD)
    return FITTED[name]


def opened(detector, entry="photograph"):
    return ExportedDetector.of_bytes(
        [onnx_file(detector, entry, "float32")], "graph", "onnxruntime"
    )


def sources():
    """Photographs of all sizes, and a grey one."""
    colour = [drawn(*size, seed) for seed, size in enumerate(SIZES)]
    grey = np.repeat(drawn(90, 120, 50)[..., :1], 3, axis=2)
    return [image_source(image, "x".join(map(str, image.shape[:2]))) for image in (*colour, grey)]


def assert_equal(found, n):
    assert found.failure == ""
    assert len(found.pairs) == n
    assert found.largest_difference < 1e-5
    assert max(pair.map_difference for pair in found.pairs) < 1e-5
    assert min(pair.map_correlation for pair in found.pairs) > 0.999999
    for pair in found.pairs:
        assert pair.exported_p_value == pytest.approx(pair.p_value, rel=1e-3)


@pytest.mark.parametrize("name", RECIPES)
def test_a_graph_that_takes_pixels_gives_what_the_detector_gives(name):
    detector = fitted(name)
    found = verified(detector, opened(detector, "pixels"), sources())
    refused = [error for error in found.errors if error.startswith("crop: expected at most")]
    assert len(found.errors) == len(refused)
    assert (len(refused) > 0) == name.startswith("crop")
    assert_equal(found, len(SIZES) + 1 - len(refused))


def test_sides_between_two_multiples_go_the_same_way():
    """With these, a side of the input is a multiple of 16 and a half, which a graph rounds."""
    detector = PatchCore(backbone="efficientnet_lite0", image_size=640, bank_limit=80).fit(parts(5))
    halves = [image_source(drawn(*size, 7), str(size)) for size in ((96, 338), (192, 224))]
    assert_equal(verified(detector, opened(detector), halves), len(halves))


@pytest.mark.parametrize(("size", "is_passed"), [(1e-6, True), (1e-2, False)])
def test_the_map_of_a_learned_photograph_may_be_rounding(size, is_passed):
    detector = fitted("spade")
    graph, rng = opened(detector), np.random.default_rng(0)
    largest = size * detector.calibration.pixel_threshold

    def run(given):
        score, p_value, verdict, anomaly_map, regions = graph.run(given)
        noise = rng.uniform(0, largest, anomaly_map.shape).astype(np.float32)
        return [score, p_value, verdict, anomaly_map + noise, regions]

    learned = [image_source(GOOD[0], "learned")]
    found = verified(detector, replace(graph, run=run), learned)
    assert found.pairs[0].score == 0
    assert found.is_passed == is_passed


@pytest.mark.parametrize("name", ["crop", "crop of spade"])
def test_a_photograph_that_the_crop_does_not_fit_in_has_no_score(name):
    verdict = opened(fitted(name)).inspect(drawn(400, 25, 1))
    assert np.isnan(verdict.score)
    assert verdict.is_anomalous


def test_a_threshold_by_hand_and_a_single_photograph():
    changed = fitted("default").with_threshold(0.5, 0.75)
    assert_equal(verified(changed, opened(changed), sources()), len(SIZES) + 1)
    single = PatchCore(**SMALL).fit(GOOD[:1])
    assert_equal(verified(single, opened(single), sources()), len(SIZES) + 1)


@pytest.mark.parametrize("changes", [{"groups": GROUPS}, {"rule": "ranks"}])
def test_photographs_in_groups_and_the_rule_of_format_2(changes):
    detector = fitted("default")
    other = replace(detector, calibration=replace(detector.calibration, **changes))
    found = verified(other, opened(other), sources())
    assert_equal(replace(found, problems=()), len(SIZES) + 1)


def test_an_export_is_that_of_a_file_too(tmp_path):
    detector = fitted("default")
    detector.save(tmp_path / "a.patchbank")
    again = load(tmp_path / "a.patchbank")
    assert onnx_file(again, "photograph", "float32") == onnx_file(detector, "photograph", "float32")
