"""Networks of other programs in int8: taps, opsets, names, batches and inputs as they come."""

import re

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from patchbank import BackboneError
from patchbank.backbones import OnnxExtractor, quantisable, quantisation
from patchbank.backbones.quantisation import _share, quantised
from patchbank.runtime.progress import NullProgress
from tests.photographs import part

IMAGES = [part(seed, size=(64, 96)) for seed in range(3)]
NORMALISATION = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
FREE = ["b", 3, "height", "width"]


def weights(name, *shape, seed=0):
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return numpy_helper.from_array((drawn / np.sqrt(np.prod(shape[1:]))).astype(np.float32), name)


def constant(name, value):
    return numpy_helper.from_array(np.asarray(value, np.float32), name)


def node(operator, inputs, *outputs, **attributes):
    return helper.make_node(operator, inputs, [*outputs], **attributes)


def network(nodes, constants, outputs, *, opset=17, as_inputs=False, image=FREE, version=7):
    info = helper.make_tensor_value_info
    inputs = [info("x", TensorProto.FLOAT, image)]
    if as_inputs:
        inputs += [info(one.name, one.data_type, one.dims) for one in constants]
    maps = [info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "g", inputs, maps, constants)
    versions = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 2)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=version)
    return OnnxExtractor(model.SerializeToString(), "small", None, NORMALISATION)


def two_layers(outputs, *, inner="r", middle=(), constants=(), **options):
    """Convolution, ReLU (a -> r) and convolution (-> y), with other nodes between the last two."""
    taken = middle[-1].output[0] if middle else inner
    nodes = [
        node("Conv", ["x", "w"], "a", strides=[4, 4]),
        node("Relu", ["a"], inner),
        *middle,
        node("Conv", [taken, "v"], "y"),
    ]
    stored = [weights("w", 8, 3, 4, 4), weights("v", 8, 8, 1, 1, seed=1), *constants]
    return network(nodes, stored, outputs, **options)


def errors_of(exact, rounded):
    """Share of each feature map by which it is off, the largest of the images."""
    return np.max([[*map(_share, rounded(image), exact(image))] for image in IMAGES], axis=0)


@pytest.mark.parametrize("outputs", [["a", "y"], ["a", "r", "y"]])
def test_what_is_tapped_before_an_activation_keeps_its_negative_numbers(outputs):
    exact = two_layers(outputs)
    assert exact(IMAGES[0])[0].min() < -0.5
    found = quantised(exact, IMAGES, NullProgress())
    assert found.in_float == ()
    assert errors_of(exact, found.extractor).max() < 0.04


def test_a_sum_that_is_tapped_before_an_activation_keeps_its_negative_numbers():
    nodes = [
        node("Conv", ["x", "w"], "a", strides=[4, 4]),
        node("Conv", ["x", "u"], "b", strides=[4, 4]),
        node("Add", ["a", "b"], "s"),
        node("Relu", ["s"], "r"),
        node("Conv", ["r", "v"], "y"),
    ]
    stored = [weights("w", 8, 3, 4, 4), weights("u", 8, 3, 4, 4, seed=2)]
    exact = network(nodes, [*stored, weights("v", 8, 8, 1, 1, seed=1)], ["s", "y"])
    found = quantised(exact, IMAGES, NullProgress())
    assert found.in_float == ()
    assert errors_of(exact, found.extractor).max() < 0.04


@pytest.mark.parametrize("opset", [9, 10, 11, 12, 13, 20])
def test_networks_of_early_opsets_are_quantised(opset):
    exact = two_layers(["y"], opset=opset)
    found = quantised(exact, IMAGES, NullProgress())
    assert errors_of(exact, found.extractor).max() < 0.04
    made = onnx.load_from_string(found.extractor.content)
    assert [(one.domain, one.version) for one in made.opset_import] == [("", max(opset, 13))]


def resizing(operator, opset, mode, scales):
    nodes = [
        node("Conv", ["x", "w"], "a", strides=[4, 4]),
        node(operator, ["a", "scales"], "u", mode=mode),
        node("Conv", ["u", "v"], "y"),
    ]
    stored = [weights("w", 8, 3, 4, 4), weights("v", 8, 8, 1, 1, seed=1)]
    return network(nodes, [*stored, constant("scales", [1, 1, *scales])], ["y"], opset=opset)


@pytest.mark.parametrize("scales", [(2, 2), (2.5, 1.5)])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize(("operator", "opset"), [("Upsample", 9), ("Resize", 10)])
def test_early_opsets_resize_as_they_did(operator, opset, mode, scales):
    exact = resizing(operator, opset, mode, scales)
    found = quantised(exact, IMAGES, NullProgress())
    assert found.in_float == ()
    assert errors_of(exact, found.extractor).max() < 0.06


def test_a_network_that_the_conversion_changes_is_refused(monkeypatch):
    monkeypatch.setattr(quantisable, "_keep_old_resizing", lambda _: None)
    with pytest.raises(BackboneError) as caught:
        quantised(resizing("Resize", 10, "linear", (2, 2)), IMAGES, NullProgress())
    assert re.fullmatch(
        "small: expected a network that is the same in opset 13, got one with features "
        r"\d+\.\d % off; export it again",
        str(caught.value),
    )


def test_an_opset_that_cannot_be_converted_is_named(monkeypatch):
    def refuse(*_):
        raise RuntimeError("no adapter\nfor Conv")

    monkeypatch.setattr(onnx.version_converter, "convert_version", refuse)
    with pytest.raises(BackboneError) as caught:
        quantised(two_layers(["y"], opset=12), IMAGES, NullProgress())
    assert str(caught.value) == (
        "small: expected opset 13 or newer to quantise to int8, got 12, which cannot be converted "
        "(no adapter for Conv); export it again"
    )


@pytest.mark.parametrize(
    "name",
    [
        "r_scale",
        "r_zero_point",
        "r_quantized",
        "r_QuantizeLinear_Output",
        "r_ReduceMax",
        "r.mean",
        "k",
    ],
)
@pytest.mark.parametrize("shape", [(), (1, 8, 1, 1)])
def test_constants_may_have_names_that_the_tools_invent(name, shape):
    factor = constant(name, np.full(shape, 0.5))
    exact = two_layers(["y"], middle=[node("Mul", ["r", name], "m")], constants=[factor])
    found = quantised(exact, IMAGES, NullProgress())
    assert errors_of(exact, found.extractor).max() < 0.04


def test_inner_tensors_may_have_names_that_the_tools_invent():
    taken = ["w_quantized_scale", "w_quantized_scale_", "y.shifted_bias"]
    nodes = [
        node("Conv", ["x", "w"], taken[0], strides=[4, 4]),
        node("Relu", [taken[0]], taken[1]),
        node("Neg", [taken[1]], taken[2]),
        node("Conv", [taken[2], "v"], "y"),
    ]
    exact = network(nodes, [weights("w", 8, 3, 4, 4), weights("v", 8, 8, 1, 1, seed=1)], ["y"])
    found = quantised(exact, IMAGES, NullProgress())
    assert errors_of(exact, found.extractor).max() < 0.04


def test_an_output_with_a_name_that_the_tools_invent_is_refused_where_it_is_taken():
    exact = two_layers(["k_scale", "y"], inner="k_scale")
    assert errors_of(exact, quantised(exact, IMAGES, NullProgress()).extractor).max() < 0.04
    with pytest.raises(BackboneError) as caught:
        quantised(
            two_layers(["a_quantized_scale"], inner="a_quantized_scale"), IMAGES, NullProgress()
        )
    assert str(caught.value) == (
        "small: expected names of inputs and outputs that are free when it is quantised to int8, "
        "got a_quantized_scale next to a; rename it"
    )


@pytest.mark.parametrize("most", [6, 8])
def test_an_image_may_be_several_inside_the_network(most):
    """As dilated convolutions of TensorFlow are: every second pixel is an image of its own."""
    at = numpy_helper.from_array
    shapes = [
        at(np.array([1, 8, 8, 2, 12, 2]), "apart"),
        at(np.array([4, 8, 8, 12]), "several"),
        at(np.array([2, 2, 1, most, 8, 12]), "again"),
        at(np.array([1, most, 16, 24]), "whole"),
    ]
    nodes = [
        node("Conv", ["x", "w"], "a", strides=[4, 4]),
        node("Relu", ["a"], "r"),
        node("Reshape", ["r", "apart"], "r6"),
        node("Transpose", ["r6"], "t6", perm=[3, 5, 0, 1, 2, 4]),
        node("Reshape", ["t6", "several"], "batch"),
        node("Conv", ["batch", "v"], "b", pads=[1, 1, 1, 1]),
        node("Reshape", ["b", "again"], "b6"),
        node("Transpose", ["b6"], "u6", perm=[2, 3, 4, 0, 5, 1]),
        node("Reshape", ["u6", "whole"], "y"),
    ]
    kernel = np.full((most, 8, 3, 3), 0.51 / 64, np.float32)  # rounding shifts all of it upwards
    kernel[:, :, 0, 0] = 1
    stored = [weights("w", 8, 3, 4, 4), at(kernel, "v"), *shapes]
    exact = network(nodes, stored, ["y"], image=[1, 3, 64, 96])
    found = quantised(exact, IMAGES, NullProgress()).extractor
    before, after = (
        np.mean([one(image)[0].mean((1, 2)) for image in IMAGES], axis=0) for one in (exact, found)
    )
    step = np.ptp(exact(IMAGES[0])[0]) / 255
    assert np.abs(after - before).max() < 0.6 * step


def test_a_network_of_the_time_when_weights_were_inputs_is_quantised():
    exact = two_layers(["y"], opset=8, as_inputs=True, version=3)
    found = quantised(exact, IMAGES, NullProgress())
    assert errors_of(exact, found.extractor).max() < 0.04


def test_weights_that_are_inputs_too_are_constants(capfd):
    stored = [constant("gain", np.ones(8)), constant("shift", np.zeros(8))]
    stored += [constant("m", np.full(8, 0.25)), constant("variance", np.full(8, 4.0))]
    nodes = [
        node("Conv", ["x", "w"], "a", strides=[4, 4]),
        node("BatchNormalization", ["a", *(one.name for one in stored)], "n"),
        node("Relu", ["n"], "y"),
    ]
    exact = network(nodes, [weights("w", 8, 3, 4, 4), *stored], ["y"], as_inputs=True)
    capfd.readouterr()
    found = quantised(exact, IMAGES, NullProgress())
    assert capfd.readouterr().err == ""
    made = onnx.load_from_string(found.extractor.content)
    assert "BatchNormalization" not in {one.op_type for one in made.graph.node}
    assert errors_of(exact, found.extractor).max() < 0.04


def test_ranges_are_measured_on_the_cores_that_the_process_may_use(monkeypatch):
    opened = []

    class Session(onnxruntime.InferenceSession):
        def __init__(self, model, options, **others):
            opened.append(options.intra_op_num_threads)
            super().__init__(model, options, **others)

    exact = two_layers(["y"])
    monkeypatch.setattr(quantisation, "usable_cores", lambda: 5)
    monkeypatch.setattr(quantisation.onnxruntime, "InferenceSession", Session)
    quantised(exact, IMAGES, NullProgress())
    assert 5 in opened


def test_features_that_are_zero_have_no_error():
    assert _share(np.ones((2, 3, 4)), np.zeros((2, 3, 4))) == 0


def test_a_network_without_layers_is_refused():
    pool = node("AveragePool", ["x"], "y", kernel_shape=[4, 4], strides=[4, 4])
    with pytest.raises(BackboneError, match="small: expected a network with convolutions"):
        quantised(network([pool], [], ["y"]), IMAGES, NullProgress())
