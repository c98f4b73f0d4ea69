"""Mistakes that beginners make with the commands: each is named by what was given, in one line."""

import json
import pickle
from pathlib import Path

import pytest

from patchbank import DetectorFileError, PatchCore, load
from patchbank.core.int8 import binding
from patchbank.detector.result_lines import CURE
from patchbank.errors import VariableError
from tests.command_line import run
from tests.photographs import part, save

NEITHER = "expected a folder of good images (good, ok or normal) and at least one of defects"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a detector, its good photographs, new ones, and defects."""
    home = tmp_path_factory.mktemp("mistakes")
    for number in range(12):
        save(home / "good" / f"{number:03d}.png", part(number))
    for number in range(3):
        save(home / "new" / f"{number:03d}.png", part(50 + number))  # names of learned ones
        save(home / "defects" / f"{number}.png", part(60 + number, defect=9))
    recipe = PatchCore(
        backbone="efficientnet_lite0", image_size=96, bank_limit=200, false_alarm_rate=0.1
    )
    recipe.fit(home / "good").save(home / "d.patchbank")
    return home


@pytest.fixture
def said(capsys, home, monkeypatch):
    """Runs a command in the folder.  -> exit status, lines of standard output and error."""
    monkeypatch.chdir(home)

    def command(*arguments):
        status, out, err = run(capsys, *arguments)
        return status, out.splitlines(), err.splitlines()

    return command


@pytest.fixture
def wrong_kernel(monkeypatch):
    """An environment that names a kernel that there is not."""
    binding._level_and_status.cache_clear()
    monkeypatch.setenv(binding.VARIABLE, "foo")
    yield
    binding._level_and_status.cache_clear()


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "d.patchbank", "new"],
        ["predict", "d.patchbank", "new", "--json", "-"],
        ["predict", "d.patchbank", "new", "--parquet", "{tmp}/rows"],
        ["predict", ".", "new", "--auto"],
        ["evaluate", "d.patchbank", "."],
        ["compare", "d.patchbank", "d.patchbank", "new"],
        ["update", "d.patchbank", "new"],
        ["drift", "d.patchbank", "none.jsonl"],
    ],
    ids=" ".join,
)
def test_a_wrong_variable_ends_the_command_before_any_photograph(
    said, tmp_path, wrong_kernel, command
):
    status, out, err = said(*(each.format(tmp=tmp_path) for each in command))
    assert (status, out) == (2, [])
    here = ", ".join(
        name for name, n in binding.CHOICES.items() if n in [*binding.supported()[0], 0]
    )
    assert err[-1].startswith(
        f"error: PATCHBANK_KERNEL: expected one of {here} (what this machine can run), got 'foo'"
    )
    assert len(err) == 1


def test_a_wrong_number_of_pixels_is_no_fault_of_a_photograph(said, home, monkeypatch):
    detector = load(home / "d.patchbank")
    monkeypatch.setenv("PATCHBANK_MAX_PIXELS", "many")
    line = "PATCHBANK_MAX_PIXELS: expected a number of pixels, 1 or more, got 'many'"
    assert said("predict", "d.patchbank", "new") == (2, [], [f"error: {line}"])
    with pytest.raises(VariableError, match=r"^PATCHBANK_MAX_PIXELS: "):
        load(home / "d.patchbank")
    with pytest.raises(VariableError) as raised:  # a detector that is open already
        list(detector.inspect(home / "new"))
    assert str(raised.value) == line
    with pytest.raises(VariableError):
        detector.remembering(home / "defects")
    with pytest.raises(VariableError):
        detector.updated(home / "new", must_find=home / "defects")


def test_learned_photographs_are_counted_in_one_note(said, home):
    status, out, err = said("predict", "d.patchbank", "good", "new")
    assert status == 0
    assert len(out) == 16
    assert err == [
        "note: 12 of 15 photographs were learned, to the pixel: 000.png, 001.png, 002.png, "
        "003.png, 004.png and 7 more; this says nothing of new parts, inspect photographs that "
        "were not learned"
    ]
    assert said("predict", "d.patchbank", "new")[2] == []


def test_learned_photographs_are_not_noted_where_they_come_one_by_one(said, home, monkeypatch):
    import io
    import sys

    names = b"".join(f"good/{number:03d}.png\n".encode() for number in range(3))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(names)))
    status, out, err = said("predict", "d.patchbank", "--paths-from", "-")
    assert (status, len(out), err) == (0, 4, [])


def test_an_inspection_says_whether_its_photograph_was_learned(home):
    detector = load(home / "d.patchbank")
    assert detector.predict(home / "good" / "003.png").is_learned
    assert not detector.predict(home / "new" / "001.png").is_learned
    other = save(home / "other" / "3.png", part(3))  # 003.png ends so, too
    assert not detector.predict(other).is_learned


FOREIGN = "; give a file that patchbank fit or Detector.save wrote"
PICTURE = "; give the detector first (FILE), and then the photographs (PATH)"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"PK\x03\x04" + bytes(range(200)), "a ZIP archive" + FOREIGN),
        (pickle.dumps({"weights": [1] * 99}, 2), "a pickle of Python" + FOREIGN),
        (pickle.dumps({}, 4), "a pickle of Python" + FOREIGN),
        (b"PAR1" + bytes(range(200)), "a Parquet table" + FOREIGN),
        (b"rubbish" * 100, "something else" + FOREIGN),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(200), "a JPEG image" + PICTURE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_of_another_program_is_named(tmp_path, content, found):
    path = tmp_path / "model.ckpt"
    path.write_bytes(content)
    with pytest.raises(DetectorFileError) as raised:
        load(path)
    assert str(raised.value) == f"{path}: expected a detector file, got {found}"


@pytest.mark.parametrize("n_bytes", [0, 5, 8, 20, 5000])
def test_a_detector_that_was_cut_is_damaged_and_not_foreign(home, tmp_path, n_bytes):
    path = tmp_path / "cut.patchbank"
    path.write_bytes((home / "d.patchbank").read_bytes()[:n_bytes])
    why = "the file ends too early" if n_bytes < 8 else "its header would be longer than the file"
    with pytest.raises(DetectorFileError) as raised:
        load(path)
    assert str(raised.value) == (
        f"{path}: expected a whole detector file, got a damaged one ({why}); copy it again or "
        "fit anew"
    )


@pytest.mark.parametrize("command", ["predict", "evaluate", "update", "drift", "compare"])
def test_swapped_arguments_are_named(said, command):
    status, out, err = said(
        command, "new/000.png", "d.patchbank", *["new"] * (command == "compare")
    )
    assert (status, out) == (2, [])
    assert err == [f"error: new/000.png: expected a detector file, got a PNG image{PICTURE}"]


@pytest.fixture
def strict_results(said, tmp_path):
    """Lines of good photographs, inspected with a threshold below all scores."""
    path = tmp_path / "strict.jsonl"
    assert said("predict", "d.patchbank", "new", "--threshold", "0.01", "--json", path)[0] == 0
    assert all(json.loads(line)["anomalous"] for line in path.read_text().splitlines())
    return path


def test_results_of_another_threshold_are_no_correction(said, home, strict_results):
    words = ["--reason", "x", "--by", "y"]
    own = load(home / "d.patchbank").calibration.threshold
    status, out, err = said("update", "d.patchbank", "--normal", strict_results, *words)
    assert (status, out) == (2, [])
    assert err[-1] == (
        "error: expected photographs that are flagged, got 3 that pass at the threshold of the "
        f"detector, {own:.4g} (the results were made with 0.01); set the threshold of the detector "
        "first (patchbank tune); nothing was changed"
    )


def test_a_folder_of_photographs_is_no_data_set(said):
    found = (
        f"good: {NEITHER}, got a folder of 12 photographs without subfolders; give the folder that "
        "has both"
    )
    assert said("evaluate", "d.patchbank", "good") == (2, [], [f"error: {found}"])
    status, _, err = said("compare", "d.patchbank", "d.patchbank", "good")
    assert status == 0
    assert f"note: compared without labels, as this is no data set: {found}" in err


def test_a_detector_is_no_folder_of_detectors(said):
    status, out, err = said("predict", "d.patchbank", "new", "--auto")
    assert (status, out) == (2, [])
    assert err == [
        "error: d.patchbank: expected a folder of detectors, got a file; leave --auto out, or give "
        "its folder"
    ]


@pytest.fixture
def kinds(said, tmp_path):
    """Other outputs of `predict`, and what they are."""
    table, printed, again = (tmp_path / name for name in ("t.csv", "t.txt", "excel.csv"))
    _, out, _ = said("predict", "d.patchbank", "new", "--csv", table)
    printed.write_text("\n".join(out))
    again.write_text(table.read_text("utf-8-sig").replace(",", ";"))
    archive = tmp_path / "results.jsonl"
    archive.write_bytes(b"PK\x03\x04" + bytes(200))
    return {
        table: "the table of predict --csv",
        again: "the table of predict --csv",
        printed: "the lines that predict prints",
        tmp_path: "a folder",
        archive: "a ZIP archive",
        Path("new/000.png"): "a PNG image",
        Path("d.patchbank"): "a detector file",
    }


@pytest.mark.parametrize(
    "command", [["drift", "d.patchbank"], ["update", "d.patchbank", "--normal"]]
)
def test_results_of_another_kind_are_named_once(said, kinds, command):
    for path, found in kinds.items():
        status, out, err = said(*command, path)
        assert (status, out) == (2, [])
        assert err == [f"error: {path}: expected lines of predict --json, got {found}; {CURE}"]


def test_a_line_that_is_not_json_is_said_without_the_words_of_a_parser(said, tmp_path):
    path = tmp_path / "cut.jsonl"
    path.write_text('{"image": "a", \n')
    _, _, err = said("drift", "d.patchbank", path)
    assert err[0] == (
        f"error: {path}:1: expected a line of predict --json, got: text that is not JSON"
    )


def test_tables_are_no_results_to_compare(said, kinds):
    del kinds[Path("d.patchbank")]  # two of them are compared, with photographs
    for path, found in kinds.items():
        line = f"error: {path}: expected lines of predict --json, got {found}; {CURE}"
        assert said("compare", path, path) == (2, [], [line])


def test_another_file_on_standard_input_is_named(said, home, monkeypatch):
    import io
    import sys

    for path, found in (("new/000.png", "a PNG image"), ("d.patchbank", "a detector file")):
        content = io.BytesIO((home / path).read_bytes())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content))
        line = f"error: -: expected lines of predict --json, got {found}; {CURE}"
        assert said("drift", "d.patchbank", "-") == (2, [], [line])
