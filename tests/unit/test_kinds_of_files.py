"""Which files of a folder are photographs, which are masks, and which are of other kinds."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from patchbank.errors import DataError
from patchbank.images.folders import find_images, not_read_line, scan_folder
from tests.fake_datasets import BLACK, MARKED
from tests.photographs import part, save


def names(found, paths):
    return [path.relative_to(found.folder).as_posix() for path in paths]


def masks_of(root):
    found = find_images(root)
    return names(found, found.masks)


def as_file(path, kind, array=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(part(0) if array is None else array).save(path, format=kind)
    return path


def test_a_photograph_without_a_known_ending_is_found_by_its_first_bytes(tmp_path):
    kinds = {"a": "PNG", "b.scan": "JPEG", "c.2024": "TIFF", "d.data": "BMP", "e.x": "WEBP"}
    for name, kind in kinds.items():
        as_file(tmp_path / name, kind)
    found = find_images(tmp_path)
    assert names(found, found.images) == sorted(kinds)
    assert found.not_read == ()


def test_files_that_could_be_photographs_are_counted_and_others_are_not(tmp_path):
    save(tmp_path / "1.png", part(0))
    pictures = ["film.mov", "raw.NEF", "scan.pdf", "draw.svg", "deep.exr", "raw.dng"]
    others = ["README", "README.txt", "labels.csv", "a.json", "Thumbs.db", "desktop.ini", "x.py"]
    for name in (*pictures, *others):
        (tmp_path / name).write_bytes(b"anything")
    (tmp_path / "raw.NEF").write_bytes(b"II*\0 as a TIFF")
    (tmp_path / "README").write_text("BM is no bitmap; P5 is no map")
    found = find_images(tmp_path)
    assert names(found, found.images) == ["1.png"]
    assert names(found, found.not_read) == sorted(pictures)


def test_text_that_begins_like_a_bitmap_is_text(tmp_path):
    save(tmp_path / "1.png", part(0))
    (tmp_path / "notes").write_text("BMW bolts, P5 2 of 3 lots\n" * 9)
    (tmp_path / "list").write_text("P5 is a lot\n" * 9)
    found = find_images(tmp_path)
    assert names(found, (*found.images, *found.not_read)) == ["1.png"]


def test_an_unknown_kind_with_a_known_beginning_is_named(tmp_path):
    save(tmp_path / "1.png", part(0))
    (tmp_path / "phone").write_bytes(b"\0\0\0\x18ftypmsf1" + bytes(99))
    (tmp_path / "layers").write_bytes(b"8BPS\0\1" + bytes(99))
    (tmp_path / "sky").write_bytes(b"SIMPLE  =                    T" + bytes(99))
    found = find_images(tmp_path)
    assert names(found, found.not_read) == ["layers", "sky"]
    assert names(found, found.images) == ["1.png", "phone"]


def test_pipes_are_not_opened_to_find_out(tmp_path):
    save(tmp_path / "1.png", part(0))
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    assert names(find_images(tmp_path), find_images(tmp_path).images) == ["1.png"]


def test_what_systems_leave_behind_is_no_data(tmp_path):
    left = [
        *("@eaDir/1.png/SYNOPHOTO_THUMB_XL.jpg", "#recycle/2.png", "$RECYCLE.BIN/$R1.png"),
        *("System Volume Information/3.png", ".Trash-1000/files/4.png", "__MACOSX/._5.png"),
        *("._6.png", ".thumbnails/7.png", "lost+found/8.png", "a/.ipynb_checkpoints/9.png"),
        *("~$10.png", "11.png.part", "12.png.crdownload", "13.jpg~"),
    ]
    for name in ("a/1.png", *left):
        as_file(tmp_path / name, "PNG")
    found = find_images(tmp_path)
    assert names(found, found.images) == ["a/1.png"]
    assert found.masks == found.not_read == ()


def test_a_folder_that_is_given_may_have_any_name(tmp_path):
    save(tmp_path / ".hidden" / "@eaDir" / "1.png", part(0))
    assert len(find_images(tmp_path / ".hidden" / "@eaDir").images) == 1


def test_folders_may_be_deeper_than_python_calls(tmp_path, monkeypatch):
    depth = sys.getrecursionlimit() + 100
    monkeypatch.chdir(tmp_path)
    try:
        for _ in range(depth):
            os.mkdir("d")
            os.chdir("d")
        Image.fromarray(part(0)).save("1.png")
        (found,) = find_images(tmp_path).images
        assert len(found.relative_to(tmp_path).parts) == depth + 1
    finally:
        os.chdir(tmp_path)
        # pytest removes the folders of earlier sessions by a function that calls itself.
        subprocess.run(["rm", "-rf", "d"], check=True)


def test_a_folder_of_other_kinds_alone_says_which(tmp_path):
    for name in ("1.mov", "2.pdf"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=r"at least one image .*, got 2 files not read: 1.mov, 2.p"):
        find_images(tmp_path)


def test_many_files_are_counted_by_their_endings(tmp_path):
    paths = [tmp_path / f"{i}{end}" for i in range(4) for end in (".HEIC", ".heic", "")]
    assert not_read_line(paths) == "12 files not read: 8 .heic, 4 without an ending"
    assert not_read_line(paths[:1]) == "1 file not read: 0.HEIC"


@pytest.mark.parametrize(
    "mask",
    ["mask/1.png", "GT/a/1.png", "labels/1.png", "a_mask/1.png", "a/1_mask.png", "a/1_GT.PNG"],
)
def test_masks_are_no_photographs(tmp_path, mask):
    save(tmp_path / "a" / "1.png", part(0))
    as_file(tmp_path / mask, "PNG", MARKED)
    found = find_images(tmp_path)
    assert names(found, found.images) == ["a/1.png"]
    assert names(found, found.masks) == [mask]
    assert found.doubtful == ()


def test_a_mask_may_have_the_name_of_its_photograph_with_another_ending(tmp_path):
    for name in ("1", "2"):
        save(tmp_path / f"{name}.jpg", part(0))
        save(tmp_path / f"{name}.png", BLACK if name == "1" else MARKED)
    found = find_images(tmp_path)
    assert names(found, found.images) == ["1.jpg", "2.jpg"]
    assert names(found, found.masks) == ["1.png", "2.png"]


def test_two_photographs_of_one_name_are_two_photographs(tmp_path):
    for seed, name in enumerate(("1.jpg", "1.png", "2.jpg", "2.png")):
        save(tmp_path / name, part(seed))
    assert len(find_images(tmp_path).images) == 4


def test_masks_in_jpeg_have_edges_and_are_masks(tmp_path):
    large = np.kron(MARKED, np.ones((12, 12), np.uint8))
    save(tmp_path / "a" / "1.jpg", part(0))
    save(tmp_path / "masks" / "1.jpg", large)
    assert len(np.unique(np.asarray(Image.open(tmp_path / "masks" / "1.jpg")))) > 8
    assert masks_of(tmp_path) == ["masks/1.jpg"]


@pytest.mark.parametrize(
    "values",
    [
        MARKED // 255,
        MARKED > 0,
        MARKED.astype(np.uint16) * 257,
        np.stack([MARKED, BLACK, BLACK], 2),
    ],
    ids=["zero and one", "one bit", "16 bits", "red"],
)
def test_masks_of_any_depth_are_masks(tmp_path, values):
    save(tmp_path / "a" / "1.png", part(0))
    save(tmp_path / "label" / "1.png", values)
    assert masks_of(tmp_path) == ["label/1.png"]


def test_photographs_in_a_folder_named_like_masks_are_doubtful(tmp_path):
    """Labels and masks are parts, too."""
    for i in range(4):
        save(tmp_path / "labels" / f"{i}.png", part(i))
        save(tmp_path / "masks" / f"{i}.png", part(i))
        save(tmp_path / "mask_holder" / f"{i}.png", part(i))
    found = find_images(tmp_path)
    assert len(found.images) == 12
    assert names(found, found.doubtful) == ["labels", "masks"]
    with pytest.raises(DataError, match="labels: expected masks in a folder of this name, got ph"):
        found.settled()


def test_a_sure_name_means_masks_whatever_they_show(tmp_path):
    save(tmp_path / "a" / "1.png", part(0))
    save(tmp_path / "ground_truth" / "1.png", part(1))  # soft masks have many grey levels
    found = find_images(tmp_path).settled()
    assert names(found, found.images) == ["a/1.png"]
    assert names(found, found.masks) == ["ground_truth/1.png"]
    assert found.mask_notes("learned") == ["1 mask is not learned (ground_truth)"]


def test_an_empty_folder_can_be_scanned(tmp_path):
    assert scan_folder(tmp_path).images == ()
