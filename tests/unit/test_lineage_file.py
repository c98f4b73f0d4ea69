"""The history in a detector file: whatever was altered is reported in one line, on opening."""

import copy
import json
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from patchbank import DetectorFileError, Edit, PatchCore, load
from patchbank.detector.bundle import LINEAGE, Bundle, content_digest, read_bundle, write_bundle
from patchbank.detector.detector import detector_from_bytes
from patchbank.detector.lineage.entry import Added, Entry, Forced
from patchbank.detector.lineage.file import DIGEST, TEXT, _digest, pack_lineage, unpack_lineage
from patchbank.detector.lineage.reading import read_lineage
from patchbank.detector.lineage.state import state_of
from patchbank.detector.packing import pack, unpack
from patchbank.runtime.devices import HOST
from tests.photographs import part, parts

pytestmark = [
    pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning"),
]
SMALL = {"image_size": 64, "false_alarm_rate": 0.2, "bank_rows": 40}
FIELDS = [field for field in Entry.__dataclass_fields__ if field != "further"]
REFUSED = r"^[^\n]*(lineage|altered)[^\n]*$"


@pytest.fixture(scope="module")
def fits():
    """Detectors of more and more photographs: what updates will give."""
    return [PatchCore(**SMALL).fit(parts(n)) for n in (5, 6, 7)]


@pytest.fixture(scope="module")
def detector(fits):
    """A detector with three entries: fit, update, forced update."""
    first, second, third = fits
    added = tuple(Added(f"{number}.png", "00ff") for number in range(3))
    second = second.recorded(first, Edit("update", "more", "Eva", added))
    forced = Forced("allowed", ("dent.png",), 1)
    return third.recorded(second, Edit("normal", "again", "Zoë", forced=forced))


@pytest.fixture(scope="module")
def bundle(detector, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "a.patchbank"
    detector.save(path)
    return read_bundle(path)


def text_of(bundle):
    return json.loads(bundle.tensors[TEXT].tobytes())


def with_tensors(bundle, **changes):
    """The bundle with other tensors of the history, whose digest is that of what it holds then."""
    tensors = {name: t for name, t in bundle.tensors.items() if changes.get(name, t) is not None}
    tensors |= {name: tensor for name, tensor in changes.items() if tensor is not None}
    history = {name: tensor for name, tensor in tensors.items() if name.startswith(LINEAGE)}
    return replace(bundle, tensors={**tensors, DIGEST: _digest(history)})


def with_text(bundle, content):
    raw = content if isinstance(content, bytes) else json.dumps(content, sort_keys=True).encode()
    return with_tensors(bundle, **{TEXT: np.frombuffer(raw, np.uint8)})


def refused(bundle, match=REFUSED):
    """Assert that a file with this content, and right digests, is refused in one line."""
    for opened in (lambda: unpack(bundle, "x", HOST, None), lambda: unpack_lineage(bundle)):
        with pytest.raises(DetectorFileError, match=match) as caught:
            opened()
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 500


def test_what_is_saved_is_opened(detector, bundle):
    opened = unpack(bundle, "x", HOST, None).lineage
    assert opened.entries == detector.lineage.entries
    assert opened.head == detector.lineage.head
    assert opened.opened is None
    for found, saved in zip(opened.deltas, detector.lineage.deltas, strict=True):
        assert (found.later, found.earlier) == (saved.later, saved.earlier)
        assert found.steps == json.loads(json.dumps(saved.steps))
        for one, other in zip(found.arrays, saved.arrays, strict=True):
            np.testing.assert_array_equal(one, other)


def test_each_state_is_that_of_the_detector_that_had_it(fits, detector, bundle, tmp_path):
    path = tmp_path / "a.patchbank"
    write_bundle(path, bundle)
    opened = load(path, device="cpu")
    odd = part(3, defect=9)
    for n, (back, before) in enumerate(
        [
            (opened.undone(), fits[1]),
            (opened.undone(0), fits[0]),
            (opened.undone().undone(), fits[0]),
        ]
    ):
        assert back == before, n
        for name, tensor in pack(before._parts(), as_onnx=False).tensors.items():
            found = pack(back._parts(), as_onnx=False).tensors[name]
            assert (found.dtype, found.tobytes()) == (tensor.dtype, tensor.tobytes()), name
        found, expected = back.predict(odd, keep_image=True), before.predict(odd, keep_image=True)
        assert (found.score, found.p_value, found.threshold) == (
            expected.score,
            expected.p_value,
            expected.threshold,
        )
        assert (found.anomaly_map == expected.anomaly_map).all()


def test_a_file_with_a_history_is_of_format_5_and_others_stay_as_they_are(fits, bundle, tmp_path):
    write_bundle(tmp_path / "a", bundle)
    fits[0].save(tmp_path / "b")
    assert b'\\"format_version\\": 5' in (tmp_path / "a").read_bytes()[:2000]
    assert b'\\"format_version\\": 3' in (tmp_path / "b").read_bytes()[:2000]
    assert not [name for name in read_bundle(tmp_path / "b").tensors if LINEAGE in name]


def test_the_digest_of_the_content_is_that_without_the_history(fits, detector, bundle):
    assert bundle.sha256 == fits[2].sha256 == detector.sha256
    assert detector == fits[2]
    assert content_digest(replace(bundle, tensors={**bundle.tensors, TEXT: np.zeros(3)})) == (
        bundle.sha256
    )


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_an_entry_that_was_changed_is_reported(bundle, number, field):
    content = text_of(bundle)
    other = copy.deepcopy(content)
    value = content["entries"][number][field]
    others = {
        "kind": "update" if value != "update" else "normal",
        "time": "2020-01-01T00:00:00Z",
        "state": "0" * 64,
        "previous": "0" * 64,
        "added": [{"name": "other.png", "digest": None}],
        "before": {"threshold": 1.0, "pixel_threshold": 1.0},
        "after": {"threshold": 1.0, "pixel_threshold": 1.0},
        "forced": {"reason": "other", "lost": [], "n_lost": 0},
        "number": number + 1,
        "restored": 0,
        "n_added": 99,
    }
    other["entries"][number][field] = others.get(field, "another text")
    assert other != content
    refused(with_text(bundle, other))


def rehashed(content):
    """The content with a chain that is right again, as somebody who knows the format makes it."""
    content = copy.deepcopy(content)
    previous = None
    for number, stored in enumerate(content["entries"]):
        stored |= {"previous": previous, "number": number}
        previous = Entry.from_json(stored).hash
    return {**content, "head": previous}


@pytest.mark.parametrize("number", range(3))
def test_an_entry_that_was_removed_is_reported(bundle, number):
    content = text_of(bundle)
    del content["entries"][number]
    refused(with_text(bundle, content))


def test_a_last_entry_that_was_removed_is_reported_even_with_a_right_chain(bundle):
    content = text_of(bundle)
    del content["entries"][2]
    refused(with_text(bundle, rehashed(content)), "expected the state that entry 1 made")
    without = rehashed({**content, "deltas": content["deltas"][:1]})
    refused(with_text(bundle, without), "expected the state that entry 1 made")


def test_entries_in_another_order_are_reported(bundle):
    content = text_of(bundle)
    entries = content["entries"]
    refused(with_text(bundle, {**content, "entries": [entries[1], entries[0], entries[2]]}))


def test_an_entry_that_was_added_is_reported(bundle):
    content = text_of(bundle)
    entry = {**content["entries"][2], "number": 3}
    refused(with_text(bundle, {**content, "entries": [*content["entries"], entry]}))


def test_whoever_rewrites_the_whole_chain_is_found_only_by_a_head_that_was_noted(bundle):
    """This is what the page says: a chain that is right cannot be told from another right one."""
    content = text_of(bundle)
    content["entries"][1]["by"] = "Adam"
    forged = unpack_lineage(with_text(bundle, rehashed(content)))
    assert forged.entries[1].by == "Adam"
    assert forged.head != text_of(bundle)["head"]


@pytest.mark.parametrize(
    "name",
    ["calibration.image_scores", "0.model.bank0", "photographs.digests"],
)
def test_a_tensor_that_was_changed_with_its_digest_is_reported(bundle, name):
    changed = bundle.tensors[name].copy()
    changed.reshape(-1)[1] += 1
    other = replace(bundle, tensors={**bundle.tensors, name: changed})
    refused(replace(other, sha256=content_digest(other)), "expected the state that entry 2 made")


def test_a_record_that_was_changed_with_its_digest_is_reported(bundle):
    for key, value in (("set_threshold", 99.5), ("false_alarm_rate", 0.01)):
        other = replace(bundle, record={**bundle.record, key: value})
        refused(replace(other, sha256=content_digest(other)), "the state that entry 2 made")


def test_another_backbone_is_reported(bundle):
    """Its bytes have a digest of their own in the record, which is part of the state."""
    info = bundle.record["members"][0]["backbone"]["info"]
    for changes in (
        {"sha256": "0" * 64},
        {"sha256": "0" * 64, "source_sha256": info["sha256"]},
        {"sha256": "0" * 64, "source_sha256": info["source_sha256"]},
    ):
        record = copy.deepcopy(bundle.record)
        record["members"][0]["backbone"]["info"] |= changes
        with pytest.raises(DetectorFileError, match="expected the state that entry 2 made"):
            unpack_lineage(replace(bundle, record=record))
    tensors = dict(bundle.tensors)
    tensors["0.backbone.onnx"] = tensors["0.backbone.onnx"][:-1]
    with pytest.raises(DetectorFileError):
        unpack(replace(bundle, tensors=tensors), "x", HOST, None)


def test_the_history_of_another_file_is_reported(fits, bundle):
    history = {n: t for n, t in bundle.tensors.items() if n.startswith(LINEAGE)}
    other = pack(fits[0]._parts(), as_onnx=False)
    content = Bundle({**other.tensors, **history}, json.loads(json.dumps(other.record)))
    refused(content, "expected the state that entry 2 made")


def test_a_history_whose_digest_is_wrong_is_reported(bundle):
    tensors = dict(bundle.tensors)
    tensors[TEXT] = tensors[TEXT].copy()
    tensors[TEXT][20] ^= 1
    refused(replace(bundle, tensors=tensors), "expected the history that was saved, got an altered")
    for name in (TEXT, DIGEST):
        kept = {key: tensor for key, tensor in bundle.tensors.items() if key != name}
        refused(replace(bundle, tensors=kept), "expected the history that was saved")


def test_a_way_back_that_was_altered_with_its_digest_is_reported_by_undo(bundle):
    name = max(
        (name for name in bundle.tensors if name.startswith(f"{LINEAGE}1.")),
        key=lambda name: bundle.tensors[name].nbytes,
    )
    changed = bundle.tensors[name].copy()
    changed.reshape(-1)[0] += 1
    other = unpack(with_tensors(bundle, **{name: changed}), "x", HOST, None)
    from patchbank.detector.detector import detector_of

    with pytest.raises(DetectorFileError, match="^lineage: expected the (state after|way back to)"):
        detector_of(other, None).undone()


@pytest.mark.parametrize(
    "change",
    [
        {"entries": []},
        {"entries": {}},
        {"entries": None},
        {"deltas": None},
        {"deltas": [3]},
        {"deltas": [{}]},
        {"head": None},
        {"head": "0" * 64},
        {"entries": ["a", "b", "c"]},
    ],
)
def test_a_history_of_another_shape_is_reported(bundle, change):
    refused(with_text(bundle, {**text_of(bundle), **change}))


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b'{"entries": NaN}', b"[" * 9999])
def test_a_history_that_is_no_json_is_reported(bundle, raw):
    refused(with_text(bundle, raw))


WRONG = {
    "number": [None, "0", True, -1, 2**40],
    "time": [3, "", "yesterday", "2026-11-26T13:08:37+01:00"],
    "kind": [None, "", "Two words", "x" * 99, "a\n"],
    "by": [None, 3],
    "reason": [None, []],
    "n_added": [None, -1, 1.0, "3"],
    "added": [None, {}, [{}], [{"name": 1, "digest": None}], [{"name": "a"}], [3]],
    "before": [3, {}, {"threshold": 1}, {"threshold": "1", "pixel_threshold": 2}],
    "after": [None, [], {"threshold": True, "pixel_threshold": 2}],
    "forced": [3, {}, {"reason": 1, "lost": [], "n_lost": 0}],
    "restored": [-1, "0", 1.5, 1],
    "version": [None, 3],
    "state": [None, "0" * 63, "G" * 64],
    "previous": ["", 3],
}


@pytest.mark.parametrize("field", WRONG)
def test_a_value_of_another_type_is_named(bundle, field):
    """The chain is right, so the rule of the value itself is what refuses it."""
    for value in WRONG[field]:
        content = text_of(bundle)
        content["entries"][1][field] = value
        refused(with_text(bundle, content), r"lineage\.entries\[1\]")
    content = text_of(bundle)
    del content["entries"][1][field]
    refused(
        with_text(bundle, content), rf"lineage\.entries\[1\]\.{field}: expected .*, got nothing"
    )


@pytest.mark.parametrize(
    ("key", "values"),
    {
        "later": [None, 7, 0, -1],
        "earlier": [None, 0, 5, -1],
        "arrays": [None, -1, 99, 10**9],
        "record": [3, []],
        "tensors": [None, {"a": 3}],
        "removed": [None, [3]],
    }.items(),
)
def test_a_way_back_of_another_type_is_reported(bundle, key, values):
    for value in values:
        content = text_of(bundle)
        content["deltas"][1][key] = value
        refused(with_text(bundle, content))
    content = text_of(bundle)
    del content["deltas"][1][key]
    refused(with_text(bundle, content), rf"lineage\.deltas\[1\]\.{key}: expected .*, got nothing")


def test_ways_back_that_do_not_follow_each_other_are_reported(bundle):
    content = text_of(bundle)
    refused(with_text(bundle, {**content, "deltas": content["deltas"][::-1]}))
    refused(with_text(bundle, {**content, "deltas": content["deltas"][:1]}))


def test_a_tensor_too_many_or_too_few_is_reported(bundle):
    refused(with_tensors(bundle, **{f"{LINEAGE}7.0": np.zeros(3)}), "expected no such tensor")
    refused(with_tensors(bundle, **{f"{LINEAGE}0.0": None}), r"lineage\.0\.0: expected a tensor")


def test_keys_of_a_newer_program_are_let_through_and_kept(bundle):
    content = text_of(bundle)
    content["entries"][2]["camera"] = {"name": "left"}
    content["entries"][2]["kind"] = "repair"
    content = rehashed({**content, "signature": "x"})
    lineage = unpack_lineage(with_text(bundle, content))
    assert lineage.entries[2].further == {"camera": {"name": "left"}}
    assert lineage.head == content["head"]
    saved = json.loads(pack_lineage(lineage)[TEXT].tobytes())
    assert saved["entries"] == content["entries"]


def test_bytes_of_the_history_that_were_flipped_are_refused(bundle, detector, tmp_path):
    """Each flip is in the tensors of the history, in a whole file."""
    path = tmp_path / "a.patchbank"
    write_bundle(path, bundle)
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    rng = np.random.default_rng(0)
    spans = [v["data_offsets"] for name, v in header.items() if name.startswith(LINEAGE)]
    places = [int(rng.integers(*span)) for span in spans for _ in range(10) if span[0] < span[1]]
    assert len(places) > 100
    for place in places:
        flipped = bytearray(whole)
        flipped[8 + length + place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        with pytest.raises(DetectorFileError, match=REFUSED) as caught:
            read_lineage(path)
        assert len(str(caught.value).splitlines()) == 1


def mutated(value, rng):
    """A JSON value with one part of it replaced, removed or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = sorted(value)[int(rng.integers(len(value)))]
        return {**value, key: mutated(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = int(rng.integers(len(value)))
        kind = int(rng.integers(4))
        if kind == 0:
            return value[:place] + value[place + 1 :]
        if kind == 1:
            return [*value[:place], value[place], *value[place:]]
        return [*value[:place], mutated(value[place], rng), *value[place + 1 :]]
    others = [None, True, -1, 2**31, 1e300, "", "x" * 1000, "\ud800", [], {}, [[]], {"value": 1}]
    return others[int(rng.integers(len(others)))]


def restored_all(bundle):
    """The message of the error that comes of going back to every state; None without one."""
    try:
        lineage = unpack_lineage(bundle)
        for aim in lineage.restorable:
            lineage.state_at(aim, state_of(bundle))
    except DetectorFileError as error:
        return str(error)
    return None


def test_a_history_that_was_made_to_do_harm_is_one_line(bundle, fits):
    """The text is mutated, and all digests and the chain are right again where that is possible."""
    content = text_of(bundle)
    outcomes = {"opened": 0, "refused": 0}
    for number in range(400):
        other = mutated(content, np.random.default_rng(number))
        with suppress(KeyError, TypeError, AttributeError, ValueError):
            other = rehashed(other)
        changed = with_text(bundle, other)
        message = restored_all(changed)
        outcomes["opened" if message is None else "refused"] += 1
        assert message is None or len(message.splitlines()) == 1
    assert outcomes["refused"] > 200
    assert outcomes["opened"] > 5  # texts of entries may be forged with the whole chain


def test_reading_the_history_needs_no_backbone(bundle, tmp_path):
    path = tmp_path / "a.patchbank"
    tensors = {n: t for n, t in bundle.tensors.items() if n != "0.backbone.onnx"}
    write_bundle(path, replace(bundle, tensors=tensors))
    lineage, digest = read_lineage(path)
    assert (len(lineage.entries), digest) == (3, read_bundle(path).sha256)
    with pytest.raises(DetectorFileError):
        load(path)
    write_bundle(path, replace(bundle, record={**bundle.record, "versions": 3}))
    with pytest.raises(DetectorFileError, match=f"^{path}: versions: expected an object of texts"):
        read_lineage(path)


def test_a_detector_that_is_handed_over_keeps_its_history(detector):
    opener, arguments = detector.__reduce__()
    there = opener(*arguments)
    assert opener is detector_from_bytes
    assert there == detector
    assert there.lineage.head == detector.lineage.head
    assert there.undone(0).sha256 == detector.undone(0).sha256
