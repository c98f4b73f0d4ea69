"""What runs ONNX networks: alike, side by side, on the cores they may use, leaving the host be."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest

from patchbank import BackboneError, DetectorFileError, ParameterError, PatchCore, load
from patchbank.backbones import Engine, embedded_names, open_backbone
from patchbank.backbones import engine as engine_module
from patchbank.backbones.engine import MAX_CORES, SharedNetwork
from patchbank.detector.bundle import read_bundle, write_bundle
from patchbank.training.precision import score_change
from tests.photographs import part, parts, save, write_dataset
from tests.unit.test_cli import run

ENGINE_NAMES = ("onnxruntime", "openvino")
ENGINES = [
    pytest.param("onnxruntime", id="onnxruntime"),
    pytest.param("openvino", id="openvino", marks=pytest.mark.openvino),
]
IMAGE = part(3, size=(96, 160))
RECIPE = PatchCore(image_size=160, bank_limit=300, false_alarm_rate=0.2)
IN_INT8 = [name for name in embedded_names() if name.endswith("_int8")]
IN_FLOAT32 = [name for name in embedded_names() if name not in IN_INT8]


class Recorder:
    """Stands for a network; it answers when it is told to."""

    def __init__(self, cores):
        self.cores, self.may_answer = cores, SimpleQueue()

    def __call__(self, planes, outputs):
        return [self.cores]


def test_an_image_that_is_alone_has_several_cores_and_those_beside_it_one(monkeypatch):
    monkeypatch.setattr(engine_module, "usable_cores", lambda: 64)
    opened = []
    network = SharedNetwork(lambda cores: opened.append(cores) or Recorder(cores))
    assert network(None, ()) == [MAX_CORES]
    assert opened == [MAX_CORES]
    with network._network():  # as if an image were at work
        assert network(None, ()) == [1]
        assert network(None, ()) == [1]
    assert network(None, ()) == [MAX_CORES]
    assert opened == [MAX_CORES, 1]


def test_a_call_can_end_while_another_opens_the_network_of_one_core(monkeypatch):
    monkeypatch.setattr(engine_module, "usable_cores", lambda: 4)
    is_opening, may_open = threading.Event(), threading.Event()

    def open_network(cores):
        if cores == 1:
            is_opening.set()
            assert may_open.wait(30)
        return Recorder(cores)

    network = SharedNetwork(open_network)
    with ThreadPoolExecutor(2) as pool:
        with network._network():
            concurrent = pool.submit(network, None, ())
            assert is_opening.wait(30)
        # the first call has ended; a third one is concurrent with the second
        third = pool.submit(network, None, ())
        assert not concurrent.done()
        may_open.set()
        assert concurrent.result(30) == third.result(30) == [1]
    assert network(None, ()) == [4]


def test_a_network_on_one_core_is_opened_once(monkeypatch):
    monkeypatch.setattr(engine_module, "usable_cores", lambda: 1)
    opened = []
    network = SharedNetwork(lambda cores: opened.append(cores) or Recorder(cores))
    with network._network():
        assert network(None, ()) == [1]
    assert opened == [1]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", embedded_names())
def test_images_side_by_side_have_the_features_of_one_that_is_alone(name, engine, monkeypatch):
    monkeypatch.setattr(engine_module, "usable_cores", lambda: 3)
    extractor = open_backbone(name, engine=Engine(engine))
    alone = extractor(IMAGE)
    with extractor._network._network():
        beside = extractor(IMAGE)
    assert all((a == b).all() for a, b in zip(alone, beside, strict=True))


@pytest.mark.openvino
@pytest.mark.parametrize("name", IN_FLOAT32)
def test_openvino_computes_in_full_float32(name):
    theirs = open_backbone(name)(IMAGE)
    ours = open_backbone(name, engine=Engine("openvino"))(IMAGE)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert a.dtype == np.float32
        assert np.abs(a - b).max() < 1e-5 * np.abs(b).max()  # bfloat16 would be off by 1e-2


@pytest.mark.openvino
@pytest.mark.parametrize("name", IN_INT8)
def test_openvino_rounds_a_network_in_int8_in_its_own_way(name):
    exact = open_backbone(name.removesuffix("_int8"))(IMAGE)
    runs = {engine: open_backbone(name, engine=Engine(engine)) for engine in ENGINE_NAMES}
    found = {engine: extractor(IMAGE) for engine, extractor in runs.items()}
    for engine, extractor in runs.items():
        assert extractor.engine == Engine(engine, "int8")
        assert all((a == b).all() for a, b in zip(extractor(IMAGE), found[engine], strict=True))
        for a, b in zip(found[engine], exact, strict=True):
            assert 0.02 < np.linalg.norm(a - b) / np.linalg.norm(b) < 0.3
    steps = zip(found["onnxruntime"], found["openvino"], strict=True)
    assert any((a != b).any() for a, b in steps)  # else a file need not be bound to its engine


@pytest.mark.openvino
def test_a_detector_has_the_same_scores_in_openvino(tmp_path):
    RECIPE.fit(parts(8)).save(tmp_path / "a.patchbank")
    detector = load(tmp_path / "a.patchbank")
    other = load(tmp_path / "a.patchbank", engine="openvino")
    assert other.members[0].extractor.engine == Engine("openvino")
    for image in (part(40), part(41, defect=9)):
        ours, theirs = detector.predict(image), other.predict(image)
        assert theirs.score == pytest.approx(ours.score, rel=1e-4)
        assert np.abs(theirs.anomaly_map - ours.anomaly_map).max() < 1e-4 * ours.anomaly_map.max()
    fitted = RECIPE.fit(parts(8), engine="openvino")
    assert fitted.calibration.threshold == pytest.approx(detector.calibration.threshold, rel=1e-4)
    fitted.save(tmp_path / "b.patchbank")
    anywhere = load(tmp_path / "b.patchbank")  # float32 needs no OpenVINO
    assert anywhere.members[0].extractor.engine == Engine("onnxruntime")


@pytest.mark.openvino
@pytest.mark.bfloat16
def test_a_detector_in_bfloat16_says_so_and_stays_so(tmp_path):
    path = tmp_path / "a.patchbank"
    detector = RECIPE.fit(parts(8), engine="openvino", precision="bfloat16")
    detector.save(path)
    again = load(path)
    assert again.members[0].extractor.engine == Engine("openvino", "bfloat16")
    image = part(40, defect=6)
    assert again.predict(image).score == detector.predict(image).score
    with pytest.raises(BackboneError, match="expected openvino, as .* bfloat16, got onnxruntime"):
        load(path, engine="onnxruntime")


@pytest.mark.openvino
@pytest.mark.bfloat16
def test_bfloat16_changes_the_scores():
    rounded = RECIPE.fit(parts(8), engine="openvino", precision="bfloat16")
    change = score_change(rounded, RECIPE.fit(parts(8), engine="openvino"))
    assert 0 < change.mean < change.largest
    assert change.n_images == 8


def test_the_change_of_scores_is_printed_in_shares_of_the_threshold():
    precise = RECIPE.fit(parts(8))
    scores = precise.calibration.image_scores.copy()
    scores[2] += 0.3 * precise.calibration.threshold
    scores[5] -= 0.1 * precise.calibration.threshold
    rounded = replace(precise, calibration=replace(precise.calibration, image_scores=scores))
    change = score_change(rounded, precise)
    assert (change.mean, change.largest) == pytest.approx((0.4 / 8, 0.3))
    assert str(change) == (
        "leave-one-out scores of 8 good images differ from float32 by 5 % of the threshold on "
        "average, 30 % at most"
    )


@pytest.mark.openvino
@pytest.mark.bfloat16
def test_fit_prints_the_change_of_scores(capsys, tmp_path):
    for number, image in enumerate(parts(6)):
        save(tmp_path / "good" / f"{number}.png", image)
    out = tmp_path / "a.patchbank"
    options = ["--image-size", "96", "--engine", "openvino", "--precision", "bfloat16"]
    options += ["--false-alarm-rate", "0.2"]
    status, told, remarks = run(capsys, "fit", tmp_path / "good", "--out", out, *options)
    assert status == 0, remarks
    (line,) = [n for n in (told + remarks).splitlines() if "differ from float32" in n]
    assert "bfloat16: leave-one-out scores of 6 good images differ from float32 by" in line
    assert "bfloat16" in run(capsys, "info", out)[1]
    status, _, remarks = run(capsys, "predict", out, tmp_path / "good", "--engine", "onnxruntime")
    assert status == 2
    assert len(remarks.strip().splitlines()) == 1


@pytest.mark.openvino
def test_predict_and_evaluate_take_an_engine(capsys, tmp_path, monkeypatch):
    path, dataset = tmp_path / "a.patchbank", write_dataset(tmp_path / "plates")
    RECIPE.fit(parts(8)).save(path)
    used = []
    opened = Engine.open
    monkeypatch.setattr(
        Engine, "open", lambda self, *given: used.append(self.name) or opened(self, *given)
    )
    for arguments in (("predict", path, dataset / "test"), ("evaluate", path, dataset)):
        assert run(capsys, *arguments, "--engine", "openvino")[0] == 0
    assert used == ["openvino", "openvino"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("quick",), "engine: expected onnxruntime or openvino, got 'quick'"),
        (("onnxruntime", "int4"), "precision: expected one of float32, bfloat16, int8, got 'int4'"),
        (("onnxruntime", "bfloat16"), "bfloat16, which needs the engine openvino"),
    ],
)
def test_engines_that_do_not_exist_are_named(options, message):
    with pytest.raises(ParameterError, match=message):
        Engine(*options)
    with pytest.raises(ParameterError, match=message):
        RECIPE.fit(parts(2), **dict(zip(("engine", "precision"), options, strict=False)))


def test_without_openvino_one_line_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(engine_module, "find_spec", lambda name: None)
    message = r"pip install 'patchbank\[openvino\]'"
    with pytest.raises(BackboneError, match=message):
        RECIPE.fit(parts(2), engine="openvino")
    RECIPE.fit(parts(8)).save(tmp_path / "a.patchbank")
    with pytest.raises(BackboneError, match=message):
        load(tmp_path / "a.patchbank", engine="openvino")


def test_a_detector_of_bfloat16_asks_for_openvino_where_there_is_none(monkeypatch, tmp_path):
    path = tmp_path / "a.patchbank"
    RECIPE.fit(parts(8)).save(path)
    bundle = read_bundle(path)
    bundle.record["members"][0]["backbone"]["precision"] = "bfloat16"
    write_bundle(path, bundle)
    monkeypatch.setattr(engine_module, "find_spec", lambda name: None)
    with pytest.raises(BackboneError, match=r"a.patchbank: .*patchbank\[openvino\]"):
        load(path)
    bundle.record["members"][0]["backbone"]["precision"] = "float12"
    write_bundle(path, bundle)
    with pytest.raises(DetectorFileError, match="float12"):
        load(path)


@pytest.mark.openvino
def test_networks_of_torch_have_no_choice():
    with pytest.raises(BackboneError, match="resnet18.*runs in torch.*backbones export"):
        PatchCore(backbone="resnet18.a1_in1k").fit(parts(2), engine="openvino")


@pytest.mark.openvino
def test_a_network_that_openvino_cannot_run_is_named():
    with pytest.raises(BackboneError, match="^bad: expected a network that OpenVINO can run"):
        Engine("openvino").open(b"no network", "bad")


@pytest.mark.skipif(
    not Path("/proc/self/task").is_dir() or not hasattr(os, "sched_setaffinity"),
    reason="this system does not tell where threads run",
)
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_keeps_to_the_cores_of_its_process_and_changes_nothing_else(engine):
    core = min(os.sched_getaffinity(0))
    code = f"""
import os
os.sched_setaffinity(0, [{core}])
import numpy as np
from patchbank.backbones import Engine, open_backbone
variables, smallest = dict(os.environ), np.float32(1e-40)
open_backbone("efficientnet_lite0", engine=Engine("{engine}"))(np.zeros((64, 96, 3), np.uint8))
threads = [int(name) for name in os.listdir("/proc/self/task")]
print({{c for thread in threads for c in os.sched_getaffinity(thread)}})
print(os.environ == variables, smallest / np.float32(2) > 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == [f"{{{core}}}", "True True"]
