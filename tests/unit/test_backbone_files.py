"""What files and JSON hold of a backbone: keys that never change."""

import json

import pytest

from patchbank.backbones import BackboneInfo, Layer, open_backbone, pack_backbone, unpack_backbone
from patchbank.backbones.packing import pack_info, unpack_info
from patchbank.errors import BackboneError
from tests.unit.test_cli import run

INFO = BackboneInfo(
    name="small",
    available_layers={"shallow": Layer(channels=5, stride=4), "deep": Layer(channels=7, stride=8)},
    default_layers=("deep",),
    mean=(0.1, 0.2, 0.3),
    std=(0.4, 0.5, 0.6),
    size_multiple=1,
    input_size=(60, 100),
    license="MIT",
    source="a file",
    sha256="aa",
    source_sha256="bb",
)
RECORD = {
    "name": "small",
    "taps": {"shallow": {"channels": 5, "stride": 4}, "deep": {"channels": 7, "stride": 8}},
    "default_layers": ["deep"],
    "mean": [0.1, 0.2, 0.3],
    "std": [0.4, 0.5, 0.6],
    "size_multiple": 1,
    "input_size": [60, 100],
    "license": "MIT",
    "source": "a file",
    "sha256": "aa",
    "source_sha256": "bb",
}


def test_the_record_has_the_keys_of_format_2():
    assert json.loads(json.dumps(pack_info(INFO))) == RECORD


def test_the_info_comes_back_from_json_with_its_types():
    assert unpack_info(RECORD) == INFO
    assert unpack_info({**RECORD, "input_size": None}).input_size is None
    assert isinstance(unpack_info(RECORD).default_layers, tuple)


def test_a_file_from_before_the_digest_of_the_source_still_opens():
    old = {key: value for key, value in RECORD.items() if key != "source_sha256"}
    assert unpack_info(old).source_sha256 == ""


def test_the_record_of_an_embedded_backbone_has_the_keys_of_format_2():
    record, tensors = pack_backbone(open_backbone("efficientnet_lite0", ("blocks.1",)))
    assert set(record) == {"info", "layers", "kind", "normalisation", "precision"}
    assert record["kind"] == "onnx"
    assert record["layers"] == ("blocks.1",)
    assert record["normalisation"] is None
    assert record["precision"] == "float32"
    assert list(tensors) == ["onnx"]
    del record["precision"]  # as in early files of format 2
    assert unpack_backbone(json.loads(json.dumps(record)), tensors).engine.precision == "float32"


def test_an_extractor_of_nobody_cannot_be_packed():
    class Nobody:
        info = INFO
        layers = ("deep",)

    with pytest.raises(BackboneError, match="which a file can hold, got small"):
        pack_backbone(Nobody())


def test_the_json_of_the_command_has_the_documented_keys(capsys):
    status, out, _ = run(capsys, "backbones", "--json", "-")
    assert status == 0
    first = json.loads(out)[0]
    documented = ["name", "layers", "default_layers", "mean", "std", "size_multiple", "input_size"]
    assert list(first) == [*documented, "license", "source", "sha256", "source_sha256"]
    assert first["layers"]["blocks.2"] == {"channels": 40, "stride": 8}
    assert first["input_size"] is None
    assert [len(first[key]) for key in ("mean", "std", "sha256")] == [3, 3, 64]
