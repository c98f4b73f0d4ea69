"""Training of SimpleNet in torch (extra ``torch``): adaptor, discriminator, optimiser steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from patchbank.core.array_api import blocks
from patchbank.methods.simplenet.discriminator import SLOPE, Affine, Discriminator
from patchbank.methods.simplenet.settings import SimpleNetParameters
from patchbank.runtime.devices import Device
from patchbank.runtime.torch_device import full_float32
from patchbank.types import Indices

ADAPTOR_WEIGHT_DECAY = 0.01
DISCRIMINATOR_WEIGHT_DECAY = 1e-5
STD_ROWS = 65_536  # patches used to estimate mean and standard deviation of each channel
LEAST_STD = 0.01  # lower limit, relative to the RMS over channels: constant channels stay small
HELD_OUT_ROWS = 16_384  # patches on which the held-out loss is evaluated


class Networks:
    """The adaptor and the discriminator."""

    def __init__(self, d: int, hidden: int, generator: torch.Generator) -> None:
        self.adaptor = _linear(d, d, generator)
        self.discriminator = nn.Sequential(
            _linear(d, hidden, generator),
            nn.BatchNorm1d(hidden),
            nn.LeakyReLU(SLOPE),
            _linear(hidden, 1, generator, bias=False),
        )

    def to(self, device_or_dtype: Any) -> Networks:
        """Move the networks to a device, or to another precision."""
        self.adaptor.to(device_or_dtype)
        self.discriminator.to(device_or_dtype)
        return self

    def scores(
        self, features: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Output D for patches, and for the same patches with noise.  (n, d), (n, d) -> (n,), (n,).

        Both are in one batch, so that batch statistics cannot separate them.
        """
        adapted = self.adaptor(features)
        both = self.discriminator(torch.cat([adapted, adapted + noise]))
        good, noised = both[:, 0].chunk(2)
        return good, noised

    def merged(self) -> tuple[Affine, NDArray[np.float64]]:
        """The affine layers before the rectifier as one, and the weights after it, (hidden,)."""
        linear, norm, _, tail = self.discriminator
        gain = _numpy(norm.weight) / np.sqrt(_numpy(norm.running_var) + norm.eps)
        shift = _numpy(norm.bias) - gain * _numpy(norm.running_mean)
        hidden = Affine.scaling(gain, shift).after(_affine(linear)).after(_affine(self.adaptor))
        return hidden, _numpy(tail.weight)[0]


def truncated_loss(good: torch.Tensor, noised: torch.Tensor, margin: float) -> torch.Tensor:
    """Hinge loss: D > margin on good patches, D < -margin on patches with noise."""
    return torch.relu(margin - good).mean() + torch.relu(margin + noised).mean()


class Optimisers:
    """One optimiser for each network, as in the paper."""

    def __init__(
        self, networks: Networks, adaptor_learning_rate: float, discriminator_learning_rate: float
    ) -> None:
        self._all = (
            torch.optim.AdamW(
                networks.adaptor.parameters(),
                lr=adaptor_learning_rate,
                weight_decay=ADAPTOR_WEIGHT_DECAY,
            ),
            torch.optim.Adam(
                networks.discriminator.parameters(),
                lr=discriminator_learning_rate,
                weight_decay=DISCRIMINATOR_WEIGHT_DECAY,
            ),
        )

    def step(self, loss: torch.Tensor) -> None:
        """Take one step of both optimisers on the loss."""
        for optimiser in self._all:
            optimiser.zero_grad()
        loss.backward()
        for optimiser in self._all:
            optimiser.step()


class Training:
    """Training of one pair of networks on some rows of the features."""

    def __init__(
        self, settings: SimpleNetParameters, features: torch.Tensor, rows: Indices, device: Device
    ) -> None:
        """Initialise the networks, and estimate mean and deviation of each channel.

        Args:
            settings: settings of the method.
            features: (n, d) float32, on the device or on the CPU.
            rows: (m,) rows of the features to learn from.
            device: computes it.
        """
        d, device_name = features.shape[1], device.name
        self._settings = settings
        self._features = features
        self._device = device
        self._device_name = device_name
        self._rng = np.random.default_rng(settings.seed)
        self._mean, self._std = (
            torch.from_numpy(array).to(device_name)
            for array in _mean_and_std(features, rows, self._rng)
        )
        # Drawn on the CPU, so that the initial weights are the same on all devices.
        on_cpu = torch.Generator().manual_seed(settings.seed)
        self.networks = Networks(d, settings.hidden_dims, on_cpu).to(device_name)
        self._optimisers = Optimisers(
            self.networks, settings.adaptor_learning_rate, settings.discriminator_learning_rate
        )
        self._noise = torch.Generator(device_name).manual_seed(settings.seed)
        self._batches = _batches(rows, settings.batch_patches, self._rng)

    def advance(self, n_steps: int) -> None:
        """Take `n_steps` more optimiser steps."""
        self.networks.discriminator.train()
        for _ in range(n_steps):
            batch = self._standardised(next(self._batches))
            self._optimisers.step(self._loss(batch, self._noise))

    def loss_on(self, rows: Indices) -> float:
        """Loss on other rows, at most HELD_OUT_ROWS of them, always with the same noise."""
        rows = rows[:: -(-len(rows) // HELD_OUT_ROWS)]
        self.networks.discriminator.eval()
        noise = torch.Generator(self._device_name).manual_seed(self._settings.seed)
        with torch.no_grad():
            return float(self._loss(self._standardised(rows), noise))

    def learned(self) -> Discriminator:
        """The discriminator for inference on raw features."""
        hidden, tail = self.networks.merged()
        factors = 1 / _numpy(self._std)
        hidden = hidden.after(Affine.scaling(factors, -factors * _numpy(self._mean)))
        return Discriminator(hidden.weight, hidden.bias, tail, self._device)

    def _standardised(self, rows: Indices) -> torch.Tensor:
        """Standardised features of some rows, on the device.  (m,) -> (m, d)."""
        chosen = torch.from_numpy(rows).to(self._features.device)
        return (self._features[chosen].to(self._device_name) - self._mean) / self._std

    def _loss(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        noise = torch.empty_like(batch).normal_(0, self._settings.noise_std, generator=generator)
        good, noised = self.networks.scores(batch, noise)
        return truncated_loss(good, noised, self._settings.margin)


@contextmanager
def gradients_in_full_precision() -> Iterator[None]:
    """Context: gradients on and full float32, whatever the host program has set."""
    with torch.inference_mode(False), torch.enable_grad(), full_float32():
        yield


def _linear(n_in: int, n_out: int, generator: torch.Generator, *, bias: bool = True) -> nn.Linear:
    # skip_init: nn.Linear would draw from the global generator of the process
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out, bias=bias)
    nn.init.xavier_normal_(layer.weight, generator=generator)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def _affine(layer: nn.Linear) -> Affine:
    return Affine(_numpy(layer.weight), _numpy(layer.bias))


def _numpy(tensor: torch.Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = tensor.detach().cpu().numpy().astype(np.float64)
    return array


def _mean_and_std(
    features: torch.Tensor, rows: Indices, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each channel over at most STD_ROWS rows.  -> (d,), (d,)."""
    if len(rows) > STD_ROWS:
        rows = np.sort(rng.choice(rows, STD_ROWS, replace=False))
    drawn = features[torch.from_numpy(rows).to(features.device)].cpu().numpy()
    mean, std = drawn.mean(axis=0, dtype=np.float64), drawn.std(axis=0, dtype=np.float64)
    root_mean_square = float(np.sqrt(np.mean(std**2))) or 1.0
    return mean.astype(np.float32), np.maximum(std, LEAST_STD * root_mean_square).astype(np.float32)


def _batches(rows: Indices, size: int, rng: np.random.Generator) -> Iterator[Indices]:
    """Yield batches of rows without end; each pass is shuffled and drops its last short batch."""
    size = min(size, len(rows))
    while True:
        order = rng.permutation(rows)
        for block in blocks(len(order) // size * size, size):
            yield order[block]
