"""Which files are photographs, which are good, and what they show."""

import pytest

from patchbank.datasets import find_dataset, good_images
from patchbank.errors import DataError
from patchbank.images.folders import find_images, list_images
from tests.fake_datasets import (
    kolektor,
    kolektor_2,
    loco,
    magnetic_tiles,
    mvtec_category,
    table,
    visa,
)
from tests.photographs import part, save, write_dataset


def test_folders_are_searched_through_in_order(tmp_path):
    for name in ("b/2.PNG", "a/1.jpg", "b/c/3.bmp", "0.webp"):
        save(tmp_path / name, part(0))
    (tmp_path / "notes.txt").write_text("no image")
    save(tmp_path / ".hidden" / "4.png", part(0))
    save(tmp_path / "._5.png", part(0))
    found = [p.relative_to(tmp_path).as_posix() for p in find_images(tmp_path).images]
    assert found == ["0.webp", "a/1.jpg", "b/2.PNG", "b/c/3.bmp"]


def test_a_link_back_is_not_followed_twice(tmp_path):
    save(tmp_path / "a" / "1.png", part(0))
    (tmp_path / "a" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(find_images(tmp_path).images) == 1


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    save(tmp_path / "1.png", part(0))

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        find_images(tmp_path)


def test_a_folder_without_images_and_no_folder_are_named(tmp_path):
    with pytest.raises(DataError, match="at least one image .* got none"):
        find_images(tmp_path)
    with pytest.raises(DataError, match="nothing of that name"):
        find_images(tmp_path / "nowhere")


def test_lists_may_mix_folders_paths_and_arrays(tmp_path):
    one, two = save(tmp_path / "f" / "1.png", part(0)), save(tmp_path / "2.png", part(1))
    array = part(2)
    listed = list_images([tmp_path / "f", str(two), array])
    assert listed[:2] == [one, two]
    assert listed[2] is array
    assert list_images(array) == [array]


def test_of_a_data_set_the_good_training_images_are_learned(tmp_path):
    write_dataset(tmp_path, n_train=3)
    assert [p.parent.name for p in good_images(tmp_path)] == ["good"] * 3
    assert len(good_images(tmp_path / "train")) == 3


def test_defects_beside_the_good_are_not_learned_by_mistake(tmp_path):
    for folder in ("OK", "scratch"):
        save(tmp_path / folder / "1.png", part(0))
    with pytest.raises(DataError, match="got OK together with scratch; give .*OK"):
        good_images(tmp_path)


def test_a_data_set_in_mvtec_layout(tmp_path):
    dataset = find_dataset(write_dataset(tmp_path / "plates"))
    assert dataset.name == "plates"
    assert [s.label for s in dataset.samples] == ["blot"] * 4 + ["good"] * 4
    assert dataset.has_masks
    assert dataset.samples[2].mask.name == "002_mask.png"
    assert not dataset.samples[-1].is_defect


def test_a_data_set_without_masks(tmp_path):
    assert not find_dataset(write_dataset(tmp_path, masks=False)).has_masks


def test_plain_folders_are_a_data_set(tmp_path):
    for folder in ("normal", "dent"):
        save(tmp_path / folder / "1.png", part(0))
    assert {s.label for s in find_dataset(tmp_path).samples} == {"good", "dent"}
    assert find_dataset(str(tmp_path)) == find_dataset(tmp_path)


@pytest.mark.parametrize("folders", [("good",), ("dent",), ()])
def test_a_data_set_needs_good_and_defect_images(tmp_path, folders):
    for folder in folders:
        save(tmp_path / folder / "1.png", part(0))
    with pytest.raises(DataError, match="and at least one of defects, got"):
        find_dataset(tmp_path)


def test_one_category_of_every_layout_can_be_evaluated_on(tmp_path):
    mvtec_category(tmp_path / "btad" / "01", good="ok", bad="ko")
    mvtec_category(
        tmp_path / "ad2" / "can", test="test_public", truth="test_public/ground_truth", bad="bad"
    )
    loco(tmp_path / "loco")
    visa(tmp_path / "visa")
    for root, name, n_good, n_defect in (
        (tmp_path / "btad" / "01", "01", 1, 2),
        (tmp_path / "ad2" / "can", "can", 1, 2),
        (tmp_path / "loco" / "pushpins", "pushpins", 1, 3),
        (tmp_path / "visa" / "pcb1", "pcb1", 1, 1),
        (kolektor(tmp_path / "kolektor"), "kolektorsdd", 4, 10),
        (kolektor_2(tmp_path / "kolektor2"), "kolektorsdd2", 3, 1),
        (magnetic_tiles(tmp_path / "tiles"), "magnetic_tiles", 3, 2),
    ):
        dataset = find_dataset(root)
        defects = [s for s in dataset.samples if s.is_defect]
        assert (dataset.name, len(defects)) == (name, n_defect)
        assert len(dataset.samples) == n_good + n_defect
        assert dataset.has_masks


def test_several_categories_cannot_be_evaluated_on_at_once(tmp_path):
    for root in (loco(tmp_path / "loco"), visa(tmp_path / "visa")):
        with pytest.raises(DataError, match=r"expected one category, got 2 \(.*, .*\); give one"):
            find_dataset(root)
    for name in ("bolt", "nut"):
        write_dataset(tmp_path / "own" / name)
    with pytest.raises(DataError, match=r"expected one category, got 2 \(bolt, nut\)"):
        find_dataset(tmp_path / "own")
    with pytest.raises(DataError, match="4 of bolt, nut; give a table of one"):
        find_dataset(table(tmp_path / "table"))


def test_neither_a_missing_folder_nor_a_file_is_a_data_set(tmp_path):
    with pytest.raises(DataError, match="the folder of a data set, got nothing of that name"):
        find_dataset(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("no table")
    with pytest.raises(DataError, match=r"or a .csv or .parquet table, got a file"):
        find_dataset(tmp_path / "notes.txt")
