"""ONNX models read from their bytes: graph, weights in a second file, and what is refused."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from patchbank.backbones import open_backbone
from patchbank.backbones.onnx_extractor import OnnxExtractor
from patchbank.backbones.onnx_model.external_data import embedded
from patchbank.backbones.onnx_model.graph import read_graph
from patchbank.backbones.onnx_model.wire import WireError
from patchbank.backbones.onnx_runtime import OnnxRuntime
from patchbank.errors import BackboneError
from tests.onnx_files import write_onnx

ASSET = (
    Path(__file__).parents[2] / "src/patchbank/backbones/assets/efficientnet_lite0.onnx"
).read_bytes()
COLOURS = ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
IMAGE = np.random.default_rng(3).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def external(folder, *, location="net.data"):
    """A network whose weights are in a second file; returns its path and that of the whole one."""
    whole = Path(write_onnx(folder / "whole.onnx"))
    model = onnx.load(whole)
    onnx.save_model(
        model,
        folder / "net.onnx",
        save_as_external_data=True,
        location="net.data",
        size_threshold=0,
    )
    path = folder / "net.onnx"
    if location != "net.data":
        model = onnx.load(path, load_external_data=False)
        for tensor in model.graph.initializer:
            tensor.external_data[0].value = location
        path.write_bytes(model.SerializeToString())
    return path, whole


def test_the_graph_is_the_one_that_the_onnx_package_reads():
    graph, model = read_graph(ASSET), onnx.load_from_string(ASSET)
    assert graph.opset == 17
    assert [n.operator for n in graph.nodes] == [n.op_type for n in model.graph.node]
    assert [list(n.inputs) for n in graph.nodes] == [list(n.input) for n in model.graph.node]
    assert graph.outputs == tuple(o.name for o in model.graph.output)
    assert graph.inputs == {"image": (None, 3, None, None)}
    for ours, theirs in zip(graph.nodes, model.graph.node, strict=True):
        assert ours.attributes == {
            a.name: list(v) if isinstance(v := helper.get_attribute_value(a), list) else v
            for a in theirs.attribute
        }
    for tensor in model.graph.initializer:
        ours = graph.constants[tensor.name]
        assert (ours.shape, ours.is_external) == (tuple(tensor.dims), False)
        if ours.values is not None:
            np.testing.assert_array_equal(ours.values, numpy_helper.to_array(tensor))


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16, np.int32, np.int64, np.bool_])
@pytest.mark.parametrize("raw", [True, False])
def test_constants_are_read_however_they_are_stored(kind, raw):
    values = np.array([[0, 1, 3], [5, 6, 1]]).astype(kind)
    number = helper.np_dtype_to_tensor_dtype(values.dtype)
    stored = values.tobytes() if raw else values.ravel().tolist()
    tensor = helper.make_tensor("c", number, values.shape, stored, raw=raw)
    graph = helper.make_graph([], "g", [], [], [tensor])
    read = read_graph(helper.make_model(graph).SerializeToString()).constants["c"]
    assert read.values.dtype == kind
    np.testing.assert_array_equal(read.values, values)


def test_weights_in_a_second_file_are_put_into_the_model(tmp_path, monkeypatch):
    path, whole = external(tmp_path)
    content = embedded(path.read_bytes(), path)
    assert onnx.load_from_string(content) == onnx.load(whole)
    monkeypatch.chdir("/")
    maps = open_backbone(path, normalisation=COLOURS)(IMAGE)
    expected = open_backbone(whole, normalisation=COLOURS)(IMAGE)
    for one, other in zip(maps, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert embedded(whole.read_bytes(), whole) == whole.read_bytes()


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/hostname", "", "sub/../../secret", "..\\secret", "link"]
)
def test_weights_outside_the_folder_of_the_model_are_not_read(tmp_path, location):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(10_000))
    (folder / "link").symlink_to(tmp_path / "secret")
    path, _ = external(folder, location=location)
    with pytest.raises(BackboneError, match=r"expected its weights in"):
        open_backbone(path, normalisation=COLOURS)


def test_a_second_file_that_is_missing_or_cut_is_named(tmp_path):
    path, _ = external(tmp_path)
    data = tmp_path / "net.data"
    data.write_bytes(data.read_bytes()[:-4])
    with pytest.raises(BackboneError, match=r"expected 960 bytes of weights in .*, got 956"):
        open_backbone(path, normalisation=COLOURS)
    data.unlink()
    with pytest.raises(BackboneError, match=r"net\.data, got no readable file"):
        open_backbone(path, normalisation=COLOURS)


@pytest.mark.parametrize(("key", "number"), [("offset", 10**30), ("length", 10**30)])
def test_weights_beyond_the_end_of_a_second_file_are_refused(tmp_path, key, number):
    path, _ = external(tmp_path)
    model = onnx.load(str(path), load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == key:
            entry.value = str(number)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BackboneError, match=r"bytes of weights in .*net\.data from byte"):
        open_backbone(str(path), normalisation=COLOURS)


def test_a_model_of_a_detector_file_never_reads_another_file(tmp_path, monkeypatch):
    path, _ = external(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackboneError, match="expected its weights in the model, got them in anoth"):
        OnnxExtractor(path.read_bytes(), "net", None, COLOURS)


def test_external_weights_in_an_attribute_are_found(tmp_path):
    tensor = TensorProto(name="w", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret")
    nodes = [
        helper.make_node("Constant", [], ["w"], value=tensor),
        helper.make_node("Add", ["x", "w"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", 1, [1, 3, 8, 4])], [value("y", 1, [1, 3, 8, 4])]
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(BackboneError, match="expected its weights in the model"):
        OnnxExtractor(content.SerializeToString(), "net", None, COLOURS)


def test_bytes_that_are_no_model_are_refused_wherever_they_are_cut_or_changed():
    rng = np.random.default_rng(0)
    for length in (0, 1, 2, 100, len(ASSET) // 2, len(ASSET) - 1):
        with pytest.raises(BackboneError, match="expected an ONNX model"):
            OnnxExtractor(ASSET[:length], "net")
    for _ in range(200):
        changed = bytearray(ASSET)
        changed[int(rng.integers(20_000 if rng.random() < 0.5 else len(ASSET)))] ^= 1 << int(
            rng.integers(8)
        )
        with suppress(WireError):  # and nothing else
            read_graph(bytes(changed))


def test_the_runtime_itself_reads_no_weights_from_other_files(tmp_path, monkeypatch):
    """A second guard: without the check of the model, and in the folder where the weights are."""
    path, _ = external(tmp_path)
    monkeypatch.chdir(tmp_path)
    onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    with pytest.raises(BackboneError, match="net: expected an ONNX model"):
        OnnxRuntime(path.read_bytes(), "net", 1)
