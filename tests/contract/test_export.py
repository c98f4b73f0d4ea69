"""Every detector that can be exported gives in its graph what it gives here."""

import numpy as np
import pytest

from patchbank import SPADE, Ensemble, GraphCore, PaDiM, PatchCore, load
from patchbank.errors import ParameterError
from patchbank.export import export_detector, exportable, model, open_exported
from tests.conftest import GOLDEN as DATA
from tests.photographs import part, parts

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
LITE0 = {"backbone": "efficientnet_lite0", "image_size": 96, "top_fraction": 0.1}
LITE2 = {**LITE0, "backbone": "efficientnet_lite2"}
BANK = {**LITE0, "bank_limit": 80}
RECIPES = {
    "plain": PatchCore(**BANK),
    "lite2": PatchCore(**{**BANK, **LITE2}),
    "joint": PatchCore(**BANK, banks="joint", image_score="max", metric="squared", n_neighbours=3),
    "top": PatchCore(**BANK, image_score="top_fraction", patch_stride=2, alignment="nearest"),
    "smooth": PatchCore(**BANK, image_score="smooth_max", patch_stride=3, smoothing=0.0),
    "reweighted": PatchCore(**BANK, banks="joint", image_score="reweighted"),
    "hcw": PatchCore(**BANK, banks="joint", image_score="hcw", metric="squared"),
    "target": PatchCore(**BANK, banks="joint", target_dims=60, layer_dims=40, patch_stride=2),
    "crop": PatchCore(**{**BANK, "image_size": 128}, crop=96, resampling="bicubic"),
    "crop again": PatchCore(**{**BANK, "image_size": 128}, crop=96, scales=(1.0, 0.95, 0.5)),
    "squash": PatchCore(**BANK, resize="squash", map_interpolation="nearest"),
    "short": PatchCore(**BANK, resize="short_side", map_border="mirror", resampling="lanczos"),
    "scales": PatchCore(**BANK, scales=(1.0, 0.5)),
    "graph": GraphCore(**BANK, graph_neighbours=4, graph_weight=0.5),
    "padim": PaDiM(**LITE0, dims=40),
    "padim rank": PaDiM(**LITE2, dims=40, rank=2),
    "spade": SPADE(**LITE0),
    "spade pooled": SPADE(**LITE2, image_score="pooled", fusion="concatenate", n_images=2),
    "spade neighbours": SPADE(
        **LITE0, n_images=3, n_neighbours=4, pool_deepest_only=True, image_score="max"
    ),
    "spade all": SPADE(**LITE0, n_neighbours=10**6, n_images=1),
    "spade scales": SPADE(
        **LITE0, scales=(0.5, 1.0), image_score="smooth_max", smoothing=0.0, resize="squash"
    ),
    "spade copies": SPADE(**LITE0, flips="horizontal", rotations=2, zooms=(0.8,), n_images=4),
    "spade crop": SPADE(**{**LITE0, "image_size": 128}, crop=(80, 96), resampling="lanczos"),
    "ensemble of spade": Ensemble([SPADE(**LITE2, n_images=3), PatchCore(**BANK)]),
    "ensemble": Ensemble([PatchCore(**BANK), PaDiM(**LITE2, dims=40)]),
}
PAST = ("graphcore", "padim", "patchcore", "patchcore-banks", "simplenet", "spade", "ensemble")
DETECTORS = DATA.parent / "detectors"
GREY = part(60, size=(56, 80))[..., :1].repeat(3, axis=2)
PHOTOGRAPHS = [
    part(50, defect=7),
    part(51, size=(30, 40)),
    GREY,
    part(52, size=(40, 300), defect=5),
    part(53, size=(320, 20)),
]


def agrees(detector, path):
    exported = export_detector(detector, path, photographs=PHOTOGRAPHS)
    assert len(exported.verification.pairs) >= len(PHOTOGRAPHS)
    for pair in exported.verification.pairs:
        assert pair.score_difference <= 1e-5, pair
        assert pair.map_difference <= 1e-5, pair
        assert pair.p_value == pytest.approx(pair.exported_p_value, rel=1e-3)
    many = np.stack([part(seed, defect=seed % 3 * 4) for seed in range(70, 78)])
    opened = open_exported(path)
    for n in (2, 8):
        for one, verdict in zip(many, opened(many[:n]), strict=False):
            single = opened.inspect(one)
            assert verdict.score == pytest.approx(single.score, rel=1e-5)
            np.testing.assert_allclose(
                verdict.anomaly_map, single.anomaly_map, atol=1e-5 * abs(single.anomaly_map).max()
            )


@pytest.mark.parametrize("name", RECIPES)
def test_a_graph_gives_what_the_detector_gives(name, tmp_path):
    agrees(RECIPES[name].fit(parts(5)), tmp_path / "a.onnx")


def test_a_graph_of_a_network_in_int8_gives_the_same(tmp_path):
    detector = RECIPES["plain"].fit(parts(5), precision="int8")
    agrees(detector, tmp_path / "a.onnx")
    (member,) = open_exported(tmp_path / "a.onnx").metadata["members"]
    assert member["precision"] == "int8"
    assert member["backbone"] == "efficientnet_lite0_int8"


def test_the_record_of_a_graph_names_the_precision_of_its_network(tmp_path):
    export_detector(RECIPES["plain"].fit(parts(5)), tmp_path / "a.onnx")
    (member,) = open_exported(tmp_path / "a.onnx").metadata["members"]
    assert member["precision"] == "float32"


@pytest.mark.parametrize("name", PAST)
def test_a_graph_of_a_detector_of_the_past_gives_the_same(name, tmp_path):
    agrees(load(DETECTORS / f"{name}.patchbank"), tmp_path / "a.onnx")


def test_a_graph_of_a_smaller_bank_gives_the_same(tmp_path):
    detector = PatchCore(**LITE0, bank_limit=400).fit(parts(6))
    agrees(detector.with_bank_rows(detector.bank_sizes[0]), tmp_path / "a.onnx")


def test_a_gallery_of_photographs_of_several_sizes_gives_the_same(tmp_path):
    sizes = ((72, 104), (104, 72), (60, 180), (72, 104), (90, 90))
    learned = [part(seed, size=size) for seed, size in enumerate(sizes)]
    agrees(SPADE(**LITE0, n_images=3, n_neighbours=2).fit(learned), tmp_path / "a.onnx")


def test_a_learned_photograph_is_as_near_in_a_graph(tmp_path):
    learned = parts(5)
    detector = SPADE(**LITE0).fit(learned)
    done = export_detector(detector, tmp_path / "a.onnx", photographs=learned)
    assert done.verification.is_passed
    assert (
        max(pair.score for pair in done.verification.pairs[:5])
        < 1e-3 * detector.calibration.threshold
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("patchcore-tiles", "tiles"),
        ("patchcore-hnsw", "index hnsw"),
    ],
)
@pytest.mark.approximate
def test_what_no_graph_can_compute_is_refused_in_one_line(name, reason, tmp_path):
    detector = load(DETECTORS / f"{name}.patchbank")
    with pytest.raises(ParameterError) as caught:
        export_detector(detector, tmp_path / "a.onnx")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "where", "reason"),
    [
        ("spade", exportable, "a gallery of 0.0 GiB, where a file of ONNX has room for 2 (fit on "),
        ("padim", model, "a graph of at most 2 GiB, got 0.0 GiB; use a smaller bank"),
    ],
)
def test_what_is_too_large_for_a_file_of_onnx_is_refused(
    name, where, reason, tmp_path, monkeypatch
):
    monkeypatch.setattr(where, "LARGEST_BYTES", 9999)
    with pytest.raises(ParameterError) as caught:
        export_detector(load(DETECTORS / f"{name}.patchbank"), tmp_path / "a.onnx")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning")
def test_a_canonical_position_is_refused(tmp_path):
    detector = PatchCore(**BANK, position="canonical", part_size=(40, 64)).fit(parts(5))
    with pytest.raises(ParameterError, match="position canonical"):
        export_detector(detector, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_package_onnx_the_export_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(exportable, "find_spec", lambda name: None)
    with pytest.raises(ParameterError, match=r"pip install 'patchbank\[export\]'"):
        export_detector(load(DETECTORS / "padim.patchbank"), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())
