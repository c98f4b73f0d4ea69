"""Bias correction: channels of a quantised network have the means that they have in float32."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from patchbank.backbones import OnnxExtractor
from patchbank.backbones.quantisation import quantised
from patchbank.runtime.progress import NullProgress
from tests.photographs import part

IMAGES = [part(seed, size=(64, 96)) for seed in range(3)]
NORMALISATION = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
CHANNELS = 6


def convolution(*, groups, has_bias):
    """A 3 x 3 convolution of six channels, after one that makes them of colours, as a backbone.

    Its weights are a little above a half of a step, so that rounding shifts all of them upwards.
    """
    rng = np.random.default_rng(groups)
    mix = rng.uniform(0.1, 1, (CHANNELS, 3, 1, 1)).astype(np.float32)
    weights = np.full((CHANNELS, CHANNELS // groups, 3, 3), 0.51 / 64, np.float32)
    weights[:, :, 0, 0] = 1
    constants = [numpy_helper.from_array(mix, "mix"), numpy_helper.from_array(weights, "weights")]
    if has_bias:
        bias = rng.uniform(-1, 1, CHANNELS).astype(np.float32)
        constants.append(numpy_helper.from_array(bias, "bias"))
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "mix"], ["mixed"], kernel_shape=[1, 1]),
            helper.make_node("Relu", ["mixed"], ["positive"]),
            helper.make_node(
                "Conv",
                ["positive", "weights", *["bias"] * has_bias],
                ["y"],
                kernel_shape=[3, 3],
                group=groups,
            ),
        ],
        "g",
        [info("x", onnx.TensorProto.FLOAT, [1, 3, "height", "width"])],
        [info("y", onnx.TensorProto.FLOAT, [1, CHANNELS, "h", "w"])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return OnnxExtractor(model.SerializeToString(), "small", None, NORMALISATION)


def means(extractor):
    """(channels,) over all images."""
    return np.mean([extractor(image)[0].mean(axis=(1, 2)) for image in IMAGES], axis=0)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2, CHANNELS])
def test_channels_keep_their_means(groups, has_bias, monkeypatch):
    exact = convolution(groups=groups, has_bias=has_bias)
    corrected = quantised(exact, IMAGES, NullProgress()).extractor
    monkeypatch.setattr("patchbank.backbones.quantisation.shift_biases", lambda *_: None)
    uncorrected = quantised(exact, IMAGES, NullProgress()).extractor
    shift = np.abs(means(uncorrected) - means(exact))
    left = np.abs(means(corrected) - means(exact))
    step = np.ptp(exact(IMAGES[0])[0]) / 255
    assert shift.min() > 2 * step
    assert left.max() < 0.6 * step


def test_a_bias_that_the_network_computes_stays_as_it_is():
    extractor = convolution(groups=1, has_bias=True)
    model = onnx.load_from_string(extractor.content)
    model.graph.node.insert(0, helper.make_node("Neg", ["bias"], ["computed"]))
    model.graph.node[-1].input[2] = "computed"
    computed = OnnxExtractor(model.SerializeToString(), "small", None, NORMALISATION)
    found = quantised(computed, IMAGES, NullProgress()).extractor
    exact, rounded = means(computed), means(found)
    assert np.abs(rounded - exact).max() < 0.15 * np.abs(exact).max()
