"""Pictures are kept once by their content, survive, and go when they are old."""

import hashlib
import os
import re
import socket
import time
from threading import Thread

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from patchbank.errors import DataError, ParameterError
from patchbank.server.records.data_folder import DataFolder
from patchbank.server.records.errors import NotRecorded
from patchbank.server.records.pictures import Pictures
from patchbank.server.records.verifying import changed_pictures


@pytest.fixture
def pictures(tmp_path):
    return Pictures(tmp_path / "pictures")


def files(pictures):
    return sorted(path for path in pictures.folder.rglob("*") if path.is_file())


def test_the_name_is_the_digest_and_finds_the_content(pictures):
    name = pictures.keep(b"one", ".PNG")
    digest = hashlib.sha256(b"one").hexdigest()
    assert name == f"{digest}.png"
    assert pictures.read(name) == b"one"
    assert files(pictures) == [pictures.folder / digest[:2] / digest[2:4] / name]
    assert list(pictures.paths()) == files(pictures)
    assert pictures.total() == 3


def test_equal_pictures_are_kept_once(pictures):
    assert pictures.keep(b"one", ".png") == pictures.keep(b"one", ".png")
    assert pictures.keep(b"one", ".jpg") != pictures.keep(b"one", ".png")
    assert len(files(pictures)) == 2


def test_threads_that_keep_the_same_picture_agree(pictures):
    names = []
    contents = [bytes([n % 5]) * 1000 for n in range(40)]
    threads = [Thread(target=lambda c=c: names.append(pictures.keep(c, ".png"))) for c in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 40
    assert len(set(names)) == len(files(pictures)) == 5
    assert all(pictures.read(name) is not None for name in names)


@pytest.mark.parametrize(
    "name",
    ["", "x.png", "../../../etc/passwd", "a" * 64, "A" * 64 + ".png", "a" * 64 + ".png\n", "\0"],
)
def test_a_name_that_is_none_finds_nothing(pictures, name):
    pictures.keep(b"one", ".png")
    assert pictures.read(name) is None


@pytest.mark.parametrize("suffix", ["", "png", ".p/g", ".", "..", ".toolongsuffix", ".p\n"])
def test_a_suffix_that_is_none_is_refused(pictures, suffix):
    with pytest.raises(ParameterError, match="^suffix: expected one such as .png"):
        pictures.keep(b"one", suffix)


def test_a_picture_that_cannot_be_kept_is_said(tmp_path):
    (tmp_path / "pictures").write_text("a file is in the way")
    with pytest.raises(NotRecorded, match="pictures: expected to keep a picture, got: "):
        Pictures(tmp_path / "pictures").keep(b"one", ".png")


def aged(pictures, ages):
    """Keep a picture of ten bytes for each age in days, and return the names."""
    names = []
    for number, days in enumerate(ages):
        name = pictures.keep(bytes([number]) * 10, ".png")
        moment = time.time() - 86400 * days
        os.utime(pictures.folder / name[:2] / name[2:4] / name, (moment, moment))
        names.append(name)
    return names


def left(pictures, names):
    return [at for at, name in enumerate(names) if pictures.read(name) is not None]


def test_the_oldest_go_until_the_rest_fits(pictures):
    names = aged(pictures, [5, 1, 9, 3])
    gone = pictures.tidy(max_bytes=25)
    assert left(pictures, names) == [1, 3]
    assert (gone.pictures, gone.bytes) == (2, 20)
    assert gone.oldest_kept == pytest.approx(time.time() - 3 * 86400, abs=60)
    assert pictures.tidy(max_bytes=25).pictures == 0
    assert pictures.tidy(max_bytes=0).pictures == 2
    assert pictures.total() == 0


def test_pictures_go_at_an_age(pictures):
    names = aged(pictures, [5, 1, 9, 3])
    assert pictures.tidy(max_age_days=4).pictures == 2
    assert left(pictures, names) == [1, 3]
    assert pictures.tidy() == pictures.tidy(max_bytes=100, max_age_days=100)
    assert left(pictures, names) == [1, 3]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    ages=st.lists(st.integers(0, 20), max_size=6, unique=True),
    most=st.none() | st.integers(0, 70),
    oldest=st.none() | st.integers(1, 25),
)
def test_tidying_leaves_the_newest_that_fit(tmp_path_factory, ages, most, oldest):
    pictures = Pictures(tmp_path_factory.mktemp("pictures"))
    names = aged(pictures, ages)
    expected = sorted(ages)  # the newest first
    if oldest is not None:
        expected = [age for age in expected if age < oldest]
    if most is not None:
        expected = expected[: most // 10]
    gone = pictures.tidy(max_bytes=most, max_age_days=oldest)
    assert sorted(ages[at] for at in left(pictures, names)) == expected
    assert gone.pictures == len(ages) - len(expected)
    assert gone.bytes == 10 * gone.pictures
    assert pictures.total() == 10 * len(expected)


def test_a_picture_that_is_kept_again_is_new(pictures):
    names = aged(pictures, [5, 9])
    pictures.keep(bytes([1]) * 10, ".png")
    pictures.tidy(max_bytes=10)
    assert left(pictures, names) == [1]


def test_other_files_are_left_alone(pictures):
    name = pictures.keep(b"one", ".png")
    folder = pictures.folder / name[:2] / name[2:4]
    (folder / "notes.txt").write_text("mine")
    (pictures.folder / "mine.png").write_bytes(b"mine")
    assert pictures.total() == 3
    pictures.tidy(max_bytes=0)
    assert {path.name for path in files(pictures)} == {"mine.png", "notes.txt"}


def test_changed_pictures_are_found(pictures):
    for content in (b"one", b"two"):
        pictures.keep(content, ".png")
    assert list(changed_pictures(pictures)) == []
    path = files(pictures)[1]
    path.write_bytes(b"other")
    assert list(changed_pictures(pictures)) == [
        f"{path}: expected the picture of its name, got another content"
    ]


def test_a_service_has_a_name_that_stays(tmp_path):
    data = DataFolder(tmp_path / "data")
    data.make()
    name = data.instance()
    assert re.fullmatch(r"[A-Za-z0-9-]+-[0-9a-f]{8}", name)
    assert name.startswith(re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:40])
    assert DataFolder(tmp_path / "data").instance() == name
    other = DataFolder(tmp_path / "other")
    other.make()
    assert other.instance() != name
    assert data.url == f"sqlite+pysqlite:///{tmp_path}/data/records.sqlite"


def test_a_new_folder_is_for_its_owner_alone_and_an_old_one_stays_as_it_is(tmp_path):
    DataFolder(tmp_path / "a" / "data").make()
    assert (tmp_path / "a" / "data").stat().st_mode & 0o777 == 0o700
    (tmp_path / "b").mkdir(mode=0o755)
    DataFolder(tmp_path / "b").make()
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("content", [b"", b"a b", b"\xff", b"x" * 65])
def test_a_file_that_names_no_service_is_refused(tmp_path, content):
    (tmp_path / "instance").write_bytes(content)
    with pytest.raises(DataError, match="instance: expected"):
        DataFolder(tmp_path).instance()


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="expected a folder for records"):
        DataFolder(tmp_path / "file" / "data").make()
