"""The two nearest products are those that searching every bank would find."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.products.routing.look import Look, two_nearest
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


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 9999), n_banks=st.integers(1, 7), grid=st.integers(1, 9))
def test_the_two_nearest_banks_are_those_of_brute_force(seed, n_banks, grid):
    banks, patches = drawn(seed, n_banks, grid)
    names = [f"{number:02}" for number in range(n_banks)]
    bounds = Look.of(banks).bounds(patches, n_banks)
    exact = [distance(bank, patches) for bank in banks]
    assert (bounds <= np.array(exact) + 1e-6).all()
    found = two_nearest(names, bounds, exact.__getitem__)
    assert [(one.distance, one.product) for one in found] == sorted(zip(exact, names, strict=True))[
        :2
    ]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), n_banks=st.integers(2, 7), data=st.data())
def test_the_order_of_the_banks_does_not_matter(seed, n_banks, data):
    banks, patches = drawn(seed, n_banks, 4)
    order = data.draw(st.permutations(range(n_banks)))
    named = {f"{number:02}": banks[number] for number in range(n_banks)}

    def found(names):
        bounds = Look.of([named[name] for name in names]).bounds(patches, n_banks)
        return two_nearest(names, bounds, lambda n: distance(named[names[n]], patches))

    names = sorted(named)
    assert found(names) == found([names[number] for number in order])


def test_a_bank_that_is_far_is_not_searched():
    rng = np.random.default_rng(0)
    banks = [rng.normal(100 * n, 1, (200, 5)).astype(np.float32) for n in range(6)]
    asked = []

    def exact(number):
        asked.append(number)
        return distance(banks[number], banks[2][:7])

    found = two_nearest("abcdef", Look.of(banks).bounds(banks[2][:7], 6), exact)
    assert [one.product for one in found] in (["c", "b"], ["c", "d"])
    assert 2 in asked
    assert {*asked} <= {1, 2, 3}
