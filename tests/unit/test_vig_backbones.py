"""Vision GNNs with random weights: names, files of weights, sizes, graphs, export."""

import argparse
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from patchbank import BackboneError, PatchCore, load
from patchbank.backbones import (
    OnnxExtractor,
    describe_backbone,
    export_backbone,
    open_backbone,
    pack_backbone,
    torch_to_onnx,
    unpack_backbone,
)
from patchbank.backbones.vig import network as networks
from patchbank.backbones.vig.graph import nearest
from patchbank.backbones.vig.network import Vig
from patchbank.backbones.vig.positions import relative_positions
from patchbank.backbones.vig.variants import VARIANTS
from patchbank.runtime.torch_device import TorchDevice
from tests.networks import vig_keys, vig_state, vig_weights_file
from tests.photographs import part, parts
from tests.unit.test_timm_backbones import Evil

FLAT, PYRAMID = "vig_ti_224_gelu", "pvig_ti_224_gelu"
IMAGE = part(0, size=(96, 160))
SHALLOW = {FLAT: ("backbone.1", "stem"), PYRAMID: ("backbone.0", "backbone.2")}
"""Layers that need few blocks, so that tests stay fast; of the pyramid, two stages."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """-> path of a file of weights by the name of a ViG."""
    folder = tmp_path_factory.mktemp("weights")
    return {name: vig_weights_file(folder, name) for name in (FLAT, PYRAMID)}


@pytest.fixture(scope="module")
def extractors(weights):
    """-> an extractor of two shallow layers by the name of a ViG."""
    return {name: open_backbone(name, SHALLOW[name], weights=weights[name]) for name in weights}


def with_meta_weights(name):
    """A ViG with shapes and no numbers."""
    with torch.device("meta"):
        return Vig(VARIANTS[name])


# Names, layers and shapes


@pytest.mark.parametrize(
    ("name", "layers", "strides", "multiple"),
    [
        ("vig_ti_224_gelu", ("backbone.3", "backbone.4"), (16, 16), 16),
        ("vig_b_224_gelu", ("backbone.3", "backbone.4"), (16, 16), 16),
        ("pvig_ti_224_gelu", ("backbone.4", "backbone.11"), (8, 16), 32),
        ("pvig_m_224_gelu", ("backbone.4", "backbone.21"), (8, 16), 32),
        ("pvig_b_224_gelu", ("backbone.4", "backbone.23"), (8, 16), 32),
    ],
)
def test_they_are_described_without_weights(name, layers, strides, multiple):
    info = describe_backbone(name)
    assert info.default_layers == layers
    assert tuple(info.available_layers[layer].stride for layer in layers) == strides
    assert (info.size_multiple, info.input_size) == (multiple, None)
    assert info.mean == info.std == (0.5, 0.5, 0.5)
    assert info.sha256 == ""


def test_they_are_described_without_torch():
    program = (
        "import sys\n"
        "sys.modules.update(torch=None, timm=None)\n"  # importing them is an error now
        "from patchbank.backbones import describe_backbone\n"
        "print(len(describe_backbone('pvig_s_224_gelu').available_layers))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "16\n"  # the stem, 12 blocks, 3 convolutions between the stages


@pytest.mark.parametrize("name", vig_keys())
def test_names_and_shapes_are_those_of_the_published_weights(name):
    found = {
        key: list(tensor.shape) for key, tensor in with_meta_weights(name).state_dict().items()
    }
    published = vig_keys()[name]
    body = {key: shape for key, shape in published.items() if not key.startswith("prediction.")}
    assert found == body
    assert [key for key in found if key not in body] == []


def test_the_largest_pyramid_has_as_many_weights_as_published():
    """95.213 million: metafile.yml of mmpretrain 1.0, which converted the published file."""
    network = with_meta_weights("pvig_b_224_gelu")
    classifier = 1024 * 1024 + 1024 + 2 * 1024 + 1024 * 1000 + 1000
    assert round(sum(p.numel() for p in network.parameters()) + classifier, -3) == 95_213_000


def test_numbers_of_neighbours_grow_evenly_to_twice_as_many():
    for name in ("vig_ti_224_gelu", "vig_s_224_gelu", "vig_b_224_gelu"):
        blocks = VARIANTS[name].blocks
        evenly = torch.linspace(9, 18, len(blocks)).int().tolist()
        assert [block.graph.n_neighbours for block in blocks] == evenly


@pytest.mark.parametrize("name", [FLAT, PYRAMID])
def test_positions_are_fixed_and_nothing_is_trained(extractors, name):
    assert not any(p.requires_grad for p in extractors[name].network.parameters())


# Files of weights


@pytest.mark.parametrize("name", VARIANTS)
def test_missing_weights_say_where_they_are_to_be_had(name):
    release = "pyramid-vig" if name.startswith("p") else "vig"
    pattern = (
        rf"{name}: expected a file of weights.*Efficient-AI-Backbones/releases/tag/{release} "
        r"\(p?vig_.*\.pth.*\).*--weights FILE"
    )
    with pytest.raises(BackboneError, match=pattern) as raised:
        open_backbone(name)
    assert "\n" not in str(raised.value)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """-> folder of files that are not the weights of the small isotropic ViG."""
    folder = tmp_path_factory.mktemp("foreign")
    state = vig_state(FLAT)
    without = {key: tensor for key, tensor in state.items() if key != "backbone.2.1.fc2.0.bias"}
    torch.save(without, folder / "part.pth")
    torch.save({**state, "backbone.12.0.fc1.0.bias": torch.zeros(192)}, folder / "more.pth")
    torch.save(vig_state(PYRAMID), folder / "other.pth")
    torch.save({"evil": Evil(str(folder / "executed"))}, folder / "pickle.pth")
    (folder / "text.pth").write_text("no weights")
    return folder


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("nothing.pth", "got nothing named .*nothing.pth"),
        ("text.pth", "expected a safetensors file or state dict for vig_ti"),
        ("pickle.pth", "it holds more than weights"),
        ("part.pth", r"without backbone.2.1.fc2.0.bias \(1 are missing\)"),
        ("more.pth", r"it also has backbone.12.0.fc1.0.bias \(1 do not belong\)"),
        ("other.pth", r"other.pth: it also has backbone.2.conv.0.weight, .*do not belong"),
    ],
)
def test_a_file_of_something_else_is_named_in_one_line(foreign, file, message):
    with pytest.raises(BackboneError, match=message) as raised:
        open_backbone(FLAT, weights=str(foreign / file))
    assert "\n" not in str(raised.value)
    assert not (foreign / "executed").exists()


def test_a_name_that_is_nearly_right_is_set_right():
    with pytest.raises(BackboneError, match="did you mean vig_ti_224_gelu"):
        open_backbone("vig_ti_244_gelu")


def test_layers_that_do_not_exist_are_named(weights):
    with pytest.raises(BackboneError, match=r"some of stem, backbone.0, .*'backbone.12'"):
        open_backbone(FLAT, ("backbone.12",), weights=weights[FLAT])


def test_every_way_to_save_weights_is_understood(tmp_path, weights):
    from safetensors.torch import save_file

    state = vig_state(FLAT)
    save_file(state, tmp_path / "a.safetensors")
    torch.save({key: t for key, t in state.items() if "prediction" not in key}, tmp_path / "b.pth")
    torch.save({"state_dict": state, "args": argparse.Namespace(lr=1)}, tmp_path / "c.pth.tar")
    found = {
        open_backbone(FLAT, weights=path).info.sha256
        for path in (weights[FLAT], *map(str, tmp_path.iterdir()))
    }
    assert len(found) == 1


def test_positions_are_taken_from_the_file_where_it_has_them(tmp_path, extractors):
    key = "backbone.0.0.relative_pos"
    path, given = tmp_path / "own.pth", torch.arange(3136 * 196.0).reshape(1, 3136, 196)
    torch.save({**vig_state(PYRAMID), key: given}, path)
    own = open_backbone(PYRAMID, SHALLOW[PYRAMID], weights=str(path))
    np.testing.assert_array_equal(own.state()[key], given)
    computed = relative_positions(48, 56, 56, 4)
    np.testing.assert_array_equal(own.state()["backbone.1.0.relative_pos"], computed)
    trained, other = part(0, size=(224, 224)), IMAGE  # on another grid they are computed
    usual = extractors[PYRAMID]
    assert (own(trained)[0] != usual(trained)[0]).any()
    np.testing.assert_array_equal(own(other)[0], usual(other)[0])


def test_the_record_says_where_weights_come_from(extractors, weights):
    info = extractors[FLAT].info
    assert (info.source, info.license) == ("vig_ti_224_gelu.pth.tar", "not stated")
    assert len(info.sha256) == 64
    own = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert open_backbone(FLAT, weights=weights[FLAT], normalisation=own).info.mean == own[0]


# Features


@pytest.mark.parametrize(
    ("name", "size"),
    [
        (FLAT, (16, 48)),
        (FLAT, (160, 272)),
        (PYRAMID, (32, 64)),
        (PYRAMID, (96, 160)),
    ],
)
def test_maps_of_any_size_have_the_shapes_that_are_promised(weights, name, size):
    every = tuple(describe_backbone(name).available_layers)
    extractor = open_backbone(name, every, weights=weights[name])
    for (_, tap), found in zip(
        extractor.info.available_layers.items(), extractor(part(3, size=size)), strict=True
    ):
        assert found.shape == (tap.channels, size[0] // tap.stride, size[1] // tap.stride)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()


def test_sizes_of_no_multiple_are_refused_by_a_pyramid(extractors):
    with pytest.raises(BackboneError, match=r"pvig_ti.* cannot run on an input of 100 x 140"):
        extractors[PYRAMID](part(0, size=(100, 140)))


@pytest.mark.parametrize("name", [FLAT, PYRAMID])
def test_layers_come_in_the_order_asked_for(weights, extractors, name):
    reverse = open_backbone(name, SHALLOW[name][::-1], weights=weights[name])
    assert reverse.layers == SHALLOW[name][::-1]
    for one, other in zip(extractors[name](IMAGE), reversed(reverse(IMAGE)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", [FLAT, PYRAMID])
def test_the_same_photograph_gives_the_same_bits(extractors, name):
    first = [m.copy() for m in extractors[name](IMAGE)]
    extractors[name](part(1, size=(64, 128)))
    for one, other in zip(first, extractors[name](IMAGE), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", [FLAT, PYRAMID])
def test_neighbours_do_not_depend_on_the_number_of_threads(extractors, name, monkeypatch):
    found = []
    monkeypatch.setattr(
        networks, "nearest", lambda *given: found.append(nearest(*given)) or found[-1]
    )
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            extractors[name](IMAGE)
    finally:
        torch.set_num_threads(before)
    half = len(found) // 2
    assert half == sum(isinstance(m, networks.Grapher) for m in extractors[name].network.modules())
    for one, other in zip(found[:half], found[half:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_device_of_torch_gives_the_same_features(weights, extractors):
    there = open_backbone(
        FLAT, SHALLOW[FLAT], weights=weights[FLAT], device=TorchDevice("cpu", tile_factor=1)
    )
    for ours, theirs in zip(extractors[FLAT](IMAGE), there(IMAGE), strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy())


# In files


@pytest.mark.parametrize("name", [FLAT, PYRAMID])
def test_a_packed_one_needs_no_file(extractors, name):
    extractor = extractors[name]
    record, tensors = pack_backbone(extractor)
    assert record["kind"] == "vig"
    again = unpack_backbone(json.loads(json.dumps(record)), tensors)
    assert again.info == extractor.info
    assert again.layers == extractor.layers
    for one, other in zip(extractor(IMAGE), again(IMAGE), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_packed_one_with_other_weights_is_named(extractors):
    record, tensors = pack_backbone(extractors[FLAT])
    del tensors["backbone.1.0.fc1.0.weight"]
    with pytest.raises(
        BackboneError, match=r"vig_ti.*expected the weights that were saved from it"
    ):
        unpack_backbone(record, tensors)


@pytest.fixture(scope="module", params=[FLAT, PYRAMID])
def exported(request, extractors, tmp_path_factory):
    """-> extractor in torch, path of its ONNX file for inputs of any size."""
    path = tmp_path_factory.mktemp("exported") / "backbone.onnx"
    path.write_bytes(export_backbone(extractors[request.param]))
    return extractors[request.param], path


def test_an_exported_one_gives_the_features_of_torch(exported):
    extractor, path = exported
    again = open_backbone(str(path))
    assert again.layers == extractor.layers
    assert again.info.size_multiple == extractor.info.size_multiple
    assert again.info.input_size is None
    assert again.info.source_sha256 == extractor.info.sha256
    sizes = [(32, 64), (96, 160), (224, 192)]
    assert torch_to_onnx.typical_difference(extractor, again, sizes) < 1e-4


def test_an_exported_one_opens_without_torch(exported, tmp_path):
    extractor, path = exported
    program = (
        "import sys, numpy as np\n"
        "sys.modules.update(torch=None, timm=None)\n"  # importing them is an error now
        "from patchbank.backbones import open_backbone\n"
        "maps = open_backbone(sys.argv[1])(np.load(sys.argv[2]))\n"
        "np.savez(sys.argv[3], *maps)"
    )
    np.save(tmp_path / "image.npy", IMAGE)
    arguments = [path, tmp_path / "image.npy", tmp_path / "maps.npz"]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)
    maps = np.load(tmp_path / "maps.npz")
    for ours, theirs in zip(extractor(IMAGE), maps.values(), strict=True):
        middle = np.median(np.abs(ours - theirs).max(axis=0)) / np.abs(ours).max()
        assert middle < 1e-4


def test_a_size_of_ones_own_is_kept_to(weights):
    extractor = open_backbone(PYRAMID, ("backbone.0",), weights=weights[PYRAMID])
    again = OnnxExtractor(export_backbone(extractor, (64, 96)), "again")
    assert again.info.input_size == (64, 96)
    assert again(part(0, size=(64, 96)))[0].shape == (48, 16, 24)


def test_a_graph_that_is_wrong_is_found_in_spite_of_ties(weights, monkeypatch):
    right = open_backbone(FLAT, ("backbone.0",), weights=weights[FLAT])
    wrong = open_backbone(FLAT, ("backbone.0",), weights=weights[FLAT])
    sizes = torch_to_onnx._trial_sizes(right)
    assert torch_to_onnx.typical_difference(right, wrong, sizes) == 0
    graph = wrong.network.network.backbone[0][0].graph
    other = type(graph)(graph.n_neighbours - 2, graph.dilation, graph.reduction)
    monkeypatch.setattr(wrong.network.network.backbone[0][0], "graph", other)
    assert torch_to_onnx.typical_difference(right, wrong, [(64, 96)]) > torch_to_onnx.TOLERANCE


@pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
def test_a_detector_on_a_vig_is_saved_with_its_network_in_onnx(weights, tmp_path):
    detector = PatchCore(
        backbone=FLAT,
        layers=("backbone.0",),
        weights=weights[FLAT],
        image_size=96,
        scales=(1.0,),
        patch_stride=1,
        bank_rows=50,
    ).fit(parts(4))
    detector.save(tmp_path / "a.patchbank")
    again = load(tmp_path / "a.patchbank")
    assert isinstance(again.members[0].extractor, OnnxExtractor)
    image = part(60, defect=9)
    assert again.predict(image).score == pytest.approx(detector.predict(image).score, rel=1e-2)
