"""Backbones of timm: small ones with random weights, offline."""

import json
import os
import socket
import threading

import numpy as np
import pytest
import timm
import torch

from patchbank import BackboneError, PatchCore
from patchbank.backbones import describe_backbone, open_backbone, pack_backbone, unpack_backbone
from patchbank.backbones import timm as timm_backbones
from patchbank.runtime.devices import HOST
from patchbank.runtime.threads import map_in_order
from patchbank.runtime.torch_device import TorchDevice, full_float32
from tests.networks import FAMILIES, state_of, weights_file
from tests.photographs import part, parts

RESNET, VIT = FAMILIES["ResNet"], FAMILIES["ViT"]
IMAGE = part(0, size=(96, 160))


@pytest.mark.parametrize("name", FAMILIES.values())
def test_features_are_those_of_timm(tmp_path, name):
    extractor = open_backbone(name, weights=weights_file(tmp_path, name))
    info = extractor.info
    maps = extractor(IMAGE)

    options = {"dynamic_img_size": True} if "vit" in name else {}
    network = timm.create_model(name, pretrained=False, **options).eval()
    network.load_state_dict(state_of(name.partition(".")[0]))
    planes = torch.from_numpy((IMAGE / 255 - info.mean) / info.std).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        every = network.forward_intermediates(planes, intermediates_only=True)
    expected = dict(zip(info.available_layers, every, strict=True))
    for layer, found in zip(extractor.layers, maps, strict=True):
        tap = info.available_layers[layer]
        assert found.shape == (tap.channels, 96 // tap.stride, 160 // tap.stride)
        assert found.dtype == np.float32
        theirs = expected[layer][0].numpy()
        np.testing.assert_allclose(found, theirs, atol=1e-5 * np.abs(theirs).max())


def test_layers_come_in_the_order_asked_for(tmp_path):
    weights = weights_file(tmp_path, RESNET)
    forward = open_backbone(RESNET, ("layer1", "layer3"), weights=weights)(IMAGE)
    backward = open_backbone(RESNET, ("layer3", "layer1"), weights=weights)(IMAGE)
    for one, other in zip(forward, reversed(backward), strict=True):
        np.testing.assert_array_equal(one, other)


def test_prefix_tokens_of_transformers_are_dropped(tmp_path):
    network = timm.create_model("test_vit", pretrained=False)
    assert network.num_prefix_tokens > 0
    (found,) = open_backbone(VIT, ("blocks.3",), weights=weights_file(tmp_path, VIT))(IMAGE)
    assert found.shape == (64, 6, 10)  # 6 x 10 tokens of 16 x 16 pixels, and no more


def test_transformers_take_any_multiple_of_their_patch(tmp_path):
    extractor = open_backbone(VIT, weights=weights_file(tmp_path, VIT))
    assert (extractor.info.size_multiple, extractor.info.input_size) == (16, None)
    for size in ((64, 64), (112, 48), (160, 160)):
        assert extractor(part(0, size=size))[0].shape[1:] == (size[0] // 16, size[1] // 16)


def test_features_do_not_depend_on_what_was_seen_before(tmp_path):
    extractor = open_backbone(RESNET, weights=weights_file(tmp_path, RESNET))
    first = [m.copy() for m in extractor(IMAGE)]
    extractor(part(1, size=(64, 96)))
    assert all((a == b).all() for a, b in zip(first, extractor(IMAGE), strict=True))


def test_the_record_says_where_weights_come_from(tmp_path):
    weights = weights_file(tmp_path, RESNET)
    info = open_backbone(RESNET, weights=weights).info
    assert info.license == "not stated"
    described = describe_backbone(RESNET)
    assert described.license == "apache-2.0"
    assert "timm/test_resnet.r160_in1k" in described.source
    assert info.source == "test_resnet.safetensors, in place of the weights of its tag"
    assert info.mean == (0.5, 0.5, 0.5)
    assert len(info.sha256) == 64


def test_the_hash_is_of_the_weights_not_of_their_file(tmp_path):
    weights = weights_file(tmp_path, RESNET)
    torch.save({"state_dict": state_of("test_resnet")}, tmp_path / "same.pth")
    changed = {n: t.clone() for n, t in state_of("test_resnet").items()}
    changed["layer1.0.conv1.weight"][0, 0, 0, 0] += 1
    torch.save(changed, tmp_path / "other.pth")
    one, same, other = (
        open_backbone(RESNET, weights=str(path)).info.sha256
        for path in (weights, tmp_path / "same.pth", tmp_path / "other.pth")
    )
    assert one == same != other


def test_a_normalisation_of_ones_own_goes_with_weights_of_ones_own(tmp_path):
    own = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    weights = weights_file(tmp_path, RESNET)
    assert open_backbone(RESNET, weights=weights, normalisation=own).info.mean == own[0]
    with pytest.raises(BackboneError, match="weights that state their own"):
        open_backbone(RESNET, normalisation=own)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("wide_resnet50_2.tv_in1k", ("layer2", "layer3")),
        ("vit_small_patch14_dinov2.lvd142m", ("blocks.5", "blocks.8")),
        ("vit_small_patch16_dinov3.lvd1689m", ("blocks.5", "blocks.8")),
        ("swin_tiny_patch4_window7_224.ms_in1k", ("layers.1", "layers.2")),
        ("densenet201.tv_in1k", ("features.denseblock2", "features.denseblock3")),
    ],
)
def test_large_ones_are_described_without_their_weights(name, layers):
    info = describe_backbone(name)
    assert info.default_layers == layers
    assert info.sha256 == ""
    assert info.input_size is None


def test_a_packed_backbone_needs_no_file(tmp_path):
    extractor = open_backbone(RESNET, ("layer3", "layer2"), weights=weights_file(tmp_path, RESNET))
    record, tensors = pack_backbone(extractor)
    again = unpack_backbone(json.loads(json.dumps(record)), tensors)
    assert again.info == extractor.info
    assert again.layers == extractor.layers
    for one, other in zip(extractor(IMAGE), again(IMAGE), strict=True):
        np.testing.assert_array_equal(one, other)


PLACES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", [RESNET, VIT])
def test_features_are_the_same_on_every_device(tmp_path, name, place):
    weights = weights_file(tmp_path, name)
    device = TorchDevice(place, tile_factor=1)
    here, there = (
        open_backbone(name, weights=weights),
        open_backbone(name, weights=weights, device=device),
    )
    packed = pack_backbone(there)
    again = unpack_backbone(*packed, device)
    for ours, theirs, third in zip(here(IMAGE), there(IMAGE), again(IMAGE), strict=True):
        assert theirs.device.type == place
        np.testing.assert_allclose(ours, theirs.cpu(), rtol=1e-4, atol=1e-4)
        assert (theirs == third).all()


@pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
def test_two_threads_learn_by_a_network_on_a_device(tmp_path, monkeypatch):
    """More only wait for each other."""
    asked = []

    def noted(function, items, n_pixels, most_threads=None):
        asked.append(most_threads)
        return map_in_order(function, items, n_pixels, most_threads)

    monkeypatch.setattr("patchbank.training.extraction.map_in_order", noted)
    recipe = PatchCore(
        backbone=RESNET, weights=weights_file(tmp_path, RESNET), image_size=160, bank_rows=100
    )
    for device, most in ((HOST, None), (TorchDevice("cpu", tile_factor=1), 2)):
        monkeypatch.setattr("patchbank.training.recipes.open_device", lambda name, d=device: d)
        asked.clear()
        recipe.fit(parts(5))
        assert asked == [most, None]  # extracted; decoded before that


def test_the_network_runs_in_full_precision(tmp_path):
    extractor = open_backbone(RESNET, weights=weights_file(tmp_path, RESNET))
    seen = []
    extractor.network.register_forward_hook(
        lambda *some: seen.append(
            (torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision)
        )
    )
    extractor(IMAGE)
    assert seen == [("ieee", "ieee")]


def test_precision_comes_back_whichever_thread_leaves_last():
    conv = torch.backends.cudnn.conv
    before, inside, leave = conv.fp32_precision, threading.Event(), threading.Event()
    found = []

    def other():
        with full_float32():
            inside.set()
            leave.wait(10)
            found.append(conv.fp32_precision)

    thread = threading.Thread(target=other)
    with full_float32():
        thread.start()
        inside.wait(10)
    leave.set()
    thread.join()
    assert found == ["ieee"]
    assert conv.fp32_precision == before


def test_sizes_that_a_network_refuses_are_named(tmp_path):
    extractor = open_backbone(VIT, weights=weights_file(tmp_path, VIT))
    with pytest.raises(BackboneError, match="test_vit.* cannot run on an input of 50 x 64"):
        extractor(part(0, size=(50, 64)))


def test_convolutions_take_sizes_of_no_multiple(tmp_path):
    extractor = open_backbone(RESNET, weights=weights_file(tmp_path, RESNET))
    assert extractor.info.size_multiple == 1
    assert [m.shape[1:] for m in extractor(part(0, size=(100, 140)))] == [(13, 18), (7, 9)]


def test_a_network_that_timm_has_changed_is_named(tmp_path):
    record, tensors = pack_backbone(open_backbone(RESNET, weights=weights_file(tmp_path, RESNET)))
    renamed = {name.replace("conv1", "convolution1"): t for name, t in tensors.items()}
    with pytest.raises(BackboneError, match="expected the network that the weights were saved"):
        unpack_backbone(record, renamed)
    record["info"]["name"] = "gone_network.a_tag"
    with pytest.raises(BackboneError, match="gone_network.*install the timm it was fitted with"):
        unpack_backbone(record, tensors)


def test_torch_settings_of_the_host_program_stay_as_they_were(tmp_path):
    backends = torch.backends
    places = [backends.cudnn.conv, backends.cuda.matmul, backends.mkldnn.conv]
    chosen = backends.mkldnn.conv.fp32_precision
    backends.mkldnn.conv.fp32_precision = "bf16"
    try:
        before = [place.fp32_precision for place in places]
        found = open_backbone(RESNET, weights=weights_file(tmp_path, RESNET))(IMAGE)
        assert [place.fp32_precision for place in places] == before
    finally:
        backends.mkldnn.conv.fp32_precision = chosen
    precise = open_backbone(RESNET, weights=weights_file(tmp_path, RESNET))(IMAGE)
    assert all((a == b).all() for a, b in zip(found, precise, strict=True))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet18", {}, "a name with a tag of timm .*resnet18.tv_in1k"),
        ("resnet18.bogus", {}, "a name with a tag of timm .*resnet18.tv_in1k"),
        ("resnt18.tv_in1k", {}, "did you mean resnet18.tv_in1k"),
        ("timm/resnet18.tv_in1k", {}, "did you mean resnet18.tv_in1k"),
        ("resnet18.pth", {}, "--backbone NAME --weights FILE"),
        (RESNET, {"weights": "/no/file"}, "got nothing named /no/file"),
        (RESNET, {"weights": "{text}"}, "expected a safetensors file or state dict"),
        (RESNET, {"weights": "{pickle}"}, "it holds more than weights; save its state_dict"),
        (RESNET, {"weights": "{vit}"}, "without conv1.0.weight, .* missing"),
        (RESNET, {"weights": "{own}", "layers": ("layer9",)}, "some of act1, layer1, .*'layer9'"),
        ("efficientnet_lite0", {"weights": "{own}"}, "weights: expected with a timm model"),
    ],
)
def test_what_cannot_be_had_is_named_in_one_line(tmp_path, name, options, message):
    (tmp_path / "text").write_text("no weights")
    torch.save({"evil": Evil(str(tmp_path / "executed"))}, tmp_path / "pickle")
    paths = {"own": weights_file(tmp_path, RESNET), "vit": weights_file(tmp_path, VIT)}
    paths |= {kind: str(tmp_path / kind) for kind in ("text", "pickle")}
    given = {k: v.format(**paths) if isinstance(v, str) else v for k, v in options.items()}
    with pytest.raises(BackboneError, match=message) as raised:
        open_backbone(name, **given)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "executed").exists()


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return (os.mkdir, (self.folder,))


def test_a_hub_out_of_reach_is_found_out_at_once(monkeypatch):
    def refuse(address, timeout):
        assert address == ("huggingface.co", 443)
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr(timm, "create_model", lambda *some, **options: 1 / 0)
    with pytest.raises(BackboneError, match="no such host; .*model.safetensors of https"):
        timm_backbones._with_weights_of_tag(RESNET)


def test_weights_that_cannot_be_fetched_name_the_file_to_bring(monkeypatch):
    monkeypatch.setattr(timm_backbones, "_require_network", lambda config: None)

    def refuse(*args, pretrained, **options):
        if pretrained:
            raise OSError("no route to host\nmore")
        return create(*args, pretrained=False, **options)

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(
        BackboneError,
        match=r"got: no route to host more; .*model\.safetensors of https://huggingface\.co/timm/"
        r"test_resnet\.r160_in1k.*--weights FILE",
    ):
        open_backbone(RESNET)


@pytest.mark.parametrize("name", [*FAMILIES.values(), "vit_tiny_patch16_224.augreg_in21k"])
def test_a_file_whose_keys_are_sorted_gives_the_same_maps(tmp_path, name):
    """Layers such as stem, blocks.2 and blocks.10 are not in the order of their names."""
    info = describe_backbone(name)
    layers = tuple(info.available_layers)[-2:]
    extractor = open_backbone(name, layers, weights=weights_file(tmp_path, name))
    record, tensors = pack_backbone(extractor)
    record = json.loads(json.dumps(record, sort_keys=True))  # as a detector file holds it
    restored = unpack_backbone(record, tensors)
    assert list(restored.info.available_layers) == list(info.available_layers)
    image = part(0, size=(224, 224)) if extractor.info.input_size else IMAGE
    for one, other in zip(extractor(image), restored(image), strict=True):
        np.testing.assert_array_equal(one, other)
