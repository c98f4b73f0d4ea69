"""Parts of an exported graph are those of the library, for drawn sizes and settings."""

import math

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from patchbank.core import neighbours
from patchbank.core.scores.calibration import Calibration
from patchbank.core.spatial import resampling
from patchbank.export.graph import judging, operators, resizing, scores, sizes
from patchbank.export.graph.builder import IR_VERSION, OPSET, GraphBuilder, Tensor
from patchbank.images.resize import input_size, resized
from patchbank.methods import PatchCoreSettings

SIDES = st.integers(1, 400)


def computed(make, *arrays):
    """What a function of tensors gives for arrays, in ONNX Runtime."""
    builder, inputs = GraphBuilder(), []
    for number, array in enumerate(arrays):
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        inputs.append(helper.make_tensor_value_info(f"in{number}", kind, [None] * array.ndim))
    given = [Tensor(builder, f"in{n}", array.dtype) for n, array in enumerate(arrays)]
    found = make(*given)
    outputs = found if isinstance(found, tuple) else (found,)
    names = [builder.named(one, f"out{number}").name for number, one in enumerate(outputs)]
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(one.dtype), None)
        for name, one in zip(names, outputs, strict=True)
    ]
    graph = helper.make_graph(builder.nodes, "g", inputs, infos, builder.initializers)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    results = session.run(names, {f"in{n}": array for n, array in enumerate(arrays)})
    return results if isinstance(found, tuple) else results[0]


def whole(number):
    return np.array(number, np.int64)


@settings(max_examples=60)
@given(
    size=st.tuples(SIDES, SIDES),
    to=st.tuples(st.integers(1, 250), st.integers(1, 250)),
    name=st.sampled_from(["bilinear", "bicubic", "lanczos"]),
    seed=st.integers(0, 9),
)
def test_resizing_is_that_of_the_library_to_the_bit(size, to, name, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    if seed % 2:
        image = np.where(image > 127, np.uint8(255), np.uint8(0))
    found = computed(
        lambda pixels, h, w: resizing.resized(pixels, h, w, name),
        np.stack([image, 255 - image]),
        whole(to[0]),
        whole(to[1]),
    )
    np.testing.assert_array_equal(found[0], resized(image, to, name))
    np.testing.assert_array_equal(found[1], resized(255 - image, to, name))


@settings(max_examples=40)
@given(
    n=st.integers(1, 60),
    n_out=st.integers(1, 150),
    stride=st.integers(1, 3),
    interpolation=st.sampled_from(["bilinear", "nearest"]),
)
def test_resized_operators(n, n_out, stride, interpolation):
    samples = -(-n // stride)
    expected = resampling.resize(samples, n_out, interpolation, stride=stride, n_cells=n).matrix()
    found = computed(
        lambda samples, n_out, n: operators.resized(
            operators.identity(samples), n_out, interpolation, stride=stride, n_cells=n
        ),
        *map(whole, (samples, n_out, n)),
    )
    np.testing.assert_allclose(found, expected, atol=2e-7)


@settings(max_examples=40)
@given(
    n=st.integers(2, 90),
    sigma=st.floats(0.2, 30),
    border=st.sampled_from(["reflect", "mirror"]),
)
def test_smoothed_operators(n, sigma, border):
    samples = resampling.resize(max(1, n // 3), n)
    expected = resampling.smoothed(samples, sigma, border).matrix()
    found = computed(
        lambda operator, sigma: operators.smoothed(operator, sigma, border),
        samples.matrix(),
        np.array(sigma),
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


@settings(max_examples=40)
@given(
    n=st.integers(9, 60),
    size=st.sampled_from([1, 3, 5, 9]),
    stride=st.integers(1, 4),
    data=st.data(),
)
def test_windows(n, size, stride, data):
    offset = data.draw(st.integers(0, size - 1))
    means = computed(lambda n: operators.window_mean(n, size, stride), whole(n))
    np.testing.assert_array_equal(means, resampling.window_mean(n, size, stride).matrix())
    elements = computed(lambda n: operators.window_element(n, size, stride, offset), whole(n))
    expected = resampling.window_element(n, size, stride, offset).matrix()
    np.testing.assert_array_equal(elements, expected)


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    image_size=st.integers(32, 700) | st.tuples(st.integers(32, 700), st.integers(32, 700)),
    resize=st.sampled_from(["area", "short_side", "squash"]),
    multiple=st.sampled_from([1, 8, 16, 32]),
    max_upscale=st.sampled_from([1.0, 1.25, 3.0]),
)
def test_input_sizes(size, image_size, resize, multiple, max_upscale):
    resize = "area" if isinstance(image_size, tuple) else resize
    record = PatchCoreSettings(image_size=image_size, resize=resize, max_upscale=max_upscale)
    found = computed(
        lambda h, w: tuple(sizes.input_size(h, w, record, multiple)), *map(whole, size)
    )
    expected = input_size(size, image_size, resize, multiple, max_upscale)
    assert tuple(int(side) for side in found) == expected


@settings(max_examples=40)
@given(
    n=st.integers(1, 30),
    rows=st.integers(1, 70),
    k=st.integers(1, 5),
    at_once=st.integers(3, 80),
    seed=st.integers(0, 99),
)
def test_nearest_rows(n, rows, k, at_once, seed):
    rng = np.random.default_rng(seed)
    bank, patches = (rng.integers(-3, 4, (m, 6)).astype(np.float32) + 50 for m in (rows, n))
    k = min(k, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "ROWS_AT_ONCE", at_once)
        distances, found = computed(lambda given: scores.nearest(given, bank, k), patches)
    expected, _ = neighbours.ExactIndex(bank).nearest(patches, k)
    np.testing.assert_allclose(np.sort(distances, axis=1), expected, rtol=1e-5, atol=1e-5)
    again = np.linalg.norm(patches[:, None] - bank[found], axis=2)
    np.testing.assert_allclose(distances, again, rtol=1e-5, atol=1e-5)
    assert all(len(set(row)) == k for row in found.tolist())


@settings(max_examples=50)
@given(
    good=st.lists(st.floats(0.01, 50), min_size=2, max_size=30),
    rate=st.floats(0.001, 0.5),
    rule=st.sampled_from(["tail", "ranks"]),
    tried=st.lists(st.floats(0.001, 200), min_size=1, max_size=8),
    data=st.data(),
)
def test_p_values(good, rate, rule, tried, data):
    numbers = st.lists(st.integers(0, 4), min_size=len(good), max_size=len(good))
    labels = data.draw(st.none() | numbers)
    groups = None if labels is None else np.array(labels, np.int32)
    values = np.array(good)
    calibration = Calibration(values, values, rate, rule=rule, groups=groups)
    scores_tried = np.array([*tried, *good, calibration.threshold])
    found = computed(lambda given: judging.p_value(given, calibration), scores_tried)
    for score, p_value in zip(scores_tried.tolist(), found.tolist(), strict=True):
        assert p_value == pytest.approx(calibration.p_value(score), rel=1e-4)
        if rule == "tail":
            assert (score > calibration.threshold) == (p_value <= rate)


@settings(max_examples=30)
@given(
    grid=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    kind=st.sampled_from(["max", "smooth_max", "top_fraction"]),
    fraction=st.floats(0.001, 1),
    seed=st.integers(0, 99),
)
def test_image_scores(grid, kind, fraction, seed):
    from patchbank.core.scores.image_score import grid_score

    values = np.random.default_rng(seed).random((3, *grid), np.float32)
    found = computed(lambda given: scores.grid_score(given, kind, fraction), values)
    expected = [grid_score(one, kind, fraction) for one in values]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert math.isfinite(float(found.sum()))
