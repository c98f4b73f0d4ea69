"""Files of a watched folder: which are listed, which are whole, and how they are moved."""

import errno
import io
import os
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from patchbank.server.sources.files import (
    AnotherFile,
    FileState,
    files_below,
    is_picture,
    is_whole,
    move,
    read_settled,
    state_of,
)

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "PPM")


def content_of(kind, size=(61, 83), **options):
    values = np.random.default_rng(7).integers(0, 256, (*size, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, kind, **options)
    return stream.getvalue()


CONTENTS = {kind: content_of(kind) for kind in FORMATS}
LARGE_JPEG = content_of("JPEG", (400, 700), quality=98)


def with_thumbnail():
    """A JPEG file whose EXIF data hold a smaller one, with an end of its own."""
    exif = Image.Exif()
    exif[0x010E] = "x"
    head = content_of("JPEG", (40, 60))
    block = b"Exif\0\0" + exif.tobytes()[6:] + head
    plain = content_of("JPEG", (300, 500), quality=60)
    segment = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    return plain[:2] + segment + plain[2:], 2 + len(segment)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_whole_file_of_each_format_is_whole(kind):
    assert is_whole(f"a.{kind}", CONTENTS[kind])


@given(st.sampled_from(FORMATS), st.floats(0, 0.95))
@settings(max_examples=60, deadline=None)
def test_a_file_that_is_cut_anywhere_is_not_whole(kind, share):
    content = CONTENTS[kind]
    assert not is_whole(f"a.{kind}", content[: int(share * len(content))])


@given(st.sampled_from(("PNG", "JPEG")), st.floats(0, 0.95))
@settings(max_examples=40, deadline=None)
def test_a_file_whose_end_is_reserved_and_zero_is_not_whole(kind, share):
    content = CONTENTS[kind]
    written = int(share * len(content))
    assert not is_whole(f"a.{kind}", content[:written] + bytes(len(content) - written))


@given(st.floats(0, 0.98))
@settings(max_examples=30, deadline=None)
def test_a_large_jpeg_is_known_by_its_end_without_decoding_it(share):
    assert is_whole("a.jpg", LARGE_JPEG)
    assert is_whole("a.jpg", LARGE_JPEG + b"camera 7\0" * 40)  # some add a few bytes
    written = int(share * len(LARGE_JPEG))
    assert not is_whole("a.jpg", LARGE_JPEG[:written] + bytes(len(LARGE_JPEG) - written))


def test_the_end_of_a_thumbnail_is_not_that_of_the_file():
    content, thumbnail_end = with_thumbnail()
    assert is_whole("a.jpg", content)
    assert b"\xff\xd9" in content[:thumbnail_end]
    for rest in (b"", bytes(len(content) - thumbnail_end)):
        assert not is_whole("a.jpg", content[:thumbnail_end] + rest)
        assert not is_whole("a.jpg", content[: thumbnail_end + 200] + rest[200:])


def test_hidden_and_unfinished_files_are_not_listed_and_links_to_folders_not_entered(tmp_path):
    folder, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    for parent in (folder / "a" / "b", folder / "done", folder / ".git", elsewhere):
        parent.mkdir(parents=True)
    for path in (
        *("1.png", "a/2.png", "a/b/3.png", "done/4.png", ".5.png", "6.png.part", ".git/7.png"),
        *("~$8.png", "notes.txt"),
    ):
        (folder / path).write_bytes(b"123")
    (elsewhere / "9.png").write_bytes(b"1234")
    (folder / "link").symlink_to(elsewhere)
    (folder / "10.png").symlink_to(elsewhere / "9.png")
    (folder / "11.png").symlink_to(folder / "11.png")
    found = dict(files_below(folder, {folder / "done"}))
    unread = {"11.png", "link"}  # they are not passed over in silence
    assert found.keys() == {"1.png", "10.png", "a/2.png", "a/b/3.png", "notes.txt", *unread}
    assert found["10.png"].size == 4
    assert found["1.png"] == state_of(folder / "1.png")


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "1.png")
    assert dict(files_below(tmp_path, ())) == {}


def test_a_folder_that_is_not_there_is_an_error_and_not_empty(tmp_path):
    with pytest.raises(FileNotFoundError):
        dict(files_below(tmp_path / "none", ()))


def test_a_file_that_changed_is_not_read(tmp_path):
    path = tmp_path / "1.png"
    path.write_bytes(b"123")
    state = state_of(path)
    assert read_settled(path, state) == b"123"
    assert read_settled(path, FileState(3, state.mtime_ns - 1)) is None
    path.write_bytes(b"1234")
    assert read_settled(path, state) is None


def test_what_a_file_is_is_known_by_its_name_or_its_beginning(tmp_path):
    for name, content, expected in (
        ("a.png", b"", True),
        ("b", CONTENTS["PNG"], True),
        ("c.dat", CONTENTS["TIFF"], True),
        ("d.txt", CONTENTS["PNG"], False),
        ("e.avi", b"RIFF", False),
    ):
        (tmp_path / name).write_bytes(content)
        assert is_picture(tmp_path / name) is expected, name
    assert not is_picture(tmp_path / "none")


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "in" / "1.png"
    path.parent.mkdir()
    path.write_bytes(b"first")
    return path


def test_a_moved_file_keeps_its_content_and_none_that_is_there_is_replaced(photograph, tmp_path):
    target = tmp_path / "done" / "deep" / "1.png"
    for content in (b"first", b"second", b"third"):
        photograph.write_bytes(content)
        move(photograph, target, state_of(photograph))
        assert not photograph.exists()
    found = {path.name: path.read_bytes() for path in target.parent.iterdir()}
    assert found == {"1.png": b"first", "1-2.png": b"second", "1-3.png": b"third"}


def test_a_file_in_another_state_stays_where_it_is(photograph, tmp_path):
    state = state_of(photograph)
    photograph.write_bytes(b"another one")
    with pytest.raises(AnotherFile):
        move(photograph, tmp_path / "done" / "1.png", state)
    assert photograph.read_bytes() == b"another one"
    assert list((tmp_path / "done").iterdir()) == []


def test_a_file_that_is_replaced_in_the_moment_of_the_move_is_put_back(
    photograph, tmp_path, monkeypatch
):
    state, real = state_of(photograph), os.rename

    def replaced_before(source, target):
        monkeypatch.undo()
        photograph.write_bytes(b"another one")
        real(source, target)

    monkeypatch.setattr(os, "rename", replaced_before)
    with pytest.raises(AnotherFile):
        move(photograph, tmp_path / "done" / "1.png", state)
    assert photograph.read_bytes() == b"another one"


def test_a_file_goes_to_another_disk_as_a_copy(photograph, tmp_path, monkeypatch):
    def other_disk(source, target):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    state = state_of(photograph)
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.rename", other_disk)
        move(photograph, tmp_path / "done" / "1.png", state)
    assert (tmp_path / "done" / "1.png").read_bytes() == b"first"
    assert not photograph.exists()


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no second disk here")
def test_a_file_goes_to_a_real_other_disk(photograph, tmp_path):
    other = f"/dev/shm/patchbank-{os.getpid()}"
    os.mkdir(other)
    try:
        if os.stat(other).st_dev == os.stat(tmp_path).st_dev:
            pytest.skip("no second disk here")
        from pathlib import Path

        move(photograph, Path(other) / "1.png", state_of(photograph))
        assert (Path(other) / "1.png").read_bytes() == b"first"
        assert not photograph.exists()
    finally:
        shutil.rmtree(other)
