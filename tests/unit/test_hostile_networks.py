"""Networks made to hang, to fill memory or to be something else are refused before they run."""

import time

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from patchbank.backbones import OnnxExtractor
from patchbank.backbones.onnx_model.check import checked_graph
from patchbank.backbones.onnx_model.sizes import check_sizes
from patchbank.errors import BackboneError
from tests.onnx_files import write_onnx

COLOURS = ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
node, value = helper.make_node, helper.make_tensor_value_info


def model(nodes, constants=(), *, functions=(), imports=(), size=("H", "W"), opset=17):
    """The bytes of a model from ``x`` to ``y``."""
    weights = [numpy_helper.from_array(np.asarray(v), name) for name, v in dict(constants).items()]
    graph = helper.make_graph(
        list(nodes),
        "g",
        [value("x", TensorProto.FLOAT, ["b", 3, *size])],
        [value("y", TensorProto.FLOAT, None)],
        weights,
    )
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset), *imports],
        ir_version=9,
        functions=list(functions),
    )
    return made.SerializeToString()


def integers(*numbers):
    return np.array(numbers, np.int64)


def loop():
    body = helper.make_graph(
        [node("Identity", ["go"], ["go_on"]), node("Add", ["v", "v"], ["w"])],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("v", TensorProto.FLOAT, None),
        ],
        [value("go_on", TensorProto.BOOL, []), value("w", TensorProto.FLOAT, None)],
    )
    constants = {"n": np.array(2**62), "yes": np.array(True)}
    return model([node("Loop", ["n", "yes", "x"], ["y"], body=body)], constants)


def branches(depth=60):
    def branch(level):
        inner = [node("Identity", ["x"], [f"o{level}"])]
        if level:
            one = branch(level - 1)
            inner = [node("If", ["yes"], [f"o{level}"], then_branch=one, else_branch=one)]
        return helper.make_graph(
            inner, f"b{level}", [], [value(f"o{level}", TensorProto.FLOAT, None)]
        )

    deep = branch(min(depth, 12))
    nodes = [node("If", ["yes"], ["y"], then_branch=deep, else_branch=deep)]
    return model(nodes, {"yes": np.array(True)})


def doubling_functions(n=40):
    """Each function calls the one before it twice: 2 ** n operators when they are inlined."""
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = [
        helper.make_function("own", "f0", ["a"], ["b"], [node("Relu", ["a"], ["b"])], opset)
    ]
    for k in range(1, n):
        calls = [
            node(f"f{k - 1}", ["a"], ["c"], domain="own"),
            node(f"f{k - 1}", ["c"], ["b"], domain="own"),
        ]
        functions.append(helper.make_function("own", f"f{k}", ["a"], ["b"], calls, opset))
    return model(
        [node(f"f{n - 1}", ["x"], ["y"], domain="own")],
        functions=functions,
        imports=[helper.make_opsetid("own", 1)],
    )


def folded_powers(n=5000):
    """A constant is expanded and multiplied with itself, again and again, when it is opened."""
    chain = [node("Expand", ["one", "shape"], ["m0"])]
    chain += [node("MatMul", [f"m{k}", f"m{k}"], [f"m{k + 1}"]) for k in range(n)]
    chain += [node("ReduceMax", [f"m{n}"], ["top"], keepdims=0), node("Add", ["x", "top"], ["y"])]
    return model(chain, {"one": np.float32(1), "shape": integers(2000, 2000)})


def expanded():
    nodes = [
        node("ConstantOfShape", ["shape"], ["big"]),
        node("ReduceMax", ["big"], ["top"], keepdims=0),
        node("Add", ["x", "top"], ["y"]),
    ]
    return model(nodes, {"shape": integers(2**20, 2**20)})


def doubled(operator, n=45):
    """The input with itself, n times: 2 ** n as large."""
    nodes, name = [], "x"
    for k in range(n):
        if operator == "Concat":
            nodes.append(node("Concat", [name, name], [f"c{k}"], axis=2))
        elif operator == "Tile":
            nodes.append(node("Tile", [name, "twice"], [f"c{k}"]))
        elif operator == "Resize":
            nodes.append(node("Resize", [name, "", "scales"], [f"c{k}"]))
        else:
            nodes.append(node("Pad", [name, "pads"], [f"c{k}"]))
        name = f"c{k}"
    nodes.append(node("Identity", [name], ["y"]))
    constants = {
        "twice": integers(1, 1, 2, 1),
        "scales": np.array([1, 1, 2, 1], np.float32),
        "pads": integers(0, 0, 0, 0, 0, 0, 2**24, 0),
    }
    return model(nodes, constants)


def strange_sizes():
    """An array as large as the image, but only for images of other sizes than the first."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "at"], ["height"]),
        node("Sub", ["height", "usual"], ["more"]),
        node("Mul", ["more", "factor"], ["many"]),
        node("Add", ["many", "one"], ["rows"]),
        node("Expand", ["zero", "rows"], ["big"]),
        node("ReduceMax", ["big"], ["top"], keepdims=0),
        node("Add", ["x", "top"], ["y"]),
    ]
    return model(
        nodes,
        {
            "at": integers(2),
            "usual": integers(192),
            "factor": integers(10**9),
            "one": integers(1),
            "zero": np.float32(0),
        },
    )


def from_pixels():
    nodes = [
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Cast", ["sum"], ["n"], to=TensorProto.INT64),
        node("Unsqueeze", ["n", "front"], ["shape"]),
        node("ConstantOfShape", ["shape"], ["big"]),
        node("ReduceMax", ["big"], ["top"], keepdims=0),
        node("Add", ["x", "top"], ["y"]),
    ]
    return model(nodes, {"front": integers(0)})


def outer_products(n=30):
    nodes = [node("Flatten", ["x"], ["row"], axis=0), node("Transpose", ["row"], ["column"])]
    nodes += [node("MatMul", ["column", "row"], ["square"]), node("Identity", ["square"], ["y"])]
    return model(nodes)


def wide_weights():
    """Convolutions whose weights are expanded from one number."""
    nodes = [
        node("Expand", ["one", "shape"], ["w"]),
        node("Conv", ["x", "w"], ["y"], pads=[99] * 4),
    ]
    return model(nodes, {"one": np.float32(1), "shape": integers(500, 3, 199, 199)})


HOSTILE = {
    "loop": (loop, "got 'Loop'"),
    "branches": (branches, "got 'If'"),
    "functions": (doubling_functions, "without functions"),
    "powers": (folded_powers, r"MatMul .* (multiplications|elements of constants), where"),
    "expanded": (expanded, r"ConstantOfShape .* elements of constants"),
    "concat": (lambda: doubled("Concat"), r"Concat .* elements"),
    "tile": (lambda: doubled("Tile"), r"Tile .* elements"),
    "resize": (lambda: doubled("Resize"), r"Resize .* elements"),
    "pad": (lambda: doubled("Pad"), r"Pad .* elements"),
    "pixels": (from_pixels, "the size of its output depends on pixels"),
    "products": (outer_products, r"MatMul .* elements of one array"),
    "weights": (wide_weights, "elements of constants"),
    "domain": (
        lambda: model(
            [node("Gelu", ["x"], ["y"], domain="com.microsoft")],
            imports=[helper.make_opsetid("com.microsoft", 1)],
        ),
        r"got 'com\.microsoft\.Gelu'",
    ),
    "non-zero": (
        lambda: model([node("NonZero", ["x"], ["y"])]),
        "expected operators of a feature network, got 'NonZero'",
    ),
    "NaN": (
        lambda: model([node("Add", ["x", "c"], ["y"])], {"c": np.float32("nan")}),
        "got NaN in them",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_network_is_refused_before_anything_runs_it(name, monkeypatch):
    make, match = HOSTILE[name]
    content = make()
    onnx.load_from_string(content)  # it is a model

    def run(*_, **__):
        raise AssertionError("it was opened")

    monkeypatch.setattr(onnxruntime, "InferenceSession", run)
    with pytest.raises(BackboneError, match=match) as caught:
        OnnxExtractor(content, "net", None, COLOURS)
    assert len(str(caught.value).splitlines()) == 1


def test_an_array_that_grows_with_some_sizes_only_is_refused_at_those():
    extractor = OnnxExtractor(strange_sizes(), "net", None, COLOURS)
    assert extractor(np.zeros((192, 64, 3), np.uint8))[0].shape == (3, 192, 64)
    began = time.monotonic()
    with pytest.raises(BackboneError, match="for an image of 224 x 64, got Expand"):
        extractor(np.zeros((224, 64, 3), np.uint8))
    assert time.monotonic() - began < 60  # and not hours


EVERY = {
    "Conv": (
        [node("Conv", ["x", "w"], ["y"], strides=[2, 3], pads=[1, 2, 0, 1])],
        {"w": (5, 3, 3, 2)},
    ),
    "dilated": ([node("Conv", ["x", "w"], ["y"], dilations=[2, 3])], {"w": (4, 3, 3, 3)}),
    "groups": ([node("Conv", ["x", "w"], ["y"], group=3)], {"w": (6, 1, 3, 3)}),
    "same": (
        [node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2])],
        {"w": (4, 3, 3, 3)},
    ),
    "transposed": (
        [
            node(
                "ConvTranspose",
                ["x", "w"],
                ["y"],
                strides=[2, 3],
                pads=[1, 0, 0, 1],
                output_padding=[1, 0],
            )
        ],
        {"w": (3, 4, 3, 3)},
    ),
    "MaxPool": (
        [node("MaxPool", ["x"], ["y"], kernel_shape=[3, 2], strides=[2, 3], ceil_mode=1)],
        {},
    ),
    "AveragePool": (
        [
            node(
                "AveragePool",
                ["x"],
                ["y"],
                kernel_shape=[3, 3],
                strides=[2, 2],
                pads=[1] * 4,
                ceil_mode=1,
            )
        ],
        {},
    ),
    "Global": ([node("GlobalAveragePool", ["x"], ["y"])], {}),
    "Reduce": ([node("ReduceMean", ["x"], ["y"], axes=[-1, 1], keepdims=0)], {}),
    "ArgMax": ([node("ArgMax", ["x"], ["i"], axis=1), node("Cast", ["i"], ["y"], to=1)], {}),
    "Split": ([node("Split", ["x", "parts"], ["a", "y"], axis=1)], {"parts": integers(1, 2)}),
    "TopK": ([node("TopK", ["x", "k"], ["y", "i"], axis=2)], {"k": integers(4)}),
    "Slice": (
        [node("Slice", ["x", "b", "e", "a", "s"], ["y"])],
        {
            "b": integers(-1, 1),
            "e": integers(-(2**62), 9),
            "a": integers(2, -1),
            "s": integers(-3, 2),
        },
    ),
    "Gather": ([node("Gather", ["x", "i"], ["y"], axis=2)], {"i": np.array([[0, 1], [2, 3]])}),
    "Reshape": ([node("Reshape", ["x", "s"], ["y"])], {"s": integers(0, -1, 3)}),
    "Unsqueeze": ([node("Unsqueeze", ["x", "a"], ["y"])], {"a": integers(0, -1)}),
    "Squeeze": ([node("Squeeze", ["x", "a"], ["y"])], {"a": integers(0)}),
    "Transpose": ([node("Transpose", ["x"], ["y"], perm=[0, 2, 3, 1])], {}),
    "Concat": ([node("Concat", ["x", "x"], ["y"], axis=-2)], {}),
    "Pad": ([node("Pad", ["x", "p"], ["y"])], {"p": integers(0, 0, 1, 2, 0, 0, -3, 4)}),
    "Resize": (
        [node("Resize", ["x", "", "f"], ["y"], mode="linear")],
        {"f": np.array([1, 1, 1.7, 0.6], np.float32)},
    ),
    "Resize to": ([node("Resize", ["x", "", "", "s"], ["y"])], {"s": integers(1, 3, 7, 9)}),
    "DepthToSpace": (
        [node("Concat", ["x"] * 4, ["c"], axis=1), node("DepthToSpace", ["c"], ["y"], blocksize=2)],
        {},
    ),
    "SpaceToDepth": ([node("SpaceToDepth", ["x"], ["y"], blocksize=2)], {}),
    "Gemm": (
        [node("Flatten", ["x"], ["f"], axis=3), node("Gemm", ["f", "w"], ["y"], transA=1)],
        {"w": (72, 5)},
    ),
    "Einsum": ([node("Einsum", ["x", "w"], ["y"], equation="bchw,cd->bdhw")], {"w": (3, 4)}),
    "Expand": ([node("Expand", ["x", "s"], ["y"])], {"s": integers(2, 1, 1, 1)}),
    "Where": (
        [node("Greater", ["x", "z"], ["g"]), node("Where", ["g", "x", "w"], ["y"])],
        {"z": np.float32(0), "w": (5, 1, 1, 1, 1)},
    ),
    "OneHot": (
        [node("ArgMax", ["x"], ["i"], axis=1), node("OneHot", ["i", "d", "v"], ["y"], axis=1)],
        {"d": integers(4), "v": np.array([0, 1], np.float32)},
    ),
    "GridSample": ([node("GridSample", ["x", "w"], ["y"])], {"w": (1, 4, 5, 2)}),
    "GatherND": ([node("GatherND", ["x", "i"], ["y"])], {"i": np.array([[0, 1], [0, 2]])}),
}


@pytest.mark.parametrize("name", EVERY)
def test_sizes_are_those_that_the_runtime_gives(name):
    nodes, stated = EVERY[name]
    rng = np.random.default_rng(0)
    constants = {
        key: rng.normal(size=v).astype(np.float32) if isinstance(v, tuple) else v
        for key, v in stated.items()
    }
    content = model(nodes, constants)
    size = (24, 30)
    (shape,) = check_sizes(checked_graph(content, "net"), len(content), size, "net")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(["y"], {"x": rng.normal(size=(1, 3, *size)).astype(np.float32)})
    assert shape == found.shape


def test_sizes_computed_from_the_size_of_the_image_are_followed():
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Slice", ["s", "two", "four"], ["hw"]),
        node("Div", ["hw", "n"], ["half"]),
        node("Concat", ["first", "half"], ["to"], axis=0),
        node("Resize", ["x", "", "", "to"], ["y"]),
    ]
    constants = {"two": integers(2), "four": integers(4), "n": integers(2), "first": integers(1, 3)}
    content = model(nodes, constants)
    graph = checked_graph(content, "net")
    assert check_sizes(graph, len(content), (24, 31), "net") == [(1, 3, 12, 15)]


def test_outputs_that_are_no_feature_maps_do_not_matter_unless_they_are_asked_for(tmp_path):
    path = write_onnx(tmp_path / "net.onnx", rank=2)
    content = (tmp_path / "net.onnx").read_bytes()
    extractor = OnnxExtractor(content, path, None, COLOURS)
    assert extractor.layers == ("shallow", "deep")
    assert list(extractor.info.available_layers) == ["shallow", "deep"]
    with pytest.raises(BackboneError, match="expected some of shallow, deep .*, got 'flat'"):
        OnnxExtractor(content, path, ("flat",), COLOURS)


def test_layers_that_the_metadata_state_wrongly_are_refused(tmp_path):
    layers = {"shallow": {"channels": 5, "stride": 4}, "deep": {"channels": 5, "stride": 16}}
    record = {"mean": [0] * 3, "std": [1] * 3, "taps": layers, "default_layers": ["shallow"]}
    path = tmp_path / "net.onnx"
    write_onnx(path, record=record)
    with pytest.raises(
        BackboneError, match=r"'deep' .* stride 16, got the shape \(1, 5, 24, 32\) for"
    ):
        OnnxExtractor(path.read_bytes(), "net", ("shallow", "deep"))
    layers["deep"]["stride"] = 8
    write_onnx(path, record=record)
    assert OnnxExtractor(path.read_bytes(), "net").layers == ("shallow",)
