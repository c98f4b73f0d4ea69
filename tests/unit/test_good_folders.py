"""Which photographs of a folder are listed, and which of them are learned."""

import numpy as np
import pytest

from patchbank.datasets import good_images
from patchbank.errors import DataError
from patchbank.images.folders import find_images, list_images
from patchbank.images.formats import SUFFIXES
from tests.photographs import part, save

KINDS = ", ".join(sorted(SUFFIXES))


def files(root, *names):
    """Make files with these names; nothing is read, so they are empty."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names(root, found):
    return [path.relative_to(root).as_posix() for path in found]


def test_every_kind_of_photograph_is_found_in_any_case(tmp_path):
    listed = ["1.bmp", "2.jpeg", "3.JPG", "4.Png", "5.tif", "6.TIFF", "7.webp", "8.gif"]
    files(tmp_path, *listed, "9.txt", "png", "x.png.bak")
    assert names(tmp_path, find_images(tmp_path).images) == listed


def test_the_order_is_that_of_whole_paths(tmp_path):
    files(tmp_path, "b.png", "a/z.png", "a.png", "c/a.png", "a/b/c.png")
    found = find_images(tmp_path).images
    assert list(found) == sorted(found)
    assert names(tmp_path, found) == ["a/b/c.png", "a/z.png", "a.png", "b.png", "c/a.png"]


def test_links_to_folders_elsewhere_are_followed(tmp_path):
    files(tmp_path / "far", "1.png")
    files(tmp_path / "near", "2.png")
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far", target_is_directory=True)
    assert names(tmp_path / "near", find_images(tmp_path / "near").images) == [
        "2.png",
        "link/1.png",
    ]


def test_a_folder_without_photographs_is_answered_with_the_kinds(tmp_path):
    files(tmp_path, "notes.txt", ".1.png", ".git/2.png")
    with pytest.raises(DataError) as caught:
        find_images(tmp_path)
    assert str(caught.value) == f"{tmp_path}: expected at least one image ({KINDS}), got none"


def test_a_path_that_is_not_there_is_named(tmp_path):
    for listing in (find_images, list_images, good_images):
        with pytest.raises(DataError) as caught:
            listing(tmp_path / "no.png")
        assert str(caught.value) == (
            f"{tmp_path / 'no.png'}: expected a folder or an image, got nothing of that name"
        )


@pytest.mark.parametrize("goal", ["gone.png", "2.png"])
def test_a_broken_link_is_a_photograph_that_cannot_be_read(tmp_path, goal):
    files(tmp_path, "1.png")
    (tmp_path / "2.png").symlink_to(tmp_path / goal)
    both = [tmp_path / "1.png", tmp_path / "2.png"]
    assert list(find_images(tmp_path).images) == both
    assert list_images(both[1]) == both[1:]
    assert good_images(both) == both


def test_a_given_file_is_listed_whatever_its_name(tmp_path):
    files(tmp_path, "camera.raw")
    assert list_images(tmp_path / "camera.raw") == [tmp_path / "camera.raw"]
    assert list_images(str(tmp_path / "camera.raw")) == [tmp_path / "camera.raw"]


def test_lists_within_lists_and_iterators_keep_their_order(tmp_path):
    files(tmp_path, "b/2.png", "b/1.png", "a.png")
    array = part(0)
    given = iter([tmp_path / "b", [array, str(tmp_path / "a.png")]])
    first, second, third, fourth = list_images(given)
    assert (first, second) == (tmp_path / "b" / "1.png", tmp_path / "b" / "2.png")
    assert third is array
    assert fourth == tmp_path / "a.png"


def test_no_photographs_are_an_empty_list():
    assert list_images([]) == good_images([]) == []


def test_the_photographs_to_learn_from_are_in_train_good(tmp_path):
    files(tmp_path, "train/good/1.png", "train/bad/2.png", "test/good/3.png", "4.png")
    assert names(tmp_path, good_images(tmp_path)) == ["train/good/1.png"]
    assert names(tmp_path, good_images(str(tmp_path))) == ["train/good/1.png"]


def test_a_folder_named_train_without_good_in_it_is_like_any_other(tmp_path):
    files(tmp_path, "train/1.png", "2.png")
    assert names(tmp_path, good_images(tmp_path)) == ["2.png", "train/1.png"]


@pytest.mark.parametrize("good", ["good", "OK", "Normal"])
def test_good_photographs_beside_others_are_not_guessed(tmp_path, good):
    files(tmp_path, f"{good}/1.png", "scratch/2.png", "dent/3.png")
    with pytest.raises(DataError) as caught:
        good_images(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: expected good images only, got {good} together with dent, scratch; "
        f"give {tmp_path / good}"
    )


def test_of_several_good_folders_beside_others_the_first_is_proposed(tmp_path):
    files(tmp_path, "ok/1.png", "good/2.png", "scratch/3.png")
    with pytest.raises(
        DataError, match=f"got good together with scratch; give {tmp_path / 'good'}$"
    ):
        good_images(tmp_path)


def test_good_folders_alone_are_learned_with_all_that_lies_beside_them(tmp_path):
    files(tmp_path, "good/1.png", "ok/2.png", "3.png", ".cache/4.png")
    assert names(tmp_path, good_images(tmp_path)) == ["3.png", "good/1.png", "ok/2.png"]


def test_folders_of_other_names_are_all_learned(tmp_path):
    files(tmp_path, "monday/1.png", "tuesday/2.png")
    assert names(tmp_path, good_images(tmp_path)) == ["monday/1.png", "tuesday/2.png"]


def test_one_file_or_array_is_learned_as_it_is(tmp_path):
    path = save(tmp_path / "scratch" / "1.png", part(0))
    assert good_images(path) == [path]
    (array,) = good_images(part(1))
    np.testing.assert_array_equal(array, part(1))
