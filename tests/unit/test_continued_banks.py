"""A memory bank that goes on: naive selection as oracle, radii, limits, left-out scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from patchbank.core.coreset import greedy_coreset
from patchbank.methods import METHODS, PatchCoreSettings, TrainingImage
from patchbank.methods.continuation import Continuation
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from tests.fitting import fit_on_features
from tests.unit.test_map_banks import PLAIN, maps, patches

N_OLD = 4


def fitted(seed, **changes):
    chosen = PatchCoreSettings(**{**PLAIN, **changes})
    examples = [TrainingImage(maps(seed + number), number) for number in range(N_OLD)]
    return fit_on_features(METHODS["patchcore"], chosen, examples, N_OLD).model


def continued(model, images, groups=None, **changes):
    asked = Continuation(len(images), N_OLD, **changes)
    learner = METHODS["patchcore"].continued(model, asked, NullProgress(), HOST)
    for number, image in enumerate(images):
        learner.add(TrainingImage(image, number))
    return learner.fit(groups)


def everything(images):
    """(n, d) of the three banks of the `images`, and (n,) number of the image of each patch."""
    of_maps = [np.concatenate(each) for each in zip(*map(patches, images), strict=True)]
    return of_maps, np.repeat(np.arange(len(images)), len(of_maps[0]) // len(images))


def to_nearest(rows, bank):
    return np.sqrt(np.square(rows[:, None] - bank[None]).sum(axis=2)).min(axis=1)


def naive(bank, rows, size, radius):
    """Rows that a greedy selection adds to a bank until there are `size` and all are covered."""
    chosen, distances = [], to_nearest(rows, bank)
    while len(chosen) < size or (distances.max() > radius):
        best = int(distances.argmax())
        if len(chosen) == len(rows):
            break
        while best in chosen:  # all that is left are copies of rows that are centres
            best = next(i for i in range(len(rows)) if i not in chosen)
        chosen.append(best)
        distances = np.minimum(distances, to_nearest(rows, rows[best][None]))
    return chosen, distances.max()


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(10, 60))
def test_new_rows_are_those_of_a_naive_selection_that_goes_on_from_the_old_ones(seed, n_rows):
    model = fitted(seed, bank_rows=n_rows)
    images = [maps(seed + 100 + number) for number in range(3)]
    after = continued(model, images).model
    of_maps, _ = everything(images)
    pairs = [
        naive(bank.model.bank, rows, 0, bank.model.radii[-1])
        for bank, rows in zip(model.banks, of_maps, strict=True)
    ]
    size = max(len(chosen) for chosen, _ in pairs)
    for old, new, rows in zip(model.banks, after.banks, of_maps, strict=True):
        radius = old.model.radii[-1]
        chosen, _ = naive(old.model.bank, rows, size, radius)
        np.testing.assert_array_equal(new.model.bank[:n_rows], old.model.bank)
        np.testing.assert_array_equal(new.model.bank[n_rows:], rows[chosen])
        assert to_nearest(rows, new.model.bank.astype(float)).max() <= radius * (1 + 1e-6)
        assert new.spread == old.spread
        assert new.model.radii[-1] == radius


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_left_out_scores_are_distances_to_rows_of_other_groups(seed, together):
    model = fitted(seed, bank_rows=12)
    images = [maps(seed + 100 + number) for number in range(3)]
    groups = np.array([0, 1, 1] if together else [0, 1, 2])
    fit = continued(model, images, groups)
    of_maps, numbers = everything(images)
    ratios = []
    for bank, rows in zip(fit.model.banks, of_maps, strict=True):
        of_rows = bank.model.origins[:, 0] - N_OLD
        own = np.where(of_rows < 0, -1, groups[np.maximum(of_rows, 0)])
        distances = np.full(len(rows), np.inf)
        for group in np.unique(groups):
            some = groups[numbers] == group
            distances[some] = to_nearest(rows[some], bank.model.bank[own != group].astype(float))
        ratios.append(distances / bank.spread)
    scores = np.stack(ratios, axis=1) @ [1, 1, 0.5**0.5] / (2 + 0.5**0.5)
    for number, left_out in enumerate(fit.left_out):
        assert left_out.image_score == pytest.approx(scores[numbers == number].max(), rel=1e-5)


@pytest.mark.parametrize("banks", ["joint", "per_map"])
def test_at_its_limit_a_bank_is_the_greedy_selection_of_its_rows(banks):
    model = fitted(3, banks=banks, bank_rows=20)
    images = [maps(200 + number) for number in range(4)]
    free = continued(model, images).model
    limited = continued(model, images, most_rows=24, sizes=(8, 16))
    assert free.n_rows > 24
    assert limited.model.n_rows == 24
    assert limited.calibration_by_size == {}
    for whole, kept in zip(free.banks_of_maps, limited.model.banks_of_maps, strict=True):
        expected = greedy_coreset(whole.bank[: 20 + 24], 24, start=0)  # 24 new ones at most
        np.testing.assert_array_equal(kept.bank, whole.bank[expected.centres])
        np.testing.assert_allclose(kept.radii, np.maximum(expected.radii, whole.radii[-1]))


def test_rows_that_a_person_said_to_be_normal_stay_at_the_limit():
    model = fitted(5, banks="joint", bank_rows=20)
    learner = METHODS["patchcore"].normal(model, Continuation(1, N_OLD), HOST)
    learner.add(TrainingImage(maps(70), 0))
    corrected = learner.learned(4).model
    assert corrected.n_rows == 24
    asked = Continuation(1, N_OLD + 1, most_rows=12, kept=(N_OLD,))
    learner = METHODS["patchcore"].continued(corrected, asked, NullProgress(), HOST)
    learner.add(TrainingImage(maps(71), 0))
    after = learner.fit().model
    assert after.n_rows == 12 + 4
    np.testing.assert_array_equal(after.bank[-4:], corrected.bank[-4:])
    assert (after.origins[-4:, 0] == N_OLD).all()
    assert (after.origins[:-4, 0] != N_OLD).all()


def test_smaller_sizes_are_scored_in_the_rows_that_were_there_before():
    model = fitted(7, bank_rows=40)
    images = [maps(300 + number) for number in range(2)]
    fit = continued(model, images, sizes=(8, 16))
    assert list(fit.calibration_by_size) == [8, 16]
    for size, scores in fit.calibration_by_size.items():
        for image, found in zip(images, scores, strict=True):
            assert found.image_score == model.truncated(size).score(image).image_score


def test_a_random_bank_gets_as_many_rows_a_photograph_as_it_has():
    model = fitted(1, banks="joint", selection="random", bank_rows=20)
    after = continued(model, [maps(400 + number) for number in range(6)]).model
    assert after.n_rows == 20 + 30
    origins = after.origins[20:]
    assert origins[:, 0].min() >= N_OLD
    assert len({tuple(origin) for origin in origins.tolist()}) == 30


def test_a_bank_of_all_patches_gets_all_new_ones():
    model = fitted(1, banks="joint", selection="all")
    images = [maps(500 + number) for number in range(2)]
    after = continued(model, images).model
    assert after.n_rows == model.n_rows + 2 * 24
    assert all(image.image_score > 0 for image in continued(model, images).left_out)


def test_a_known_photograph_adds_no_row():
    model = fitted(9, bank_rows=30)
    fit = continued(model, [maps(9)])
    assert fit.model.n_rows == 30


def test_origins_of_new_rows_name_photograph_and_cell():
    model = fitted(11, banks="joint", bank_rows=20)
    images = [maps(600 + number) for number in range(2)]
    after = continued(model, images).model
    of_maps, _ = everything(images)
    h, w = images[0][0].shape[1:]
    joint = np.concatenate(of_maps, axis=1)
    for row, (number, down, across, copy) in zip(
        after.bank[20:], after.origins[20:].tolist(), strict=True
    ):
        assert copy == 0
        patch = joint[(number - N_OLD) * h * w + down * w + across]
        columns = [i for i in range(len(row)) if i < 5] + list(range(len(row) - 3, len(row)))
        np.testing.assert_array_equal(row[columns], patch[[*range(5), 5, 6, 7]])
