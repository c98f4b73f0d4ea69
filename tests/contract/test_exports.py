"""The graph of every method gives what the detector gives, for photographs of any size."""

import numpy as np
import pytest

from patchbank import Ensemble, GraphCore, PaDiM, PatchCore, load
from patchbank.errors import ParameterError
from patchbank.export import export_detector
from patchbank.export.files import onnx_file
from patchbank.export.running import ExportedDetector
from patchbank.export.verifying import drawn, verified
from patchbank.images.source import image_source
from patchbank.methods import METHODS

pytestmark = pytest.mark.filterwarnings(
    "ignore::patchbank.errors.CalibrationWarning", "ignore::patchbank.errors.PhotographWarning"
)
SMALL = {"backbone": "efficientnet_lite0", "image_size": 128, "bank_limit": 150}
OTHER = {**SMALL, "backbone": "efficientnet_lite2"}
RECIPES = {
    "default": PatchCore(**SMALL),
    "other backbone": PatchCore(**OTHER),
    "one bank": PatchCore(**SMALL, banks="joint", image_score="max"),
    "re-weighted": PatchCore(**SMALL, image_score="reweighted", n_neighbours=2),
    "hcw": PatchCore(**SMALL, image_score="hcw"),
    "smooth_max": PatchCore(**SMALL, image_score="smooth_max"),
    "squared": PatchCore(**SMALL, metric="squared"),
    "neighbours": PatchCore(**SMALL, n_neighbours=3),
    "pooled": PatchCore(**SMALL, target_dims=64, layer_dims=80, patch_size=5, patch_stride=1),
    "stride": PatchCore(**SMALL, patch_stride=3, patch_size=1),
    "crop": PatchCore(**SMALL, crop=(96, 112), scales=(1.0, 0.5, 0.75)),
    "squash": PatchCore(**SMALL, resize="squash", resampling="bicubic"),
    "short side": PatchCore(**SMALL, resize="short_side", scales=(1.0,)),
    "height and width": PatchCore(**{**SMALL, "image_size": (96, 160)}, resampling="lanczos"),
    "nearest": PatchCore(
        **SMALL, alignment="nearest", map_interpolation="nearest", map_border="mirror"
    ),
    "not smoothed": PatchCore(**SMALL, smoothing=0, layers=("blocks.1", "blocks.3")),
    "official": PatchCore.preset(
        "official", backbone="efficientnet_lite0", image_size=112, crop=96, bank_limit=100
    ),
    "graph": GraphCore(backbone="efficientnet_lite0", image_size=96, graph_neighbours=4),
    "padim": PaDiM(backbone="efficientnet_lite0", image_size=96),
    "padim, few channels": PaDiM(backbone="efficientnet_lite2", image_size=96, dims=20, rank=3),
    "ensemble": Ensemble([PatchCore(**SMALL), PaDiM(backbone="efficientnet_lite2", image_size=96)]),
}
SIZES = ((40, 30), (96, 120), (200, 150), (400, 25), (31, 333), (350, 420))
GOOD = [drawn(96, 120, seed) for seed in range(100, 106)]
FITTED = {}


def fitted(name):
    if name not in FITTED:
        FITTED[name] = RECIPES[name].fit(GOOD)
    return FITTED[name]


def opened(detector, entry="photograph"):
    return ExportedDetector.of_bytes([onnx_file(detector, entry)], "graph", "onnxruntime")


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
def test_a_graph_gives_what_the_detector_gives(name):
    detector, given = fitted(name), sources()
    found = verified(detector, opened(detector), given)
    refused = [error for error in found.errors if error.startswith("crop: expected at most")]
    assert len(found.errors) == len(refused)
    assert (len(refused) > 0) == (name == "crop")
    assert_equal(found, len(given) - len(refused))


@pytest.mark.parametrize("name", ["default", "crop", "squash", "graph", "padim"])
def test_so_does_one_that_takes_pixels(name):
    detector = fitted(name)
    found = verified(detector, opened(detector, "pixels"), sources())
    assert_equal(found, len(SIZES) + 1 - len(found.errors))


@pytest.mark.parametrize("name", ["default", "re-weighted", "hcw", "graph", "padim", "crop"])
def test_photographs_of_a_batch_do_not_depend_on_each_other(name):
    detector = fitted(name)
    graph, images = opened(detector), np.stack([drawn(200, 190, seed) for seed in range(8)])
    for n in (1, 3, 8):
        for one, image in zip(graph(images[:n]), images, strict=False):
            alone = graph.inspect(image)
            assert one.score == pytest.approx(alone.score, rel=1e-6)
            assert one.is_anomalous == alone.is_anomalous
            np.testing.assert_allclose(one.anomaly_map, alone.anomaly_map, rtol=1e-4, atol=1e-5)


def test_a_photograph_that_the_crop_does_not_fit_in_has_no_score():
    verdict = opened(fitted("crop")).inspect(drawn(400, 25, 1))
    assert np.isnan(verdict.score)
    assert verdict.is_anomalous


def test_a_smaller_bank_a_threshold_and_a_single_photograph():
    detector = PatchCore(**SMALL).fit(GOOD)
    changed = detector.with_bank_rows(detector.bank_sizes[0]).with_threshold(0.5, 0.75)
    assert_equal(verified(changed, opened(changed), sources()), len(SIZES) + 1)
    single = PatchCore(**SMALL).fit(GOOD[:1])
    assert_equal(verified(single, opened(single), sources()), len(SIZES) + 1)


def test_photographs_in_groups_and_the_rule_of_format_2(tmp_path):
    from dataclasses import replace

    detector = fitted("default")
    groups = np.array([0, 0, 1, 2, 2, 3], np.int32)
    for changes in ({"groups": groups}, {"rule": "ranks"}):
        other = replace(detector, calibration=replace(detector.calibration, **changes))
        found = verified(other, opened(other), sources())
        assert_equal(replace(found, problems=()), len(SIZES) + 1)


REFUSED = {
    "tiles": PatchCore(backbone="efficientnet_lite0", tiles=True, bank_limit=100),
    "index": PatchCore(**SMALL, index="hnsw"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_graph_is_refused_in_one_line(name, tmp_path):
    if name == "index":
        pytest.importorskip("faiss")
    detector = REFUSED[name].fit([drawn(240, 256, seed) for seed in range(4)])
    with pytest.raises(
        ParameterError, match=f"expected a detector of what .* with {name}"
    ) as error:
        export_detector(detector, tmp_path / "a.onnx")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_region_of_interest_has_no_graph(tmp_path):
    detector = PatchCore(**SMALL).fit(GOOD, roi=[[(0, 0), (0, 60), (90, 60), (90, 0)]])
    with pytest.raises(ParameterError, match="with a region of interest"):
        export_detector(detector, tmp_path / "a.onnx")


def test_methods_without_a_graph_are_known():
    from patchbank.export.exportable import METHODS as EXPORTED

    assert set(EXPORTED) <= set(METHODS)


def test_an_export_is_that_of_a_file_too(tmp_path):
    detector = fitted("default")
    detector.save(tmp_path / "a.patchbank")
    again = load(tmp_path / "a.patchbank")
    assert onnx_file(again, "photograph") == onnx_file(detector, "photograph")
