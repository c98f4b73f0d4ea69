"""History and undo of detectors of every kind, in Python and by commands; two writers at once."""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from patchbank import (
    SPADE,
    DetectorFileError,
    Edit,
    Ensemble,
    GraphCore,
    PaDiM,
    ParameterError,
    PatchCore,
    load,
)
from patchbank.detector.bundle import Bundle, file_digest, write_bundle
from patchbank.detector.lineage.chain import begun
from patchbank.detector.lineage.entry import Added, Forced, Limits
from patchbank.detector.lineage.file import pack_lineage
from patchbank.detector.lineage.recording import recorded
from patchbank.detector.lineage.state import state_of
from patchbank.detector.packing import pack
from tests import command_line
from tests.networks import FAMILIES, weights_file
from tests.photographs import part, parts

pytestmark = [
    pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning"),
]
SMALL = {"image_size": 64, "false_alarm_rate": 0.2}
GOLDEN = Path(__file__).parents[1] / "golden" / "detectors"
RECIPES = {
    "patchcore": PatchCore(bank_rows=40, **SMALL),
    "one bank": PatchCore(bank_rows=40, banks="joint", **SMALL),
    "graphcore": GraphCore(bank_rows=40, **SMALL),
    "padim": PaDiM(dims=8, rank=4, **SMALL),
    "spade": SPADE(n_images=2, **SMALL),
    "ensemble": Ensemble([PatchCore(bank_rows=30, **SMALL), PaDiM(dims=8, rank=4, **SMALL)]),
}
ODD = part(3, defect=9)


@pytest.fixture(scope="module")
def detector():
    return RECIPES["patchcore"].fit(parts(6))


@pytest.fixture
def file(detector, tmp_path):
    detector.save(tmp_path / "a.patchbank")
    return tmp_path / "a.patchbank"


@pytest.fixture
def run(capsys):
    """Run `patchbank` and return its status and lines."""

    def in_lines(*arguments):
        status, out, err = command_line.run(capsys, *arguments)
        return status, out.splitlines(), err.splitlines()

    return in_lines


def kinds(detector):
    return [entry.kind for entry in detector.lineage.entries]


def content_of(detector):
    """All bytes of a detector without its history, by name."""
    bundle = pack(replace(detector._parts(), lineage=None), as_onnx=False)
    tensors = {name: (t.dtype, t.shape, t.tobytes()) for name, t in bundle.tensors.items()}
    return {**tensors, "record": json.dumps(bundle.record, sort_keys=True)}


@pytest.mark.parametrize("name", RECIPES)
def test_changes_of_every_method_are_undone_bit_for_bit(name, tmp_path):
    """Fits of 4 to 7 photographs stand for updates; each step goes through a file."""
    fits = [RECIPES[name].fit(parts(n)) for n in (4, 5, 6, 7)]
    path = tmp_path / "a.patchbank"
    fits[0].save(path)
    for after in fits[1:]:
        after.recorded(load(path, device="cpu"), Edit("update")).save(path)
    for before in fits[2::-1]:
        back = load(path, device="cpu").undone()
        assert content_of(back) == content_of(before)
        assert back == before
        assert back.predict(ODD).score == before.predict(ODD).score
        back.save(path)
    opened = load(path, device="cpu")
    assert kinds(opened) == ["fit", *["update"] * 3, *["undo"] * 3]
    assert (opened.lineage.position, opened.lineage.restorable) == (0, ())


@pytest.mark.parametrize(
    "name",
    ["patchcore", "padim", "spade", "graphcore", "ensemble", "patchcore-one-photograph"],
)
def test_a_file_of_format_2_gets_a_history_and_comes_back(name, tmp_path):
    path = GOLDEN / f"{name}.patchbank"
    old = load(path, device="cpu")
    changed = old.with_threshold(old.calibration.score_origin + 77)
    changed.recorded(old, Edit("threshold", by="Eva")).save(tmp_path / "a.patchbank")
    opened = load(tmp_path / "a.patchbank", device="cpu")
    assert kinds(opened) == ["fit", "threshold"]
    assert opened.lineage.entries[0].n_added == len(old.fitted_on)
    back = opened.undone()
    assert content_of(back) == content_of(old)
    assert back.calibration.threshold == old.calibration.threshold
    assert back.calibration.pixel_threshold == old.calibration.pixel_threshold


def test_nothing_is_recorded_unless_it_is_asked_for(detector, file):
    assert detector.lineage is None
    assert load(file).lineage is None
    assert detector.with_threshold(40).lineage is None
    assert detector.recorded(detector, Edit("update")).lineage is None  # nothing was changed


def test_a_detector_with_a_history_records_its_changes(detector, tmp_path):
    first = detector.with_threshold(40).recorded(detector, Edit("threshold", "why", "Eva"))
    second = first.with_false_alarm_rate(0.3)
    third = second.with_threshold(pixel_threshold=50)
    assert kinds(third) == ["fit", "threshold", "threshold", "threshold"]
    assert third.with_threshold() is third
    assert third.recorded(third, Edit("update")).lineage is third.lineage
    assert third.undone() == second
    assert third.undone(1) == first
    assert third.undone(0) == detector
    limits = third.lineage.entries[3]
    assert limits.before == Limits(second.calibration.threshold, second.calibration.pixel_threshold)
    assert limits.after == Limits(second.calibration.threshold, 50.0)
    third.save(tmp_path / "b.patchbank")
    opened = load(tmp_path / "b.patchbank", device="cpu", threshold=60)
    assert kinds(opened) == [*kinds(third), "threshold"]
    assert opened.undone() == third


def test_one_entry_replaces_those_that_a_change_in_steps_made(detector):
    first = detector.with_threshold(40).recorded(detector, Edit("threshold"))
    after = first.with_false_alarm_rate(0.3).with_threshold(pixel_threshold=50)
    assert len(after.lineage.entries) == 4
    assert kinds(after.recorded(first, Edit("threshold", by="Eva"))) == ["fit", *["threshold"] * 2]


def test_a_smaller_bank_is_an_entry_without_a_way_back():
    whole = RECIPES["one bank"].fit(parts(6))
    whole = whole.with_threshold(40).recorded(whole, Edit("threshold"))
    smaller = whole.with_bank_rows(whole.bank_sizes[0])
    assert kinds(smaller) == ["fit", "threshold", "cut"]
    with pytest.raises(ParameterError, match="got none; the file has no older state any more"):
        smaller.undone()


def test_the_first_entry_names_the_photographs_of_the_fit(detector):
    after = detector.with_threshold(40).recorded(detector, Edit("threshold"))
    fit = after.lineage.entries[0]
    assert [one.name for one in fit.added] == list(detector.fitted_on)
    digests = [bytes(digest).hex() for digest in detector.photograph_digests]
    assert [one.digest for one in fit.added] == digests
    assert fit.version == detector.versions["patchbank"]
    assert fit.after.threshold == detector.calibration.threshold


def test_another_backbone_is_no_change_of_a_detector(detector):
    other = PatchCore(bank_rows=40, layers=("blocks.2",), **SMALL).fit(parts(4))
    with pytest.raises(ParameterError, match="^lineage: expected a change of what was learned, go"):
        other.recorded(detector, Edit("update"))


def test_a_detector_without_a_history_has_nothing_to_undo(detector):
    with pytest.raises(ParameterError, match="^to: expected a detector that was changed, got one"):
        detector.undone()


def test_a_detector_that_was_changed_behind_its_history_is_not_saved(detector, tmp_path):
    """Its file could not be opened."""
    changed = detector.with_threshold(40).recorded(detector, Edit("threshold"))
    behind = replace(changed, fitted_on=tuple("abcdef"), content_sha256=None)
    with pytest.raises(ParameterError, match="^lineage: expected the state that the last entry ma"):
        behind.save(tmp_path / "a.patchbank")
    assert os.listdir(tmp_path) == []


def test_a_file_that_an_older_program_wrote_is_told_and_stays_restorable(detector, tmp_path):
    """Its record lacks a key that this version writes, as files of today will lack later ones."""

    def as_older(one):
        bundle = pack(replace(one._parts(), lineage=None), as_onnx=False)
        record = json.loads(json.dumps(bundle.record))
        del record["set_pixel_threshold"]
        return Bundle(bundle.tensors, record)

    second = RECIPES["patchcore"].fit(parts(7))
    older = [as_older(detector), as_older(second)]
    states = [state_of(bundle) for bundle in older]
    lineage = begun(detector.fitted_on, None, Limits(1.0, 2.0), states[0], "0.0.1")
    limits = (Limits(1.0, 2.0), Limits(3.0, 4.0))
    lineage = lineage.appended(Edit("update"), limits, tuple(states), 1e9)
    path = tmp_path / "a.patchbank"
    tensors = {**older[1].tensors, **pack_lineage(lineage)}
    write_bundle(path, Bundle(tensors, older[1].record))
    opened = load(path, device="cpu")
    assert kinds(opened) == ["fit", "update"]
    assert opened.predict(ODD).score == second.predict(ODD).score
    opened.save(path)
    assert kinds(load(path, device="cpu")) == ["fit", "update", "format"]
    changed = opened.with_threshold(40)
    assert kinds(changed) == ["fit", "update", "format", "threshold"]
    changed.save(path)
    first = load(path, device="cpu").undone()
    assert content_of(first) == content_of(second)
    back = first.undone()
    assert content_of(back) == content_of(detector)
    back.save(path)
    assert kinds(load(path, device="cpu"))[-3:] == ["undo", "undo", "format"]
    assert load(path, device="cpu") == detector


def test_a_threshold_that_is_not_finite_stands_in_an_entry_as_a_large_number(detector):
    calibration = replace(detector.calibration)
    object.__setattr__(calibration, "set_threshold", float("inf"))
    after = replace(detector._parts(), calibration=calibration)
    entry = recorded(detector._parts(), after, Edit("threshold")).lineage.entries[1]
    assert entry.after.threshold == 1e300


@pytest.mark.torch
def test_a_backbone_that_is_exported_when_saved_keeps_the_history(tmp_path):
    name = FAMILIES["ResNet"]
    settings = {"weights": weights_file(tmp_path, name), "scales": (1.0,), **SMALL}
    recipe = PatchCore(backbone=name, bank_rows=40, **settings)
    first, second = recipe.fit(parts(4), device="cpu"), recipe.fit(parts(5), device="cpu")
    changed = second.recorded(first, Edit("update"))
    for backbone in ("torch", "onnx"):
        path = tmp_path / f"{backbone}.patchbank"
        changed.save(path, backbone=backbone)
        opened = load(path, device="cpu")
        assert opened.lineage.head == changed.lineage.head
        back = opened.undone()
        bank = back.members[0].model.tensors()
        for key, tensor in first.members[0].model.tensors().items():
            np.testing.assert_array_equal(bank[key], tensor)
        back.save(path)
        more = load(path, device="cpu").with_threshold(40)
        more.save(path)
        again = load(path, device="cpu")
        assert kinds(again) == ["fit", "update", "undo", "threshold"]
        assert again.undone().calibration.threshold == first.calibration.threshold


TABLE = """\
{file}: 4 entries, in the state of entry 1
entry  time                     kind       photographs  threshold
    0  time not known           fit                  6  {fit}
    1  2026-11-26 13:08:37 UTC  update               7  {fit} -> {update}
       learned 0.png, 1.png, 2.png, 3.png, 4.png and 2 more
       Eva: new supplier
       forced: the dent is allowed; lost: dent/3.png and 1 more
    2  {time} UTC  threshold            -  {update} -> 40
    3  {time} UTC  undo                 -  40 -> {update}
       restored the state of entry 1
       Zoë: too many alarms
can be restored: entry 0
head {head}"""


def test_history_shows_who_changed_what_when_and_why(detector, file, run):
    added = tuple(Added(f"{number}.png") for number in range(7))
    forced = Forced("the dent is allowed", ("dent/3.png",), 2)
    edit = Edit("update", "new supplier", "Eva", added, forced, "2026-11-26T13:08:37Z")
    after = RECIPES["patchcore"].fit(parts(7))
    after.recorded(detector, edit).save(file)
    assert run("tune", file, "--threshold", 40)[0] == 0
    assert run("undo", file, "--by", "Zoë", "--reason", "too many alarms")[0] == 0
    status, out, err = run("history", file)
    assert (status, err) == (0, [])
    time_pattern = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    expected = TABLE.format(
        file=file,
        fit=f"{detector.calibration.threshold:.4g}",
        update=f"{after.calibration.threshold:.4g}",
        time="TIME",
        head=load(file).lineage.head,
    )
    pattern = re.escape(expected).replace("TIME", time_pattern)
    assert re.fullmatch(pattern, "\n".join(out)), "\n".join(out)


def test_history_as_json_has_all_of_it(detector, file, run):
    run("tune", file, "--threshold", 40, "--by", "Eva")
    content = json.loads("\n".join(run("history", file, "--json", "-")[1]))
    lineage = load(file).lineage
    assert content["head"] == lineage.head
    assert content["position"] == 1
    assert [entry["hash"] for entry in content["entries"]] == [e.hash for e in lineage.entries]
    assert [entry["restorable"] for entry in content["entries"]] == [True, False]
    assert content["detector_sha256"] == load(file).sha256


def test_history_of_a_file_without_one(detector, file, run):
    status, out, err = run("history", file)
    assert (status, err) == (0, [])
    assert out == [f"{file}: no history: nothing was changed since the fit, or nothing recorded"]
    content = json.loads("\n".join(run("history", file, "--json", "-")[1]))
    assert (content["position"], content["head"], content["entries"]) == (None, None, [])


def test_names_and_reasons_cannot_break_a_line(detector, file, run):
    run("tune", file, "--threshold", 40, "--reason", "a\n\x1b[31mb", "--by", "é\udcff")
    out = run("history", file)[1]
    assert "       é\\udcff: a\\n\\x1b[31mb" in out
    assert load(file).lineage.entries[1].reason == "a\n\x1b[31mb"


def test_tune_records_where_it_is_asked_to_or_a_history_is_there(detector, file, run):
    run("tune", file, "--threshold", 40)
    assert load(file).lineage is None
    run("tune", file, "--threshold", 41, "--reason", "dust")
    run("tune", file, "--false-alarm-rate", 0.3, "--pixel-threshold", 50)
    opened = load(file, device="cpu")
    assert kinds(opened) == ["fit", "threshold", "threshold"]
    assert [entry.reason for entry in opened.lineage.entries] == ["", "dust", ""]
    assert opened.undone(0) == detector.with_threshold(40)
    status, _, err = run("tune", file, "--threshold", 42, "--reason", "x" * 3000)
    assert (status, len(err)) == (2, 1)
    assert err[0].startswith("error: reason: expected at most 2,000 characters, got 3,000")


def test_cut_keeps_the_entries_and_no_older_state(run, tmp_path):
    whole, small = tmp_path / "whole.patchbank", tmp_path / "small.patchbank"
    RECIPES["one bank"].fit(parts(6)).save(whole)
    run("tune", whole, "--threshold", 40, "--by", "Eva")
    size = load(whole).bank_sizes[0]
    status, _, err = run("cut", whole, "--bank-rows", size, "--out", small)
    assert status == 0
    assert kinds(load(small)) == ["fit", "threshold", "cut"]
    assert run("history", small)[1][-2] == "can be restored: no earlier state"
    status, _, err = run("undo", small)
    assert (status, len(err)) == (2, 1)
    assert "the file has no older state any more; open a copy of the file from that time" in err[0]
    assert run("undo", whole)[0] == 0


def test_undo_prints_what_was_restored(detector, file, run, tmp_path):
    run("tune", file, "--threshold", 40, "--by", "Eva")
    content = file.read_bytes()
    out_file = tmp_path / "b.patchbank"
    status, out, err = run("undo", file, "--out", out_file, "--to", 0)
    assert (status, err, file.read_bytes()) == (0, [], content)
    threshold = detector.calibration.threshold
    pixels = f"{detector.calibration.pixel_threshold:.4g}"
    assert out == [
        f"{out_file}: restored the state of entry 0 (fit, time not known), threshold 40 -> "
        f"{threshold:.4g}, pixel threshold {pixels} -> {pixels}"
    ]
    assert load(out_file, device="cpu") == detector


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "1"], "to: expected an earlier state, got 1, the present one"),
        (["--to", "7"], "to: expected an entry from 0 to 1, got 7"),
        (["--to", "first"], "to: expected an integer, 0 or more, got 'first'"),
        (["--to", "-1"], "to: expected an integer, 0 or more, got -1"),
        (["--by", "x" * 999], "by: expected at most 200 characters, got 999"),
        (["--out", "SELF"], "--out: expected a file of its own"),
        (["--out", "nowhere/b.patchbank"], "--out: expected a file in a folder that exists"),
        (["--sha256", "0" * 64], "expected the file with the sha256 0000"),
    ],
)
def test_undo_refuses_in_one_line_and_changes_nothing(file, run, options, message):
    run("tune", file, "--threshold", 40, "--by", "Eva")
    content = file.read_bytes()
    arguments = [str(file) if option == "SELF" else option for option in options]
    status, out, err = run("undo", file, *arguments)
    assert (status, out, len(err)) == (2, [], 1)
    assert message in err[0]
    assert file.read_bytes() == content


def test_commands_name_a_file_that_is_not_there_or_damaged(file, run, tmp_path):
    for command in (["history"], ["undo"], ["tune", "--threshold", "9"]):
        status, out, err = run(command[0], tmp_path / "no", *command[1:])
        assert (status, out) == (2, [])
        assert err == [
            f"error: {tmp_path / 'no'}: expected a detector file, got nothing of that name"
        ]
    file.write_bytes(file.read_bytes()[:-5])
    status, out, err = run("history", file)
    assert (status, out, len(err)) == (2, [], 1)
    assert "expected a whole detector file" in err[0]


WRITER = """
import sys
from pathlib import Path
from patchbank.cli.changed_files import open_to_change, save_changed
from patchbank.detector.lineage.entry import Edit
from patchbank.errors import DetectorFileError
file, threshold = Path(sys.argv[1]), float(sys.argv[2])
before, sha256 = open_to_change(file)
print("opened", flush=True)
sys.stdin.readline()
after = before.with_threshold(threshold).recorded(before, Edit("threshold"))
try:
    save_changed(after, file, None, sha256)
    print("saved")
except DetectorFileError as error:
    print(error)
"""


def test_of_two_writers_at_once_one_wins_and_the_other_is_told_to_start_over(file):
    both = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(file), threshold],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for threshold in ("41", "42")
    ]
    assert [process.stdout.readline() for process in both] == ["opened\n"] * 2
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate()[0].strip() for process in both]
    assert sorted(said)[1] == "saved"
    assert sorted(said)[0].startswith(f"{file}: expected the file that was opened, got another one")
    assert sorted(said)[0].endswith("nothing was written, start over with the file as it is now")
    opened = load(file)
    assert kinds(opened) == ["fit", "threshold"]
    assert opened.calibration.threshold == (41, 42)[said.index("saved")]
    assert os.listdir(file.parent) == [file.name]


def test_a_file_that_was_changed_or_removed_meanwhile_is_left_alone(detector, file):
    digest = file_digest(file)
    changed = detector.with_threshold(40)
    changed.save(file, replaces=digest.upper())
    content = file.read_bytes()
    with pytest.raises(DetectorFileError, match="start over with the file as it is now"):
        detector.save(file, replaces=digest)
    assert file.read_bytes() == content
    file.unlink()
    with pytest.raises(DetectorFileError, match="got another one or none"):
        detector.save(file, replaces=digest)
    assert os.listdir(file.parent) == []


KILLED = """
import sys
from pathlib import Path
from patchbank.detector.bundle import file_digest, read_bundle, replace_if_unchanged
path, other = Path(sys.argv[1]), Path(sys.argv[2])
contents = [read_bundle(path), read_bundle(other)]
while True:
    for bundle in contents[::-1]:
        replace_if_unchanged(path, file_digest(path), bundle)
"""


def test_a_writer_that_is_killed_leaves_the_old_file_or_the_new(detector, file, tmp_path):
    other = tmp_path / "b.patchbank"
    changed = detector.with_threshold(40).recorded(detector, Edit("threshold"))
    changed.save(other)
    for wait in (0.03, 0.1, 0.2):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(file), str(other)])
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            if any(name.endswith(".part") for name in os.listdir(tmp_path)):
                break
            time.sleep(0.005)
        time.sleep(wait)
        process.kill()
        process.wait()
        assert load(file, device="cpu") in (detector, changed)
    with suppress(DetectorFileError):
        changed.save(file, replaces="0" * 64)
    digest = file_digest(file)
    changed.save(file, replaces=digest)  # no lock was left behind
    assert load(file).lineage.head == changed.lineage.head


def test_a_hundred_changes_at_a_constant_size_leave_a_flat_file(detector, tmp_path, monkeypatch):
    """A bank at its limit: rows leave and come, in another order, a hundred times."""
    monkeypatch.setattr("patchbank.detector.lineage.recording.BUDGET", 0.1)
    path, rng = tmp_path / "a.patchbank", np.random.default_rng(0)
    present = replace(detector._parts())
    sizes = []
    for number in range(100):
        member = present.members[0]
        tensors = dict(member.model.tensors())
        order = rng.permutation(len(tensors["bank0"]))
        for key in [key for key in tensors if re.fullmatch(r"bank\d", key)]:
            tensors[key] = tensors[key][order]
            tensors[key][:10] += np.float32(rng.random())
            tensors[f"{key}_origins"] = tensors[f"{key}_origins"][order]
        changed = replace(member, model=_Model(member.model, tensors))
        present = recorded(present, replace(present, members=(changed,)), Edit("update"))
        if number % 10 == 9:
            write_bundle(path, pack(present, as_onnx=False))
            sizes.append(path.stat().st_size)
    assert len(present.lineage.entries) == 101
    write_bundle(path, pack(replace(present, lineage=None), as_onnx=False))
    content = path.stat().st_size
    entries = (sizes[-1] - sizes[-6]) / 50  # they stay, a few hundred bytes each
    assert 300 < entries < 700
    assert sizes[-1] < 1.1 * content + 100 * entries + 20_000
    assert 20 < len(present.lineage.restorable) < 60


class _Model:
    """A model with other tensors, which is only stored."""

    def __init__(self, model, tensors):
        self._model, self._tensors = model, tensors

    def tensors(self):
        return self._tensors

    def summary(self):
        return self._model.summary()
