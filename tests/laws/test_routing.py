"""The nearest product is found by exact distances, whatever the order, and ties go by name."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.products.routing.coarse import (
    CLOSE,
    COARSE_ROWS,
    CoarseBanks,
    coarse_rows,
    two_nearest,
)
from tests.oracles.neighbours import nearest


def distance(bank, patches):
    """Mean distance of patches to the nearest row, by brute force."""
    return float(nearest(bank, patches, 1).mean())


def drawn(seed, n_banks, grid):
    """Banks and patches of small whole numbers, so that ties happen."""
    rng = np.random.default_rng(seed)
    banks = [
        rng.integers(0, grid, (int(rng.integers(1, 90)), 3)).astype(np.float32)
        for _ in range(n_banks)
    ]
    return banks, rng.integers(0, grid, (int(rng.integers(1, 12)), 3)).astype(np.float32)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 9999), n_banks=st.integers(1, 7), grid=st.integers(1, 9))
def test_a_coarse_search_is_the_distance_to_some_rows(seed, n_banks, grid):
    banks, patches = drawn(seed, n_banks, grid)
    coarse = CoarseBanks.of([coarse_rows(bank) for bank in banks]).distances(patches)
    exact = [distance(bank, patches) for bank in banks]
    assert coarse.shape == (n_banks,)
    assert (coarse >= np.array(exact) - 1e-3).all()
    for one, bank, found in zip(coarse, banks, exact, strict=True):
        if len(bank) <= COARSE_ROWS // 2:  # evenly spaced rows are then all rows
            assert abs(one - found) < 1e-3


@settings(max_examples=150, deadline=None)
@given(
    exact=st.lists(st.integers(0, 5), min_size=1, max_size=8),
    factors=st.lists(st.floats(1, 3), min_size=8, max_size=8),
)
def test_the_nearest_are_exact_among_all_that_are_close(exact, factors):
    names = [f"{number:02}" for number in range(len(exact))]
    coarse = np.array([(e + 1) * f for e, f in zip(exact, factors, strict=False)])
    asked = []
    found = two_nearest(names, coarse, lambda n: asked.append(n) or float(exact[n]))
    close = [n for n in range(len(exact)) if coarse[n] <= CLOSE * coarse.min()]
    assert sorted(asked) == (close if len(close) > 1 else [])
    of_coarse = zip(coarse.tolist(), names, strict=True)
    ranked = sorted((float(exact[n]), names[n]) for n in asked) or sorted(of_coarse)
    assert [(one.distance, one.product) for one in found] == ranked[:2]


@settings(max_examples=100, deadline=None)
@given(exact=st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_where_all_are_close_it_is_brute_force(exact):
    names = [f"{number:02}" for number in range(len(exact))]
    found = two_nearest(names, np.ones(len(exact)), lambda n: float(exact[n]))
    if len(exact) == 1:
        assert [one.product for one in found] == names
        return
    brute = sorted(zip(map(float, exact), names, strict=True))
    assert [(one.distance, one.product) for one in found] == brute[:2]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), n_banks=st.integers(2, 7), data=st.data())
def test_the_order_of_the_banks_does_not_matter(seed, n_banks, data):
    banks, patches = drawn(seed, n_banks, 4)
    order = data.draw(st.permutations(range(n_banks)))
    named = {f"{number:02}": banks[number] for number in range(n_banks)}

    def found(names):
        coarse = np.array(
            [CoarseBanks.of([coarse_rows(named[name])]).distances(patches)[0] for name in names]
        )
        return two_nearest(names, coarse, lambda n: distance(named[names[n]], patches))

    names = sorted(named)
    assert found(names) == found([names[number] for number in order])


def test_a_bank_that_is_far_is_not_searched():
    rng = np.random.default_rng(0)
    banks = [rng.normal(100 * n, 1, (200, 5)).astype(np.float32) for n in range(6)]
    asked = []

    def exact(number):
        asked.append(number)
        return distance(banks[number], banks[2][:7])

    found = two_nearest(
        "abcdef",
        CoarseBanks.of([coarse_rows(bank) for bank in banks]).distances(banks[2][:7]),
        exact,
    )
    assert found[0].product == "c"
    assert asked == []
