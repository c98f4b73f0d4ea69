"""The embedded backbones, and ONNX files from elsewhere."""

import numpy as np
import pytest

from patchbank.backbones import embedded_names, open_backbone
from patchbank.errors import BackboneError
from tests.onnx_files import write_onnx
from tests.photographs import part

GREY = {"mean": [0.5] * 3, "std": [0.5] * 3}
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize("name", embedded_names())
def test_embedded_backbones_are_what_they_say(name):
    extractor = open_backbone(name)
    info = extractor.info
    assert info.license == "Apache-2.0"
    assert "PyPI" in info.source
    every = open_backbone(name, tuple(info.available_layers))
    maps = every(part(0, size=(96, 160)))
    for layer, planes in zip(info.available_layers.values(), maps, strict=True):
        assert planes.shape == (layer.channels, 96 // layer.stride, 160 // layer.stride)
        assert planes.dtype == np.float32
    assert extractor.layers == ("blocks.2", "blocks.4")


def test_the_input_is_scaled_to_minus_one_and_one():
    extractor = open_backbone("efficientnet_lite0")
    grey = np.full((32, 48, 3), 128, np.uint8)
    direct = extractor._run(np.full((3, 32, 48), 128 / 127.5 - 1, np.float32), extractor.layers)
    for ours, expected in zip(extractor(grey), direct, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_any_onnx_file_serves(tmp_path):
    path = write_onnx(tmp_path / "small.onnx")
    extractor = open_backbone(path, ("deep",), normalisation=HALF)
    assert extractor.info.name == "small"
    assert {n: (t.stride, t.channels) for n, t in extractor.info.available_layers.items()} == {
        "shallow": (4, 5),
        "deep": (8, 5),
    }
    (maps,) = extractor(part(0, size=(64, 96)))
    assert maps.shape == (5, 8, 12)


def test_normalisation_may_stand_in_the_file(tmp_path):
    record = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "default_layers": ["deep"]}
    extractor = open_backbone(write_onnx(tmp_path / "a.onnx", record=record))
    assert extractor.info.mean == (0.1, 0.2, 0.3)
    assert extractor.layers == ("deep",)
    image = part(0, size=(64, 96))
    scaled = (image / 255 - record["mean"]) / record["std"]
    expected = extractor._run(scaled.transpose(2, 0, 1).astype(np.float32), ("deep",))
    np.testing.assert_allclose(extractor(image)[0], expected[0], atol=1e-4)


def test_a_fixed_size_need_not_be_a_multiple(tmp_path):
    info = open_backbone(write_onnx(tmp_path / "a.onnx", size=(60, 100)), normalisation=HALF).info
    assert (info.input_size, info.size_multiple) == ((60, 100), 1)


def test_a_path_may_be_a_path(tmp_path):
    write_onnx(tmp_path / "a.onnx")
    assert open_backbone(tmp_path / "a.onnx", normalisation=HALF).info.name == "a"


def test_a_normalisation_given_twice_is_refused():
    with pytest.raises(BackboneError, match="got both; leave mean and std out"):
        open_backbone("efficientnet_lite0", normalisation=HALF)


def test_a_fixed_input_size_is_known(tmp_path):
    extractor = open_backbone(write_onnx(tmp_path / "a.onnx", size=(64, 96)), normalisation=HALF)
    assert extractor.info.input_size == (64, 96)


def test_layers_that_do_not_exist_list_those_that_do():
    with pytest.raises(BackboneError, match=r"blocks\.1, blocks\.2, .* got 'layer2'"):
        open_backbone("efficientnet_lite0", ("layer2",))
    with pytest.raises(BackboneError, match="expected each once"):
        open_backbone("efficientnet_lite0", ("blocks.2", "blocks.2"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: "resnet9000", "expected an embedded one|expected one of efficientnet_lite0"),
        (lambda p: str(p / "none.onnx"), "No such file"),
        (lambda p: _write(p / "a.onnx", b"rubbish"), "expected an ONNX model"),
        (lambda p: write_onnx(p / "a.onnx", channels=4), r"one float input \(b, 3, H, W\)"),
        (lambda p: write_onnx(p / "a.onnx"), "neither; give the mean"),
        (lambda p: write_onnx(p / "a.onnx", record=[1]), "a JSON object"),
        (lambda p: write_onnx(p / "a.onnx", record={"mean": [1], "std": [1]}), "three numbers"),
        (lambda p: write_onnx(p / "a.onnx", record={**GREY, "size_multiple": 0}), "sound metadata"),
        (
            lambda p: write_onnx(p / "a.onnx", record={**GREY, "taps": {"deep": 3}}),
            "sound metadata",
        ),
        (
            lambda p: write_onnx(p / "a.onnx", record={"mean": [0] * 3, "std": [0] * 3}),
            "three positive numbers",
        ),
    ],
)
def test_files_that_cannot_serve_are_named(tmp_path, make, message):
    with pytest.raises(BackboneError, match=message):
        open_backbone(make(tmp_path))


def test_an_output_that_is_no_feature_map_cannot_be_a_layer(tmp_path):
    path = write_onnx(tmp_path / "a.onnx", rank=2)
    assert open_backbone(path, normalisation=HALF).layers == ("shallow", "deep")
    with pytest.raises(BackboneError, match="expected some of shallow, deep .*, got 'flat'"):
        open_backbone(path, ("flat",), normalisation=HALF)


def _write(path, content):
    path.write_bytes(content)
    return str(path)
