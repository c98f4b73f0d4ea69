"""The contract that every backbone source keeps, on one or two small backbones of each."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from patchbank.backbones import (
    SOURCES,
    describe_backbone,
    listed_names,
    open_backbone,
    pack_backbone,
    unpack_backbone,
)
from patchbank.errors import BackboneError, DetectorFileError
from tests.networks import FAMILIES, vig_weights_file, weights_file
from tests.onnx_files import write_onnx
from tests.photographs import part

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
VIG = "vig_ti_224_gelu"
NEED_TORCH = (VIG, FAMILIES["ResNet"], FAMILIES["ViT"])
NAMES = [
    *listed_names(),  # the embedded ones, and those of installed packages
    "file.onnx",
    *(pytest.param(name, marks=pytest.mark.torch) for name in NEED_TORCH),
]
IMAGES = [part(seed, size=(96, 160)) for seed in range(4)]
SHALLOW = {VIG: ("stem", "backbone.1")}
"""Layers that need few blocks, so that tests stay fast."""


@pytest.fixture(scope="module", params=NAMES)
def opened(request, tmp_path_factory):
    """-> the options of open_backbone, and the extractor that it opens."""
    name, folder = request.param, tmp_path_factory.mktemp("backbone")
    options = {"name": name}
    if name == "file.onnx":
        options |= {"name": write_onnx(folder / name), "normalisation": HALF}
    elif name == VIG:
        options |= {"weights": vig_weights_file(folder, name), "layers": SHALLOW[name]}
    elif name in NEED_TORCH:
        options |= {"weights": weights_file(folder, name)}
    return options, open_backbone(**options)


@pytest.fixture
def extractor(opened):
    return opened[1]


def assert_same(maps, others):
    for one, other in zip(maps, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_source_is_tested_here():
    tested = {"embedded", "onnx", "vig", "timm"}
    tested |= {name.partition(":")[0] for name in listed_names()}
    assert set(SOURCES) <= tested


def test_maps_are_finite_and_have_the_channels_and_strides_that_are_described(extractor):
    maps = extractor(IMAGES[0])
    assert len(maps) == len(extractor.layers) >= 1
    for name, found in zip(extractor.layers, maps, strict=True):
        layer = extractor.info.available_layers[name]
        assert found.shape == (layer.channels, 96 // layer.stride, 160 // layer.stride)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        assert found.std() > 0


def test_the_description_is_that_of_the_opened_backbone(opened):
    options, extractor = opened
    described = describe_backbone(options["name"], normalisation=options.get("normalisation"))
    for key in ("name", "available_layers", "default_layers", "size_multiple", "input_size"):
        assert getattr(described, key) == getattr(extractor.info, key)
    assert (described.mean, described.std) == (extractor.info.mean, extractor.info.std)


def test_an_image_gives_the_same_bits_whatever_came_before(extractor):
    first = [m.copy() for m in extractor(IMAGES[0])]
    extractor(part(9, size=(64, 128)))
    assert_same(first, extractor(IMAGES[0]))


def test_different_images_give_different_maps(extractor):
    one, other = extractor(IMAGES[0]), extractor(IMAGES[1])
    assert all((a != b).any() for a, b in zip(one, other, strict=True))


def test_the_image_is_left_as_it_was(extractor):
    image = IMAGES[2].copy()
    extractor(image)
    np.testing.assert_array_equal(image, IMAGES[2])


def test_a_read_only_and_a_strided_image_give_the_same_maps(extractor):
    frozen = IMAGES[0].copy()
    frozen.flags.writeable = False
    strided = np.repeat(IMAGES[0], 2, axis=1)[:, ::2]
    expected = extractor(IMAGES[0])
    assert_same(expected, extractor(frozen))
    assert_same(expected, extractor(strided))


def test_several_threads_get_the_maps_that_one_gets(extractor):
    expected = [[m.copy() for m in extractor(image)] for image in IMAGES]
    with ThreadPoolExecutor(len(IMAGES)) as pool:
        for maps, others in zip(expected, pool.map(extractor, IMAGES), strict=True):
            assert_same(maps, others)


def test_layers_come_in_the_order_asked_for(opened):
    options, extractor = opened
    reverse = open_backbone(**{**options, "layers": extractor.layers[::-1]})
    assert reverse.layers == extractor.layers[::-1]
    assert_same(extractor(IMAGES[0]), reversed(reverse(IMAGES[0])))


def test_an_unknown_layer_is_refused_with_the_names_that_exist(opened):
    options, extractor = opened
    first, *_ = extractor.info.available_layers
    with pytest.raises(BackboneError, match=f"expected some of {first}, .*got 'layer99'"):
        open_backbone(**{**options, "layers": ("layer99",)})
    with pytest.raises(BackboneError, match="expected each once"):
        open_backbone(**{**options, "layers": (first, first)})


def test_a_packed_backbone_gives_the_same_maps(extractor):
    record, tensors = pack_backbone(extractor)
    assert set(record) >= {"info", "layers", "kind"}
    assert record["kind"] == extractor.kind
    copies = {name: tensor.copy() for name, tensor in tensors.items()}
    again = unpack_backbone(json.loads(json.dumps(record, sort_keys=True)), copies)
    assert again.info == extractor.info
    assert again.layers == extractor.layers
    assert_same(extractor(IMAGES[0]), again(IMAGES[0]))


def test_a_kind_that_no_package_provides_is_named(extractor):
    record, tensors = pack_backbone(extractor)
    with pytest.raises(DetectorFileError, match="backbones of 'sound', got none"):
        unpack_backbone({**record, "kind": "sound"}, tensors)
