"""`predict --parquet` beside `predict --csv`: same results; lines, statuses, runs."""

import csv
import subprocess
import sys

import pyarrow
import pyarrow.parquet as parquet
import pytest

import patchbank
from patchbank import DataError, PatchCore, predict_to_parquet
from patchbank.detector.result_rows import COLUMNS, INTEGER, NUMBER
from patchbank.runtime.spreadsheets import text_cell
from tests import command_line
from tests.photographs import part, parts, save

TINY = {"backbone": "efficientnet_lite0", "image_size": 64, "bank_limit": 60, "scales": (1.0,)}
READ = {INTEGER: int, NUMBER: float}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A detector, and photographs, some with names that spreadsheets or terminals would obey."""
    root = tmp_path_factory.mktemp("csv")
    recipe = PatchCore(**TINY, false_alarm_rate=0.2)
    recipe.fit(parts(6), device="cpu", groups="none").save(root / "d.patchbank")
    names = ["größe 部.png", "=1+2.png", "@a.png", "a\nb.png", "1,5;x.png", 'say "no".png']
    for number, name in enumerate(names):
        save(root / "in" / name, part(20 + number, defect=9 * (number % 2)))
    save(root / "in" / "tall.png", part(5, size=(150, 60)))
    save(root / "in" / "grey.png", part(6)[..., 0])
    (root / "in" / "bad.png").write_bytes(b"no image")
    (root / "in" / "empty.png").write_bytes(b"")
    return root


def predict(capsys, root, *arguments):
    return command_line.run(capsys, "predict", root / "d.patchbank", *arguments, "--device", "cpu")


def rows_of(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_both_tables_have_the_same_columns_and_values(capsys, root, tmp_path):
    status, _, _ = predict(capsys, root, root / "in", "--csv", tmp_path / "a.csv")
    arguments = (root / "in", "--parquet", tmp_path / "out")
    assert predict(capsys, root, *arguments)[0] == status == 1
    told = rows_of(tmp_path / "a.csv")
    table = parquet.read_table(tmp_path / "out")
    assert table.column_names == ["row", *told[0]] == ["row", *COLUMNS]
    assert table.num_rows == len(told) == 10
    for one, other in zip(told, table.to_pylist(), strict=True):
        for name, kind in COLUMNS.items():
            value = other[name]
            if value is None:
                assert one[name] == ""
            elif kind in READ:
                assert READ[kind](one[name]) == value
            else:
                assert one[name] == text_cell(value)
    verdicts = table.column("verdict").to_pylist()
    assert verdicts.count("unread") == 2
    assert {"good", "anomalous"} < set(verdicts)


def test_names_are_whole_in_parquet_so_that_they_lead_back_to_the_files(root, tmp_path):
    predict_to_parquet(patchbank.load(root / "d.patchbank", device="cpu"), root / "in", tmp_path)
    names = parquet.read_table(tmp_path).column("image").to_pylist()
    assert sorted(names) == sorted(str(path) for path in (root / "in").iterdir())


def test_errors_and_totals_are_lines_whatever_the_names_are(capsys, root, tmp_path):
    names = ["in/none\n\x1b[31m.png", "in/1,5;x.png", None, "nosuch://x"]
    parquet.write_table(pyarrow.table({"path": names}), root / "t.parquet")
    arguments = (root / "t.parquet", "--parquet", tmp_path / "out")
    status, printed, noted = predict(capsys, root, *arguments)
    assert status == 1
    assert printed.splitlines()[-1].endswith("3 not readable")
    lines = [line for line in noted.splitlines() if line.startswith("error: ")]
    assert len(lines) == 3
    assert lines[0].startswith(r"error: in/none\n\x1b[31m.png: expected ")
    assert "\x1b" not in noted
    again, printed_again, noted_again = predict(capsys, root, *arguments)
    assert (again, printed_again) == (status, printed)
    assert [line for line in noted_again.splitlines() if line.startswith("error: ")] == lines


@pytest.mark.parametrize(
    ("names", "options", "expected"),
    [
        (["in/tall.png"], ["--threshold", "1e9"], 0),
        (["in/tall.png"], ["--threshold", "1e9", "--fail-on-anomaly"], 0),
        (["in/tall.png"], ["--threshold", "1e-9"], 0),
        (["in/tall.png"], ["--threshold", "1e-9", "--fail-on-anomaly"], 3),
        (["in/tall.png", "in/bad.png"], ["--threshold", "1e9", "--fail-on-anomaly"], 1),
    ],
)
def test_the_status_is_that_of_any_predict(capsys, root, tmp_path, names, options, expected):
    parquet.write_table(pyarrow.table({"path": names}), root / "s.parquet")
    arguments = (root / "s.parquet", "--parquet", tmp_path / "out", *options)
    assert predict(capsys, root, *arguments)[0] == expected
    assert predict(capsys, root, *arguments)[0] == expected  # all results are there already
    named = [root / name for name in names]
    assert predict(capsys, root, *named, *options)[0] == expected


def test_another_threshold_or_detector_is_another_run(capsys, root, tmp_path):
    out = tmp_path / "out"
    assert predict(capsys, root, root / "in", "--parquet", out)[0] == 1
    before = parquet.read_table(out)
    for options in (["--threshold", "7.5"], ["--pixel-threshold", "3"]):
        status, printed, noted = predict(capsys, root, root / "in", "--parquet", out, *options)
        assert (status, printed) == (2, "")
        assert "whose detector_sha256 differ; give another folder" in noted
    detector = patchbank.load(root / "d.patchbank", device="cpu")
    detector.save(tmp_path / "copy.patchbank")
    saved_again = patchbank.load(tmp_path / "copy.patchbank", device="cpu")
    assert predict_to_parquet(saved_again, root / "in", out).kept == 10
    other = PatchCore(**TINY, false_alarm_rate=0.3).fit(parts(4), device="cpu", groups="none")
    with pytest.raises(DataError, match="whose detector_sha256 differ"):
        predict_to_parquet(other, root / "in", out)
    assert parquet.read_table(out).equals(before)


def test_paths_of_standard_input_are_a_list_that_can_go_on(root, tmp_path):
    code = "from patchbank.cli import main; main()"
    command = [sys.executable, "-c", code, "predict", str(root / "d.patchbank"), "-", "-0"]
    command += ["--parquet", str(tmp_path / "out"), "--device", "cpu"]
    listed = b"\0".join(bytes(root / "in" / name) for name in ("a\nb.png", "tall.png", "a\nb.png"))
    first = subprocess.run(command, input=listed, capture_output=True, check=True)
    images = parquet.read_table(tmp_path / "out").column("image").to_pylist()
    assert images == [str(root / "in" / name) for name in ("a\nb.png", "tall.png", "a\nb.png")]
    second = subprocess.run(command, input=listed, capture_output=True, check=True)
    assert second.stdout == first.stdout
    assert b"note: 3 results were there already" in second.stderr
