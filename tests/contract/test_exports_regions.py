"""Graphs of detectors with a region of interest."""

import numpy as np
import pytest

from patchbank import SPADE, Ensemble, GraphCore, PaDiM, PatchCore, load
from patchbank.errors import ParameterError
from patchbank.export import export_detector, open_exported
from patchbank.export.verifying import verified
from patchbank.images.source import image_source
from tests.conftest import GOLDEN
from tests.photographs import part, parts

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
LITE0 = {"backbone": "efficientnet_lite0", "image_size": 96, "top_fraction": 0.1}
BANK = {**LITE0, "bank_limit": 80}
RECIPES = {
    "banks": PatchCore(**BANK, scales=(1.0, 0.5)),
    "joint": PatchCore(**BANK, banks="joint", patch_stride=2, image_score="reweighted"),
    "smooth": PatchCore(**BANK, image_score="smooth_max", smoothing=0.0),
    "graph": GraphCore(**BANK, graph_neighbours=4, graph_weight=0.5, image_score="max"),
    "padim": PaDiM(**LITE0, dims=40),
    "spade": SPADE(**LITE0, n_images=3, image_score="smooth_max"),
    "spade copies": SPADE(**LITE0, n_images=3, fusion="concatenate", flips="horizontal"),
    "ensemble": Ensemble([SPADE(**LITE0, image_score="pooled"), PatchCore(**BANK)]),
}
SHAPES = {"roi": "20,8,70,55", "ignore": "40,20 60,22 50,40"}
SIZES = ((72, 104), (144, 208), (36, 52), (73, 105), (216, 312))
PHOTOGRAPHS = [part(50 + n, size=size, defect=n * 3) for n, size in enumerate(SIZES)]
RUNTIMES = ["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", RECIPES)
def test_a_graph_inspects_the_region_that_the_detector_inspects(name, runtime, tmp_path):
    detector, path = RECIPES[name].fit(parts(5), **SHAPES), tmp_path / "a.onnx"
    done = export_detector(detector, path, photographs=PHOTOGRAPHS)
    assert done.verification.errors == ()
    opened = open_exported(path, runtime)
    found = verified(detector, opened, map(image_source, PHOTOGRAPHS))
    assert len(found.pairs) == len(PHOTOGRAPHS)
    for pair in found.pairs:
        assert pair.score_difference <= (1e-5 if runtime == "onnxruntime" else 1e-4), pair
        assert pair.map_difference <= 2e-5, pair
    many = np.stack([part(seed, defect=seed % 3 * 4) for seed in range(70, 73)])
    for one, verdict in zip(many, opened(many), strict=True):
        assert verdict.score == pytest.approx(opened.inspect(one).score, rel=1e-5)


def test_a_graph_of_a_region_of_the_past_gives_the_same(tmp_path):
    detector = load(GOLDEN.parent / "detectors" / "patchcore-region.patchbank")
    found = export_detector(detector, tmp_path / "a.onnx", photographs=PHOTOGRAPHS).verification
    assert found.largest_difference <= 1e-5
    assert len(found.pairs) >= len(PHOTOGRAPHS)


def test_a_photograph_of_another_shape_has_no_score(tmp_path):
    detector, path = RECIPES["padim"].fit(parts(5), **SHAPES), tmp_path / "a.onnx"
    export_detector(detector, path)
    opened = open_exported(path)
    for size in ((80, 80), (104, 72)):
        verdict = opened.inspect(part(3, size=size))
        assert np.isnan(verdict.score)
        assert verdict.is_anomalous


def test_pixels_have_no_region(tmp_path):
    detector = RECIPES["padim"].fit(parts(5), **SHAPES)
    with pytest.raises(ParameterError, match="entry: expected photograph for a detector with a "):
        export_detector(detector, tmp_path / "a.onnx", entry="pixels")
    assert not list(tmp_path.iterdir())
