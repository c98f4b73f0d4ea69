"""Vision GNNs: features, graphs and positions of the code that the authors of GraphCore ship."""

import json
import re
from functools import lru_cache

import numpy as np
import pytest
import torch
from torch.nn import functional

from patchbank.backbones.vig import network as networks
from patchbank.backbones.vig.graph import nearest
from patchbank.backbones.vig.loading import _adapted, _empty
from patchbank.backbones.vig.variants import VARIANTS
from tests.conftest import GOLDEN
from tests.golden.inputs import normal
from tests.networks import vig_state

SEEDS = {"vig_ti_224_gelu": 47, "pvig_ti_224_gelu": 14}
PARAMS = json.loads((GOLDEN / "vig.json").read_text())["params"]


@lru_cache
def network(name):
    """With the weights of the golden case, in float32."""
    empty = _empty(name)
    empty.load_state_dict(_adapted(empty, vig_state(name)))
    return empty.eval()


@lru_cache
def run(name, precision):
    """-> maps by the names of the golden case, neighbours of each graph block."""
    image = normal("vig", f"{name}.input", SEEDS[name], (1, 3, 224, 224))
    neighbours = []

    def spy(*given):
        neighbours.append(nearest(*given))
        return neighbours[-1]

    module = network(name).to(getattr(torch, precision))
    try:
        networks.nearest = spy
        with torch.no_grad():
            maps = list(module.maps(torch.from_numpy(image).to(getattr(torch, precision))))
    finally:
        networks.nearest = nearest
        module.float()
    names = ["stem", *(f"backbone[{i}]" for i in range(len(maps) - 1))]
    return dict(zip(names, maps, strict=True)), neighbours


def logits(name, features):
    """The published classifier, which a backbone leaves out: mean, convolution, norm, GELU."""
    state = {
        key.removeprefix("prediction."): tensor.to(features.dtype)
        for key, tensor in vig_state(name).items()
        if key.startswith("prediction.")
    }
    pooled = functional.conv2d(
        features.mean(dim=(2, 3), keepdim=True), state["0.weight"], state["0.bias"]
    )
    normal = functional.batch_norm(
        pooled, state["1.running_mean"], state["1.running_var"], state["1.weight"], state["1.bias"]
    )
    classes = functional.conv2d(functional.gelu(normal), state["4.weight"], state["4.bias"])
    return classes[:, :, 0, 0]  # (b, classes)


def sampled(name, layer, tensor):
    """The part of a tensor that is stored: every so many channels, rows, columns."""
    steps = map(int, re.findall(r"::(\d+)", PARAMS[name]["subsample"][layer]))
    return tensor.numpy()[(slice(None), *(slice(None, None, step) for step in steps))]


def assert_close(found, expected, share):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=share * scale)


@pytest.mark.parametrize("name", SEEDS)
def test_every_block_is_that_of_the_published_code(golden, name):
    expected = golden("vig")
    maps, _ = run(name, "float64")
    assert len(maps) == len(PARAMS[name]["subsample"])
    for layer, tensor in maps.items():
        stored = expected[f"{name}/f64/{layer}"]
        assert_close(sampled(name, layer, tensor), stored, 1e-9)
        whole = tensor.numpy()
        stats = [whole.mean(), whole.std(), whole.min(), whole.max(), np.linalg.norm(whole)]
        assert_close(stats, expected[f"{name}/f64/{layer}__stats"], 1e-9)


@pytest.mark.parametrize("name", SEEDS)
def test_the_published_classifier_reads_our_last_block(golden, name):
    maps, _ = run(name, "float64")
    *_, last = maps.values()
    assert_close(logits(name, last).numpy(), golden("vig")[f"{name}/f64/logits"], 1e-9)


@pytest.mark.parametrize("name", SEEDS)
def test_neighbours_are_those_of_the_published_code(golden, name):
    _, neighbours = run(name, "float64")
    expected = golden("vig")
    assert len(neighbours) == len(PARAMS[name]["k_per_block"])
    for block, found in enumerate(neighbours):
        stored = expected[f"{name}/knn_idx/block{block}"]
        every = found.shape[1] // stored.shape[1]  # of large maps every fourth node is stored
        np.testing.assert_array_equal(found[:, ::every], stored)


@pytest.mark.parametrize("name", SEEDS)
def test_early_blocks_in_float32_are_those_of_the_published_code(golden, name):
    maps, _ = run(name, "float32")
    for layer in ("stem", *(f"backbone[{i}]" for i in range(5))):
        stored = golden("vig")[f"{name}/f32/{layer}"]
        assert_close(sampled(name, layer, maps[layer]), stored, 1e-4)


@pytest.mark.parametrize(
    ("name", "layers", "steps"),
    [
        ("vig_ti_224_gelu", (3, 4), (4, 2, 2)),
        ("pvig_ti_224_gelu", (3, 4), None),
        ("pvig_ti_224_gelu", (4, 11), (4, 4, 4)),
    ],
)
def test_concatenated_layers_are_those_of_graphcore(golden, name, layers, steps):
    maps, _ = run(name, "float64")
    one, other = (maps[f"backbone[{i}]"].numpy() for i in layers)
    factor = one.shape[2] // other.shape[2]
    other = other.repeat(factor, axis=2).repeat(factor, axis=3)  # a coarser map is replicated
    both = np.concatenate([one, other], axis=1)
    case = f"{name}/tap_concat_{layers[0]}_{layers[1]}_f64run"
    stored = golden("vig")[case]
    c, h, w = (slice(None, None, step) for step in steps or (4, 2, 2))
    assert_close(both[:, c, h, w], stored, 1e-6)


def test_positions_are_those_of_the_published_code(golden):
    expected, module = golden("vig"), network("pvig_ti_224_gelu")
    parameters = dict(module.named_parameters())
    prefix = "pvig_ti_224_gelu/relative_pos/"
    cases = [key for key in expected if key.startswith(prefix) and not key.endswith("__stats")]
    assert len(cases) == 12
    for case in cases:
        found = parameters[case.removeprefix(prefix)].detach().numpy()
        rows, columns = (max(1, side // 14) for side in found.shape[1:])
        np.testing.assert_allclose(found[:, ::rows, ::columns], expected[case], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", SEEDS)
def test_graphs_grow_as_in_the_published_code(name):
    graphs = [block.graph for block in VARIANTS[name].blocks if block.graph]
    assert [g.n_neighbours for g in graphs] == PARAMS[name]["k_per_block"]
    assert [g.dilation for g in graphs] == PARAMS[name]["dilation"]
