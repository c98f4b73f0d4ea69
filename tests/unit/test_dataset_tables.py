"""Data sets given as a table: one row an image."""

import csv
import sys

import pytest

from patchbank.datasets import GOOD, Sample, find_categories, find_dataset
from patchbank.errors import DataError
from tests.fake_datasets import GREY, by_label, names, table, write_table
from tests.photographs import save


def test_a_table_gives_its_categories_by_name(tmp_path):
    bolt, nut = find_categories(table(tmp_path))
    assert (bolt.dataset, bolt.name, nut.name) == ("table", "bolt", "nut")
    assert bolt.train == (tmp_path / "a" / "1.png",)
    assert bolt.test.samples == (
        Sample(tmp_path / "a" / "2.png", GOOD),
        Sample(tmp_path / "a" / "3.png", "dent", tmp_path / "m" / "3.png"),
    )
    assert by_label(nut) == {GOOD: ["2.png"], "defect": ["3.png"]}
    assert not nut.test.has_masks


def test_a_table_without_mask_and_category_is_one_category_with_its_own_name(tmp_path):
    path = table(tmp_path)
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    path = write_table(tmp_path / "lot 7.CSV", [[f" {c} " for c in row[:3]] for row in rows])
    (found,) = find_categories(path)
    assert (found.name, len(found.train), len(found.test.samples)) == ("lot 7", 2, 4)


def test_paths_of_a_table_may_be_absolute_and_its_text_may_start_with_a_mark(tmp_path):
    path = table(tmp_path / "photos")
    text = path.read_text().replace("a/", f"{tmp_path}/photos/a/").replace("b/", "photos/b/")
    text = text.replace("m/3", "photos/m/3")
    (tmp_path / "parts.csv").write_text(text, encoding="utf-8-sig")
    assert [c.name for c in find_categories(tmp_path / "parts.csv")] == ["bolt", "nut"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["a/9.png", "good", "train", "", "bolt"], "every image to be there, got no .*9.png;"),
        (["m/3.png", "dent", "test", "m/9.png", "bolt"], "every mask to be there, got no .*9.png;"),
        (["a/../a/1.png", "good", "train", "", ""], r"each image once, got .*a/1.png more than"),
        (
            ["m/3.png", "dent", "train", "", ""],
            "good images alone in split train, got 'dent' in row 7",
        ),
        (["m/3.png", "dent", "valid", "", ""], "split train or test, got 'valid' in row 7"),
        (["m/3.png", "2", "test", "", ""], "label good, .* got '2' in row 7"),
        (["m/3.png", "", "test", "", ""], "label good, .* got '' in row 7"),
        (["m/3.png", "True", "test", "", ""], "label good, .* got 'True' in row 7"),
        (["m/3.png", "n/a", "test", "", ""], "label good, .* got 'n/a' in row 7"),
        (["m\\3.png", "dent", "test", "", ""], r"paths with /, got m.3.png; replace"),
        (["b/4.png", "dent", "test", "m/3.png", "nut"], "each mask once, got .*m/3.png more than"),
        (["", "good", "test", "", ""], "a path, got '' in row 7"),
        (["m/3.png", "good", "test"], "got: 3 instead of 5 cells in row 7"),
        (["m/3.png", "good", "train", "", "cog"], "to test on, got 1, 0 and 0 for cog"),
    ],
)
def test_a_row_that_is_not_right_is_named(tmp_path, row, message):
    with pytest.raises(DataError, match=f"parts.csv: expected .*{message}") as raised:
        find_categories(table(tmp_path, row))
    assert "\n" not in str(raised.value)


def test_of_many_wrong_rows_the_first_is_named_and_the_others_are_counted(tmp_path):
    rows = [[f"a/{i}.png", "good", "valid", "", "bolt"] for i in range(4, 8)]
    with pytest.raises(DataError, match="got 'valid' in row 7 and 3 more$"):
        find_categories(table(tmp_path, *rows))
    rows = [[f"a/{i}.png", "good", "test", "", "bolt"] for i in range(4, 8)]
    with pytest.raises(DataError, match="got no .*4.png and 3 more;"):
        find_categories(table(tmp_path, *rows))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            ("file", "label", "split", "mask", "category"),
            "got file, label, split, mask, category; rename file to path$",
        ),
        (
            ("image_path", "label_index", "split", "mask_path", "category"),
            "; rename image_path to path and label_index to label and mask_path to mask$",
        ),
        (("path", "label", "split", "mask_path", "category"), "a column mask, got mask_path"),
        (("path", "label", "split", "masks", "category"), "expected a column mask, got masks"),
        (("path", "label", "split", "mask", "mask"), "two are named alike"),
    ],
)
def test_columns_that_are_missing_or_misspelt_are_named(tmp_path, header, message):
    with pytest.raises(DataError, match=message):
        find_categories(table(tmp_path, header=header))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected one row an image, got none"),
        (b"path,label,split\n", "expected one row an image, got none"),
        (b'path,label,split\na,"good,train', "a table that can be read, got: unexpected end"),
        (b"path,label,split\n\xff\xfe,good,train\n", "can be read, got: no UTF-8 at byte 17"),
        (b"path;label;split\na;good;train\n", "got: columns with semicolons between them"),
        (b"path\tlabel\tsplit\na\tgood\ttrain\n", "got: columns with tabs between them"),
        ("path,label,split\na,good,train\n".encode("utf-16"), "got: UTF-16; save it as CSV in UTF"),
        ("path,label,split\na,good,train\n".encode("utf-16-le"), "got: UTF-16; save it as CSV in"),
    ],
)
def test_a_damaged_table_is_reported(tmp_path, content, message):
    (tmp_path / "parts.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        find_categories(tmp_path / "parts.csv")


def test_parquet_needs_an_extra_that_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "parts.parquet").touch()
    with pytest.raises(DataError, match=r"pip install 'patchbank\[parquet\]'"):
        find_categories(tmp_path / "parts.parquet")


PARQUET_ROWS = [
    {"path": "a/1.png", "label": 0, "split": "train", "mask": None},
    {"path": "a/2.png", "label": 0, "split": "test", "mask": None},
    {"path": "a/3.png", "label": 1, "split": "test", "mask": "m/3.png"},
]


@pytest.mark.parquet
@pytest.mark.parametrize("kind", [int, float, bool])
def test_cells_of_parquet_are_read_as_those_of_csv(tmp_path, kind):
    import pyarrow as arrow
    from pyarrow import parquet

    table(tmp_path)
    rows = [{**row, "label": kind(row["label"])} for row in PARQUET_ROWS]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "lot.parquet")
    (found,) = find_categories(tmp_path / "lot.parquet")
    assert names(found.train) == ["1.png"]
    assert [(s.label, s.mask) for s in found.test.samples] == [
        (GOOD, None),
        ("defect", tmp_path / "m" / "3.png"),
    ]


@pytest.mark.parquet
def test_a_damaged_parquet_file_is_reported(tmp_path):
    import pyarrow as arrow
    from pyarrow import parquet

    parquet.write_table(arrow.Table.from_pylist(PARQUET_ROWS), tmp_path / "lot.parquet")
    whole = (tmp_path / "lot.parquet").read_bytes()
    (tmp_path / "lot.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="expected a table that can be read, got: "):
        find_categories(tmp_path / "lot.parquet")


def test_a_table_to_evaluate_on_needs_no_images_to_learn_from(tmp_path):
    path = table(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *lines[2:4]]))
    dataset = find_dataset(path)
    assert (dataset.name, [s.label for s in dataset.samples]) == ("bolt", [GOOD, "dent"])


def test_rows_without_any_cell_are_none(tmp_path):
    """Spreadsheets write them below the others."""
    path = table(tmp_path)
    with path.open("a") as file:
        file.write(",,,,\n\n , , ,,\n")
    assert [c.name for c in find_categories(path)] == ["bolt", "nut"]


def test_masks_that_are_missing_from_a_table_are_counted(tmp_path):
    rows = [["path", "label", "split", "mask"], ["g.png", "good", "test", ""]]
    rows += [[f"{i}.png", "dent", "test", "m.png" if i == 1 else ""] for i in range(3)]
    for name in ("g.png", "0.png", "1.png", "2.png", "m.png"):
        save(tmp_path / name, GREY)
    found = find_dataset(write_table(tmp_path / "t.csv", rows))
    assert found.lines == ["1 of 3 defect photographs have masks; none for 0.png, 2.png"]
    assert not found.has_masks
