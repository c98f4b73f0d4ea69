"""Digests of files: read again where the content may have changed, and nowhere else."""

import hashlib
import json
import os
import time

import pytest

from patchbank.benchmark import file_digests
from patchbank.benchmark.file_digests import FileDigests
from patchbank.errors import DataError


@pytest.fixture
def later(monkeypatch):
    """Digests are computed long after the files were written."""
    now = time.time_ns
    monkeypatch.setattr(file_digests.time, "time_ns", lambda: now() + 10**10)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def write(path, content):
    path.write_bytes(content)
    return path


def test_a_digest_is_that_of_the_content(tmp_path):
    path = write(tmp_path / "a", b"abc" * 10**6)
    assert FileDigests().of(path) == sha256(b"abc" * 10**6)


def kept(store, path):
    """The digest of a file, kept and then replaced in the store by another one."""
    digests = FileDigests(store)
    digest = digests.of(path)
    digests.save()
    known = json.loads(store.read_text())
    for facts in known.values():
        facts[-1] = "kept"
    store.write_text(json.dumps(known))
    return digest


def test_a_file_that_did_not_change_is_not_read_again(tmp_path, later):
    path = write(tmp_path / "a", b"one")
    assert kept(tmp_path / "store", path) == sha256(b"one")
    assert FileDigests(tmp_path / "store").of(path) == "kept"


def test_a_file_of_the_same_size_and_time_is_read_again(tmp_path, later):
    path = write(tmp_path / "a", b"one")
    state = path.stat()
    kept(tmp_path / "store", path)
    write(path, b"two")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert FileDigests(tmp_path / "store").of(path) == sha256(b"two")


def test_another_file_in_its_place_is_read_again(tmp_path, later):
    path = write(tmp_path / "a", b"one")
    state = path.stat()
    kept(tmp_path / "store", path)
    other = write(tmp_path / "b", b"two")
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    other.replace(path)
    assert FileDigests(tmp_path / "store").of(path) == sha256(b"two")


def test_a_file_that_was_just_written_is_read_again(tmp_path):
    """Another change within the same tick of the clock would not show."""
    path = write(tmp_path / "a", b"one")
    kept(tmp_path / "store", path)
    assert json.loads((tmp_path / "store").read_text()) == {}


def test_a_folder_has_the_digest_of_names_and_contents(tmp_path):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "0.png", b"one")
    digests = FileDigests()
    assert digests.of(tmp_path / "x") == digests.of(tmp_path / "y")
    (tmp_path / "y" / "0.png").rename(tmp_path / "y" / "1.png")
    assert digests.of(tmp_path / "x") != digests.of(tmp_path / "y")


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'{"a": 3}', b"\xff"])
def test_a_damaged_store_costs_time_alone(tmp_path, content):
    path = write(tmp_path / "a", b"one")
    write(tmp_path / "store", content)
    assert FileDigests(tmp_path / "store").of(path) == sha256(b"one")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="a: expected a readable file, got: No such file"):
        FileDigests().of(tmp_path / "a")


def test_names_that_are_no_text_are_kept(tmp_path, later):
    path = write(tmp_path / os.fsdecode(b"\xff"), b"one")
    kept(tmp_path / "store", path)
    assert FileDigests(tmp_path / "store").of(path) == "kept"
