"""Inputs of the golden cases: made by formula, checked against the sums stored with them."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import pytest

from tests.conftest import GOLDEN


@lru_cache
def _stored(case):
    inputs = json.loads((GOLDEN / f"{case}.json").read_text())["inputs"]
    return {entry["name"]: entry for entry in inputs}


def normal(case, name, seed, shape, scale=1.0):
    """Standard normal numbers of a seed, times a scale, as float32."""
    made = (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)
    stored = _stored(case)[name]
    assert list(made.shape) == stored["shape"]
    assert made.astype(np.float64).sum() == pytest.approx(stored["sum_f64"], rel=1e-9)
    assert made.ravel()[:3].tolist() == pytest.approx(stored["first3"], rel=1e-6)
    return made
