"""Networks in int8: fitted on, stored, opened again, and refused where they cannot be."""

import json
import logging
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from patchbank import BackboneError, Ensemble, ParameterError, PatchCore, load
from patchbank.backbones import Engine, OnnxExtractor, open_backbone, quantisation
from patchbank.backbones.quantisation import LARGEST_ERROR, quantised
from patchbank.detector.bundle import read_bundle, write_bundle
from patchbank.images.source import image_source
from patchbank.runtime.progress import NullProgress
from patchbank.training import quantising
from patchbank.training.quantising import MOST_PHOTOGRAPHS, quantised_for
from tests.onnx_files import write_onnx
from tests.photographs import part, parts, save
from tests.unit.test_cli import run

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
IMAGES = [part(seed, size=(96, 128)) for seed in range(4)]
NORMALISATION = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
RECIPE = PatchCore(backbone="efficientnet_lite0", image_size=96, bank_limit=80, top_fraction=0.1)


@pytest.fixture(scope="module")
def quantised_alone():
    """A quantised network, and the handlers of a root logger that had none before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.root, "handlers", [])
        made = quantised(open_backbone("efficientnet_lite0"), IMAGES, NullProgress())
        return made, [*logging.root.handlers]


@pytest.fixture(scope="module")
def found(quantised_alone):
    return quantised_alone[0]


@pytest.fixture(scope="module")
def detector():
    return RECIPE.fit(parts(8), precision="int8")


def small_network(folder):
    path = folder / "small.onnx"
    write_onnx(path)
    return path.read_bytes()


def lengths(maps):
    return np.array([np.linalg.norm(one) for one in maps])


def metadata_of(extractor):
    model = onnx.load_from_string(extractor.content)
    return json.loads({one.key: one.value for one in model.metadata_props}["patchbank"])


def test_features_in_int8_are_near_those_in_float32(found):
    original, unseen = open_backbone("efficientnet_lite0"), part(70, size=(128, 96), defect=9)
    exact, rounded = original(unseen), found.extractor(unseen)
    errors = lengths([a - b for a, b in zip(rounded, exact, strict=True)]) / lengths(exact)
    assert found.error <= LARGEST_ERROR
    assert (errors > 0.002).all()
    assert (errors < 2 * LARGEST_ERROR).all()
    assert found.in_float == ()
    assert str(found).startswith(f"{found.n_layers} of {found.n_layers} layers in int8")


def test_layers_that_hurt_most_stay_in_float32_where_the_error_is_too_large(monkeypatch):
    monkeypatch.setattr(quantisation, "LARGEST_ERROR", 0.08)
    found = quantised(open_backbone("efficientnet_lite0"), IMAGES, NullProgress())
    assert found.error <= 0.08
    assert len(found.in_float) < 6  # 8, if layers are measured without their activations
    assert 0 < len(found.in_float) < found.n_layers / 2
    assert all(name in str(found) for name in found.in_float)
    model = onnx.load_from_string(found.extractor.content)
    weights = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    original = onnx.load_from_string(open_backbone("efficientnet_lite0").content)
    own = {w.name: numpy_helper.to_array(w) for w in original.graph.initializer}
    made_by = {node.output[0]: node for node in model.graph.node}
    kept = [node for node in model.graph.node if node.output[0] in found.in_float]
    others = [node for node in model.graph.node if node.op_type == "Conv" and node not in kept]
    assert len(kept) == len(found.in_float)
    for node in kept:
        assert weights[node.input[1]].dtype == np.float32
        bias = own[node.output[0].removesuffix(".conv") + ".bias"]
        np.testing.assert_array_equal(weights[node.input[2]], bias)
    for node in others:
        quantiser = made_by[node.input[1]]
        assert quantiser.op_type == "DequantizeLinear"
        codes, scales = (weights[name] for name in quantiser.input[:2])
        assert codes.dtype == np.int8
        assert np.abs(codes).max() <= 64  # 7 bits: no sum of two products leaves 16
        assert scales.shape == codes.shape[:1]  # a scale for each channel


def test_a_quantised_network_has_a_name_and_an_origin_of_its_own(found):
    info, original = found.extractor.info, open_backbone("efficientnet_lite0").info
    assert info.name == "efficientnet_lite0_int8"
    assert info.sha256 != original.sha256
    assert info.source_sha256 == ""
    assert info.license == original.license
    assert metadata_of(found.extractor)["float32_sha256"] == original.sha256
    assert metadata_of(found.extractor)["in_float32"] == list(found.in_float)


def test_the_same_images_give_the_same_bytes_and_others_give_others(tmp_path):
    extractor = OnnxExtractor(small_network(tmp_path), "a", None, NORMALISATION)
    first, again, bright = (
        quantised(extractor, images, NullProgress()).extractor.content
        for images in (IMAGES, IMAGES, [np.full_like(one, 255) for one in IMAGES])
    )
    assert first == again
    assert first != bright


def test_a_detector_in_int8_says_so_and_gives_the_same_after_it_was_saved(detector, tmp_path):
    path, photograph = tmp_path / "a.patchbank", part(60, defect=8)
    detector.save(path)
    again = load(path)
    assert again.members[0].extractor.engine == Engine("onnxruntime", "int8")
    assert read_bundle(path).record["members"][0]["backbone"]["engine"] == "onnxruntime"
    one, other = detector.predict(photograph), again.predict(photograph)
    assert one.score == other.score
    np.testing.assert_array_equal(one.anomaly_map, other.anomaly_map)
    assert one.is_anomalous
    assert one.score != RECIPE.fit(parts(8)).predict(photograph).score


def test_the_log_of_the_program_stays_as_it_is(quantised_alone):
    assert quantised_alone[1] == []


def test_the_bank_comes_from_the_quantised_network(tmp_path):
    write_onnx(tmp_path / "a.onnx", record={"mean": [0.5] * 3, "std": [0.5] * 3})
    recipe = PatchCore(backbone=str(tmp_path / "a.onnx"), image_size=64, selection="all")
    detector, exact = recipe.fit(parts(4), precision="int8"), recipe.fit(parts(4))
    for photograph in parts(4):
        assert detector.predict(photograph).score < 1e-3 * detector.calibration.threshold
    unseen = part(61)
    assert detector.predict(unseen).score != exact.predict(unseen).score
    assert detector.calibration.threshold != exact.calibration.threshold


def test_an_engine_other_than_the_one_of_the_fit_is_refused(detector, tmp_path):
    path = tmp_path / "a.patchbank"
    detector.save(path)
    bundle = read_bundle(path)
    bundle.record["members"][0]["backbone"]["engine"] = "openvino"
    write_bundle(path, bundle)
    with pytest.raises(BackboneError, match="expected openvino, as .* in int8, got onnxruntime"):
        load(path, engine="onnxruntime")


def test_a_fit_shows_all_its_photographs_to_the_quantisation(tmp_path):
    write_onnx(tmp_path / "a.onnx", record={"mean": [0.5] * 3, "std": [0.5] * 3})
    recipe = PatchCore(backbone=str(tmp_path / "a.onnx"), image_size=64, bank_limit=40)
    fitted = recipe.fit(parts(6), precision="int8").members[0].extractor.content
    sources, extractor = [*map(image_source, parts(6))], open_backbone(recipe.backbone)
    contents = [
        quantised_for(extractor, recipe, some, None, NullProgress()).extractor.content
        for some in (sources, sources[:1])
    ]
    assert fitted == contents[0]
    assert fitted != contents[1]


def test_members_of_an_ensemble_are_quantised_each(tmp_path):
    write_onnx(tmp_path / "a.onnx", record={"mean": [0.5] * 3, "std": [0.5] * 3})
    write_onnx(tmp_path / "b.onnx", record={"mean": [0.4] * 3, "std": [0.4] * 3})
    members = [
        PatchCore(backbone=str(tmp_path / f"{name}.onnx"), image_size=64, bank_limit=40)
        for name in "ab"
    ]
    detector = Ensemble(members).fit(parts(6), precision="int8")
    names = [member.extractor.info.name for member in detector.members]
    assert names == ["a_int8", "b_int8"]
    engines = {member.extractor.engine for member in detector.members}
    assert engines == {Engine("onnxruntime", "int8")}


def test_only_some_photographs_are_read_and_only_what_the_network_sees(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "patchbank.backbones.quantisation.quantised",
        lambda extractor, images, progress: seen.extend(images),
    )
    sources = [image_source(part(seed, size=(60, 84))) for seed in range(MOST_PHOTOGRAPHS + 3)]
    quantised_for(open_backbone("efficientnet_lite0"), RECIPE, sources, None, NullProgress())
    assert len(seen) == 2 * MOST_PHOTOGRAPHS  # at two scales
    assert {image.shape[:2] for image in seen} == {(80, 112), (32, 64)}


def test_a_network_without_convolutions_is_refused_in_one_line(tmp_path):
    value, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    shape = [1, 3, "height", "width"]
    graph = onnx.helper.make_graph(
        [node("AveragePool", ["x"], ["y"], kernel_shape=[4, 4], strides=[4, 4])],
        "g",
        [value("x", onnx.TensorProto.FLOAT, shape)],
        [value("y", onnx.TensorProto.FLOAT, [1, 3, "h", "w"])],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9
    )
    extractor = OnnxExtractor(model.SerializeToString(), "pool", None, NORMALISATION)
    with pytest.raises(
        BackboneError, match=r"pool: expected .* convolutions .* got none"
    ) as caught:
        quantised(extractor, IMAGES, NullProgress())
    assert "\n" not in str(caught.value)


def test_what_is_no_onnx_is_refused_with_what_to_do():
    class Torch:
        info = open_backbone("efficientnet_lite0").info
        layers = info.default_layers

    with pytest.raises(ParameterError, match="runs in torch, got int8; make an ONNX file"):
        quantised_for(Torch(), RECIPE, [image_source(part(0))], None, NullProgress())


def test_without_the_package_onnx_int8_says_what_to_install(monkeypatch):
    monkeypatch.setattr(quantising, "find_spec", lambda name: None)
    with pytest.raises(ParameterError, match=r"pip install 'patchbank\[export\]'"):
        RECIPE.fit(parts(2), precision="int8")


def test_fit_says_what_is_in_int8_and_how_scores_change(capsys, tmp_path):
    for number, image in enumerate(parts(6)):
        save(tmp_path / "good" / f"{number}.png", image)
    out = tmp_path / "a.patchbank"
    options = ["--image-size", "96", "--precision", "int8", "--false-alarm-rate", "0.2"]
    options += ["--backbone", "efficientnet_lite0"]
    status, told, remarks = run(capsys, "fit", tmp_path / "good", "--out", out, *options)
    lines = (told + remarks).splitlines()
    assert status == 0, remarks
    assert any("33 of 33 layers in int8, features 1" in line for line in lines), lines
    assert any("int8: leave-one-out scores of 6 good images differ" in line for line in lines)
    status, told, _ = run(capsys, "info", out)
    assert "int8" in told


def test_an_embedded_network_in_int8_is_fitted_stored_and_bound_to_its_engine(tmp_path):
    recipe = replace(RECIPE, backbone="efficientnet_lite0_int8")
    detector, path, photograph = recipe.fit(parts(8)), tmp_path / "a.patchbank", part(60, defect=8)
    detector.save(path)
    backbone = read_bundle(path).record["members"][0]["backbone"]
    assert (backbone["precision"], backbone["engine"]) == ("int8", "onnxruntime")
    assert backbone["info"]["name"] == "efficientnet_lite0_int8"
    assert load(path).predict(photograph).score == detector.predict(photograph).score
    assert detector.predict(photograph).is_anomalous
    exact = open_backbone("efficientnet_lite0").info
    made_of = metadata_of(detector.members[0].extractor)
    assert made_of["float32_sha256"] == exact.sha256
    assert made_of["in_float32"] == []


def test_what_is_in_int8_is_not_quantised_again():
    recipe = PatchCore(backbone="efficientnet_lite0_int8", image_size=96)
    with pytest.raises(ParameterError, match="efficientnet_lite0_int8, which is in int8 already"):
        recipe.fit(parts(2), precision="int8")


def test_a_file_in_int8_is_bound_to_its_engine_as_embedded_networks_are(found, tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(found.extractor.content)
    opened = open_backbone(path)
    assert opened.engine == Engine("onnxruntime", "int8")
    assert opened.info.name == "efficientnet_lite0_int8"


@pytest.mark.openvino
def test_openvino_has_detectors_in_int8_of_its_own(detector, tmp_path):
    path, photograph = tmp_path / "a.patchbank", part(60, defect=8)
    own = RECIPE.fit(parts(8), engine="openvino", precision="int8")
    own.save(path)
    again = load(path)
    assert again.members[0].extractor.engine == Engine("openvino", "int8")
    assert again.predict(photograph).score == pytest.approx(own.predict(photograph).score, rel=1e-6)
    assert own.predict(photograph).is_anomalous
    with pytest.raises(BackboneError, match="expected openvino, as .* in int8, got onnxruntime"):
        load(path, engine="onnxruntime")
    detector.save(path)
    with pytest.raises(BackboneError, match="expected onnxruntime, as .* in int8, got openvino"):
        load(path, engine="openvino")
    with pytest.raises(ParameterError, match="features in int8 of OpenVINO"):
        own.export(tmp_path / "a.onnx")
    with pytest.raises(ParameterError, match="format: expected onnx for a network in int8"):
        detector.export(tmp_path / "a.xml", format="openvino")
    assert [file.name for file in tmp_path.iterdir()] == ["a.patchbank"]


@pytest.mark.openvino
def test_an_embedded_network_in_int8_is_bound_to_openvino_where_it_was_fitted_with_it(tmp_path):
    recipe = replace(RECIPE, backbone="efficientnet_lite0_int8")
    path, photograph = tmp_path / "a.patchbank", part(60, defect=8)
    detector = recipe.fit(parts(8), engine="openvino")
    detector.save(path)
    again = load(path)
    assert again.members[0].extractor.engine == Engine("openvino", "int8")
    assert again.predict(photograph).score == detector.predict(photograph).score
    assert detector.predict(photograph).is_anomalous
    with pytest.raises(BackboneError, match="expected openvino, as .* in int8, got onnxruntime"):
        load(path, engine="onnxruntime")
