"""Learners that add parts of the photographs, joined, learn what one learns that adds all."""

from __future__ import annotations

import numpy as np
import pytest

from patchbank.core.array_api import to_numpy
from patchbank.core.coreset import greedy_coreset
from patchbank.core.coreset.elsewhere import FeaturesElsewhere
from patchbank.methods import METHODS, TrainingImage
from patchbank.methods.growing_array import ROWS_PER_COPY
from patchbank.methods.memory_bank.columns import sums_of
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress

N = 7


class InAnArray(FeaturesElsewhere):
    """Features elsewhere, which are here; it counts the rows that are fetched."""

    def __init__(self, features):
        super().__init__(features.shape)
        self.array, self.n_fetched, self.n_composed = features, 0, 0

    def fetched(self, rows):
        self.n_fetched += len(rows)
        return self.array[rows]

    def columns(self, begin, end):
        return InAnArray(np.ascontiguousarray(self.array[:, begin:end]))

    def sums(self, origin):
        begins = range(0, len(self), ROWS_PER_COPY)
        return [sums_of(self.array[begin : begin + ROWS_PER_COPY], origin) for begin in begins]

    def selected(self, n_keep, **asked):
        return greedy_coreset(self.array, n_keep, **asked)

    def composed(self, n_keep, **asked):
        self.n_composed += 1
        return greedy_coreset(self.array, n_keep, **asked)


def image(number, photograph, *, is_copy=False):
    rng = np.random.default_rng(number)
    maps = [rng.normal(size=shape).astype(np.float32) for shape in ((4, 6, 9), (3, 3, 5))]
    inside = None
    if is_copy:
        inside = np.ones((6, 9), np.bool_)
        inside[:2, 5:] = False
    return TrainingImage(maps, photograph, inside)


def learner_of(name, changes, photographs):
    method = METHODS[name]
    parameters = method.parameters(**changes)
    learner = method.learner(parameters, 2 * len(photographs), NullProgress(), HOST)
    for place, number in enumerate(photographs):
        learner.add(image(number, place))
        learner.add(image(100 + number, place, is_copy=True))
    return learner


def same(one, other):
    for name, tensor in one.model.tensors().items():
        np.testing.assert_array_equal(other.model.tensors()[name], tensor)
    pairs = zip(one.left_out, other.left_out, strict=True)
    assert all(a.image_score == b.image_score for a, b in pairs)
    np.testing.assert_array_equal(one.uncovered, other.uncovered)
    assert list(one.calibration_by_size) == list(other.calibration_by_size)
    for size, scores in one.calibration_by_size.items():
        for a, b in zip(scores, other.calibration_by_size[size], strict=True):
            np.testing.assert_array_equal(a.patch_scores, b.patch_scores)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("patchcore", {"bank_rows": 40}),
        ("patchcore", {"bank_rows": 40, "banks": "joint", "image_score": "reweighted"}),
        ("patchcore", {"covering_radius": 1.5, "banks": "joint", "start": "random"}),
        ("graphcore", {"bank_rows": 33, "patch_stride": 2, "start": "first"}),
    ],
)
def test_joined_parts_are_learned_as_if_one_had_added_all(name, changes):
    groups = np.array([0, 0, 1, 2, 3, 4, 5])
    one = learner_of(name, changes, range(N)).fit(groups)
    parts = [learner_of(name, changes, numbers) for numbers in ((0, 1, 2), (3,), (4, 5, 6))]
    features = InAnArray(np.concatenate([part.features for part in parts]))
    joined = METHODS[name].learner(METHODS[name].parameters(**changes), 0, NullProgress(), HOST)
    joined.join(features, [part.collected for part in parts])
    same(one, joined.fit(groups))


def test_composable_coresets_are_asked_for_where_features_are_elsewhere():
    changes = {"bank_rows": 40, "selection": "composable", "banks": "joint"}
    one = learner_of("patchcore", changes, range(N))
    features = InAnArray(np.array(one.features))
    joined = METHODS["patchcore"].learner(
        METHODS["patchcore"].parameters(**changes), 0, NullProgress(), HOST
    )
    joined.join(features, [one.collected])
    same(learner_of("patchcore", changes, range(N)).fit(), joined.fit())
    assert features.n_composed == 1


def test_rows_are_fetched_when_they_are_read_and_no_others():
    array = np.arange(40, dtype=np.float32).reshape(10, 4)
    features = InAnArray(array)
    rows = features[2:9]
    assert (len(features), features.shape, len(rows), rows.shape) == (10, (10, 4), 7, (7, 4))
    assert len(rows[::3]) == 3
    assert features.n_fetched == 0
    np.testing.assert_array_equal(rows[4], array[6])
    assert features.n_fetched == 1
    np.testing.assert_array_equal(to_numpy(rows[::3]), array[2:9:3])
    assert features.n_fetched == 4
    np.testing.assert_array_equal(features[np.array([9, 0])], array[[9, 0]])
    assert features.columns(1, 3).shape == (10, 2)
