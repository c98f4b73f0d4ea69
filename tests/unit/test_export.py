"""timm networks as ONNX: the same features, the same ranking of images, no torch needed."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest

from patchbank import BackboneError, ParameterError, PatchCore, load
from patchbank.backbones import OnnxExtractor, export_backbone, open_backbone, torch_to_onnx
from tests.networks import FAMILIES, weights_file
from tests.photographs import part, parts, save

pytestmark = pytest.mark.torch

RESNET = FAMILIES["ResNet"]
SIZES = ((96, 160), (128, 64), (224, 192))
ODD = ((100, 140), (131, 93))  # convolutions take them
TEST = [part(100 + seed, defect=seed) for seed in range(10)]


def recipe(name, **settings):
    defaults = {"image_size": 128, "scales": (1.0,), "patch_stride": 1, "bank_rows": 100}
    return PatchCore(backbone=name, image_score="max", **{**defaults, **settings})


@pytest.fixture(scope="module", params=FAMILIES)
def exported(request, tmp_path_factory):
    """-> name, file of weights, extractor in torch, path of its ONNX file."""
    folder, name = tmp_path_factory.mktemp("exported"), FAMILIES[request.param]
    weights = weights_file(folder, name)
    extractor = open_backbone(name, weights=weights)
    path = folder / "backbone.onnx"
    path.write_bytes(export_backbone(extractor))
    return name, weights, extractor, str(path)


@pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
def test_features_and_the_ranking_of_images_stay_the_same(exported):
    name, weights, extractor, path = exported
    sizes = SIZES if extractor.info.size_multiple > 1 else SIZES + ODD
    assert torch_to_onnx.largest_difference(extractor, open_backbone(path), sizes) < 1e-3
    in_torch = recipe(name, weights=weights).fit(parts(5))
    in_onnx = recipe(path).fit(parts(5))
    scores = np.array([[d.predict(image).score for image in TEST] for d in (in_torch, in_onnx)])
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-3)
    assert scores[0].argsort().tolist() == scores[1].argsort().tolist()


def test_the_file_says_all_that_it_needs(exported):
    _, _, extractor, path = exported
    onnx.checker.check_model(onnx.load(path), full_check=True)
    info, given = open_backbone(path).info, extractor.info
    assert info.name == given.name
    assert (info.mean, info.std, info.license) == (given.mean, given.std, given.license)
    assert info.size_multiple == given.size_multiple
    assert info.source_sha256 == given.sha256 != info.sha256
    assert info.default_layers == extractor.layers
    assert info.available_layers == {
        layer: given.available_layers[layer] for layer in extractor.layers
    }


def test_an_order_of_layers_survives(tmp_path):
    extractor = open_backbone(RESNET, ("layer3", "layer1"), weights=weights_file(tmp_path, RESNET))
    again = OnnxExtractor(export_backbone(extractor), "again")
    assert again.layers == ("layer3", "layer1")
    shapes = [[m.shape for m in e(part(0, size=(96, 160)))] for e in (extractor, again)]
    assert shapes[0] == shapes[1] == [(192, 6, 10), (32, 24, 40)]


def test_a_size_of_ones_own_is_kept_to(tmp_path):
    extractor = open_backbone(RESNET, weights=weights_file(tmp_path, RESNET))
    again = OnnxExtractor(export_backbone(extractor, (96, 128)), "again")
    assert again.info.input_size == (96, 128)
    again(part(0, size=(96, 128)))


def test_a_file_that_computes_something_else_is_refused(tmp_path, monkeypatch):
    extractor = open_backbone(RESNET, weights=weights_file(tmp_path, RESNET))
    monkeypatch.setattr(torch_to_onnx, "largest_difference", lambda *some: 0.01)
    with pytest.raises(BackboneError, match="to 0.001, got a difference of 0.01"):
        export_backbone(extractor)


def test_what_is_onnx_already_is_not_exported():
    with pytest.raises(BackboneError, match="which is ONNX already"):
        export_backbone(open_backbone("efficientnet_lite0"))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """-> a detector on a timm backbone."""
    folder = tmp_path_factory.mktemp("fitted")
    fitting = recipe(RESNET, weights=weights_file(folder, RESNET), false_alarm_rate=0.2)
    return fitting.fit(parts(6))


def test_a_detector_fitted_in_torch_opens_without_it(fitted, tmp_path):
    fitted.save(tmp_path / "a.patchbank")
    image = save(tmp_path / "part.png", part(60, defect=9))
    program = (
        "import json, sys\n"
        "sys.modules.update(torch=None, timm=None)\n"  # importing them is an error now
        "from patchbank import load\n"
        "seen = load(sys.argv[1]).predict(sys.argv[2])\n"
        "print(json.dumps([seen.score, seen.is_anomalous]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.patchbank", image],
        capture_output=True,
        text=True,
        check=True,
    )
    score, anomalous = json.loads(done.stdout)
    seen = fitted.predict(image)
    assert score == pytest.approx(seen.score, rel=1e-3)
    assert anomalous == seen.is_anomalous


def test_a_detector_may_keep_its_backbone_for_torch(fitted, tmp_path):
    fitted.save(tmp_path / "a.patchbank", backbone="torch")
    opened = load(tmp_path / "a.patchbank")
    assert opened.members[0].extractor.info == fitted.members[0].extractor.info
    assert opened.predict(TEST[7]).score == fitted.predict(TEST[7]).score


def test_a_backbone_is_held_in_one_of_two_ways(fitted, tmp_path):
    with pytest.raises(ParameterError, match="backbone: expected one of onnx, torch, got 'tf'"):
        fitted.save(tmp_path / "a.patchbank", backbone="tf")


def test_a_file_for_torch_says_so_where_there_is_none(fitted, tmp_path, monkeypatch):
    fitted.save(tmp_path / "a.patchbank", backbone="torch")
    monkeypatch.setattr("patchbank.backbones.built_in_sources.find_spec", lambda name: None)
    with pytest.raises(BackboneError, match="expected torch and timm .* save the detector with"):
        load(tmp_path / "a.patchbank")
