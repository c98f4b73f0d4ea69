"""Pieces of an update: its words, names, groups, traits, and what methods refuse."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from patchbank import DetectorFileError, PaDiM, ParameterError, PatchCore, ShapeError
from patchbank.detector.detector import parts_of
from patchbank.detector.updates import (
    Updates,
    are_updates,
    check_updates,
    n_in_sample,
    pack_updates,
    unpack_updates,
)
from patchbank.images.source import image_source
from patchbank.methods import METHODS, PatchCoreSettings, TrainingImage
from patchbank.methods.continuation import Continuation
from patchbank.methods.memory_bank.continuing import covering_radius, kept_rows, within
from patchbank.methods.padim.continuing import counts_of
from patchbank.methods.tensor_spec import TensorSpec, check_tensors
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from patchbank.training.photographs import Contents, read_with_content
from patchbank.training.update.joining import with_size_of_bank
from patchbank.training.update.members import continuation, updates_of
from patchbank.training.update.photographs import known_digests, unlike_names
from patchbank.training.update.request import UpdateFacts, UpdateRequest
from tests.fitting import fit_on_features
from tests.photographs import part, parts
from tests.unit.test_map_banks import PLAIN, maps

SMALL = {"image_size": 96, "bank_rows": 60, "false_alarm_rate": 0.2}
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


@pytest.fixture(scope="module")
def detector():
    return PatchCore(**SMALL).fit(parts(10))


@pytest.mark.parametrize(
    ("learned", "flagged", "line"),
    [
        (["a"], 0, "1 photograph learned; it was not flagged before"),
        (["a"], 1, "1 photograph learned; it was flagged before"),
        (["a", "b"], 0, "2 photographs learned; none of them were flagged before"),
        (["a", "b", "c"], 1, "3 photographs learned; 1 of them was flagged before"),
        (["a"] * 1200, 34, "1,200 photographs learned; 34 of them were flagged before"),
    ],
)
def test_a_line_says_how_many_were_learned_and_flagged(learned, flagged, line):
    assert UpdateFacts(learned=learned, flagged=flagged).learned_line == line


def test_lines_name_what_may_surprise():
    assert UpdateFacts(learned=["a"]).lines == []
    facts = UpdateFacts(
        known=["k"], failing=["f"], passing=["p", "q"], rows=[(7000, 8433)], is_trimmed=True
    )
    assert facts.passing_line == "p, q pass now"
    assert UpdateFacts(passing=["p"]).passing_line == "p passes now"
    assert facts.rows_lines == ["bank rows 7,000 -> 8,433, at its limit"]
    known, failing, trimmed = facts.lines
    assert known == "learned already, or given twice, and not added again: k"
    assert failing.startswith("said to be normal, and still flagged: f; fit anew")
    assert "has reached its limit" in trimmed


@pytest.mark.parametrize("limit", [1, 0, -3, 2.5, True, "7"])
def test_a_limit_is_an_integer_of_two_or_more(limit):
    with pytest.raises(ParameterError, match="limit_rows: expected an integer, 2 or more, got"):
        UpdateRequest(limit_rows=limit)
    assert UpdateRequest(limit_rows=2).limit_rows == 2


def test_words_that_are_too_long_are_refused_before_the_work():
    with pytest.raises(ParameterError, match="reason: expected at most 2,000 characters"):
        UpdateRequest(reason="x" * 2001)
    with pytest.raises(ParameterError, match="by: expected at most 200 characters"):
        UpdateRequest(by="x" * 201)


def test_names_get_longer_ends_of_their_paths_and_then_numbers(tmp_path):
    sources = [image_source(tmp_path / "lot" / "1.png")] * 3
    found = unlike_names(["1.png"] * 3, sources, ["1.png"])
    assert found[0] == "lot/1.png"
    assert found[1] == f"{tmp_path.name}/lot/1.png"
    assert len({*found, "1.png"}) == 4
    array = image_source(np.zeros((4, 5, 3), np.uint8))
    assert unlike_names(["array 0"] * 2, [array] * 2, ["array 0", "array 0 (2)"]) == [
        "array 0 (3)",
        "array 0 (4)",
    ]
    everything = ["1.png", *(Path(*sources[0].content.parts[-n:]).as_posix() for n in range(2, 40))]
    assert unlike_names(["1.png"], sources[:1], everything) == ["1.png (2)"]


def test_known_digests_are_those_of_the_file(detector):
    parts_ = parts_of(detector)
    contents = Contents()
    source = image_source(part(3))
    contents.add(source, read_with_content(source)[1])
    assert contents.contents[0].digest in known_digests(parts_)
    assert known_digests(replace(parts_, photograph_digests=None)) == set()


def test_facts_of_updates_survive_the_record():
    updates = Updates((2, 5), (60, None))
    record = {"fitted_on": list("abcdefg"), "members": [{}, {}], **pack_updates(updates)}
    assert are_updates(record["updates"])
    check_updates(record)
    assert unpack_updates(record) == updates
    assert n_in_sample(record) == 5
    assert updates.truncated(40) == Updates((2, 5), (40, None))
    assert pack_updates(None) == {}
    assert unpack_updates({"fitted_on": ["a"]}) is None
    assert n_in_sample({"fitted_on": ["a", "b"]}) == 2


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"normal": [], "fit_rows": [], "more": 1},
        {"normal": [1, 1], "fit_rows": [None]},
        {"normal": [-1], "fit_rows": [None]},
        {"normal": [True], "fit_rows": [None]},
        {"normal": "1", "fit_rows": [None]},
        {"normal": [], "fit_rows": [0]},
        {"normal": [], "fit_rows": [2**31]},
        {"normal": [], "fit_rows": 60},
    ],
)
def test_other_values_are_no_facts_of_updates(value):
    assert not are_updates(value)


def test_facts_that_contradict_the_file_are_refused():
    record = {"fitted_on": ["a", "b", "c"], "members": [{}]}
    with pytest.raises(DetectorFileError, match="numbers below 3 .*got 3"):
        check_updates({**record, "updates": {"normal": [3], "fit_rows": [9]}})
    with pytest.raises(DetectorFileError, match="each of 1 members, got 2"):
        check_updates({**record, "updates": {"normal": [], "fit_rows": [9, 9]}})


def test_a_member_is_asked_for_half_as_many_rows_again(detector):
    asked = continuation(parts_of(detector), 0, 4, UpdateRequest())
    assert (asked.n_images, asked.n_learned, asked.n_copies, asked.most_rows) == (4, 10, 1, 90)
    assert asked.sizes == detector.bank_sizes[:-1]
    assert continuation(parts_of(detector), 0, 4, UpdateRequest(limit_rows=7)).most_rows == 7
    corrected = replace(parts_of(detector), updates=Updates((3,), (20,)))
    asked = continuation(corrected, 0, 4, UpdateRequest())
    assert (asked.kept, asked.most_rows) == ((3,), 30)


def test_a_bank_of_all_patches_may_grow_to_the_usual_size():
    few = PatchCore(image_size=96, bank_limit=5000, false_alarm_rate=0.2).fit(parts(3))
    model = few.members[0].model
    assert model.n_rows < 5000
    assert model.usual_rows == 5000
    assert updates_of(parts_of(few)).fit_rows == (5000,)
    assert few.with_bank_rows(few.bank_sizes[0]).members[0].model.usual_rows == few.bank_sizes[0]


def test_the_last_calibrated_size_is_that_of_the_bank(detector):
    parts_ = parts_of(detector)
    sizes = replace(
        parts_.bank_size_calibration,
        bank_rows=np.append(parts_.bank_size_calibration.bank_rows[:-1], 59),
    )
    found = with_size_of_bank(replace(parts_, bank_size_calibration=sizes))
    assert found.bank_size_calibration.bank_rows[-1] == 60
    without = replace(parts_, bank_size_calibration=None)
    assert with_size_of_bank(without) is without


def fitted(**changes):
    chosen = PatchCoreSettings(**{**PLAIN, "banks": "joint", "bank_rows": 20, **changes})
    examples = [TrainingImage(maps(number), number) for number in range(4)]
    return fit_on_features(METHODS["patchcore"], chosen, examples, 4).model


@pytest.mark.parametrize(
    "changes",
    [
        {"start": "starting_points"},
        {"projection": "uniform", "projection_dims": 4},
    ],
)
def test_where_no_radius_is_known_the_usual_spacing_of_rows_stands_for_it(changes):
    model = fitted(**changes)
    assert len(model.radii) == 0
    apart = np.linalg.norm(model.bank[:, None] - model.bank[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert covering_radius(model) == pytest.approx(np.median(apart.min(axis=1)), rel=1e-5)
    learner = METHODS["patchcore"].continued(model, Continuation(2, 4), NullProgress(), HOST)
    for number in range(2):
        learner.add(TrainingImage(maps(90 + number), number))
    after = learner.fit().model
    assert after.n_rows > model.n_rows
    assert len(after.radii) == 0


def test_a_radius_that_was_asked_for_is_kept():
    model = fitted(covering_radius=9.0, bank_rows=None)
    assert model.radii[-1] <= 9.0
    assert covering_radius(model) == 9.0


def test_a_bank_of_one_row_has_no_spacing():
    model = fitted(selection="random", bank_rows=6)
    one = type(model)(
        model.settings, model.embed, model.bank[:1], model.origins[:1], model.radii, device=HOST
    )
    assert covering_radius(one) == 0.0


def test_kept_rows_are_those_of_the_photographs_that_are_named():
    model = fitted()
    of_two = kept_rows(model, (1, 3))
    np.testing.assert_array_equal(of_two, np.isin(model.origins[:, 0], [1, 3]))
    assert not kept_rows(model, ()).any()
    smaller = within(model, 5, (1,), HOST)
    own = kept_rows(model, (1,))
    np.testing.assert_array_equal(smaller.bank[5:], model.bank[own])
    np.testing.assert_array_equal(smaller.bank[0], model.bank[~own][0])
    assert (np.diff(smaller.radii) <= 0).all()


@pytest.mark.approximate
@pytest.mark.parametrize("index", ["hnsw", "ivf"])
def test_an_approximate_index_is_built_anew_with_a_recall_of_its_own(index):
    model = fitted(index=index)
    learner = METHODS["patchcore"].continued(model, Continuation(2, 4), NullProgress(), HOST)
    for number in range(2):
        learner.add(TrainingImage(maps(90 + number), number))
    fit = learner.fit()
    assert fit.model.n_rows > 20
    assert 0 < fit.model.recall <= model.recall
    distances, rows = fit.model.index.nearest(fit.model.bank[-1:], 1)
    assert (distances[0, 0], rows[0, 0]) == (0, fit.model.n_rows - 1)


def test_padim_without_its_counts_knows_them_unless_copies_were_learned():
    model = PaDiM(image_size=96, dims=8, false_alarm_rate=0.2).fit(parts(5)).members[0].model
    assert model.counts.tolist() == [5] * len(model.counts)
    model.counts = None
    assert counts_of(model, Continuation(1, 5)).tolist() == [5.0] * len(model.gaussians.means)
    with pytest.raises(ParameterError, match="number of samples at each position.*fit it anew"):
        counts_of(model, Continuation(1, 5, n_copies=2))


def test_a_photograph_counts_as_a_tenth_of_the_learned_ones_in_padim():
    model = PaDiM(image_size=96, dims=8, false_alarm_rate=0.2).fit(parts(5)).members[0].model
    learner = METHODS["padim"].normal(model, Continuation(1, 45), HOST)
    assert learner.learned(1) is None  # nothing was added
    features = [np.ones((model.n_channels, *model.grid), dtype=np.float32)]
    learner.add(TrainingImage(features, 0))
    assert [learner.learned(effort) is not None for effort in (1, 2, 4, 8)] == [True] * 3 + [False]
    assert (learner.learned(4).model.counts == model.counts + 4).all()


def test_a_tensor_that_is_optional_may_be_absent_but_not_wrong():
    specs = {
        "a": TensorSpec("float32", ("n",)),
        "b": TensorSpec("int32", ("n",), low=1, optional=True),
    }
    a = np.zeros(3, dtype=np.float32)
    check_tensors({"a": a}, specs, {})
    check_tensors({"a": a, "b": np.ones(3, dtype=np.int32)}, specs, {})
    for wrong in (np.zeros(3, dtype=np.int32), np.ones(2, dtype=np.int32), a):
        with pytest.raises(ShapeError, match="b: expected"):
            check_tensors({"a": a, "b": wrong}, specs, {})
    with pytest.raises(ShapeError, match="a: expected float32"):
        check_tensors({}, specs, {})
