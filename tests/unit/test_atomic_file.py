"""Files are replaced whole, through links, and what killed processes leave is removed."""

import errno
import fcntl
import hashlib
import os
import stat
import subprocess
import sys

import pytest

from patchbank.runtime import atomic_file
from patchbank.runtime.atomic_file import (
    FileChanged,
    create_file,
    make_folders,
    remove_unfinished,
    replace_file,
    replacing,
)

WRITER = """
import sys
from pathlib import Path
from patchbank.runtime import atomic_file
with atomic_file._temporary(Path(sys.argv[1])) as (path, file):
    file.write(b"half")
    file.flush()
    print(path, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def another_process():
    """Each test removes unfinished files as a new process does."""
    remove_unfinished.cache_clear()


def start_writer(folder):
    """A process that is writing a file in a folder.  -> process, path of its temporary file."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    return process, process.stdout.readline().decode().strip()


def stop(process, *, kill):
    if kill:
        process.kill()
    process.communicate()


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.json"]


def test_permissions_are_those_of_the_old_file_or_of_any_new_one(tmp_path):
    path, plain = tmp_path / "a", tmp_path / "plain"
    plain.write_bytes(b"")
    replace_file(path, b"new")
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    replace_file(path, b"newer")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_long_name_needs_no_longer_one(tmp_path):
    path = tmp_path / ("n" * 255)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("relative", [True, False])
def test_a_link_stays_and_its_target_is_replaced(tmp_path, relative):
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "a"
    target.write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to("there/a" if relative else target)
    replace_file(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["link", "there"]
    assert os.listdir(tmp_path / "there") == ["a"]


def test_a_link_to_nothing_yet_makes_its_target(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("a")
    replace_file(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "a").read_bytes() == b"new"


def test_what_is_no_file_is_neither_replaced_nor_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    (tmp_path / "null").symlink_to("/dev/null")
    for name, reason in {
        "pipe": "a pipe is there",
        "folder": "a folder is there",
        "null": "a device is there",
        "loop": "symbolic links",
    }.items():
        with pytest.raises(OSError, match=reason):
            replace_file(tmp_path / name, b"new")
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)
    assert (tmp_path / "null").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["folder", "loop", "null", "pipe"]


def test_a_new_file_never_replaces_one(tmp_path):
    path = tmp_path / "a"
    create_file(path, b"first")
    with pytest.raises(FileExistsError):
        create_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("sync", [False, True])
def test_a_new_file_is_synced_with_its_folder_where_that_is_asked_for(tmp_path, monkeypatch, sync):
    synced = []
    monkeypatch.setattr(atomic_file.os, "fsync", lambda handle: synced.append(os.fstat(handle)))
    create_file(tmp_path / "a", b"content", sync=sync)
    inodes = [(tmp_path / "a").stat().st_ino, tmp_path.stat().st_ino]
    assert [facts.st_ino for facts in synced] == (inodes if sync else [])


def test_a_file_that_is_written_in_parts_is_there_when_all_are(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new, ")
        assert path.read_bytes() == b"old"
        file.write(b"in parts")
    assert path.read_bytes() == b"new, in parts"
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines([b"half", "no bytes"])
    assert path.read_bytes() == b"new, in parts"
    assert os.listdir(tmp_path) == ["table.csv"]
    with pytest.raises(OSError, match="a folder is there"), replacing(tmp_path):
        pass


def test_a_new_file_needs_no_hard_links(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(atomic_file.os, "link", no_links)
    test_a_new_file_never_replaces_one(tmp_path)


def test_the_next_write_removes_what_a_killed_process_left(tmp_path):
    process, left = start_writer(tmp_path)
    stop(process, kill=True)
    assert os.path.exists(left)
    replace_file(tmp_path / "a", b"new")
    assert os.listdir(tmp_path) == ["a"]


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    process, path = start_writer(tmp_path)
    try:
        replace_file(tmp_path / "a", b"new")
        assert os.path.exists(path)
    finally:
        stop(process, kill=False)
    assert os.listdir(tmp_path) == ["a"]


def test_only_our_unfinished_files_are_removed(tmp_path):
    others = [".patchbank-notes", "download.part", ".film.mkv.part", "patchbank-1.part"]
    for name in others:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".patchbank-0.part").mkdir()
    (tmp_path / ".patchbank-1.part").symlink_to("download.part")
    (tmp_path / ".patchbank-2.part").write_bytes(b"")
    remove_unfinished(tmp_path)
    left = {*others, ".patchbank-0.part", ".patchbank-1.part"}
    assert set(os.listdir(tmp_path)) == left


def test_a_folder_that_is_not_there_has_nothing_to_remove(tmp_path):
    remove_unfinished(tmp_path / "no")


def test_two_that_write_the_same_file_leave_one_whole(tmp_path):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from patchbank.runtime.atomic_file import remove_unfinished, replace_file\n"
        "for _ in range(200):\n"
        "    remove_unfinished.cache_clear()\n"
        "    replace_file(Path(sys.argv[1]), sys.argv[2].encode() * 10_000, sync=False)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    both = [subprocess.Popen([*command, letter], stderr=subprocess.PIPE) for letter in "xy"]
    assert [process.communicate()[1] for process in both] == [b"", b""]
    assert (tmp_path / "a").read_bytes() in (b"x" * 10_000, b"y" * 10_000)
    assert os.listdir(tmp_path) == ["a"]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_only_the_file_that_was_meant_is_replaced(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    old = digest(path)
    replace_file(path, b"new", replaces=old)
    assert path.read_bytes() == b"new"
    for wrong in (old, ""):
        with pytest.raises(FileChanged):
            replace_file(path, b"other", replaces=wrong)
        assert path.read_bytes() == b"new"
    path.unlink()
    with pytest.raises(FileChanged):
        replace_file(path, b"other", replaces=old)
    assert os.listdir(tmp_path) == []


def test_a_file_behind_a_link_is_replaced_if_it_was_meant(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o640)
    (tmp_path / "link").symlink_to("a")
    replace_file(tmp_path / "link", b"new", replaces=digest(tmp_path / "a"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


COUNTER = """
import hashlib, sys
from pathlib import Path
from patchbank.runtime.atomic_file import FileChanged, replace_file
path, done = Path(sys.argv[1]), 0
while done < 100:
    content = path.read_bytes()
    following = str(int(content) + 1).encode()
    try:
        replace_file(path, following, sync=False, replaces=hashlib.sha256(content).hexdigest())
        done += 1
    except FileChanged:
        pass
"""


def test_no_change_is_lost_among_several_processes(tmp_path):
    """Each adds one to a number a hundred times, and starts over where another was faster."""
    path = tmp_path / "number"
    path.write_bytes(b"0")
    command = [sys.executable, "-c", COUNTER, str(path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate()[1] for process in processes] == [b""] * 3
    assert path.read_bytes() == b"300"
    assert os.listdir(tmp_path) == ["number"]


def test_a_file_that_another_program_holds_for_long_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_file, "LONGEST_WAIT_S", 0.05)
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="another program holds it"):
            replace_file(path, b"new", replaces=digest(path))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]
    replace_file(path, b"new", replaces=digest(path))


def test_a_file_system_without_locks_still_compares(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(atomic_file.fcntl, "flock", no_locks)
    test_only_the_file_that_was_meant_is_replaced(tmp_path)


def test_folders_are_made_however_deep(tmp_path):
    deep = tmp_path.joinpath(*"d" * 1500)
    try:
        make_folders(deep)
        make_folders(deep)
        assert deep.is_dir()
    finally:
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_a_folder_cannot_be_made_below_a_file(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(OSError, match="File exists|Not a directory"):
        make_folders(tmp_path / "a" / "b")
