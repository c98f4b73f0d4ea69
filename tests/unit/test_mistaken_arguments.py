"""What people give by mistake: said as what it is, with what to do."""

import io
import pickle
import zipfile

import pytest

from patchbank import DetectorFileError, ParameterError, PatchCore, load
from patchbank.cli.learned_photographs import MOST_IN_VAIN, LearnedPhotographs
from patchbank.core.int8 import binding
from tests.photographs import part, parts, save
from tests.unit.test_cli import run

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with good photographs, new ones, and the detector of the good ones."""
    folder = tmp_path_factory.mktemp("mistakes")
    for number in range(8):
        save(folder / "good" / f"{number}.png", part(number, size=(64, 96)))
    for number in (40, 41):
        save(folder / "new" / f"{number}.png", part(number, size=(64, 96)))
    PatchCore(image_size=96).fit(folder / "good").save(folder / "a.patchbank")
    return folder


def error_of(capsys, *arguments):
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    return err.removeprefix("error: ").strip()


def archive():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02}")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "got"),
    [
        pytest.param(archive(), "an archive, in which other programs keep their models", id="zip"),
        pytest.param(
            pickle.dumps({"w": 1}), "a pickle, in which other programs keep their models", id="p"
        ),
        pytest.param(
            b"\xff\xd8\xff\xe0" + bytes(60),
            "a photograph; the detector file comes before the photographs",
            id="jpeg",
        ),
    ],
)
def test_a_file_of_another_format_is_named(tmp_path, content, got):
    path = tmp_path / "a.patchbank"
    path.write_bytes(content)
    with pytest.raises(DetectorFileError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: expected a detector file, got {got}"


@pytest.mark.parametrize("begin", [b"\x80\x02\0\0\0\0\0\0", b"\x10\x27\0\0\0\0\0\0"])
def test_a_damaged_detector_is_not_called_another_format(tmp_path, begin):
    path = tmp_path / "a.patchbank"
    path.write_bytes(begin + b"{}")
    with pytest.raises(DetectorFileError, match="got a damaged or foreign one"):
        load(path)


def test_detector_and_photographs_in_the_wrong_order(fitted, capsys):
    photograph = fitted / "new" / "40.png"
    assert error_of(capsys, "predict", photograph, fitted / "a.patchbank") == (
        f"{photograph}: expected a detector file, got a photograph; the detector file comes before "
        "the photographs"
    )


def test_instructions_that_the_machine_lacks_are_no_fault_of_a_photograph(
    fitted, capsys, monkeypatch
):
    monkeypatch.setenv(binding.VARIABLE, "sse9")
    binding._level_and_status.cache_clear()
    try:
        message = error_of(capsys, "predict", fitted / "a.patchbank", fitted / "new")
        with pytest.raises(ParameterError, match="PATCHBANK_KERNEL: expected one of"):
            load(fitted / "a.patchbank")
    finally:
        binding._level_and_status.cache_clear()
    assert message.startswith("PATCHBANK_KERNEL: expected one of ")
    assert message.endswith("(what this machine can run), got 'sse9'")


@pytest.mark.parametrize("option", [(), ("--out", "pictures")])
def test_learned_photographs_are_said_to_be(fitted, capsys, tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    detector = fitted / "a.patchbank"
    _, _, err = run(capsys, "predict", detector, fitted / "good", fitted / "new", *option)
    notes = [line for line in err.splitlines() if "learned ones" in line]
    assert notes == [
        "note: 8 of 10 photographs are among the learned ones, to the pixel: their scores are "
        "lower than those of new parts"
    ]
    # Under another name it is found by its score, and another one of its name is not it.
    inspect = load(detector).predict
    clear = [image for image in parts(8, size=(64, 96)) if inspect(image).p_value == 1]
    save(tmp_path / "in" / "other.png", clear[0])
    save(tmp_path / "in" / "0.png", part(41, size=(64, 96)))
    _, _, err = run(capsys, "predict", detector, tmp_path / "in", *option)
    assert (
        "note: 1 of 2 photographs is among the learned ones, to the pixel: its score is lower than "
        "those of new parts"
    ) in err
    _, _, err = run(capsys, "predict", detector, fitted / "new", *option)
    assert "learned ones" not in err


def test_photographs_that_share_names_with_learned_ones_are_read_again_a_few_times(fitted):
    inspection = load(fitted / "a.patchbank").predict(fitted / "new" / "40.png")
    reads = []

    class Again:
        image, p_value = "elsewhere/3.png", 0.5

        @property
        def pixels(self):
            reads.append(self)
            return inspection.pixels

    learned = LearnedPhotographs(load(fitted / "a.patchbank"))
    assert not any(learned.has(Again()) for _ in range(100))
    assert len(reads) == MOST_IN_VAIN


def test_a_folder_of_photographs_is_not_called_an_empty_one(fitted, capsys):
    folder = fitted / "good"
    assert error_of(capsys, "evaluate", fitted / "a.patchbank", folder) == (
        f"{folder}: expected a folder of good images (good, ok or normal) and at least one of "
        "defects, got 8 photographs and no folder"
    )


def test_one_detector_is_no_folder_of_detectors(fitted, capsys):
    detector = fitted / "a.patchbank"
    assert error_of(capsys, "predict", detector, fitted / "new", "--auto") == (
        f"{detector}: expected a folder of detectors, got a file; one detector needs no --auto"
    )


@pytest.mark.parametrize("command", ["drift", "update --normal"])
def test_a_table_is_no_file_of_lines(fitted, capsys, tmp_path, command):
    detector, table = fitted / "a.patchbank", tmp_path / "today.csv"
    run(capsys, "predict", detector, fitted / "new", "--csv", table)
    capsys.readouterr()
    name, *options = command.split()
    reason = ["--reason", "tried", "--by", "me"] if name == "update" else []
    status, _, err = run(capsys, name, detector, *options, table, *reason)
    assert status == 2
    said = f"{table}: expected lines of predict --json, got a table of predict --csv"
    assert err.count(said) == 1
    assert "Expecting value" not in err
