"""Tables, sorted copies, lists of paths and records of `patchbank predict`."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from patchbank.cli import output, sorting
from patchbank.cli.csv_file import COLUMNS, text_cell
from patchbank.cli.path_lists import Given, StandardInput, batches, with_lists
from patchbank.cli.predict import Count, Outputs, inspect_paths
from patchbank.errors import DataError, ParameterError
from patchbank.runtime.atomic_file import make_folders
from tests.painted import detector, photograph, write

STAMP = {"version": "9.8", "detector_sha256": "c0ffee"}
SPOT = (120, slice(2, 4), slice(3, 10))
"""Rows 2 and 3, columns 3 to 9 of a photograph: its map is 120 there."""


def inspect(*paths, listed=(), **outputs):
    """Inspect as the command does; `listed` are paths from a list."""
    given = [Given(Path(path), False) for path in paths]
    given += [Given(Path(path), True) for path in listed]
    return inspect_paths(detector(), given, Outputs(**outputs))


@pytest.fixture
def folder(tmp_path):
    """A good photograph, two anomalous ones, and one that is none."""
    write(tmp_path / "in" / "a.png", photograph(20))
    write(tmp_path / "in" / "sub" / "b.png", photograph(150, SPOT))
    write(tmp_path / "in" / "d.png", photograph(200))
    (tmp_path / "in" / "c.png").write_bytes(b"no image")
    return tmp_path / "in"


def rows(path):
    """The rows of a table, each by the names of its columns."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_has_a_row_for_each_photograph(folder, tmp_path):
    path = tmp_path / "a.csv"
    inspect(folder, csv=path, stamp=STAMP)
    known = dict.fromkeys(COLUMNS, "") | {"detector_sha256": "c0ffee"}
    scored = known | {"threshold": "100.0", "width": "40", "height": "32", "regions": "0"}
    found = {Path(row["image"]).name: row for row in rows(path)}
    assert list(found) == ["a.png", "c.png", "d.png", "b.png"]
    assert found["a.png"] == scored | {
        "image": str(folder / "a.png"), "verdict": "good", "score": "20.0", "p_value": "1.0"
    }  # fmt: skip
    assert found["b.png"] == scored | {
        "image": str(folder / "sub" / "b.png"),
        "verdict": "anomalous",
        "score": "150.0",
        "p_value": "0.25",
        "regions": "1",
        "worst_left": "3",
        "worst_top": "2",
        "worst_width": "7",
        "worst_height": "2",
        "worst_area": "14",
        "worst_score": "120.0",
    }
    assert found["c.png"]["verdict"] == "unread"
    assert found["c.png"]["score"] == ""
    assert "c.png: expected a" in found["c.png"]["error"]


def test_a_table_is_utf8_with_the_mark_of_excel_and_its_line_ends(tmp_path):
    write(tmp_path / "größe 部品.png", photograph(20))
    path = tmp_path / "a.csv"
    inspect(tmp_path / "größe 部品.png", csv=path)
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfimage,verdict,")
    assert "größe 部品.png" in content.decode("utf-8")
    assert content.count(b"\r\n") == content.count(b"\n") == 2


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1"])  # noqa: RUF001
def test_no_name_is_a_formula(tmp_path, start, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / f"{start}.png", photograph(20))
    inspect(f"{start}.png", csv=tmp_path / "a.csv")
    assert [row["image"] for row in rows(tmp_path / "a.csv")] == [f"'{start}.png"]


@pytest.mark.parametrize("name", ["a,b", 'a"b', "a;b", "'a", " =1"])
def test_other_names_are_given_back_as_they_are(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / f"{name}.png", photograph(20))
    inspect(f"{name}.png", csv=tmp_path / "a.csv")
    assert [row["image"] for row in rows(tmp_path / "a.csv")] == [f"{name}.png"]


def test_cells_are_one_line():
    assert text_cell("a\n=b\t\udcff") == "a\\n=b\\t\\udcff"
    assert text_cell("\t=b") == "\\t=b"


def test_rows_are_written_as_the_photographs_are_inspected(tmp_path, monkeypatch):
    """Whoever follows the file sees a row when its photograph is done."""
    write(tmp_path / "a.png", photograph(20))
    write(tmp_path / "b.png", photograph(20))
    seen = []
    monkeypatch.setattr(output, "outcome", lambda _: seen.append(len(rows(tmp_path / "a.csv"))))
    inspect(tmp_path / "a.png", tmp_path / "b.png", csv=tmp_path / "a.csv")
    assert seen == [0, 1]


def test_only_anomalous_ones_leave_lines_pictures_and_copies(folder, tmp_path, capsys):
    lines = tmp_path / "lines.jsonl"
    count = inspect(
        folder,
        to_json=str(lines),
        csv=tmp_path / "a.csv",
        overlays=tmp_path / "out",
        sort_into=tmp_path / "sorted",
        only_anomalous=True,
    )
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()[:-1]] == ["ANOMALOUS", "ANOMALOUS"]
    assert out.splitlines()[-1] == "1 good, 2 anomalous, 1 not readable"
    assert "c.png" in err
    assert count == Count(good=1, anomalous=2, unread=1)
    names = [Path(json.loads(line)["image"]).name for line in lines.read_text().splitlines()]
    assert names == ["c.png", "d.png", "b.png"]
    assert [Path(row["image"]).name for row in rows(tmp_path / "a.csv")] == names
    assert files(tmp_path / "out") == ["d.png", "sub/b.png"]
    assert files(tmp_path / "sorted") == ["NG/d.png", "NG/sub/b.png"]


def files(folder):
    """Paths of all files below a folder."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_photographs_are_sorted_as_copies_in_their_subfolders(folder, tmp_path):
    os.utime(folder / "a.png", (1_000_000_000, 1_000_000_000))
    count = inspect(folder, sort_into=tmp_path / "sorted")
    assert files(tmp_path / "sorted") == ["NG/d.png", "NG/sub/b.png", "OK/a.png"]
    copy = tmp_path / "sorted" / "OK" / "a.png"
    assert copy.read_bytes() == (folder / "a.png").read_bytes()
    assert copy.stat().st_mtime == 1_000_000_000
    assert copy.stat().st_ino != (folder / "a.png").stat().st_ino
    assert files(folder) == ["a.png", "c.png", "d.png", "sub/b.png"]
    assert count.unsorted == 0


def test_sorting_again_changes_nothing(folder, tmp_path):
    for _ in range(2):
        inspect(folder, sort_into=tmp_path / "sorted")
        assert files(tmp_path / "sorted") == ["NG/d.png", "NG/sub/b.png", "OK/a.png"]


def test_sorting_never_replaces_another_file(folder, tmp_path):
    other = tmp_path / "sorted" / "OK" / "a.png"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"of yesterday")
    for _ in range(2):
        inspect(folder, sort_into=tmp_path / "sorted")
        assert other.read_bytes() == b"of yesterday"
        assert files(tmp_path / "sorted" / "OK") == ["a-2.png", "a.png"]


def test_photographs_of_one_name_are_all_kept(tmp_path):
    paths = [write(tmp_path / n / "1.png", photograph(20, blue=i)) for i, n in enumerate("xyz")]
    inspect(*paths, sort_into=tmp_path / "sorted")
    names = ["1.png", "1-2.png", "1-3.png"]
    contents = [(tmp_path / "sorted" / "OK" / name).read_bytes() for name in names]
    assert contents == [path.read_bytes() for path in paths]


def test_a_photograph_that_was_replaced_is_not_sorted(folder, tmp_path, capsys, monkeypatch):
    """The camera writes the next part under the same name: it must not count as inspected."""
    add = sorting.Sorter.add

    def replaced(self, outcome, inside):
        if outcome.image.endswith("a.png"):
            write(folder / "a.png", photograph(255))
        if outcome.image.endswith("d.png"):
            (folder / "d.png").unlink()
        return add(self, outcome, inside)

    monkeypatch.setattr(sorting.Sorter, "add", replaced)
    count = inspect(folder, sort_into=tmp_path / "sorted")
    err = capsys.readouterr().err.splitlines()
    assert files(tmp_path / "sorted") == ["NG/sub/b.png"]
    assert count == Count(good=1, anomalous=2, unread=1, unsorted=2)
    assert "a.png: expected the photograph that was inspected, got a changed file" in err[0]
    assert "d.png: expected to copy it, got: No such file or directory; it is not sorted" in err[-1]


def test_a_place_that_cannot_take_copies_stops_the_command(folder, tmp_path):
    (tmp_path / "sorted").mkdir()
    (tmp_path / "sorted" / "NG").write_text("a file")
    with pytest.raises(DataError, match=r"--sort-into: expected to copy .* got: "):
        inspect(folder, sort_into=tmp_path / "sorted")


def test_copies_that_the_disk_has_no_place_for_are_not_begun(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("patchbank.cli.predict.total_bytes", lambda _: 10**18)
    with pytest.raises(DataError, match="--sort-into: expected 1,000,000,000,000 MB of free space"):
        inspect(folder, sort_into=tmp_path / "sorted")
    assert capsys.readouterr().out == ""


def test_the_size_of_copies_is_that_of_the_photographs(folder):
    sizes = [path.stat().st_size for path in folder.iterdir() if path.is_file()]
    assert sorting.total_bytes([*(p for p in folder.glob("*.png")), folder / "no"]) == sum(sizes)


def test_lines_of_json_name_the_program_and_the_detector(folder, capsys):
    inspect(folder, to_json="-", stamp=STAMP)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 4
    for line in lines:
        assert list(line)[:3] == ["schema_version", "version", "detector_sha256"]
        assert {key: line[key] for key in STAMP} == STAMP


def test_lines_of_json_are_utf8_as_it_is(tmp_path, capsys):
    write(tmp_path / "größe 部品.png", photograph(20))
    inspect(tmp_path, to_json=str(tmp_path / "lines"))
    assert "größe 部品.png".encode() in (tmp_path / "lines").read_bytes()


STRANGE = [b"\xff.png", b"a\nb.png", b"\x1b[31m.png", b"a\tb.png", b"a\rb.png"]


def test_strange_names_are_one_line_in_every_output(tmp_path, capsys):
    content = write(tmp_path / "1.png", photograph(200)).read_bytes()
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)
    for name in STRANGE:
        for prefix, data in ((b"", content), (b"x", b"no image")):
            with open(os.path.join(folder, prefix + name), "wb") as file:
                file.write(data)
    lines, table = tmp_path / "lines", tmp_path / "a.csv"
    inspect(tmp_path / "in", to_json=str(lines), csv=table, sort_into=tmp_path / "sorted")
    out, err = capsys.readouterr()
    assert len(out.split("\n")) == 5 + 2
    assert len(err.split("\n")) == 5 + 1
    written = lines.read_text("utf-8"), table.read_text("utf-8-sig").replace("\r\n", "\n")
    for text in (out, err, *written):
        assert all(line.isprintable() for line in text.split("\n"))
    assert len(rows(table)) == 10
    images = [json.loads(line)["image"] for line in written[0].splitlines()]
    assert sorted(map(os.fsencode, images)) == sorted(
        os.path.join(folder, prefix + name) for name in STRANGE for prefix in (b"", b"x")
    )
    assert sorted(os.listdir(os.fsencode(tmp_path / "sorted" / "NG"))) == sorted(STRANGE)


def test_missing_photographs_of_a_list_do_not_stop_the_others(folder, tmp_path, capsys):
    count = inspect(listed=[tmp_path / "gone.png", folder / "a.png", folder / "sub"])
    assert count == Count(good=1, anomalous=1, unread=1)
    assert "gone.png" in capsys.readouterr().err


@pytest.fixture
def standard_input(monkeypatch):
    """Put bytes on standard input."""

    def put(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return put


def all_paths(paths, paths_from=None, *, null=False):
    """The paths of all batches."""
    given = with_lists([Path(path) for path in paths], paths_from, null=null)
    return [one for batch in batches(given) for one in batch]


def test_paths_come_from_standard_input_where_the_dash_stands(standard_input):
    standard_input(b"b b.png\r\n\n\xff.png\n-\nlast.png")
    assert all_paths(["a", "-", "z"]) == [
        Given(Path("a"), False),
        *(Given(Path(os.fsdecode(n)), True) for n in (b"b b.png", b"\xff.png", b"-", b"last.png")),
        Given(Path("z"), False),
    ]


def test_a_dash_is_standard_input_for_a_list_too(standard_input):
    standard_input(b"b.png\n")
    expected = [Given(Path("a"), False), Given(Path("b.png"), True)]
    assert all_paths(["a"], Path("-")) == expected
    with pytest.raises(ParameterError, match="PATH: expected - once"):
        all_paths(["-"], Path("-"))


def test_paths_with_line_breaks_come_with_null(standard_input):
    standard_input(b"a\nb.png\0 c.png\0")
    found = [path for path, _ in all_paths(["-"], null=True)]
    assert found == [Path("a\nb.png"), Path(" c.png")]


def test_paths_come_from_a_file_as_editors_of_windows_write_it(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes("größe.png\r\nb.png\r\n".encode("utf-8-sig"))
    found = [path for path, _ in all_paths([], path)]
    assert found == [Path("größe.png"), Path("b.png")]


class Slow(io.RawIOBase):
    """Standard input on which bytes arrive bit by bit."""

    def __init__(self, *parts):
        self.parts = list(parts)

    def readable(self):
        return True

    def readinto(self, buffer):
        part = self.parts.pop(0) if self.parts else b""
        buffer[: len(part)] = part
        return len(part)


def test_paths_are_used_as_they_arrive(monkeypatch):
    """A path that is cut between two reads is one path."""
    parts = [b"a.png\nb.p", b"ng\nc", b".png\n", b"d.png"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Slow(*parts))))
    found = [[path.name for path, _ in batch] for batch in StandardInput().batches()]
    assert found == [["a.png"], ["b.png"], ["c.png"], ["d.png"]]


LIVE = """
import sys
from patchbank.cli.path_lists import StandardInput
from patchbank.cli.predict import Outputs, inspect_paths
from tests.painted import detector
inspect_paths(detector(), [StandardInput()], Outputs(to_json="-"))
"""


def test_a_verdict_is_there_before_the_next_path(folder):
    command = [sys.executable, "-c", LIVE]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        for name, score in (("a.png", 20), ("d.png", 200), ("c.png", None)):
            process.stdin.write(f"{folder / name}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["score"] == score
        process.stdin.close()
        assert process.stdout.read() == ""


def test_a_list_that_arrives_never_costs_a_photograph(folder, standard_input):
    """The overlay of a.bmp would replace a.png, of which nothing is known yet."""
    Image.open(folder / "a.png").save(folder / "a.bmp")
    before = (folder / "a.png").read_bytes()
    standard_input(os.fsencode(folder / "a.bmp") + b"\n")
    with pytest.raises(DataError, match="expected a path for an overlay, got a photograph"):
        inspect_paths(detector(), [StandardInput()], Outputs(overlays=folder))
    assert (folder / "a.png").read_bytes() == before


def test_overlays_of_a_list_are_drawn_again(folder, tmp_path, standard_input):
    for _ in range(2):
        standard_input(os.fsencode(folder / "a.png") + b"\n")
        inspect_paths(detector(), [StandardInput()], Outputs(overlays=tmp_path / "out"))
    assert files(tmp_path / "out") == ["a.png"]


def test_nothing_on_standard_input_is_nothing_to_inspect(standard_input, capsys):
    """The program that makes the list may have failed: that is never "all good"."""
    for content in (b"", b"\n"):
        standard_input(content)
        with pytest.raises(DataError, match="PATH: expected photographs, got an empty list"):
            inspect_paths(detector(), [StandardInput()], Outputs())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("paths", "null", "content", "message"),
    [
        ([], False, b"", "PATH: expected a photograph or a folder, got none"),
        ([Path("a")], True, b"", "--null: expected a list, - or --paths-from, together with it"),
        ([Path("-"), Path("-")], False, b"", "PATH: expected - once"),
    ],
)
def test_a_list_of_nothing_is_named(standard_input, paths, null, content, message):
    standard_input(content)
    with pytest.raises(ParameterError, match=message):
        with_lists(paths, None, null=null)


def test_a_list_with_null_that_was_not_announced_is_named(standard_input):
    standard_input(b"a.png\0b.png\0")
    with pytest.raises(DataError, match="expected a list with one path a line, got NUL; give --nu"):
        all_paths(["-"])


def test_a_name_that_is_too_long_is_not_readable(folder, capsys):
    count = inspect(listed=["n" * 300 + ".png", folder / "a.png"])
    assert count == Count(good=1, unread=1)
    assert capsys.readouterr().err.count("\n") == 1


def test_folders_are_inspected_however_deep(tmp_path, capsys):
    """Deeper than Python calls functions, and almost as deep as paths may be."""
    top = tmp_path / "in"
    deep = top.joinpath(*"d" * 1500)
    try:
        make_folders(deep)
        write(deep / "a.png", photograph(20))
        count = inspect(
            top, overlays=tmp_path / "out", sort_into=tmp_path / "sorted", csv=tmp_path / "a.csv"
        )
        assert count == Count(good=1)
        assert (tmp_path / "out").joinpath(*"d" * 1500, "a.png").exists()
        assert (tmp_path / "sorted" / "OK").joinpath(*"d" * 1500, "a.png").exists()
        assert len(rows(tmp_path / "a.csv")) == 1
    finally:
        for name in ("in", "out", "sorted"):
            subprocess.run(["rm", "-rf", str(tmp_path / name)], check=True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["no", "."])
def test_a_list_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(DataError, match="--paths-from: expected a file with paths, got"):
        with_lists([], tmp_path / name, null=False)
