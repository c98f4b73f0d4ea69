"""Data sets of the field, recognised by how they lie on disk; tiny copies stand for them."""

import random
from hashlib import sha256
from pathlib import Path

import pytest

from patchbank.datasets import GOOD, dataset_names, find_categories, find_dataset
from patchbank.datasets.base import split_good
from patchbank.datasets.registry import LAYOUTS
from patchbank.errors import DataError, ImageError, ParameterError
from patchbank.images.masks import read_mask
from tests.fake_datasets import (
    BLACK,
    MARKED,
    SIZE,
    by_label,
    kolektor,
    kolektor_2,
    loco,
    magnetic_tiles,
    masks,
    mvtec_category,
    names,
    photos,
    visa,
)
from tests.photographs import save

DOCS = Path(__file__).resolve().parents[2] / "docs" / "datasets.md"


def check_masks(category):
    """Every mask is that of a defect, can be read, and has the size of its photograph."""
    for sample in category.test.samples:
        assert (sample.mask is None) == (not sample.is_defect)
        if sample.mask:
            assert (read_mask(sample.mask, SIZE) == (MARKED > 0)).all()


# What each layout gives


@pytest.mark.parametrize(
    ("dataset", "categories", "options"),
    [
        ("MVTec AD", ("bottle", "zipper"), {}),
        ("MVTec AD 2", ("can", "rice"), {"test": "test_public", "bad": "bad"}),
        ("VisA", ("candle", "pcb1"), {"bad": "bad"}),
        ("BTAD", ("01", "03"), {"good": "ok", "bad": "ko"}),
        ("MPDD", ("connector", "tubes"), {}),
    ],
)
def test_sets_in_the_layout_of_mvtec_ad_are_recognised_by_their_categories(
    tmp_path, dataset, categories, options
):
    truth = "test_public/ground_truth" if dataset == "MVTec AD 2" else "ground_truth"
    for name in reversed(categories):
        mvtec_category(tmp_path / name, truth=truth, **options)
        photos(tmp_path / name / "validation" / "good", "9.png")
        photos(tmp_path / name / "test_private", "9.png")
    (tmp_path / "license.txt").write_text("a licence")

    found = find_categories(tmp_path)

    assert [c.name for c in found] == list(categories)
    for category in found:
        assert category.dataset == dataset
        assert names(category.train) == ["0.png", "1.png"]
        bad = options.get("bad", "crack")
        assert by_label(category) == {GOOD: ["0.png"], bad: ["0.png", "1.png"]}
        assert category.test.name == category.name
        assert category.shortfall.startswith(f"{dataset} {category.name}: expected ")
        check_masks(category)


def test_masks_of_loco_are_folders_and_its_validation_images_are_not_learned_from(tmp_path):
    box, pins = find_categories(loco(tmp_path))
    assert (box.dataset, box.name, pins.name) == ("MVTec LOCO AD", "breakfast_box", "pushpins")
    assert names(box.train) == ["0.png", "1.png"]
    assert by_label(box)["logical_anomalies"] == ["0.png"]
    logical = next(s for s in box.test.samples if s.label == "logical_anomalies")
    assert logical.mask == tmp_path / "breakfast_box" / "ground_truth" / "logical_anomalies" / "0"
    assert box.test.has_masks
    check_masks(box)


def test_visa_is_divided_as_the_table_of_its_authors_says(tmp_path):
    candle, pcb = find_categories(visa(tmp_path))
    assert (candle.dataset, candle.name, pcb.name) == ("VisA", "candle", "pcb1")
    assert names(candle.train) == ["0.JPG", "1.JPG"]
    assert by_label(candle) == {GOOD: ["2.JPG"], "anomaly": ["0.JPG"]}
    check_masks(candle)
    assert candle.shortfall.endswith(
        "expected 900 train and 200 test images, got 2 and 2; copy it again"
    )


def test_objects_of_visa_that_are_not_there_are_passed_over_but_missing_images_are_named(tmp_path):
    visa(tmp_path, objects=("candle", "pcb1", "fryum"))
    (tmp_path / "fryum").rename(tmp_path / "elsewhere")
    assert [c.name for c in find_categories(tmp_path)] == ["candle", "pcb1"]
    (tmp_path / "pcb1" / "Data" / "Images" / "Normal" / "0.JPG").unlink()
    (tmp_path / "pcb1" / "Data" / "Images" / "Normal" / "2.JPG").unlink()
    with pytest.raises(
        DataError, match=r"1cls.csv: expected every image .* got no .*\.JPG and 1 more"
    ):
        find_categories(tmp_path)


def test_no_item_of_kolektorsdd_is_both_learned_from_and_good_in_the_test(tmp_path):
    (found,) = find_categories(kolektor(tmp_path))
    assert (found.dataset, found.name) == ("KolektorSDD", "kolektorsdd")
    assert len(found.train) == 16
    good = [s.path for s in found.test.samples if not s.is_defect]
    assert {p.parent.name for p in good} == {"kos05", "kos10"}
    assert not {p.parent for p in good} & {p.parent for p in found.train}
    assert by_label(found)["defect"] == ["Part1.jpg"] * 10
    assert found.shortfall == (
        "KolektorSDD kolektorsdd: expected 347 good and 52 defect images, got 20 and 10; "
        "copy it again"
    )
    check_masks(found)


def test_defects_in_the_training_part_of_kolektorsdd2_are_left_out(tmp_path):
    (found,) = find_categories(kolektor_2(tmp_path))
    assert found.dataset == "KolektorSDD2"
    assert names(found.train) == ["10000.png", "10001.png", "10003.png"]
    assert by_label(found) == {
        GOOD: ["20000.png", "20001.png", "20003.png"],
        "defect": ["20002.png"],
    }
    check_masks(found)


def test_a_photograph_of_kolektor_without_its_label_is_named(tmp_path):
    kolektor(tmp_path / "one")
    (tmp_path / "one" / "kos03" / "Part2_label.bmp").unlink()
    with pytest.raises(DataError, match="expected every mask .* got no .*Part2_label.bmp;"):
        find_categories(tmp_path / "one")
    kolektor_2(tmp_path / "two")
    (tmp_path / "two" / "test" / "20003_GT.png").write_text("no image")
    with pytest.raises(ImageError, match="20003_GT.png"):
        find_categories(tmp_path / "two")


def test_four_fifths_of_the_good_magnetic_tiles_are_learned_from(tmp_path):
    (found,) = find_categories(magnetic_tiles(tmp_path))
    assert (found.dataset, found.name) == ("Magnetic Tile Defects", "magnetic_tiles")
    assert len(found.train) == 9
    labels = by_label(found)
    assert {label: len(paths) for label, paths in labels.items()} == {
        GOOD: 3,
        "blowhole": 1,
        "fray": 1,
    }
    assert not set(names(found.train)) & set(labels[GOOD])
    check_masks(found)


def test_the_split_of_ours_is_that_of_the_hashes_wherever_the_set_lies():
    paths = [f"MT_Free/Imgs/exp1_num_{i}.jpg" for i in range(952)]
    expected = sorted(paths, key=lambda path: sha256(path.encode()).hexdigest())
    random.Random(0).shuffle(paths)
    for root in (Path("/here"), Path("elsewhere/data")):
        train, test = split_good([root / path for path in paths], root)
        assert [p.relative_to(root).as_posix() for p in (*train, *test)] == expected
        assert (len(train), len(test)) == (761, 191)  # as published


# Folders of one's own


def test_a_lone_category_or_a_mix_is_folders_without_a_count(tmp_path):
    mvtec_category(tmp_path / "one" / "bottle")
    mvtec_category(tmp_path / "mix" / "bottle")
    mvtec_category(tmp_path / "mix" / "bolt", good="normal")
    (tmp_path / "mix" / "results").mkdir()
    for root, found in (("one", ["bottle"]), ("mix", ["bolt", "bottle"]), ("mix/bolt", ["bolt"])):
        categories = find_categories(tmp_path / root)
        assert [c.name for c in categories] == found
        assert {(c.dataset, c.shortfall) for c in categories} == {("folders", None)}


def test_plain_folders_are_divided_and_keep_their_masks(tmp_path):
    photos(tmp_path / "plates" / "OK", *(f"{i}.png" for i in range(10)))
    photos(tmp_path / "plates" / "dent", "a.png")
    masks(tmp_path / "plates" / "ground_truth" / "dent", "a.png")
    for root in (tmp_path, tmp_path / "plates"):
        (found,) = find_categories(root)
        assert (found.dataset, found.name) == ("folders", "plates")
        labels = by_label(found)
        assert labels["dent"] == ["a.png"]
        assert (len(found.train), len(labels[GOOD])) == (8, 2)
        assert sorted({*names(found.train), *labels[GOOD]}) == [f"{i}.png" for i in range(10)]
        check_masks(found)
    assert len(find_dataset(tmp_path / "plates").samples) == 11  # evaluate tests on all of them


def test_one_good_photograph_cannot_be_divided(tmp_path):
    photos(tmp_path / "good", "0.png")
    photos(tmp_path / "dent", "0.png")
    with pytest.raises(DataError, match="at least two good photographs, .* got 1"):
        find_categories(tmp_path)


def test_the_name_of_a_link_or_of_the_working_folder_is_its_own(tmp_path, monkeypatch):
    real = mvtec_category(tmp_path / "real")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "bolt").symlink_to(real, target_is_directory=True)
    assert [c.name for c in find_categories(tmp_path / "links")] == ["bolt"]
    monkeypatch.chdir(real)
    assert find_categories(Path())[0].name == "real"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("test", "expected folders train and test .* got ground_truth, train"),
        ("train", "expected folders train and test .* got ground_truth, test"),
        ("train/good", "train: expected one folder of good images .* got no folder"),
        ("test/good", "test: expected a folder of good images .* got crack"),
        ("test/crack", "test: expected a folder of good images .* got good"),
    ],
)
@pytest.mark.parametrize("other", ["zipper", "bolt"])  # a known set, and folders
def test_a_category_that_is_not_whole_is_named(tmp_path, spoil, message, other):
    mvtec_category(tmp_path / other)
    folder = mvtec_category(tmp_path / "bottle")
    (folder / spoil).rename(tmp_path / f".{spoil.replace('/', '-')}")
    with pytest.raises(DataError, match=f"bottle.*{message}") as raised:
        find_categories(tmp_path)
    assert "\n" not in str(raised.value)


# Copies that are not whole


def fake_bottle(root, n_train, n_good, n_defect):
    """Empty files do: categories are found by names alone."""
    for folder, n in (
        ("train/good", n_train),
        ("test/good", n_good),
        ("test/broken", n_defect),
    ):
        (root / "bottle" / folder).mkdir(parents=True)
        for i in range(n):
            (root / "bottle" / folder / f"{i:03}.png").touch()
    mvtec_category(root / "zipper")
    return find_categories(root)[0].shortfall


@pytest.mark.parametrize(
    ("counts", "got"),
    [
        ((209, 20, 63), None),
        ((210, 20, 63), None),
        ((200, 20, 63), "200 and 83"),
        ((209, 20, 62), "209 and 82"),
        ((209, 19, 63), "209 and 82"),
    ],
)
def test_missing_images_are_reported_in_one_line(tmp_path, counts, got):
    shortfall = fake_bottle(tmp_path, *counts)
    expected = "MVTec AD bottle: expected 209 train and 83 test images, got {}; copy it again"
    assert shortfall == (expected.format(got) if got else None)


# A set that is asked for


@pytest.mark.parametrize("dataset", ["MVTec AD", "mvtecad", "mvtec-ad", "MVTEC_AD"])
def test_of_a_set_that_is_asked_for_one_category_is_enough(tmp_path, dataset):
    mvtec_category(tmp_path / "bottle")
    mvtec_category(tmp_path / "bolt")
    for root in (tmp_path, tmp_path / "bottle"):
        (found,) = find_categories(root, dataset)
        assert (found.dataset, found.name) == ("MVTec AD", "bottle")
        assert found.shortfall


def test_a_known_set_can_be_read_as_folders_and_visa_in_either_layout(tmp_path):
    for name in ("bottle", "zipper"):
        mvtec_category(tmp_path / "mvtec" / name)
    assert {c.dataset for c in find_categories(tmp_path / "mvtec", "folders")} == {"folders"}
    visa(tmp_path / "own", objects=("candle",))
    mvtec_category(tmp_path / "converted" / "candle", bad="bad")
    for root in ("own", "converted"):
        (found,) = find_categories(tmp_path / root, "visa")
        assert (found.dataset, found.name) == ("VisA", "candle")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.facts.name)
def test_a_set_that_is_not_there_is_asked_for_with_where_to_get_it(tmp_path, layout):
    facts = layout.facts
    photos(tmp_path / "photos", "1.png")
    (tmp_path / "notes.txt").write_text("no table")
    for root, got in (
        (tmp_path, "notes.txt, photos"),
        (tmp_path / "nowhere", "nothing of that name"),
        (tmp_path / "notes.txt", "a file"),
    ):
        with pytest.raises(DataError) as raised:
            find_categories(root, facts.name)
        message = str(raised.value)
        assert message.startswith(f"{root}: expected {facts.name}, laid out as {facts.layout}")
        assert f"got {got}; get it from {facts.source}" in message
        assert facts.licence in message
        assert "\n" not in message


def test_what_is_not_recognised_is_answered_with_all_that_are_known(tmp_path):
    photos(tmp_path / "photos", "1.png")
    for root, got in ((tmp_path, "photos"), (tmp_path / "nowhere", "nothing of that name")):
        with pytest.raises(DataError) as raised:
            find_categories(root)
        message = str(raised.value)
        assert all(name in message for name in dataset_names())
        assert f"got {got}; docs/datasets.md and `patchbank benchmark --help`" in message
        assert "\n" not in message
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="got no file in it;"):
        find_categories(tmp_path / "empty")


def test_an_unknown_name_is_answered_with_those_that_are_known(tmp_path):
    with pytest.raises(ParameterError, match="expected one of MVTec AD, .*, folders, got 'coco'"):
        find_categories(tmp_path, "coco")


# Masks


def test_a_folder_of_masks_is_read_as_their_union(tmp_path):
    one, two = BLACK.copy(), BLACK.copy()
    one[1:3, 2:5] = 1  # MVTec LOCO AD gives each kind of defect a grey of its own
    two[2:7, 4:12] = 254
    save(tmp_path / "masks" / "000.png", one)
    save(tmp_path / "masks" / "001.png", two)
    (tmp_path / "masks" / ".hidden").write_text("no mask")
    assert (read_mask(tmp_path / "masks", SIZE) == ((one > 0) | (two > 0))).all()


def test_masks_in_a_folder_have_the_size_of_their_photograph(tmp_path):
    save(tmp_path / "masks" / "000.png", MARKED)
    save(tmp_path / "masks" / "001.png", MARKED.T)
    with pytest.raises(ImageError, match="001.png: expected a mask of 9 x 14 .* got 14 x 9"):
        read_mask(tmp_path / "masks", SIZE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="at least one mask in the folder, got none"):
        read_mask(tmp_path / "empty", SIZE)


# What is written about them


def test_the_docs_name_every_set_with_its_place_its_licence_and_its_counts():
    text = DOCS.read_text(encoding="utf-8")
    for facts in {layout.facts.name: layout.facts for layout in LAYOUTS}.values():
        assert f"\n| {facts.name} | {facts.source} | {facts.licence} | " in text
        counts = [
            f"{name} {'/'.join(str(n) for n in (counts if facts.has_split else counts[1:]))}"
            for name, counts in facts.counts.items()
        ]
        expected = [f"| {facts.name} | {', '.join(counts)} |"] if counts else []
        rows = text.partition("\n| data set | counts |\n")[2].splitlines()
        assert [row for row in rows if row.startswith(f"| {facts.name} | ")] == expected


# Real photographs


def test_real_photographs_beside_this_checkout_are_two_categories(real_data):
    found = find_categories(real_data("screw").parent)
    assert [(c.dataset, c.name, len(c.train), len(c.test.samples)) for c in found] == [
        ("folders", "mtd", 761, 583),
        ("folders", "screw", 320, 160),
    ]
    assert all(c.test.has_masks and c.shortfall is None for c in found)


def test_the_real_screws_are_whole_where_they_are_asked_for(real_data):
    (found,) = find_categories(real_data("screw").parent, "MVTec AD")
    assert (found.dataset, found.name, found.shortfall) == ("MVTec AD", "screw", None)
