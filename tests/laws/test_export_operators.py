"""Laws of exported graphs: their operators give what the library's functions give."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from patchbank.core.scores.calibration import Calibration
from patchbank.core.spatial import resampling
from patchbank.core.spatial.box import Box
from patchbank.core.spatial.grid_cells import any_inside
from patchbank.core.spatial.interest import cells_of_interest
from patchbank.detector.preprocessing import _in_photograph
from patchbank.errors import ShapeError
from patchbank.export.graph import gallery, judging, operators, region, resizing, scores, sizes
from patchbank.export.graph.builder import IR_VERSION, OPSET, GraphBuilder, Tensor
from patchbank.images.resize import input_size, resized
from patchbank.images.roi import RegionOfInterest
from patchbank.methods.spade import model as spade
from patchbank.methods.spade.gallery import Gallery
from patchbank.settings import Settings
from tests.oracles import neighbours as oracle
from tests.oracles import spade as spade_oracle

BORDERS = st.sampled_from(["reflect", "mirror"])
INTERPOLATIONS = st.sampled_from(["bilinear", "nearest"])
FILTERS = st.sampled_from(["bilinear", "bicubic", "lanczos"])


def computed(make, *arrays):
    """What a graph gives for arrays; `make` writes it from its inputs."""
    builder = GraphBuilder()
    inputs = [Tensor(builder, f"in{n}", array.dtype) for n, array in enumerate(arrays)]
    made = make(*inputs)
    outputs = [made] if isinstance(made, Tensor) else list(made)
    graph = helper.make_graph(
        builder.nodes,
        "part",
        [
            helper.make_tensor_value_info(
                one.name, helper.np_dtype_to_tensor_dtype(array.dtype), [None] * array.ndim
            )
            for one, array in zip(inputs, arrays, strict=True)
        ],
        [
            helper.make_tensor_value_info(
                one.name, helper.np_dtype_to_tensor_dtype(one.dtype), None
            )
            for one in outputs
        ],
        builder.initializers,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {f"in{n}": array for n, array in enumerate(arrays)})


def whole(*numbers):
    return [np.array(number, np.int64) for number in numbers]


@settings(max_examples=25)
@given(
    photograph=st.tuples(st.integers(1, 600), st.integers(1, 600)),
    size=st.tuples(st.integers(1, 600), st.integers(1, 600)),
    name=FILTERS,
    n=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_photographs_are_resized_to_the_bit(photograph, size, name, n, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n, *photograph, 3), dtype=np.uint8)
    pixels[0, photograph[0] // 2 :, : photograph[1] // 3] = 255  # filters overshoot at edges
    (made,) = computed(lambda p, h, w: resizing.resized(p, h, w, name), pixels, *whole(*size))
    expected = np.stack([resized(one, size, name) for one in pixels])
    np.testing.assert_array_equal(made, expected.astype(np.float32))


@settings(max_examples=25)
@given(
    n=st.integers(1, 60),
    size=st.integers(1, 6),
    stride=st.integers(1, 3),
    offset=st.integers(0, 5),
)
def test_windows_are_those_of_the_library(n, size, stride, offset):
    n, offset = max(n, size), min(offset, size - 1)
    mean, element = computed(
        lambda side: [
            operators.window_mean(side, size, stride),
            operators.window_element(side, size, stride, offset),
        ],
        *whole(n),
    )
    np.testing.assert_array_equal(mean, resampling.window_mean(n, size, stride).matrix())
    np.testing.assert_array_equal(
        element, resampling.window_element(n, size, stride, offset).matrix()
    )


@settings(max_examples=25)
@given(
    n_patches=st.integers(1, 30),
    stride=st.integers(1, 3),
    more_cells=st.integers(0, 2),
    n_out=st.integers(1, 120),
    sigma=st.floats(0.1, 20),
    interpolation=INTERPOLATIONS,
    border=BORDERS,
)
def test_resizing_and_smoothing_are_those_of_the_library(
    n_patches, stride, more_cells, n_out, sigma, interpolation, border
):
    n_cells = (n_patches - 1) * stride + 1 + min(more_cells, stride - 1)

    def make(n, n_out, cells, sigma):
        enlarged = operators.resized(
            operators.identity(n), n_out, interpolation, stride=stride, n_cells=cells
        )
        return [enlarged, operators.smoothed(enlarged, sigma, border)]

    sides = whole(n_patches, n_out, n_cells)
    enlarged, smoothed = computed(make, *sides, np.array(sigma))
    expected = resampling.resize(n_patches, n_out, interpolation, stride=stride, n_cells=n_cells)
    np.testing.assert_allclose(enlarged, expected.matrix(), atol=2e-6)
    expected = resampling.smoothed(expected, sigma, border)
    np.testing.assert_allclose(smoothed, expected.matrix(), atol=3e-6)


@settings(max_examples=25)
@given(
    photograph=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    image_size=st.one_of(
        st.integers(32, 900), st.tuples(st.integers(32, 900), st.integers(32, 900))
    ),
    resize=st.sampled_from(["area", "short_side", "squash"]),
    multiple=st.sampled_from([1, 8, 14, 32]),
    max_upscale=st.sampled_from([1.0, 1.25, 3.7, 100.0]),
)
def test_input_sizes_are_those_of_the_library(
    photograph, image_size, resize, multiple, max_upscale
):
    if isinstance(image_size, tuple):
        resize = "area"
    chosen = Settings(image_size=image_size, resize=resize, max_upscale=max_upscale)
    made = computed(
        lambda height, width: sizes.input_size(height, width, chosen, multiple), *whole(*photograph)
    )
    expected = input_size(photograph, image_size, resize, multiple, max_upscale)
    assert tuple(int(side) for side in made) == expected


@settings(max_examples=25)
@given(
    photograph=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    seen=st.tuples(st.integers(64, 400), st.integers(64, 400)),
    crop=st.one_of(st.integers(1, 64), st.tuples(st.integers(1, 64), st.integers(1, 64))),
)
def test_crops_are_those_of_the_library(photograph, seen, crop):
    def make(height, width, down, across):
        own = sizes.centre_crop((down, across), crop)
        there = sizes.in_photograph(own, (down, across), height, width)
        return [side for one in (own, there) for side in (one.top, one.left, one.height, one.width)]

    made = [int(side) for side in computed(make, *whole(*photograph, *seen))]
    height, width = (crop, crop) if isinstance(crop, int) else crop
    own = Box(round((seen[0] - height) / 2), round((seen[1] - width) / 2), height, width)
    there = _in_photograph(own, seen, photograph)
    assert made[:4] == [own.top, own.left, own.height, own.width]
    assert made[4:] == [there.top, there.left, there.height, there.width]


@settings(max_examples=25)
@given(
    drawn=st.lists(st.integers(0, 12), min_size=2, max_size=40),
    factor=st.sampled_from([0.01, 0.31, 1.0, 700.0]),
    rate=st.sampled_from([1e-4, 0.01, 0.05, 0.5]),
    rule=st.sampled_from(["tail", "ranks"]),
    is_grouped=st.booleans(),
    views=st.booleans(),
    by_hand=st.sampled_from([None, 0.0, 3.5]),
    origin=st.sampled_from([0.0, -1.0]),
)
def test_p_values_are_those_of_the_library(
    drawn, factor, rate, rule, is_grouped, views, by_hand, origin
):
    good = np.array(drawn) * factor
    calibration = Calibration(
        good,
        good,
        rate,
        rule=rule,
        views_of_one=views,
        groups=np.arange(len(good), dtype=np.int32) // 3 if is_grouped else None,
        score_origin=origin,
        set_threshold=by_hand,
    )
    asked = np.concatenate([good, good * 1.01, good + 1e-9, np.linspace(-2, 60, 50) * factor])
    threshold = calibration.threshold
    asked = np.concatenate([asked, [threshold, np.nextafter(threshold, np.inf), 1e9, -1e9]])
    (made,) = computed(lambda score: judging.p_value(score, calibration), asked)
    expected = np.array([calibration.p_value(float(score)) for score in asked])
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-290)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999),
    rows=st.integers(1, 90),
    n=st.integers(1, 20),
    d=st.integers(1, 9),
    k=st.integers(1, 5),
    at_once=st.integers(1, 40),
)
def test_nearest_rows_are_those_of_brute_force(seed, rows, n, d, k, at_once):
    rng = np.random.default_rng(seed)
    bank, patches = (rng.integers(-3, 4, (count, d)).astype(np.float32) for count in (rows, n))
    k = min(k, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "ROWS_AT_ONCE", at_once)
        distances, found = computed(lambda p: scores.nearest(p, bank, k), patches)
    expected = oracle.nearest(bank, patches, k)
    np.testing.assert_allclose(np.sort(distances, axis=1), expected, rtol=1e-6)
    apart = np.linalg.norm(bank[found] - patches[:, None], axis=2)
    np.testing.assert_allclose(apart, distances, rtol=1e-6)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999),
    q=st.integers(1, 40),
    n=st.integers(1, 3),
    c=st.integers(1, 3),
    k=st.integers(1, 50),
    at_once=st.integers(1, 40),
)
def test_similar_images_are_those_of_the_library(seed, q, n, c, k, at_once):
    rng = np.random.default_rng(seed)
    bank, pooled = (rng.integers(0, 3, (count, c)).astype(np.float32) for count in (q, n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery, "POOLED_AT_ONCE", at_once)
        distances, images = computed(lambda p: gallery.similar(p, bank, k), pooled)
    no_pixels = np.zeros((q, 0), np.int32)
    known = Gallery(bank, np.arange(q, dtype=np.int32), (), no_pixels)
    for own, found, apart in zip(pooled, images, distances, strict=True):
        expected, expected_distances = known.similar(own, k)
        assert found.tolist() == sorted(expected.tolist())
        np.testing.assert_allclose(apart, expected_distances, rtol=1e-12)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999),
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    n=st.integers(1, 3),
    grid=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    n_images=st.integers(1, 5),
    k=st.integers(1, 20),
    at_once=st.integers(1, 12),
)
def test_distances_to_pixels_are_those_of_brute_force(seed, counts, n, grid, n_images, k, at_once):
    rng = np.random.default_rng(seed)
    n_images, ends = min(n_images, len(counts)), np.cumsum(counts)
    rows = rng.integers(-3, 4, (ends[-1], 3)).astype(np.float32)
    plane = rng.integers(-3, 4, (n, *grid, 3)).astype(np.float32)
    images = np.stack([rng.permutation(len(counts))[:n_images] for _ in range(n)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery, "PIXELS_AT_ONCE", at_once)
        patch.setattr(gallery, "FEW_AT_ONCE", at_once)
        (found,) = computed(
            lambda p, i: gallery.pixel_distances(p, i, rows, np.array(counts), k, n_images),
            plane,
            images,
        )
    for one, own, distances in zip(plane, images, found, strict=True):
        others = np.concatenate([rows[ends[i] - counts[i] : ends[i]] for i in own])
        np.testing.assert_allclose(
            distances, spade_oracle.pixel_grid(one, others, k), rtol=1e-6, atol=1e-6
        )


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999),
    grids=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4),
)
def test_layers_are_fused_as_the_library_does(seed, grids):
    rng = np.random.default_rng(seed)
    layers = [rng.integers(0, 9, grid).astype(np.float32) for grid in grids]
    (made,) = computed(lambda *given: gallery.fused(given), *(one[None] for one in layers))
    np.testing.assert_allclose(made[0], spade.fused(layers, grids[0]), rtol=1e-5, atol=1e-5)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 999),
    size=st.tuples(st.integers(9, 40), st.integers(9, 40)),
    factor=st.sampled_from([0.3, 1.0, 1.7, 2.0]),
    more=st.sampled_from([0, 0, 0, 1, 5]),
    density=st.sampled_from([0.02, 0.4, 0.97, 1.0]),
    is_part=st.booleans(),
    grid=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    deeper=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    stride=st.integers(1, 3),
)
def test_regions_of_interest_are_those_of_the_library(
    seed, size, factor, more, density, is_part, grid, deeper, stride
):
    rng = np.random.default_rng(seed)
    mask = rng.random(size) < density
    if is_part:
        (top, down), (left, across) = (sorted(rng.integers(0, n + 1, 2)) for n in size)
        mask[:top] = mask[down:] = mask[:, :left] = mask[:, across:] = False
    mask[rng.integers(size[0]), rng.integers(size[1])] = True
    photograph = max(1, round(size[0] * factor)), max(1, round(size[1] * factor)) + more

    def make(height, width, h, w, below, beside):
        found = region.region(mask, height, width)
        box, cells = found.box, found.patches((h, w), 1)
        coarser = region.any_inside(cells, (below, beside))
        patches = found.patches((h, w), stride)
        return [box.top, box.left, box.height, box.width, found.fits, found.mask, patches, coarser]

    *box, fits, own, patches, coarser = computed(make, *whole(*photograph, *grid, *deeper))
    try:
        part = RegionOfInterest(mask).on(photograph)
    except ShapeError:
        assert not fits
        return
    assert fits
    expected = part.box
    assert box == [expected.top, expected.left, expected.height, expected.width]
    np.testing.assert_array_equal(own, part.mask)
    cells = cells_of_interest(part.mask, grid, stride)[::stride, ::stride]
    np.testing.assert_array_equal(patches, cells)
    np.testing.assert_array_equal(coarser, any_inside(cells_of_interest(part.mask, grid), deeper))
