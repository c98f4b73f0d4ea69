"""`patchbank compare`, from files to printed lines, JSON, page and status."""

import json

import pytest

from patchbank import PatchCore
from tests.command_line import run
from tests.photographs import part, parts, save, write_dataset

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data set, two detectors, of which the second finds nothing, and the lines of both."""
    root = write_dataset(tmp_path_factory.mktemp("plates"), n_train=6, n_good=2, n_defect=3)
    one = PatchCore(image_size=64, bank_rows=40, false_alarm_rate=0.2).fit(parts(6))
    one.save(root / "a.patchbank")
    one.with_threshold(1e6).save(root / "b.patchbank")
    return root


@pytest.fixture
def compare(root, capsys, monkeypatch):
    """Run the command in the folder.  -> status, standard output, standard error."""
    monkeypatch.chdir(root)
    return lambda *arguments: run(capsys, "compare", *arguments)


@pytest.fixture
def lines(root, capsys, monkeypatch):
    """Files of the lines of both."""
    monkeypatch.chdir(root)
    for name in "ab":
        file = f"{name}.jsonl"
        assert run(capsys, "predict", f"{name}.patchbank", "test", "--json", file)[0] == 0
    return "a.jsonl", "b.jsonl"


def test_changes_are_printed_and_are_no_failure_unless_asked(compare, root):
    status, out, err = compare("a.patchbank", "b.patchbank", ".")
    assert (status, err) == (0, "")
    first = out.splitlines()
    assert first[0].endswith("3 verdicts differ (0 good -> anomalous, 3 anomalous -> good)")
    assert first[1] == "  defects: 0 more found, 3 lost, of 3"
    assert "A a.patchbank\nB b.patchbank\n" in out
    assert "\nimage AUROC " in out
    assert compare("a.patchbank", "b.patchbank", ".", "--fail-on-change")[0] == 3
    assert compare("a.patchbank", "a.patchbank", ".", "--fail-on-change")[0] == 0


def test_json_and_page_are_written(compare, tmp_path):
    target, report = tmp_path / "c.json", tmp_path / "report"
    options = ("--json", target, "--report", report)
    status, _, err = compare("a.patchbank", "b.patchbank", ".", *options)
    assert status == 0
    assert err == f"report: {report / 'index.html'}\n"
    found = json.loads(target.read_text())
    assert found["a"]["name"] == "a.patchbank"
    assert found["a"]["file_bytes"] > 1e6
    assert len(found["by_label"]["lost"]) == 3
    assert "3 verdicts differ" in (report / "index.html").read_text()
    _, out, _ = compare("a.patchbank", "b.patchbank", ".", "--json", "-")
    assert json.loads(out)["changed"] == 3


def test_several_folders_and_photographs_have_no_labels(compare, root):
    status, out, err = compare("a.patchbank", "b.patchbank", "test/good", "test/blot/000.png")
    assert (status, err) == (0, "")
    assert out.startswith("3 photographs of test/good and 1 more: 1 verdict differs")
    status, out, err = compare("a.patchbank", "b.patchbank", "test/blot")
    assert err.startswith("note: compared without labels, as this is no data set: ")
    assert out.startswith("3 photographs of test/blot: 3 verdicts differ")


def test_results_are_compared_without_inspection(compare, lines):
    status, out, err = compare(*lines)
    assert (status, err) == (0, "")
    assert out.startswith("5 photographs of a.jsonl, b.jsonl: 3 verdicts differ")
    assert "time per photograph" not in out


def test_photographs_of_results_are_inspected_by_both(compare, lines):
    status, out, _ = compare("a.patchbank", "b.patchbank", lines[0])
    assert status == 0
    assert out.startswith("5 photographs of a.jsonl: 3 verdicts differ")
    assert "time per photograph" in out


def test_photographs_that_cannot_be_read_are_named(compare, tmp_path):
    save(tmp_path / "new" / "a.png", part(9))
    (tmp_path / "new" / "b.png").write_bytes(b"no image")
    (tmp_path / "new" / "c.mov").write_bytes(b"film")
    status, _, err = compare("a.patchbank", "b.patchbank", tmp_path / "new")
    assert status == 1
    assert f"error: {tmp_path / 'new' / 'b.png'}: expected" in err
    assert "error: 1 file not read: c.mov" in err


def test_damaged_lines_are_named_up_to_a_number(compare, lines, root):
    (root / "c.jsonl").write_text((root / "a.jsonl").read_text() + "x\n" * 13)
    status, _, err = compare("a.jsonl", "c.jsonl")
    assert status == 1
    assert err.count("expected a line of predict --json") == 10
    assert "error: 3 more lines are damaged; --json has all" in err


def test_damaged_lines_that_name_photographs_to_inspect_are_named_too(compare, lines, root):
    (root / "d.jsonl").write_text((root / "a.jsonl").read_text() + "x\n")
    status, out, err = compare("a.patchbank", "b.patchbank", "d.jsonl")
    assert status == 1
    assert "error: d.jsonl:6: expected a line of predict --json, got: " in err
    assert out.startswith("5 photographs of d.jsonl: 3 verdicts differ")
    status, _, err = compare("a.patchbank", "b.patchbank", "d.jsonl", "test/good")
    assert (status, err.count("d.jsonl:6: expected")) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.patchbank", "b.patchbank"), "DATA: expected photographs that both detectors inspect"),
        (("a.patchbank", "b.jsonl", "."), "A, B: expected two detector files together with DATA"),
        (("a.patchbank", "nowhere", "."), "nowhere: expected a detector file"),
        (("a.patchbank", "test/good/000.png", "."), "test/good/000.png: "),
        (("a.patchbank", "b.patchbank", "nowhere"), "nowhere: expected"),
        (("a.patchbank", "b.patchbank", ".", "--json", "a.patchbank"), "--json: expected a file"),
        (("a.patchbank", "b.patchbank", ".", "--report", "test/r"), "--report: expected a folder"),
    ],
)
def test_wrong_use_is_one_line(compare, lines, arguments, message):
    status, out, err = compare(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("other", "got"),
    [("empty.jsonl", "an empty file"), ("b.patchbank", "a detector file"), ("no", "no such file")],
)
def test_lines_are_compared_with_lines_only(compare, lines, root, order, other, got):
    (root / "empty.jsonl").write_bytes(b"")
    status, out, err = compare(*(lines[0], other)[::order])
    assert (status, out) == (2, "")
    assert err.strip() == (
        f"error: {other}: expected lines of predict --json, got {got}; run patchbank predict with "
        "--json, and give the file that it writes"
    )


def test_settings_and_history_between_both_are_printed(compare, root, tmp_path, capsys):
    changed = tmp_path / "c.patchbank"
    assert (
        run(capsys, "update", "a.patchbank", "test/good", "--by", "Eva", "--out", changed)[0] == 0
    )
    status, out, err = compare("a.patchbank", changed, ".")
    assert status == 0
    assert "B comes from A, by 1 entry of its history\n  1 update " in out
    assert "2 of 5 photographs were learned by" in err
    other = tmp_path / "d.patchbank"
    PatchCore(image_size=96, bank_rows=40, false_alarm_rate=0.2).fit(parts(6)).save(other)
    _, out, _ = compare("a.patchbank", other, ".")
    assert "settings that differ  A   B\nimage_size            64  96\n" in out
