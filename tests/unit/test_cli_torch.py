"""The commands on timm backbones."""

import json
import sys

import pytest

from patchbank.backbones import open_backbone
from tests.networks import FAMILIES, weights_file
from tests.photographs import part, save, write_dataset
from tests.unit.test_cli import run

pytestmark = pytest.mark.torch

RESNET, EFFICIENTNET = FAMILIES["ResNet"], FAMILIES["EfficientNet"]
SMALL = [
    "--image-size",
    "128",
    "--bank-rows",
    "200",
    "--false-alarm-rate",
    "0.2",
    "--device",
    "cpu",
]


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("plates"), n_train=6)


@pytest.fixture
def weights(tmp_path):
    return {name: weights_file(tmp_path, name) for name in (RESNET, EFFICIENTNET)}


def test_fit_export_and_predict(capsys, plates, weights, tmp_path):
    chosen = ["--backbone", RESNET, "--weights", weights[RESNET], "--layers", "layer2,layer3"]
    file = tmp_path / "a.patchbank"
    status, out, err = run(capsys, "fit", plates, *chosen, *SMALL, "--out", file)
    learned = "note: MVTec AD layout: 6 photographs of train/good were learned\n"
    assert (status, err) == (0, learned)
    assert f"patchcore on {RESNET}" in out
    bad = save(tmp_path / "bad.png", part(60, defect=9))
    status, out, _ = run(capsys, "predict", file, bad, "--json", "-")
    direct = json.loads(out)["score"]

    onnx = tmp_path / "net.onnx"
    arguments = [RESNET, "--weights", weights[RESNET], "--layers", "layer2,layer3", "--out", onnx]
    status, out, _ = run(capsys, "backbones", "export", *arguments)
    assert status == 0
    assert f"layer2, layer3 of {RESNET}" in out
    assert run(capsys, "fit", plates, "--backbone", onnx, *SMALL, "--out", file)[0] == 0
    status, out, _ = run(capsys, "predict", file, bad, "--json", "-")
    assert json.loads(out)["score"] == pytest.approx(direct, rel=1e-3)


def test_an_ensemble_takes_one_of_each_a_member(capsys, plates, weights, tmp_path):
    members = []
    for name, layers in ((RESNET, "layer2"), (EFFICIENTNET, "blocks.2,blocks.3")):
        members += ["--backbone", name, "--weights", weights[name], "--layers", layers]
    file = tmp_path / "a.patchbank"
    kept = ["--save-backbone", "torch"]
    assert run(capsys, "fit", plates, *members, *SMALL, *kept, "--out", file)[0] == 0
    facts = json.loads(run(capsys, "info", file, "--json", "-")[1])
    assert [member["layers"] for member in facts["members"]] == [
        ["layer2"],
        ["blocks.2", "blocks.3"],
    ]
    status, _, err = run(capsys, "fit", plates, *members, "--layers", "x", "--out", file)
    assert status == 2
    assert "layers: expected one for each backbone (2; - for none), got 3" in err


def test_an_ensemble_may_mix_what_needs_weights_with_what_does_not(
    capsys, plates, weights, tmp_path
):
    members = ["--backbone", RESNET, "--weights", weights[RESNET]]
    members += ["--backbone", "efficientnet_lite0", "--weights", "-"]
    file = tmp_path / "a.patchbank"
    assert run(capsys, "fit", plates, *members, *SMALL, "--out", file)[0] == 0
    facts = json.loads(run(capsys, "info", file, "--json", "-")[1])
    assert [m["backbone"] for m in facts["members"]] == [RESNET, "efficientnet_lite0"]
    assert facts["members"][0]["backbone_runs_in"] == "onnxruntime"


def test_a_fit_is_not_lost_to_a_backbone_that_cannot_be_exported(
    capsys, plates, weights, tmp_path, monkeypatch
):
    def fail(*some, **others):
        raise RuntimeError("no such operator")

    monkeypatch.setattr("torch.onnx.export", fail)
    file = tmp_path / "a.patchbank"
    chosen = ["--backbone", RESNET, "--weights", weights[RESNET]]
    status, _, err = run(capsys, "fit", plates, *chosen, *SMALL, "--out", file)
    assert status == 0
    assert "got: no such operator; saved with its backbone for torch instead" in err
    assert run(capsys, "info", file)[0] == 0


def test_presets_of_others_take_other_backbones(capsys, plates, weights, tmp_path):
    file = tmp_path / "a.patchbank"
    chosen = ["--backbone", RESNET, "--weights", weights[RESNET], "--false-alarm-rate", "0.2"]
    for preset in ("official", "hcw", "anomalib"):
        arguments = ["--preset", preset, *chosen, "--coreset", "0.02", "--out", file]
        assert run(capsys, "fit", plates, *arguments)[0] == 0
        _, out, _ = run(capsys, "predict", file, plates / "test" / "blot", "--json", "-")
        lines = [json.loads(line) for line in out.splitlines()]
        assert len(lines) == 4
        assert all(("normalised_score" in line) == (preset == "anomalib") for line in lines)


def test_show_prints_layers_without_weights(capsys):
    status, out, _ = run(capsys, "backbones", "show", "wide_resnet50_2.tv_in1k")
    assert status == 0
    assert "* layer2       stride  8   512 channels" in out
    assert "bsd-3-clause" in out
    listed = json.loads(run(capsys, "backbones", "show", RESNET, "--json", "-")[1])
    assert listed[0]["default_layers"] == ["layer2", "layer3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["backbones", "export", "resnet18", "--out", "{tmp}/a.onnx"], "a name with a tag of timm"),
        (["backbones", "export", RESNET, "--out", "{tmp}/no/a.onnx"], "a folder that exists"),
        (["backbones", "export", RESNET, "--out", "{tmp}/a.pt"], "ends in .onnx"),
        (["backbones", "export", "efficientnet_lite0", "--out", "{tmp}/a.onnx"], "ONNX already"),
        (["fit", "{plates}", "--device", "cuda:9", "--out", "{tmp}/a"], "device: expected cpu"),
        (["fit", "{plates}", "--device", "tpu", "--out", "{tmp}/a"], "device: expected auto"),
    ],
)
def test_wrong_use_is_one_line(capsys, plates, tmp_path, arguments, message):
    given = [a.format(plates=plates, tmp=tmp_path) for a in arguments]
    status, _, err = run(capsys, *given)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1


def test_listing_backbones_does_not_import_torch(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run(capsys, "backbones")[0] == 0
    assert open_backbone("efficientnet_lite0").info.sha256
