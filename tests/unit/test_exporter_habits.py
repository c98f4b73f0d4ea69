"""ONNX files as exporters write them: free sides, stored weights, sizes that are rounded."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from patchbank.backbones import OnnxExtractor, open_backbone
from patchbank.backbones.onnx_model.check import checked_graph
from patchbank.backbones.onnx_model.graph import read_graph
from patchbank.backbones.onnx_model.sizes import check_sizes
from patchbank.backbones.onnx_model.wire import BYTES, Message, WireError, written
from patchbank.backbones.quantisation import quantised
from patchbank.errors import BackboneError
from patchbank.runtime.progress import NullProgress
from tests.onnx_files import write_onnx
from tests.photographs import part

COLOURS = ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
NAN = float("nan")
node, value = helper.make_node, helper.make_tensor_value_info
CONV = node("Conv", ["x", "w"], ["y"], strides=[4, 4])
SHAPE = (8, 3, 4, 4)
LARGE = (256, 3, 4, 4)  # its values are not kept


def model(nodes, tensors=(), *, shape=("b", 3, "H", "W"), opset=19):
    """The bytes of a model from ``x`` to ``y``."""
    inputs = [value("x", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(
        nodes, "g", inputs, [value("y", TensorProto.FLOAT, None)], list(tensors)
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return made.SerializeToString()


def weights(shape=SHAPE):
    return np.random.default_rng(0).standard_normal(shape) / 7


def run(content, image=None, size=(24, 40)):
    """What ONNX Runtime alone computes."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    planes = np.ones((1, 3, *size), np.float32) if image is None else image
    return session.run(["y"], {"x": planes})[0]


@pytest.mark.parametrize(
    "shape",
    [
        (-1, 3, -1, -1),
        (1, 3, -1, -1),
        (-1, -1, -1, -1),
        (1, 3, -2, -7),
        ("?", 3, "?", "?"),
        ("", 3, "", ""),
        (None, None, None, None),
        None,
    ],
    ids=str,
)
def test_sides_that_are_free_in_any_way_of_writing_take_images_of_any_size(shape):
    whole = model([CONV], [numpy_helper.from_array(weights().astype(np.float32), "w")])
    content = model(
        [CONV], [numpy_helper.from_array(weights().astype(np.float32), "w")], shape=shape
    )
    ours, same = (OnnxExtractor(each, "net", None, COLOURS) for each in (content, whole))
    assert ours.info.input_size is None
    for size in ((64, 96), (96, 32)):
        image = part(3, size=size)
        np.testing.assert_array_equal(ours(image)[0], same(image)[0])
        np.testing.assert_array_equal(ours(image)[0], run(content, ours.planes(image)[None])[0])
    rounded = quantised(ours, [part(4, size=(64, 96))], NullProgress()).extractor
    assert rounded(part(5, size=(96, 128)))[0].shape == (8, 24, 32)


@pytest.mark.parametrize("shape", [(0, 3, 0, 0), (), (1, 3, -1), (1, 4, -1, -1)], ids=str)
def test_inputs_that_no_image_fits_are_refused(shape):
    tensor = numpy_helper.from_array(weights().astype(np.float32), "w")
    with pytest.raises(BackboneError, match=r"net: expected (one float input|a batch of 1)"):
        OnnxExtractor(model([CONV], [tensor], shape=shape), "net", None, COLOURS)


def stored(kind, values, shape, *, raw):
    """A tensor of weights, in the bytes of its values or in the list of its type."""
    number = getattr(TensorProto, kind)
    if raw:
        content = values.astype(helper.tensor_dtype_to_np_dtype(number)).tobytes()
        return helper.make_tensor("w0", number, shape, content, raw=True)
    return helper.make_tensor("w0", number, shape, values.ravel().tolist())


KINDS = ["FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16"]
KINDS += [f"FLOAT8{kind}" for kind in ("E4M3FN", "E4M3FNUZ", "E5M2", "E5M2FNUZ")]


@pytest.mark.parametrize("shape", [SHAPE, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_that_is_no_number_is_found_however_it_is_stored(kind, raw, shape):
    values = weights(shape)
    values[0, 0, 0, :3] = 0, -0.0, 200  # large, and negative zero, but numbers
    nodes = [node("Cast", ["w0"], ["w"], to=TensorProto.FLOAT), CONV]
    sound = model(nodes, [stored(kind, values, shape, raw=raw)])
    assert np.isfinite(run(sound)).all()
    OnnxExtractor(sound, "net", None, COLOURS)
    values[-1, 2, 3, 1] = NAN
    content = model(nodes, [stored(kind, values, shape, raw=raw)])
    assert np.isnan(run(content)).any()
    with pytest.raises(BackboneError, match="net: expected weights that are numbers, got NaN"):
        OnnxExtractor(content, "net", None, COLOURS)


@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE", "FLOAT16"])
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
def test_weights_without_end_are_allowed(kind, raw):
    """Masks of transformers are."""
    mask = stored(kind, np.array([0, -np.inf, 0]), (3, 1, 1), raw=raw)
    nodes = [node("Cast", ["w0"], ["m"], to=TensorProto.FLOAT), node("Add", ["x", "m"], ["a"])]
    content = model([*nodes, node("Exp", ["a"], ["y"])], [mask])
    features = OnnxExtractor(content, "net", None, COLOURS)(part(1, size=(32, 64)))[0]
    assert (features[1] == 0).all()
    assert np.isfinite(features).all()


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Constant", [], ["c"], value_float=NAN), node("Add", ["x", "c"], ["y"])],
        [node("Constant", [], ["c"], value_floats=[1.0, NAN]), node("Mul", ["x", "c"], ["y"])],
        [node("LeakyRelu", ["x"], ["y"], alpha=NAN)],
        [
            node(
                "Constant",
                [],
                ["w"],
                value=helper.make_tensor("v", TensorProto.FLOAT, SHAPE, [NAN] * 384),
            ),
            CONV,
        ],
    ],
    ids=["number", "numbers", "parameter", "tensor"],
)
def test_attributes_that_are_no_numbers_are_found(nodes):
    with pytest.raises(BackboneError, match="net: expected weights that are numbers, got NaN"):
        OnnxExtractor(model(nodes), "net", None, COLOURS)


def test_weights_in_a_second_file_that_are_no_numbers_are_found(tmp_path):
    path = tmp_path / "net.onnx"
    network = onnx.load(write_onnx(path))
    values = numpy_helper.to_array(network.graph.initializer[0]).copy()
    values[1, 2, 3, 0] = NAN
    network.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w"))
    onnx.save_model(
        network, path, save_as_external_data=True, location="net.data", size_threshold=0
    )
    with pytest.raises(BackboneError, match="expected weights that are numbers, got NaN"):
        open_backbone(path, normalisation=COLOURS)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
def test_whole_numbers_are_read_from_the_list_of_their_type(kind, raw):
    limits = np.iinfo(kind)
    values = np.array([[limits.min, limits.max, 0], [1, 2, limits.max - 1]], kind)
    number = helper.np_dtype_to_tensor_dtype(values.dtype)
    given = values.tobytes() if raw else values.ravel().tolist()
    tensor = helper.make_tensor("c", number, values.shape, given, raw=raw)
    read = read_graph(model([], [tensor])).constants["c"].values
    assert read.dtype == kind
    np.testing.assert_array_equal(read, values)


def packed(content):
    """Field 5 of a message, which is a list of numbers in one piece."""
    return Message(memoryview(written([(5, BYTES, memoryview(content))]))).integers(5)


def test_a_list_of_numbers_is_that_of_the_format():
    """Seven bits to a byte, the lowest first; the highest bit says that more follow."""
    assert packed(b"").tolist() == []
    assert packed(b"\x05\xac\x02\x00").tolist() == [5, 300, 0]
    numbers = [-1, 2**63 - 1, -(2**63), 127, 128]
    tensor = TensorProto(int64_data=numbers)
    assert Message(memoryview(tensor.SerializeToString())).integers(7).tolist() == numbers


@pytest.mark.parametrize("content", [b"\x80", b"\x01\xff", b"\x80" * 10 + b"\x01"])
def test_a_number_that_does_not_end_is_refused(content):
    with pytest.raises(WireError, match="a number without end"):
        packed(content)


def test_values_in_the_list_of_another_type_are_not_taken_for_weights():
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=SHAPE)
    tensor.double_data.extend(weights().ravel().tolist())
    with pytest.raises(BackboneError, match="expected an ONNX model, got: a constant whose values"):
        OnnxExtractor(model([CONV], [tensor]), "net", None, COLOURS)


def test_a_sparse_constant_is_refused_as_a_runtime_would_fill_it():
    """A few bytes that ask for four gigabytes."""
    side = 2**15
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("i", TensorProto.INT64, [1], [0]),
        [side, side],
    )
    nodes = [
        node("Constant", [], ["c"], sparse_value=sparse),
        node("ReduceSum", ["c"], ["s"], keepdims=0),
        node("Add", ["x", "s"], ["y"]),
    ]
    with pytest.raises(BackboneError, match=r"Constant \(c\): a constant without a dense value"):
        OnnxExtractor(model(nodes), "net", None, COLOURS)


@pytest.mark.parametrize(
    ("operator", "opset"), [("Resize", 17), ("Resize", 10), ("Upsample", 9), ("Upsample", 8)]
)
@pytest.mark.parametrize("scale", [0.3, 0.7, 0.9, 1.4, 2.3])
def test_a_scaled_side_is_rounded_as_the_runtime_rounds_it(operator, opset, scale):
    """0.7 of 40 cells are 28 in float32, and 27 in float64."""
    if operator == "Upsample" and scale < 1:
        scale += 1
    scales = np.array([1, 1, scale, scale], np.float32)
    tensors, attributes = [numpy_helper.from_array(scales, "s")], {}
    inputs = ["x", "", "s"] if opset == 17 else ["x", "s"]
    if opset == 8:
        inputs, tensors, attributes = ["x"], [], {"scales": scales.tolist()}
    content = model([node(operator, inputs, ["y"], **attributes)], tensors, opset=opset)
    graph = checked_graph(content, "net")
    for height in range(10, 100, 10):
        size = (height, height + 20)
        (shape,) = check_sizes(graph, len(content), size, "net")
        assert shape == run(content, size=size).shape


def test_a_map_that_is_scaled_goes_together_with_one_of_the_size_that_it_has():
    """A skip connection of 28 cells, 7 of 10 as whole numbers, beside 0.7 of 40."""
    nodes = [
        node("Resize", ["x", "", "scales"], ["small"]),
        node("Shape", ["x"], ["sides"], start=2),
        node("Mul", ["sides", "7"], ["seven"]),
        node("Div", ["seven", "10"], ["tenths"]),
        node("Concat", ["front", "tenths"], ["to"], axis=0),
        node("Resize", ["x", "", "", "to"], ["skip"]),
        node("Add", ["small", "skip"], ["y"]),
    ]
    tensors = [
        numpy_helper.from_array(np.array([1, 1, 0.7, 0.7], np.float32), "scales"),
        numpy_helper.from_array(np.array([1, 3]), "front"),
        *(numpy_helper.from_array(np.array([n]), str(n)) for n in (7, 10)),
    ]
    extractor = OnnxExtractor(model(nodes, tensors), "net", None, COLOURS)
    assert extractor(part(1, size=(40, 80)))[0].shape == (3, 28, 56)
