"""Results have a place to go: that is found out before the work, and nothing is lost."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from patchbank.cli import targets
from patchbank.cli.targets import (
    check_distinct,
    check_file,
    check_folder,
    check_outside,
    check_report,
    check_space,
)
from patchbank.errors import DataError
from patchbank.runtime.atomic_file import remove_unfinished
from tests.photographs import part, save

PROGRAM = [sys.executable, "-c", "from patchbank.cli import main; main()"]
ORDINARY = (
    [
        "setpriv",
        "--bounding-set=-dac_override,-dac_read_search",
        "--inh-caps=-dac_override,-dac_read_search",
    ]
    if os.name == "posix" and os.geteuid() == 0
    else []
)
needs_permissions = pytest.mark.skipif(
    bool(ORDINARY) and shutil.which("setpriv") is None, reason="root needs setpriv"
)


def program(*arguments):
    """Run the program as a user whom permissions bind.  -> status, the line on standard error."""
    command = [*ORDINARY, *PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.returncode, done.stderr


def make_pipe(path):
    os.mkfifo(path)


def make_folder(path):
    path.mkdir()


def link_to_device(path):
    path.symlink_to("/dev/null")


def link_to_itself(path):
    path.symlink_to(path.name)


def put_below_a_file(path):
    (path.parent / "x").write_text("a file")
    return path.parent / "x" / "y"


BAD_FILES = {
    "a pipe is there": make_pipe,
    "a folder is there": make_folder,
    "a device is there": link_to_device,
    "Too many levels of symbolic links": link_to_itself,
    "Not a directory": put_below_a_file,
    "expected a file in a folder that exists": lambda path: path.parent / "no" / "a",
    "File name too long": lambda path: path.parent / ("n" * 300),
}


@pytest.mark.parametrize(("reason", "make"), BAD_FILES.items(), ids=BAD_FILES)
def test_what_is_no_place_for_a_file_is_refused_and_left_as_it_is(tmp_path, reason, make):
    path = make(tmp_path / "a") or tmp_path / "a"
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(DataError, match=reason) as caught:
        check_file("--out", path)
    assert str(caught.value).startswith("--out: expected a file ")
    assert str(path) in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == before


def test_checking_changes_nothing(tmp_path):
    path = tmp_path / "a"
    check_file("--out", path)
    assert not os.listdir(tmp_path)
    path.write_text("old")
    before = path.stat()
    check_file("--out", path)
    check_folder("--out", tmp_path / "b" / "c")
    assert os.listdir(tmp_path) == ["a"]
    assert path.stat() == before
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_standard_output_has_a_name_of_its_own(name, tmp_path):
    """Where it goes to a file, too: that must not be replaced under the shell that opened it."""
    command = [*PROGRAM, "backbones", "--json", name]
    with (tmp_path / "out").open("w") as file:
        for out in (subprocess.PIPE, file):
            done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, check=False)
            assert done.returncode == 2
            assert b"give - for standard output" in done.stderr


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_text("a file"), "a is a file"),
        (lambda path: path.symlink_to("/dev/null"), "null is a file"),
    ],
)
@pytest.mark.parametrize("below", [".", "b/c"])
def test_what_is_no_place_for_a_folder_is_refused(tmp_path, make, reason, below):
    make(tmp_path / "a")
    with pytest.raises(DataError, match=f"{reason}|Not a directory") as caught:
        check_folder("--report", tmp_path / "a" / below)
    assert str(caught.value).startswith("--report: expected a folder that can be written to, got ")


@pytest.mark.parametrize("check", [check_file, check_folder, check_report])
def test_a_dash_is_no_name_of_a_file_or_folder(check, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="^--to: expected a path, got -; only --json has standard"):
        check("--to", Path("-"))
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_is_found_out(tmp_path):
    check_report("--report", tmp_path / "new")
    (tmp_path / "index.html").mkdir()
    with pytest.raises(DataError, match=r"index\.html \(a folder is there\)"):
        check_report("--report", tmp_path)


def test_a_disk_that_is_too_full_is_named(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    check_space("--out", tmp_path, free // 2)
    with pytest.raises(DataError) as caught:
        check_file("--out", tmp_path / "a", n_bytes=free + 5_000_000_000)
    pattern = r"--out: expected [\d,]+ MB of free space in .*, got [\d,]+ MB"
    assert re.fullmatch(pattern, str(caught.value))


def test_no_file_is_written_twice_and_no_input_overwritten(tmp_path):
    (tmp_path / "a").write_text("")
    (tmp_path / "link").symlink_to("a")
    check_distinct({"--json": "-", "--csv": None, "--out": tmp_path / "b"}, [tmp_path / "a"])
    with pytest.raises(
        DataError, match="--csv: expected a file of its own, got .*, which is --json"
    ):
        check_distinct({"--json": str(tmp_path / "a"), "--csv": tmp_path / "link"})
    with pytest.raises(
        DataError, match=r"--json: expected a file of its own, got .*link, which is an input"
    ):
        check_distinct({"--json": tmp_path / "link"}, [tmp_path / "a"])


def test_a_detector_is_not_cut_in_its_own_place(tmp_path):
    path = tmp_path / "a.patchbank"
    path.write_text("kept")
    status, line = program("cut", path, "--bank-rows", 5, "--out", path)
    assert status == 2
    assert "--out: expected a file of its own" in line
    assert path.read_text() == "kept"


def test_results_do_not_lie_where_photographs_are_read(tmp_path):
    check_outside("--sort-into", tmp_path / "in-sorted", [tmp_path / "in"])
    with pytest.raises(DataError, match="expected a folder outside of"):
        check_outside("--sort-into", tmp_path / "in" / "x", [tmp_path / "in"])


@needs_permissions
def test_a_folder_that_is_locked_is_found_out_before_anything_is_read(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    for arguments in (
        ["fit", tmp_path / "no", "--out", locked / "a.patchbank"],
        ["predict", tmp_path / "no", tmp_path, "--json", locked / "a"],
        ["predict", tmp_path / "no", tmp_path, "--csv", locked / "a"],
        ["predict", tmp_path / "no", tmp_path, "--out", locked / "new"],
        ["predict", tmp_path / "no", tmp_path, "--sort-into", locked / "new"],
        ["evaluate", tmp_path / "no", tmp_path, "--json", locked / "a"],
        ["evaluate", tmp_path / "no", tmp_path, "--report", locked],
        ["benchmark", tmp_path / "no", "--out", locked / "b"],
        ["benchmark", tmp_path / "no", "--out", tmp_path / "b", "--json", locked / "a"],
        ["demo", "--out", locked / "d"],
        ["cut", tmp_path / "no", "--bank-rows", 5, "--out", locked / "a"],
        ["info", tmp_path / "no", "--json", locked / "a"],
        ["backbones", "--json", locked / "a"],
        ["backbones", "export", "resnet18.a1_in1k", "--out", locked / "a.onnx"],
    ):
        status, line = program(*arguments)
        assert status == 2
        assert "Permission denied" in line, arguments


@needs_permissions
def test_a_file_that_is_read_only_is_not_replaced(tmp_path):
    path = tmp_path / "a.patchbank"
    path.write_text("kept")
    path.chmod(0o444)
    status, line = program("fit", tmp_path / "no", "--out", path)
    assert (status, path.read_text()) == (2, "kept")
    assert "Permission denied" in line


def test_a_photograph_is_never_replaced_by_a_detector(tmp_path):
    photograph = save(tmp_path / "a.png", part(1))
    before = photograph.read_bytes()
    for good in (photograph, tmp_path / "b.png"):
        status, line = program("fit", good, "--out", photograph)
        assert status == 2
        assert "--out: expected a file" in line
    assert photograph.read_bytes() == before


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_a_photograph_of_the_inspected_folder_is_not_replaced_by_results(tmp_path, option):
    photograph = save(tmp_path / "in" / "a.png", part(1))
    before = photograph.read_bytes()
    status, line = program("predict", photograph, photograph.parent, option, photograph)
    assert status == 2
    assert f"{option}: expected a file for the result, got {photograph}, which looks like" in line
    assert photograph.read_bytes() == before


def test_what_a_killed_run_has_left_is_removed_by_the_check(tmp_path):
    remove_unfinished.cache_clear()
    (tmp_path / ".patchbank-0123.part").write_bytes(b"half")
    targets.check_file("--out", tmp_path / "a")
    assert not os.listdir(tmp_path)
