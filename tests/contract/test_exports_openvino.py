"""Exported graphs give in OpenVINO what the detector gives; its two files belong together."""

import numpy as np
import pytest

from patchbank import SPADE, Ensemble, GraphCore, PatchCore
from patchbank.errors import DataError
from patchbank.export import export_detector, open_exported, verify
from tests.photographs import part, parts

pytestmark = [
    pytest.mark.openvino,
    pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning"),
]
LITE0 = {"backbone": "efficientnet_lite0", "image_size": 96, "top_fraction": 0.1}
RECIPES = {
    "patchcore": PatchCore(**LITE0, bank_limit=80),
    "graph": GraphCore(**LITE0, bank_limit=80, graph_neighbours=4, graph_weight=0.5),
    "spade": SPADE(**LITE0, n_images=3),
    "spade pooled": SPADE(**LITE0, image_score="pooled", fusion="concatenate", n_neighbours=3),
    "spade copies": SPADE(**LITE0, flips="horizontal", zooms=(0.8,), scales=(1.0, 0.5)),
    "ensemble": Ensemble([SPADE(**LITE0, n_images=2), PatchCore(**LITE0, bank_limit=80)]),
}
SHARES = {"patchcore": 0.6, "graph": 0.98, "spade": 0.98}
"""Of the bytes in float32: what chooses neighbours by features keeps its network as it is."""
PHOTOGRAPHS = [
    part(50, defect=7),
    part(51, size=(30, 40)),
    part(52, size=(40, 300), defect=5),
    part(53, size=(320, 20)),
]


# Members of an ensemble see pixels of their own, so it has no entry of pixels.
@pytest.mark.parametrize(
    ("name", "entry"),
    [*((name, "photograph") for name in RECIPES)]
    + [(name, "pixels") for name in RECIPES if name != "ensemble"],
)
def test_a_graph_gives_the_same_in_openvino(name, entry, tmp_path):
    detector, path = RECIPES[name].fit(parts(5)), tmp_path / "a.xml"
    done = export_detector(detector, path, format="openvino", entry=entry, photographs=PHOTOGRAPHS)
    assert done.files == (path, path.with_suffix(".bin"))
    for pair in done.verification.pairs:
        assert pair.score_difference <= 1e-5, pair
        assert pair.map_difference <= 2e-5, pair
        assert pair.has_equal_verdict
    if entry == "pixels":
        return
    opened = open_exported(path, "openvino")
    many = np.stack([part(seed, defect=seed % 3 * 4) for seed in range(70, 78)])
    for n in (1, 2, 8):
        for one, verdict in zip(many, opened(many[:n]), strict=False):
            single = opened.inspect(one)
            assert verdict.score == pytest.approx(single.score, rel=1e-5)
            np.testing.assert_allclose(
                verdict.anomaly_map, single.anomaly_map, atol=1e-5 * abs(single.anomaly_map).max()
            )


@pytest.mark.parametrize("size", [(288, 120), (227, 608), (352, 354), (96, 338), (192, 224)])
def test_sides_between_two_multiples_go_the_same_way_in_openvino(size, tmp_path):
    """With these, a side of the input is a multiple of 16 and a half, which it computes rounded."""
    detector = PatchCore(backbone="efficientnet_lite0", image_size=640, bank_limit=80).fit(parts(5))
    path, photograph = tmp_path / "a.onnx", part(60, size=size, defect=6)
    export_detector(detector, path, photographs=[photograph])
    one, verdict = detector.predict(photograph), open_exported(path, "openvino").inspect(photograph)
    assert verdict.score == pytest.approx(one.score, rel=1e-5)
    np.testing.assert_allclose(
        verdict.anomaly_map, one.anomaly_map, atol=2e-5 * abs(one.anomaly_map).max()
    )


def test_learned_photographs_are_verified_in_openvino(tmp_path):
    """Their maps are nothing but rounding."""
    detector = RECIPES["spade"].fit(parts(5))
    done = export_detector(detector, tmp_path / "a.xml", format="openvino", photographs=parts(5))
    assert done.verification.failure == ""


@pytest.mark.parametrize("name", SHARES)
def test_a_graph_in_float16_stays_so_in_openvino(name, tmp_path):
    detector, sizes = RECIPES[name].fit(parts(5)), []
    for precision in ("float32", "float16"):
        path = tmp_path / f"{precision}.xml"
        done = export_detector(
            detector, path, format="openvino", precision=precision, photographs=PHOTOGRAPHS
        )
        assert done.verification.precision == precision
        assert done.verification.failure == ""
        sizes.append(path.with_suffix(".bin").stat().st_size)
        assert open_exported(path, "openvino").precision == precision
    assert done.verification.largest_difference > 0
    assert sizes[1] < SHARES[name] * sizes[0]


def test_a_file_of_onnx_in_float16_runs_in_openvino(tmp_path):
    detector, path = RECIPES["patchcore"].fit(parts(5)), tmp_path / "a.onnx"
    done = export_detector(detector, path, precision="float16")
    found = verify(detector, open_exported(path, "openvino"), PHOTOGRAPHS)
    assert found.precision == done.verification.precision == "float16"
    assert found.failure == ""


def test_weights_of_another_export_are_told_in_one_line(tmp_path):
    """As after a crash between the two files: the weights are new, and the graph is old."""
    old, new = (
        PatchCore(**LITE0, bank_limit=80, seed=seed, selection="random").fit(parts(5))
        for seed in (0, 1)
    )
    paths = tmp_path / "old.xml", tmp_path / "new.xml"
    for detector, path in zip((old, new), paths, strict=True):
        export_detector(detector, path, format="openvino")
        assert verify(detector, open_exported(path, "openvino"), PHOTOGRAPHS).is_passed
    weights = paths[0].with_suffix(".bin")
    weights.write_bytes(paths[1].with_suffix(".bin").read_bytes())
    with pytest.raises(DataError) as caught:
        open_exported(paths[0], "openvino")
    assert str(caught.value) == (
        f"{paths[0]}: expected the .bin file that was written with it, got that of another "
        "export; export it again"
    )
