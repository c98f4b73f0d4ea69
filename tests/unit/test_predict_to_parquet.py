"""Many photographs into Parquet files: rows, tables, URLs, going on, and what is refused."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest

import patchbank.bulk.predict_files as predict_files
from patchbank import DataError, ParameterError, PatchCore, predict_to_parquet
from patchbank.bulk import BulkCount
from patchbank.bulk.inputs import PhotographTable, blocks, rows_per_part
from patchbank.bulk.results import PartFolder
from patchbank.detector.result_rows import COLUMNS
from patchbank.runtime.file_lock import locked_folder
from tests import command_line
from tests.painted import detector as painted
from tests.painted import photograph, write
from tests.photographs import part, parts, save
from tests.unit.test_json_schemas import check

SPOT = (120, slice(2, 4), slice(3, 10))
"""Rows 2 and 3, columns 3 to 9 of a photograph: its map is 120 there."""


def detector(sha256="5eed" * 16):
    """A painted detector as if a file held it."""
    return replace(painted(), content_sha256=sha256)


@pytest.fixture
def folder(tmp_path):
    """A good photograph, an anomalous one, and one that is none."""
    write(tmp_path / "in" / "a.png", photograph(20))
    write(tmp_path / "in" / "b.png", photograph(150, SPOT))
    (tmp_path / "in" / "c.png").write_bytes(b"no image")
    return tmp_path / "in"


def write_table(path, names, column="path", **others):
    """A table of photographs."""
    rows_of_a_group = others.pop("row_group_size", 40)
    table = pyarrow.table({column: names, **others})
    parquet.write_table(table, path, row_group_size=rows_of_a_group)
    return path


def rows_of(out):
    """All rows of a folder of results, as programs read it."""
    return parquet.read_table(out).to_pylist()


def test_a_folder_gives_a_row_for_each_photograph(folder, tmp_path):
    errors = []
    count = predict_to_parquet(detector(), folder, tmp_path / "out", on_error=errors.append)
    assert count == BulkCount(good=1, anomalous=1, unread=1)
    good, anomalous, unread = rows_of(tmp_path / "out")
    unknown = dict.fromkeys(COLUMNS) | {"detector_sha256": detector().sha256}
    scored = unknown | {"threshold": 100.0, "width": 40, "height": 32}
    assert good == scored | {
        "row": 0,
        "image": str(folder / "a.png"),
        "verdict": "good",
        "score": 20.0,
        "p_value": 1.0,
        "regions": 0,
    }
    assert anomalous == scored | {
        "row": 1,
        "image": str(folder / "b.png"),
        "verdict": "anomalous",
        "score": 150.0,
        "p_value": 0.25,
        "regions": 1,
        "worst_left": 3,
        "worst_top": 2,
        "worst_width": 7,
        "worst_height": 2,
        "worst_area": 14,
        "worst_score": 120.0,
    }
    (line,) = errors
    assert line.startswith(f"{folder / 'c.png'}: expected a PNG")
    assert unread == unknown | {
        "row": 2, "image": str(folder / "c.png"), "verdict": "unread", "error": line
    }  # fmt: skip


def test_columns_have_a_type_each_even_where_all_is_empty(folder, tmp_path):
    predict_to_parquet(detector(), [folder / "c.png"], tmp_path / "out")
    schema = parquet.read_schema(tmp_path / "out" / "part-000000.parquet")
    kinds = {"text": "string", "number": "double", "integer": "int64"}
    assert {name: str(schema.field(name).type) for name in COLUMNS} == {
        name: kinds[kind] for name, kind in COLUMNS.items()
    }
    assert schema.names == ["row", *COLUMNS]


def test_a_table_gives_its_rows_in_its_order_also_those_that_are_repeated(folder, tmp_path):
    names = [("a.png", "c.png", "b.png", "a.png")[row % 4] for row in range(130)]
    table = write_table(folder / "t.parquet", names, lot=list(range(130)))
    count = predict_to_parquet(detector(), table, tmp_path / "out")
    assert (count.good, count.anomalous, count.unread) == (65, 32, 33)
    found = rows_of(tmp_path / "out")
    assert [row["image"] for row in found] == names
    assert [row["row"] for row in found] == list(range(130))
    verdicts = {"a.png": "good", "b.png": "anomalous", "c.png": "unread"}
    assert [row["verdict"] for row in found] == [verdicts[name] for name in names]
    assert all((row["score"] is None) == (row["image"] == "c.png") for row in found)
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == 3


@pytest.mark.parametrize(
    "kind",
    [
        pyarrow.large_string(),
        pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
    ],
)
def test_texts_of_any_kind_are_names(folder, tmp_path, kind):
    names = pyarrow.array(["a.png", None, "b.png"], pyarrow.string()).cast(kind)
    table = write_table(folder / "t.parquet", names, column="photo")
    count = predict_to_parquet(detector(), table, tmp_path / "out", column="photo")
    assert count == BulkCount(good=1, anomalous=1, unread=1)
    unread = rows_of(tmp_path / "out")[1]
    assert unread["image"] == ""
    assert unread["error"] == "photograph: expected a path or a URL, got an empty cell"


def test_urls_are_fetched_and_what_cannot_be_is_a_row_with_an_error(folder, tmp_path):
    with fsspec.open("memory://lines/a.png", "wb") as file:
        file.write((folder / "a.png").read_bytes())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet.serving(folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site = f"http://127.0.0.1:{server.server_port}"
    names = [
        "memory://lines/a.png",
        (folder / "b.png").as_uri(),
        f"{site}/a.png",
        f"{site}/none.png",
        "memory://lines/none.png",
        "nosuch://a.png",
        (folder / "c.png").as_uri(),
    ]
    table = write_table(tmp_path / "t.parquet", names)
    try:
        predict_to_parquet(detector(), table, tmp_path / "out")
    finally:
        server.shutdown()
        server.server_close()
    found = rows_of(tmp_path / "out")
    assert [row["image"] for row in found] == names
    assert [row["score"] for row in found] == [20.0, 150.0, 20.0, None, None, None, None]
    for row in found[3:]:
        assert row["error"].startswith(f"{row['image']}: expected a")
        assert "\n" not in row["error"]
    assert "Protocol not known: nosuch" in found[5]["error"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing."""

    @classmethod
    def serving(cls, folder):
        return partial(cls, directory=str(folder))

    def log_message(self, *_):
        pass


def test_a_name_that_is_not_utf8_is_escaped(folder, tmp_path):
    name = os.fsencode(folder) + b"/\xff.png"
    try:
        os.link(folder / "a.png", name)
    except OSError:
        pytest.skip("this file system has no such names")
    predict_to_parquet(detector(), [os.fsdecode(name)], tmp_path / "out")
    (row,) = rows_of(tmp_path / "out")
    assert row["image"].endswith("\\udcff.png")
    assert row["verdict"] == "good"


def test_a_second_run_goes_on_and_computes_only_what_is_missing(folder, tmp_path, monkeypatch):
    table = write_table(folder / "t.parquet", ["a.png", "b.png", "c.png"] * 60)
    out = tmp_path / "out"
    errors = []
    first = predict_to_parquet(detector(), table, out, on_error=errors.append)
    undisturbed = parquet.read_table(out)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    (out / "part-000001.parquet").unlink()
    damaged = out / "part-000003.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    worked = counted(monkeypatch)
    again = []
    second = predict_to_parquet(detector(), table, out, on_error=again.append)
    assert worked == [1, 3]
    assert second == replace(first, kept=100)
    assert sorted(again) == sorted(errors)
    assert parquet.read_table(out).equals(undisturbed)
    kept = ("part-000000.parquet", "part-000002.parquet")
    assert all((out / name).stat().st_mtime_ns == before[name] for name in kept)


def counted(monkeypatch):
    """Numbers of the blocks that are worked on."""
    numbers = []

    class Counting(predict_files.BlockWork):
        __slots__ = ()

        def __call__(self, block):
            numbers.append(block.number)
            return super().__call__(block)

    monkeypatch.setattr(predict_files, "BlockWork", Counting)
    return numbers


def test_results_of_another_detector_or_of_other_photographs_are_refused(folder, tmp_path):
    table = write_table(folder / "t.parquet", ["a.png", "b.png"])
    out = tmp_path / "out"
    predict_to_parquet(detector(), table, out)
    before = parquet.read_table(out)
    other = detector("c0de" * 16)
    with pytest.raises(DataError, match="^[^\n]*whose detector_sha256 differ; give another folder"):
        predict_to_parquet(other, table, out)
    write_table(table, ["b.png", "a.png"])
    with pytest.raises(DataError, match="^[^\n]*whose photographs_sha256 differ"):
        predict_to_parquet(detector(), table, out)
    write_table(table, ["a.png", "b.png", "a.png"])
    with pytest.raises(DataError, match="whose photographs_sha256, photographs differ"):
        predict_to_parquet(detector(), table, out)
    assert parquet.read_table(out).equals(before)


def test_a_folder_of_other_files_or_of_another_process_is_refused(folder, tmp_path):
    out = tmp_path / "out"
    save(out / "holiday.png", part(0))
    with pytest.raises(DataError, match="expected an empty folder, or one with results of predict"):
        predict_to_parquet(detector(), folder, out)
    (out / "holiday.png").unlink()
    predict_to_parquet(detector(), folder, out)
    with (
        locked_folder(out / "_run"),
        pytest.raises(DataError, match="another process writes there$"),
    ):
        predict_to_parquet(detector(), folder, out)
    (out / "_run" / "run.json").write_text("{")
    with pytest.raises(DataError, match="expected the record of a run, got no JSON"):
        predict_to_parquet(detector(), folder, out)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="expected a folder for results, got"):
        predict_to_parquet(detector(), folder, tmp_path / "file")


def test_a_part_that_cannot_be_written_is_an_error_of_one_line(folder, tmp_path):
    out = tmp_path / "out"
    (out / "_run").mkdir(parents=True)
    (out / "part-000000.parquet").mkdir()
    with pytest.raises(DataError, match=f"^{out}: expected a folder for results, got: [^\n]+$"):
        predict_to_parquet(detector(), folder, out)


def test_tables_that_cannot_be_used_are_errors_of_one_line(folder, tmp_path):
    def said(column="path"):
        with pytest.raises(DataError) as found:
            PhotographTable(tmp_path / "t.parquet", column)
        assert "\n" not in str(found.value)
        return str(found.value)

    assert "expected a Parquet table that can be read, got" in said()
    (tmp_path / "t.parquet").write_bytes(b"PAR1 nothing PAR1")
    assert "expected a Parquet table that can be read, got" in said()
    write_table(tmp_path / "t.parquet", ["a.png"], column="photo", lot=[3])
    assert "expected a column path with paths or URLs, got photo, lot" in said()
    assert "expected texts in the column lot, got int64" in said("lot")
    write_table(tmp_path / "t.parquet", pyarrow.array([], pyarrow.string()))
    assert "expected one row a photograph, got none" in said()
    with pytest.raises(DataError, match="expected at least one, got none"):
        predict_to_parquet(detector(), [], tmp_path / "out")
    with pytest.raises(DataError, match="got nothing of that name"):
        predict_to_parquet(detector(), tmp_path / "none", tmp_path / "out")


def test_a_table_that_ends_early_is_an_error_and_what_was_done_stays(folder, tmp_path):
    names = ["a.png", "b.png"] * 200
    table = write_table(folder / "t.parquet", names, row_group_size=100)
    opened = PhotographTable(table)
    content = bytearray(table.read_bytes())
    begin = parquet.ParquetFile(table).metadata.row_group(3).column(0).dictionary_page_offset
    content[begin : begin + 12] = b"\xff" * 12
    table.write_bytes(bytes(content))
    taken = []
    with pytest.raises(DataError, match="expected a Parquet table that can be read"):
        taken.extend(blocks(opened, 50))
    assert all(len(block.names) == 50 for block in taken)


def test_blocks_have_all_names_in_order(tmp_path):
    names = [f"{number}.png" for number in range(2345)]
    table = PhotographTable(write_table(tmp_path / "t.parquet", names, row_group_size=700))
    found = list(blocks(table, 1000))
    assert [len(block.names) for block in found] == [1000, 1000, 345]
    assert [name for block in found for name in block.names] == names
    assert [block.number for block in found] == [0, 1, 2]
    assert str(found[2]) == "rows 2,000 to 2,344"
    assert {block.folder for block in found} == {str(tmp_path)}


@pytest.mark.parametrize("n_rows", [1, 49, 50, 51, 25_000, 25_001, 499_999, 500_001, 10**7])
def test_parts_are_neither_many_nor_large(n_rows):
    size = rows_per_part(n_rows)
    assert 50 <= size <= 1000
    assert size == 1000 or -(-n_rows // size) <= 500


def test_the_memory_of_a_long_table_is_not_taken(tmp_path):
    names = [f"folder/of/photographs/number-{number:09}.png" for number in range(400_000)]
    table = PhotographTable(write_table(tmp_path / "t.parquet", names, row_group_size=20_000))
    before = pyarrow.total_allocated_bytes()
    most = 0
    for block in blocks(table, 1000):
        most = max(most, pyarrow.total_allocated_bytes() - before)
        assert len(block.names) == 1000
    assert most < sum(map(len, names)) / 2


def test_the_folder_says_what_it_was_computed_from(folder, tmp_path):
    predict_to_parquet(detector(), folder, tmp_path / "out")
    record = json.loads((tmp_path / "out" / "_run" / "run.json").read_text())
    check("predict_run", record)
    assert record["detector_sha256"] == detector().sha256
    assert record["photographs"] == 3


def test_summaries_of_absent_parts_are_none(folder, tmp_path):
    predict_to_parquet(detector(), folder, tmp_path / "out")
    (block,) = blocks(predict_files._photographs(folder, "path"), 50)
    parts_there = PartFolder(tmp_path / "out")
    assert parts_there.summary_of(block).verdicts == {"good": 1, "anomalous": 1, "unread": 1}
    assert PartFolder(tmp_path).summary_of(block) is None
    shorter = type(block)(0, 0, block.names[:2], block.folder)
    assert parts_there.summary_of(shorter) is None


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads by /proc")
def test_summaries_start_no_thread_that_outlives_the_interpreter(folder, tmp_path):
    """Threads of Arrow that give back what Python owns abort a process that is at its end."""
    predict_to_parquet(detector(), folder, tmp_path / "out")
    (block,) = blocks(predict_files._photographs(folder, "path"), 50)
    code = f"""
import os
from pathlib import Path
from patchbank.bulk.arrow import pyarrow
from patchbank.bulk.inputs import Block
from patchbank.bulk.results import PartFolder

pyarrow()
before = len(os.listdir("/proc/self/task"))
parts = PartFolder(Path({str(tmp_path / "out")!r}))
block = Block({block.number}, {block.first_row}, {block.names!r}, {block.folder!r})
content = next(Path({str(tmp_path / "out")!r}).glob("*.parquet")).read_bytes()
assert parts.summary_of(block) == parts.write(block, content)
print(len(os.listdir("/proc/self/task")) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


SETTINGS = {"backbone": "efficientnet_lite0", "image_size": 64, "false_alarm_rate": 0.2}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A detector file, next to photographs and a table of them."""
    root = tmp_path_factory.mktemp("bulk")
    PatchCore(**SETTINGS, bank_limit=60, scales=(1.0,)).fit(parts(6)).save(root / "d.patchbank")
    for number in range(8):
        save(root / "in" / f"{number}.png", part(20 + number, defect=9 * (number == 5)))
    (root / "in" / "bad.png").write_bytes(b"no image")
    names = [f"in/{number % 8}.png" if number % 33 else "in/bad.png" for number in range(300)]
    write_table(root / "t.parquet", names)
    return root


def predict(capsys, root, *arguments):
    return command_line.run(capsys, "predict", root / "d.patchbank", *arguments)


def test_the_command_writes_the_table_and_prints_errors_and_totals(capsys, fitted, tmp_path):
    out = tmp_path / "out"
    status, printed, noted = predict(capsys, fitted, fitted / "t.parquet", "--parquet", out)
    assert status == 1
    found = parquet.read_table(out)
    verdicts = found.column("verdict").to_pylist()
    good, anomalous, unread = map(verdicts.count, ("good", "anomalous", "unread"))
    assert unread == 10
    assert printed.splitlines() == [f"{good} good, {anomalous} anomalous, {unread} not readable"]
    assert noted.count("error: in/bad.png: expected a PNG") == 10
    opened = predict_files.predict_to_parquet  # the same as the call
    again = tmp_path / "again"
    opened(load(fitted), fitted / "t.parquet", again)
    assert parquet.read_table(again).equals(found)
    status, printed, noted = predict(capsys, fitted, fitted / "t.parquet", "--parquet", out)
    assert status == 1
    assert "note: 300 results were there already" in noted


def load(root):
    import patchbank

    return patchbank.load(root / "d.patchbank")


def test_the_command_takes_folders_and_lists_and_says_what_it_found(capsys, fitted, tmp_path):
    (tmp_path / "list").write_text(f"{fitted / 'in' / '3.png'}\n{tmp_path / 'none.png'}\n")
    arguments = [fitted / "in", "--paths-from", tmp_path / "list", "--fail-on-anomaly"]
    (fitted / "in" / "film.mov").write_bytes(b"film")
    try:
        status, printed, noted = predict(capsys, fitted, *arguments, "--parquet", tmp_path / "out")
    finally:
        (fitted / "in" / "film.mov").unlink()
    found = rows_of(tmp_path / "out")
    assert [Path(row["image"]).name for row in found] == [
        *(f"{number}.png" for number in range(8)), "bad.png", "3.png", "none.png"
    ]  # fmt: skip
    assert "1 file not read: film.mov" in noted
    assert printed.rstrip().endswith("3 not readable")
    assert status in (1, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["t.parquet"], "t.parquet: expected --parquet DIR together with it, got it alone"),
        (["in", "--cluster", "local"], "--cluster: expected --parquet DIR together with it"),
        (["in", "--column", "photo"], "--column: expected --parquet DIR together with it"),
        (["in", "--parquet", "o", "--csv", "a.csv"], "--csv: expected without --parquet"),
        (["in", "--parquet", "o", "--json", "-"], "--json: expected without --parquet"),
        (["in", "--parquet", "o", "--auto"], "--auto: expected without --parquet"),
        (["in", "--parquet", "o", "--only-anomalous"], "--only-anomalous: expected without"),
        (["in", "--parquet", "in/o"], "--parquet: expected a folder outside of in"),
        (["in", "--parquet", "o", "--column", "a"], "--column: expected a Parquet table together"),
        (["t.parquet", "in", "--parquet", "o"], "expected t.parquet alone, as it is a table"),
    ],
)
def test_what_does_not_go_together_is_refused(capsys, fitted, monkeypatch, arguments, message):
    monkeypatch.chdir(fitted)
    status, printed, noted = command_line.run(capsys, "predict", "d.patchbank", *arguments)
    assert status == 2
    assert message in noted
    assert len(noted.splitlines()) == 1
    assert not printed
    assert not (fitted / "o").exists()


def test_an_empty_list_is_an_error(capsys, fitted, tmp_path):
    (tmp_path / "list").write_text("")
    options = ["--paths-from", tmp_path / "list", "--parquet", tmp_path / "out"]
    status, _, noted = predict(capsys, fitted, *options)
    assert status == 2
    assert "PATH: expected" in noted


@pytest.mark.parametrize("package", ["pyarrow", "fsspec"])
def test_a_package_that_is_absent_is_named(fitted, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ParameterError, match=f"the package {package}, which is not installed"):
        predict_to_parquet(load(fitted), fitted / "in", tmp_path / "out")


def test_a_run_that_is_killed_goes_on_and_ends_as_an_undisturbed_one(fitted, tmp_path):
    out = tmp_path / "killed"
    predict_to_parquet(load(fitted), fitted / "t.parquet", tmp_path / "undisturbed")
    code = "from patchbank.cli import main; main()"
    command = [sys.executable, "-c", code, "predict", str(fitted / "d.patchbank")]
    command += [str(fitted / "t.parquet"), "--parquet", str(out)]
    for parts_before in (1, 3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(list(out.glob("part-*"))) < parts_before and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    (out / ".patchbank-1.part").write_bytes(b"a killed process left this")
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
    assert not (out / ".patchbank-1.part").exists()
    one, other = parquet.read_table(tmp_path / "undisturbed"), parquet.read_table(out)
    assert other.drop(["score", "p_value"]).equals(one.drop(["score", "p_value"]))
    scores = [table.column("score").to_numpy(zero_copy_only=False) for table in (one, other)]
    np.testing.assert_allclose(*scores, rtol=1e-6)
