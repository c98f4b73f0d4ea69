"""Which photographs are learned from what is given: a data set, a table, folders, a list."""

import numpy as np
import pytest

from patchbank.datasets import good_images, training_images
from patchbank.errors import DataError
from tests.fake_datasets import (
    BLACK,
    GREY,
    MARKED,
    kolektor,
    kolektor_2,
    loco,
    magnetic_tiles,
    masks,
    mvtec_category,
    photos,
    table,
    visa,
    write_table,
)
from tests.photographs import part, save


def learned(root):
    """Paths of the photographs to learn from, below the folder."""
    return [path.relative_to(root).as_posix() for path in good_images(root)]


def refused(root):
    with pytest.raises(DataError) as caught:
        good_images(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("train", "good", "test"),
    [
        ("train", "good", "test"),
        ("train", "ok", "test"),
        ("Train", "OK", "Test"),
        ("TRAIN", "Good", "TEST"),
        ("training", "normal", "testing"),
        ("train", "defect_free", "test_public"),
        ("train", "größe-ok", "test"),
    ],
)
def test_the_training_part_of_a_data_set_is_learned_however_it_is_spelt(
    tmp_path, train, good, test
):
    photos(tmp_path / train / good, "1.png", "2.png")
    photos(tmp_path / test / "good", "3.png")
    photos(tmp_path / test / "scratch", "4.png")
    masks(tmp_path / "ground_truth" / "scratch", "4_mask.png")
    if good == "größe-ok":  # says good among other words
        assert "expected one folder of good images" in refused(tmp_path)
    else:
        assert learned(tmp_path) == [f"{train}/{good}/1.png", f"{train}/{good}/2.png"]


def test_photographs_straight_in_train_are_learned(tmp_path):
    photos(tmp_path / "train", "1.png", "2.png")
    photos(tmp_path / "test" / "good", "3.png")
    photos(tmp_path / "test" / "bad", "4.png")
    assert learned(tmp_path) == ["train/1.png", "train/2.png"]
    assert training_images(tmp_path).lines == [
        "MVTec AD layout: 2 photographs of train were learned"
    ]


def test_defects_in_train_are_not_learned(tmp_path):
    mvtec_category(tmp_path / "a")
    photos(tmp_path / "a" / "train" / "bad", "9.png")
    assert learned(tmp_path / "a") == ["train/good/0.png", "train/good/1.png"]
    photos(tmp_path / "b" / "train", "1.png")
    photos(tmp_path / "b" / "train" / "NG", "9.png")
    photos(tmp_path / "b" / "test" / "good", "1.png")
    assert refused(tmp_path / "b") == (
        f"{tmp_path / 'b' / 'train'}: expected good images only, got defects in NG; "
        "give the good photographs in a folder of their own"
    )


def test_a_data_set_of_one_category_is_learned_from_deeper_folders(tmp_path):
    mvtec_category(tmp_path / "download" / "v2" / "bolt")
    assert learned(tmp_path) == [f"download/v2/bolt/train/good/{i}.png" for i in range(2)]
    photos(tmp_path / "download", "9.png")
    assert refused(tmp_path).endswith(
        f"got a data set bolt together with 9.png; give {tmp_path / 'download/v2/bolt'}"
    )


def test_of_several_categories_none_is_chosen(tmp_path):
    for root in (loco(tmp_path / "loco"), visa(tmp_path / "visa")):
        assert "expected one category, got 2 (" in refused(root)
    for name in ("bolt", "nut"):
        photos(tmp_path / "plain" / name / "good", "1.png")
        photos(tmp_path / "plain" / name / "dent", "2.png")
    assert refused(tmp_path / "plain") == (
        f"{tmp_path / 'plain'}: expected one category, got 2 (bolt, nut); give one"
    )
    assert "got 2 (bolt, nut); give one" in refused(table(tmp_path / "table"))


def test_each_known_data_set_gives_its_own_training_photographs(tmp_path):
    visa(tmp_path / "visa")
    assert learned(tmp_path / "visa" / "pcb1") == [f"Data/Images/Normal/{i}.JPG" for i in range(2)]
    assert learned(kolektor_2(tmp_path / "k2")) == [f"train/{i}.png" for i in (10000, 10001, 10003)]
    items = learned(kolektor(tmp_path / "k"))
    assert len(items) == 16  # two of three photographs of eight of ten items
    assert {name.split("/")[1] for name in items} == {"Part0.jpg", "Part2.jpg"}
    tiles = learned(magnetic_tiles(tmp_path / "tiles"))
    assert len(tiles) == 9
    assert all(name.startswith("MT_Free/Imgs/") and name.endswith(".jpg") for name in tiles)
    assert training_images(tmp_path / "k2").lines == [
        "KolektorSDD2 layout: 3 photographs of kolektorsdd2 were learned"
    ]


def test_a_table_gives_its_rows_for_training(tmp_path):
    rows = [["path", "label", "split"], ["2.png", "good", "train"], ["1.png", "ok", "train"]]
    photos(tmp_path, "1.png", "2.png", "3.png")
    path = write_table(tmp_path / "t.csv", [*rows, ["3.png", "dent", "test"]])
    assert good_images(path) == [tmp_path / "1.png", tmp_path / "2.png"]
    path = write_table(tmp_path / "t.csv", [rows[0], ["3.png", "dent", "test"]])
    assert refused(path) == f"{path}: expected rows of split train, got none"


@pytest.mark.parametrize(
    ("good", "bad"),
    [("good", "bad"), ("OK", "NG"), ("normal", "abnormal"), ("ok", "nok"), ("Gut", "Schlecht")],
)
def test_good_photographs_next_to_defects_are_named_at_any_depth(tmp_path, good, bad):
    photos(tmp_path / "lot" / "images" / good, "1.png")
    photos(tmp_path / "lot" / "images" / bad, "2.png")
    images = tmp_path / "lot" / "images"
    assert refused(tmp_path) == (
        f"{images}: expected good images only, got {good} together with {bad}; give {images / good}"
    )
    assert learned(images / good) == ["1.png"]


@pytest.mark.parametrize("bad", ["NG", "not_good", "Defects", "anomalies", "rejected", "不良"])
def test_photographs_next_to_a_folder_of_defects_are_not_learned_with_them(tmp_path, bad):
    photos(tmp_path, "1.png")
    photos(tmp_path / bad, "2.png")
    assert refused(tmp_path).endswith(
        f"got defects in {bad}; give the good photographs in a folder of their own"
    )
    (tmp_path / "1.png").unlink()
    photos(tmp_path / "monday", "1.png")
    assert refused(tmp_path).endswith(f"got defects in {bad}; give {tmp_path / 'monday'}")


def test_good_photographs_and_defects_told_apart_by_the_names_of_files_are_not_learned(tmp_path):
    for name in ("part_1_OK.png", "part_2_NG.png", "part_3_OK.png"):
        save(tmp_path / name, part(1))
    with pytest.raises(DataError, match=r"got part_1_OK\.png together with part_2_NG\.png; give"):
        good_images(tmp_path)
    (tmp_path / "part_2_NG.png").unlink()
    assert len(good_images(tmp_path)) == 2


def test_names_that_could_mean_either_are_not_guessed(tmp_path):
    photos(tmp_path / "positive", "1.png")
    photos(tmp_path / "negative", "2.png")
    assert "got positive together with negative; give the folder of the good" in refused(tmp_path)
    photos(tmp_path / "classes" / "0", "1.png")
    photos(tmp_path / "classes" / "1", "2.png")
    assert "got 0 together with 1; give the folder of the good" in refused(tmp_path / "classes")
    photos(tmp_path / "classes" / "2", "3.png")  # cameras
    assert learned(tmp_path / "classes") == ["0/1.png", "1/2.png", "2/3.png"]


def test_the_test_part_alone_is_not_learned(tmp_path):
    mvtec_category(tmp_path)
    (tmp_path / "train").rename(tmp_path / ".train")
    assert "got test without a folder train" in refused(tmp_path)
    photos(tmp_path / "lots" / "a" / "b" / "c" / "d" / "train", "1.png")
    photos(tmp_path / "lots" / "a" / "b" / "c" / "d" / "test", "2.png")
    assert "got train together with test" in refused(tmp_path / "lots")


def test_folders_by_date_or_camera_are_learned_whole(tmp_path):
    listed = ["2024-05/1.png", "2024-06/cam 1/2.png", "2024-06/cam 2/3.png", "4.png", "Größe/5.png"]
    photos(tmp_path, *listed)
    assert learned(tmp_path) == sorted(listed)
    assert training_images(tmp_path).lines == []


def test_masks_are_not_learned_and_a_line_says_so(tmp_path):
    for i in range(3):
        save(tmp_path / "lot" / f"{i}.png", part(i))
        save(tmp_path / "lot_mask" / f"{i}.png", BLACK)
    assert learned(tmp_path) == [f"lot/{i}.png" for i in range(3)]
    assert training_images(tmp_path).lines == ["3 masks are not learned (lot_mask)"]


@pytest.mark.parametrize("mask", ["1_mask.png", "masks/1.png", "GT/1_gt.png", "1.bmp"])
def test_a_photograph_whose_mask_shows_a_defect_is_not_good(tmp_path, mask):
    save(tmp_path / "1.png", part(0))
    save(tmp_path / mask, MARKED)
    assert refused(tmp_path) == (
        f"{tmp_path / '1.png'}: expected good images only, got one whose mask "
        f"{mask.split('/')[-1]} shows a defect; give the folder of the good ones, without masks"
    )
    save(tmp_path / mask, BLACK)
    assert learned(tmp_path) == ["1.png"]


@pytest.mark.parametrize(
    ("photograph", "mask"),
    [
        ("images/a/1.png", "masks/a/1.png"),
        ("lot/1.png", "lot_mask/1_mask.png"),
        ("x/lot/1.jpg", "x/GT/1.png"),
        ("lot/1.2.png", "lot/1.2_mask.png"),
    ],
)
def test_so_it_is_if_the_mask_lies_in_a_folder_next_to_that_of_the_photograph(
    tmp_path, photograph, mask
):
    save(tmp_path / photograph, part(0))
    save(tmp_path / mask, MARKED)
    assert f"got one whose mask {mask.split('/')[-1]} shows a defect" in refused(tmp_path)
    save(tmp_path / mask, BLACK)
    assert learned(tmp_path) == [photograph]


def test_masks_of_defects_lie_next_to_good_photographs_of_the_same_numbers(tmp_path):
    save(tmp_path / "good" / "1.png", part(0))
    save(tmp_path / "ground_truth" / "scratch" / "1.png", MARKED)
    assert learned(tmp_path) == ["good/1.png"]


def test_several_folders_are_learned_together(tmp_path):
    mvtec_category(tmp_path / "a")
    photos(tmp_path / "b", "1.png")
    (tmp_path / "b" / "n.mov").write_bytes(b"film")
    found = training_images([tmp_path / "a", str(tmp_path / "b"), GREY])
    *paths, array = found.images
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        *("a/train/good/0.png", "a/train/good/1.png", "b/1.png")
    ]
    np.testing.assert_array_equal(array, GREY)
    assert found.lines == [
        f"{tmp_path / 'a'}: MVTec AD layout: 2 photographs of train/good were learned",
        "1 file not read: n.mov",
    ]
    photos(tmp_path / "c" / "good", "1.png")
    photos(tmp_path / "c" / "NG", "2.png")
    assert "got good together with NG" in refused([tmp_path / "b", tmp_path / "c"])


def test_masks_among_files_that_are_given_one_by_one_are_refused(tmp_path):
    """`fit parts/*.png` gives all of them."""
    for i in range(2):
        save(tmp_path / f"{i}.png", part(i))
    save(tmp_path / "0_mask.png", BLACK)
    assert refused(sorted(tmp_path.iterdir())) == (
        f"{tmp_path / '0_mask.png'}: expected good images only, got a mask; leave out 0_mask.png, "
        "or give the folder"
    )
    assert good_images([tmp_path / "1.png", tmp_path / "0.png"]) == [
        *(tmp_path / "1.png", tmp_path / "0.png")
    ]


def test_files_that_are_not_read_are_logged_for_python_users(tmp_path, caplog):
    photos(tmp_path, "1.png")
    (tmp_path / "n.mov").write_bytes(b"film")
    assert good_images(tmp_path) == [tmp_path / "1.png"]
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "1 file not read: n.mov")
    ]
