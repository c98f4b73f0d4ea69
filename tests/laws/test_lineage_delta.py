"""An earlier state comes back from the later one to the last bit, whatever the two are."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from patchbank.detector.lineage import delta as delta_module
from patchbank.detector.lineage import json_delta
from patchbank.detector.lineage.delta import Delta, delta_of, restored
from patchbank.detector.lineage.entry import canonical
from patchbank.detector.lineage.rows import ABSENT, is_same, rows_in
from patchbank.detector.lineage.state import made_state
from patchbank.errors import DetectorFileError

DTYPES = ("<f4", "<f8", "<f2", "<i4", "<i8", "|u1", "|b1", "<u2")
NAMES = ("bank", "origins", "radii", "scores")
OTHER_WAYS = ("append", "alter", "repeat", "type")
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6)


def floats(dtype):
    """Elements with NaN, both zeros and infinities, and few others, so that rows repeat."""
    if np.dtype(dtype).kind == "f":
        return st.sampled_from([0.0, -0.0, 1.5, -2.0, math.nan, math.inf])
    if np.dtype(dtype).kind == "b":
        return st.booleans()
    return st.integers(0, 3)


@st.composite
def tensors(draw):
    dtype = draw(st.sampled_from(DTYPES))
    return draw(hnp.arrays(dtype, draw(SHAPES), elements=floats(dtype)))


@st.composite
def relatives(draw, tensor):
    """A tensor that was made of another one, as changes of a detector do it."""
    how = draw(
        st.sampled_from(["same", "permute", "truncate", "append", "alter", "repeat", "type"])
    )
    n = len(tensor)
    if how == "permute":
        return tensor[draw(st.permutations(range(n)))] if n else tensor
    if how == "truncate":
        return tensor[: draw(st.integers(0, n))]
    if how == "append":
        more = draw(hnp.arrays(tensor.dtype, (2, *tensor.shape[1:]), elements=floats(tensor.dtype)))
        return np.concatenate([tensor, more])
    if how == "alter" and tensor.size:
        altered = tensor.copy()
        altered.reshape(-1)[draw(st.integers(0, tensor.size - 1))] = 1
        return altered
    if how == "repeat":
        return np.concatenate([tensor] * 5)
    if how == "type":
        return tensor.astype(np.float64)
    return tensor


NUMBERS = st.integers(-3, 3) | st.sampled_from([0.0, -0.0, 1.0, 0.5])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text("ab\udcffä", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=4)
    ),
    max_leaves=20,
)
RECORDS = st.dictionaries(st.sampled_from(["members", "fitted_on", "versions"]), JSON)
BACKBONES = ({"is_onnx": True, "layers": ["a"], "sha256": "1", "source_sha256": ""},)


@st.composite
def pairs_of_states(draw):
    """Two states: the later one is made of the earlier one, or has nothing to do with it."""
    first = {name: draw(tensors()) for name in NAMES if draw(st.booleans())}
    second = {}
    for name in NAMES:
        if name in first and draw(st.integers(0, 3)):
            second[name] = draw(relatives(first[name]))
        elif draw(st.booleans()):
            second[name] = draw(tensors())
    records = draw(RECORDS), draw(RECORDS)
    if draw(st.booleans()):
        first, second = second, first
    return tuple(
        made_state(tensors, record, BACKBONES)
        for tensors, record in zip((first, second), records, strict=True)
    )


def assert_bit_for_bit(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert found[name].tobytes() == tensor.tobytes(), name


@settings(max_examples=300, deadline=None)
@given(pairs_of_states())
def test_any_two_states_lead_from_the_later_to_the_earlier(pair):
    earlier, later = pair
    delta = delta_of(earlier, later, (3, 5))
    assert (delta.earlier, delta.later) == (3, 5)
    steps = json.loads(canonical(delta.steps))  # as a file has them
    back = restored(Delta(5, 3, steps, delta.arrays), later)
    assert_bit_for_bit(back.tensors, earlier.tensors)
    assert canonical(back.record) == canonical(earlier.record)
    assert back.digest == earlier.digest
    assert back.is_same(earlier)


@settings(max_examples=200, deadline=None)
@given(pairs_of_states())
def test_no_way_back_is_larger_than_the_state_that_it_gives(pair):
    earlier, later = pair
    delta = delta_of(earlier, later, (0, 1))
    whole = sum(tensor.nbytes for tensor in earlier.tensors.values())
    assert sum(array.nbytes for array in delta.arrays) <= whole


@settings(max_examples=300, deadline=None)
@given(JSON, JSON)
@example(1, 1.0)
@example(0.0, -0.0)
@example(True, 1)
@example([1, 1, 1, 1, 1, 1, 1], [1])
@example(["a", "b", "c", "d"], ["d", "a", "b"])
@example([{"": {"": None}}] * 3 + [None], [{"": {"": None}}])
@example({"a": None}, {})
@example({"a": {"b": [1]}}, {"a": {"b": [1, 2]}, "c": 1})
def test_any_two_json_values_lead_from_the_later_to_the_earlier(earlier, later):
    step = json_delta.encoded(earlier, later)
    step = json.loads(json.dumps(step))
    assert canonical(json_delta.decoded(step, later)) == canonical(earlier)
    assert (step is None) == (canonical(earlier) == canonical(later))


def test_names_that_are_appended_cost_no_names_to_go_back():
    before = [f"bolts/train/good/{number:04}.png" for number in range(500)]
    step = json_delta.encoded(before, [*before, "more/1.png", "more/2.png"])
    assert step == {"runs": [[0, 500]]}
    mixed = [*before[250:], "gone.png", *before[:250]]
    assert json_delta.encoded(mixed, before) == {
        "runs": [[250, 250], {"values": ["gone.png"]}, [0, 250]]
    }


@pytest.mark.parametrize(
    "runs",
    [
        [[-1, 2]],
        [[0, 0]],
        [[2, 2]],
        [[0, 3]] * 3,
        [["a", 1]],
        [3],
    ],
)
def test_runs_that_are_not_in_the_later_array_are_an_error(runs):
    with pytest.raises((ValueError, TypeError)):
        json_delta.decoded({"runs": runs}, [1, 2, 3])


@settings(max_examples=200, deadline=None)
@given(tensors(), st.data())
def test_a_row_is_found_exactly_where_an_equal_one_is(wanted, data):
    assume(wanted.nbytes)
    there = data.draw(relatives(wanted))
    assume(there.dtype == wanted.dtype)
    found = rows_in(wanted, there)
    rows = [row.tobytes() for row in there]
    for number, row in zip(found, wanted, strict=True):
        if row.tobytes() in rows:
            assert rows[number] == row.tobytes()
        else:
            assert number == ABSENT


def test_rows_are_found_in_several_chunks(monkeypatch, rng):
    monkeypatch.setattr("patchbank.detector.lineage.rows.CHUNK_BYTES", 100)
    there = rng.normal(size=(50, 7)).astype(np.float32)
    order = rng.permutation(50)
    wanted = np.concatenate([there[order], rng.normal(size=(3, 7)).astype(np.float32)])
    np.testing.assert_array_equal(rows_in(wanted, there), [*order, -1, -1, -1])


def test_rows_of_equal_hash_are_compared_byte_by_byte(monkeypatch):
    monkeypatch.setattr(
        "patchbank.detector.lineage.rows._hashes",
        lambda rows, step: np.zeros(len(rows), np.uint64),
    )
    there = np.array([[1, 2], [3, 4]], np.int32)
    assert rows_in(there[::-1], there).tolist() in ([-1, 0], [1, 0])
    earlier = made_state({"bank": there[::-1].copy()}, {}, BACKBONES)
    later = made_state({"bank": there}, {}, BACKBONES)
    back = restored(delta_of(earlier, later, (0, 1)), later)
    assert_bit_for_bit(back.tensors, earlier.tensors)


def test_zeros_of_other_sign_and_other_types_are_not_the_same():
    assert not is_same(np.zeros(3), -np.zeros(3))
    assert not is_same(np.zeros(3), np.zeros(3, np.float32))
    assert not is_same(np.zeros((2, 3)), np.zeros((3, 2)))
    assert is_same(np.full(3, np.nan), np.full(3, np.nan))
    assert is_same(np.zeros((0, 3)), np.zeros((0, 3)))
    assert is_same(np.array(2.5), np.array(2.5))


def states_of_bank(before, after, **others):
    """Two states of these banks, and of pairs of other tensors."""
    pairs = {"bank": (before, after), **others}
    first, second = ({name: pair[i] for name, pair in pairs.items()} for i in range(2))
    return made_state(first, {}, BACKBONES), made_state(second, {}, BACKBONES)


def test_rows_that_were_appended_cost_a_few_bytes_to_take_away(rng):
    bank = rng.normal(size=(300, 40)).astype(np.float32)
    more = rng.normal(size=(20, 40)).astype(np.float32)
    delta = delta_of(*states_of_bank(bank, np.concatenate([bank, more])), (0, 1))
    runs, new = delta.arrays
    assert (runs.tolist(), new.shape) == ([[0, 300]], (0, 40))
    assert runs.dtype == np.uint16


def test_rows_that_left_are_stored_and_the_others_are_numbers(rng):
    """A bank at its limit: 5 of 300 rows make room, and the order is another one."""
    bank = rng.normal(size=(300, 40)).astype(np.float32)
    origins = np.arange(1200, dtype=np.int32).reshape(300, 4)
    order = rng.permutation(300)
    later = bank[order], origins[order]
    for tensor in later:
        tensor[:5] = 77
    states = states_of_bank(bank, later[0], origins=(origins, later[1]))
    delta = delta_of(*states, (0, 1))
    sizes = sorted(array.nbytes for array in delta.arrays)
    assert sizes == [5 * 4 * 4, 300 * 2, 5 * 40 * 4]  # the numbers of both tensors are stored once
    assert_bit_for_bit(restored(delta, states[1]).tensors, states[0].tensors)


def test_a_tensor_without_equal_rows_is_stored_whole(rng):
    radii = rng.normal(size=300).astype(np.float32)
    delta = delta_of(*states_of_bank(radii, radii + 1), (0, 1))
    assert delta.steps["tensors"] == {"bank": {"whole": 0}}
    assert delta.arrays[0] is radii


def test_row_numbers_have_the_smallest_type_that_holds_them(rng):
    for n, kind in ((200, np.uint8), (300, np.uint16), (70_000, np.uint32)):
        bank = np.arange(4 * n, dtype=np.int64).reshape(n, 4)
        delta = delta_of(*states_of_bank(bank, bank[rng.permutation(n)]), (0, 1))
        assert delta.arrays[0].dtype == kind


def test_tensors_without_axes_come_back_too():
    states = states_of_bank(np.array(2.5), np.array(3.5))
    back = restored(delta_of(*states, (0, 1)), states[1])
    assert_bit_for_bit(back.tensors, states[0].tensors)


BANK = np.arange(12, dtype=np.int32).reshape(4, 3)
EMPTY = np.empty((0, 3), np.int32)
INDEX = {"tensors": {"bank": {"index": 0, "new": 1}}}
RUNS = {"tensors": {"bank": {"runs": 0, "new": 1}}}


@pytest.mark.parametrize(
    ("steps", "arrays"),
    [
        ({}, []),
        ({"tensors": {"bank": {"whole": 1}}}, [BANK]),
        ({"tensors": {"bank": {"whole": -1}}}, [BANK]),
        ({"tensors": {"bank": {"whole": True}}}, [BANK, BANK]),
        ({"tensors": {"bank": {"whole": "0"}}}, [BANK]),
        ({"tensors": {"bank": {}}}, []),
        (INDEX, [np.array([5], np.uint8), EMPTY]),
        (INDEX, [np.array([4], np.uint8), EMPTY]),
        (INDEX, [np.array([0], np.int8), EMPTY]),
        (INDEX, [np.array([0.5]), BANK]),
        (INDEX, [np.zeros((1, 1), np.uint8), EMPTY]),
        (INDEX, [np.zeros(99, np.uint8), EMPTY]),
        (INDEX, [np.zeros(1, np.uint8), EMPTY.astype(np.float32)]),
        ({"tensors": {"else": INDEX["tensors"]["bank"]}}, [np.zeros(1, np.uint8), EMPTY]),
        (RUNS, [np.array([[0, 0]], np.uint8), EMPTY]),
        (RUNS, [np.array([[3, 2]], np.uint8), EMPTY]),
        (RUNS, [np.array([0, 1], np.uint8), EMPTY]),
        (RUNS, [np.full((9, 2), 2**32 - 1, np.uint32), EMPTY]),
        (RUNS, [np.array([[0, 3]] * 9, np.uint32), EMPTY]),
        ({"record": {"keys": 3, "removed": []}}, []),
        ({"record": {"runs": [[0, 1]]}}, []),
        ({"record": {"other": 1}}, []),
        ({"removed": 3}, []),
    ],
)
def test_a_damaged_way_back_is_one_line(steps, arrays):
    later = made_state({"bank": BANK}, {"a": 1}, BACKBONES)
    steps = {"record": None, "tensors": {}, "removed": [], **steps} if steps else {}
    match = r"^lineage: expected the way back to entry 0, got a damaged one \(\w+\); restore"
    with pytest.raises(DetectorFileError, match=match):
        restored(Delta(1, 0, steps, tuple(arrays)), later)


def test_the_limit_of_repeated_rows_keeps_a_small_file_from_making_a_large_tensor():
    rows = np.repeat(BANK, 50, axis=0)
    delta = delta_of(*states_of_bank(rows, BANK), (0, 1))
    assert delta.steps["tensors"] == {"bank": {"whole": 0}}
    assert delta_module.MOST_REPEATED == 2
