"""The history of a detector: a chain of entries, undo as a stack, and a budget."""

import hashlib
import json
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank.detector.lineage import chain as chain_module
from patchbank.detector.lineage.chain import Lineage, begun, size_of
from patchbank.detector.lineage.delta import Delta
from patchbank.detector.lineage.entry import (
    KINDS,
    MOST_NAMED,
    Added,
    Edit,
    Entry,
    Forced,
    Limits,
    canonical,
    now,
)
from patchbank.detector.lineage.state import made_state
from patchbank.errors import DetectorFileError, ParameterError

BACKBONE = ({"is_onnx": True, "layers": ["a"], "sha256": "ab", "source_sha256": "cd"},)
LIMITS = Limits(2.5, 3.5)
TIME = "2026-11-26T13:08:37Z"


def state(seed, n=40, backbones=BACKBONE):
    """A state with a bank of its own."""
    bank = np.random.default_rng(seed).normal(size=(n, 8)).astype(np.float32)
    return made_state({"0.model.bank": bank}, {"members": [{}], "seed": seed}, backbones)


def fitted(first):
    return begun(["a.png", "b.png"], ["00ff", "11ee"], LIMITS, first, "0.1.0")


def changed(lineage, before, after, kind="update", budget=1e9, **told):
    edit = Edit(kind, time=TIME, **told)
    return lineage.appended(edit, (LIMITS, Limits(4.5, 5.5)), (before, after), budget)


def walked(n, budget=1e9):
    """A history of `n` changes, and the states from the fit on."""
    states = [state(seed) for seed in range(n + 1)]
    lineage = fitted(states[0])
    for before, after in pairwise(states):
        lineage = changed(lineage, before, after, budget=budget)
    return lineage, states


def undone(lineage, to=None):
    return lineage.undone(lineage.target(to), Edit("undo", time=TIME), LIMITS)


def test_the_first_entry_is_the_fit():
    (entry,) = fitted(state(0)).entries
    assert (entry.number, entry.kind, entry.time, entry.previous) == (0, "fit", None, None)
    assert entry.added == (Added("a.png", "00ff"), Added("b.png", "11ee"))
    assert (entry.before, entry.after, entry.version) == (None, LIMITS, "0.1.0")
    assert entry.state == state(0).digest
    without = begun(["a.png"], None, LIMITS, state(0), "0.1.0").entries[0]
    assert without.added == (Added("a.png", None),)


def test_an_entry_says_who_changed_what_when_and_why():
    added = (Added("c.png", "22dd"),)
    forced = Forced("the dent is allowed", ("dent/3.png",), 1)
    edit = {"reason": "new supplier", "by": "Eva", "added": added, "forced": forced}
    entry = changed(fitted(state(0)), state(0), state(1), **edit).entries[1]
    assert (entry.number, entry.kind, entry.time) == (1, "update", TIME)
    assert (entry.by, entry.reason, entry.forced) == ("Eva", "new supplier", forced)
    assert (entry.n_added, entry.added) == (1, added)
    assert (entry.before, entry.after) == (LIMITS, Limits(4.5, 5.5))
    assert entry.state == state(1).digest
    assert entry.restored is None


def test_hashes_are_those_of_json_with_sorted_keys_and_make_a_chain():
    first, second = changed(fitted(state(0)), state(0), state(1), by="Zoë\n").entries
    text = json.dumps(first.to_json(), sort_keys=True)
    assert first.hash == hashlib.sha256(text.encode("ascii")).hexdigest()
    assert second.previous == first.hash
    text = json.dumps(second.to_json(), sort_keys=True)
    assert re.fullmatch(r"[\x20-\x7e]+", text)
    assert Entry.from_json(json.loads(text)) == second
    assert Entry.from_json(json.loads(text)).hash == second.hash


def test_keys_of_a_newer_program_are_kept_and_hashed():
    (entry,) = fitted(state(0)).entries
    newer = Entry.from_json({**entry.to_json(), "camera": "left"})
    assert newer.to_json()["camera"] == "left"
    assert newer.hash != entry.hash


@pytest.mark.parametrize("field", [f for f in Entry.__dataclass_fields__ if f != "further"])
def test_every_field_of_an_entry_changes_its_hash(field):
    entry = changed(fitted(state(0)), state(0), state(1)).entries[1]
    others = {
        "number": 7,
        "n_added": 3,
        "restored": 0,
        "added": (Added("x"),),
        "forced": Forced("y"),
        "before": Limits(2.5, 3.6),
        "after": Limits(4.6, 5.5),
    }
    values = {f: getattr(entry, f) for f in Entry.__dataclass_fields__}
    assert Entry(**{**values, field: others.get(field, "another")}).hash != entry.hash


def test_many_photographs_are_counted_and_the_first_are_named():
    added = tuple(Added(f"{number}.png") for number in range(MOST_NAMED + 30))
    entry = changed(fitted(state(0)), state(0), state(1), added=added).entries[1]
    assert entry.n_added == MOST_NAMED + 30
    assert entry.added == added[:MOST_NAMED]


def test_an_edit_is_checked():
    with pytest.raises(ParameterError, match="^kind: expected one of update, normal, .* got 'fit'"):
        Edit("fit")
    with pytest.raises(ParameterError, match="^reason: expected at most 2,000 characters, got 2,0"):
        Edit("update", reason="x" * 2001)
    with pytest.raises(ParameterError, match="^by: expected at most 200 characters, got 201"):
        Edit("update", by="x" * 201)
    assert {Edit(kind).kind for kind in KINDS[1:]} == set(KINDS) - {"fit"}
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", now())


def test_without_a_time_an_edit_has_that_of_now():
    before = now()
    lineage = fitted(state(0)).appended(Edit("update"), (LIMITS, LIMITS), (state(0), state(1)), 1e9)
    assert before <= lineage.entries[1].time <= now()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["change", "undo", "back to"]), max_size=25), st.data())
def test_undo_is_a_stack_of_states(steps, data):
    """The oracle keeps every state; the history gives each back by its ways back alone."""
    present = state(0, n=6)
    lineage, stack = fitted(present), [(0, present)]  # entries on the way here, with their states
    for number, step in enumerate(steps, start=1):
        if step == "change":
            after = state(number, n=6)
            lineage = changed(lineage, stack[-1][1], after)
            stack.append((len(lineage.entries) - 1, after))
        elif len(stack) > 1:
            at = len(stack) - 2
            if step == "back to":
                at = data.draw(st.integers(0, len(stack) - 2))
            to = None if step == "undo" else stack[at][0]
            aim = lineage.target(to)
            assert aim == stack[at][0]
            assert lineage.state_at(aim, stack[-1][1]).is_same(stack[at][1])
            n_entries = len(lineage.entries)
            lineage = undone(lineage, to)
            assert len(lineage.entries) == n_entries + 1
            del stack[at + 1 :]
        assert lineage.position == stack[-1][0]
        assert lineage.restorable == tuple(number for number, _ in stack[:-1])
        assert lineage.entries[-1].state == stack[-1][1].digest
        hashes = [entry.hash for entry in lineage.entries]
        assert [entry.previous for entry in lineage.entries] == [None, *hashes[:-1]]


def test_an_undo_is_an_entry_that_names_the_state():
    lineage, states = walked(3)
    back = undone(lineage, 1)
    entry = back.entries[-1]
    assert (entry.number, entry.kind, entry.restored, entry.position) == (4, "undo", 1, 1)
    assert (entry.state, entry.after) == (states[1].digest, lineage.entries[1].after)
    assert back.entries[:-1] == lineage.entries
    assert back.restorable == (0,)
    again = changed(back, states[1], states[2])
    assert (again.position, again.restorable) == (5, (0, 1))
    assert again.target(4) == 1  # the undo made the state of entry 1


@pytest.mark.parametrize(
    ("to", "match"),
    [
        (-1, "^to: expected an entry from 0 to 5, got -1; `patchbank history` lists them"),
        (6, "^to: expected an entry from 0 to 5, got 6"),
        (5, "^to: expected an earlier state, got 5, the present one"),
        (3, r"^to: expected an entry whose state the file still has \(one of 0, 1, 2\), got 3; op"),
    ],
)
def test_a_state_that_cannot_be_restored_is_one_line(to, match):
    lineage, states = walked(3)
    lineage = changed(undone(lineage, 2), states[2], state(99))
    assert lineage.restorable == (0, 1, 2)
    with pytest.raises(ParameterError, match=match):
        lineage.target(to)


def test_the_fit_itself_has_nothing_before_it():
    with pytest.raises(ParameterError, match="^to: expected an earlier state, got none; the detec"):
        fitted(state(0)).target(None)


def test_the_oldest_ways_back_go_when_all_are_larger_than_the_budget():
    whole, _ = walked(1)
    size = whole.deltas[0].n_bytes
    assert 40 * 8 * 4 < size < 40 * 8 * 4 + 300  # the bank, and a little JSON
    lineage, states = walked(10, budget=3.5 * size)
    assert lineage.restorable == (7, 8, 9)
    assert len(lineage.entries) == 11  # entries stay
    assert lineage.state_at(7, states[10]).is_same(states[7])
    with pytest.raises(ParameterError, match=r"still has \(one of 7, 8, 9\), got 2; open a copy"):
        lineage.target(2)
    small, _ = walked(10, budget=0)
    assert small.restorable == (9,)  # the newest one always stays
    none = undone(small)
    with pytest.raises(ParameterError, match="got none; the file has no older state any more"):
        none.target(None)
    with pytest.raises(ParameterError, match=r"still has \(none\), got 3"):
        none.target(3)


def test_a_smaller_bank_drops_the_ways_back():
    lineage, states = walked(2)
    lineage = changed(lineage, states[2], state(2, n=10), kind="cut")
    assert (lineage.position, lineage.restorable) == (3, ())
    assert changed(lineage, state(2, n=10), state(3), kind="update").restorable == (3,)


def test_a_way_back_that_was_altered_is_found_by_the_digest_of_its_state():
    lineage, states = walked(2)
    delta = lineage.deltas[0]
    wrong = delta.arrays[0].copy()
    wrong[3, 1] += 1
    altered = Delta(delta.later, delta.earlier, delta.steps, (wrong, *delta.arrays[1:]))
    altered = Lineage(lineage.entries, (altered, lineage.deltas[1]))
    assert altered.state_at(1, states[2]).is_same(states[1])
    with pytest.raises(
        DetectorFileError, match="^lineage: expected the state after entry 0, got a"
    ):
        altered.state_at(0, states[2])


def test_a_state_that_is_not_on_the_way_is_refused():
    lineage, states = walked(2)
    with pytest.raises(ParameterError, match=r"^to: expected one of \(0, 1\), got 2"):
        lineage.state_at(2, states[2])


def test_another_form_of_the_same_detector_is_an_entry_that_undo_passes_over():
    """A newer version writes a key of its own: states as they were read stay restorable."""
    lineage, states = walked(2)
    written = made_state(states[2].tensors, {**states[2].record, "new_key": 1}, BACKBONE)
    assert lineage.read_as(states[2], states[2]).opened is None
    opened = lineage.read_as(states[2], written)
    assert opened.settled(written).entries[:3] == lineage.entries
    settled = opened.settled(written)
    assert (settled.entries[3].kind, settled.position) == ("format", 3)
    assert settled.entries[3].state == written.digest
    assert settled.entries[3].before == settled.entries[3].after == lineage.entries[2].after
    assert settled.settled(written) is settled
    assert settled.restorable == (0, 1, 2)
    assert settled.target(None) == 1  # the state before the last change
    assert settled.state_at(1, written).is_same(states[1])
    assert settled.state_at(2, written).is_same(states[2])


def test_a_state_is_known_by_the_backbone_or_by_what_it_was_made_from():
    weights, onnx = "ab" * 32, "cd" * 32

    def with_backbone(**changes):
        plain = {"is_onnx": False, "layers": ["a"], "sha256": weights, "source_sha256": ""}
        return state(0, backbones=({**plain, **changes},))

    in_torch = with_backbone()
    exported = with_backbone(is_onnx=True, sha256=onnx, source_sha256=weights)
    assert exported.digest != in_torch.digest
    assert exported.is_of(in_torch.digest)
    assert not in_torch.is_of(exported.digest)
    assert not exported.is_of(state(1).digest)
    assert not with_backbone(layers=["b"]).is_of(in_torch.digest)
    forged = with_backbone(is_onnx=True, sha256="ef" * 32, source_sha256=onnx)
    assert not forged.is_of(exported.digest)  # it says to be made from the ONNX file


def test_the_budget_is_the_size_of_the_rest_of_the_file():
    assert size_of({"a": np.zeros((3, 5)), "b": np.zeros(2, np.uint8)}, {"k": 1}) == 122 + 8
    assert chain_module.BUDGET == 0.5
    assert canonical({"b": 1, "a": "ä"}) == '{"a": "\\u00e4", "b": 1}'


def test_json_of_a_history_says_what_can_be_restored():
    lineage, _ = walked(2)
    content = undone(lineage, 1).to_json()
    assert (content["position"], content["head"]) == (1, content["entries"][-1]["hash"])
    assert [one["restorable"] for one in content["entries"]] == [True, False, False, False]
    assert [one["kind"] for one in content["entries"]] == ["fit", "update", "update", "undo"]
