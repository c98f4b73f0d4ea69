"""Precision of a network and of its engine: one and the same, wherever it comes in and is kept."""

import numpy as np
import pytest

from patchbank import (
    SPADE,
    BackboneError,
    DetectorFileError,
    Ensemble,
    GraphCore,
    PaDiM,
    ParameterError,
    PatchCore,
    SimpleNet,
    load,
)
from patchbank.backbones import Engine, OnnxExtractor, open_backbone, pack_backbone
from patchbank.backbones.onnx_model.graph import read_graph
from patchbank.backbones.quantisation import quantised
from patchbank.detector.bundle import read_bundle, write_bundle
from patchbank.runtime.progress import NullProgress
from tests.onnx_files import write_onnx
from tests.photographs import part, parts, save
from tests.unit.test_cli import run

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
INT8, BFLOAT16 = Engine("onnxruntime", "int8"), ("openvino", "bfloat16")
RECORD = {"mean": [0.5] * 3, "std": [0.5] * 3}
NOT_QUANTISED = "precision: expected float32 for {}, which is not quantised, got int8; fit a detec"
RECIPES = [
    pytest.param(PatchCore, id="patchcore"),
    pytest.param(GraphCore, id="graphcore"),
    pytest.param(PaDiM, id="padim"),
    pytest.param(SPADE, id="spade"),
    pytest.param(SimpleNet, id="simplenet", marks=pytest.mark.torch),
    pytest.param(lambda **given: Ensemble([PatchCore(**given), PaDiM(**given)]), id="ensemble"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of a small network, and of the same in int8."""
    folder = tmp_path_factory.mktemp("networks")
    exact = OnnxExtractor(_content(write_onnx(folder / "exact.onnx", record=RECORD)), "exact")
    images = [part(seed, size=(96, 128)) for seed in range(3)]
    rounded = quantised(exact, images, NullProgress()).extractor
    (folder / "rounded.onnx").write_bytes(rounded.content)
    return str(folder / "exact.onnx"), str(folder / "rounded.onnx")


def _content(path):
    with open(path, "rb") as file:
        return file.read()


def with_record(path, **changes):
    """Change the record of the backbone of a detector file; None takes a key out."""
    bundle = read_bundle(path)
    backbone = bundle.record["members"][0]["backbone"]
    for key, value in changes.items():
        backbone[key] = value
        if value is None:
            del backbone[key]
    write_bundle(path, bundle)


def test_a_network_that_is_not_quantised_does_not_call_itself_int8(files):
    for name, short in (("efficientnet_lite0", "efficientnet_lite0"), (files[0], "exact")):
        with pytest.raises(ParameterError, match=NOT_QUANTISED.format(short)) as caught:
            open_backbone(name, engine=INT8)
        assert "\n" not in str(caught.value)
    with pytest.raises(ParameterError, match=NOT_QUANTISED.format("net")):
        OnnxExtractor(_content(files[0]), "net", engine=INT8)


@pytest.mark.parametrize("engine", [Engine(), INT8], ids=["float32", "int8"])
def test_a_network_in_int8_says_so_whichever_of_both_is_asked_for(files, engine):
    for name in ("efficientnet_lite0_int8", files[1]):
        opened = open_backbone(name, engine=engine)
        assert opened.engine == INT8
        assert (pack_backbone(opened)[0]["precision"], opened.kind) == ("int8", "onnx")


@pytest.mark.parametrize("name", ["resnet18.a1_in1k", "vig_ti"])
def test_networks_of_torch_are_not_opened_in_int8(name):
    with pytest.raises(ParameterError, match=f"expected float32 for {name}, which is not ONNX, go"):
        open_backbone(name, engine=INT8)


@pytest.mark.openvino
def test_a_network_in_int8_is_not_opened_in_bfloat16(files):
    for name, short in (("efficientnet_lite0_int8",) * 2, (files[1], "rounded")):
        message = f"expected none with {short}, which is in int8 already, got bfloat16; leave it o"
        with pytest.raises(ParameterError, match=message):
            open_backbone(name, engine=Engine(*BFLOAT16))


@pytest.mark.openvino
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_fit_in_bfloat16_of_a_network_in_int8_is_refused(files, recipe):
    asked = recipe(backbone=files[1], image_size=64)
    with pytest.raises(ParameterError, match="rounded, which is in int8 already, got bfloat16; le"):
        asked.fit(parts(3), engine="openvino", precision="bfloat16")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_fit_in_int8_quantises_and_records_it_whatever_the_method(files, recipe, tmp_path):
    asked = recipe(backbone=files[0], image_size=64)
    detector = asked.fit(parts(4), precision="int8")
    for member in detector.members:
        assert member.extractor.engine == INT8
        assert read_graph(member.extractor.content).is_quantised
    detector.save(tmp_path / "a.patchbank")
    again = load(tmp_path / "a.patchbank")
    assert again.predict(part(9, defect=8)).score == detector.predict(part(9, defect=8)).score
    with pytest.raises(ParameterError, match="exact_int8, which is in int8 already, got int8; lea"):
        recipe(backbone=files[1], image_size=64).fit(parts(3), precision="int8")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--precision", "int8"], id="int8"),
        pytest.param(
            ["--precision", "bfloat16", "--engine", "openvino"],
            id="bfloat16",
            marks=pytest.mark.openvino,
        ),
    ],
)
def test_a_command_says_in_one_line_that_a_network_is_in_int8_already(capsys, tmp_path, options):
    for number, image in enumerate(parts(3)):
        save(tmp_path / "good" / f"{number}.png", image)
    out, name = tmp_path / "a.patchbank", "efficientnet_lite0_int8"
    status, _, remarks = run(
        capsys, "fit", tmp_path / "good", "--out", out, "--backbone", name, *options
    )
    assert status == 2
    assert remarks.splitlines() == [
        f"error: precision: expected none with {name}, which is in int8 already, got {options[1]}; "
        "leave it out"
    ]
    assert not out.exists()


def test_a_file_whose_record_contradicts_its_network_is_refused(files, tmp_path):
    path = tmp_path / "a.patchbank"
    PatchCore(backbone=files[0], image_size=64).fit(parts(3)).save(path)
    with_record(path, precision="int8", engine="onnxruntime")
    with pytest.raises(DetectorFileError, match="expected that of its network, got int8; fit it a"):
        load(path)


def test_an_early_file_of_a_network_in_int8_is_the_one_of_onnx_runtime(files, tmp_path):
    """Such a file records float32, and no engine."""
    path, photograph = tmp_path / "a.patchbank", part(60, size=(80, 104), defect=8)
    detector = PatchCore(backbone=files[1], image_size=64).fit(parts(3))
    detector.save(path)
    with_record(path, precision="float32", engine=None)
    for engine in (None, "onnxruntime"):
        again = load(path, engine=engine)
        assert again.members[0].extractor.engine == INT8
        one, other = detector.predict(photograph), again.predict(photograph)
        assert one.score == other.score
        np.testing.assert_array_equal(one.anomaly_map, other.anomaly_map)
    again.save(path)
    backbone = read_bundle(path).record["members"][0]["backbone"]
    assert (backbone["precision"], backbone["engine"]) == ("int8", "onnxruntime")


@pytest.mark.openvino
@pytest.mark.parametrize(
    ("precision", "engine", "error", "message"),
    [
        pytest.param(
            "bfloat16",
            None,
            DetectorFileError,
            "expected that of its network, got bfloat16; fit ",
            id="fitted-in-bfloat16",
        ),
        pytest.param(
            "float32",
            "openvino",
            BackboneError,
            "expected onnxruntime, as .* in int8, got openvino",
            id="early-file-in-another-engine",
        ),
    ],
)
def test_a_network_in_int8_is_not_run_in_other_ways_than_that_of_its_fit(
    files, tmp_path, precision, engine, error, message
):
    path = tmp_path / "a.patchbank"
    PatchCore(backbone=files[1], image_size=64).fit(parts(3)).save(path)
    with_record(path, precision=precision, engine=None)
    with pytest.raises(error, match=message):
        load(path, engine=engine)
