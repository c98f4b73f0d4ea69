"""SimpleNet's prediction, patch by patch and layer by layer, in double precision."""

from __future__ import annotations

import numpy as np


def discriminated(networks, mean, spread, features):
    """D of each row of `features`, from the tensors of an adaptor and a discriminator in torch."""
    linear, norm, _, tail = networks.discriminator
    adaptor = networks.adaptor
    gamma, beta, running_mean, running_var = (
        _array(getattr(norm, name)) for name in ("weight", "bias", "running_mean", "running_var")
    )
    said = []
    for patch in features.astype(np.float64):
        adapted = _array(adaptor.weight) @ ((patch - mean) / spread) + _array(adaptor.bias)
        hidden = _array(linear.weight) @ adapted + _array(linear.bias)
        normed = gamma * (hidden - running_mean) / np.sqrt(running_var + 1e-5) + beta
        leaky = [x if x > 0 else 0.2 * x for x in normed]
        said.append(float(_array(tail.weight)[0] @ leaky))
    return np.array(said)


def _array(tensor):
    return tensor.detach().cpu().numpy().astype(np.float64)
