"""Graphs whose weights are stored in float16 give what the detector gives, to their tolerance."""

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from patchbank import SPADE, Ensemble, GraphCore, PaDiM, PatchCore, load
from patchbank.errors import DataError, ParameterError
from patchbank.export import export_detector, open_exported, verify
from patchbank.export.graph import builder as builder_module
from patchbank.export.graph.builder import LARGEST_HALF, LEAST_HALVED, GraphBuilder
from patchbank.export.precision import TOLERANCES
from patchbank.export.running import METADATA_KEY
from tests.conftest import GOLDEN
from tests.photographs import part, parts

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
LITE0 = {"backbone": "efficientnet_lite0", "image_size": 96, "top_fraction": 0.1}
BANK = {**LITE0, "bank_limit": 300}
RECIPES = {
    "patchcore": PatchCore(**BANK),
    "reweighted": PatchCore(**BANK, banks="joint", image_score="reweighted", n_neighbours=3),
    "hcw": PatchCore(**BANK, banks="joint", image_score="hcw", metric="squared"),
    "pooled": PatchCore(**BANK, banks="joint", target_dims=100, layer_dims=120),
    "graph": GraphCore(**BANK, graph_neighbours=4, graph_weight=0.5),
    "padim": PaDiM(**LITE0, dims=40),
    "padim rank": PaDiM(**LITE0, dims=40, rank=2),
    "spade": SPADE(**LITE0, n_images=3),
    "spade neighbours": SPADE(**LITE0, n_images=3, n_neighbours=4, image_score="max"),
    "ensemble": Ensemble([PatchCore(**BANK), PaDiM(**LITE0, dims=40)]),
}
PHOTOGRAPHS = [
    part(50, defect=7),
    part(51, size=(30, 40)),
    part(52, size=(40, 300), defect=5),
    part(53, size=(320, 20)),
]


def exported(detector, folder, precision, **options):
    """A graph in a precision.  -> its verification, and its file."""
    file = folder / f"{precision}.onnx"
    done = export_detector(detector, file, precision=precision, photographs=PHOTOGRAPHS, **options)
    return done.verification, file


def agrees(detector, folder):
    found, half = exported(detector, folder, "float16")
    assert found.precision == "float16"
    assert len(found.pairs) >= len(PHOTOGRAPHS)
    assert found.failure == ""
    assert found.n_swapped == 0
    assert 0 < found.largest_difference < TOLERANCES["float16"].score
    _, whole = exported(detector, folder, "float32")
    return half, whole


@pytest.mark.parametrize("name", RECIPES)
def test_a_graph_in_float16_gives_what_the_detector_gives(name, tmp_path):
    half, whole = agrees(RECIPES[name].fit(parts(5)), tmp_path)
    # What chooses neighbours by features keeps the network, most of these files, as it is.
    most = 0.98 if name in ("graph", "spade", "spade neighbours") else 0.62
    assert half.stat().st_size < most * whole.stat().st_size


def test_the_discriminator_of_simplenet_is_never_rounded(tmp_path, monkeypatch):
    """In float16 its 448 numbers would change scores by half a percent."""
    monkeypatch.setattr(builder_module, "LEAST_HALVED", 400)
    detector = load(GOLDEN.parent / "detectors" / "simplenet.patchbank")
    assert detector.members[0].model.discriminator.weight.size > 400
    found, _ = exported(detector, tmp_path, "float16")
    assert found.failure == ""
    assert found.largest_difference < 1e-5


def test_a_graph_in_float16_that_takes_pixels_gives_the_same(tmp_path):
    found, _ = exported(RECIPES["patchcore"].fit(parts(5)), tmp_path, "float16", entry="pixels")
    assert found.is_passed
    assert found.largest_difference > 0


def test_only_weights_are_rounded_and_the_graph_computes_in_float32(tmp_path):
    half, whole = agrees(RECIPES["patchcore"].fit(parts(5)), tmp_path)
    of_half, of_whole = onnx.load(half).graph, onnx.load(whole).graph
    rounded = {w.name: w for w in of_half.initializer if w.data_type == TensorProto.FLOAT16}
    users = [node for node in of_half.node if rounded.keys() & set(node.input)]
    assert {node.op_type for node in users} == {"Cast"}
    assert len(users) == len(rounded)
    exact = {
        kind: sorted(w.raw_data for w in of_half.initializer if w.data_type == kind)
        for kind in (TensorProto.DOUBLE, TensorProto.INT64)
    }
    for kind, values in exact.items():  # thresholds, calibration, coordinates
        assert values == sorted(w.raw_data for w in of_whole.initializer if w.data_type == kind)
    assert list(of_half.output) == list(of_whole.output)
    records = [open_exported(file).metadata for file in (half, whole)]
    assert [record["precision"] for record in records] == ["float16", "float32"]
    assert records[0]["threshold"] == records[1]["threshold"]


def test_a_verdict_that_rounding_decides_is_counted_and_passes(tmp_path):
    detector = RECIPES["patchcore"].fit(parts(5))
    found, _ = exported(detector, tmp_path, "float16")
    pair = max(found.pairs[: len(PHOTOGRAPHS)], key=lambda one: one.score_difference)
    assert pair.score != pair.exported_score
    between = detector.with_threshold((pair.score + pair.exported_score) / 2)
    found, half = exported(between, tmp_path, "float16")
    assert found.n_other_verdicts >= 1
    assert found.n_near_threshold >= 1
    assert found.is_passed
    # The tolerance is that of the precision which the graph names.
    record = {**open_exported(half).metadata, "precision": "float32"}
    graph = replace(open_exported(half), metadata=record)
    assert "something else for " in verify(between, graph, PHOTOGRAPHS).failure


def test_a_graph_in_float16_with_other_weights_is_told(tmp_path):
    detector = RECIPES["patchcore"].fit(parts(5))
    _, half = exported(detector, tmp_path, "float16")
    model = onnx.load(half)
    bank = max(
        (w for w in model.graph.initializer if len(w.dims) == 2 and w.data_type == 10),
        key=lambda w: w.dims[0] * w.dims[1],
    )
    rows = numpy_helper.to_array(bank) * np.float16(1.05)
    bank.CopyFrom(numpy_helper.from_array(rows, bank.name))
    onnx.save(model, tmp_path / "other.onnx")
    found = verify(detector, open_exported(tmp_path / "other.onnx"), PHOTOGRAPHS)
    assert "something else for " in found.failure


def test_a_graph_in_a_precision_of_the_future_is_told(tmp_path):
    _, half = exported(RECIPES["patchcore"].fit(parts(5)), tmp_path, "float16")
    model = onnx.load(half)
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = json.dumps({**json.loads(entry.value), "precision": "float8"})
    onnx.save(model, half)
    with pytest.raises(DataError, match="expected a graph in float32 or float16 or int8, got one"):
        open_exported(half)


def test_the_precision_is_that_of_the_fit(tmp_path):
    files = [tmp_path / name for name in ("own.onnx", "int8.onnx", "other.onnx")]
    whole, rounded = (
        RECIPES["patchcore"].fit(parts(5), precision=precision) for precision in ("float32", "int8")
    )
    assert export_detector(whole, files[0]).verification.precision == "float32"
    export_detector(rounded, files[0])
    done = export_detector(rounded, files[1], precision="int8")
    assert done.verification.precision == "int8"
    assert done.verification.largest_difference < 1e-5
    assert files[0].read_bytes() == files[1].read_bytes()
    refused = [(whole, "int8"), (rounded, "float32"), (rounded, "float16"), (whole, "float8")]
    refused.append((Ensemble([RECIPES["padim"], RECIPES["patchcore"]]).fit(parts(5)), "int8"))
    for detector, precision in refused:
        with pytest.raises(ParameterError, match=f"precision: expected .*got .?{precision}"):
            export_detector(detector, files[2], precision=precision)
    assert not files[2].exists()


def test_small_arrays_and_large_numbers_are_not_rounded():
    builder = GraphBuilder(is_half=True)
    rng = np.random.default_rng(0)
    many, few = (rng.normal(size=n).astype(np.float32) for n in (LEAST_HALVED, LEAST_HALVED - 1))
    large = many.copy()
    large[7] = 2 * LARGEST_HALF
    for values in (few, large):
        assert builder.as_stored(values) is values
        assert builder.weights(values).dtype == np.float32
    assert {w.data_type for w in builder.initializers} == {TensorProto.FLOAT}
    np.testing.assert_allclose(builder.as_stored(many), many, rtol=2**-11, atol=1e-7)
    assert not (builder.as_stored(many) == many).all()
    once, again = builder.weights(many), builder.weights(many.copy())
    assert once.name == again.name
    assert [node.op_type for node in builder.every_node] == ["Cast"]
    plain = GraphBuilder()
    assert plain.as_stored(many) is many


def test_weights_that_a_loop_asks_for_first_are_there_outside_too():
    builder = GraphBuilder(is_half=True)
    values = np.linspace(-2, 2, LEAST_HALVED, dtype=np.float32)
    total = builder.loop(
        builder.constant(3, np.int64),
        builder.constant(np.zeros(LEAST_HALVED, np.float32)),
        lambda number, state: state + builder.weights(values),
    )
    builder.named(total - builder.weights(values), "found")
    graph = onnx.helper.make_graph(
        builder.every_node,
        "test",
        [],
        [onnx.helper.make_tensor_value_info("found", TensorProto.FLOAT, [LEAST_HALVED])],
        builder.initializers,
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )

    (found,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {})
    np.testing.assert_allclose(found, 2 * builder.as_stored(values), rtol=1e-6)
