"""Training SimpleNet in torch: what it learns from, what it leaves alone, when it stops."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from patchbank.methods import TrainingImage
from patchbank.methods.simplenet import METHOD, SimpleNetSettings, folds
from patchbank.methods.simplenet import training as simplenet_training
from patchbank.methods.simplenet.training import Training
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from patchbank.runtime.torch_device import TorchDevice
from tests.fitting import fit_on_features
from tests.oracles.simplenet import discriminated

SETTINGS = SimpleNetSettings(
    patch_size=1,
    patch_stride=1,
    hidden_dims=32,
    steps=40,
    batch_patches=64,
    discriminator_learning_rate=1e-2,
)
GRID = (5, 7)
N_PATCHES = GRID[0] * GRID[1]


@pytest.fixture
def rng():
    """One seed: training takes long."""
    return np.random.default_rng(0)


def good_features(rng, n, d=6):
    """(n, d) in a plane, far from the origin and of several scales."""
    basis = rng.standard_normal((2, d)) * np.linspace(0.1, 3, d)
    near = 0.02 * rng.standard_normal((n, d)) * np.linspace(0.1, 3, d)
    return (rng.standard_normal((n, 2)) @ basis + near + 5).astype(np.float32)


def photographs(rng, n):
    """Feature maps of n photographs."""
    features = good_features(rng, n * N_PATCHES)
    return list(features.reshape(n, *GRID, -1).transpose(0, 3, 1, 2).copy())


def fitted(maps, device=HOST, **settings):
    examples = [TrainingImage([m], number) for number, m in enumerate(maps)]
    chosen = replace(SETTINGS, **settings)
    return fit_on_features(METHOD, chosen, iter(examples), len(examples), device=device)


def bits(fit):
    return {name: tensor.tobytes() for name, tensor in fit.model.tensors().items()}


def rows_of_folds(n_photographs, n_folds):
    return np.repeat(folds.fold_of_photographs(np.arange(n_photographs), n_folds), N_PATCHES)


def test_prediction_in_numpy_is_that_of_the_networks(rng):
    features = good_features(rng, 300)
    training = Training(SETTINGS, torch.from_numpy(features), np.arange(300), HOST)
    training.advance(30)
    mean, spread = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    seen = np.concatenate([features[:50], 3 * features[:50]])

    said = training.learned()(seen)

    expected = discriminated(training.networks, mean, spread, seen)
    np.testing.assert_allclose(said, expected, rtol=1e-5, atol=1e-5)
    training.networks.discriminator.eval()
    with torch.no_grad():
        standardised = torch.from_numpy(((seen - mean) / spread).astype(np.float32))
        evaluated = training.networks.discriminator(training.networks.adaptor(standardised))
    np.testing.assert_allclose(said, evaluated[:, 0].numpy(), rtol=1e-5, atol=1e-5)


def test_what_leaves_the_plane_of_good_patches_scores_higher(rng):
    maps = photographs(rng, 4)
    model = fitted(maps, steps=300, noise_std=0.2).model
    odd = maps[0].copy()
    odd[0, 1:3, 2:5] += 0.5  # less than the features differ from one another, but off the plane
    touched = np.zeros(GRID, dtype=bool)
    touched[1:3, 2:5] = True
    grid = model.score([odd]).patch_scores
    assert np.median(grid[touched]) > np.median(grid[~touched])


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(rng):
    maps = photographs(rng, 4)
    assert bits(fitted(maps)) == bits(fitted(maps))
    assert bits(fitted(maps)) != bits(fitted(maps, seed=1))


def test_the_host_program_is_left_as_it_was(rng):
    maps = photographs(rng, 3)
    before = torch.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    numpys = np.random.get_state()[1].copy()  # noqa: NPY002
    fitted(maps)
    assert (torch.get_rng_state() == before[0]).all()
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == before[1:]
    assert (np.random.get_state()[1] == numpys).all()  # noqa: NPY002


@pytest.mark.parametrize("mode", ["no_grad", "inference_mode"])
def test_a_host_program_without_gradients_gets_the_same_model(rng, mode):
    maps = photographs(rng, 3)
    with getattr(torch, mode)():
        within = fitted(maps)
    assert bits(within) == bits(fitted(maps))


@pytest.mark.parametrize("limit_bytes", [0, None], ids=["streamed", "resident"])
def test_devices_of_torch_learn_what_the_host_learns(rng, limit_bytes):
    maps = photographs(rng, 4)
    device = TorchDevice("cpu", tile_factor=1, limit_bytes=limit_bytes)
    assert bits(fitted(maps, device)) == bits(fitted(maps))
    on_tensors = fitted(maps, device).model.score([torch.from_numpy(maps[0])])
    on_host = fitted(maps).model.score([maps[0]])
    np.testing.assert_allclose(on_tensors.patch_scores, on_host.patch_scores, rtol=1e-5)


@pytest.mark.parametrize("schedule", ["fixed", "early_stopping"])
def test_what_a_fold_holds_out_does_not_touch_its_model(rng, schedule):
    maps = photographs(rng, 4)
    settings = replace(SETTINGS, folds=2, schedule=schedule, steps=20)
    changed = [maps[0], maps[1], *(m[::-1].copy() for m in maps[2:])]
    one, two = (
        folds.train(
            settings,
            np.concatenate([m.reshape(6, -1).T for m in features]),
            rows_of_folds(4, 2),
            NullProgress(),
            HOST,
        )
        for features in (maps, changed)
    )
    if one.steps == two.steps:  # the held-out photographs may choose how long, nothing else
        assert (one.without[1].weight == two.without[1].weight).all()
    assert (one.without[0].weight != two.without[0].weight).any()


def test_each_photograph_is_scored_by_the_model_of_its_own_fold(rng):
    maps = photographs(rng, 5)
    fit = fitted(maps, folds=2)
    numbers = folds.fold_of_photographs(np.arange(5), 2).tolist()
    assert numbers == [0, 0, 0, 1, 1]
    trained = folds.train(
        replace(SETTINGS, folds=2),
        np.concatenate([m.reshape(6, -1).T for m in maps]),
        rows_of_folds(5, 2),
        NullProgress(),
        HOST,
    )
    for number, fold in enumerate(numbers):
        without = trained.without[fold]
        tensors = {
            "weight": without.weight,
            "bias": without.bias,
            "tail": without.tail,
            "steps": np.array([trained.steps]),
        }
        alone = METHOD.restore(SETTINGS, tensors, HOST).score([maps[number]])
        assert alone.image_score == fit.left_out[number].image_score


def test_copies_are_held_out_with_their_photograph(rng):
    """Nothing of a fold, copies included, may reach the model that scores it."""
    maps = photographs(rng, 2)
    inside = np.ones(GRID, dtype=bool)

    def left_out(copy):
        examples = [
            TrainingImage([maps[0]], 0),
            TrainingImage([copy], 0, inside),
            TrainingImage([maps[1]], 1),
        ]
        return fit_on_features(METHOD, SETTINGS, iter(examples), 3).left_out

    one, two = left_out(maps[0]), left_out(maps[0] + 1)
    assert one[0].image_score == two[0].image_score
    assert one[1].image_score != two[1].image_score


def test_fewer_photographs_than_folds_are_left_out_one_by_one(rng):
    assert len(fitted(photographs(rng, 2), folds=7).left_out) == 2
    assert folds.fold_of_photographs(np.arange(2), 7).tolist() == [0, 1]


def test_photographs_of_a_group_are_held_out_together(rng):
    """Nothing of a group may reach the models that score its photographs."""
    maps = photographs(rng, 4)

    def left_out(second):
        examples = [TrainingImage([m], i) for i, m in enumerate([maps[0], second, *maps[2:]])]
        groups = np.array([0, 1, 1, 0])
        return fit_on_features(METHOD, SETTINGS, iter(examples), 4, groups=groups).left_out

    one, two = left_out(maps[1]), left_out(maps[1] + 1)
    assert one[2].image_score == two[2].image_score
    assert all(one[number].image_score != two[number].image_score for number in (0, 3))


def watched(monkeypatch, losses):
    """Replace the losses of early stopping.  -> list of (rows trained on, rows evaluated)."""
    seen, given = [], iter(losses)
    original = Training.__init__

    def remember(self, settings, features, rows, device):
        self.learns_from = rows
        original(self, settings, features, rows, device)

    def loss_on(self, rows):
        seen.append((self.learns_from, rows))
        return next(given)

    monkeypatch.setattr(Training, "__init__", remember)
    monkeypatch.setattr(Training, "loss_on", loss_on)
    return seen


def test_early_stopping_evaluates_held_out_photographs_only(rng, monkeypatch):
    seen = watched(monkeypatch, [1.0] * 100)
    fitted(photographs(rng, 4), schedule="early_stopping", folds=2)
    assert seen
    for learned_from, evaluated in seen:
        assert not np.intersect1d(learned_from, evaluated).size
        assert len(learned_from) + len(evaluated) == 4 * N_PATCHES


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([1.0] * 40, 2),  # no better than at first
        ([3, 3, 2, 2, 1, 1, *[2] * 8], 6),  # better until the third of 20 evaluations
        ([4, 0, 0, 3, *[2] * 40], 4),  # the mean of both folds counts: 2, 1.5, 2, ...
        (list(range(40, 0, -1)), 40),  # better all the time
    ],
)
def test_all_models_take_the_steps_that_served_held_out_photographs_best(
    rng, monkeypatch, losses, expected
):
    watched(monkeypatch, losses)
    maps = photographs(rng, 4)
    stopped = fitted(maps, schedule="early_stopping", folds=2)
    assert stopped.model.summary()["steps"] == expected
    fixed = fitted(maps, folds=2, steps=expected)
    assert bits(stopped) == bits(fixed)
    assert [s.image_score for s in stopped.left_out] == [s.image_score for s in fixed.left_out]


def test_the_loss_on_held_out_patches_falls_with_training(rng):
    features = good_features(rng, 600)
    training = Training(SETTINGS, torch.from_numpy(features), np.arange(300), HOST)
    held_out = np.arange(300, 600)
    before = training.loss_on(held_out)
    assert before == training.loss_on(held_out)  # always the same noise
    training.advance(200)
    assert training.loss_on(held_out) < before


@pytest.mark.parametrize("schedule", ["fixed", "early_stopping"])
def test_one_photograph_alone_takes_all_steps(rng, schedule):
    fit = fitted(photographs(rng, 1), schedule=schedule)
    assert fit.left_out == ()
    assert fit.model.summary()["steps"] == SETTINGS.steps


def test_a_silent_channel_is_not_blown_up(rng):
    features = good_features(rng, 300)
    features[:, 2] = 7.0
    training = Training(SETTINGS, torch.from_numpy(features), np.arange(300), HOST)
    training.advance(5)
    nearly = features.copy()
    nearly[:, 2] += 1e-6
    said = training.learned()
    np.testing.assert_allclose(said(nearly), said(features), atol=1e-3)


def test_features_that_never_vary_can_be_learned(rng):
    maps = [np.ones((6, *GRID), np.float32)] * 3
    assert np.isfinite(fitted(maps).model.score([maps[0]]).image_score)


def test_progress_receives_every_step(rng):
    tasks = []

    class Counting(NullProgress):
        def task(self, title, total):
            tasks.append([title, total, 0])
            return self

        def __enter__(self):
            def advance(steps):
                tasks[-1][2] += steps

            return advance

        def __exit__(self, *exception):
            return None

    examples = [TrainingImage([m], number) for number, m in enumerate(photographs(rng, 4))]
    fit_on_features(METHOD, replace(SETTINGS, steps=33), iter(examples), 4, Counting(), HOST)
    assert tasks == [["training", 4 * 33, 4 * 33]]


def test_features_are_standardised_for_training(rng):
    features = good_features(rng, 300)
    training = Training(SETTINGS, torch.from_numpy(features), np.arange(300), HOST)
    seen = training._standardised(np.arange(300)).numpy().astype(np.float64)
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(seen.std(axis=0), 1, rtol=1e-4)


def test_mean_and_deviation_of_many_rows_are_those_of_different_ones(rng, monkeypatch):
    monkeypatch.setattr(simplenet_training, "STD_ROWS", 8)
    powers = torch.from_numpy((2.0 ** np.arange(12))[:, None])
    for _ in range(5):
        mean, _ = simplenet_training._mean_and_std(powers, np.arange(12), rng)
        assert round(8 * float(mean[0])).bit_count() == 8
