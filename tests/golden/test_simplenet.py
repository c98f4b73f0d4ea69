"""Projection, discriminator and one training step of the original SimpleNet (351a2b8)."""

import json
import zlib

import numpy as np
import pytest
import torch

from patchbank.methods.simplenet import SimpleNetSettings, training
from patchbank.methods.simplenet.discriminator import Discriminator
from patchbank.runtime.devices import HOST
from tests.conftest import GOLDEN
from tests.golden.inputs import normal

STORED = json.loads((GOLDEN / "simplenet.json").read_text())["params"]["simplenet"]
ADAPTOR, DISCRIMINATOR = "pre_projection.layers.0fc.", "discriminator."
NAMES = {"body.block1.0": "0", "body.block1.1": "1", "tail": "3"}  # theirs: ours
# Batch normalisation takes any shift away: the gradients are rounding, which Adam blows up.
WITHOUT_GRADIENT = (f"{ADAPTOR}bias", f"{DISCRIMINATOR}body.block1.0.bias")
PARAMETERS = [name for name in STORED["state_dict"] if name.endswith(("weight", "bias"))]
SETTINGS = SimpleNetSettings()
PRECISIONS = {"f32": torch.float32, "f64": torch.float64}


def drawn(name):
    """The stored formula of a weight, for a name of theirs."""
    shape = tuple(STORED["state_dict"][name])
    z = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.int64)
    if len(shape) == 2:
        z = z / np.sqrt(shape[1])
    elif name.endswith("running_var"):
        z = 1 + 0.1 * np.abs(z)
    else:
        z = 1 + 0.1 * z if name.endswith("weight") else 0.1 * z
    return torch.from_numpy(z.astype(np.float32))


def of_ours(name):
    """-> the module and the parameter's name there, for a name of theirs."""
    if name.startswith(ADAPTOR):
        return "adaptor", name.removeprefix(ADAPTOR)
    layer, _, parameter = name.removeprefix(DISCRIMINATOR).rpartition(".")
    return "discriminator", f"{NAMES[layer]}.{parameter}"


def state_of(networks):
    """Their names, our tensors."""
    state = {}
    for name in STORED["state_dict"]:
        module, ours = of_ours(name)
        state[name] = getattr(networks, module).state_dict(keep_vars=True)[ours]
    return state


def loaded(precision):
    networks = training.Networks(64, 48, torch.Generator())
    with torch.no_grad():
        for name, tensor in state_of(networks).items():
            tensor.copy_(drawn(name))
    return networks.to(PRECISIONS[precision])


def inputs(precision):
    features = normal("simplenet", "features", 80, (100, 64))
    noise = normal("simplenet", "noise", 81, (100, 64), 0.015)
    return [torch.from_numpy(array).to(PRECISIONS[precision]) for array in (features, noise)]


def sub(tensor):
    """Every eighth number of a parameter, in each of its axes longer than one."""
    array = tensor.detach().numpy()
    return array[(slice(None, None, 8),) * array.ndim]


def said(networks, features):
    """-D of patches, as they are predicted."""
    networks.discriminator.eval()
    with torch.no_grad():
        return -networks.discriminator(networks.adaptor(features)).numpy()[:, 0]


@pytest.fixture(params=PRECISIONS)
def precision(request):
    return request.param


AFTER_ONE_STEP = [
    (precision, name)
    for precision in PRECISIONS
    for name in STORED["state_dict"]
    if precision == "f64" or name not in WITHOUT_GRADIENT
]


@pytest.fixture
def stepped(precision):
    """-> networks after one step, the loss, and D of good and of patches with noise."""
    networks = loaded(precision)
    networks.discriminator.train()
    optimisers = training.Optimisers(
        networks, SETTINGS.adaptor_learning_rate, SETTINGS.discriminator_learning_rate
    )
    good, noised = networks.scores(*inputs(precision))
    loss = training.truncated_loss(good, noised, SETTINGS.margin)
    optimisers.step(loss)
    return networks, loss.item(), good.detach(), noised.detach()


def test_the_rates_and_the_margin_are_those_of_the_original():
    assert SETTINGS.adaptor_learning_rate == STORED["proj_lr"]
    assert SETTINGS.discriminator_learning_rate == STORED["dsc_lr"]
    assert SETTINGS.margin == STORED["dsc_margin"]
    assert STORED["proj_weight_decay"] == training.ADAPTOR_WEIGHT_DECAY
    assert STORED["dsc_weight_decay"] == training.DISCRIMINATOR_WEIGHT_DECAY


def test_projection_and_scores_are_those_of_the_original(golden, precision):
    expected, networks = golden("simplenet"), loaded(precision)
    features, _ = inputs(precision)
    projected = networks.adaptor(features).detach().numpy()[:8]
    np.testing.assert_allclose(projected, expected[f"{precision}/eval_projected_first8"], atol=1e-6)
    scores = said(networks, features)
    np.testing.assert_allclose(scores, expected[f"{precision}/eval_patch_scores"], atol=1e-6)


def test_prediction_without_torch_scores_what_the_original_says(golden):
    networks = loaded("f64")
    hidden, tail = networks.merged()
    features = normal("simplenet", "features", 80, (100, 64))
    ours = -Discriminator(hidden.weight, hidden.bias, tail, HOST)(features)
    np.testing.assert_allclose(ours, golden("simplenet")["f64/eval_patch_scores"], atol=1e-5)


def test_the_loss_is_that_of_the_original(golden, stepped, precision):
    expected = golden("simplenet")
    _, loss, good, noised = stepped
    assert loss == pytest.approx(expected[f"{precision}/train_loss"].item(), abs=1e-6)
    right = [(good >= SETTINGS.margin).double().mean(), (noised < -SETTINGS.margin).double().mean()]
    np.testing.assert_allclose(right, expected[f"{precision}/p_true_p_fake"], atol=1e-9)


@pytest.mark.parametrize("name", PARAMETERS)
def test_gradients_are_those_of_the_original(golden, stepped, precision, name):
    expected, gradient = golden("simplenet"), state_of(stepped[0])[name].grad
    atol = 1e-6 if precision == "f32" else 1e-9
    np.testing.assert_allclose(
        sub(gradient), expected[f"{precision}/grad_sub/{name}"], rtol=1e-4, atol=atol
    )
    norm = gradient.double().norm().item()
    assert norm == pytest.approx(expected[f"{precision}/grad_l2/{name}"].item(), rel=1e-4, abs=atol)


@pytest.mark.parametrize(("precision", "name"), AFTER_ONE_STEP)
def test_parameters_after_one_step_are_those_of_the_original(golden, stepped, precision, name):
    expected = golden("simplenet")[f"{precision}/after_step/{name}"]
    ours = state_of(stepped[0])[name]
    ours = sub(ours) if name in PARAMETERS else ours.numpy()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6 if precision == "f32" else 1e-7)


def test_scores_after_one_step_are_those_of_the_original(golden):
    networks = loaded("f64")
    networks.discriminator.train()
    optimisers = training.Optimisers(networks, STORED["proj_lr"], STORED["dsc_lr"])
    optimisers.step(training.truncated_loss(*networks.scores(*inputs("f64")), SETTINGS.margin))
    scores = said(networks, inputs("f64")[0])
    expected = golden("simplenet")["f64/eval_patch_scores_after_step"]
    np.testing.assert_allclose(scores, expected, atol=1e-6)
