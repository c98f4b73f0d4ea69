"""Fixtures: golden numbers, seeds, and real photographs where they are present."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parent / "golden" / "data"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def golden():
    """Open a golden file by its name."""
    return lambda name: np.load(GOLDEN / f"{name}.npz")


@pytest.fixture(scope="session")
def real_data():
    """Path of a real data set beside the checkout; the test is skipped where it is absent."""

    def find(name):
        if not (SHARED / name).is_dir():
            pytest.skip(f"real photographs {name} are not beside this checkout")
        return SHARED / name

    return find


@pytest.fixture(params=range(3))
def rng(request):
    """Tests hold for any seed; these are three of them."""
    return np.random.default_rng(request.param)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """What tests measure on this machine is not remembered for its users."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
